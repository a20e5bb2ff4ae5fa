"""What both secure sums must do; each one's tests run this class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import pytest

from bench.secure_sum import SecureSum
from policies.errors import OutOfTurn, PolicyError, SecondOpening, TooFew, UnknownPeer
from policies.fixedpoint import Words, add_into, word_type, zeros
from policies.privacy import WordBits

NAMES = tuple(f"node-{number}" for number in range(6))
LEAST = 5
WORDS = 300


class Vectors:
    """Each member's plain vector, and what it sent."""

    def __init__(self, word_bits: WordBits) -> None:
        self.word_bits = word_bits
        generator = np.random.default_rng(11)
        kind = word_type(word_bits)
        self.plain = {
            name: generator.integers(0, 2**word_bits, WORDS, kind) for name in (*NAMES, "stranger")
        }
        self.sent: dict[str, Words] = {}

    def send(self, round_: SecureSum, names: Iterable[str]) -> None:
        for name in names:
            words = self.plain[name].copy()
            round_.mask(name, words)
            self.sent[name] = words

    def of(self, names: Iterable[str]) -> dict[str, Words]:
        return {name: self.sent[name] for name in names}

    def sum(self, names: Iterable[str]) -> Words:
        total = zeros(WORDS, self.word_bits)
        for name in names:
            add_into(total, self.plain[name])
        return total


class SecureSumContract(ABC):
    """A subclass says how to make a round of `NAMES` whose sums have at least `LEAST` vectors."""

    @abstractmethod
    def make(
        self, word_bits: WordBits = 32, names: tuple[str, ...] = NAMES, least: int = LEAST
    ) -> SecureSum: ...

    @pytest.fixture(params=[32, 64])
    def vectors(self, request: pytest.FixtureRequest) -> Vectors:
        return Vectors(request.param)

    @pytest.fixture
    def round_(self, vectors: Vectors) -> SecureSum:
        """A round in which everybody has shared."""
        round_ = self.make(vectors.word_bits)
        for name in NAMES:
            round_.share(name)
        return round_

    def test_the_opened_sum_is_the_plain_one(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES)
        assert np.array_equal(round_.open(vectors.sent), vectors.sum(NAMES))

    def test_what_is_sent_is_not_the_plain_vector(
        self, round_: SecureSum, vectors: Vectors
    ) -> None:
        vectors.send(round_, NAMES)
        for name in NAMES:
            assert np.mean(vectors.sent[name] == vectors.plain[name]) < 0.02
        assert len({vectors.sent[name].tobytes() for name in NAMES}) == len(NAMES)

    def test_the_masks_of_two_rounds_differ(self, vectors: Vectors) -> None:
        found = []
        for _ in range(2):
            round_ = self.make(vectors.word_bits)
            for name in NAMES:
                round_.share(name)
            vectors.send(round_, NAMES)
            found.append(vectors.sent[NAMES[0]])
        assert np.mean(found[0] == found[1]) < 0.02

    @pytest.mark.parametrize("gone", NAMES[:2])
    def test_one_that_never_shared(self, vectors: Vectors, gone: str) -> None:
        round_, here = self.make(vectors.word_bits), [name for name in NAMES if name != gone]
        for name in here:
            round_.share(name)
        vectors.send(round_, here)
        assert np.array_equal(round_.open(vectors.sent), vectors.sum(here))

    @pytest.mark.parametrize("gone", [NAMES[0], NAMES[3], NAMES[-1]])
    def test_one_that_dropped_before_sending(
        self, round_: SecureSum, vectors: Vectors, gone: str
    ) -> None:
        here = [name for name in NAMES if name != gone]
        round_.leave(gone)
        vectors.send(round_, here)
        assert np.array_equal(round_.open(vectors.sent), vectors.sum(here))

    @pytest.mark.parametrize("gone", [NAMES[0], NAMES[3], NAMES[-1]])
    def test_one_that_dropped_after_sending_is_in_the_sum(
        self, round_: SecureSum, vectors: Vectors, gone: str
    ) -> None:
        vectors.send(round_, NAMES)
        round_.leave(gone)
        assert np.array_equal(round_.open(vectors.sent), vectors.sum(NAMES))

    def test_one_that_was_left_out_after_sending_is_not(
        self, round_: SecureSum, vectors: Vectors
    ) -> None:
        """As a withdrawal asks that comes in time."""
        vectors.send(round_, NAMES)
        round_.leave(NAMES[2])
        here = [name for name in NAMES if name != NAMES[2]]
        assert np.array_equal(round_.open(vectors.of(here)), vectors.sum(here))

    def test_the_same_again_gives_the_same(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES)
        first = round_.open(vectors.sent)
        assert np.array_equal(round_.open(vectors.sent), first)

    def test_a_cohort_of_one_is_refused(self) -> None:
        for least in (0, 1):
            with pytest.raises(PolicyError):
                self.make(names=NAMES[:1], least=least)
            with pytest.raises(PolicyError):
                self.make(least=least)

    @pytest.mark.parametrize("count", range(LEAST))
    def test_too_few_are_never_opened(
        self, round_: SecureSum, vectors: Vectors, count: int
    ) -> None:
        vectors.send(round_, NAMES)
        assert round_.least == LEAST
        with pytest.raises(TooFew):
            round_.open(vectors.of(NAMES[:count]))
        # Nothing was opened by that, so that the right sum still is.
        assert np.array_equal(round_.open(vectors.sent), vectors.sum(NAMES))

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (NAMES, NAMES[1:]),
            (NAMES[1:], NAMES),
            (NAMES[1:], NAMES[:-1]),
        ],
        ids=["one less", "one more", "overlapping"],
    )
    def test_a_second_sum_of_others_is_refused(
        self, round_: SecureSum, vectors: Vectors, first: tuple[str, ...], second: tuple[str, ...]
    ) -> None:
        vectors.send(round_, NAMES)
        opened = round_.open(vectors.of(first))
        for _ in range(2):
            with pytest.raises(SecondOpening):
                round_.open(vectors.of(second))
        assert np.array_equal(round_.open(vectors.of(first)), opened)

    def test_one_that_returns_late_is_in_no_sum(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES[1:])
        round_.open(vectors.sent)
        with pytest.raises(PolicyError):
            vectors.send(round_, NAMES[:1])
            round_.open(vectors.sent)

    def test_a_second_vector_is_refused(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES)
        again = vectors.plain[NAMES[0]].copy()
        with pytest.raises(OutOfTurn):
            round_.mask(NAMES[0], again)
        assert np.array_equal(again, vectors.plain[NAMES[0]])

    def test_strangers_are_refused(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES)
        with pytest.raises(UnknownPeer):
            round_.share("stranger")
        with pytest.raises(UnknownPeer):
            round_.mask("stranger", vectors.plain["stranger"].copy())
        with pytest.raises(UnknownPeer):
            round_.open(vectors.sent | {"stranger": vectors.plain["stranger"]})

    def test_who_masked_nothing_is_in_no_sum(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES[1:])
        with pytest.raises(UnknownPeer):
            round_.open(vectors.sent | {NAMES[0]: vectors.plain[NAMES[0]]})

    def test_a_vector_of_another_size_is_refused(self, round_: SecureSum, vectors: Vectors) -> None:
        vectors.send(round_, NAMES)
        with pytest.raises(PolicyError):
            round_.open(vectors.sent | {NAMES[0]: vectors.sent[NAMES[0]][:-1]})
