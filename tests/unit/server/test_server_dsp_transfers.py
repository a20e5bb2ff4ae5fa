"""Transfer processes: a run is one under each of its agreements, and either party may stop it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dsp_site import OTHER, Contracts, until
from server_site import CONSUMER, OPERATOR, Site

from policies.canonical import canonical_bytes, digest_of
from policies.fields import instant
from server.dsp import documents, transfers
from server.dsp.messages import (
    InTransfer,
    TransferCompletion,
    TransferStart,
    TransferSuspension,
    TransferTermination,
    parse_message,
)
from server.dsp.rows import TransferRow
from server.errors import BadInput, NotKnown, RequestError, RuleBroken, TooMany

KINDS: dict[str, type[InTransfer]] = {
    "start": TransferStart,
    "suspension": TransferSuspension,
    "completion": TransferCompletion,
    "termination": TransferTermination,
}
AFTER = {
    "start": "STARTED",
    "suspension": "SUSPENDED",
    "completion": "COMPLETED",
    "termination": "TERMINATED",
}


@pytest.fixture
def dsp(site: Site) -> Contracts:
    return Contracts(site)


def say(dsp: Contracts, row: TransferRow, verb: str, caller: Any = CONSUMER) -> TransferRow:
    """The consumer's message."""
    kind = f"Transfer{verb.capitalize()}Message"
    reason = "because" if verb in ("suspension", "termination") else ""
    message = documents.process_message(kind, row.id, row.consumer_pid, reason)
    parsed: InTransfer = parse_message(KINDS[verb], canonical_bytes(message))  # type: ignore[type-var]
    found: TransferRow = dsp.site.governance.contracts.transfers.message(caller, row.id, parsed)
    return found


def refuses(
    dsp: Contracts, kind: type[RequestError], match: str, call: Callable[[], object]
) -> None:
    size, state = dsp.site.log.size, digest_of(dsp.transfers())
    with pytest.raises(kind, match=match):
        call()
    assert (dsp.site.log.size, digest_of(dsp.transfers())) == (size, state)


def of(dsp: Contracts, run: str, owner: str = "alpha") -> TransferRow:
    """The run's newest transfer with this owner."""
    found = [one for one in dsp.transfers() if (one["run"], one["owner"]) == (run, owner)]
    row: TransferRow = dsp.site.governance.contracts.transfers.get(CONSUMER, found[-1]["transfer"])
    return row


def states(dsp: Contracts, run: str) -> dict[str, str]:
    return {one["owner"]: one["state"] for one in dsp.transfers() if one["run"] == run}


def reasons(dsp: Contracts, run: str, request: str) -> dict[str, list[str]]:
    return {
        verdict["participant"]: [
            reason["code"] for reason in verdict["reasons"] if not verdict["permitted"]
        ]
        for verdict in dsp.site.authorize(run, request).verdicts
    }


# -- a run is a transfer --------------------------------------------------------------------------


def test_a_run_starts_a_transfer_under_each_agreement(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    assert states(dsp, run) == dict.fromkeys(("alpha", "beta", "gamma"), "STARTED")
    moved = [e.body for e in dsp.site.entries() if e.type == "TransferStep"]
    assert [(b["before"], b["state"], b["by"]) for b in moved[:2]] == [
        (None, "REQUESTED", "consumer"),
        ("REQUESTED", "STARTED", "provider"),
    ]
    assert len({one["transfer"] for one in dsp.transfers()}) == 3


def test_a_waiting_transfer_is_the_runs(dsp: Contracts) -> None:
    older = dsp.transfer(dsp.owner.agreement)
    newer = dsp.transfer(dsp.owner.agreement)
    assert (older.state, older.run) == ("REQUESTED", None)
    run = dsp.site.open_run()
    assert of(dsp, run).id == older.id
    second = dsp.site.open_run("run-2")
    assert of(dsp, second).id == newer.id
    third = dsp.site.open_run("run-3")
    assert of(dsp, third).id not in (older.id, newer.id)


def test_the_same_opening_starts_nothing_twice(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    before = dsp.transfers()
    assert dsp.site.open_run() == run
    assert dsp.transfers() == before


def test_a_completed_run_completes_its_transfers(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    dsp.site.withdraw(dsp.owner)
    for number in (1, 2, 3):
        dsp.site.whole_round(run, f"ask-{number}")
    assert states(dsp, run) == {"alpha": "TERMINATED", "beta": "COMPLETED", "gamma": "COMPLETED"}


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_that_ends_early_terminates_them(dsp: Contracts, failed: bool) -> None:
    run = dsp.site.open_run()
    dsp.site.governance.runs.stop(CONSUMER, run, "enough", failed=failed)
    assert set(states(dsp, run).values()) == {"TERMINATED"}
    assert of(dsp, run).code == "run-ended"


def test_a_resumed_run_begins_anew_what_its_end_had_ended(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    say(dsp, of(dsp, run), "termination")
    dsp.site.withdraw(dsp.site.nodes["beta"])
    dsp.site.governance.runs.stop(CONSUMER, run)
    old = of(dsp, run, "gamma")
    dsp.site.governance.runs.resume(CONSUMER, run)
    assert states(dsp, run) == {"alpha": "TERMINATED", "beta": "TERMINATED", "gamma": "STARTED"}
    assert of(dsp, run, "gamma").id != old.id
    assert reasons(dsp, run, "ask-1") == {
        "alpha": ["transfer-terminated"],
        "beta": ["consent-withdrawn"],
        "gamma": [],
    }


def test_a_run_that_goes_on_keeps_its_transfers(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    before = dsp.transfers()
    dsp.site.governance.runs.resume(CONSUMER, run)
    assert dsp.transfers() == before


# -- in the middle of it --------------------------------------------------------------------------


def test_a_termination_holds_from_the_next_round_on(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    assert reasons(dsp, run, "ask-1")["alpha"] == []
    say(dsp, of(dsp, run), "termination")
    assert reasons(dsp, run, "ask-2") == {"alpha": ["transfer-terminated"], "beta": [], "gamma": []}
    refuses(dsp, RuleBroken, "is TERMINATED", lambda: say(dsp, of(dsp, run), "start"))
    other = dsp.site.open_run("run-2")
    assert reasons(dsp, other, "ask-1")["alpha"] == []


@pytest.mark.parametrize("caller", ["consumer", "owner"])
def test_who_suspends_may_go_on(dsp: Contracts, caller: str) -> None:
    who, other = CONSUMER, dsp.owner.identity
    if caller == "owner":
        who, other = other, who
    run = dsp.site.open_run()
    row = dsp.act(who, of(dsp, run).id, "suspend")
    assert reasons(dsp, run, "ask-1")["alpha"] == ["transfer-suspended"]
    refuses(dsp, RuleBroken, "who suspended it", lambda: dsp.act(other, row.id, "start"))
    dsp.act(who, row.id, "start")
    assert reasons(dsp, run, "ask-2")["alpha"] == []


def test_the_log_commits_to_a_partys_reason_and_the_parties_read_it(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    row = dsp.act(dsp.owner.identity, of(dsp, run).id, "suspend")
    answer = dsp.site.authorize(run, "ask-1")
    (texts,) = [
        [reason["text"] for reason in verdict["reasons"]]
        for verdict in answer.verdicts
        if verdict["participant"] == "alpha"
    ]
    log = b"".join(dsp.site.log.entries(0, dsp.site.log.size))
    assert b"because" not in log
    assert row.said.encode() in log
    assert "because" not in texts[0]
    assert [one["reason"] for one in dsp.transfers() if one["transfer"] == row.id] == ["because"]
    size = dsp.site.log.size
    dsp.act(dsp.owner.identity, row.id, "terminate")
    refuses(
        dsp, RuleBroken, "cannot be made", lambda: dsp.act(dsp.owner.identity, row.id, "suspend")
    )
    assert dsp.site.log.size == size + 1


def test_a_completed_transfer_takes_no_further_part(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    say(dsp, of(dsp, run), "completion")
    assert reasons(dsp, run, "ask-1")["alpha"] == ["transfer-completed"]


def test_a_withdrawal_suspends_for_good(dsp: Contracts) -> None:
    waiting = dsp.transfer(dsp.owner.agreement)
    run, other = dsp.site.open_run(), dsp.site.open_run("run-2")
    later = dsp.transfer(dsp.owner.agreement)
    dsp.site.withdraw(dsp.owner)
    assert of(dsp, run).id == waiting.id
    assert (of(dsp, run).state, of(dsp, other).state) == ("SUSPENDED", "SUSPENDED")
    transfers = dsp.site.governance.contracts.transfers
    assert transfers.get(CONSUMER, later.id).state == "TERMINATED"
    assert reasons(dsp, run, "ask-1")["alpha"] == ["consent-withdrawn"]
    refuses(dsp, RuleBroken, "was withdrawn", lambda: say(dsp, of(dsp, run), "start"))
    refuses(
        dsp,
        RuleBroken,
        "was withdrawn",
        lambda: dsp.act(dsp.owner.identity, of(dsp, run).id, "start"),
    )
    assert dsp.site.kinds().count("ConsentWithdrawn") == 1


def test_a_suspension_of_the_consumers_does_not_outlive_the_consent(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    say(dsp, of(dsp, run), "suspension")
    dsp.site.withdraw(dsp.owner)
    refuses(dsp, RuleBroken, "was withdrawn", lambda: say(dsp, of(dsp, run), "start"))


def test_no_code_of_a_party_is_taken_for_ours(dsp: Contracts) -> None:
    run = dsp.site.open_run()
    row = of(dsp, run)
    message = documents.process_message("TransferTerminationMessage", row.id, row.consumer_pid) | {
        "code": "run-ended"
    }
    parsed = parse_message(TransferTermination, canonical_bytes(message))
    dsp.site.governance.contracts.transfers.message(CONSUMER, row.id, parsed)
    assert reasons(dsp, run, "ask-1")["alpha"] == ["transfer-terminated"]


# -- who and when ---------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["REQUESTED", "STARTED", "SUSPENDED", "COMPLETED", "TERMINATED"])
def test_each_message_in_each_state(dsp: Contracts, state: str) -> None:
    legal = {
        "REQUESTED": {"termination"},
        "STARTED": {"suspension", "completion", "termination"},
        "SUSPENDED": {"start", "termination"},
    }
    for number, verb in enumerate(KINDS):
        row = dsp.transfer(dsp.owner.agreement)
        if state != "REQUESTED":
            row = of(dsp, dsp.site.open_run(f"run-{number}"))
        for before, after in AFTER.items():
            if state == after != "STARTED":
                row = say(dsp, row, before)
        if verb in legal.get(state, set()):
            assert say(dsp, row, verb).state == AFTER[verb]
        else:
            refuses(
                dsp,
                RuleBroken,
                "cannot be made|expected a run to be opened",
                lambda row=row, verb=verb: say(dsp, row, verb),  # type: ignore[misc]
            )


def test_others_do_not_know_it(dsp: Contracts) -> None:
    row = of(dsp, dsp.site.open_run())
    beta = dsp.site.nodes["beta"].identity
    for caller in (OTHER, OPERATOR, beta):
        refuses(
            dsp,
            NotKnown,
            "expected one of",
            lambda caller=caller: dsp.act(caller, row.id, "terminate"),
        )  # type: ignore[misc]
        refuses(
            dsp, NotKnown, "expected", lambda caller=caller: say(dsp, row, "termination", caller)
        )  # type: ignore[misc]
    owner = dsp.owner.identity
    refuses(dsp, NotKnown, "its consumer", lambda: say(dsp, row, "termination", owner))
    refuses(dsp, BadInput, "expected one of start", lambda: dsp.act(CONSUMER, row.id, "explode"))
    assert dsp.site.governance.list(beta, "transfers") != dsp.site.governance.list(
        owner, "transfers"
    )


def test_only_ones_own_standing_agreement_can_be_asked_for(dsp: Contracts) -> None:
    refuses(dsp, BadInput, "agreementId", lambda: dsp.transfer("agreement-unheard"))
    refuses(dsp, BadInput, "agreementId", lambda: dsp.transfer(dsp.owner.agreement, OTHER))
    refuses(
        dsp, NotKnown, "a consumer", lambda: dsp.transfer(dsp.owner.agreement, dsp.owner.identity)
    )
    refuses(dsp, BadInput, "format", lambda: dsp.transfer(dsp.owner.agreement, format="CSV"))
    dsp.site.withdraw(dsp.owner)
    refuses(dsp, RuleBroken, "was withdrawn", lambda: dsp.transfer(dsp.owner.agreement))


def test_an_agreement_that_is_over_starts_no_transfer(dsp: Contracts) -> None:
    row = dsp.conclude(until(instant(dsp.site.now + timedelta(seconds=60))))
    assert row.agreement is not None
    dsp.transfer(row.agreement)
    dsp.site.tick(61)
    refuses(dsp, RuleBroken, "it is over", lambda: dsp.transfer(str(row.agreement)))


def test_the_same_request_gets_the_same_transfer(
    dsp: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = dsp.owner.agreement
    row = dsp.transfer(agreement, consumerPid="urn:uuid:one")
    assert dsp.transfer(agreement, consumerPid="urn:uuid:one") == row
    beta = dsp.site.nodes["beta"].agreement
    refuses(
        dsp, RuleBroken, "a new consumerPid", lambda: dsp.transfer(beta, consumerPid="urn:uuid:one")
    )
    monkeypatch.setattr(transfers, "MAX_WAITING", 1)
    refuses(dsp, TooMany, "at most 1", lambda: dsp.transfer(beta))
    say(dsp, row, "termination")
    refuses(
        dsp,
        RuleBroken,
        "is TERMINATED",
        lambda: dsp.transfer(agreement, consumerPid="urn:uuid:one"),
    )
    dsp.transfer(beta)


def test_the_registry_is_made_again_from_the_log(dsp: Contracts) -> None:
    dsp.transfer(dsp.owner.agreement)
    run = dsp.site.open_run()
    say(dsp, of(dsp, run), "suspension")
    dsp.site.withdraw(dsp.site.nodes["beta"])
    before = dsp.transfers()
    dsp.site.close()
    for path in dsp.site.space.database.parent.glob("governance.db*"):
        path.unlink()
    dsp.site.open()
    assert dsp.transfers() == before
