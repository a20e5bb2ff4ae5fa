"""The ClientApp: a logistic regression goes on from the global coefficients."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.sdk import training_rows
from logistic.task import figures, fit, regression, to_scale

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Test the incoming model on the held-out rows, then fit it to the others."""
    rows = training_rows()
    model = regression(message.content["arrays"], context.run_config)
    loss, accuracy = figures(model, to_scale(rows.held_out_features), rows.held_out_labels)
    features = to_scale(rows.features)
    fit(model, features, rows.labels, epochs=int(context.run_config["local-epochs"]))
    metrics = MetricRecord(
        {
            "train_loss": figures(model, features, rows.labels)[0],
            "eval_loss": loss,
            "eval_accuracy": accuracy,
            "num-examples": len(rows.labels),
        }
    )
    arrays = ArrayRecord({"coef": Array(model.coef_), "intercept": Array(model.intercept_)})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test the incoming model on the held-out rows."""
    rows = training_rows()
    model = regression(message.content["arrays"], context.run_config)
    loss, accuracy = figures(model, to_scale(rows.held_out_features), rows.held_out_labels)
    metrics = MetricRecord(
        {"eval_loss": loss, "eval_accuracy": accuracy, "num-examples": len(rows.held_out_labels)}
    )
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
