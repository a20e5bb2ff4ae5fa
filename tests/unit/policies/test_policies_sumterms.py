"""The terms of a secure sum: what governance chooses, a node can check and an auditor repeat."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from policies.errors import EncodingError
from policies.fixedpoint import Layout
from policies.privacy import PermitSum, Privacy
from policies.scale import check_scale
from policies.sumterms import LEAST_STEPS, MOST_SIGMA, permit_sum, sum_bound


def privacy(**changes: Any) -> Privacy:
    values: dict[str, Any] = {
        "unit": "record",
        "parts": 8,
        "sample": "1",
        "noise": "1.5",
        "by": "nodes",
        "tolerated": 1,
        "delta": "0.00001",
    }
    return Privacy.from_json(values | changes)


def terms(**changes: Any) -> PermitSum:
    values: dict[str, Any] = {
        "mode": "governance",
        "key": "",
        "kind": "train",
        "metrics": ["loss", "accuracy"],
        "floats": 1000,
        "clip_norm": "1.5",
        "privacy": None,
        "members": 10,
        "groups": 1,
    }
    return permit_sum(**(values | changes))


HEAD = Layout(("accuracy", "loss"), 0, 32, 30).words
WIDE_HEAD = Layout(("accuracy", "loss"), 0, 64, 30).words


@pytest.mark.parametrize(
    ("changes", "words", "word_bits", "scale_bits"),
    [
        ({}, HEAD + 1000, 32, 30),
        ({"metrics": ["loss", "loss", "accuracy"]}, HEAD + 1000, 32, 30),
        ({"floats": 0}, HEAD, 32, 30),
        ({"kind": "evaluate"}, HEAD, 32, 30),
        ({"kind": "evaluate", "privacy": privacy()}, HEAD + 2, 32, 23),
        ({"privacy": privacy()}, HEAD + 1000, 32, 23),
        # 32768 * 10 parts and noise leave the norm fewer than 2^16 steps of 32-bit words
        ({"privacy": privacy(parts=32_768)}, WIDE_HEAD + 1000, 64, 37),
        ({"clip_norm": "20000"}, HEAD + 1000, 32, 16),
        ({"clip_norm": "20000000000"}, WIDE_HEAD + 1000, 64, 28),
        ({"clip_norm": "0.00000000001"}, HEAD + 1000, 32, 62),
        ({"members": 10_000}, HEAD + 1000, 32, 30),
    ],
)
def test_terms(changes: dict[str, Any], words: int, word_bits: int, scale_bits: int) -> None:
    found = terms(**changes)
    assert (found.words, found.word_bits, found.scale_bits) == (words, word_bits, scale_bits)
    given = {"clip_norm": "1.5", "privacy": None, "members": 10} | changes
    bound = sum_bound(given["clip_norm"], given["privacy"], given["members"])
    check_scale(
        bound=bound,
        members=given["members"],
        word_bits=found.word_bits,
        scale_bits=found.scale_bits,
    )
    clip = Fraction(given["clip_norm"])
    assert clip * (1 << found.scale_bits) >= LEAST_STEPS
    if given["privacy"] is not None:
        sigma = Fraction(given["privacy"].noise) * clip * (1 << found.scale_bits)
        assert sigma <= MOST_SIGMA


def test_noise_is_part_of_the_bound() -> None:
    assert sum_bound("1.5", None, 10) == Fraction("1.5")
    assert sum_bound("1.5", privacy(), 10) == (80 + 12 * Fraction("1.5")) * Fraction("1.5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_norm": "0.0000000000000001"}, "clip_norm: expected one that has"),
        ({"clip_norm": "900000000000000000", "members": 10_000, "privacy": privacy()}, "scale"),
        ({"floats": 1 << 28}, "layout: expected 0 to"),
        ({"floats": 1 << 27, "groups": 8}, "ask for fewer groups"),
        ({"members": 10_001}, "members"),
    ],
)
def test_what_no_words_hold_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        terms(**changes)
