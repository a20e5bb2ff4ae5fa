"""The model and its training, the same for stock Flower, for tdspace and for the plain loop."""

from __future__ import annotations

import numpy as np
import torch
from flwr.app import ArrayRecord
from torch import nn

BATCH = 32
LEARNING_RATE = 0.05


def make_model() -> nn.Module:
    """MLP 64-128-10, always from the same seed."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def initial_arrays(run_config: dict[str, object]) -> ArrayRecord:
    """What the first round starts from."""
    return ArrayRecord(make_model().state_dict())


def train_epoch(model: nn.Module, features: np.ndarray, labels: np.ndarray) -> float:
    """One epoch of SGD; the mean loss."""
    x, y = torch.from_numpy(features) / 16.0, torch.from_numpy(labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    total = 0.0
    for batch in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        loss = loss_of(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        total += float(loss) * len(batch)
    return total / len(x)


def evaluate(model: nn.Module, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Loss and accuracy."""
    with torch.no_grad():
        x, y = torch.from_numpy(features) / 16.0, torch.from_numpy(labels)
        output = model(x)
        accuracy = float((output.argmax(1) == y).float().mean())
        return float(nn.functional.cross_entropy(output, y)), accuracy
