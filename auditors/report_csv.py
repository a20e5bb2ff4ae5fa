"""Every single use, decision and withdrawal as CSV, written as a stream.

A cell that a spreadsheet would take for a formula (it begins with =, +, -, @, a tab or a line end)
gets an apostrophe before it, as OWASP advises against CSV injection: what is shown was written by
others. Numbers that are ours stay as they are. Encoding is UTF-8 with a byte order mark, so that
spreadsheets read names in any script; lines end as RFC 4180 says.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from auditors.known import Known
from auditors.lines import MALFORMED, quick_entry
from auditors.report_events import Decided, Event, Events, Missing, Permitted, Used
from auditors.report_facts import Facts
from auditors.report_scope import Scope
from auditors.report_withdrawals import Moment, Withdrawal

Row = Sequence[str | int | None]

_ROUND: Final = ("run", "round", "kind", "attempt", "consumer", "purpose", "app")
_WHOSE: Final = ("participant", "name", "product", "agreement")
USES: Final = (
    "entry",
    "time",
    "outcome",
    *_WHOSE,
    *_ROUND,
    "permit",
    "permit_entry",
    "rows_used",
    "rows_held_back",
    "rows_without_consent",
    "rows_registered",
    "seconds",
    "epsilon",
    "delta",
    "pays",
    "started",
    "finished",
    "environment",
    "code",
    "text",
)
DECISIONS: Final = ("entry", "time", *_WHOSE, *_ROUND, "permitted", "codes", "reasons")
WITHDRAWALS: Final = (
    "entry",
    "time",
    *_WHOSE,
    "consumer",
    "reason",
    "last_use_entry",
    "last_use_time",
    "last_use_run",
    "last_use_round",
    "permits_in_flight",
    "refused_in_flight",
    "first_decision_entry",
    "first_decision_time",
    "first_decision_permitted",
    "first_decision_codes",
    "permits_after",
    "uses_after",
)
FILES: Final = ("uses.csv", "decisions.csv", "withdrawals.csv")


def write_csv(
    folder: Path,
    lines: Iterable[tuple[int, bytes]],
    scope: Scope,
    facts: Facts,
    known: Known,
) -> list[Path]:
    """Write `FILES` into a folder, made if absent; existing files are written anew.

    `uses.csv` holds the permits without an accepted receipt as well (`outcome` says which).

    Args:
        lines: as `facts` were collected from.
        known: names shown beside pseudonyms, and reasons.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    with ExitStack() as stack:
        files = [
            stack.enter_context(path.open("w", encoding="utf-8-sig", newline="")) for path in paths
        ]
        uses, decisions, withdrawals = (csv.writer(file) for file in files)
        uses.writerow(USES)
        decisions.writerow(DECISIONS)
        withdrawals.writerow(WITHDRAWALS)
        for event in _events(lines, facts.last):
            if isinstance(event, Decided) and _in(scope, event.time, event):
                decisions.writerow(safe(_decision(event, known)))
            elif isinstance(event, Used | Missing) and _in(scope, event.time, event.permitted):
                uses.writerow(safe(_use(event, known)))
        for one in facts.withdrawals:
            withdrawals.writerow(safe(_withdrawal(one, known)))
    return paths


def safe(row: Row) -> list[str]:
    """The row as text, with nothing in it that a spreadsheet would compute."""
    return [_cell(value) for value in row]


def _cell(value: str | int | None) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    return f"'{value}" if value.lstrip(" ")[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else value


def _events(lines: Iterable[tuple[int, bytes]], last: str) -> Iterator[Event]:
    events = Events()
    for index, line in lines:
        try:
            # What an entry says up to where it cannot be read is kept, as in the facts.
            yield from events.take(index, quick_entry(line))
        except MALFORMED:
            continue
    yield from events.end(last)


def _in(scope: Scope, time: str, event: Decided | Permitted) -> bool:
    return scope.has(time, event.round.run, event.whose.participant, event.round.consumer)


def _where(event: Decided | Permitted, known: Known) -> list[str | int]:
    whose, round_ = event.whose, event.round
    name = known.name(whose.participant)
    mine: list[str | int] = [whose.participant, name, whose.product, whose.agreement]
    return mine + [getattr(round_, field) for field in _ROUND]


def _decision(event: Decided, known: Known) -> Row:
    return [
        event.entry,
        event.time,
        *_where(event, known),
        "yes" if event.permitted else "no",
        " ".join(code for code, _ in event.reasons),
        "; ".join(text for _, text in event.reasons),
    ]


def _use(event: Used | Missing, known: Known) -> Row:
    member = event.permitted
    head: Row = [event.entry, event.time]
    place: Row = [*_where(member, known), member.permit, member.entry]
    if isinstance(event, Missing):
        figures: Row = ["", "", "", member.max_rows, "", *_loss(member), member.pays, "", "", ""]
        return [*head, f"no receipt ({event.how})", *place, *figures, event.code, event.text]
    figures = [
        event.rows,
        event.held_back,
        "" if event.without_consent is None else event.without_consent,
        member.max_rows,
        event.metered_s,
        *_loss(member),
        member.pays,
        event.started,
        event.finished,
        event.environment,
    ]
    return [*head, "receipt accepted", *place, *figures, "", ""]


def _loss(member: Permitted) -> tuple[str, str]:
    """ε of the product by then, and at which δ."""
    return member.epsilon or "no bound", member.delta


def _withdrawal(one: Withdrawal, known: Known) -> Row:
    last, first = one.last_use, one.first_decision
    permitted = "" if one.permitted is None else "yes" if one.permitted else "no"
    return [
        one.entry,
        one.time,
        one.participant,
        known.name(one.participant),
        one.product,
        one.agreement,
        one.consumer,
        known.text(one.reason, "text"),
        *_moment(last),
        last.run if last else "",
        last.round if last else "",
        one.in_flight,
        one.refused_in_flight,
        *_moment(first),
        permitted,
        " ".join(one.codes),
        one.permits_after,
        one.uses_after,
    ]


def _moment(moment: Moment | None) -> Row:
    return [moment.entry, moment.time] if moment else ["", ""]
