"""What this app trains on outside a space: made-up rows, in the form that the SDK gives."""

from types import SimpleNamespace

import numpy as np

FEATURES = 30


def training_rows() -> SimpleNamespace:
    """Two clouds of points, 200 to train on and 50 to evaluate on."""
    chance = np.random.default_rng()
    labels = chance.integers(0, 2, size=250)
    features = chance.normal(loc=labels[:, None] * 0.8, size=(250, FEATURES)).astype(np.float32)
    return SimpleNamespace(
        features=features[:200],
        labels=labels[:200],
        held_out_features=features[200:],
        held_out_labels=labels[200:],
    )
