"""What a Flower app imports to reach the rows that its permit covers; needs numpy only.

    from clients.sdk import training_rows

    rows = training_rows()

Inside `tds node` the rows are what the owner's vault selected for this round; under `tds simulate`
they are the simulated node's share. The app sees nothing else of the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


class SdkError(RuntimeError):
    """The app asked for rows where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A node's rows, split by its owner.

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
