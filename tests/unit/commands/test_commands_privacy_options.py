"""The options of privacy: read strictly, planned by the budget's own arithmetic, said in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from commands.errors import BadInput
from commands.localspace import run_spec
from commands.privacy_options import PrivacyOptions, privacy_terms, terms_told
from commands.run import run_json
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.privacy_budget import epsilon
from policies.privacy_loss import Event, loss_of
from policies.statements import RunSpec

DELTA = Decimal("0.00001")


def terms(rounds: int = 12, **given: Any) -> tuple[Any, str]:
    return privacy_terms(PrivacyOptions(**given), rounds)


def spec(**changes: Any) -> RunSpec:
    plain = run_spec("a" * 64, ["x"], purpose="research", rounds=12, metrics=[]).to_json()
    return RunSpec.from_json(plain | changes)


def test_without_noise_there_is_no_privacy() -> None:
    assert terms() == (None, "")


def test_noise_is_taken_as_it_is_and_its_loss_is_told() -> None:
    found, told = terms(noise="4.20")
    assert found == {
        "unit": "record",
        "parts": 16,
        "sample": "1",
        "noise": "4.2",
        "by": "nodes",
        "tolerated": 0,
        "delta": "0.00001",
    }
    assert told == "noise 4.2 gives ε 3.671533 at δ 0.00001 over 13 uses of a product"


@pytest.mark.parametrize("limit", ["0.5", "3", "8"])
@pytest.mark.parametrize("sample", ["1", "0.25"])
def test_the_least_noise_that_keeps_an_epsilon_is_planned(limit: str, sample: str) -> None:
    found, told = terms(epsilon=limit, sample=sample)
    noise = Decimal(found["noise"])

    def spent(one: Decimal) -> Decimal:
        value = epsilon(loss_of(Event(one, Decimal(sample)), 13), DELTA)
        assert value is not None
        return value

    assert spent(noise) <= Decimal(limit) < spent(noise - Decimal("0.01"))
    assert told.startswith(f"noise {found['noise']} gives ε ")


def test_every_option_is_passed_on() -> None:
    given: dict[str, Any] = {"unit": "subject", "parts": 64, "sample": "0.5", "delta": "0.001"}
    given["tolerated"] = 2
    found, _ = terms(noise="1", noise_by="governance", **given)
    assert found == {**given, "noise": "1", "by": "governance"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epsilon": "0"}, "--epsilon: expected a limit above 0"),
        ({"epsilon": "-1"}, "--epsilon: expected a number such as 0.5, got '-1'"),
        ({"epsilon": "NaN"}, "--epsilon: expected a number such as 0.5, got 'NaN'"),
        ({"epsilon": "1e9"}, "--epsilon: expected a number such as 0.5, got '1e9'"),
        ({"epsilon": "1000000000"}, "--epsilon: expected a limit above 0 and at most 1000000"),
        ({"epsilon": "0.1 nats"}, "--epsilon: expected a number such as 0.5, got '0.1 nats'"),
        ({"epsilon": "0.000001"}, "--epsilon: expected one that some noise keeps over 13 uses"),
        ({"epsilon": ""}, "--epsilon: expected a number"),
        ({"noise": "0"}, "--noise: expected a noise multiplier from 0.01 to 10000, got '0'"),
        ({"noise": "10001"}, "--noise: expected a noise multiplier"),
        ({"noise": "inf"}, "--noise: expected a number"),
        ({"noise": "1", "epsilon": "1"}, "expected one of them, got both"),
        ({"noise": "1", "sample": "0"}, "--sample: expected"),
        ({"noise": "1", "sample": "1.5"}, "--sample: expected"),
        ({"epsilon": "1", "delta": "1"}, "--delta: expected a number above 0 and below 1"),
        ({"noise": "1", "delta": "0.02"}, "--delta: expected a δ above 0 and at most 0.01"),
        ({"noise": "1", "delta": "0"}, "--delta: expected a δ above 0"),
        ({"noise": "1", "parts": 65_537}, "--parts: "),
        ({"noise": "1", "tolerated": 10_001}, "--tolerated: "),
        ({"unit": "subject"}, "--unit: expected --noise or --epsilon beside it"),
        ({"noise_by": "nodes"}, "--noise-by: expected --noise or --epsilon beside it"),
        ({"tolerated": 0}, "--tolerated: expected --noise or --epsilon beside it"),
    ],
)
def test_what_no_run_can_have_is_refused_by_name(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        terms(**given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"secure_sum": "none", "clip_norm": ""},
            ["updates leave as they are: without masks, without noise"],
        ),
        (
            {"secure_sum": "none", "clip_norm": "1.5", "aggregation": "median", "quorum": 3},
            ["updates leave as they are, clipped to 1.5: without masks, without noise; their me"],
        ),
        (
            {"groups": 3, "min_cohort": 3, "aggregation": "median"},
            [
                "updates leave under masks, clipped to 10: governance alone opens 3 sums a round",
                "of the groups' sums the median is taken",
                "no noise is added",
            ],
        ),
        (
            {"clip_norm": "1.5", "secure_sum": "governance", "min_cohort": 3},
            [
                "updates leave under masks, clipped to 1.5: governance alone opens one sum a "
                "round, each of at least 3 enterprises",
                "no noise is added",
            ],
        ),
        (
            {"clip_norm": "1", "secure_sum": "pairwise"}
            | {"privacy": terms(noise="4.2", unit="subject")[0]},
            [
                "updates leave under masks, clipped to 1: nodes open together one sum a round",
                "the nodes add noise for each subject, in 16 parts: noise 4.2 gives ε 3.671533",
            ],
        ),
        (
            {"clip_norm": "1", "secure_sum": "governance", "groups": 2}
            | {"privacy": terms(noise="1", sample="0.1", noise_by="governance")[0]},
            [
                "updates leave under masks, clipped to 1: governance alone opens 2 sums a round",
                "governance adds noise for each record, in 16 parts, each used with probability "
                "0.1: noise 1 gives ε ",
            ],
        ),
    ],
)
def test_a_runs_terms_in_words(changes: dict[str, Any], told: list[str]) -> None:
    found = terms_told(spec(**changes))
    assert len(found) == len(told)
    for sentence, beginning in zip(found, told, strict=True):
        assert sentence.startswith(beginning)


def test_a_run_is_shown_with_its_terms() -> None:
    noisy = terms(noise="1")[0]
    opened = spec(clip_norm="1", secure_sum="governance", privacy=noisy)
    shown = run_json(pb.Run(run="run-1", spec_json=canonical_bytes(opened.to_json())))
    assert (shown["secure_sum"], shown["groups"], shown["clip_norm"]) == ("governance", 1, "1")
    assert shown["privacy"] == noisy
