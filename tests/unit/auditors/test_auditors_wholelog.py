"""Replaying whole logs: what an honest governance wrote is clean, and each fault is named.

Two ways to make a fault. Most logs are an honest one with one edit, whose digests and signatures
are made anew by somebody who holds all keys (`relinked`). Where a decision is to be wrong and
everything after it consistent, governance itself is made dishonest while it decides.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from replay_log_site import (
    Keys,
    Story,
    change,
    copied,
    faults,
    keys_of,
    lines_of,
    open_run,
    places,
    read,
    relinked,
    space,
    tell,
    whole_round,
    write,
    write_lines,
)
from server_site import Site, withdrawal_envelope

from auditors import pending, shares
from auditors.errors import AuditInputError
from auditors.shares import replay_log
from policies.account import Account
from policies.canonical import sha256_hex
from policies.certificate import CERTIFICATE_TYPE
from policies.claim import Claim
from policies.envelope import sign_envelope, unverified_payload
from policies.results import Reason
from server import hearing, queries, rounds

Edit = Callable[[Story], int]
ELSE = sha256_hex(b"another")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Keys, dict[str, str]]:
    """The story, all keys, and a signed withdrawal by each enterprise."""
    with space(tmp_path_factory.mktemp("replay") / "space") as site:
        tell(site)
        wishes = {
            name: base64.b64encode(withdrawal_envelope(node, site.now)).decode()
            for name, node in site.nodes.items()
        }
        return read(site), keys_of(site), wishes


def test_an_honest_log_is_clean_whatever_the_number_of_processes(
    honest: tuple[Story, Keys, Any], tmp_path: Path
) -> None:
    story, keys, _ = honest
    assert relinked(copied(story), keys) == story, "the tests' own tool changes nothing"
    folder = write(tmp_path, story)
    steps: list[tuple[int, int]] = []
    found = replay_log(folder, progress=lambda done, total: steps.append((done, total)))
    assert (found.violations, found.entries, found.unreadable) == ((), len(story), False)
    assert (found.decisions, found.permits, found.receipts) == (5, 4, 5)
    assert steps[-1][0] == steps[-1][1] == len(story)
    assert replay_log(folder, jobs=2) == found


# -- one edit --------------------------------------------------------------------------------------


def leaves(report: dict[str, Any], operand: str) -> list[dict[str, Any]]:
    return [
        leaf
        for rule in report["rules"]
        for leaf in rule["constraints"]
        if leaf["leftOperand"] == operand
    ]


def claim_count(body: dict[str, Any]) -> None:
    (leaf,) = leaves(body["reports"][0], "count")
    leaf["leftValue"] = 1


def other_source(body: dict[str, Any]) -> None:
    (leaf,) = leaves(body["reports"][0], "count")
    leaf["source"] = "what I was told"


def verdict(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def edit(body: dict[str, Any]) -> None:
        for one in body["decision"]["verdicts"]:
            if one["participant"] == name:
                one.update(changes)

    return edit


def member(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def edit(body: dict[str, Any]) -> None:
        for one in body["cohort"]:
            if one["participant"] == name:
                one.update(changes)

    return edit


def permit_too(name: str, like: str) -> Callable[[dict[str, Any]], None]:
    """Somebody who was refused, among the permit's cohort."""

    def edit(body: dict[str, Any]) -> None:
        names = {"participant": name, "product": f"{name}/records"}
        (one,) = [m for m in body["cohort"] if m["participant"] == like]
        body["cohort"].append({**one, **names, "agreement": f"agreement-{name}"})
        body["cohort"].sort(key=lambda m: m["participant"])

    return edit


def aggregate(body: dict[str, Any]) -> None:
    """An update of gamma, which never sent a receipt."""
    body["accepted"].append(
        {"participant": "gamma", "product": "gamma/records", "rows": 80, "receipt": ELSE}
    )
    body["left_out"] = []


def forged(body: dict[str, Any]) -> str:
    """The certificate in an entry, signed by somebody."""
    envelope = base64.b64decode(body["envelope"])
    payload = unverified_payload(envelope, payload_type=CERTIFICATE_TYPE)
    somebody = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
    signed = sign_envelope(payload, payload_type=CERTIFICATE_TYPE, key=somebody)
    return base64.b64encode(signed).decode()


def stand_twice(story: Story) -> int:
    """The limited agreement, concluded once more at the end."""
    story.append(story[places(story, "AgreementConcluded")[3]])
    return len(story) - 1


def cut(kind: str, nth: int) -> Edit:
    """The log ends with the nth entry of a type."""

    def edit(story: Story) -> int:
        index = places(story, kind)[nth]
        del story[index + 1 :]
        return index

    return edit


def other_model(story: Story) -> int:
    """The second round begins with another model, in decision and permit."""
    change("PermitIssued", 2, lambda body: body.update(model=ELSE))(story)
    return change("RoundDecided", 2, lambda body: body.update(model=ELSE))(story)


def withdraw_earlier(wishes: dict[str, str]) -> Edit:
    """Alpha's consent ends where nothing happened, and everything goes on as before."""

    def edit(story: Story) -> int:
        index = places(story, "VoucherIssued")[1]
        story[index].type = "ConsentWithdrawn"
        story[index].body = {
            "agreement": "limited",
            "participant": "alpha",
            "product": "alpha/records",
            "consumer": "consortium",
            "withdrawal": "withdrawal-" + "0" * 32,
            "envelope": wishes["alpha"],
        }
        return index + 4

    return edit


FOLLOWS = {"decision-follows"}
EDITS: dict[str, tuple[Edit, set[str], str]] = {
    "a count of 1 where the log shows 3": (
        change("ReportsMade", 2, claim_count, named=1),
        {"left-value"},
        "alpha: count: the log shows 3 (permits so far, plus this one), the report says 1",
    ),
    "a value from another source": (
        change("ReportsMade", 2, other_source, named=1),
        {"left-value"},
        "the report says 3 (what I was told)",
    ),
    "a report that its own values do not give": (
        change(
            "ReportsMade",
            2,
            lambda b: b["reports"][0]["rules"][0].update(outcome="unknown"),
            named=1,
        ),
        {"report-replayed"},
        "alpha: expected the report that evaluating again gives",
    ),
    "a report under other laws": (
        change("ReportsMade", 0, lambda b: b["reports"][0].update(baseline=[]), named=1),
        {"baseline-in-force"},
        "alpha: expected a report under the laws adopted last",
    ),
    "a report for another action": (
        change("ReportsMade", 0, lambda b: b["reports"][0].update(assignee="somebody"), named=1),
        {"report-replayed", "agreement-in-force"},
        "assignee: expected consortium, the report says somebody",
    ),
    "a report that no verdict names": (
        change(
            "ReportsMade",
            0,
            lambda b: b["reports"].append(dict(b["reports"][0], target="x")),
            named=1,
        ),
        {"report-named"},
        "expected a report that a verdict names",
    ),
    "reports that are said to be of another attempt": (
        change("ReportsMade", 0, lambda b: b.update(attempt=2), named=1),
        {"report-named"},
        "expected the run, round, attempt and time of the decision in entry 24",
    ),
    "a baseline that was never adopted": (
        change("RoundDecided", 0, lambda b: b.update(baseline=ELSE)),
        {"baseline-in-force"},
        "expected the laws adopted last",
    ),
    "a round out of turn": (
        change("RoundDecided", 4, lambda b: b.update(round=2)),
        {"round-next"},
        "expected train round 1 to be decided next, got train round 2",
    ),
    "an attempt that was left out": (
        change("RoundDecided", 4, lambda b: b.update(attempt=2)),
        {"round-next"},
        "expected attempt 1, got 2",
    ),
    "another model than the last round's": (
        other_model,
        {"model-chain"},
        "expected the model of entry",
    ),
    "refused although permitted": (
        change(
            "RoundDecided",
            3,
            verdict("gamma", permitted=False, reasons=[{"code": "no", "text": "no"}]),
        ),
        {"decision-follows", "permit-follows", "permit-decided"},  # which gives it all the same
        "gamma, gamma/records: the log leads to permitted (permitted), decided was refused (no)",
    ),
    "permitted although refused": (
        change("RoundDecided", 2, verdict("beta", permitted=True)),
        {"decision-follows", "permit-follows", "permit-decided"},  # which leaves it out
        "beta, beta/records: the log leads to refused (consent-withdrawn), decided was permitted",
    ),
    "another reason": (
        change("RoundDecided", 2, verdict("beta", reasons=[{"code": "no", "text": "no"}])),
        FOLLOWS,
        "decided was refused (no)",
    ),
    "the same reason in other words": (
        change(
            "RoundDecided",
            2,
            verdict("beta", reasons=[{"code": "consent-withdrawn", "text": "it left"}]),
        ),
        FOLLOWS,
        "beta: expected the reasons and the report that the log leads to",
    ),
    "another minimum": (
        change("RoundDecided", 4, lambda b: b["decision"].update(minCohort=2)),
        FOLLOWS,
        "minCohort: expected 1, got 2",
    ),
    "a verdict twice": (
        change(
            "RoundDecided",
            4,
            lambda b: b["decision"]["verdicts"].append(b["decision"]["verdicts"][0]),
        ),
        FOLLOWS,
        "expected verdicts once each",
    ),
    "a verdict left out": (
        change("RoundDecided", 4, lambda b: b["decision"]["verdicts"].clear()),
        FOLLOWS,
        "decided was no verdict",
    ),
    "a permit to somebody refused": (
        change("PermitIssued", 2, permit_too("beta", "gamma")),
        {"permit-follows", "permit-decided", "permit-agreed", "close-complete"},
        "cohort: expected alpha, gamma, got alpha, beta, gamma",
    ),
    "a permit for more seconds": (
        change("PermitIssued", 2, member("gamma", metered_s=31)),
        {"permit-follows", "permit-reserves"},
        "metered_s: expected 30, got 31",
    ),
    "a permit without what is owed": (
        change("PermitIssued", 2, member("alpha", duties=[])),
        {"permit-follows"},
        "duties: expected ['delete'], got []",
    ),
    "a permit that lasts longer": (
        change("PermitIssued", 0, lambda b: b.update(expires="2999-01-01T00:00:00.000Z")),
        {"permit-follows"},
        "expires: expected",
    ),
    "a permit for a wider norm": (
        change("PermitIssued", 0, lambda b: b.update(clip_norm="2")),
        {"permit-follows"},
        "clip_norm: expected '1.5', got '2'",
    ),
    "a permit with another purpose": (
        change("PermitIssued", 0, lambda b: b.update(purpose="marketing")),
        {"permit-follows"},
        "purpose: expected 'medical-research', got 'marketing'",
    ),
    "a permit for another configuration": (
        change("PermitIssued", 0, lambda b: b.update(config=ELSE)),
        {"permit-follows"},
        "config: expected",
    ),
    "an update without a receipt is aggregated": (
        change("RoundClosed", 0, aggregate),
        {"close-answers", "close-complete"},
        "gamma: expected an accepted receipt for what is aggregated, got none",
    ),
    "an accepted receipt that is not": (
        change("RoundClosed", 1, lambda b: b["accepted"].pop()),
        {"close-complete"},
        "expected the accepted receipts of alpha, gamma, got those of alpha",
    ),
    "nobody was left out": (
        change("RoundClosed", 0, lambda b: b.update(left_out=[])),
        {"close-complete"},
        "left out: expected gamma (no-reply), got nobody",
    ),
    "what binds the model": (
        change("RoundClosed", 2, lambda b: b["derived"].update(classification="important")),
        {"close-derived"},
        "'classification': 'general'",
    ),
    "a duty that is not declared": (
        change("RoundClosed", 1, lambda b: b.update(duties={})),
        {"close-duties"},
        "delete is owed to alpha",
    ),
    "an evaluation that changes the model": (
        change("RoundClosed", 2, lambda b: b.update(model=ELSE)),
        {"model-chain"},
        "expected the model unchanged",
    ),
    "a close of another round": (
        change("RoundClosed", 2, lambda b: b.update(attempt=2)),
        {"close-follows"},
        "attempt: expected 1, got 2",
    ),
    "a run's end that says something else": (
        change("RunEnded", 0, lambda b: b.update(closed_rounds=1)),
        {"run-follows"},
        "closed_rounds: expected 2, got 1",
    ),
    "a run that is completed before it is": (
        change("RunEnded", 1, lambda b: b.update(state="COMPLETED")),
        {"run-follows"},
        "expected it completed once its evaluation is closed",
    ),
    "more seconds than the receipt proves": (
        change("ReceiptAccepted", 0, lambda b: b.update(metered_s=5)),
        {"receipt-permitted"},
        "metered: expected 0, got 5",
    ),
    "a card that its owner did not sign": (
        change("ProductRegistered", 2, lambda b: b.update(execution_environment="isolated")),
        {"statement-follows"},
        "execution_environment: signed was '', the entry says 'isolated'",
    ),
    "laws under another digest": (
        change("BaselineAdopted", 0, lambda b: b.update(digest=ELSE)),
        {"statement-follows"},
        "expected the digest of its documents",
    ),
    "a certificate that lasts longer than what was signed": (
        change("CertificateIssued", 1, lambda b: b.update(not_after="2999-01-01T00:00:00.000Z")),
        {"statement-follows"},
        "not_after: signed was",
    ),
    "a certificate that the registrar did not sign": (
        change("CertificateIssued", 1, lambda b: b.update(envelope=forged(b))),
        {"statement-signed"},
        "CertificateIssued of the registrar",
    ),
    "an agreement that stands already": (
        stand_twice,
        {"statement-new"},
        "limited: expected a new id",
    ),
    "a body in another form": (
        change("RunEnded", 1, lambda b: b.pop("state")),
        {"entry-readable"},
        "RunEnded: KeyError",
    ),
    "a permit that never came": (
        cut("RoundDecided", 3),
        {"permit-follows"},
        "expected a permit for gamma at once after it, got none",
    ),
    "reports without a decision": (
        cut("ReportsMade", 2),
        {"report-named"},
        "expected a decision at once after its reports",
    ),
}


@pytest.mark.parametrize(("edit", "rules", "says"), EDITS.values(), ids=EDITS.keys())
def test_one_fault_is_named_with_its_entry_and_nothing_else(
    honest: tuple[Story, Keys, Any], tmp_path: Path, edit: Edit, rules: set[str], says: str
) -> None:
    story = copied(honest[0])
    index = edit(story)
    found = faults(write(tmp_path, relinked(story, honest[1])))
    assert {rule for _, rule, _ in found} == rules
    assert [at for at, _, text in found if says in text] == [index]


def test_a_withdrawal_that_was_skipped(
    honest: tuple[Story, Keys, dict[str, str]], tmp_path: Path
) -> None:
    story, keys, wishes = honest
    story = copied(story)
    at = withdraw_earlier(wishes)(story)
    found = faults(write(tmp_path, relinked(story, keys)))
    (skipped,) = [text for index, rule, text in found if rule == "decision-follows" and index == at]
    assert "alpha, alpha/records: the log leads to refused (consent-withdrawn)" in skipped
    permit = (at + 1, "permit-agreed")
    assert permit in [(index, rule) for index, rule, _ in found]


def test_a_withdrawal_that_nobody_signed(honest: tuple[Story, Keys, Any], tmp_path: Path) -> None:
    story, keys, wishes = honest
    story = copied(story)
    at = places(story, "ConsentWithdrawn")[0]
    story[at].body["envelope"] = wishes["alpha"]
    found = faults(write(tmp_path, relinked(story, keys)))
    assert [(index, rule) for index, rule, _ in found] == [(at, "statement-signed")]


@pytest.mark.parametrize("kind", ["TransferStep", "ReportsMade", "RoundDecided"])
def test_an_entry_that_is_no_entry(
    honest: tuple[Story, Keys, Any], tmp_path: Path, kind: str
) -> None:
    """A space before it is enough: whoever reads it strictly, says so."""
    lines = lines_of(honest[0])
    at = places(honest[0], kind)[0]
    lines[at] = b" " + lines[at]
    lines.append(b"[]")
    folder = write_lines(tmp_path, lines)
    found = replay_log(folder, jobs=1)
    assert found.unreadable
    named = [one.index for one in found.violations if one.rule == "entry-readable"]
    assert {at, len(lines) - 1} <= set(named)
    assert replay_log(folder, jobs=3) == found


def test_as_many_faults_as_anybody_reads(
    honest: tuple[Story, Keys, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = copied(honest[0])
    for one in story[2:]:
        one.body = {}
    folder = write(tmp_path, story)
    monkeypatch.setattr(shares, "MAX_VIOLATIONS", 3)
    assert 3 <= len(replay_log(folder, jobs=1).violations) <= 5


def test_more_reports_than_a_decision_can_have(
    honest: tuple[Story, Keys, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, honest[0])
    at = places(honest[0], "ReportsMade")[0]
    monkeypatch.setattr(pending, "MAX_BYTES", 1_000)
    found = [(one.index, one.rule, one.text) for one in replay_log(folder, jobs=1).violations]
    assert (at, "report-named", "expected a decision after its reports") in found


def test_what_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(AuditInputError, match="expected a log's folder"):
        replay_log(tmp_path)


# -- a governance that is dishonest while it decides -----------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with space(tmp_path / "space") as made:
        yield made


def replayed(site: Site, tmp_path: Path) -> list[tuple[str, str]]:
    """The faults of what this space logged: rule and text."""
    story = read(site)
    return [(rule, text) for _, rule, text in faults(write(tmp_path, story))]


def test_permitted_over_budget(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three uses are allowed; governance forgets them, and permits a fourth."""
    run = open_run(site, rounds=4)
    for number in range(3):
        whole_round(site, run, f"ask-{number}")
    assert replayed(site, tmp_path / "before") == []
    monkeypatch.setattr(hearing.accounts, "accounts", lambda _, ids: {id: Account() for id in ids})
    whole_round(site, run, "ask-3")
    found = replayed(site, tmp_path)
    assert {rule for rule, _ in found} == {"left-value", "decision-follows"}
    assert (
        "left-value",
        "alpha: count: the log shows 4 (permits so far, plus this one), "
        "the report says 1 (permits so far, plus this one)",
    ) in found
    over = "alpha, alpha/records: the log leads to refused (count-exhausted), decided was permitted"
    assert any(text.startswith(over) for _, text in found)


def test_a_certificate_that_expired(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(site)
    site.tick(400 * 86_400)
    real = hearing.claim_reasons

    def blind(claim: Claim, *rest: Any) -> list[Reason]:
        return real(replace(claim, not_after="2999-01-01T00:00:00.000Z"), *rest)

    monkeypatch.setattr(hearing, "claim_reasons", blind)
    site.authorize(run)
    found = replayed(site, tmp_path)
    assert {rule for rule, _ in found} == {"decision-follows"}
    assert all("the log leads to refused (certificate-expired)" in text for _, text in found)


def test_a_consent_that_governance_does_not_see_ended(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(site)
    site.withdraw(site.nodes["beta"])
    real = queries.claims

    def blind(*args: Any) -> dict[str, Claim]:
        return {id: replace(claim, withdrawn=None) for id, claim in real(*args).items()}

    monkeypatch.setattr(hearing.queries, "claims", blind)
    site.authorize(run)
    found = replayed(site, tmp_path)
    assert {rule for rule, _ in found} == {"decision-follows", "permit-agreed"}


def test_refused_for_no_reason(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "claim_reasons", lambda *_: [Reason("offline", "not here")])
    site.authorize(open_run(site))
    found = replayed(site, tmp_path)
    assert {rule for rule, _ in found} == {"decision-follows"}
    assert len(found) == 3


def test_a_clock_that_policies_were_not_evaluated_at(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = {
        "leftOperand": "dateTime",
        "operator": "lt",
        "rightOperand": {"@value": "2999-01-01T00:00:00Z", "@type": "xsd:dateTime"},
    }
    site.agree(site.nodes["alpha"], until, **{"@id": "until"})
    run = site.open_run(agreements=["until"])
    real = hearing.decision_time
    monkeypatch.setattr(hearing, "decision_time", lambda *args: real(*args).replace(year=2020))
    monkeypatch.setattr(hearing, "claim_reasons", lambda *_: [])
    site.authorize(run)
    ((rule, text),) = replayed(site, tmp_path)
    assert (rule, "dateTime: the log shows" in text) == ("left-value", True)


def test_a_result_without_a_quorum(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.receipts.check_borne_out", lambda *_, **__: None)
    run = open_run(site, quorum=3)
    whole_round(site, run, "ask", without="gamma")
    ((rule, text),) = replayed(site, tmp_path)
    assert (rule, "expected 3 accepted receipts" in text) == ("close-quorum", True)


def test_a_voucher_that_is_overdrawn(honest: tuple[Story, Keys, Any], tmp_path: Path) -> None:
    story = copied(honest[0])
    at = change("VoucherIssued", 0, lambda body: body.update(amount="15"))(story)
    found = faults(write(tmp_path, relinked(story, honest[1])))
    assert at < min(index for index, _, _ in found)
    assert {rule for _, rule, _ in found} == {"decision-follows", "voucher-covers"}
    assert any("refused (voucher-exhausted)" in text for _, _, text in found)


def test_a_transfer_that_was_stopped_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(site)
    step = next(
        one.body for one in site.entries() if one.type == "TransferStep" and one.body["run"] == run
    )
    site.governance.contracts.transfers.act(
        site.nodes["alpha"].identity, str(step["transfer"]), "suspend", "not now"
    )
    site.authorize(run, "held")
    assert replayed(site, tmp_path / "before") == []
    monkeypatch.setattr(rounds, "with_held", lambda _connection, _run, candidates: candidates)
    site.authorize(run, "ask")
    found = replayed(site, tmp_path)
    assert {rule for rule, _ in found} == {"decision-follows"}
    assert "refused (transfer-suspended)" in found[0][1]
