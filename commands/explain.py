"""`tds policy explain`: why a node was permitted or refused, from the log alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from auditors.replay import Verdict, replay_verdict
from commands.output import JsonFlag, print_json, say
from commands.telling import LanguageOption, parse_language, say_explanation
from policies.explain import Explanation, explain_facts, explain_report
from policies.phrases import Language

_WHERE: Mapping[Language, str] = MappingProxyType(
    {
        "en": "  (round {0.round}, log entry {0.entry}, {0.time})",
        "zh": "（第 {0.round} 轮，日志第 {0.entry} 号条目，{0.time}）",
    }
)


def explain(
    run: Annotated[str, typer.Argument(help="The run's id, or the beginning of it.")],
    round_: Annotated[int, typer.Argument(metavar="ROUND", help="Which round.", min=1)],
    node: Annotated[str, typer.Argument(help="The enterprise's participant id.")],
    log: Annotated[Path, typer.Option(help="The space's log, or a copy of it.")] = Path(
        "tds-demo/space/log"
    ),
    language: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Say in plain sentences why a node was permitted or refused, and what would have to change.

    Needs the log's folder only. The decision is evaluated once more from the agreement, the laws
    and the values in the log, and has to come out the same (exit code 4 otherwise). That nobody
    changed the entries is for `tds audit verify` to say.

    Example: tds policy explain run- 3 hillcrest --log ./log --lang zh
    """
    words = parse_language(language)
    verdict = replay_verdict(log, run=run, round_=round_, participant=node)
    told = _told(verdict, words)
    if as_json:
        print_json(
            {
                "entry": verdict.entry,
                "time": verdict.time,
                "run": verdict.run,
                "round": verdict.round,
                "kind": verdict.kind,
                "attempt": verdict.attempt,
                "participant": verdict.participant,
                "product": verdict.product,
                "reasons": [reason.to_json() for reason in verdict.reasons],
                "digest": verdict.report.digest if verdict.report else None,
                "report": verdict.report.to_json() if verdict.report else None,
                **told.to_json(),
            }
        )
        return
    say(told.headline + _WHERE[words].format(verdict))
    say_explanation(told, words)


def _told(verdict: Verdict, language: Language) -> Explanation:
    if verdict.report is None:
        return explain_facts(verdict.participant, verdict.reasons, language)
    return explain_report(
        verdict.participant, verdict.report, language, permitted=verdict.permitted
    )
