"""Rows dealt into parts: disjoint, a subject's together, by the secret alone; taken at random."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.parts import MAX_PARTS, Parts, deal

SECRET = bytes(range(32))


def all_parts(dealt: Parts) -> list[list[int]]:
    starts = [0, *dealt.ends.tolist()][: dealt.count]
    return [dealt.order[a:b].tolist() for a, b in zip(starts, dealt.ends.tolist(), strict=True)]


@settings(deadline=None)
@given(
    units=st.lists(st.integers(0, 30), max_size=60),
    parts=st.integers(1, 40),
    secret=st.binary(min_size=32, max_size=32),
)
def test_every_row_is_in_one_part_with_all_rows_of_its_unit(
    units: list[int], parts: int, secret: bytes
) -> None:
    dealt = deal(np.array(units, dtype=np.int32), parts=parts, sample="1", secret=secret)
    found = all_parts(dealt)
    assert sorted(place for part in found for place in part) == list(range(len(units)))
    assert all(part == sorted(part) for part in found)
    where: dict[int, int] = {}
    for number, part in enumerate(found):
        for place in part:
            assert where.setdefault(units[place], number) == number
    assert dealt.count <= parts
    assert dealt.alone == (len(set(units)) <= parts)
    if dealt.alone:
        assert all(len({units[place] for place in part}) == 1 for part in found)
        assert dealt.count == len(set(units))
    assert [list(part) for part in dealt.used()] == [part for part in found if part]


@settings(deadline=None)
@given(units=st.lists(st.integers(0, 50), min_size=2, max_size=60), data=st.data())
def test_a_unit_that_is_not_there_moves_no_other(units: list[int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(units))
    parts = len(set(units)) - 2
    if parts < 1:
        return
    numbers = np.array(units)
    before = deal(numbers, parts=parts, sample="1", secret=SECRET)
    left = numbers[numbers != gone]
    after = deal(left, parts=parts, sample="1", secret=SECRET)

    def units_of(dealt: Parts, of: npt.NDArray[np.int64]) -> list[list[int]]:
        return [[int(of[p]) for p in part if of[p] != gone] for part in all_parts(dealt)]

    assert units_of(before, numbers) == units_of(after, left)


def test_parts_are_about_as_large_and_another_secret_deals_otherwise() -> None:
    units = np.arange(20_000)
    one = deal(units, parts=40, sample="1", secret=SECRET)
    other = deal(units, parts=40, sample="1", secret=SECRET[::-1])
    sizes = np.diff(one.ends, prepend=0)
    assert abs(sizes - 500).max() < 5 * math.sqrt(500)
    assert all_parts(one) != all_parts(other)
    assert all_parts(one) == all_parts(deal(units, parts=40, sample="1", secret=SECRET))


@pytest.mark.parametrize("sample", ["0.01", "0.25", "0.5", "0.999"])
def test_each_part_is_taken_with_the_permits_probability(sample: str) -> None:
    units = np.arange(5_000)
    taken = np.array(
        [deal(units, parts=5_000, sample=sample, secret=bytes([n]) * 32).taken for n in range(40)]
    )
    wanted, draws = float(sample), taken.size
    assert abs(taken.mean() - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / draws)
    # Each by itself: the counts of a use spread as a binomial's do.
    spread = taken.sum(axis=1).var() / (5_000 * wanted * (1 - wanted))
    assert 0.5 < spread < 1.8


def test_what_is_used_is_taken_and_not_empty() -> None:
    units = np.repeat(np.arange(50), 3)
    dealt = deal(units, parts=20, sample="0.4", secret=SECRET)
    used = list(dealt.used())
    assert dealt.used_count == len(used)
    assert all(part.size for part in used)
    assert 0 < len(used) < 20
    nobody = deal(units[:0], parts=20, sample="1", secret=SECRET)
    assert (nobody.count, nobody.used_count, list(nobody.used())) == (0, 0, [])
    tiny = deal(units, parts=20, sample="0.00000000000000000001", secret=SECRET)
    assert tiny.used_count == 0


@pytest.mark.parametrize(
    ("parts", "secret", "words"),
    [
        (0, SECRET, "expected 1 to"),
        (MAX_PARTS + 1, SECRET, "expected 1 to"),
        (2, b"short", "a secret of 32 bytes"),
    ],
)
def test_what_cannot_be_dealt_is_refused(parts: int, secret: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deal(np.arange(3), parts=parts, sample="1", secret=secret)
