"""A run's rounds as a table: who was permitted, who was not and why, the figures, the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from commands.output import plain
from policies import governance_pb2 as pb
from policies.canonical import parse_json

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
        why = _why(entry)
        table.add_row(
            f"{entry['round']}" if entry["kind"] == "train" else "eval",
            _took_part(entry),
            "\n".join(
                f"{name}: {text if before.get(name) != text else 'as before'}"
                for name, text in why.items()
            ),
            _figure(entry, "eval_loss"),
            _figure(entry, "eval_accuracy"),
            "" if (taken := seconds(entry)) is None else f"{taken:.2f}",
        )
        before = why
    return table


def _took_part(entry: dict[str, Any]) -> str:
    if entry["state"] not in {"CLOSED", "ABANDONED"}:
        return "…"
    names = [item["participant"] for item in entry["items"] if item["outcome"] == "accepted"]
    return plain(", ".join(names)) or "nobody"


def _why(entry: dict[str, Any]) -> dict[str, str]:
    return {
        plain(item["participant"]): plain(item["text"])
        for item in entry["items"]
        if item["outcome"] != "accepted"
    }


def _figure(entry: dict[str, Any], name: str) -> str:
    text = entry["metrics"].get(name)
    return "" if text is None else f"{float(text):.3f}"
