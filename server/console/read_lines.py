"""A policy's sentences for a page: each with what was found about it, and how it came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.findings import Finding
from policies.phrases import Language
from policies.reading import Line, read_out
from server.console.shelf import Policy


@dataclass(frozen=True, slots=True)
class Told:
    """One sentence.

    Attributes:
        findings: about this place of the document.
        deciding: it is the rule that decides what the page asks about.
    """

    path: str
    text: str
    findings: tuple[Finding, ...]
    deciding: bool
    parts: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A policy for a page; `findings` are those about all of it."""

    heading: str
    lines: tuple[Told, ...]
    findings: tuple[Finding, ...]


def told(
    policy: Policy,
    language: Language,
    findings: Iterable[Finding] = (),
    *,
    deciding: frozenset[str] = frozenset(),
) -> Page:
    """The policy's sentences, each finding beside the nearest sentence about its place.

    Args:
        deciding: paths of the rules that decide.
    """
    reading = read_out(policy, language)
    places = reading.paths()
    beside: dict[str, list[Finding]] = {}
    for one in findings:
        beside.setdefault(_nearest(one.path, places), []).append(one)
    lines = tuple(_told(line, beside, deciding) for line in reading.lines)
    return Page(reading.heading, lines, tuple(beside.get("$", ())))


def _told(line: Line, beside: Mapping[str, list[Finding]], deciding: frozenset[str]) -> Told:
    return Told(
        path=line.path,
        text=line.text,
        findings=tuple(beside.get(line.path, ())),
        deciding=line.path in deciding,
        parts=tuple(_told(part, beside, deciding) for part in line.parts),
    )


def _nearest(path: str, places: frozenset[str]) -> str:
    """The longest beginning of the path that has a sentence; `$` is the whole document."""
    while path not in places and path != "$":
        path = path.rpartition(".")[0] or "$"
    return path
