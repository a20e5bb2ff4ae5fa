"""Trains and evaluates on the rows that this node's owner provides."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn.functional import cross_entropy

from clients.sdk import training_rows
from tabular.model import Net, build

app = ClientApp()

# What pyproject.toml declares of losses: a larger one is as bad.
MOST_LOSS = 5.0

# A device only if the run's permit and the node's owner both allow one.
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


@app.train()
def train(message: Message, context: Context) -> Message:
    """Evaluate the incoming model on the held-out rows, then train it on the others."""
    rows = training_rows()
    config = context.run_config
    features, labels = on_device(rows.features), on_device(rows.labels)
    model = load(message, context)
    metrics = evaluation(model, rows)
    torch.manual_seed(int(config["seed"]) + int(message.content["config"]["server-round"]))
    metrics["train_loss"] = fit(model, features, labels, config)
    metrics["num-examples"] = len(labels)
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)}
    return Message(content=RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the incoming model on the held-out rows."""
    rows = training_rows()
    model = load(message, context)
    metrics = evaluation(model, rows)
    metrics["num-examples"] = metrics["eval_examples"]
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def on_device(values) -> torch.Tensor:
    """A copy of an array where the model is."""
    return torch.tensor(values, device=DEVICE)


def load(message: Message, context: Context) -> Net:
    """The incoming model."""
    model = build(context.run_config)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return model.to(DEVICE)


def fit(model: Net, features: torch.Tensor, labels: torch.Tensor, config: dict) -> float:
    """Stochastic gradient descent; returns the last epoch's mean loss."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=float(config["learning-rate"]), momentum=float(config["momentum"])
    )
    total = 0.0
    for _ in range(int(config["local-epochs"])):
        total = 0.0
        for batch in torch.randperm(len(labels)).split(int(config["batch-size"])):
            optimizer.zero_grad()
            loss = cross_entropy(model(features[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return min(total / max(1, len(labels)), MOST_LOSS)


def evaluation(model: Net, rows) -> dict:
    """Loss and accuracy on the held-out rows."""
    labels = on_device(rows.held_out_labels)
    if len(labels) == 0:
        return {"eval_loss": 0.0, "eval_accuracy": 0.0, "eval_correct": 0, "eval_examples": 0}
    with torch.no_grad():
        scores = model(on_device(rows.held_out_features))
    correct = int((scores.argmax(dim=1) == labels).sum())
    return {
        "eval_loss": min(float(cross_entropy(scores, labels)), MOST_LOSS),
        "eval_accuracy": correct / len(labels),
        "eval_correct": correct,
        "eval_examples": len(labels),
    }
