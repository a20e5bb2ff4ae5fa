"""A run's rounds as a table: who was permitted, who was not and why, the figures, the time.

The table says why in a few words; whole sentences stand below it, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from commands.output import plain
from policies import governance_pb2 as pb
from policies.canonical import parse_json
from policies.operands import ACTIONS

MAX_ROUND_BYTES = 1 << 22

ENDED = frozenset({"COMPLETED", "FAILED", "STOPPED"})


def rounds_of(run: pb.Run) -> list[dict[str, Any]]:
    """The run's rounds as governance tells them, oldest first."""
    parsed = (parse_json(item, max_bytes=MAX_ROUND_BYTES) for item in run.rounds_json)
    return [item for item in parsed if isinstance(item, dict)]


def seconds(entry: dict[str, Any]) -> float | None:
    """Seconds from a round's decision to its close, by governance's clock; None while open."""
    if not entry.get("closed"):
        return None
    began = datetime.fromisoformat(entry["decided"])
    return (datetime.fromisoformat(entry["closed"]) - began).total_seconds()


def rounds_view(rounds: Sequence[dict[str, Any]], *, title: str) -> RenderableType:
    """The table, and below it why enterprises did not take part, or a round came to nothing."""
    table = rounds_table(rounds, title=title)
    whole = [*full_reasons(rounds), *no_results(rounds)]
    return Group(table, Text("\n".join(whole))) if whole else table


def rounds_table(rounds: Sequence[dict[str, Any]], *, title: str) -> Table:
    """The table, one line a round."""
    table = Table(title=title, title_justify="left", show_lines=False, expand=False)
    table.add_column("round", justify="right", no_wrap=True)
    table.add_column("took part")
    table.add_column("not, and why", overflow="fold")
    table.add_column("loss", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("s", justify="right")
    before: dict[str, str] = {}
    for entry in rounds:
        why = {name: short_reason(item) for name, item in _out(entry).items()}
        table.add_row(
            _round(entry),
            _took_part(entry),
            _changed(why, before),
            _figure(entry, "eval_loss"),
            _figure(entry, "eval_accuracy"),
            "" if (taken := seconds(entry)) is None else f"{taken:.2f}",
        )
        before = why
    return table


def short_reason(item: dict[str, Any]) -> str:
    """Why an enterprise did not take part, in the few words of the reason's code."""
    code = str(item["code"])
    if code == "unknown-value":
        return plain(str(item["text"]).partition(";")[0])
    about, _, rest = code.partition("-")
    if about == "duty" and rest in ACTIONS:
        return f"duty to {ACTIONS[rest].phrase}"
    return plain(f"law {rest}" if about == "law" else code.replace("-", " "))


def full_reasons(rounds: Sequence[dict[str, Any]]) -> list[str]:
    """Each reason once in whole, with the rounds from which it held, oldest first."""
    found: list[str] = []
    before: dict[str, str] = {}
    for entry in rounds:
        out = _out(entry)
        for name, item in out.items():
            if before.get(name) != item["code"]:
                found.append(f"{name}, from {_named(entry)}: {plain(str(item['text']))}")
        before = {name: str(item["code"]) for name, item in out.items()}
    return found


def no_results(rounds: Sequence[dict[str, Any]]) -> list[str]:
    """Which rounds were closed without a result, and what can be told of why."""
    found = []
    for entry in rounds:
        if entry["state"] != "CLOSED" or entry.get("quorum_met") is not False:
            continue
        opened = entry.get("released")
        why = "fewer updates than its quorum asks for, or than may be released together"
        if opened:
            why = (
                f"the masks of {', '.join(opened)} were released, but their sum is not of what "
                "their receipts say, or the ServerApp that asked for it ended"
            )
        found.append(plain(f"{_named(entry)} has no result: {why}"))
    return found


def used(entry: dict[str, Any]) -> bool:
    """Whether any enterprise's data was used in this round, with a receipt for it."""
    return any(item["outcome"] == "accepted" for item in entry["items"])


def _changed(why: dict[str, str], before: dict[str, str]) -> str:
    """A line for each whose reason is new, and one for all the others."""
    lines = [f"{name}: {text}" for name, text in why.items() if before.get(name) != text]
    same = [name for name, text in why.items() if before.get(name) == text]
    if same:
        lines.append(f"{', '.join(same)}: as before" if lines else "as before")
    return "\n".join(lines)


def _round(entry: dict[str, Any]) -> str:
    return f"{entry['round']}" if entry["kind"] == "train" else "eval"


def _named(entry: dict[str, Any]) -> str:
    return f"round {entry['round']}" if entry["kind"] == "train" else "the evaluation"


def _took_part(entry: dict[str, Any]) -> str:
    if entry["state"] not in {"CLOSED", "ABANDONED"}:
        return "…"
    names = [item["participant"] for item in entry["items"] if item["outcome"] == "accepted"]
    return plain(", ".join(names)) or "nobody"


def _out(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        plain(item["participant"]): item for item in entry["items"] if item["outcome"] != "accepted"
    }


def _figure(entry: dict[str, Any], name: str) -> str:
    text = entry["metrics"].get(name)
    return "" if text is None else f"{float(text):.3f}"
