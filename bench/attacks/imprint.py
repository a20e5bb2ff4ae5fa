"""Attacks by whoever makes the model or the app: imprints, and an app that sends its rows.

*The imprint model* (Fowl et al., Robbing the Fed, ICLR 2022): every neuron of the first layer
computes the same functional of the row, with thresholds at quantiles; a record moves all neurons
below its value, so the difference of two neighbours holds the records between two thresholds, and
is a record wherever there is one. It needs a malicious incoming model of the permitted shape.

*The app that sends its rows*: instead of a step, the part of a record returns the record less the
mean of public ones, scaled to the clip, in numbers that no other record uses. The whole clip is
spent on the row itself (a cleverer code could spend it somewhat better): about the worst that noise
has to hold.
"""

from __future__ import annotations

import numpy as np

from bench.attacks.data import Floats, Population
from bench.attacks.perceptron import Perceptrons, backward, with_one
from bench.attacks.similarity import nearest
from bench.attacks.training import Plan, clipping
from bench.attacks.views import Prior, View, draw, opened, prior_of

STRENGTHS = (0.01, 0.1, 1.0, 10.0)


def imprint_for(population: Population, view: View, seed: int) -> Perceptrons:
    """The imprint model; under noise that whose gradients are largest after the clip."""
    models = [imprint_model(population, seed, strength) for strength in STRENGTHS]
    if view.plan is None or not view.deviation:
        return models[0]
    rows, plan = with_one(population.public), view.plan
    found = [backward(model, rows, population.public_labels).norms() for model in models]
    reached = [float((norms * clipping(norms, plan)).mean()) for norms in found]
    return models[int(np.argmax(reached))]


def imprint_model(population: Population, seed: int, strength: float = STRENGTHS[0]) -> Perceptrons:
    """A model of the population's shape whose first layer bins records.

    Args:
        strength: of the second layer, and so of the gradients; small ones saturate no output.
    """
    rng = np.random.default_rng(seed)
    public, width = population.public, population.hidden
    functional = rng.normal(size=public.shape[1])
    functional /= public.std(0) + 0.1 * public.std()
    functional /= np.linalg.norm(functional)
    thresholds = np.quantile(public @ functional, np.arange(width) / width)
    thresholds[0] -= 10 * np.ptp(thresholds)  # a neuron that every record moves
    first = np.concatenate([np.repeat(functional[:, None], width, 1), -thresholds[None]])
    # The same weights behind every neuron, so that its signal is the same wherever it is on.
    out = strength * rng.normal(size=population.classes)
    second = np.concatenate([np.repeat(out[None], width, 0), np.zeros((1, population.classes))])
    return Perceptrons(first[None].astype(np.float32), second[None].astype(np.float32))


def imprinted(population: Population, view: View, trials: int, seed: int) -> list[Floats]:
    """The PSNR of each record in each trial under the imprint model."""
    rng = np.random.default_rng(seed)
    model, prior = imprint_for(population, view, seed), prior_of(population)
    found = []
    for _ in range(trials):
        rows, labels = draw(population, view, rng)
        first, _ = opened(model, rows, labels, view, rng)
        found.append(nearest(rows, bins(first, view.deviation, prior), population))
    return found


def bins(first: Floats, deviation: float, prior: Prior) -> Floats:
    """A guess for each bin: the record if there is one and no noise; under noise what is likely.

    Args:
        first: gradient of the first layer, bias last; columns from the lowest threshold.
    """
    between = first - np.concatenate([first[:, 1:], np.zeros((len(first), 1))], 1)
    variance = np.full(between.shape[1], 2 * deviation**2)
    variance[-1] = deviation**2
    guesses = [prior.mean]
    for column, spread in zip(between.T, variance, strict=True):
        sums, signal = column[:-1], column[-1]
        if abs(signal) <= 1e-12 * np.abs(between[-1]).max():
            continue
        # The signal itself is noisy: shrunk as James and Stein do, nought where noise explains it.
        signal *= max(0.0, 1 - spread / signal**2)
        guesses.append(likeliest(sums, signal, spread, prior))
    return np.asarray(guesses)


def likeliest(seen: Floats, scale: float, variance: float, prior: Prior) -> Floats:
    """The row x that makes `seen = scale * x + noise` likely, with the prior of public rows."""
    if variance == 0:
        return seen / scale
    cover = prior.covariance * scale**2 + variance * np.eye(len(prior.mean))
    away = seen - scale * prior.mean
    return np.asarray(prior.mean + scale * prior.covariance @ np.linalg.solve(cover, away))


def sent_rows(
    population: Population, plan: Plan, noise: float, rounds: int, seed: int
) -> list[Floats]:
    """The PSNR of each record after an app has sent it in so many rounds."""
    guesses = received_rows(population, plan, noise, rounds, seed)
    return [
        nearest(row[None], guess[None], population)
        for row, guess in zip(population.rows, guesses, strict=True)
    ]


def received_rows(
    population: Population, plan: Plan, noise: float, rounds: int, seed: int
) -> Floats:
    """What the aggregator makes of each record, from the mean of the rounds, [records, features].

    Each record has numbers of its own: what others write there could only hide it.
    """
    rng = np.random.default_rng(seed)
    prior = prior_of(population)
    away = population.rows - prior.mean
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    # One scale for all, so that lengths need not be guessed; under noise what is longer is cut.
    public = np.linalg.norm(population.public - prior.mean, axis=1)
    reach = float(np.median(public) if noise else lengths.max())
    sent = away * np.minimum(plan.clip / reach, plan.clip / np.maximum(lengths, 1e-12))
    deviation = noise * plan.clip / np.sqrt(rounds)
    seen = sent + rng.normal(0, deviation, sent.shape)
    scale, centred = plan.clip / reach, Prior(np.zeros_like(prior.mean), prior.covariance)
    guesses = [likeliest(one, scale, deviation**2, centred) for one in seen]
    return np.asarray(prior.mean + np.stack(guesses))
