"""Whether a logged decision is the one that the log's earlier entries lead to (steps 2 and 3).

    round-next          it is the run's next round, at its next attempt, with no permit left open
    model-chain         it is about the model of the last closed round
    baseline-in-force   it names the laws that were adopted last
    report-named        the reports before it are those that its verdicts name
    report-replayed     evaluating a report again, from the values that it states, gives the same
    agreement-in-force  a report is about the agreement that was concluded
    left-value          the values that a report states are those that the log shows
    alarm-follows       an alarm of a second engine is about a report of this decision
    decision-follows    the cohort is the greatest fixed point over all of this

Where a report is as expected, nothing of it needs a second look: it was evaluated anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from auditors.pending import Pending
from auditors.reading import Read
from auditors.register import Register
from auditors.reports import evaluate_again, stated_values
from auditors.runs import Run, Runs
from auditors.spending import Spending
from policies.account import Voucher
from policies.canonical import canonical_bytes, digest_of, sha256_hex
from policies.claim import Claim, Recipient
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.cover import decide_covered
from policies.entries import Entry
from policies.evaluate import Reason, Request, Value
from policies.fields import parse_instant
from policies.left_values import decision_time, passing_values, room_of, standing_values
from policies.memory import Memory
from policies.operands import OPERANDS
from policies.privacy_facts import fewest_opened
from policies.refusals import app_reasons, claim_reasons, disagreement_reason
from policies.values import value_to_json

Fault = tuple[str, str]
Body = Mapping[str, Any]
Place = tuple[str, str]


_Standing = tuple[Claim, Recipient | None, bool, dict[str, Value]]
_MAX_STANDING: Final = 20_000


@dataclass(frozen=True, slots=True)
class Known:
    """What the log has said before a decision.

    Attributes:
        memory: of what policies said of the same values before.
        standing: by agreement, run and kind, what left values were made of, and those of them that
            stay while that does.
    """

    register: Register
    runs: Runs
    spending: Spending
    memory: Memory = field(default_factory=Memory)
    standing: dict[tuple[str, str, str], _Standing] = field(default_factory=dict)


def check_turn(known: Known, run: Run, body: Body) -> Iterator[Fault]:
    """Whether it was this round's turn, on this model."""
    kind, number = run.next_round
    if (body["kind"], body["round"]) != (kind, number) or run.state != "OPEN" or run.evaluated:
        text = f"{run.id} is {run.state}: expected {kind} round {number} to be decided next"
        yield "round-next", f"{text}, got {body['kind']} round {body['round']}"
    attempt = run.attempt(body["kind"], body["round"])
    if body["attempt"] != attempt:
        yield "round-next", f"{run.id}: expected attempt {attempt}, got {body['attempt']}"
    if run.permit is not None:
        text = f"expected {run.permit.body.id} closed or abandoned before the next decision"
        yield "round-next", f"{run.id}: {text}"
    if run.model and body["model"] != run.model:
        text = f"expected the model of entry {run.last_close}, {run.model[:16]}…"
        yield "model-chain", f"{run.id}: {text}, got {body['model'][:16]}…"
    if body["baseline"] != known.register.laws_digest:
        text = f"expected the laws adopted last, {known.register.laws_digest[:16]}…"
        yield "baseline-in-force", f"{text}, got {body['baseline'][:16]}…"


def check_decision(
    known: Known, run: Run, read: Read, pending: Pending, alarms: Sequence[Body]
) -> Iterator[Fault]:
    """Every fault of `RoundDecided`; nothing that it did is applied to `known`.

    Args:
        pending: the `ReportsMade` entries before it.
        alarms: the bodies of the `EnginesDisagreed` entries before it.

    Raises:
        KeyError, TypeError, ValueError, PolicyError: entries in another form than governance
            writes.
    """
    body: Body = read.body
    unexplained = {(one["participant"], one["product"]): one for one in alarms}
    decision = _decide(known, run, read.entry, unexplained)
    for participant, product in unexplained:
        text = "expected an alarm about a report of this decision"
        yield "alarm-follows", f"{participant}, {product}: {text}"
    expected = decision.to_json()
    same = read.decides(canonical_bytes(expected))
    documents = [one.document for one in decision.verdicts if one.document is not None]
    named = False
    if not same or not pending.are(documents, read.entry):
        reports, others = pending.read(read.entry)
        for index in others:
            text = f"expected the run, round, attempt and time of the decision in entry {index}"
            yield "report-named", f"{text}, got others"
        for fault in _reports(known, decision, body, reports):
            named = True
            yield fault
    if body["digest"] != read.decision_digest:
        text = f"expected its digest {read.decision_digest[:16]}…, got another"
        yield "decision-follows", text
    if not same:
        yield from _differences(expected, body["decision"], quiet=named)


def _decide(known: Known, run: Run, entry: Entry, alarms: dict[Place, Body]) -> RoundDecision:
    """The decision that the log leads to; takes from `alarms` those that came up in it."""
    spec, register = run.spec, known.register
    voucher = known.spending.voucher(spec.voucher, run.consumer) if spec.pays != "0" else None
    candidates = _candidates(known, run, entry, voucher)
    decide = partial(
        decide_round,
        min_cohort=spec.min_cohort,
        opened=fewest_opened(spec.secure_sum, spec.min_cohort),
        baseline=register.laws,
        evaluate=known.memory.evaluate,
    )
    standing = {(one.participant, one.product): one for one in candidates}
    found: dict[Place, Reason] = {}
    while True:
        decision = decide_covered(
            list(standing.values()), decide, pays=Decimal(spec.pays), voucher=voucher
        )
        barred = {}
        for verdict in decision.verdicts:
            place = verdict.participant, verdict.product
            if verdict.document is None:
                continue
            if place in alarms:
                ours, engine, theirs = _said(alarms[place])
                if ours["digest"] == sha256_hex(verdict.document):
                    found[place] = disagreement_reason(ours["effect"], engine, theirs["effect"])
                    del alarms[place]
            if verdict.permitted and place in found:
                barred[place] = found[place]
        if not barred:
            return decision
        for place, reason in barred.items():
            facts = (*standing[place].facts, reason)
            standing[place] = replace(standing[place], facts=facts)


def _said(alarm: Body) -> tuple[Body, str, Body]:
    """What our evaluator said, the other engine, and what that one said."""
    said = dict(alarm["decisions"])
    ours = said.pop("tdspace")
    ((engine, theirs),) = said.items()
    return ours, engine, theirs


def _candidates(
    known: Known, run: Run, entry: Entry, voucher: Voucher | None
) -> Iterator[Candidate]:
    body: Body = entry.body
    spec, register = run.spec, known.register
    now = decision_time(parse_instant(entry.time), known.runs.last_decided)
    app_facts = app_reasons(register.apps.get(spec.app), spec.app, spec.purpose, now)
    held = known.runs.held(run)
    for id in spec.agreements:
        claim, concluded = register.claim(id), register.agreement(id)
        facts = claim_reasons(claim, app_facts, claim.participant in body["nodes"], now)
        if concluded.agreement.id in held:
            facts.append(held[concluded.agreement.id])
        given = register.given(claim.product).losses
        yield Candidate(
            participant=claim.participant,
            product=claim.product,
            agreement=concluded.agreement,
            facts=facts,
            state=_standing(known, run, id, claim, body["kind"], voucher)
            | passing_values(concluded.account, given, spec, now),
            request=Request(target=claim.product, assignee=run.consumer, action=body["kind"]),
            rows=claim.rows,
            room=room_of(given, spec.privacy),
        )


def _standing(
    known: Known, run: Run, id: str, claim: Claim, kind: str, voucher: Voucher | None
) -> dict[str, Value]:
    """The left values that stay as they were in the run's round before, if all they are made of
    does."""
    register, place = known.register, (id, run.id, kind)
    recipient = register.people.get(run.consumer)
    free = voucher is None
    last = known.standing.get(place)
    if last is not None and last[0] is claim and last[1] is recipient and last[2] == free:
        return last[3]
    if len(known.standing) >= _MAX_STANDING:
        known.standing.clear()
    agreement = register.agreement(id).agreement
    found = standing_values(
        claim, agreement, run.spec, run.entry, run.consumer, kind, recipient, voucher
    )
    known.standing[place] = claim, recipient, free, found
    return found


def _reports(
    known: Known, decision: RoundDecision, body: Body, reports: Sequence[Body]
) -> Iterator[Fault]:
    """What is wrong with the reports themselves; those that are as expected need no second look."""
    logged = {digest_of(report): report for report in reports}
    verdicts = {(one["participant"], one["product"]): one for one in body["decision"]["verdicts"]}
    named = {one["report"]: place for place, one in verdicts.items() if one["report"] is not None}
    for digest in logged.keys() - named.keys():
        yield "report-named", f"expected a report that a verdict names, got {digest[:16]}…"
    for digest, (participant, _) in named.items():
        if digest not in logged:
            text = f"expected report {digest[:16]}… in an entry before the decision, got none"
            yield "report-named", f"{participant}: {text}"
    for one in decision.verdicts:
        verdict = verdicts.get((one.participant, one.product))
        report = logged.get(verdict["report"]) if verdict is not None else None
        if report is None:
            continue
        expected = one.report.to_json() if one.report is not None else None
        if report == expected:
            continue
        if expected is None or _laws(report) == _laws(expected):
            again = evaluate_again(report, known.register.by_digest, known.register.laws)
            if isinstance(again, str):
                yield "report-replayed", f"{one.participant}: {again}"
        if expected is not None:
            for rule, text in _stated(expected, report):
                yield rule, f"{one.participant}: {text}"


def _stated(expected: Body, logged: Body) -> Iterator[Fault]:
    """In what two reports rest on different things."""
    alike = True  # the same constraints, so that the one states a value where the other does
    for key in ("agreement", "agreementDigest", "target", "assignee", "action"):
        if expected[key] != logged[key]:
            alike = False
            text = f"{key}: expected {expected[key]}, the report says {logged[key]}"
            yield "agreement-in-force", text
    if _laws(expected) != _laws(logged):
        alike = False
        yield "baseline-in-force", "expected a report under the laws adopted last, got others"
    shown, said = stated_values(expected), stated_values(logged)
    for name in sorted(shown.keys() | said.keys() if alike else shown.keys() & said.keys()):
        operand = OPERANDS.get(name)
        if operand is not None and operand.cohort:
            continue  # who takes part is decided below
        left, right = _text(name, shown.get(name)), _text(name, said.get(name))
        if left != right:
            yield "left-value", f"{name}: the log shows {left}, the report says {right}"


def _laws(report: Body) -> list[str]:
    return [law["policyDigest"] for law in report["baseline"]]


def _text(name: str, value: Value | None) -> str:
    if value is None:
        return "nothing"
    operand = OPERANDS.get(name)
    shown = value.value if operand is None else value_to_json(operand, value.value)
    return f"{shown} ({value.source})"


def _differences(expected: Body, logged: Body, *, quiet: bool) -> Iterator[Fault]:
    """In what two decisions differ.

    Args:
        quiet: something was named already, which may be why reasons and reports differ; who is
            permitted is told in any case.
    """
    rule = "decision-follows"
    if logged["minCohort"] != expected["minCohort"]:
        yield rule, f"minCohort: expected {expected['minCohort']}, got {logged['minCohort']}"
    ours, theirs = (
        {(v["participant"], v["product"]): v for v in one["verdicts"]} for one in (expected, logged)
    )
    told = quiet
    for place in sorted(ours.keys() | theirs.keys()):
        mine, other = _verdict_text(ours.get(place)), _verdict_text(theirs.get(place))
        if mine != other and (not quiet or mine.split(" ")[0] != other.split(" ")[0]):
            told = True
            yield rule, f"{place[0]}, {place[1]}: the log leads to {mine}, decided was {other}"
    for place in sorted(ours.keys() & theirs.keys()):
        if not told and ours[place] != theirs[place]:
            told = True
            yield rule, f"{place[0]}: expected the reasons and the report that the log leads to"
    if not told:
        yield rule, "expected verdicts once each, sorted by participant"


def _verdict_text(verdict: Body | None) -> str:
    if verdict is None:
        return "no verdict"
    codes = ", ".join(dict.fromkeys(reason["code"] for reason in verdict["reasons"]))
    return f"{'permitted' if verdict['permitted'] else 'refused'} ({codes})"
