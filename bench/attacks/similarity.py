"""How near a reconstruction comes: PSNR, and what needs no leak at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.attacks.data import Floats, Population

MOST = 100.0
"""PSNR in dB above which more says nothing: the error is below 1e-5 of a feature's range."""
RECOGNISED = 25.0
"""PSNR in dB from which a record counts as reconstructed."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of several records, each beside the reconstruction nearest to it.

    Attributes:
        mean: PSNR in dB, mean over the records.
        best: of the record that came out best.
        recognised: share of the records at 25 dB or more.
        records: how many.
    """

    mean: float
    best: float
    recognised: float
    records: int


def psnr(records: Floats, guesses: Floats, population: Population) -> Floats:
    """Each record beside each guess, [records, guesses] in dB, a feature's range being its peak."""
    reach = population.high - population.low
    ours = (records - population.low) / reach
    theirs = (np.clip(guesses, population.low, population.high) - population.low) / reach
    error = np.square(ours[:, None] - theirs[None]).mean(-1)
    return np.asarray(-10 * np.log10(np.maximum(error, 10 ** (-MOST / 10))))


def likeness(values: list[Floats]) -> Likeness:
    """The figures of the PSNRs of several trials."""
    together = np.concatenate(values)
    return Likeness(
        float(together.mean()),
        float(together.max()),
        float((together >= RECOGNISED).mean()),
        len(together),
    )


def nearest(records: Floats, guesses: Floats, population: Population) -> Floats:
    """Each record's PSNR beside the guess that is best for it, as if somebody told which it is."""
    return np.asarray(psnr(records, guesses, population).max(1))


def mean_record(population: Population) -> Likeness:
    """What guessing the mean of public records comes to."""
    guess = population.public.mean(0, keepdims=True)
    return likeness([nearest(population.rows, guess, population)])


def other_record(population: Population) -> Likeness:
    """What the nearest other record comes to: a stranger that looks like it."""
    values = psnr(population.rows, population.rows, population)
    np.fill_diagonal(values, -np.inf)
    return likeness([values.max(1)])
