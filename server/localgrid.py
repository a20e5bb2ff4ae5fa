"""LocalGrid: Flower's public `Grid` in one process, without sockets, for tests and simulations.

It isolates nothing: nodes share memory, process and user with the round loop. Permits, receipts and
the log are the same as over the SuperLink, because everything above the grid is the same code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Protocol

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from server.exchange import NodeInfo, Run, set_task_identity


class LocalNode(Protocol):
    """A node that answers in this process."""

    @property
    def public_key(self) -> bytes:
        """Its Flower key, PEM."""
        ...

    def answer(self, message: Message) -> Message:
        """The reply to a message; must not raise."""
        ...


class LocalGrid(Grid):
    """Messages go straight to the nodes, one after the other, when they are pushed.

    Args:
        nodes: by node id.
        run_id: Flower's id of the run.
    """

    def __init__(self, nodes: Mapping[int, LocalNode], *, run_id: int) -> None:
        self._nodes = dict(nodes)
        self._replies: dict[str, Message] = {}
        self._sent = 0
        self._run = Run.create_empty(run_id)
        set_task_identity(run_id=run_id)

    def set_run(self, run: Run) -> None:
        """Flower's hook; replaces the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Flower's deprecated way to make a message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """All nodes; here they are always online."""
        return sorted(self._nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """All nodes with their Flower keys."""
        return [
            NodeInfo(node_id=number, public_key=node.public_key)
            for number, node in sorted(self._nodes.items())
        ]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let each addressed node work at once; ids in order, empty for an unknown node."""
        return [self._deliver(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to these messages, each once."""
        return [self._replies.pop(key) for key in list(message_ids) if key in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push, then pull; nothing waits, so there is no timeout to keep."""
        return self.pull_messages(self.push_messages(messages))

    def _deliver(self, message: Message) -> str:
        node = self._nodes.get(message.metadata.dst_node_id)
        if node is None:
            return ""
        self._sent += 1
        key = f"local-{self._sent}"
        # A deep copy, since a node that changed what it was sent would change it for all.
        private = copy.deepcopy(message)
        private.metadata.__dict__["_message_id"] = key
        self._replies[key] = node.answer(private)
        return key
