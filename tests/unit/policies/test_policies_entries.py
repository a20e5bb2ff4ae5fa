"""Log entries: one line, one spelling, known types only; nothing unreadable is ever written."""

from __future__ import annotations

from typing import Any

import pytest

from policies.canonical import canonical_bytes
from policies.entries import ENTRY_TYPES, MAX_ENTRY_BYTES, Entry, entry_bytes, parse_entry
from policies.errors import DocumentError

TIME = "2026-01-31T08:00:00.000Z"
LINE = b'{"body":{"run":"r1"},"time":"2026-01-31T08:00:00.000Z","type":"RunOpened"}'
OVERHEAD = len(entry_bytes("RunOpened", time=TIME, body={"run": ""}))


def line(**changes: object) -> bytes:
    fields = {"type": "RunOpened", "time": TIME, "body": {"run": "r1"}} | changes
    return canonical_bytes({key: value for key, value in fields.items() if value != "ABSENT"})


def test_the_line_as_written() -> None:
    assert entry_bytes("RunOpened", time=TIME, body={"run": "r1"}) == line() == LINE
    assert parse_entry(LINE) == Entry(type="RunOpened", time=TIME, body={"run": "r1"})


@pytest.mark.parametrize("kind", sorted(ENTRY_TYPES))
def test_every_type_reads_back(kind: Any) -> None:
    assert parse_entry(entry_bytes(kind, time=TIME, body={})).type == kind


@pytest.mark.parametrize(
    ("data", "where", "expected"),
    [
        (line(type="RunDeleted"), "$.type", "a known entry type"),
        (line(type="runopened"), "$.type", "a known entry type"),
        (line(type=1), "$.type", "a known entry type"),
        (line(type=["RunOpened"]), "$.type", "a known entry type"),
        (line(type="ABSENT"), "$", "an entry with type"),
        (line(time="ABSENT"), "$", "an entry with type"),
        (line(body="ABSENT"), "$", "an entry with type"),
        (line(note="x"), "$", "an entry with type"),
        (line(time=0), "$", "a time and a body"),
        (line(time=""), "$.time", "a moment like"),
        (line(time="2026-13-01T00:00:00.000Z"), "$.time", "a moment like"),
        (line(time="2026-01-31T08:00:00Z"), "$.time", "a moment like"),
        (line(body=[]), "$", "a time and a body"),
        (line(body=None), "$", "a time and a body"),
        (b"[]", "$", "an entry with type"),
        (LINE.replace(b":", b": ", 1), "$", "canonical JSON"),
        (LINE + b"\n", "$", "canonical JSON"),
        (LINE.replace(b'"r1"', b"0.5"), "$", "integers only"),
        (LINE.replace(b'"r1"', b"NaN"), "$", "integers only"),
        (LINE.replace(b'"r1"', b'"r1","run":"r2"'), "$", "each key once"),
        (LINE[:-1], "$", "JSON"),
        (b"\xff", "$", "UTF-8"),
        (b" " * (MAX_ENTRY_BYTES + 1), "$", "at most"),
    ],
)
def test_one_fault(data: bytes, where: str, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_entry(data)
    assert caught.value.where == where
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "RunDeleted"}, "a known entry type"),
        ({"time": "2026-13-01T00:00:00.000Z"}, "a moment like"),
        ({"time": "yesterday"}, "a moment like"),
        ({"body": []}, "a time and a body"),
        ({"body": {"epsilon": 0.5}}, "without floats"),
        ({"body": {"count": 2**53}}, "an integer within"),
        ({"body": {"x": "x" * MAX_ENTRY_BYTES}}, "an entry of at most"),
    ],
)
def test_what_could_not_be_read_is_not_written(changes: Any, expected: str) -> None:
    arguments: Any = {"kind": "RunOpened", "time": TIME, "body": {}} | changes
    with pytest.raises(DocumentError) as caught:
        entry_bytes(**arguments)
    assert expected in caught.value.expected


def test_the_largest_entry_reads_back() -> None:
    body = {"run": "x" * (MAX_ENTRY_BYTES - OVERHEAD)}
    data = entry_bytes("RunOpened", time=TIME, body=body)
    assert len(data) == MAX_ENTRY_BYTES
    assert parse_entry(data).body == body
