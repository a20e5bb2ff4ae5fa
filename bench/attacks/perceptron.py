"""One hidden layer, many models at once: gradients of single records without writing them down.

A record's gradient of a linear layer is the outer product of its backward signal g and its input x,
and that of the bias is g, so its squared norm is |g|^2 (|x|^2 + 1) (Goodfellow 2015, Efficient
per-example gradient computations; "ghost norms"). The sum of clipped gradients is then two products
of matrices. All arrays carry a first axis of models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


@dataclass(slots=True)
class Perceptrons:
    """Models of the same shape; `first` [m, d + 1, h] and `second` [m, h + 1, k], bias last."""

    first: Floats
    second: Floats

    def copy(self) -> Perceptrons:
        return Perceptrons(self.first.copy(), self.second.copy())

    def __iadd__(self, step: Perceptrons) -> Perceptrons:
        self.first += step.first
        self.second += step.second
        return self


@dataclass(frozen=True, slots=True)
class Signals:
    """What the backward pass of some records leaves, [m, n, ...]; inputs end with 1."""

    rows: Floats
    hidden: Floats
    into_first: Floats
    into_second: Floats

    def norms(self) -> Floats:
        """The L2 norm of each record's gradient over all parameters, [m, n]."""
        first = _square(self.into_first) * _square(self.rows)
        return np.sqrt(first + _square(self.into_second) * _square(self.hidden))

    def total(self, weights: Floats) -> Perceptrons:
        """The sum of the records' gradients, each times its weight [m, n]."""
        wide = weights[..., None]
        return Perceptrons(
            np.swapaxes(self.rows, -1, -2) @ (self.into_first * wide),
            np.swapaxes(self.hidden, -1, -2) @ (self.into_second * wide),
        )

    def gram(self, weights: Floats) -> Floats:
        """The inner products of the records' gradients, each times its weight, [m, n, n]."""
        first = _outer(self.rows) * _outer(self.into_first)
        both = first + _outer(self.hidden) * _outer(self.into_second)
        return np.asarray(both * weights[..., None] * weights[:, None])

    def along(self, direction: Perceptrons) -> Floats:
        """The inner product of each record's gradient with a direction, [m, n]."""
        first = ((self.rows @ direction.first) * self.into_first).sum(-1)
        return np.asarray(first + ((self.hidden @ direction.second) * self.into_second).sum(-1))


def _outer(values: Floats) -> Floats:
    return np.asarray(values @ np.swapaxes(values, -1, -2))


def _square(values: Floats) -> Floats:
    return np.asarray(np.square(values).sum(-1))


def initial(models: int, features: int, hidden: int, classes: int, seed: int) -> Perceptrons:
    """Untrained models, all alike, drawn as torch's Linear does: the incoming model is public."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(-1, 1, (features + 1, hidden)) / np.sqrt(features)
    second = rng.uniform(-1, 1, (hidden + 1, classes)) / np.sqrt(hidden)
    return Perceptrons(
        np.repeat(first[None].astype(np.float32), models, 0),
        np.repeat(second[None].astype(np.float32), models, 0),
    )


def with_one(rows: npt.NDArray[np.floating]) -> Floats:
    """Rows [..., d] with a last 1 for the bias."""
    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1))], -1).astype(np.float32)


def scores(model: Perceptrons, rows: Floats) -> Floats:
    """Log-probabilities [m, n, k] of rows [n or m, n, d + 1]."""
    hidden = np.maximum(rows @ model.first, 0)
    return _log_softmax(hidden @ model.second[:, :-1] + model.second[:, -1:])


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def backward(model: Perceptrons, rows: Floats, labels: Labels) -> Signals:
    """The signals of cross-entropy; rows [n or m, n, d + 1], labels [n or m, n]."""
    raw = rows @ model.first
    hidden = np.maximum(raw, 0)
    into_second = np.exp(_log_softmax(hidden @ model.second[:, :-1] + model.second[:, -1:]))
    shape = into_second.shape[:2]
    where = np.broadcast_to(labels, shape)[..., None]
    np.put_along_axis(into_second, where, np.take_along_axis(into_second, where, -1) - 1, -1)
    into_first = (into_second @ np.swapaxes(model.second[:, :-1], -1, -2)) * (raw > 0)
    ones = np.ones((*shape, 1), dtype=np.float32)
    return Signals(
        np.broadcast_to(rows, (shape[0], *rows.shape[-2:])),
        np.concatenate([hidden, ones], -1),
        into_first,
        into_second,
    )
