"""A multilayer perceptron that standardises its input with statistics shared by all nodes."""

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn


class Standardise(nn.Module):
    """Scales each feature by the moments of all nodes' rows.

    The buffers hold the mean and the mean square, because averages of these over nodes, weighted by
    rows, are exactly the moments of the rows together; standard deviations would not be. They are
    float64: the variance is a small difference of large numbers.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("mean_square", torch.zeros(features, dtype=torch.float64))

    def known(self) -> bool:
        """Whether any node has contributed its moments yet."""
        return bool(self.mean_square.any())

    def set_moments(self, rows: Tensor) -> None:
        """Replace the moments by those of `rows` [n, features]."""
        wide = rows.double()
        self.mean.copy_(wide.mean(dim=0))
        self.mean_square.copy_(wide.square().mean(dim=0))

    def forward(self, rows: Tensor) -> Tensor:
        variance = self.mean_square - self.mean.square()
        scaled = (rows.double() - self.mean) / variance.clamp(min=1e-12).sqrt()
        return scaled.clamp(-10, 10).float()


class Net(nn.Module):
    """Standardise, one hidden layer, one output a class."""

    def __init__(self, features: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.standardise = Standardise(features)
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(self.standardise(rows))


def build(run_config: dict) -> Net:
    """An untrained network of the sizes that the run config gives."""
    return Net(
        features=int(run_config["features"]),
        classes=int(run_config["classes"]),
        hidden=int(run_config["hidden"]),
    )


def initial_arrays(run_config: dict) -> ArrayRecord:
    """The model that the first round starts from: the same for the same run config."""
    torch.manual_seed(int(run_config["seed"]))
    return ArrayRecord(build(run_config).state_dict())
