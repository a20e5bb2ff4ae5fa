"""Network, data, training and testing: nothing here knows of Flower, but for the first weights."""

import numpy as np
import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from clients.sdk import training_rows

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    """Two layers. Features of all sizes come in, so each is brought to one scale first, by the
    batch at hand: no moments of rows are part of the model."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, 64)
        self.out = nn.Linear(64, classes)

    def forward(self, rows: Tensor) -> Tensor:
        scaled = (rows - rows.mean(dim=0)) / (rows.std(dim=0, correction=0) + 1e-6)
        return self.out(torch.relu(self.hidden(scaled)))


def load_data(batch_size: int) -> tuple[DataLoader, DataLoader]:
    """Loaders of the rows to train on and of those held out."""
    rows = training_rows()
    train_set = data_set(rows.features, rows.labels)
    test_set = data_set(rows.held_out_features, rows.held_out_labels)
    # An evaluation gets no rows to train on, and nothing can be drawn from nothing.
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=len(train_set) > 0)
    return train_loader, DataLoader(test_set, batch_size=max(1, len(test_set)))


def data_set(features: np.ndarray, labels: np.ndarray) -> TensorDataset:
    """Rows as torch wants them."""
    return TensorDataset(torch.tensor(features), torch.tensor(labels))


def train(model: Net, loader: DataLoader, *, epochs: int, learning_rate: float) -> float:
    """Train in place; the mean loss over all batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    losses = []
    model.train()
    for _ in range(epochs):
        for batch in loader:
            rows, labels = (part.to(DEVICE) for part in batch)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(rows), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / max(1, len(losses))


def test(model: Net, loader: DataLoader) -> tuple[float, float]:
    """Loss and accuracy; zeros where there are no rows."""
    loss, correct, total = 0.0, 0, len(loader.dataset)
    model.eval()
    with torch.no_grad():
        for batch in loader:
            rows, labels = (part.to(DEVICE) for part in batch)
            scores = model(rows)
            loss += nn.functional.cross_entropy(scores, labels, reduction="sum").item()
            correct += int((scores.argmax(dim=1) == labels).sum())
    return loss / max(1, total), correct / max(1, total)


def initial_arrays(run_config: dict) -> ArrayRecord:
    """The weights that the first round starts from."""
    torch.manual_seed(0)
    net = Net(features=int(run_config["features"]), classes=int(run_config["classes"]))
    return ArrayRecord(net.state_dict())
