"""A logged report, evaluated once more from the left values that it states.

The report names every left value with its source; the agreement and the laws it was made under
stand in the log too. Evaluating them again must give the same report, byte for byte. Whether the
left values themselves are what the log shows is another question (`auditors.rounds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.evaluate import Report, Request, Value, evaluate
from policies.law import Baseline
from policies.odrl import Agreement
from policies.operands import OPERANDS
from policies.values import value_from_json


def evaluate_again(
    logged: Mapping[str, Any], agreements: Mapping[str, Agreement], laws: tuple[Baseline, ...]
) -> Report | str:
    """The report that evaluating again gives, or what is wrong with the logged one.

    Args:
        agreements: those in earlier entries, by digest.
        laws: those in force, sorted by name.

    Raises:
        KeyError, TypeError, PolicyError: it is no report.
    """
    digest = logged["agreementDigest"]
    agreement = agreements.get(digest)
    if agreement is None:
        return f"expected agreement {digest[:16]}… in an entry before the decision, got none"
    if [law["policyDigest"] for law in logged["baseline"]] != [law.digest for law in laws]:
        return f"expected the {len(laws)} laws adopted before the decision, got others"
    report = evaluate(
        agreement,
        Request(logged["target"], logged["assignee"], logged["action"]),
        stated_values(logged),
        baseline=laws,
    )
    if report.to_json() != logged:
        return (
            f"expected the report that evaluating again gives, {report.digest[:16]}…, got another"
        )
    return report


def stated_values(logged: Mapping[str, Any]) -> dict[str, Value]:
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
