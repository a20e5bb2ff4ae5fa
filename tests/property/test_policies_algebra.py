"""The algebra against brute force: evaluation of every request over a grid of left values.

The grid is chosen by hand so that it hits every cell between the right values that are drawn. It
does not come from the algebra, whose own choice of values is tested against random ones.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from policies.algebra_axes import NameAxis, OrderedAxis
from policies.algebra_search import Work
from policies.authoring import check, compare
from policies.canonical import MAX_SAFE_INTEGER
from policies.comparison import compare as compare_values
from policies.comparison import is_value
from policies.evaluate import (
    Effect,
    LogicResult,
    Outcome,
    Report,
    Request,
    RuleResult,
    State,
    Value,
    evaluate,
)
from policies.odrl import CONTEXT, PROFILE, Agreement, Constraint, Logic, parse_agreement
from policies.operands import COVERS, FULFILLED, OPERANDS, PURPOSES, VIOLATED, Kind, Operand, Right
from policies.results import Result
from policies.values import parse_right, value_from_json, value_to_json

SEEDS = range(8)
CASES = 120

DAY = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 6)]
# Operand -> right operands as JSON, and left values that hit every cell between them.
GRID: dict[str, tuple[list[Any], list[Right]]] = {
    "purpose": (
        ["medical-research", "drug-safety", "marketing", "genomics"],
        [
            *("medical-research", "drug-safety", "diagnosis-support", "marketing"),
            *("targeted-advertising", "risk-management", "genomics", "unlisted"),
        ],
    ),
    "spatial": (["CN", "CN-GD", "HK"], ["CN", "CN-GD", "CN-GD-1", "CN-SH", "HK", "HK-1", "SG"]),
    "executionEnvironment": (["process", "confined"], ["process", "confined", "isolated"]),
    "privacyUnit": (["record", "none"], ["none", "record", "subject"]),
    "secureAggregation": (["governance", "pairwise"], ["none", "governance", "pairwise"]),
    "classification": (["general", "core"], ["general", "important", "core"]),
    "recipient": (["a", "b"], ["a", "b", "c"]),
    "dateTime": (
        [
            {"@value": "2026-01-02T00:00:00Z", "@type": "xsd:dateTime"},
            {"@value": "2026-01-04T08:00:00+08:00", "@type": "xsd:dateTime"},
        ],
        list(DAY),
    ),
    "count": ([{"@value": n, "@type": "xsd:integer"} for n in "024"], [1, 2, 3, 4, 5]),
    "meteredTime": (
        [{"@value": n, "@type": "xsd:duration"} for n in ("PT0S", "PT1M")],
        [0, 1, 60, 61],
    ),
    "epsilon": (
        [{"@value": n, "@type": "xsd:decimal"} for n in ("0.5", "0.500000000000000001")],
        [Decimal(n) for n in ("0", "0.5", "0.500000000000000001", "1")],
    ),
    "togetherWith": (["p", "q"], [(), ("p",), ("q",), ("p", "q")]),
    "notTogetherWith": (["p", "q"], [(), ("p",), ("q",), ("p", "q")]),
}
COHORT = frozenset(term for term, row in OPERANDS.items() if row.cohort)


def leaf(chance: random.Random, terms: list[str]) -> dict[str, Any]:
    term = chance.choice(terms)
    operator = chance.choice(OPERANDS[term].operators)
    rights = GRID[term][0]
    right: Any = chance.choice(rights)
    if operator in ("isAnyOf", "isAllOf", "isNoneOf"):
        right = chance.sample(rights, chance.randint(1, 2))
    return {"leftOperand": term, "operator": operator, "rightOperand": right}


def part(chance: random.Random, terms: list[str], depth: int = 2) -> dict[str, Any]:
    if depth == 0 or chance.random() < 0.6:
        return leaf(chance, terms)
    single = [term for term in terms if term not in COHORT]
    operator = chance.choice(["and", "or", "or", "andSequence", *(["xone"] if single else [])])
    inside = single if operator == "xone" else terms
    return {operator: [part(chance, inside, depth - 1) for _ in range(chance.randint(1, 3))]}


def parts(chance: random.Random, terms: list[str], most: int = 3) -> list[dict[str, Any]]:
    return [part(chance, terms) for _ in range(chance.randint(0, most))] if terms else []


def duty(chance: random.Random, terms: list[str]) -> dict[str, Any]:
    if chance.random() < 0.4:
        return {"action": "report"}
    return {"action": "compensate", "constraint": parts(chance, terms, 1)}


def agreement(chance: random.Random, terms: list[str]) -> Agreement:
    single = [term for term in terms if term not in COHORT]
    permissions: list[dict[str, Any]] = [
        {"action": chance.choice(["use", "train"]), "constraint": parts(chance, terms)}
        for _ in range(chance.randint(1, 3))
    ]
    if chance.random() < 0.3:
        permissions[0]["duty"] = [duty(chance, single)]
    prohibitions = [
        {
            "action": chance.choice(["use", "train", "evaluate", "report"]),
            "constraint": [part(chance, single), *parts(chance, single, 2)] if single else [],
        }
        for _ in range(chance.randint(0, 2))
    ]
    document = {
        "@context": [CONTEXT],
        "@id": "urn:uuid:1",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": "t",
        "assigner": "owner",
        "assignee": "consortium",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": permissions,
        "prohibition": prohibitions,
        "obligation": [duty(chance, single)] if chance.random() < 0.15 else [],
    }
    return parse_agreement(json.dumps(document).encode())


def states(terms: list[str], duties: list[tuple[str, str]]) -> list[State]:
    """Every combination of values of the grid, of their absence, and of duties that matter."""
    lines: list[list[tuple[str, Right | None]]] = [
        [(term, None), *((term, value) for value in GRID[term][1])] for term in terms
    ]
    lines += [[(action, None), (action, state)] for action, state in duties]
    found = []
    for point in itertools.product(*lines):
        state = {term: Value(value, "grid") for term, value in point if value is not None}
        sure, possible = state.get("togetherWith"), state.get("notTogetherWith")
        if sure and possible and not set(sure.value) <= set(possible.value):  # type: ignore[arg-type]
            continue  # who certainly takes part can also not be ruled out
        found.append(state)
    return found


@dataclass
class Brute:
    """All reports of one agreement over a grid."""

    agreement: Agreement
    reports: list[tuple[str, Report]]

    @classmethod
    def over(cls, agreement: Agreement, grid: list[State], asked: list[str]) -> Brute:
        requests = [Request("t", "consortium", action) for action in asked]
        return cls(
            agreement, [(r.action, evaluate(agreement, r, s)) for r in requests for s in grid]
        )

    @property
    def permits(self) -> list[bool]:
        return [report.effect is Effect.PERMIT for _, report in self.reports]

    def actions(self) -> set[str]:
        return {
            a for a in COVERS for rule in self.agreement.permissions if a in COVERS[rule.action]
        }


def prohibited(report: Report) -> bool:
    return any(
        result.rule.kind == "prohibition" and result.outcome is Outcome.SATISFIED
        for result in report.rules
    )


def owes(report: Report, action: str) -> bool:
    """Whether a permit comes with this duty: of a permission that holds, or beside all of them."""
    duties = list(report.agreement.obligations)
    for result in report.rules:
        if result.rule.kind == "permission" and result.outcome is Outcome.SATISFIED:
            duties += result.rule.duties
    return report.effect is Effect.PERMIT and any(one.action == action for one in duties)


def clashes(owing: Brute, other: Brute, grid: list[State]) -> bool:
    for action in ("report", "compensate"):
        request = Request("t", "consortium", action)
        hits = [prohibited(evaluate(other.agreement, request, state)) for state in grid]
        if any(
            owes(report, action) and hits[index % len(grid)]
            for index, (_, report) in enumerate(owing.reports)
        ):
            return True
    return False


def contradict(one: Brute, other: Brute) -> bool:
    return any(
        x.effect is Effect.PERMIT and prohibited(y)
        for (_, x), (_, y) in zip(one.reports, other.reports, strict=True)
    )


def expected_verdict(a: Brute, b: Brute, grid: list[State]) -> tuple[str, str]:
    if contradict(a, b) or contradict(b, a):
        return "conflict", "permitted-and-prohibited"
    shared = a.actions() & b.actions()
    common = any(x and y for x, y in zip(a.permits, b.permits, strict=True))
    if shared and not common:
        for brute in (a, b):
            if not any(
                action in shared and report.effect is Effect.PERMIT
                for action, report in brute.reports
            ):
                return "conflict", "permits-nothing"
        return "conflict", "nothing-in-common"
    if clashes(a, b, grid) or clashes(b, a, grid):
        return "conflict", "duty-prohibited"
    return "compatible", "common-request" if common else "no-common-action"


def drawn(chance: random.Random, policies: int) -> tuple[list[Brute], list[State]]:
    """Agreements over two operands, with every request and state that could make a difference."""
    terms = chance.sample(sorted(GRID), 2)
    agreements = [agreement(chance, terms) for _ in range(policies)]
    text = json.dumps([one.to_json() for one in agreements])
    matter = {"compensate": FULFILLED, "report": VIOLATED}
    grid = states(terms, [duty for duty in matter.items() if f'"{duty[0]}"' in text])
    asked = ["train", "infer", *(one for one in ("evaluate", "report") if f'"{one}"' in text)]
    return [Brute.over(one, grid, asked) for one in agreements], grid


def test_the_drawn_policies_are_of_every_kind() -> None:
    """The draws below are worth something: every verdict and every finding occurs among them."""
    kinds: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for seed in range(600):
        chance = random.Random(seed)
        terms = chance.sample(sorted(GRID), 2)
        a, b = agreement(chance, terms), agreement(chance, terms)
        kinds[compare(a, b).kind] += 1
        codes.update(finding.code for finding in check(a))
    assert {"permitted-and-prohibited", "permits-nothing", "nothing-in-common"} <= set(kinds)
    assert {"duty-prohibited", "common-request", "unlisted-purpose"} <= set(kinds)
    assert {"never-met", "forbidden", "redundant", "never-applies", "no-effect"} <= set(codes)
    assert {"permits-nothing", "idle-alternative", "unlisted-purpose"} <= set(codes)
    assert "undecided" not in codes


@pytest.mark.parametrize("seed", SEEDS)
def test_comparisons_agree_with_brute_force(seed: int) -> None:
    for case in range(CASES):
        chance = random.Random(seed * CASES + case)
        (a, b), grid = drawn(chance, 2)
        got = compare(a.agreement, b.agreement)
        pairs = list(zip(a.permits, b.permits, strict=True))
        inside = all(y for x, y in pairs if x), all(x for x, y in pairs if y)
        assert (got.a_within_b, got.b_within_a) == inside, (seed, case)
        expected = expected_verdict(a, b, grid)
        if (got.verdict, got.kind) == expected:
            continue
        # What hangs on a purpose that the table lacks is left open, or a later kind decides.
        assert "genomics" in json.dumps([a.agreement.to_json(), b.agreement.to_json()])
        if got.verdict == "unknown":
            assert got.kind == "unlisted-purpose", (seed, case)
        else:
            assert (got.kind, expected[0]) == ("duty-prohibited", "conflict"), (seed, case)
            assert clashes(a, b, grid) or clashes(b, a, grid)


@pytest.mark.parametrize("seed", SEEDS)
def test_findings_agree_with_brute_force(seed: int) -> None:
    for case in range(CASES):
        chance = random.Random(seed * CASES + case)
        (brute,), _ = drawn(chance, 1)
        got: dict[str, set[str]] = {}
        for finding in check(brute.agreement):
            got.setdefault(finding.code, set()).add(finding.path)
        got.pop("unlisted-purpose", None)
        got.pop("duty-prohibited", None)
        redundant = got.pop("redundant", set())
        assert got == expected_findings(brute), (seed, case)
        check_redundant(brute, redundant, got)


def rule_results(report: Report, kind: str) -> list[RuleResult]:
    return [result for result in report.rules if result.rule.kind == kind]


def granted(report: Report, result: RuleResult) -> bool:
    """Whether a permission holds, with everything that its agreement obliges to before."""
    owed = any(one.outcome not in (None, Outcome.SATISFIED) for one in report.duties)
    return result.outcome is Outcome.SATISFIED and not owed


def bars(result: RuleResult) -> bool:
    return result.matches and result.outcome is not Outcome.UNSATISFIED


def expected_findings(brute: Brute) -> dict[str, set[str]]:
    reports = [report for _, report in brute.reports]
    found: dict[str, set[str]] = {}
    if not any(brute.permits):
        found.setdefault("permits-nothing", set()).add("$")
    for index, rule in enumerate(brute.agreement.permissions):
        holding = [r for r in reports if granted(r, rule_results(r, "permission")[index])]
        path = f"$.permission[{index}]"
        if not holding:
            found.setdefault("never-met", set()).add(path)
        elif all(any(map(bars, rule_results(r, "prohibition"))) for r in holding):
            found.setdefault("forbidden", set()).add(path)
        else:
            held = {
                path
                for report in holding
                for path in satisfied(rule_results(report, "permission")[index].constraints)
            }
            for idle in alternatives(rule.constraints):
                if idle not in held:
                    found.setdefault("idle-alternative", set()).add(idle)
    for index in range(len(brute.agreement.prohibitions)):
        path = f"$.prohibition[{index}]"
        results = [(r, rule_results(r, "prohibition")) for r in reports]
        if all(some[index].outcome is not Outcome.SATISFIED for _, some in results):
            found.setdefault("never-applies", set()).add(path)
        elif not any(
            bars(some[index])
            and not any(bars(one) for one in some if one is not some[index])
            and any(granted(report, one) for one in rule_results(report, "permission"))
            for report, some in results
        ):
            found.setdefault("no-effect", set()).add(path)
    return found


def satisfied(results: tuple[Result, ...]) -> Iterator[str]:
    for result in results:
        if result.outcome is Outcome.SATISFIED:
            yield result.constraint.path
        if isinstance(result, LogicResult):
            yield from satisfied(result.parts)


def alternatives(parts: tuple[Constraint | Logic, ...]) -> Iterator[str]:
    for one in parts:
        if isinstance(one, Logic) and one.operator != "xone":
            if one.operator == "or":
                yield from (inner.path for inner in one.parts)
            yield from alternatives(one.parts)


def check_redundant(brute: Brute, redundant: set[str], got: dict[str, set[str]]) -> None:
    """Without what is called redundant as much is permitted, and without any more, less is."""
    idle = redundant | got.get("never-met", set()) | got.get("forbidden", set())
    rules = brute.agreement.permissions
    kept = [index for index in range(len(rules)) if f"$.permission[{index}]" not in idle]

    def permitted_by(indices: list[int]) -> list[bool]:
        return [
            any(granted(report, rule_results(report, "permission")[index]) for index in indices)
            and not any(map(bars, rule_results(report, "prohibition")))
            for _, report in brute.reports
        ]

    assert permitted_by(kept) == brute.permits
    for index in kept:
        if not any(not duty.is_pre for duty in rules[index].duties):
            assert permitted_by([one for one in kept if one != index]) != brute.permits


def random_right(chance: random.Random, row: Operand, operator: str) -> Right:
    """A right operand of any row, as intake would read it."""
    number = chance.choice([0, 1, 2, 3, 10, 10**15])

    def one() -> Any:
        if row.kind is Kind.INTEGER:
            return {"@value": str(number), "@type": "xsd:integer"}
        if row.kind is Kind.DURATION:
            return {"@value": f"PT{min(number, 9**9)}S", "@type": "xsd:duration"}
        if row.kind is Kind.DECIMAL:
            tail = chance.choice(["", ".5", ".000000000000000001", ".000000000000000002"])
            whole = number if row.most is None else chance.choice([number % 2, 0])
            text = f"{whole}{tail}"
            fits = row.most is None or 0 < Decimal(text) <= row.most
            return {"@value": text if fits else "0.25", "@type": "xsd:decimal"}
        if row.kind is Kind.INSTANT:
            year = chance.choice(["0001-01-01", "2026-01-01", "2026-01-02", "9999-12-31"])
            clock = chance.choice(["00:00:00Z", "00:00:00.001Z", "23:59:59.999Z"])
            return {"@value": f"{year}T{clock}", "@type": "xsd:dateTime"}
        return chance.choice(names_of(row))

    if operator not in ("isAnyOf", "isNoneOf"):
        return parse_right(row, operator, one(), "$")
    return parse_right(row, operator, chance.sample(names_of(row), 2), "$")


def names_of(row: Operand) -> list[str]:
    if row.term in GRID:
        return sorted({str(value) for value in (*GRID[row.term][0], *GRID[row.term][1])})
    if row.pattern is None:
        return ["a", "b", "none", "数据"]
    words = row.pattern.pattern.split("|")
    return words if words[1:] else ["a" * 64, "0" * 64, "b" * 64]


def random_left(chance: random.Random, row: Operand) -> Right:
    """A left value of any row, near the right values or anywhere."""
    if row.kind is Kind.INSTANT:
        return chance.choice(DAY) + timedelta(
            days=chance.choice([-700_000, -1, 0, 0, 1, 2_000_000]),
            milliseconds=chance.choice([-1, 0, 0, 1]),
        )
    number = chance.choice([0, 1, 2, 3, 4, 9, 10, 11, 10**15, 10**15 + 1, MAX_SAFE_INTEGER])
    if row.kind is Kind.DECIMAL:
        return number + Decimal(chance.randrange(4)) / 10**18
    return chance.choice([*names_of(row), "SG-1", "zz"]) if row.kind is Kind.NAME else number


def outcomes(row: Operand, rights: list[tuple[str, Right]], left: object) -> tuple[Outcome, ...]:
    return tuple(compare_values(row, operator, left, right) for operator, right in rights)


SINGLE = [row for row in OPERANDS.values() if row.kind is not Kind.NAMES]


@pytest.mark.parametrize("row", SINGLE, ids=lambda row: row.term)
def test_an_axis_compares_as_evaluation_does_and_lacks_no_cell(row: Operand) -> None:
    chance = random.Random(row.term)
    for _ in range(60):
        rights = [
            (operator, random_right(chance, row, operator))
            for operator in chance.choices(row.operators, k=3)
        ]
        names = [n for _, r in rights for n in (r if isinstance(r, tuple) else (str(r),))]
        axis: NameAxis | OrderedAxis = (
            NameAxis(row, names, PURPOSES, Work())
            if row.kind is Kind.NAME
            else OrderedAxis(row, [right for _, right in rights])
        )

        masks = [axis.masks(operator, right) for operator, right in rights]
        seen = set()
        for bit, value in enumerate(axis.values):
            if not axis.full >> bit & 1:
                continue
            here = outcomes(row, rights, value)
            seen.add(here)
            for outcome, (yes, no) in zip(here, masks, strict=True):
                assert yes >> bit & 1 == (outcome is Outcome.SATISFIED)
                assert no >> bit & 1 == (outcome is Outcome.UNSATISFIED)
        for _ in range(40):
            left = random_left(chance, row)
            assert outcomes(row, rights, left) in seen, (rights, left)


@pytest.mark.parametrize("row", SINGLE, ids=lambda row: row.term)
def test_what_stands_for_a_value_is_a_value(row: Operand) -> None:
    chance = random.Random(row.term)
    rights = [random_right(chance, row, row.operators[0]) for _ in range(4)]
    axis = (
        NameAxis(row, map(str, rights), PURPOSES, Work())
        if row.kind is Kind.NAME
        else OrderedAxis(row, rights)
    )
    values = [v for bit, v in enumerate(axis.values) if axis.known >> bit & 1]
    assert values
    assert all(is_value(row, value) for value in values)
    assert len(set(values)) == len(values)
    assert all(value_from_json(row, value_to_json(row, v)) == v for v in values)
