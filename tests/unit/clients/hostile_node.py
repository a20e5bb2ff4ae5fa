"""A node with the real worker, log, database and sandbox, whose approved app cheats."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import psutil
from hostile_app import write_app
from test_clients_gate import APP, NOW, PERMIT_KEY, agreement, body
from test_clients_work import MODEL, RECEIPT_KEY, Node

from clients.appbundle import installed_declaration
from clients.declared import Declaration, declaration_of
from clients.rowset import RowTree
from clients.sandbox import Sandbox
from clients.sdk import Rows
from clients.selection import Selection
from clients.tasks import Done, Reply, Task
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.permit import sign_permit
from policies.receipt import Receipt, open_receipt
from policies.runconfig import ConfigValue, config_digest
from policies.tensors import architecture_digest, unpack_tensors

SECRET = 47.110816955566406
"""In each row; a float32, which no figure of four digits can be."""

LEAKS = (b"47.1108", b"110816", b"4711081", np.float32(SECRET).tobytes())
"""What must not stand in anything that leaves or is logged."""

LIMITS = {"wall_s": 20, "memory_bytes": 1 << 28, "accelerator": "none"}


@dataclass
class HostileMaterials:
    """Four rows and the hostile app."""

    folder: Path
    declares: str = ""

    def select(self, product: str, *, purpose: str, now: datetime) -> Selection:
        return Selection(
            rows=Rows(
                features=np.full((4, 2), SECRET, dtype=np.float32),
                labels=np.zeros(4, dtype=np.int64),
                held_out_features=np.full((1, 2), SECRET, dtype=np.float32),
                held_out_labels=np.zeros(1, dtype=np.int64),
                feature_names=("x", "y"),
                classes=("a", "b"),
            ),
            states=np.array([1, 1, 2, 1, 1], dtype=np.uint8),
            product_commitment="f" * 64,
            tree=RowTree(b"k" * 32),
            salt=b"s" * 32,
        )

    def app_folder(self, app: str) -> Path:
        return self.folder

    def declaration(self, app: str) -> Declaration:
        """Of an app that says nothing, or what a test lets it say."""
        said = declaration_of(tomllib.loads(self.declares))
        return said if self.declares else installed_declaration(self.folder)


class HostileNode:
    """Hands attacks to a worker, one permit each."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.node = Node(folder)
        self.node.runner = sandbox  # type: ignore[assignment]
        self.materials = HostileMaterials(write_app(folder / "app"))
        self.node.materials = self.materials  # type: ignore[assignment]
        self.node.restart()
        self.node.state.approve_app(APP, time=instant(NOW))
        self.node.consent(agreement())
        self._permits = 0

    def task(
        self,
        do: str,
        *,
        wall_s: int = 20,
        run: str = "run-1",
        clip_norm: str = "",
        model: bytes = MODEL,
        terms: Mapping[str, object] = MappingProxyType({}),
        **config: ConfigValue,
    ) -> Task:
        """An attack under a permit of its own, whose other fields are `terms`."""
        self._permits += 1
        run_config: dict[str, ConfigValue] = {"do": do, **config}
        permit = body(
            id=f"permit-{self._permits:032x}",
            run=run,
            model=sha256_hex(model),
            architecture=architecture_digest(unpack_tensors(model)),
            config=config_digest(run_config),
            limits=LIMITS | {"wall_s": wall_s},
            clip_norm=clip_norm,
            **terms,
        )
        envelope = sign_permit(permit, self.node.space.log(permit), PERMIT_KEY)
        return Task("77", APP, run_config, envelope, model)

    def attack(
        self, do: str, *, wall_s: int = 20, run: str = "run-1", **config: ConfigValue
    ) -> Reply:
        """Its outcome; the sandbox must have buried the child."""
        return self.outcome(self.task(do, wall_s=wall_s, run=run, **config))

    def outcome(self, task: Task) -> Reply:
        """As `attack`."""
        reply = self.node.worker.handle(task)
        assert psutil.Process(self.sandbox.pid).children(recursive=True) == []
        return reply

    def figure(self, do: str, *, run: str = "run-1", **config: ConfigValue) -> float:
        """What an attack reports: the error number that it met."""
        reply = self.attack(do, run=run, **config)
        assert isinstance(reply, Done), reply
        return float(receipt_of(reply).metrics["loss"])

    def published(self, reply: Reply, *, update: bool = True) -> bytes:
        """All that left with a reply and all that the node's own log holds."""
        logged = b"\n".join(self.node.log.entries(0, self.node.log.size))
        if isinstance(reply, Done):
            left = json.dumps(receipt_of(reply).to_json()).encode()
            return logged + left + (reply.update if update else b"")
        return logged + reply.encode().encode()

    def last_entry(self) -> tuple[str, str]:
        """Type of the own log's last entry, and the code that it gives, if any."""
        entry = self.node.entries()[-1]
        return entry.type, str(entry.body.get("code", ""))


def receipt_of(done: Done) -> Receipt:
    """What the node signed."""
    return open_receipt(done.receipt, RECEIPT_KEY.public_key())


@contextmanager
def hostile_node(folder: Path) -> Iterator[HostileNode]:
    """As a node starts: the sandbox first."""
    with Sandbox.start(preload=()) as sandbox:
        hostile = HostileNode(folder, sandbox)
        try:
            yield hostile
        finally:
            hostile.node.close()
