"""Entries whose time goes back: a little is tolerated, more is named once."""

from __future__ import annotations

import pytest

from auditors.clock import Clock
from policies.errors import DocumentError


def at(minute: int, milliseconds: int = 0) -> str:
    return f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00.{milliseconds:03}Z"


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ([at(0), at(0), at(1)], []),
        ([at(10), at(5), at(10)], []),
        ([at(10, 1), at(5)], [1]),
        ([at(10), at(6), at(4)], [2]),  # not five minutes from the last, but from the latest
        ([at(90), at(10), at(11), at(12)], [1]),  # once
        ([at(90), at(10), at(90), at(89), at(84)], [1, 4]),
    ],
)
def test_which_entries_are_named(times: list[str], named: list[int]) -> None:
    clock = Clock()
    found = [index for index, time in enumerate(times) for _ in clock.step(index, time)]
    assert found == named


def test_it_says_which_entry_was_later() -> None:
    clock = Clock()
    assert list(clock.step(3, at(90))) == []
    assert list(clock.step(4, at(88))) == []
    ((rule, text),) = clock.step(5, at(60))
    assert rule == "clock-back"
    assert f"5 minutes before entry 3 on, {at(90)}, got {at(60)}" in text


def test_no_time_at_all() -> None:
    clock = Clock()
    assert list(clock.step(0, at(1))) == []
    with pytest.raises(DocumentError):
        list(clock.step(1, "1999"))
