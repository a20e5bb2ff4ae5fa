"""Entries that are too long for a line of the log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.entries import MAX_ENTRY_BYTES, entry_bytes, parse_entry
from policies.parts import MAX_LINE_BYTES, Assembler, log_lines, whole_entries

TIME = "2026-11-26T08:00:00.000Z"


def entry(text: str) -> bytes:
    return entry_bytes("RoundDecided", time=TIME, body={"text": text})


BARE = len(entry(""))
LONG = entry("p" * 100_000)


def test_an_entry_that_fits_stands_as_it_is() -> None:
    fits = entry("x" * (MAX_LINE_BYTES - BARE))
    assert len(fits) == MAX_LINE_BYTES
    assert log_lines(fits) == [fits]
    assert len(log_lines(entry("x" * (MAX_LINE_BYTES - BARE + 1)))) > 1


def test_the_parts_and_their_last_line() -> None:
    lines = [parse_entry(line) for line in log_lines(LONG)]
    assert [one.type for one in lines] == ["EntryPart"] * 7 + ["EntryWhole"]
    assert {one.time for one in lines} == {TIME}
    assert [one.body["part"] for one in lines[:-1]] == list(range(7))
    assert "".join(str(one.body["text"]) for one in lines[:-1]).encode() == LONG
    assert lines[-1].body["parts"] == 7


@given(st.text(alphabet='x"\\三😀\x01', min_size=1), st.integers(20_000, 170_000))
def test_every_line_fits_and_comes_back(unit: str, size: int) -> None:
    body = (unit * (size // len(unit)))[:size]
    whole = entry(body[: (MAX_ENTRY_BYTES - BARE) // 6])
    lines = log_lines(whole)
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    before, after = entry("before"), entry("after")
    found = list(whole_entries([before, *lines, after], start=5))
    assert found == [(5, before), (5 + len(lines), whole), (6 + len(lines), after)]


def changed(at: int, **body: object) -> list[bytes]:
    lines = log_lines(LONG)
    value = json.loads(lines[at])
    kind, time = value["type"], value["time"]
    lines[at] = entry_bytes(kind, time=time, body=value["body"] | body)
    return lines


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(log_lines(LONG)[:-1], id="no-last-line"),
        pytest.param(log_lines(LONG)[1:], id="no-first-part"),
        pytest.param(log_lines(LONG)[-1:], id="no-part"),
        pytest.param([*log_lines(LONG)[:3], entry("x"), *log_lines(LONG)[3:]], id="interrupted"),
        pytest.param([*log_lines(LONG)[1::-1], *log_lines(LONG)[2:]], id="order"),
        pytest.param(changed(2, text="p" * 16_001), id="text"),
        pytest.param(changed(2, part=1), id="number"),
        pytest.param(changed(2, more=1), id="more"),
        pytest.param(changed(-1, parts=6), id="count"),
        pytest.param(changed(-1, sha256="0" * 64), id="digest"),
        pytest.param(log_lines(LONG)[:1] * 100, id="too-many"),
    ],
)
def test_parts_that_do_not_fit_stand_as_they_are(lines: list[bytes]) -> None:
    after = entry("after")
    found = list(whole_entries([*lines, after]))
    assert found == list(enumerate([*lines, after]))


def test_an_entry_that_fits_may_not_come_in_parts() -> None:
    small = entry("x")
    part = entry_bytes("EntryPart", time=TIME, body={"part": 0, "text": small.decode()})
    whole = changed(-1, parts=1)[-1]
    assert list(whole_entries([part, whole])) == [(0, part), (1, whole)]


def test_pending_counts_what_waits() -> None:
    assembler = Assembler()
    for number, line in enumerate(log_lines(LONG)[:-1]):
        assert assembler.take(number, line) == []
        assert assembler.pending == number + 1
    assert assembler.take(7, log_lines(LONG)[-1]) == [(7, LONG)]
    assert assembler.pending == 0
