"""How `tds` speaks: tables for people, JSON for programs, errors in one sentence.

Much of what is shown was written by others: ids, titles, refusals, file names in a bundle. It is
printed as it is: never as markup, and never as a control sequence for the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

STDOUT = Console(highlight=False, markup=False, emoji=False)
STDERR = Console(stderr=True, highlight=False, markup=False, emoji=False)

WIDE = 100
"""Columns of a terminal on which a table may keep an id whole."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def plain(text: str) -> str:
    """The text with everything that a terminal would act upon, line ends apart, spelled out."""
    return "".join(
        char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text
    )


def print_json(value: object) -> None:
    """One JSON document on standard output, whatever the terminal."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: int = 0
) -> None:
    """A table for people; says so when there is nothing to show.

    Args:
        whole: so many columns at the left are not broken, so that an id in them can be copied;
            not on a terminal so narrow that the others would suffer.
    """
    title = plain(title)
    table = Table()
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place < whole and STDOUT.width >= WIDE)
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    if table.row_count == 0:
        STDOUT.print(f"{title}: none")
    else:
        STDOUT.print(title, style="bold", markup=False)
        STDOUT.print(table)


def print_columns(title: str, columns: Sequence[str], items: Iterable[dict[str, Any]]) -> None:
    """A table of some fields of JSON objects; what is absent or null stays empty."""
    print_table(
        title,
        columns,
        [
            ["" if item.get(column) is None else str(item[column]) for column in columns]
            for item in items
        ],
    )


def say(text: str) -> None:
    """A line for people on standard output; never broken, so that keys and paths can be copied."""
    STDOUT.print(plain(text), soft_wrap=True)


def end_of_live_view() -> None:
    """Where a live view is not on a terminal it leaves its last line without an end; end it."""
    if not STDOUT.is_terminal:
        STDOUT.print()


def complain(text: str) -> None:
    """An error for people."""
    STDERR.print(f"error: {plain(text)}", style="red", soft_wrap=True)
