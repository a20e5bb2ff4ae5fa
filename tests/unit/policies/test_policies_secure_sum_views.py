"""What the aggregator can make of all that it sees in a round, and governance of what it sees.

The algebra, modulo 2^word_bits, for survivors 1 to s with vectors x and masks m:

  - consent-gated: the aggregator sees v_i = x_i + m_i and M, the sum of the m_i. For every x there
    is exactly one m that gives the v, and M = sum(v) - sum(x): with uniform masks the view depends
    on x through sum(x) alone. Governance sees the m, and no v.
  - pairwise: with the survivors' seeds and the dropped ones' mask keys the aggregator takes from
    each v_i all masks but those between survivors, u_i = x_i + sum of ±p_ij. The p_ij are uniform
    and in pairs, so the u_i are uniform among those with sum(u) = sum(x): again, all of sum(x) and
    nothing beyond. A vector that came after its sender was said to have dropped still has its
    self-mask.

So every part of what is seen, added up, must look uniform, but for the whole that is opened; tried
here on vectors that are anything but: constants. A test that sees nothing would find the controls
uniform, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pytest
from pairwise_site import PairwiseSite

from bench.consent_sum import ConsentRound, MaskHolder, mask_once
from policies import pairwise_opening as opening
from policies.fixedpoint import Words, add_into, subtract_from, word_type, zeros
from policies.privacy import WordBits

WORDS = 4_000
SEEDS = 4
SURVIVORS = ("node-00", "node-01", "node-02")
DROPPED = "node-03"
EVERYBODY = (*SURVIVORS, DROPPED)
RELEASE = "release"
# Of chi-squared with 15 degrees of freedom: exceeded by chance once in 10^8.
LIMIT = 68.0
View = dict[str, Words]


def _far_from_uniform(words: Words) -> float:
    """The larger chi-squared of the highest and the lowest four bits."""
    shift = 8 * words.itemsize - 4
    found = []
    for digits in (words >> np.array(shift, words.dtype), words & np.array(15, words.dtype)):
        counts = np.bincount(digits.astype(np.int64), minlength=16)
        expected = words.size / 16
        found.append(float(((counts - expected) ** 2 / expected).sum()))
    return max(found)


def _combinations(view: Mapping[str, Words]) -> Iterator[tuple[tuple[str, ...], Words]]:
    """Every part of what is seen, added up; what governance released is taken off."""
    for count in range(1, len(view) + 1):
        for part in combinations(view, count):
            total = np.zeros_like(view[part[0]])
            for name in part:
                (subtract_from if name == RELEASE else add_into)(total, view[name])
            yield part, total


def _plain(word_bits: WordBits) -> View:
    """Constants, one of them zero."""
    return {
        name: np.full(WORDS, 3 * number, word_type(word_bits))
        for number, name in enumerate(EVERYBODY)
    }


def _consent_view(word_bits: WordBits, *, drop: bool) -> View:
    """Masked vectors, and the sum of the masks of those who are opened."""
    plain = _plain(word_bits)
    terms = ConsentRound(
        "example.org/space", "5a" * 32, dict.fromkeys(plain, "p"), 2, WORDS, word_bits
    )
    holder = MaskHolder(terms)
    view = {}
    for name, words in plain.items():
        view[name] = words.copy()
        holder.accept(name, mask_once(terms, name, holder.key, view[name]))
    opened = SURVIVORS if drop else tuple(plain)
    return view | {RELEASE: holder.release(opened)}


def _pairwise_view(word_bits: WordBits, *, drop: bool) -> View:
    """Masked vectors, less all the masks that follow from the answers; the dropped one's, too,
    which came and was said not to have come."""
    site = PairwiseSite(words=WORDS, word_bits=word_bits)
    site.plain = _plain(word_bits)
    site.share()
    site.mask()
    here = SURVIVORS if drop else tuple(site.names)
    split = site.split(here)
    answers = site.answers(split, site.agree(split, here), here)
    found = opening.join(site.terms, site.shared, split, answers)
    view = {}
    for name in site.names:
        view[name] = site.sent[name].copy()
        own = {name: found.seeds[name]} if name in found.seeds else {}
        only = opening.Secrets(own, found.mask_keys, ())
        opening.remove_masks(site.terms, site.shared, only, view[name])
    if drop:
        _known_pairs_off(site, found, view[DROPPED])
    return view


def _known_pairs_off(site: PairwiseSite, found: opening.Secrets, late: Words) -> None:
    """From the dropped one's own vector, the masks of its pairs, whose keys are known."""
    for other in SURVIVORS:
        alone = zeros(WORDS, site.word_bits)
        seedless = opening.Secrets({other: bytes(32)}, found.mask_keys, ())
        opening.remove_masks(site.terms, site.shared, seedless, alone)
        nothing = zeros(WORDS, site.word_bits)
        opening.remove_masks(
            site.terms, site.shared, opening.Secrets({other: bytes(32)}, {}, ()), nothing
        )
        subtract_from(alone, nothing)  # minus what the survivor added for this pair
        subtract_from(late, alone)  # the dropped one added the opposite of it: off it goes


VIEWS: dict[str, tuple[Callable[..., View], tuple[str, ...]]] = {
    "consent-gated": (_consent_view, (RELEASE,)),
    "pairwise": (_pairwise_view, ()),
}
"""How to look, and what besides the vectors goes into the opened sum."""


@pytest.mark.parametrize("word_bits", [32, 64])
@pytest.mark.parametrize("drop", [False, True], ids=["all", "one dropped"])
@pytest.mark.parametrize("kind", VIEWS)
def test_nothing_but_the_opened_sum_tells_anything(
    kind: str, drop: bool, word_bits: WordBits
) -> None:
    look, besides = VIEWS[kind]
    summed = SURVIVORS if drop else EVERYBODY
    for _ in range(SEEDS):
        for part, total in _combinations(look(word_bits, drop=drop)):
            if set(part) == {*summed, *besides}:
                expected = sum(int(_plain(word_bits)[name][0]) for name in summed)
                assert np.all(total == expected)
            else:
                assert _far_from_uniform(total) < LIMIT, part


@pytest.mark.parametrize("kind", VIEWS)
def test_the_controls_are_found_out(kind: str) -> None:
    look, besides = VIEWS[kind]
    opened = dict(_combinations(look(32, drop=True)))[(*SURVIVORS, *besides)]
    for words in (opened, *_plain(32).values()):
        assert _far_from_uniform(words) > 100 * LIMIT


def test_without_its_self_mask_a_late_vector_would_be_open() -> None:
    """What the self-mask is for: the masks of the dropped one's pairs are all known."""
    site = PairwiseSite(words=WORDS)
    site.plain = _plain(32)
    site.share()
    keys = site.nodes[DROPPED]._state
    site.mask()
    split = site.split(SURVIVORS)
    answers = site.answers(split, site.agree(split, SURVIVORS), SURVIVORS)
    found = opening.join(site.terms, site.shared, split, answers)
    late = site.sent[DROPPED].copy()
    _known_pairs_off(site, found, late)
    assert _far_from_uniform(late) < LIMIT
    assert DROPPED not in found.seeds
    seed = keys.seed  # type: ignore[union-attr]  # what no node gives a share of
    opening.remove_masks(site.terms, site.shared, opening.Secrets({DROPPED: seed}, {}, ()), late)
    assert np.array_equal(late, site.plain[DROPPED])


def test_what_governance_sees_is_the_same_whatever_is_sent() -> None:
    """It is given public keys; the sum of the masks that it makes of them is what was added."""
    for value in (0, 1):
        products = dict.fromkeys("abc", "p")
        terms = ConsentRound("example.org/space", "5a" * 32, products, 2, WORDS, 32)
        holder = MaskHolder(terms)
        added = zeros(WORDS, 32)
        for name in "abc":
            words = np.full(WORDS, value, np.uint32)
            holder.accept(name, mask_once(terms, name, holder.key, words))
            add_into(added, words - np.uint32(value))
        released = holder.release("abc")
        assert np.array_equal(released, added)
        assert _far_from_uniform(released) < LIMIT
