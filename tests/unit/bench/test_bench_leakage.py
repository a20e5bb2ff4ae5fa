"""Each attack succeeds where it must, and fails on noise: a broken one must not look private."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.attacks.accounting import most_area, noise_of
from bench.attacks.canaries import audit, least_epsilon, mislabelled
from bench.attacks.data import Population, digits, hospitals
from bench.attacks.gallery import draw as draw_gallery
from bench.attacks.gallery import lines_of, png
from bench.attacks.imprint import imprinted, sent_rows
from bench.attacks.inversion import Effort, invert
from bench.attacks.measure import Rebuilt, Told
from bench.attacks.membership import Membership, area, confidence, likelihood_ratios, measure
from bench.attacks.perceptron import backward, initial, with_one
from bench.attacks.plots import Chart, Dot, draw
from bench.attacks.promises import broken
from bench.attacks.shipped import audit_shipped
from bench.attacks.similarity import Likeness, likeness, mean_record, other_record, psnr
from bench.attacks.training import Plan, halves, plain, private, untrained
from bench.attacks.views import View

PLAN = Plan(rounds=10)
BY_HEART = Plan(plain_rounds=80, learning_rate=0.1)
QUIET, LOUD = 0.0, 12.0


@pytest.fixture(scope="module")
def few() -> Population:
    """Digits, 300 of them, and a narrow model."""
    whole = digits(hidden=32)
    return replace(whole, rows=whole.rows[:300], labels=whole.labels[:300], owner=whole.owner[:300])


def with_labels(population: Population, seed: int) -> Population:
    """The same rows with labels of no meaning: a model can only learn them by heart."""
    labels = np.random.default_rng(seed).integers(0, population.classes, len(population.rows))
    return replace(population, labels=labels)


@pytest.mark.parametrize("batch, least", [(1, 60.0), (8, 30.0)])
def test_an_update_in_the_clear_is_inverted(few: Population, batch: int, least: float) -> None:
    view = View("clear", 1, batch)
    found = likeness(invert(few, untrained(few, 1), view, 2, 1, Effort(starts=1, steps=400)))
    assert found.mean > least
    assert found.records == 2 * batch


@pytest.mark.parametrize("population", [digits(32), hospitals()], ids=lambda one: one.name)
def test_an_update_of_one_record_is_the_record(population: Population) -> None:
    found = invert(population, untrained(population, 1), View("clear", 1, 1), 3, 1, Effort(1, 50))
    assert likeness(found).mean > 60


def test_under_clip_and_noise_inversion_comes_to_the_mean_record(few: Population) -> None:
    view = View("noisy", 10, 4, PLAN, LOUD)
    found = likeness(invert(few, untrained(few, 1), view, 1, 1, Effort(starts=1, steps=200)))
    assert found.recognised == 0
    assert abs(found.mean - mean_record(few).mean) < 2


@pytest.mark.parametrize("plan", [None, PLAN], ids=["plain", "clipped"])
def test_an_imprint_pulls_records_out_of_a_sum(few: Population, plan: Plan | None) -> None:
    wide = replace(few, hidden=128)
    found = likeness(imprinted(wide, View("sum", 10, 8, plan), 3, 1))
    assert found.recognised > 0.3
    assert found.best == 100


def test_an_imprint_under_noise_finds_nobody(few: Population) -> None:
    wide = replace(few, hidden=128)
    found = likeness(imprinted(wide, View("sum", 10, 8, PLAN, 1.0), 3, 1))
    assert found.recognised == 0
    assert found.mean < other_record(few).mean


def test_rows_that_are_sent_arrive_unless_there_is_noise(few: Population) -> None:
    assert likeness(sent_rows(few, PLAN, QUIET, 1, 1)).mean > 60
    some, more, none = (
        likeness(sent_rows(few, PLAN, noise, 10, 1)).mean for noise in (0.02, 0.5, 100.0)
    )
    assert some > more > none
    assert none == pytest.approx(mean_record(few).mean, abs=0.1)


def test_lira_tells_members_of_a_model_that_learned_by_heart(few: Population) -> None:
    learned = replace(with_labels(few, 1), hidden=64)
    taken = halves(learned, 14, 1)
    models = plain(learned, taken, BY_HEART, 1)
    found = measure(ratios(models, learned, taken), taken, draws=20)
    assert found.auc > 0.7
    assert found.low < found.auc < found.high
    assert found.tpr > 0.05


def test_lira_guesses_where_noise_drowns_everything(few: Population) -> None:
    learned = with_labels(few, 1)
    taken = halves(learned, 14, 1)
    found = measure(
        ratios(private(learned, taken, PLAN, 100.0, 1), learned, taken), taken, draws=20
    )
    assert 0.45 < found.auc < 0.55


def test_lira_needs_shadows_on_both_sides(few: Population) -> None:
    with pytest.raises(ValueError, match="use more"):
        likelihood_ratios(np.zeros((2, 4)), np.array([[True] * 4, [False] * 4]))


def ratios(models, population: Population, taken):  # type: ignore[no-untyped-def]
    return likelihood_ratios(confidence(models, population.rows, population.labels), taken)


def test_canaries_are_told_by_an_aggregator_unless_there_is_noise(few: Population) -> None:
    clear = mislabelled(few, PLAN, QUIET, 1).watched
    noisy = mislabelled(few, PLAN, LOUD * 10, 1).watched
    assert clear is not None and noisy is not None
    assert clear.auc > 0.99
    assert clear.epsilon == pytest.approx(clear.most)
    assert noisy.auc < 0.65
    assert noisy.epsilon < 0.5


def test_canaries_of_a_model_that_learned_by_heart_are_told(few: Population) -> None:
    found = mislabelled(replace(few, hidden=64), BY_HEART, QUIET, 1, train_plainly=True)
    assert found.watched is None
    assert found.released.auc > 0.7


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 4.0])
def test_the_bound_of_an_audit_is_below_the_truth(epsilon: float) -> None:
    """Randomised response tells each coin rightly with chance e^ε / (1 + e^ε)."""
    rng = np.random.default_rng(3)
    member = rng.random(2000) < 0.5
    told = rng.random(2000) < 1 / (1 + math.exp(-epsilon))
    score = np.where(member == told, 1.0, 0.0) + 1e-6 * rng.random(2000)
    assert 0.6 * epsilon < audit(score, member).epsilon <= epsilon


def test_an_audit_of_nothing_finds_nothing() -> None:
    rng = np.random.default_rng(4)
    assert audit(rng.random(2000), rng.random(2000) < 0.5).epsilon < 0.2
    assert least_epsilon(100, 100, 50, 0.05) == 0


def test_the_code_that_ships_is_seen_through_without_noise_and_not_with_much() -> None:
    little, much = audit_shipped("0.05", 1, 1), audit_shipped("50", 1, 1)
    assert little.auc > 0.999
    assert little.epsilon == pytest.approx(little.most)
    assert much.auc < 0.55
    assert much.epsilon < 0.3


def test_the_gradients_of_many_models_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    rows, labels = rng.normal(size=(6, 7)), rng.integers(0, 3, 6)
    model = initial(1, 7, 5, 3, 1)
    signals = backward(model, with_one(rows), labels)
    first, second = (
        torch.tensor(part[0].astype(np.float64), requires_grad=True)
        for part in (model.first, model.second)
    )
    ones = torch.ones(6, 1).double()
    hidden = (torch.cat([torch.tensor(rows), ones], 1) @ first).relu()
    scores = torch.cat([hidden, ones], 1) @ second
    losses = torch.nn.functional.cross_entropy(scores, torch.tensor(labels), reduction="none")
    each = [torch.autograd.grad(loss, (first, second), retain_graph=True) for loss in losses]
    flat = np.stack([np.concatenate([part.numpy().ravel() for part in one]) for one in each])
    total = signals.total(np.ones((1, 6), dtype=np.float32))
    ours = np.concatenate([total.first.ravel(), total.second.ravel()])
    np.testing.assert_allclose(ours, flat.sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(signals.norms()[0], np.linalg.norm(flat, axis=1), rtol=1e-4)
    weights = np.ones((1, 6), dtype=np.float32)
    np.testing.assert_allclose(signals.gram(weights)[0], flat @ flat.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(signals.along(total)[0], flat @ ours, rtol=1e-3, atol=1e-4)


def test_each_record_is_in_half_of_the_models_of_its_enterprise(few: Population) -> None:
    taken = halves(few, 40, 1)
    for enterprise in range(few.enterprises):
        own = taken[:, few.owner == enterprise]
        assert (own.sum(1) == own.shape[1] // 2).all()
    assert (taken[0::2] ^ taken[1::2]).all()  # 30 each: nobody is left over


def test_psnr_is_that_of_its_definition(few: Population) -> None:
    black, grey = np.zeros((1, 64)), np.full((1, 64), 0.1)
    assert psnr(black, grey, few)[0, 0] == pytest.approx(20)
    assert psnr(black, black, few)[0, 0] == 100
    assert psnr(black, grey - 5, few)[0, 0] == 100  # what is below every feature's range is cut


def test_no_attack_can_tell_more_than_two_normals() -> None:
    assert noise_of(math.inf, 10) == 0
    assert most_area(0.0, 10) == 1
    assert noise_of(8, 80) == pytest.approx(5.37, abs=0.02)
    assert most_area(noise_of(3, 80), 80) == pytest.approx(0.694, abs=0.01)
    assert area(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False])) == 0.75


def found(mean: float, best: float) -> Likeness:
    return Likeness(mean, best, float(best >= 25), 10)


def told(training: str, accuracy: float, auc: float) -> Told:
    lira = Membership(auc, auc - 0.01, auc + 0.01, 0.01)
    nothing = audit(np.zeros(4), np.array([True, False, True, False]))
    return Told("digits", training, 10, 1.0, accuracy, accuracy, 0.9, lira, 0.7, None, nothing)


OTHER = Rebuilt("digits", "the nearest other record", "none", 0.0, found(17.0, 24.0))


@pytest.mark.parametrize(
    "line, word",
    [
        (Rebuilt("digits", "sum, ε 8", "imprint", 5.0, found(12.0, 15.0)), ""),
        (Rebuilt("digits", "sum, ε 8", "imprint", 5.0, found(18.0, 19.0)), "nearest other"),
        (Rebuilt("digits", "sum, ε 3", "imprint", 5.0, found(12.0, 26.0)), "none at 25 dB"),
        (Rebuilt("digits", "sum, ε 60", "imprint", 5.0, found(30.0, 40.0)), ""),
        (told("8", 0.95, 0.519), ""),
        (told("8", 0.95, 0.53), "LiRA"),
        (told("60", 0.95, 0.6), ""),
        (told("3", 0.89, 0.51), "accuracy"),
    ],
)
def test_promises_that_figures_do_not_keep_are_named(line: Rebuilt | Told, word: str) -> None:
    records = [OTHER, line] if isinstance(line, Rebuilt) else [OTHER]
    members = [told("averaging", 0.96, 0.6)]
    members += [line] if isinstance(line, Told) else []
    missed = broken(records, members)
    assert (word in missed[0]) if word else not missed


def test_a_chart_is_svg_with_its_words(tmp_path: Path) -> None:
    from auditors.svg import Said

    said = Said(id="x", title="A <title>", text="what it says")
    chart = Chart(said, [("a line", [Dot(0, 1.0, 0.5, 2.0)])], 0, 4, 1, ("one",), ((3.0, "here"),))
    drawn = draw(chart)
    assert drawn.startswith("<svg") and drawn.endswith("</svg>")
    for words in ("A &lt;title&gt;", "a line", "here", "one"):
        assert words in drawn


def test_the_gallery_shows_the_record_and_what_was_made_of_it(few: Population) -> None:
    lines = dict(lines_of(few))
    exact = lines["the records"]
    assert (psnr(exact, lines["one update of 8 records, inverted"], few).diagonal() > 25).any()
    assert (psnr(exact, lines["the same with clip and noise, ε 8"], few).diagonal() < 25).all()
    assert draw_gallery([("a <line>", exact)]).count("<image") == 8


def test_a_picture_is_a_png_of_the_numbers() -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(png(np.array([[0.0, 1.0], [0.5, 2.0]])))) as opened:
        assert list(opened.tobytes()) == [255, 0, 128, 0]
