"""The ClientApp: load the global weights, train or test, send back what came of it."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from quickstart.task import DEVICE, Net, load_data, test, train

app = ClientApp()


@app.train()
def on_train(message: Message, context: Context) -> Message:
    """Test the incoming weights on the held-out rows, then train them."""
    config = context.run_config
    model = net(message, context)
    train_loader, test_loader = load_data(int(config["batch-size"]))
    test_loss, accuracy = test(model, test_loader)
    train_loss = train(
        model,
        train_loader,
        epochs=int(config["local-epochs"]),
        learning_rate=float(config["learning-rate"]),
    )
    metrics = MetricRecord(
        {
            "train_loss": train_loss,
            "eval_loss": test_loss,
            "eval_accuracy": accuracy,
            "num-examples": len(train_loader.dataset),
        }
    )
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@app.evaluate()
def on_evaluate(message: Message, context: Context) -> Message:
    """Test the incoming weights on the held-out rows."""
    _, test_loader = load_data(int(context.run_config["batch-size"]))
    loss, accuracy = test(net(message, context), test_loader)
    metrics = MetricRecord(
        {"eval_loss": loss, "eval_accuracy": accuracy, "num-examples": len(test_loader.dataset)}
    )
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


def net(message: Message, context: Context) -> Net:
    """A network with the weights of the message."""
    config = context.run_config
    model = Net(features=int(config["features"]), classes=int(config["classes"]))
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return model.to(DEVICE)
