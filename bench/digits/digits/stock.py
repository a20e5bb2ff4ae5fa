"""The same client and a FedAvg server as stock Flower runs them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits.model import evaluate, initial_arrays, make_model, train_epoch

app = ClientApp()
server = ServerApp()


def _share(context: Context) -> dict[str, np.ndarray]:
    with np.load(str(context.node_config["share"])) as file:
        return dict(file)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one epoch."""
    share = _share(context)
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss = train_epoch(model, share["x"], share["y"])
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(share["y"])})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def test(message: Message, context: Context) -> Message:
    """Evaluate the aggregated model on held-back rows."""
    share = _share(context)
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss, accuracy = evaluate(model, share["held_x"], share["held_y"])
    metrics = MetricRecord(
        {"eval_loss": loss, "eval_accuracy": accuracy, "num-examples": len(share["held_y"])}
    )
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


class TimedFedAvg(FedAvg):
    """FedAvg that writes down when each round ended, and the accuracy."""

    def __init__(self, out: Path) -> None:
        super().__init__(min_train_nodes=4, min_evaluate_nodes=4, min_available_nodes=4)
        self.out = out

    def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
        """Note the start of a round."""
        self._note("start", server_round, 0.0)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round, replies):  # type: ignore[no-untyped-def]
        """Note the end of a round."""
        metrics = super().aggregate_evaluate(server_round, replies)
        self._note("end", server_round, float(metrics["eval_accuracy"]) if metrics else 0.0)
        return metrics

    def _note(self, what: str, server_round: int, accuracy: float) -> None:
        line = {"what": what, "round": server_round, "time": time.time(), "accuracy": accuracy}
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Stock Flower's round loop."""
    strategy = TimedFedAvg(Path(str(context.run_config["out"])))
    strategy.start(
        grid=grid,
        initial_arrays=initial_arrays({}),
        num_rounds=int(context.run_config["rounds"]),
    )
