"""`tds policy decide`: try a policy before signing it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from commands.errors import BadInput, Exit
from commands.output import JsonFlag, print_json, say
from commands.policyfile import read_policy
from commands.reading import read_bounded
from commands.telling import LanguageOption, parse_language, say_explanation
from policies.asking import MAX_REQUEST_BYTES, agreement_for, parse_asking
from policies.baseline import Baseline, parse_baselines
from policies.evaluate import Effect, evaluate
from policies.explain import explain_report
from policies.phrases import Language

_VERDICTS: Mapping[Language, tuple[str, str]] = MappingProxyType(
    {"en": ("refused", "permitted"), "zh": ("未获准", "获准")}
)


def decide(
    policy: Annotated[Path, typer.Option(help="An ODRL Agreement or Offer as JSON.")],
    request: Annotated[
        Path, typer.Option(help="The request as JSON, - for standard input (see the example).")
    ],
    baseline: Annotated[
        Path | None, typer.Option(help="A folder with the space's laws (*.jsonld), to apply too.")
    ] = None,
    language: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Decide one request under a policy, with every reason; ends with 1 when it is refused.

    The request: {"assignee": "consortium", "action": "train", "target": "clinic/ecg",
    "at": "2026-06-01T08:00:00Z", "context": {"purpose": "diagnosis-support", "count": 3}}

    What the context leaves out is not known, and what is not known never permits.

    Example: tds policy decide --policy agreement.json --request request.json
    """
    words = parse_language(language)
    asking = parse_asking(_request(request))
    parsed = read_policy(policy)
    report = evaluate(
        agreement_for(parsed, asking),
        asking.request,
        asking.state,
        baseline=read_baseline(baseline) if baseline else (),
    )
    permitted = report.effect is Effect.PERMIT
    if as_json:
        print_json(
            {
                "decision": report.effect.value,
                "reasons": [reason.to_json() for reason in report.reasons()],
                "report": report.to_json(),
                "digest": report.digest,
            }
        )
    else:
        told = explain_report(asking.request.assignee, report, words)
        say(_VERDICTS[words][permitted])
        say_explanation(told, words)
    if not permitted:
        raise typer.Exit(Exit.FAILED)


def read_baseline(folder: Path) -> tuple[Baseline, ...]:
    """The laws in a folder.

    Raises:
        BadInput: no such folder, or no law in it.
        DocumentError: a law outside the profile.
    """
    files = sorted(folder.glob("*.jsonld"))
    if not files:
        raise BadInput(f"{folder}: expected a folder with laws (*.jsonld), got none")
    return parse_baselines(read_bounded(path, MAX_REQUEST_BYTES) for path in files)


def _request(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
    return read_bounded(path, MAX_REQUEST_BYTES)
