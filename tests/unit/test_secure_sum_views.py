"""Neither the aggregator's view of a round nor governance's tells one update from another.

**The aggregator** sees y_i = x_i + m_i for all that sent, and M = the sum of m_i over the released
set S, all modulo 2^w. If the masks m_i are independent and uniform, then for any y and any updates
x there is exactly one choice of masks that gives these y (m_i = y_i - x_i), all equally likely, and
with it M = sum_S y_i - sum_S x_i. So the view's distribution depends on the updates through
sum_S x_i only: on the sum, and for a node outside of S, that dropped out or withdrew, on nothing
(one-time pad: Shannon 1949; sums: Bonawitz et al., CCS 2017, lemma 6.1). It holds for every S of
one release; a second one for S' would add sum_S' x_i, which is why there is one for each round.
That the masks are as good as uniform is the assumption on X25519, HKDF and AES-128
(`policies.masks`).

**Governance** sees m_i, and of y_i only its SHA-256. Besides x_i, y_i holds 128 random bits that it
does not know (`policies.wide_integers`), so the digest is that of a message with 128 bits of
min-entropy, whatever x_i is: modelled as a random oracle, it is uniform and independent of x_i for
whoever makes fewer than some 2^128 guesses.

The tests below play rounds in two worlds that differ in single updates, and have the same sum, and
look for any difference; they also look at a broken round (no mask, no blind, a second release), and
must find it there. All randomness comes from fixed seeds: the same figures on every run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from itertools import combinations, pairwise
from statistics import NormalDist

import numpy as np
import pytest
from secure_sum_play import (
    GovernanceView,
    Played,
    World,
    opened,
    play,
    updates,
)

from policies.canonical import sha256_hex
from policies.fixedpoint import Floats, Words, add_into, subtract_from, vector_bytes
from policies.wide_integers import LIMBS

ROUNDS = 300
SURE = 1e-9
"""A p-value that no chance explains."""
UNREMARKABLE = 1e-3
"""What the least of a test's p-values stays above, times their number (Bonferroni)."""

NAMES = ("a", "b", "c", "d")
HELD = updates(1, NAMES)
HEAD = 4 * LIMBS + 4
"""Words before the body: rows, the loss, the blind."""
LOSSES = {name: Decimal(at + 1) / 4 for at, name in enumerate(NAMES)}


def worlds(*, dropout: bool) -> tuple[World, World]:
    """Two worlds of one sum: a and b hold each other's update and loss; if d drops out, another."""
    swapped = {**HELD, "a": HELD["b"], "b": HELD["a"]}
    losses = {**LOSSES, "a": LOSSES["b"], "b": LOSSES["a"]}
    if dropout:
        swapped["d"], losses["d"] = -HELD["d"], Decimal(9)
    released = NAMES[:3] if dropout else NAMES
    return World(HELD, LOSSES, released), World(swapped, losses, released)


cases = pytest.mark.parametrize("dropout", [False, True], ids=["all-stay", "one-drops-out"])


@cache
def rounds(*, dropout: bool, which: int, masked: bool = True) -> list[dict[str, Words]]:
    """Views of many rounds of one world, each with randomness of its own."""
    world = worlds(dropout=dropout)[which]
    played = (play(world, f"{which}-{at}", masked=masked) for at in range(ROUNDS))
    return [one.aggregator.words(world) for one in played]


def test_the_worlds_differ_in_single_updates_and_not_in_the_sum() -> None:
    for dropout in (False, True):
        one, other = worlds(dropout=dropout)
        assert np.array_equal(one.sum(), other.sum())
        for name in ("a", "b", *("d" if dropout else "")):
            assert not np.array_equal(one.vector(name, bytes(16)), other.vector(name, bytes(16)))
        view = play(one, "any").aggregator
        assert np.array_equal(without_blind(opened(view, one)), without_blind(one.sum()))


def without_blind(words: Words) -> Words:
    return np.delete(words, np.arange(4 * LIMBS, HEAD))


@cases
def test_every_view_of_one_world_is_one_of_the_other(dropout: bool) -> None:
    """The algebra above, by hand: the masks of the other world that give the same view."""
    one, other = worlds(dropout=dropout)
    for at in range(20):
        view = play(one, f"algebra-{at}").aggregator.words(one)
        total = np.zeros_like(view["masks"])
        for name in NAMES:
            mask = view[name] - other.vector(name, blind_of(one, f"algebra-{at}", name))
            if name in one.released:
                add_into(total, mask)
        assert np.array_equal(total, view["masks"])


def blind_of(world: World, seed: str, name: str) -> bytes:
    bare = play(world, seed, masked=False).aggregator.words(world)[name]
    return vector_bytes(bare[4 * LIMBS : HEAD])


# The aggregator's view, told apart by numbers made of it.


def signed(words: Words) -> Floats:
    return words.view("<i4").astype(np.float64)


@cache
def plain(*, dropout: bool, which: int) -> dict[str, Floats]:
    """What each holds, as its vector has it, without blind."""
    world = worlds(dropout=dropout)[which]
    return {name: signed(world.vector(name, bytes(16))) for name in NAMES}


def figures(view: dict[str, Words]) -> dict[str, float]:
    """What would differ if a view held anything of a single update: of each vector, of each two
    together, of each with the released masks taken off."""
    difference = plain(dropout=False, which=0)["a"] - plain(dropout=False, which=1)["a"]
    direction = difference / float(np.linalg.norm(difference))
    found: dict[str, float] = {}
    for name, words in view.items():
        found[f"{name}, along the difference"] = float(signed(words) @ direction)
        found[f"{name}, loss"] = float(words[3 * LIMBS])
        found[f"{name}, ones"] = float(np.bitwise_count(words).sum())
        found[f"{name}, size"] = float(np.abs(signed(words)).sum())
    for one, other in combinations(view, 2):
        found[f"{one} - {other}"] = float(signed(view[one] - view[other]) @ direction)
        found[f"{one} + {other}"] = float(signed(view[one] + view[other]) @ direction)
    return found


def least_p(dropout: bool, masked: bool) -> float:
    """The least p-value of all figures in both worlds, times how many there are."""
    one, other = (
        [figures(view) for view in rounds(dropout=dropout, which=which, masked=masked)]
        for which in (0, 1)
    )
    names = list(one[0])
    least = min(
        kolmogorov_smirnov([of[name] for of in one], [of[name] for of in other]) for name in names
    )
    return least * len(names)


@cases
def test_no_figure_of_the_aggregators_view_tells_the_worlds_apart(dropout: bool) -> None:
    assert least_p(dropout, masked=True) > UNREMARKABLE
    assert least_p(dropout, masked=False) < SURE


@cases
def test_the_bytes_of_masked_vectors_are_uniform_in_both_worlds(dropout: bool) -> None:
    for which in (0, 1):
        for name in (*NAMES, "masks"):
            assert chi_square(byte_counts(dropout, which, name)) > UNREMARKABLE / 10
    assert chi_square(byte_counts(dropout, 0, "a", masked=False)) < SURE


def byte_counts(dropout: bool, which: int, name: str, *, masked: bool = True) -> list[int]:
    views = rounds(dropout=dropout, which=which, masked=masked)
    return counted(b"".join(vector_bytes(view[name]) for view in views))


def counted(data: bytes) -> list[int]:
    """How often each byte occurs."""
    return [int(count) for count in np.bincount(np.frombuffer(data, np.uint8), minlength=256)]


@cases
def test_the_best_guess_at_the_world_is_right_half_of_the_time(dropout: bool) -> None:
    """The guesser knows both worlds, and says that of which the vectors are nearer."""
    assert chance_of_hits(hits(dropout, masked=True)) > UNREMARKABLE
    assert hits(dropout, masked=False) == 2 * ROUNDS


def hits(dropout: bool, *, masked: bool) -> int:
    held = [plain(dropout=dropout, which=which) for which in (0, 1)]
    right = 0
    for which in (0, 1):
        for view in rounds(dropout=dropout, which=which, masked=masked):
            far = [
                sum(float(np.abs(signed(view[name]) - one[name])[HEAD:].sum()) for name in NAMES)
                for one in held
            ]
            right += far[which] < far[1 - which]
    return right


def chance_of_hits(count: int) -> float:
    away = (abs(count - ROUNDS) - 0.5) / math.sqrt(ROUNDS / 2)
    return 2 * (1 - NormalDist().cdf(away))


def test_a_second_release_would_give_one_update_away() -> None:
    """Why there is one release for each round: the tests above would see a second."""
    world = worlds(dropout=False)[0]
    fewer = World(world.updates, world.losses, NAMES[:3])
    first, second = play(world, "twice").aggregator, play(fewer, "twice").aggregator
    assert first.vectors == second.vectors
    alone = opened(first, world)
    subtract_from(alone, opened(second, fewer))
    assert np.array_equal(without_blind(alone), without_blind(world.vector("d", bytes(16))))


def test_nothing_of_one_round_is_in_another() -> None:
    """The same updates again, in two rounds: what changed between them is not to be seen."""
    world = worlds(dropout=False)[0]
    views = [play(world, f"round-{at}").aggregator for at in range(40)]
    assert len({view.key for view in views}) == 40
    sent = [data for view in views for data in view.vectors.values()]
    blocks = [data[at : at + 16] for data in sent for at in range(0, len(data) - 15, 16)]
    assert len(set(blocks)) == len(blocks)
    for name in NAMES:
        changes = [
            vector_bytes(left.words(world)[name] - right.words(world)[name])
            for left, right in pairwise(views)
        ]
        assert chi_square(counted(b"".join(changes))) > UNREMARKABLE


# Governance's view: masks and digests.


@cases
def test_governance_cannot_try_out_what_a_vector_holds(dropout: bool) -> None:
    """It knows each mask and both worlds, and hashes what each would have sent."""
    assert not any(tried_out(dropout, blinded=True))
    assert all(tried_out(dropout, blinded=False))


def tried_out(dropout: bool, *, blinded: bool) -> Iterator[bool]:
    both = worlds(dropout=dropout)
    for which, world in enumerate(both):
        for at in range(20):
            view = play(world, f"{which}-{at}", blinded=blinded).governance
            for name in NAMES:
                yield any(would_be(view, guess, name) == view.digests[name] for guess in both)


def would_be(view: GovernanceView, guess: World, name: str) -> str:
    vector = guess.vector(name, bytes(16))
    add_into(vector, view.mask(name, vector.size))
    return sha256_hex(vector_bytes(vector))


@cases
def test_digests_and_keys_are_uniform_in_both_worlds(dropout: bool) -> None:
    for what in (digests, mask_keys):
        for which, world in enumerate(worlds(dropout=dropout)):
            data = b"".join(
                what(play(world, f"{which}-{at}", masked=False)) for at in range(ROUNDS)
            )
            assert chi_square(counted(data)) > UNREMARKABLE


def digests(one: Played) -> bytes:
    return b"".join(map(bytes.fromhex, one.governance.digests.values()))


def mask_keys(one: Played) -> bytes:
    # The last byte's highest bit is always 0.
    return b"".join(bytes.fromhex(key)[:31] for key in one.governance.mask_keys.values())


# The statistics, as the textbooks have them.


def kolmogorov_smirnov(left: Sequence[float], right: Sequence[float]) -> float:
    """p-value of the two-sample test, by the asymptotic distribution (Stephens 1970)."""
    values = np.sort([*left, *right])
    distance = float(
        np.abs(
            np.searchsorted(np.sort(left), values, "right") / len(left)
            - np.searchsorted(np.sort(right), values, "right") / len(right)
        ).max()
    )
    size = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:  # the series does not converge; p is 1 to ten digits
        return 1.0
    series = sum((1 if k % 2 else -1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * series))


def chi_square(counts: Sequence[int]) -> float:
    """p-value of equal frequencies, by the cube root (Wilson and Hilferty 1931)."""
    mean, freedom = sum(counts) / len(counts), len(counts) - 1
    statistic = sum((count - mean) ** 2 for count in counts) / mean
    spread = 2 / (9 * freedom)
    return 1 - NormalDist(1 - spread, math.sqrt(spread)).cdf(math.cbrt(statistic / freedom))


@pytest.mark.parametrize("size", [50, 300])
def test_the_statistics_have_the_level_that_they_say(size: int) -> None:
    """Of what is the same one in twenty is below 0.05; what differs a little is found."""
    rng = np.random.default_rng(size)
    p_values = [
        kolmogorov_smirnov(rng.normal(size=size).tolist(), rng.normal(size=size).tolist())
        for _ in range(400)
    ]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08
    counts = [rng.multinomial(5000, [1 / 256] * 256).tolist() for _ in range(400)]
    assert 0.02 < np.mean([chi_square(one) < 0.05 for one in counts]) < 0.08
    moved = rng.normal(1, size=300).tolist()
    assert kolmogorov_smirnov(rng.normal(size=300).tolist(), moved) < SURE
