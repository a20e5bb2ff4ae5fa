"""A run is a transfer process under each of its agreements: the entries that keep both in step.

run opened       a waiting transfer is STARTED, or a new one is REQUESTED and STARTED
consent ended    STARTED becomes SUSPENDED, a waiting one TERMINATED
run completed    STARTED becomes COMPLETED
run ended else   whatever has not ended is TERMINATED; so is what was SUSPENDED when it completed
run resumed      what only the run's end had terminated begins anew
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from policies.canonical import Json
from policies.cohort import Candidate
from policies.entries import entry_bytes
from policies.fields import instant
from policies.refusals import HELD, PASSED_OVER, RUN_ENDED, WITHDRAWN, held_reason
from policies.results import Reason
from server import queries
from server.dsp import store
from server.dsp.machine import Party
from server.dsp.rows import TransferRow
from server.dsp.transfer import TRANSFER
from server.edge import Edge
from server.errors import RuleBroken


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a transfer process.

    Attributes:
        participant: who made it.
        code: ours alone, "" where a party made the step: rounds are decided by it.
        reason: for people, in governance's words.
        said: commitment to the words of the party who made the step; "" is none.
        message: digest of the message that asked for it; "" without one.
        run: the run that the transfer is from now on.
    """

    after: str
    by: Party
    participant: str
    code: str = ""
    reason: str = ""
    said: str = ""
    message: str = ""
    run: str | None = None


def new_transfer(
    *, id: str, consumer_pid: str, agreement: str, consumer: str, owner: str
) -> TransferRow:
    """A transfer of which nothing is logged yet."""
    return TransferRow(
        id=id,
        consumer_pid=consumer_pid,
        agreement=agreement,
        consumer=consumer,
        owner=owner,
        run=None,
        request="",
        callback="",
        state="",
        number=0,
        by="",
        code="",
        reason="",
        said="",
        entry=0,
    )


def step_entry(row: TransferRow, step: Step, *, time: str) -> bytes:
    """The entry of a step; `row` of `new_transfer` for the first.

    Raises:
        RuleBroken: the protocol does not have it.
    """
    before = row.state or None
    illegal = TRANSFER.check(before, step.after, step.by)
    if illegal is not None:
        raise RuleBroken(illegal.text)
    body: dict[str, Json] = {
        "transfer": row.id,
        "consumer_pid": row.consumer_pid,
        "agreement": row.agreement,
        "consumer": row.consumer,
        "owner": row.owner,
        "run": step.run or row.run,
        "number": row.number + 1,
        "before": before,
        "state": step.after,
        "by": step.by,
        "participant": step.participant,
        "code": step.code,
        "reason": step.reason,
        "said": step.said,
        "message": step.message,
    }
    return entry_bytes("TransferStep", time=time, body=body)


def on_run_opened(
    connection: Connection, *, run: str, consumer: str, agreements: Sequence[str], edge: Edge
) -> list[bytes]:
    """A process under each agreement whose consent stands."""
    time = instant(edge.clock())
    waiting = store.transfers_waiting(connection, consumer, agreements)
    claims = queries.claims(connection, agreements)
    entries: list[bytes] = []
    for id in agreements:
        claim = claims[id]
        if claim.withdrawn is not None:
            continue
        row = waiting.get(id)
        if row is None:
            row = new_transfer(
                id=f"urn:tdspace:transfer:{edge.random_bytes(16).hex()}",
                consumer_pid=f"urn:tdspace:consumer:{edge.random_bytes(16).hex()}",
                agreement=id,
                consumer=consumer,
                owner=claim.participant,
            )
            asked = Step("REQUESTED", "consumer", consumer, "run-opened", run=run)
            entries.append(step_entry(row, asked, time=time))
            row = replace(row, state="REQUESTED", number=1, run=run)
        started = Step("STARTED", "provider", claim.participant, "run-opened", run=run)
        entries.append(step_entry(row, started, time=time))
    return entries


def on_run_resumed(
    connection: Connection, *, run: str, consumer: str, agreements: Sequence[str], edge: Edge
) -> list[bytes]:
    """A new process where only the run's end had ended the old one; a party's word stands."""
    known = store.transfers_of_run(connection, run)
    anew = [id for id in agreements if id in known and known[id].code == RUN_ENDED]
    return on_run_opened(connection, run=run, consumer=consumer, agreements=anew, edge=edge)


def on_run_ended(connection: Connection, *, run: str, state: str, time: str) -> list[bytes]:
    """The end of every process of a run that ended as `state`."""
    entries: list[bytes] = []
    for row in store.transfers_of_run(connection, run).values():
        if row.state in TRANSFER.final:
            continue
        if state == "COMPLETED" and row.state == "STARTED":
            step = Step("COMPLETED", "provider", row.owner, "run-completed")
        else:
            reason = f"the run ended as {state}"
            step = Step("TERMINATED", "provider", row.owner, RUN_ENDED, reason)
        entries.append(step_entry(row, step, time=time))
    return entries


def on_withdrawn(connection: Connection, *, agreement: str, time: str) -> list[bytes]:
    """What the end of a consent does to the processes under it."""
    entries: list[bytes] = []
    for row in store.open_transfers_under(connection, agreement):
        after = {"STARTED": "SUSPENDED", "REQUESTED": "TERMINATED"}.get(row.state)
        if after is not None:
            reason = "the owner took its consent back"
            step = Step(after, "provider", row.owner, WITHDRAWN, reason)
            entries.append(step_entry(row, step, time=time))
    return entries


def with_held(
    connection: Connection, run: str, candidates: Sequence[Candidate]
) -> Sequence[Candidate]:
    """The candidates, with a reason against each whose transfer does not go on.

    Passed over: a consent that ended, which is a reason of its own, and what ended with the run
    before it was resumed.
    """
    rows = store.held_transfers(connection, run, states=HELD, passing_over=PASSED_OVER)
    if not rows:
        return candidates
    return [
        one
        if one.agreement is None or one.agreement.id not in rows
        else replace(one, facts=[*one.facts, _reason(rows[one.agreement.id])])
        for one in candidates
    ]


def _reason(row: TransferRow) -> Reason:
    return held_reason(id=row.id, by=row.by, state=row.state, entry=row.entry, reason=row.reason)
