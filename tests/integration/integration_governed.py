"""A space with three enterprises and one run, observed from outside until its processes ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from integration_space import (
    ALLOWED,
    FEATURES,
    PURPOSE,
    Secret,
    cmdline,
    descendants,
    write_product,
)
from otlp_collector import Collector, collector

from clients.appbundle import build_bundle
from commands import localspace
from commands.children import python
from commands.demo import APP
from commands.localspace import LocalSpace, local_space, run_spec
from commands.logs import FORMAT_VARIABLE, LogFormat
from policies import governance_pb2 as pb

ROWS = {"north": 120, "south": 90, "west": 60}
REFUSED = "west"
ROUNDS = 3
PAGE_BYTES = 4096
METRICS = ("train_loss", "eval_loss", "eval_accuracy")


@dataclass(slots=True)
class Observed:
    """What could be seen while the run went on.

    Attributes:
        commands: command lines of all processes of this machine.
        environments: of the space's own processes.
        pages: of Flower's database and its write-ahead log, each content once.
        status: what `tds node status` told of each node after the last round, while it ran.
        telemetry: what nodes, governance and ServerApp sent to a collector of OpenTelemetry.
        figures: what `tds serve` told Prometheus after the last round.
        scratch: files in the sandboxes' folders, after the last round.
    """

    commands: set[str] = field(default_factory=set)
    environments: set[bytes] = field(default_factory=set)
    pages: set[bytes] = field(default_factory=set)
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    telemetry: Collector = field(default_factory=Collector)
    figures: str = ""
    scratch: dict[Path, bytes] = field(default_factory=dict)

    def look(self, database: Path) -> None:
        """Take in what there is now."""
        self.commands |= {cmdline(process) for process in psutil.process_iter()}
        for process in descendants(os.getpid()):
            try:
                self.environments.add(Path(f"/proc/{process.pid}/environ").read_bytes())
            except OSError:  # gone meanwhile
                continue
        self.pages |= _pages(database, header=0, before_each=0)
        self.pages |= _pages(database.with_name(f"{database.name}-wal"), header=32, before_each=24)

    def look_into_sandboxes(self) -> None:
        """Take in what lies in the folder of each node's sandbox."""
        for process in descendants(os.getpid()):
            words = cmdline(process).split()
            if "clients.zygote" in words:
                base = Path(words[words.index("clients.zygote") + 2])
                files = [path for path in base.rglob("*") if path.is_file()]
                self.scratch |= {path: path.read_bytes() for path in files}


@dataclass(frozen=True, slots=True)
class Governed:
    """What is left of the space; its processes have ended.

    Attributes:
        root: every file of the space, its nodes and its processes' output is below it.
        tokens: join tokens that were used.
    """

    root: Path
    local: LocalSpace
    app: str
    run: pb.Run
    secrets: dict[str, Secret]
    tokens: tuple[str, ...]
    observed: Observed

    @property
    def key(self) -> str:
        """The log's public key."""
        return self.local.space.card.log_key


def governed_run(root: Path) -> Governed:
    """Three enterprises, one of which allows another purpose; `ROUNDS` rounds of the real app."""
    tokens: list[str] = []
    secrets: dict[str, Secret] = {}
    observed = Observed()
    database = root / "flower.db"
    with (
        pytest.MonkeyPatch.context() as patch,
        collector() as observed.telemetry,
        local_space(root, name="tests/governed", env=_signals(observed.telemetry.url)) as local,
    ):
        _keep_tokens(patch, tokens)
        local.start(database=database)
        bundle = build_bundle(APP)
        app = local.register_app(bundle, "Tabular classification")
        for number, (name, rows) in enumerate(ROWS.items()):
            product, secrets[name] = write_product(
                root / "data" / name, name, rows=rows, seed=number
            )
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose="drug-safety" if name == REFUSED else ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        agreements = [node.agreement for node in local.nodes.values()]
        spec = run_spec(app, agreements, purpose=PURPOSE, rounds=ROUNDS, metrics=METRICS)
        config = {"features": len(FEATURES), "least": "", "most": ""}
        opened = local.open_run(spec.model_copy(update={"config": config}))
        with local.consumer() as consumer:
            while True:
                run = consumer.get_run(opened.run)
                observed.look(database)
                if run.state in {"COMPLETED", "FAILED", "STOPPED"}:
                    break
                local.children.check()
        observed.figures = scraped(local)
        observed.look_into_sandboxes()
        observed.status = {name: node_status(node.folder) for name, node in local.nodes.items()}
    return Governed(root, local, app, run, secrets, tuple(tokens), observed)


def scraped(local: LocalSpace) -> str:
    """What Prometheus would get of governance."""
    said = re.search(
        r"metrics (http://127\.0\.0\.1:\d+/metrics)", local.processes["serve"].output()
    )
    assert said, "tds serve does not say where its metrics are"
    with urllib.request.urlopen(said[1], timeout=10) as answer:
        return str(answer.read().decode())


def _signals(collector_url: str) -> dict[str, str]:
    """Logs as JSON and telemetry: read by tests of theirs, and searched for canaries."""
    return {
        FORMAT_VARIABLE: LogFormat.JSON.value,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "TDS_METRICS": "127.0.0.1:0",
    }


def node_status(folder: Path) -> dict[str, Any]:
    """What `tds node status --json` prints."""
    command = python("-m", "commands", "node", "status", "--json", "--node", str(folder))
    ran = subprocess.run(command, check=True, capture_output=True, timeout=60)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _pages(path: Path, *, header: int, before_each: int) -> set[bytes]:
    """The pages of an SQLite database or write-ahead log (sqlite.org/fileformat2.html)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    step = PAGE_BYTES + before_each
    return {data[at + before_each : at + step] for at in range(header, len(data) - step + 1, step)}


def _keep_tokens(patch: pytest.MonkeyPatch, tokens: list[str]) -> None:
    """Join files are removed once used: keep their tokens, to look for them."""
    enrol = localspace.enrol

    def keeping(folder: Path, join: Path, **rest: Any) -> Any:
        document = localspace.json.loads(join.read_bytes())
        tokens.append(document["token"])
        return enrol(folder, join, **rest)

    patch.setattr(localspace, "enrol", keeping)
