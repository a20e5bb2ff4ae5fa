"""Losses as exact multisets, and the ε that they amount to."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from dp_accounting import (
    GaussianDpEvent,
    NeighboringRelation,
    PoissonSampledDpEvent,
    get_epsilon_gaussian,
)
from dp_accounting.rdp import RdpAccountant

from policies import privacy_budget
from policies.errors import DocumentError, PolicyError, PrivacyError
from policies.privacy_budget import (
    ORDERS,
    epsilon,
    gaussian_delta,
    noise_for,
    remaining_rounds,
)
from policies.privacy_loss import (
    NO_LOSSES,
    UNBOUNDED,
    Event,
    Losses,
    loss_of,
    parse_event,
    parse_losses,
)

D = Decimal
DELTA = D("0.00001")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(D(4)), "4"),
        (Event(D("4.00"), D("1.0")), "4"),
        (Event(D("1.5"), D("0.1")), "1.5@0.1"),
        (Event(D("1E+1"), D("1E-3")), "10@0.001"),
    ],
)
def test_an_event_has_one_spelling(event: Event, text: str) -> None:
    assert str(event) == text
    assert parse_event(text) == event


@pytest.mark.parametrize(
    "text", ["", "4.0", "04", "4@1", "4@", "4@0.1@0.1", "-4", "4e1", "NaN", "٤"]
)
def test_another_spelling_of_an_event_is_refused(text: str) -> None:
    with pytest.raises(PrivacyError, match="event: expected"):
        parse_event(text)


@pytest.mark.parametrize("noise", ["0", "-1", "NaN", "sNaN", "Infinity", "1000000000", "0.009"])
def test_a_noise_that_cannot_be_is_refused_by_name(noise: str) -> None:
    with pytest.raises(PrivacyError, match="noise: expected a multiplier"):
        Event(D(noise))


@pytest.mark.parametrize("sample", ["0", "-0.1", "NaN", "1.000001"])
def test_a_probability_that_cannot_be_is_refused_by_name(sample: str) -> None:
    with pytest.raises(PrivacyError, match="sample: expected a probability"):
        Event(D(4), D(sample))


def test_an_event_has_no_more_digits_than_its_spelling() -> None:
    with pytest.raises(PrivacyError, match="18 digits"):
        Event(D("1.0000000000000000001"))


def test_losses_add_up_whatever_the_order() -> None:
    some, other = loss_of(Event(D(4)), 2), loss_of(Event(D(4), D("0.1")))
    both = some.plus(other).plus(UNBOUNDED).plus(loss_of(Event(D("4.0"))))
    assert str(both) == '{"4":3,"4@0.1":1,"unbounded":1}'
    assert both == UNBOUNDED.plus(loss_of(Event(D(4)), 3)).plus(other)
    assert parse_losses(str(both)) == both
    assert some.plus(NO_LOSSES) == NO_LOSSES.plus(some) == some
    assert loss_of(None, 3) == Losses(unbounded=3)
    assert loss_of(Event(D(4)), 0) == NO_LOSSES


def test_losses_are_within_those_that_hold_all_of_them() -> None:
    some = loss_of(Event(D(4)), 2)
    assert some.within(some) and NO_LOSSES.within(some)
    assert not some.within(loss_of(Event(D(4))))
    assert not some.within(loss_of(Event(D(5)), 2))
    assert not UNBOUNDED.within(some)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"4":0}',
        '{"4":-1}',
        '{"4":true}',
        '{"4":"1"}',
        '{"unbounded":0}',
        '{"5":1, "4":1}',
    ],
)
def test_other_texts_are_no_losses(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_losses(text)


def test_losses_that_cannot_be_are_refused() -> None:
    with pytest.raises(PrivacyError):
        Losses(unbounded=-1)
    with pytest.raises(PrivacyError):
        Losses(((Event(D(5)), 1), (Event(D(4)), 1)))
    with pytest.raises(DocumentError):
        parse_losses('{"4":1.5}')


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (NO_LOSSES, "0"),
        (UNBOUNDED, None),
        (UNBOUNDED.plus(loss_of(Event(D(4)))), None),
        # NOTES: noise 5, 50 rounds: 6.57 exact
        (loss_of(Event(D(5)), 50), "6.572971"),
        (loss_of(Event(D(10_000))), "0.000091"),
        (loss_of(Event(D("0.01"))), "5425.509847"),
    ],
)
def test_the_epsilon_of_losses(losses: Losses, expected: str | None) -> None:
    assert epsilon(losses, DELTA) == (None if expected is None else D(expected))


@pytest.mark.parametrize("noise", ["0.01", "0.5", "1", "4", "17.3", "1000"])
@pytest.mark.parametrize("uses", [1, 7, 300])
@pytest.mark.parametrize("delta", ["0.01", "0.00001", "0.000000000001"])
def test_gaussian_events_have_their_exact_epsilon(noise: str, uses: int, delta: str) -> None:
    found = epsilon(loss_of(Event(D(noise)), uses), D(delta))
    exact = get_epsilon_gaussian(float(noise) / math.sqrt(uses), float(delta))
    assert found is not None
    assert -1e-12 * exact <= float(found) - exact < 1.1e-6 + 1e-10 * exact


def test_gaussian_events_of_different_noise_are_one_mechanism() -> None:
    mixed = loss_of(Event(D(3))).plus(loss_of(Event(D(4))))  # 1/9 + 1/16 = 1/2.4²
    assert epsilon(mixed, DELTA) == epsilon(loss_of(Event(D("2.4"))), DELTA)


@pytest.mark.parametrize(
    ("mu", "at"), [(0.0001, 0.0), (0.1, 0.3), (1.0, 0.1), (3.0, 9.0), (20.0, 1.0)]
)
def test_delta_is_the_hockey_stick_divergence(mu: float, at: float) -> None:
    x = np.linspace(-12, 12 + mu, 2_000_001)
    gap = np.exp(-((x - mu) ** 2) / 2) - math.exp(at) * np.exp(-(x**2) / 2)
    area = np.clip(gap, 0, None).sum() * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    assert gaussian_delta(mu, at) == pytest.approx(area, rel=1e-6, abs=1e-14)


def test_there_are_as_many_orders_as_the_module_says() -> None:
    assert len(ORDERS) == 24
    assert "(ε, 25 δ)" in str(privacy_budget.__doc__)


@pytest.mark.parametrize(
    "losses",
    [
        loss_of(Event(D(1), D("0.01")), 1000),
        loss_of(Event(D(4), D("0.1")), 12).plus(loss_of(Event(D(4)), 3)),
        loss_of(Event(D("0.5"), D("0.5")), 20),
    ],
)
def test_sampled_events_have_the_bound_of_renyi_divergences(losses: Losses) -> None:
    accountant = RdpAccountant(ORDERS, NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event, count in losses.events:
        one = GaussianDpEvent(float(event.noise))
        if event.sample < 1:
            one = PoissonSampledDpEvent(float(event.sample), one)
        accountant.compose(one, count)
    found = epsilon(losses, DELTA)
    assert found is not None
    assert 0 < float(found) - accountant.get_epsilon(1e-5) < 1.1e-6


def test_a_probability_near_one_is_not_less_than_a_sampled_one() -> None:
    drawn = epsilon(loss_of(Event(D(4), D("0.1")), 10), DELTA)
    all_of_them = epsilon(loss_of(Event(D(4)), 10), DELTA)
    assert drawn is not None and all_of_them is not None
    assert drawn < all_of_them


@pytest.mark.parametrize("sample", ["1", "0.1"])
def test_as_many_rounds_remain_as_keep_the_limit(sample: str) -> None:
    event, spent = Event(D(4), D(sample)), loss_of(Event(D(6)), 2)
    rounds = remaining_rounds(spent, event, D(3), DELTA)
    last = epsilon(spent.plus(loss_of(event, rounds)), DELTA)
    over = epsilon(spent.plus(loss_of(event, rounds + 1)), DELTA)
    assert rounds > 1
    assert last is not None and over is not None
    assert last <= 3 < over


def test_no_rounds_remain_where_nothing_bounds_them_or_too_little_is_left() -> None:
    assert remaining_rounds(UNBOUNDED, Event(D(4)), D(3), DELTA) == 0
    assert remaining_rounds(NO_LOSSES, Event(D("0.5")), D("0.1"), DELTA) == 0
    assert remaining_rounds(NO_LOSSES, Event(D(10_000)), D(1000), DELTA) == 1_000_000


@pytest.mark.parametrize("sample", ["1", "0.1"])
def test_planned_noise_is_the_least_that_keeps_the_limit(sample: str) -> None:
    noise = noise_for(D(3), DELTA, 10, D(sample))
    assert noise is not None
    kept = epsilon(loss_of(Event(noise, D(sample)), 10), DELTA)
    broken = epsilon(loss_of(Event(noise - D("0.01"), D(sample)), 10), DELTA)
    assert kept is not None and broken is not None
    assert kept <= 3 < broken


def test_planned_noise_at_the_ends() -> None:
    assert noise_for(D(1_000_000), DELTA, 1) == D("0.01")
    assert noise_for(D("0.00001"), D("0.000000001"), 1_000_000) is None


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: epsilon(NO_LOSSES, D(0)), "delta"),
        (lambda: epsilon(NO_LOSSES, D(1)), "delta"),
        (lambda: epsilon(NO_LOSSES, D("NaN")), "delta"),
        (lambda: remaining_rounds(NO_LOSSES, Event(D(4)), D(0), DELTA), "epsilon"),
        (lambda: remaining_rounds(NO_LOSSES, Event(D(4)), D(-1), DELTA), "epsilon"),
        (lambda: remaining_rounds(NO_LOSSES, Event(D(4)), D("NaN"), DELTA), "epsilon"),
        (lambda: remaining_rounds(NO_LOSSES, Event(D(4)), D(10**9), DELTA), "epsilon"),
        (lambda: noise_for(D(1), DELTA, 0), "uses"),
        (lambda: noise_for(D(1), DELTA, 1, D(2)), "sample"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call: Callable[[], object], name: str) -> None:
    with pytest.raises(PrivacyError, match=f"^{name}: expected"):
        call()


def test_accounting_is_loaded_only_when_it_is_asked_for() -> None:
    program = (
        "import sys, policies.privacy_budget, policies.permit, policies.statements\n"
        "print(sorted({'scipy', 'dp_accounting'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
