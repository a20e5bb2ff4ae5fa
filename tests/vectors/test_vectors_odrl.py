"""The 68 evaluation cases of the ODRL test suite, decided by our evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from odrl_cases import FOLDER, Case, case_files, read_case
from vectors_folder import needs

from policies.evaluate import Effect, Outcome, Report, Request, evaluate
from policies.results import LogicResult, Result
from server.second_key import CedarKey

pytestmark = needs(FOLDER)
FILES = case_files()


def outcomes(parts: tuple[Result, ...]) -> Iterator[tuple[str, Outcome]]:
    for part in parts:
        yield part.constraint.path, part.outcome
        if isinstance(part, LogicResult):
            yield from outcomes(part.parts)


def constraints_of(report: Report) -> dict[str, bool]:
    found = dict(pair for result in report.rules for pair in outcomes(result.constraints))
    assert Outcome.UNKNOWN not in found.values()
    return {path: outcome is Outcome.SATISFIED for path, outcome in found.items()}


def concerned(case: Case) -> Request:
    """A request that the rule speaks about; the suite reports constraints for others too."""
    rule = (*case.agreement.permissions, *case.agreement.prohibitions)[0]
    action = "train" if rule.action == "use" else rule.action
    return replace(
        case.request,
        target=case.agreement.target,
        assignee=case.agreement.assignee,
        action=action,
    )


def test_the_suite_is_all_there() -> None:
    assert len(FILES) == 68


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_of_the_suite_agrees(path: Path) -> None:
    case = read_case(path)
    expected = case.expected
    report = evaluate(case.agreement, case.request, case.state)

    # The rule: its kind, whether it speaks about this request, and whether it is active.
    assert {result.rule.kind for result in report.rules} == {expected.kind}
    matching = [result for result in report.rules if result.matches]
    assert bool(matching) == all(expected.premises.values())
    active = any(result.outcome is Outcome.SATISFIED for result in matching)
    assert active == expected.active

    # The decision: closed by default, and a prohibition prevails.
    permitted = expected.active and expected.kind == "permission"
    assert (report.effect is Effect.PERMIT) == permitted

    # A second engine, which reads the agreement as Cedar, says so too.
    other = CedarKey().decide(report, case.state)
    assert (other.effect, other.errors) == (report.effect, ())

    # Why not: the first premise that fails is the reason that we give.
    codes = [reason.code for reason in report.reasons()]
    if not expected.premises.get("target", True):
        assert codes == ["wrong-target"]
    elif not expected.premises.get("party", True):
        assert codes == ["wrong-assignee"]
    elif not expected.premises.get("action", True):
        assert codes == ["no-permission"]

    # Every constraint, one by one.
    seen = constraints_of(evaluate(case.agreement, concerned(case), case.state))
    assert expected.constraints.items() <= seen.items()
    assert bool(seen) == bool(expected.constraints)
