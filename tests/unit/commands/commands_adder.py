"""Enterprises in this process with a small app, and a run that was opened for them."""

from __future__ import annotations

import hashlib
import io
import secrets
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from commands_site import make_node, make_space

from clients.appbundle import bundle_config
from clients.identity import public_pem
from commands.inprocess import FLOWER_RUN, LocalGovernance, LocalSuperLink
from commands.localspace import run_spec
from commands.simulate import SimulatedNode
from policies import governance_pb2 as pb
from policies.canonical import sha256_hex
from policies.tensors import architecture_digest, pack_tensors, unpack_tensors
from server.files import read_file
from server.localgrid import LocalGrid

PYPROJECT = b"""
[project]
name = "unit-adder"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "unit_adder.client:app"
[tool.flwr.app.config]
step = 2
[tool.tdspace.metrics]
train_loss = {least = 0, most = 1000}
eval_loss = {least = 0, most = 1000}
"""
ADDER = b"""
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    step = context.run_config["step"]
    arrays = {n: Array(a.numpy() + step) for n, a in message.content["arrays"].items()}
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"train_loss": 0.5})}
    return Message(RecordDict(content), reply_to=message)

@app.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"eval_loss": 0.25})}), reply_to=message)
"""
FILES = {"pyproject.toml": PYPROJECT, "unit_adder/client.py": ADDER, "unit_adder/__init__.py": b""}
MODEL = pack_tensors({"w": np.zeros(3, np.float32)})
NAMES = ("alpha", "beta", "gamma")
METRICS = ("train_loss", "eval_loss")


def adder_bundle(client: bytes = ADDER) -> bytes:
    """An app that adds 2 to every weight, as `flwr build` would pack it.

    Args:
        client: what it does instead.
    """
    files = FILES | {"unit_adder/client.py": client}
    listed = "\n".join(
        f"{path},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for path, data in files.items()
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in {**files, ".info/CONTENT": listed.encode()}.items():
            archive.writestr(path, data)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Site:
    """Enterprises in this process and a run that was opened for them."""

    root: Path
    consumer: LocalGovernance
    nodes: dict[int, SimulatedNode]
    run: pb.Run

    @property
    def first(self) -> int:
        """The id of one of the nodes."""
        return min(self.nodes)

    def permit(self, *numbers: int) -> bytes:
        """A permit for the first round, for these nodes or all; asked for again, another one."""
        online = [
            pb.NodeRef(node_id=str(number), fleet_key_pem=node.public_key)
            for number, node in self.nodes.items()
            if number in (numbers or self.nodes)
        ]
        request = pb.AuthorizeRoundRequest(
            run=self.run.run,
            flower_run=FLOWER_RUN,
            round=1,
            kind="train",
            model=sha256_hex(MODEL),
            online=online,
            request_id=secrets.token_hex(16),
            architecture=architecture_digest(unpack_tensors(MODEL)),
            floats=3,
        )
        return bytes(self.consumer.authorize_round(request).permit)

    def grid(self, *, run_id: int = int(FLOWER_RUN)) -> LocalGrid:
        return LocalGrid(self.nodes, run_id=run_id)


def open_site(
    stack: ExitStack,
    root: Path,
    *,
    purpose: str,
    names: tuple[str, ...],
    client: bytes = ADDER,
    rows: Sequence[int] = (20, 20, 20),
    **terms: Any,
) -> Site:
    """A space, its nodes with the approved app, and an open run.

    Args:
        client: what the app does.
        rows: of each node's product.
        terms: of the run, as `run_spec` takes them; updates leave as they are if left out.
    """
    space = make_space(root / "space")
    superlink = LocalSuperLink()
    operator = LocalGovernance.open(stack, space, superlink)
    bundle = adder_bundle(client)
    app = operator.register_app(bundle, "adds")
    made = [
        make_node(stack, operator, root / name, bundle=bundle, rows=count)
        for name, count in zip(names, rows, strict=False)
    ]
    by_key = {public_pem(node.identity.keys.fleet): node for node in made}
    nodes = {
        number: SimulatedNode(by_key[key], key, app, bundle_config(bundle))
        for number, key in superlink.node_keys.items()
    }
    consumer = operator.seen_by(read_file(space.consumer_folder / "tls.crt"))
    agreements = [one.id for node in made for one in node.state.agreements()]
    terms = {"secure_sum": "none", "rounds": 1} | terms
    spec = run_spec(app, agreements, purpose=purpose, metrics=METRICS, **terms)
    return Site(root, consumer, nodes, consumer.open_run(spec, secrets.token_hex(16)))
