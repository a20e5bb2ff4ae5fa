"""What the tests with real processes share: tiny products, a slow app, logs, waiting."""

from __future__ import annotations

import csv
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from flwr.proto.control_pb2 import ListNodesRequest
from flwr.supercore.control.control_http_client import ControlHttpClient

from auditors.snapshot import Snapshot
from clients.appbundle import build_bundle
from clients.owner import open_owner
from commands.contract_draft import draft_offer
from commands.localspace import LocalSpace
from commands.node_wiring import now
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.entries import Entry, parse_entry
from policies.odrl import agreement_from_offer, parse_offer
from policies.statements import RunSpec

PURPOSE = "diagnosis-support"
ALLOWED = "medical-research"  # PURPOSE is one of its kinds
FEATURES = ("f0", "f1", "f2", "f3")

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Secret:
    """What nobody but one owner may see.

    Attributes:
        data: the file where it lies, and the only one where it may.
        texts: one for each row.
        features: [n, d] float32, as drawn.
    """

    data: Path
    texts: tuple[str, ...]
    features: np.ndarray[Any, np.dtype[np.float32]]


def write_product(folder: Path, owner: str, *, rows: int, seed: int) -> tuple[Path, Secret]:
    """A CSV of `rows` rows with an unguessable text in each, and its product file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    features = (rng.standard_normal((rows, len(FEATURES))) * 10).astype(np.float32)
    labels = np.where(features[:, 0] + features[:, 1] > 0, "ill", "well")
    texts = tuple(f"canary-{owner}-{secrets.token_hex(12)}" for _ in range(rows))
    data = folder / "rows.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*FEATURES, "note", "state"])
        for values, text, label in zip(features, texts, labels, strict=True):
            writer.writerow([*(repr(float(value)) for value in values), text, label])
    product = {
        "version": 1,
        "id": f"{owner}/rows",
        "title": f"Rows of {owner}",
        "path": data.name,
        "columns": [
            *({"name": name, "type": "float", "role": "feature"} for name in FEATURES),
            {"name": "note", "type": "string", "role": "ignored"},
            {"name": "state", "type": "string", "role": "label"},
        ],
        "classes": ["ill", "well"],
        "held_back": "0.2",
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
    }
    path = folder / "product.json"
    path.write_text(json.dumps(product), encoding="utf-8")
    return path, Secret(data=data, texts=texts, features=features)


_PYPROJECT = """\
[project]
name = "slow"
version = "0.1.0"
description = "A linear classifier that takes its time where there are many rows."
license = "Apache-2.0"
dependencies = ["flwr>=1.41,<1.42", "numpy>=2.0", "tdspace"]

[tool.flwr.app]
publisher = "tests"
fab-include = ["slow/**/*.py"]

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "slow.client_app:app"

[tool.flwr.app.config]
initial-model = "slow.client_app:initial"
slow-ms = 0
slow-rows = 1
"""

_CLIENT_APP = '''\
"""One step of least squares; sleeps `slow-ms` first where there are `slow-rows` rows or more."""

import time

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.sdk import training_rows

app = ClientApp()


def initial(run_config):
    return ArrayRecord({"weights": Array(np.zeros((4, 2), dtype=np.float32))})


@app.train()
def train(message, context):
    rows = training_rows()
    if len(rows.labels) >= context.run_config["slow-rows"]:
        time.sleep(context.run_config["slow-ms"] / 1000)
    weights = message.content["arrays"]["weights"].numpy().copy()
    wanted = np.eye(2, dtype=np.float32)[rows.labels]
    error = rows.features @ weights - wanted
    weights -= 1e-3 * (rows.features.T @ error / len(rows.labels)).astype(np.float32)
    metrics = MetricRecord({"train_loss": float((error**2).mean()), **evaluation(weights, rows)})
    arrays = ArrayRecord({"weights": Array(weights)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message, context):
    metrics = evaluation(message.content["arrays"]["weights"].numpy(), training_rows())
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def evaluation(weights, rows):
    guess = (rows.held_out_features @ weights).argmax(axis=1)
    return {"eval_accuracy": float((guess == rows.held_out_labels).mean())}
'''


def slow_app(folder: Path) -> None:
    """Write an app of numpy whose training lasts `slow-ms` where there are `slow-rows` rows."""
    package = folder / "slow"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
    (package / "__init__.py").write_text('"""A slow app."""\n', encoding="utf-8")
    (package / "client_app.py").write_text(_CLIENT_APP, encoding="utf-8")


def slow_bundle(folder: Path) -> bytes:
    """The slow app, also written to a folder; `flwr build` runs once a process."""
    slow_app(folder)
    return _built()


@cache
def _built() -> bytes:
    with tempfile.TemporaryDirectory(prefix="tds-slow-") as folder:
        app = Path(folder) / "slow-app"  # a name that `flwr build` takes
        slow_app(app)
        return build_bundle(app)


def online(local: LocalSpace) -> set[str]:
    """The nodes that the SuperLink counts as online, by participant."""
    card = local.space.card
    client = ControlHttpClient.from_server_address(
        card.superlink, insecure=False, root_certificates=card.ca_pem.encode(), interceptors=[]
    )
    try:
        found = client.ListNodes(ListNodesRequest()).nodes_info
    finally:
        client.close()
    return {node.name for node in found if node.status == "online"}


def sign_anew(local: LocalSpace, name: str, *, purpose: str = ALLOWED) -> str:
    """A further agreement over a node's product, so that each test has consents of its own."""
    node = local.nodes[name]
    offer = draft_offer(owner=name, purpose=purpose, uses=1000, participants=2)
    agreement = agreement_from_offer(
        parse_offer(json.dumps(offer).encode()),
        id=f"urn:tdspace:agreement:{name}-{secrets.token_hex(8)}",
        target=node.product,
        assigner=name,
        assignee=local.space.config.consumer,
        timestamp=now(),
    )
    with open_owner(node.folder) as owner:
        return owner.sign_agreement(canonical_bytes(agreement.to_json())).id


def spec(
    app: str, agreements: Sequence[str], *, rounds: int, deadline_s: int = 30, **config: int
) -> RunSpec:
    """A run of the slow app; `config` with _ for -."""
    return RunSpec(
        version=1,
        app=app,
        purpose=PURPOSE,
        agreements=list(agreements),
        rounds=rounds,
        deadline_s=deadline_s,
        quorum=2,
        min_cohort=2,
        memory_bytes=1 << 31,
        metrics=["train_loss", "eval_accuracy"],
        config={key.replace("_", "-"): value for key, value in config.items()},
    )


# -- waiting -----------------------------------------------------------------------------------


def wait_for(what: str, ready: Stop, *, timeout_s: float, every_s: float = 0.02) -> None:
    """Returns once `ready()`; fails after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end, f"waited {timeout_s:g} s for {what}, in vain"
        time.sleep(every_s)


def ended(local: LocalSpace, run: str, *, timeout_s: float = 60.0) -> pb.Run:
    """The run, once it is over."""
    end = time.monotonic() + timeout_s
    with local.consumer() as consumer:
        while True:
            found = consumer.get_run(run)
            if found.state in {"COMPLETED", "FAILED", "STOPPED"}:
                return found
            assert time.monotonic() < end, f"{run}: {found.state} after {timeout_s:g} s"
            local.children.check()
            time.sleep(0.05)


# -- logs --------------------------------------------------------------------------------------


def read_log(folder: Path) -> list[Entry]:
    """The entries of a log folder so far."""
    return [parse_entry(line) for _, line in Snapshot.take(folder).entries()]


def of_run(entries: Sequence[Entry], run: str, kind: str, **fields: object) -> list[Entry]:
    """The run's entries of one type whose body has these fields, oldest first."""
    return [
        entry
        for entry in entries
        if entry.type == kind
        and entry.body.get("run") == run
        and all(entry.body.get(name) == value for name, value in fields.items())
    ]


def has(folder: Path, run: str, kind: str, **fields: object) -> Stop:
    """Whether such an entry stands in the log by now."""
    return lambda: bool(of_run(read_log(folder), run, kind, **fields))


def names(items: Any) -> set[str]:
    """The participants of a list of objects."""
    return {item["participant"] for item in items}


# -- processes ---------------------------------------------------------------------------------


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below this one; none if it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a process that nobody has waited for counts as ended."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def sandbox_child(node_pid: int) -> psutil.Process | None:
    """The process that runs an app for this node, if any: the one child of its zygote."""
    zygotes = [p for p in descendants(node_pid) if "clients.zygote" in cmdline(p)]
    children = alive([child for zygote in zygotes for child in descendants(zygote.pid)])
    return children[0] if children else None


def running_child(node_pid: int, *, timeout_s: float = 60.0) -> psutil.Process:
    """The process that runs an app for this node, once it has been there for 0.3 s."""
    found: psutil.Process | None = None
    since = 0.0

    def settled() -> bool:
        nonlocal found, since
        child = sandbox_child(node_pid)
        if child != found:
            found, since = child, time.monotonic()
        return child is not None and time.monotonic() - since > 0.3

    wait_for("the app's process", settled, timeout_s=timeout_s)
    assert found is not None
    return found


def cmdline(process: psutil.Process) -> str:
    """Its command line, empty if it is gone."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
