"""A private use around a fake runner: what one unit can move, and that nothing else shows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clients_gate import OTHER_KEY, RECEIPT_KEY, body, member

from clients.consent import Subjects
from clients.declared import UNDECLARED, Declaration, Range
from clients.errors import (
    AppFailed,
    AppTimeout,
    ClientError,
    EgressRefused,
    GateRefused,
    SandboxCancelled,
    SandboxUnavailable,
)
from clients.jobs import Job, JobResult
from clients.private_use import PrivateSum, PrivateUse, private_sum, private_use_of
from clients.rowset import RowTree
from clients.sdk import Rows
from clients.selection import Selection
from policies.fixedpoint import Layout
from policies.noise import Floats, Integers, integer_sensitivity
from policies.private_figures import means
from policies.tensors import Tensors

SCALE = 20
INCOMING: Tensors = {
    "bias": np.array([1.0, -1.0], dtype=np.float32),
    "steps": np.array(7, dtype=np.int64),
    "weight": np.full((2, 2), 0.5, dtype=np.float32),
}
ACCURACY = Declaration(
    metrics={"eval_accuracy": Range(least=0, most=1), "eval_gain": Range(least=-2, most=1)}
)

Answer = Callable[[Rows], JobResult]


@dataclass
class FakeRunner:
    """Answers each job with what a function makes of its rows."""

    answer: Answer
    jobs: list[Job] = field(default_factory=list)

    def run(self, job: Job, *, cancelled: threading.Event | None = None) -> JobResult:
        self.jobs.append(job)
        return self.answer(job.rows)


def selection(
    values: list[float], *, held_out: int = 0, subjects: list[str] | None = None
) -> Selection:
    """Rows of one feature each, that last so many of them are held back."""
    features = np.array(values, dtype=np.float32).reshape(-1, 1)
    labels = np.zeros(len(values), dtype=np.int64)
    training = len(values) - held_out
    states = np.ones(len(values), dtype=np.uint8)
    states[training:] = 2
    return Selection(
        rows=Rows(
            features[:training],
            labels[:training],
            features[training:],
            labels[training:],
            ("x",),
            ("a", "b"),
        ),
        states=states,
        product_commitment="f" * 64,
        tree=RowTree(b"k" * 32),
        salt=b"s" * 32,
        subjects=None if subjects is None else Subjects.of(np.array(subjects)),
    )


def use_of(
    *,
    kind: str = "train",
    declared: Declaration = UNDECLARED,
    metrics: tuple[str, ...] = ("loss",),
    members: int = 2,
    groups: int = 1,
    clip_norm: str = "1",
    scale_bits: int = SCALE,
    floats: int | None = None,
    **privacy: Any,
) -> PrivateUse:
    terms = {
        "unit": "record",
        "parts": 1000,
        "sample": "1",
        "noise": "1",
        "by": "governance",
        "tolerated": 0,
        "delta": "0.00001",
    } | privacy
    numbers = floats if floats is not None else 6 if kind == "train" else len(metrics)
    layout = Layout(tuple(sorted(metrics)), numbers, 64, scale_bits)
    cohort = [member("clinic-a", RECEIPT_KEY)]
    cohort += [member(f"clinic-{n}", OTHER_KEY) for n in range(1, members)]
    permit = body(
        kind=kind,
        metrics=list(metrics),
        clip_norm=clip_norm,
        cohort=cohort,
        privacy=terms,
        secure_sum={
            "mode": "governance",
            "key": "ab" * 32,
            "word_bits": 64,
            "scale_bits": scale_bits,
            "words": layout.words,
            "groups": groups,
        },
    )
    found = private_use_of(permit, layout, INCOMING, declared)
    assert found is not None
    return found


def job(use: PrivateUse, seconds: float = 60.0) -> Job:
    return Job(
        app_dir=Path("/nonexistent"),
        kind=use.body.kind,
        model=b"model",
        rows=selection([0]).rows,
        run_config={},
        round=3,
        timeout_s=seconds,
        memory_bytes=1 << 28,
        state=b"kept",
    )


def drawing(number: int = 1) -> Callable[[int], bytes]:
    """The same secrets in the same order."""
    return lambda count: bytes([number]) * count


def summed(
    use: PrivateUse,
    selected: Selection,
    answer: Answer,
    *,
    seconds: float = 60.0,
    draw: Callable[[int], bytes] | None = None,
    failed: Callable[[Exception], None] = lambda error: None,
) -> tuple[PrivateSum, list[Job]]:
    runner = FakeRunner(answer)
    found = private_sum(
        use,
        job(use, seconds),
        selected,
        runner,
        draw=draw or drawing(),
        cancelled=threading.Event(),
        failed=failed,
    )
    return found, runner.jobs


def step(*numbers: float) -> JobResult:
    """An update that differs from the model by these."""
    delta = np.array(numbers, dtype=np.float32)
    bias, weight = (INCOMING[name].astype(np.float32) for name in ("bias", "weight"))
    return JobResult(
        {
            "bias": bias + delta[:2],
            "steps": np.array(99, dtype=np.int64),
            "weight": weight + delta[2:].reshape(2, 2),
        },
        {"loss": 0.25},
        "",
    )


def raw(rows: Rows) -> JobResult:
    """A hostile app: one record's raw values in every number of its update."""
    return step(*[float(rows.features[0, 0])] * 6)


def squared(integers: Integers) -> int:
    return sum(int(one) ** 2 for one in integers)


# -- what is summed --------------------------------------------------------------------------------


def test_each_record_is_clipped_and_the_rest_is_a_sum() -> None:
    found, jobs = summed(use_of(), selection([0.25, 0.5, -0.125]), raw)
    # 0.25 * sqrt(6) < 1 < 0.5 * sqrt(6): the second is scaled down to a norm of 1.
    wanted = 2**SCALE * (0.25 + 1 / np.sqrt(6) - 0.125)
    assert np.abs(found.body - wanted).max() <= 2
    assert [one.rows.features.tolist() for one in jobs] == [[[0.25]], [[0.5]], [[-0.125]]]
    assert [one.rows.held_out_features.size for one in jobs] == [0, 0, 0]
    assert [one.state for one in jobs] == [None] * 3
    assert [one.timeout_s for one in jobs] == [pytest.approx(16.0)] * 3
    assert found.figures == {}


def test_parts_of_several_records_are_clipped_to_half() -> None:
    found, jobs = summed(use_of(parts=2), selection([100.0] * 9), raw)
    assert sorted(len(one.rows.labels) for one in jobs) != [0, 9]
    assert len(jobs) == 2
    assert squared(found.body) <= integer_sensitivity("1", SCALE) ** 2
    assert np.sqrt(squared(found.body)) > 0.999 * 2**SCALE


def test_a_subjects_rows_are_one_part() -> None:
    owners = ["p1", "p2", "p1", "p3", "p2", "p1"]
    _, jobs = summed(use_of(unit="subject"), selection([0, 1, 2, 3, 4, 5], subjects=owners), raw)
    found = sorted(one.rows.features[:, 0].tolist() for one in jobs)
    assert found == [[0, 2, 5], [1, 4], [3]]


def test_only_parts_that_are_taken_run() -> None:
    found, jobs = summed(use_of(sample="0.3"), selection([1.0] * 300), raw)
    assert 50 < len(jobs) < 130
    assert np.abs(found.body / 2**SCALE - len(jobs) / np.sqrt(6)).max() < 0.01


# -- what one unit can move ------------------------------------------------------------------------


@pytest.mark.parametrize("extreme", [1e-3, 1.0, 3e38])
@pytest.mark.parametrize("clip_norm", ["1", "0.37", "12"])
def test_a_hostile_app_moves_the_sum_by_no_more_than_clip_norm(
    clip_norm: str, extreme: float
) -> None:
    """One record's raw values in its part's update; and of the sum's integers, exactly."""
    use = use_of(clip_norm=clip_norm)
    others = [0.1, -0.2, 0.3]
    with_it, _ = summed(use, selection([*others, extreme]), raw)
    without, _ = summed(use, selection(others), raw)
    moved = squared(with_it.body - without.body)
    assert moved <= integer_sensitivity(clip_norm, SCALE) ** 2
    if extreme >= 1:
        assert np.sqrt(moved) > 0.999 * float(integer_sensitivity(clip_norm, SCALE)) * min(
            1, extreme * np.sqrt(6) / float(clip_norm)
        )


@settings(deadline=None, max_examples=40)
@given(
    records=st.integers(1, 12),
    parts=st.integers(1, 14),
    target=st.integers(0, 11),
    clip_norm=st.sampled_from(["1", "0.013", "250"]),
    number=st.integers(0, 255),
)
def test_a_record_that_is_gone_moves_it_by_no_more_whatever_the_app_does(
    records: int, parts: int, target: int, clip_norm: str, number: int
) -> None:
    """The app does all it can: where it sees the record it returns the opposite."""
    marked = float(target % records)

    def opposite(rows: Rows) -> JobResult:
        sign = 1.0 if marked in rows.features else -1.0
        return step(*[sign * 1e6] * 6)

    use = use_of(parts=parts, clip_norm=clip_norm)
    values = [float(n) for n in range(records)]
    with_it, _ = summed(use, selection(values), opposite, draw=drawing(number))

    # Its contribution is replaced by none: the deal is that of all rows, for their number is
    # public; the app finds a part without it.
    def without_it(rows: Rows) -> JobResult:
        left = rows.features[rows.features != marked].reshape(-1, 1)
        if not len(left):
            raise AppFailed("a part without a row contributes nothing")
        return opposite(replace(rows, features=left, labels=rows.labels[: len(left)]))

    without, _ = summed(use, selection(values), without_it, draw=drawing(number))
    moved = squared(with_it.body - without.body)
    assert moved <= integer_sensitivity(clip_norm, SCALE) ** 2


def renyi(p: Floats, q: Floats, order: float, width: float) -> float:
    return float(np.log(np.sum(np.exp(order * np.log(p) - (order - 1) * np.log(q))) * width))


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("sample", [0.01, 0.2, 0.7, 1.0])
def test_a_sampled_part_that_changes_tells_no_more_than_one_that_is_gone(
    noise: float, sample: float
) -> None:
    """With one unit less a part of several goes from one end of its norm of 1/2 to the other; what
    is accounted for is a part of norm 1 that is there or not. The densities, by quadrature."""
    x = np.linspace(-40 * noise, 40 * noise, 100_001)
    width = x[1] - x[0]

    def density(at: float) -> Floats:
        weights: Floats = (
            np.exp(-np.square(x - at) / (2 * noise**2)) / (noise * np.sqrt(2 * np.pi)) + 1e-320
        )
        return weights

    there = (1 - sample) * density(0) + sample * density(1)
    one, other = ((1 - sample) * density(0) + sample * density(end) for end in (0.5, -0.5))
    for order in (1.25, 2.0, 4.0, 8.0):
        accounted = max(
            renyi(there, density(0), order, width), renyi(density(0), there, order, width)
        )
        assert renyi(one, other, order, width) <= accounted * (1 + 1e-9) + 1e-12


# -- nothing else shows ----------------------------------------------------------------------------


def failing(error: Exception) -> Answer:
    def answer(rows: Rows) -> JobResult:
        if 1.0 in rows.features:
            raise error
        return raw(rows)

    return answer


MALFORMED = {
    "nothing": JobResult(None, {}, ""),
    "more": JobResult(INCOMING | {"x": np.zeros(1)}, {}, ""),
    "less": JobResult({"bias": INCOMING["bias"]}, {}, ""),
    "shape": JobResult(INCOMING | {"bias": np.zeros(3, dtype=np.float32)}, {}, ""),
    "type": JobResult(INCOMING | {"bias": np.zeros(2, dtype=np.float64)}, {}, ""),
    "nan": JobResult(INCOMING | {"bias": np.array([np.nan, 0], dtype=np.float32)}, {}, ""),
}


@pytest.mark.parametrize(
    "error",
    [
        AppFailed("it raised"),
        AppTimeout("too long"),
        EgressRefused("of another form"),
        SandboxUnavailable("an app can forge this"),
        RecursionError("whatever a reply does to its reader"),
        MemoryError(),
    ],
)
def test_a_part_that_fails_counts_as_zeros(error: Exception) -> None:
    told: list[Exception] = []
    found, jobs = summed(
        use_of(), selection([0.25, 1.0, 0.125]), failing(error), failed=told.append
    )
    assert len(jobs) == 3
    assert (found.body == round(2**SCALE * 0.375)).all()
    assert told == [error]


@pytest.mark.parametrize("name", MALFORMED)
def test_so_does_one_of_another_form(name: str) -> None:
    told: list[Exception] = []
    found, _ = summed(use_of(), selection([1.0]), lambda rows: MALFORMED[name], failed=told.append)
    assert squared(found.body) == 0
    assert [type(error) for error in told] == [EgressRefused]


def test_if_all_fail_the_sum_is_noise_and_not_a_refusal() -> None:
    """Else an app that fails everywhere but where it finds a record would name it."""
    everywhere = selection([1.0] * 20)
    found, jobs = summed(use_of(by="nodes"), everywhere, failing(AppFailed("no")))
    nobody, _ = summed(use_of(by="nodes"), selection([]), failing(AppFailed("no")))
    assert len(jobs) == 20
    assert found.body.tolist() == nobody.body.tolist()
    assert squared(found.body) > 0


def test_who_ends_the_use_ends_it() -> None:
    with pytest.raises(SandboxCancelled):
        summed(use_of(), selection([0.0, 1.0, 2.0]), failing(SandboxCancelled("by the owner")))


# -- noise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "groups", "tolerated", "among"), [(2, 1, 0, 2), (9, 1, 2, 7), (9, 2, 1, 3)]
)
def test_a_nodes_share_of_the_noise(members: int, groups: int, tolerated: int, among: int) -> None:
    """Of the smallest group, without those who may be missing."""
    use = use_of(members=members, groups=groups, tolerated=tolerated, by="nodes", noise="3")
    assert use.sigma == pytest.approx(3 * 2**SCALE / np.sqrt(among))
    draws = [summed(use, selection([]), raw, draw=drawing(number))[0].body for number in range(200)]
    assert np.std(draws) == pytest.approx(use.sigma, rel=0.1)
    assert len({tuple(one.tolist()) for one in draws}) == 200


def test_what_is_released_is_the_gaussian_mechanism_of_the_permits_noise() -> None:
    """Of five members one is missing. The record moves the sum by clip_norm, along one direction;
    the noise of the four has `noise` times that as its deviation, along that one as along any."""
    use = use_of(members=5, tolerated=1, by="nodes", noise="2", clip_norm="0.5")
    unit = float(integer_sensitivity("0.5", SCALE))

    def released(records: list[float], number: int) -> Floats:
        first, _ = summed(use, selection(records), raw, draw=drawing(number))
        others = [
            summed(use, selection([]), raw, draw=drawing(number + 50 * n))[0] for n in (1, 2, 3)
        ]
        total: Floats = (first.body + sum(one.body for one in others)) / unit
        return total @ np.ones(6) / np.sqrt(6)

    there = np.array([released([9.0], number) for number in range(50)])
    gone = np.array([released([], number) for number in range(50)])
    assert there - gone == pytest.approx(np.ones(50), abs=1e-4)  # the same noise, for the test
    assert np.std(gone) == pytest.approx(2, rel=0.3)


def test_governance_adds_all_of_it_or_the_nodes_do() -> None:
    assert use_of(by="governance").sigma == 0
    assert squared(summed(use_of(by="governance"), selection([]), raw)[0].body) == 0


# -- refused before a row is looked at -------------------------------------------------------------


def refusals() -> Iterator[tuple[str, Callable[[], object], str]]:
    yield "subject", lambda: summed(use_of(unit="subject"), selection([1.0]), raw), "of subjects"
    yield (
        "slots",
        lambda: summed(use_of(), selection([1.0] * 50), raw, seconds=10),
        "runs on 50 parts one after another, which takes at least 12 s; the permit allows 10 s",
    )
    yield (
        "undeclared",
        lambda: use_of(kind="evaluate", metrics=("eval_accuracy",)),
        "metric 'eval_accuracy': expected an app that declares its least and most",
    )
    without = Declaration(metrics={"eval_accuracy": None})
    yield (
        "no range",
        lambda: use_of(kind="evaluate", metrics=("eval_accuracy",), declared=without),
        "metric 'eval_accuracy': expected an app that declares",
    )
    yield "words", lambda: use_of(floats=5), "a vector of 6 numbers, the permit has 5"
    yield "scale", lambda: use_of(scale_bits=0), "take a larger one"
    yield "noise", lambda: use_of(scale_bits=3, by="nodes", noise="0.01"), "a larger scale"
    yield "clip", lambda: use_of(clip_norm=""), "a clip_norm and a secure sum"


@pytest.mark.parametrize(
    ("ask", "words"), [pytest.param(ask, words, id=name) for name, ask, words in refusals()]
)
def test_what_cannot_be_is_refused_in_words(ask: Callable[[], object], words: str) -> None:
    with pytest.raises(GateRefused, match=words):
        ask()


def test_an_app_that_declares_other_arrays_is_refused() -> None:
    other = Declaration.from_json({"arrays": {}, "metrics": None, "max_bytes": None})
    with pytest.raises(ClientError, match="does not declare it"):
        use_of(declared=other)


def test_a_permit_without_privacy_asks_for_no_private_use() -> None:
    layout = Layout(("loss",), 6, 32, 20)
    assert private_use_of(body(clip_norm="1"), layout, INCOMING, UNDECLARED) is None


# -- evaluations -----------------------------------------------------------------------------------


def told(rows: Rows) -> JobResult:
    """Figures of the rows held back: the mean of their one feature, and twice its negative."""
    assert not len(rows.labels)
    mean = float(rows.held_out_features.mean())
    return JobResult(None, {"eval_accuracy": mean, "eval_gain": -2 * mean, "other": 1.0}, "")


@pytest.mark.parametrize(("parts", "sample"), [(1000, "1"), (40, "1"), (1000, "0.5")])
def test_figures_come_back_as_their_means(parts: int, sample: str) -> None:
    names = ("eval_accuracy", "eval_gain", "train_loss")
    use = use_of(kind="evaluate", metrics=names, declared=ACCURACY, parts=parts, sample=sample)
    values = [0.9, 0.7, 0.2, 0.6] * 100
    found, jobs = summed(use, selection(values, held_out=400), told, seconds=600)
    assert all(not len(one.rows.labels) for one in jobs)
    assert found.body[2] == 0, "a training's figure is none of an evaluation's"
    weights = {
        name: (weight, Fraction(weight) * Fraction(span))
        for name, (weight, span) in (dict(found.figures) | {"train_loss": (0, Decimal(0))}).items()
    }
    opened = means(names, found.body / 2.0**SCALE, weights, "1")
    slack = 1e-3 if (parts, sample) == (1000, "1") else 0.06
    assert set(opened) == {"eval_accuracy", "eval_gain"}
    assert float(opened["eval_accuracy"]) == pytest.approx(0.6, abs=slack)
    assert float(opened["eval_gain"]) == pytest.approx(-1.2, abs=2 * slack)


def test_one_record_moves_figures_by_no_more_than_clip_norm() -> None:
    use = use_of(kind="evaluate", metrics=("eval_accuracy", "eval_gain"), declared=ACCURACY)
    for value in (0.0, 0.5, 1.0):
        with_it, _ = summed(use, selection([0.3, 0.4, value], held_out=3), told)
        without, _ = summed(use, selection([0.3, 0.4], held_out=2), told)
        assert squared(with_it.body - without.body) <= integer_sensitivity("1", SCALE) ** 2


@pytest.mark.parametrize("value", [1.5, -0.5, np.nan])
def test_a_figure_outside_of_its_range_counts_as_none(value: float) -> None:
    """A part that says so says it to nobody."""
    use = use_of(kind="evaluate", metrics=("eval_accuracy",), declared=ACCURACY)
    found, _ = summed(use, selection([value], held_out=1), told)
    assert squared(found.body) == 0


def test_no_rows_no_figures() -> None:
    use = use_of(kind="evaluate", metrics=("eval_accuracy",), declared=ACCURACY)
    found, jobs = summed(use, selection([0.5]), told)
    assert (found.figures, jobs) == ({}, [])
