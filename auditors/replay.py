"""Deciding a logged verdict once more, from nothing but the log's entries.

The decision's report names every left value with its source; the agreement and the laws it was made
under stand in the log too. Evaluating them again must give the same report, byte for byte, made
with the laws that were in force, and the verdict must be the one that follows from it in the
company of those who were permitted (`auditors.verdicts`). Works on the entries as they stand: call
`auditors.verify.verify_folder` first to know that nobody changed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditors.errors import AuditInputError, RuleViolated
from auditors.snapshot import Snapshot
from auditors.verdicts import Round, faults
from ledger.folder import ENTRIES
from policies.canonical import digest_of
from policies.entries import Entry, parse_entry
from policies.errors import PolicyError
from policies.evaluate import Report, Request, Value, evaluate
from policies.law import Baseline, parse_baselines
from policies.odrl import Agreement, parse_agreement
from policies.operands import OPERANDS
from policies.results import Reason
from policies.values import value_from_json

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
    )


def _replayed(past: _Past, logged: Mapping[str, Any], index: int) -> Report:
    """A logged report evaluated again; RuleViolated unless it comes out the same."""
    digest = logged["agreementDigest"]
    agreement = past.agreements.get(digest)
    if agreement is None:
        text = f"expected agreement {digest[:16]}… in an entry before the decision, got none"
        raise RuleViolated(index, "decision-replayed", text)
    applied = [law["policyDigest"] for law in logged["baseline"]]
    if applied != [law.digest for law in past.laws]:
        text = f"expected the {len(past.laws)} laws adopted before the decision, got others"
        raise RuleViolated(index, "decision-replayed", text)
    report = evaluate(
        agreement,
        Request(logged["target"], logged["assignee"], logged["action"]),
        _state(logged),
        baseline=past.laws,
    )
    if report.to_json() != logged:
        text = (
            f"expected the report that evaluating again gives, {report.digest[:16]}…, got another"
        )
        raise RuleViolated(index, "decision-replayed", text)
    return report


def _state(logged: Mapping[str, Any]) -> dict[str, Value]:
    """The left values that a report was made with. Each constraint shows of a set of names those
    that it names itself."""
    state: dict[str, Value] = {}
    rules = [*logged["rules"], *(rule for law in logged["baseline"] for rule in law["rules"])]
    duties = [*logged["duties"], *(duty for rule in rules for duty in rule.get("duties", ()))]
    for duty in duties:
        if duty["source"] is not None:
            state[duty["action"]] = Value(duty["state"] or "", duty["source"])
    for holder in (*rules, *duties):
        for leaf in _leaves(holder["constraints"]):
            name, source = leaf["leftOperand"], leaf["source"]
            if source is not None:
                shown = leaf["leftValue"]
                # A value that could not be one was logged as null: put something as useless there.
                value = "" if shown is None else value_from_json(OPERANDS[name], shown)
                before = state.get(name)
                if isinstance(value, tuple) and before is not None:
                    value = tuple(sorted({*before.value, *value}))  # type: ignore[misc]
                state[name] = Value(value, source)
    return state


def _leaves(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if "parts" in part:
            yield from _leaves(part["parts"])
        else:
            yield part


def _entries(folder: Path) -> Iterator[tuple[int, Entry]]:
    for index, line in enumerate(Snapshot.take(folder).lines(ENTRIES)):
        try:
            yield index, parse_entry(line)
        except PolicyError as error:
            raise RuleViolated(index, "entry-readable", str(error)) from error
