"""A multilayer perceptron that scales its input by what is published about it.

Nothing of the rows is needed for that: moments of them would have to leave their node, they are as
large as the data's units, and no clipping norm fits both them and weights.
"""

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn


class Scale(nn.Module):
    """Brings each feature to about -2 to 2: the bounds are the app's config, no part of the model.

    Without bounds, x becomes sign(x) log(1 + |x|).
    """

    def __init__(self, least: Tensor, most: Tensor) -> None:
        super().__init__()
        self.register_buffer("least", least, persistent=False)
        self.register_buffer("most", most, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        if not len(self.least):
            return rows.sign() * rows.abs().log1p()
        within = (rows - self.least) / (self.most - self.least)
        return (4 * within - 2).clamp(-10, 10)


class Net(nn.Module):
    """Scale, one hidden layer, one output a class."""

    def __init__(
        self, features: int, classes: int, hidden: int, least: Tensor, most: Tensor
    ) -> None:
        super().__init__()
        self.scale = Scale(least, most)
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(self.scale(rows))


def build(run_config: dict) -> Net:
    """An untrained network of the sizes and bounds that the run config gives."""
    features = int(run_config["features"])
    return Net(
        features=features,
        classes=int(run_config["classes"]),
        hidden=int(run_config["hidden"]),
        least=bounds(run_config, "least", features),
        most=bounds(run_config, "most", features),
    )


def bounds(run_config: dict, name: str, features: int) -> Tensor:
    """One bound of every feature, or none at all."""
    found = [float(word) for word in str(run_config[name]).split()]
    if len(found) not in (0, features):
        raise ValueError(f"{name}: expected {features} numbers or none, got {len(found)}")
    return torch.tensor(found)


def initial_arrays(run_config: dict) -> ArrayRecord:
    """The model that the first round starts from: the same for the same run config."""
    torch.manual_seed(int(run_config["seed"]))
    return ArrayRecord(build(run_config).state_dict())
