"""Deciding a logged verdict once more, from nothing but the log's entries.

Its report must come out the same (`auditors.reports`), made with the laws that were in force, and
the verdict must be the one that follows from it in the company of those who were permitted
(`auditors.verdicts`). Works on the entries as they stand: call `auditors.verify.verify_folder`
first to know that nobody changed them; `auditors.wholelog` replays all decisions, and the values
that they rest on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditors.errors import AuditInputError, RuleViolated
from auditors.reports import evaluate_again
from auditors.snapshot import Snapshot
from auditors.verdicts import Round, faults
from policies.canonical import digest_of
from policies.entries import Entry, parse_entry
from policies.errors import PolicyError
from policies.evaluate import Report
from policies.law import Baseline, parse_baselines
from policies.odrl import Agreement, parse_agreement
from policies.privacy_facts import fewest_opened
from policies.results import Reason
from policies.statements import RunSpec

_UNREADABLE = (PolicyError, KeyError, TypeError, AttributeError, ValueError, AssertionError)
"""What a body in another form than governance writes may end in."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One enterprise's part in a logged decision.

    Attributes:
        entry: log index of `RoundDecided`.
        report: as evaluated again; None where the refusal fell before any policy was asked.
    """

    entry: int
    time: str
    run: str
    round: int
    kind: str
    attempt: int
    participant: str
    product: str
    permitted: bool
    reasons: tuple[Reason, ...]
    report: Report | None


@dataclass(slots=True)
class _Past:
    """What the log has said so far, as far as a decision rests on it."""

    agreements: dict[str, Agreement] = field(default_factory=dict)
    laws: tuple[Baseline, ...] = ()
    consumers: dict[str, str] = field(default_factory=dict)
    opened: dict[str, int | None] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        body: dict[str, Any] = entry.body
        if entry.type == "AgreementConcluded":
            agreement = parse_agreement(body["document"].encode())
            self.agreements[agreement.digest] = agreement
        elif entry.type == "BaselineAdopted":
            # The whole baseline: what it does not hold any more is not in force.
            self.laws = parse_baselines(one["document"].encode() for one in body["documents"])
        elif entry.type == "RunOpened":
            self.consumers[body["run"]] = body["consumer"]
            spec = RunSpec.from_json(body["spec"])
            self.opened[body["run"]] = fewest_opened(spec.secure_sum, spec.min_cohort)
        elif entry.type == "ProductRegistered":
            self.rows[body["product"]] = body["rows"]
        elif entry.type == "ReportsMade":
            # A decision follows at once on its reports; those of earlier ones are not needed.
            self.reports |= {digest_of(report): report for report in body["reports"]}


def replay_verdict(folder: Path, *, run: str, round_: int, participant: str) -> Verdict:
    """The newest decision on a participant's part in a round, evaluated again.

    Args:
        folder: the log's folder, or a copy.
        run: the run's id, or as much of its beginning as no other run shares.

    Raises:
        AuditInputError: no such run, round or participant in the log.
        RuleViolated: the log lacks what the decision rests on, or evaluating it again gives
            another report.
    """
    past = _Past()
    runs: set[str] = set()
    decided: tuple[int, Entry, _Past] | None = None
    for index, entry in _entries(folder):
        try:
            past.take(entry)
        except _UNREADABLE as error:
            raise RuleViolated(index, "entry-readable", f"{entry.type}: {error}") from error
        if entry.type != "RoundDecided":
            continue
        if str(entry.body.get("run", "")).startswith(run):
            runs.add(str(entry.body["run"]))
            if entry.body.get("round") == round_:
                decided = (index, entry, replace(past, rows=dict(past.rows)))
        past.reports = {}
    if len(runs) != 1:
        got = "none" if not runs else f"{len(runs)}: {', '.join(sorted(runs)[:3])}"
        raise AuditInputError(f"run {run!r:.80}: expected one run whose id begins so, got {got}")
    if decided is None:
        raise AuditInputError(f"{runs.pop()}: expected a decision on round {round_}, got none")
    index, entry, past = decided
    return _verdict(past, index, entry, participant)


def _verdict(past: _Past, index: int, entry: Entry, participant: str) -> Verdict:
    body: dict[str, Any] = entry.body
    try:
        verdicts = body["decision"]["verdicts"]
        names = [verdict["participant"] for verdict in verdicts]
        if participant not in names:
            known = ", ".join(sorted(names))
            raise AuditInputError(
                f"{participant!r:.80}: expected a participant that the round was decided for, "
                f"one of {known}"
            )
        found = verdicts[names.index(participant)]
        digest = found["report"]
        if digest is not None and digest not in past.reports:
            text = f"expected report {digest[:16]}… in an entry before the decision, got none"
            raise RuleViolated(index, "decision-replayed", text)
        report = None if digest is None else _replayed(past, past.reports[digest], index)
        for fault in faults(found, report, _round(past, body)):
            raise RuleViolated(index, "decision-replayed", f"{participant}: {fault}")
        return Verdict(
            entry=index,
            time=entry.time,
            run=body["run"],
            round=body["round"],
            kind=body["kind"],
            attempt=body["attempt"],
            participant=participant,
            product=found["product"],
            permitted=found["permitted"],
            reasons=tuple(Reason(one["code"], one["text"]) for one in found["reasons"]),
            report=report,
        )
    except _UNREADABLE as error:
        raise RuleViolated(index, "entry-readable", f"RoundDecided: {error}") from error


def _round(past: _Past, body: Mapping[str, Any]) -> Round:
    verdicts = body["decision"]["verdicts"]
    return Round(
        kind=body["kind"],
        consumer=past.consumers[body["run"]],
        permitted=[(one["participant"], one["product"]) for one in verdicts if one["permitted"]],
        rows=past.rows,
        least=body["decision"]["minCohort"],
        opened=past.opened[body["run"]],
    )


def _replayed(past: _Past, logged: Mapping[str, Any], index: int) -> Report:
    """A logged report evaluated again; RuleViolated unless it comes out the same."""
    found = evaluate_again(logged, past.agreements, past.laws)
    if isinstance(found, str):
        raise RuleViolated(index, "decision-replayed", found)
    return found


def _entries(folder: Path) -> Iterator[tuple[int, Entry]]:
    for index, line in Snapshot.take(folder).entries():
        try:
            yield index, parse_entry(line)
        except PolicyError as error:
            raise RuleViolated(index, "entry-readable", str(error)) from error
