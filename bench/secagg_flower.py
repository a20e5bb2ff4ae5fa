"""Flower's own SecAgg+ (`SecAggPlusWorkflow`, `secaggplus_mod`), all parties in this process.

The workflow and the mod are Flower's, unchanged; only the grid between them is ours, which carries
messages without serializing them. Each client's seconds are those inside its mod, the server's
those of the workflow less the clients' and the carrying.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.compat.common import recorddict_compat as compat
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.supercore.task_identity import TaskIdentity

Update = npt.NDArray[np.float32]


@dataclass
class FlowerRun:
    """CPU seconds: of each client, and of the server; bytes of one masked vector."""

    clients: dict[int, float] = field(default_factory=dict)
    server: float = 0.0
    vector_bytes: int = 0
    error: float = 0.0


class FakeProxy(ClientProxy):
    """A client's name: the workflow sends through the grid."""

    def __init__(self, node_id: int) -> None:
        super().__init__(str(node_id))
        self.node_id = node_id

    def _unused(self, *_: Any) -> Any:
        raise NotImplementedError("the workflow sends through the grid")

    get_properties = get_parameters = fit = evaluate = reconnect = _unused


class FakeGrid:
    """Runs each node's mod as its message comes."""

    def __init__(self, updates: Sequence[Update], run: FlowerRun) -> None:
        self.updates, self.run = updates, run
        self.contexts = {
            number: Context(
                run_id=1, node_id=number, node_config={}, state=RecordDict(), run_config={}
            )
            for number in range(1, len(updates) + 1)
        }
        self.elsewhere = 0.0

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Every node's reply."""
        started = time.process_time()
        replies = [self._reply(message) for message in messages]
        self.elsewhere += time.process_time() - started
        return replies

    def _reply(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        # The mod changes what it is given, and the workflow gives one content to all.
        content = RecordDict(dict(message.content))
        for name, record in message.content.config_records.items():
            content.config_records[name] = ConfigRecord(copy.copy(dict(record)))
        message.content = content
        trained = 0.0

        def train(given: Message, _: Context) -> Message:
            nonlocal trained
            started = time.process_time()
            result = FitRes(
                status=Status(Code.OK, ""),
                parameters=ndarrays_to_parameters([self.updates[node - 1]]),
                num_examples=100,
                metrics={},
            )
            reply = Message(compat.fitres_to_recorddict(result, False), reply_to=given)
            trained = time.process_time() - started
            return reply

        started = time.process_time()
        reply = secaggplus_mod(message, self.contexts[node], train)
        spent = time.process_time() - started - trained
        self.run.clients[node] = self.run.clients.get(node, 0.0) + spent
        return reply


def run_flower(updates: Sequence[Update]) -> FlowerRun:
    """One round without dropout, everybody sharing with everybody; the mean is checked."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # as in a task's process
    run = FlowerRun()
    grid = FakeGrid(updates, run)
    count = len(updates)
    manager = SimpleClientManager()
    for number in range(1, count + 1):
        manager.register(FakeProxy(number))
    context = LegacyContext(
        Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={}),
        strategy=FedAvg(fraction_fit=1.0, min_fit_clients=count, min_available_clients=count),
        client_manager=manager,
    )
    start = ndarrays_to_parameters([np.zeros_like(updates[0])])
    state = context.state
    state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(start, True)
    state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({"current_round": 1})
    workflow = SecAggPlusWorkflow(
        num_shares=1.0, reconstruction_threshold=2 * count // 3 + 1, clipping_range=1.0
    )
    started = time.process_time()
    workflow(grid, context)  # type: ignore[arg-type]
    run.server = time.process_time() - started - grid.elsewhere
    found = next(iter(state.array_records[MAIN_PARAMS_RECORD].values())).numpy()
    run.error = float(np.abs(found - np.mean(updates, axis=0, dtype=np.float64)).max())
    run.vector_bytes = 8 * (updates[0].size + 1)  # words of 32 bits in arrays of int64
    return run
