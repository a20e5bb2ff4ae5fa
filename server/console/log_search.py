"""Finding entries of the log by type, run, round, participant and text.

A line is looked at as bytes first, and parsed only if it may fit: ten thousand entries of 5 kB take
less than half a second. A search that has not come to the log's beginning in time says how far it
came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.entries import ENTRY_TYPES, Entry, parse_entry
from policies.errors import DocumentError
from server.console.log_lines import LogLines, is_part
from server.errors import BadInput

PAGE: Final = 50
SEARCH_S: Final = 0.8
MAX_ASKED: Final = 200
_ID: Final = re.compile(r"[A-Za-z0-9:/._-]{1,200}")
_NUMBER: Final = re.compile(r"[0-9]{1,16}")
_PARTICIPANT: Final = frozenset(
    {"participant", "assigner", "assignee", "consumer", "owner", "auditor"}
)
"""Which fields of an entry's body, however deep, name a participant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for; everything that is given must fit.

    Attributes:
        run: an id, or its beginning.
        text: of the line as it is logged; ASCII letters of either case. What stands inside of a
            signed envelope is encoded there, and stands in the entry itself, too.
    """

    type: str = ""
    run: str = ""
    round: int | None = None
    participant: str = ""
    text: str = ""

    @property
    def anything(self) -> bool:
        """Whether every entry fits."""
        return self == Wanted()

    def to_query(self) -> dict[str, str]:
        """What `parse_wanted` reads as this; "" for what is not asked for."""
        return {
            "type": self.type,
            "run": self.run,
            "round": "" if self.round is None else str(self.round),
            "participant": self.participant,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Hits:
    """A page of what was found, the newest first.

    Attributes:
        further: an index to go on below; None at the log's beginning.
        looked: whether that is where the time was over, and not the page.
    """

    entries: tuple[tuple[int, Entry], ...]
    further: int | None
    looked: bool = False


def parse_wanted(query: Mapping[str, str]) -> Wanted:
    """What a search asks for.

    Raises:
        BadInput: a value that nothing in a log can have.
    """
    asked = {name: query.get(name, "").strip() for name in ("type", "run", "participant", "text")}
    for name in ("run", "participant"):
        if asked[name] and not _ID.fullmatch(asked[name]):
            raise BadInput(f"{name}: expected an id as the log spells it, got another text")
    if asked["type"] and asked["type"] not in ENTRY_TYPES:
        raise BadInput("type: expected one of those that an entry has, got another")
    if len(asked["text"]) > MAX_ASKED:
        raise BadInput(f"text: expected at most {MAX_ASKED} characters, got {len(asked['text'])}")
    return Wanted(round=number(query, "round"), **asked)


def number(query: Mapping[str, str], name: str) -> int | None:
    """A number of a query; None if it is not there, BadInput if it is none."""
    value = query.get(name, "").strip()
    if value and not _NUMBER.fullmatch(value):
        raise BadInput(f"{name}: expected a number, got another text")
    return int(value) if value else None


def search(
    lines: LogLines, wanted: Wanted, *, before: int | None, now: Callable[[], float]
) -> Hits:
    """The newest entries that fit, below an index.

    Args:
        now: seconds of a clock that only goes forward.

    Raises:
        Unavailable: the log's files cannot be read.
    """
    size, ends = lines.size(), now() + SEARCH_S
    found: list[tuple[int, Entry]] = []
    may_fit = _quick(wanted)
    for index, line in lines.downwards(size if before is None else before, size):
        entry = _read(line) if may_fit(line) else None
        if entry is not None and _fits(wanted, entry):
            found.append((index, entry))
            if len(found) == PAGE:
                return Hits(tuple(found), index or None)
        if now() > ends:
            return Hits(tuple(found), index or None, looked=True)
    return Hits(tuple(found), None)


def _quick(wanted: Wanted) -> Callable[[bytes], bool]:
    """Whether a line may fit, by its bytes: in canonical JSON each value has one spelling."""
    needles = []
    if wanted.type:
        needles.append(f'"type":"{wanted.type}"}}')
    if wanted.run:
        needles.append(f'"run":"{wanted.run}')
    if wanted.round is not None:
        needles.append(f'"round":{wanted.round}')
    if wanted.participant:
        needles.append(f'"{wanted.participant}"')
    looked_for = [needle.encode() for needle in needles]
    text = json.dumps(wanted.text, ensure_ascii=False)[1:-1].encode().lower()

    def may_fit(line: bytes) -> bool:
        return (
            all(needle in line for needle in looked_for)
            and (not text or text in line.lower())
            and (wanted.type == "EntryPart" or not is_part(line))
        )

    return may_fit


def _read(line: bytes) -> Entry | None:
    try:
        return parse_entry(line)
    except DocumentError:
        return None


def _fits(wanted: Wanted, entry: Entry) -> bool:
    body: Mapping[str, Any] = entry.body
    run = body.get("run")
    return (
        (not wanted.type or entry.type == wanted.type)
        and (not wanted.run or (isinstance(run, str) and run.startswith(wanted.run)))
        and (wanted.round is None or body.get("round") == wanted.round)
        and (not wanted.participant or wanted.participant in _named(body))
    )


def _named(value: object, key: str = "") -> Iterator[str]:
    """Every string under a field that names a participant."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _named(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, key)
    elif isinstance(value, str) and key in _PARTICIPANT:
        yield value
