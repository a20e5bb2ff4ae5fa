"""The client as a governed app: its rows come from `training_rows`."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.sdk import training_rows
from digits.model import evaluate, make_model, train_epoch

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Evaluate the incoming model on held-back rows, then train one epoch."""
    rows = training_rows()
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss, accuracy = evaluate(model, rows.held_out_features, rows.held_out_labels)
    train_loss = train_epoch(model, rows.features, rows.labels)
    metrics = {"train_loss": train_loss, "eval_loss": loss, "eval_accuracy": accuracy}
    metrics["num-examples"] = len(rows.labels)
    content = RecordDict(
        {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)}
    )
    return Message(content, reply_to=message)


@app.evaluate()
def test(message: Message, context: Context) -> Message:
    """Evaluate the incoming model."""
    rows = training_rows()
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss, accuracy = evaluate(model, rows.held_out_features, rows.held_out_labels)
    metrics = MetricRecord({"eval_loss": loss, "eval_accuracy": accuracy})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
