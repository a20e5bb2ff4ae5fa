"""What a Flower app imports to reach the rows that its permit covers; needs numpy only.

    from clients.sdk import training_rows

    rows = training_rows()
    for features, labels in rows.batches(256, rng=np.random.default_rng()):
        ...

Inside `tds node` the rows are what the owner's vault selected for this round; under `tds simulate`
they are the simulated node's share. The app sees nothing else of the node.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

RUN_ROWS: Final = 64
RUNS: Final = 512
"""How many runs a window has at least, if it has room."""
WINDOW_BYTES: Final = 16 << 20

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class SdkError(RuntimeError):
    """The app asked for rows where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A node's rows, split by its owner.

    Under `tds node` the arrays are views of a file: only what is read of them comes into memory,
    and the kernel may drop it again. A copy of a whole array, or a write to it, takes memory that
    the permit bounds; `batches` copies about `WINDOW_BYTES` of rows at a time.

    Attributes:
        features: float32 [n, *sample_shape], to train on; no rows when the app is called to
            evaluate.
        labels: int64 [n], indices into `classes`.
        held_out_features: float32 [m, *sample_shape], never to train on.
        held_out_labels: int64 [m].
        feature_names: of a table, its d columns; of files, the one column of their paths.
        classes: the label's values, in the order that the data product fixes.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    held_out_features: npt.NDArray[np.float32]
    held_out_labels: npt.NDArray[np.int64]
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Of one row: (d,) of a table; (channels, height, width) of images, with 0 for black and 1
        for full; (channels, samples) of recordings, from -1 to 1.
        """
        return tuple(self.features.shape[1:])

    def batches(
        self, size: int, *, rng: np.random.Generator | None = None, held_out: bool = False
    ) -> Iterator[Batch]:
        """Features [k, *sample_shape] and labels [k] of all rows; k = `size` but for the last.

        Args:
            size: rows a batch, at least 1.
            rng: shuffles them; None keeps their order and copies nothing. Runs of up to `RUN_ROWS`
                neighbours are put in random order, and rows at random within each window of
                `WINDOW_BYTES`: of data in an order (by label, by time) a window has a fair sample,
                and memory does not grow with the rows.
            held_out: the rows to evaluate on, instead of those to train on.
        """
        if size < 1:
            raise ValueError(f"batches: expected a size of at least 1, got {size}")
        features = self.held_out_features if held_out else self.features
        labels = self.held_out_labels if held_out else self.labels
        if rng is None:
            for start in range(0, len(labels), size):
                yield features[start : start + size], labels[start : start + size]
            return
        rest = features[:0], labels[:0]
        row_bytes = max(1, math.prod(self.sample_shape) * features.itemsize)
        for order in _windows(len(labels), max(1, WINDOW_BYTES // row_bytes), rng):
            window = (
                np.concatenate([rest[0], features[order]]),
                np.concatenate([rest[1], labels[order]]),
            )
            whole = len(window[1]) // size * size
            for start in range(0, whole, size):
                yield window[0][start : start + size], window[1][start : start + size]
            rest = window[0][whole:], window[1][whole:]
        if len(rest[1]):
            yield rest


def _windows(count: int, window: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Numbers below `count`, each once, in windows of at most so many."""
    run = min(RUN_ROWS, max(1, window // RUNS))
    starts = rng.permutation(-(-count // run)).astype(np.int64) * run
    runs = max(1, window // run)
    for at in range(0, len(starts), runs):
        numbers = (starts[at : at + runs, None] + np.arange(run)).reshape(-1)
        yield rng.permutation(numbers[numbers < count])


_ROWS: ContextVar[Rows | None] = ContextVar("tds_rows", default=None)


def training_rows() -> Rows:
    """The rows of this round.

    Raises:
        SdkError: not called by an app that `tds node` or `tds simulate` runs.
    """
    rows = _ROWS.get()
    if rows is None:
        raise SdkError(
            "training_rows: expected to be called by an app while it trains or evaluates, got no "
            "rows; run the app with `tds node` or `tds simulate`, and call it in the handler's "
            "own thread"
        )
    return rows


@contextmanager
def provide(rows: Rows) -> Iterator[None]:
    """`training_rows()` returns `rows` inside the block, in this thread and its context only."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)
