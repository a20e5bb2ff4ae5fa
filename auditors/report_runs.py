"""How each run went, in figures, and which of its permits came to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auditors.useloss import use_loss
from policies.entries import Entry


@dataclass(slots=True, kw_only=True)
class RunFacts:
    """One run.

    Attributes:
        epsilon: of one use by itself, at `delta` and with `noise`; "" where nothing bounds it.
        pays: of one use, as the run states it.
        state: `OPEN` until it ended; then as its end says, with governance's reason.
        said: commitment to the words of who ended it.
        decisions: rounds decided, attempts counted; `nobody` those that permitted no one.
        closed, no_quorum, abandoned: permits by what became of them.
        receipts, refused: replies that were accepted, and those that were not.
        metrics: figures of the newest close that has some.
        model: digest after the newest close; "" before it.
        classification: of what the run derived, by its newest close.
    """

    run: str
    consumer: str
    purpose: str
    app: str
    agreements: int
    rounds: int
    epsilon: str
    delta: str
    noise: str
    pays: str
    voucher: str
    min_cohort: int
    entry: int
    time: str
    state: str = "OPEN"
    reason: str = ""
    said: str = ""
    ended: str = ""
    ended_entry: int | None = None
    decisions: int = 0
    nobody: int = 0
    permits: int = 0
    closed: int = 0
    no_quorum: int = 0
    abandoned: int = 0
    receipts: int = 0
    refused: int = 0
    model: str = ""
    metrics: dict[str, str] = field(default_factory=dict)
    classification: str = ""
    last_close: int | None = None


class RunBook:
    """Takes entries in, in the log's order; memory grows with the runs."""

    def __init__(self) -> None:
        self.runs: dict[str, RunFacts] = {}

    def take(self, index: int, entry: Entry) -> None:
        """One entry; those of no run change nothing.

        Raises:
            lines.MALFORMED: a body in another form than governance writes.
        """
        body: Mapping[str, Any] = entry.body
        if entry.type == "RunOpened":
            self.runs[body["run"]] = _opened(index, entry.time, body)
            return
        run = self.runs.get(str(body.get("run")))
        if run is None:
            return
        if entry.type == "RoundDecided":
            run.decisions += 1
            run.nobody += not any(one["permitted"] for one in body["decision"]["verdicts"])
        elif entry.type == "PermitIssued":
            run.permits += 1
        elif entry.type == "ReceiptAccepted":
            run.receipts += 1
        elif entry.type == "ReceiptRefused":
            run.refused += 1
        elif entry.type == "RoundAbandoned":
            run.abandoned += 1
        elif entry.type == "RoundClosed":
            run.closed += 1
            run.no_quorum += body["quorum_met"] is not True
            run.model, run.last_close = body["model"], index
            run.metrics = dict(body["metrics"]) or run.metrics
            run.classification = body["derived"]["classification"]
        elif entry.type == "RunEnded":
            run.state, run.reason = body["state"], str(body.get("reason", ""))
            run.said = body.get("said") or ""
            run.ended, run.ended_entry = entry.time, index
        elif entry.type == "RunResumed":
            run.state, run.reason, run.said = "OPEN", "", ""
            run.ended, run.ended_entry = "", None


def _opened(index: int, time: str, body: Mapping[str, Any]) -> RunFacts:
    spec = body["spec"]
    return RunFacts(
        run=body["run"],
        consumer=body["consumer"],
        purpose=spec["purpose"],
        app=spec["app"],
        agreements=len(spec["agreements"]),
        rounds=spec["rounds"],
        epsilon=use_loss(spec["privacy"]),
        delta=spec["privacy"]["delta"] if spec["privacy"] is not None else "",
        noise=spec["privacy"]["noise"] if spec["privacy"] is not None else "",
        pays=spec["pays"],
        voucher=spec["voucher"],
        min_cohort=spec["min_cohort"],
        entry=index,
        time=time,
    )
