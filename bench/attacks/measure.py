"""The measurements of `bench/leakage.py`, each a list of lines for a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.attacks.accounting import EPSILONS, most_area, noise_of
from bench.attacks.canaries import Audit, mislabelled
from bench.attacks.data import Population
from bench.attacks.imprint import imprinted, sent_rows
from bench.attacks.inversion import Effort, invert
from bench.attacks.membership import Membership, confidence, likelihood_ratios, measure
from bench.attacks.shipped import audit_shipped
from bench.attacks.similarity import Likeness, likeness, mean_record, other_record
from bench.attacks.training import (
    PLANS,
    SHORT_EPSILON,
    SHORT_PLANS,
    Plan,
    accuracy,
    everything,
    halves,
    plain,
    private,
    untrained,
)
from bench.attacks.views import View

SEED = 11
AUDITED_ROUNDS = 4
CLIENTS, BATCH = 10, 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        searches: optimised inversions of a view of 8 records; of others about as many records.
        imprints: trials of the imprint model.
        models: of LiRA, in pairs: one the target, and all but its pair its shadows.
        seeds: trainings on all records for an accuracy.
    """

    searches: int = 8
    steps: int = 600
    imprints: int = 10
    models: int = 34
    seeds: int = 5


QUICK = Size(searches=1, steps=300, imprints=3, models=18, seeds=2)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A line of the table of reconstructions.

    Attributes:
        attack: `inversion`, `imprint`, `sends rows`, or `none` for what needs no leak.
        noise: z of each round.
    """

    data: str
    seen: str
    attack: str
    noise: float
    found: Likeness


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the table of members.

    Attributes:
        training: `averaging`, `clipped`, or an epsilon.
        accuracy: of models trained on all records, on public rows.
        lowest: of the same, over the seeds.
        half_accuracy: of the attacked models, which have half of them.
        most_auc: what no attack exceeds at this epsilon.
        watched: canaries, as the aggregator sees them who knows all else; None in averaging.
        released: canaries, in the released model.
    """

    data: str
    training: str
    rounds: int
    noise: float
    accuracy: float
    lowest: float
    half_accuracy: float
    lira: Membership
    most_auc: float
    watched: Audit | None
    released: Audit


@dataclass(frozen=True, slots=True)
class Shipped:
    """A line of the table of audits: what the accountant says, and what canaries show."""

    epsilon: float
    noise: float
    found: Audit


def name_of(epsilon: float) -> str:
    """`clipped` without noise, else the epsilon in digits."""
    return "clipped" if math.isinf(epsilon) else f"{epsilon:g}"


def views_of(population: Population) -> list[View]:
    """From an update in the clear to a sum of ten clients under noise."""
    views = [View(f"one update, {n} record{'s' * (n > 1)}", 1, n) for n in (1, 8, 32)]
    views.append(View("sum of 10 clients", CLIENTS, BATCH))
    for epsilon in EPSILONS:
        # Without noise the tightest clip, so that what it does by itself shows.
        plan = PLANS[population.name][3 if math.isinf(epsilon) else epsilon]
        ending = "clipped" if math.isinf(epsilon) else f"clip and noise, ε {epsilon:g}"
        noise = noise_of(epsilon, plan.rounds)
        views.append(View(f"sum of 10, {ending}", CLIENTS, BATCH, plan, noise))
    return views


def rebuilt(population: Population, size: Size) -> Iterator[Rebuilt]:
    """All reconstructions."""
    name = population.name
    yield Rebuilt(name, "the mean of public records", "none", 0.0, mean_record(population))
    yield Rebuilt(name, "the nearest other record", "none", 0.0, other_record(population))
    model, effort = untrained(population, 1), Effort(steps=size.steps)
    for view in views_of(population):
        trials = max(1, min(8, size.searches * BATCH // view.records))
        found = invert(population, model, view, trials, SEED, effort)
        yield Rebuilt(name, view.name, "inversion", view.noise, likeness(found))
        trials = max(size.imprints, size.imprints * BATCH // view.records)
        found = imprinted(population, view, trials, SEED)
        yield Rebuilt(name, view.name, "imprint", view.noise, likeness(found))
    yield from _sent(population)


def _sent(population: Population) -> Iterator[Rebuilt]:
    for epsilon in EPSILONS:
        plan = PLANS[population.name][epsilon]
        noise = noise_of(epsilon, plan.rounds)
        ending = "clipped" if math.isinf(epsilon) else f"ε {epsilon:g}"
        for rounds in (1, plan.rounds):
            found = sent_rows(population, plan, noise, rounds, SEED)
            seen = f"sum of {'one round' if rounds == 1 else f'all {rounds} rounds'}, {ending}"
            yield Rebuilt(population.name, seen, "sends rows", noise, likeness(found))


def told(population: Population, size: Size) -> Iterator[Told]:
    """Membership, canaries and accuracy, from plain averaging to the least epsilon."""
    taken, whole = halves(population, size.models, SEED), everything(population)
    plan = PLANS[population.name][math.inf]
    scored = [accuracy(plain(population, whole, plan, s), population) for s in range(size.seeds)]
    models = plain(population, taken, plan, SEED)
    phi = confidence(models, population.rows, population.labels)
    yield Told(
        data=population.name,
        training="averaging",
        rounds=plan.plain_rounds,
        noise=0.0,
        accuracy=float(np.mean(scored)),
        lowest=min(scored),
        half_accuracy=accuracy(models, population),
        lira=measure(likelihood_ratios(phi, taken), taken),
        most_auc=1.0,
        watched=None,
        released=mislabelled(population, plan, 0.0, SEED, train_plainly=True).released,
    )
    for training, epsilon, plan in _private_plans(population):
        noise = noise_of(epsilon, plan.rounds)
        scored = [
            accuracy(private(population, whole, plan, noise, s), population)
            for s in range(size.seeds)
        ]
        models = private(population, taken, plan, noise, SEED)
        phi = confidence(models, population.rows, population.labels)
        canaries = mislabelled(population, plan, noise, SEED)
        yield Told(
            data=population.name,
            training=training,
            rounds=plan.rounds,
            noise=noise,
            accuracy=float(np.mean(scored)),
            lowest=min(scored),
            half_accuracy=accuracy(models, population),
            lira=measure(likelihood_ratios(phi, taken), taken),
            most_auc=most_area(noise, plan.rounds),
            watched=canaries.watched,
            released=canaries.released,
        )


def _private_plans(population: Population) -> Iterator[tuple[str, float, Plan]]:
    for epsilon in EPSILONS:
        yield name_of(epsilon), epsilon, PLANS[population.name][epsilon]
        if epsilon == SHORT_EPSILON and population.name in SHORT_PLANS:
            yield f"{epsilon:g}, fewest rounds", epsilon, SHORT_PLANS[population.name]


def shipped() -> Iterator[Shipped]:
    """Audits of the code that ships, at each epsilon."""
    for epsilon in EPSILONS:
        if not math.isinf(epsilon):
            noise = noise_of(epsilon, AUDITED_ROUNDS)
            yield Shipped(epsilon, noise, audit_shipped(f"{noise:g}", AUDITED_ROUNDS, SEED))
