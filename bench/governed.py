"""tdspace with everything on: permits, durable log, sandbox, receipts; real processes."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from auditors.snapshot import Snapshot
from bench.processes import PeakMemory, cpu_seconds
from bench.stock import Measured
from clients.appbundle import build_bundle
from commands.localspace import local_space, run_spec
from commands.rounds_table import ENDED, rounds_of
from policies.entries import Entry, parse_entry

PURPOSE = "medical-research"
METRICS = ("train_loss", "eval_loss", "eval_accuracy", "num-examples")
_ROUND = re.compile(r"round (\d+) closed in ([\d.]+) s \(governance ([\d.]+), exchange ([\d.]+)\)")


def measure_governed(work: Path, shares: list[Path], app: Path, rounds: int) -> Measured:
    """Run the governed app for `rounds` training rounds over real processes."""
    work.mkdir(parents=True)
    bundle = build_bundle(app)
    with local_space(work, name="tdspace.example/bench") as local:
        local.start()
        digest = local.register_app(bundle, "digits")
        for number, share in enumerate(shares):
            local.add_node(
                f"node{number}",
                title=f"node {number}",
                region="CN-GD",
                product_file=_product_file(number, share),
                purpose=PURPOSE,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        agreements = [node.agreement for node in local.nodes.values()]
        spec = run_spec(digest, agreements, purpose=PURPOSE, rounds=rounds, metrics=METRICS)
        pids = [child.process.pid for child in local.processes.values()]
        nodes = [local.processes[name].process.pid for name in local.nodes]
        before = cpu_seconds(pids)
        with PeakMemory(nodes, interval_s=2.5) as memory, local.consumer() as consumer:
            run = local.open_run(spec)
            while run.state not in ENDED:
                local.children.check()
                time.sleep(1.0)
                run = consumer.get_run(run.run)
        cpu = cpu_seconds(pids) - before
        entries = _entries(local.space.log_folder)
        log = (local.space.folder / "logs" / "executor.log").read_text(encoding="utf-8")
    if run.state != "COMPLETED":
        raise RuntimeError(f"the run ended as {run.state}: {run.reason}")
    trained = [entry for entry in rounds_of(run) if entry["kind"] == "train"]
    timings = [tuple(map(float, found.groups()[1:])) for found in _ROUND.finditer(log)][:rounds]
    return Measured(
        name="tdspace, everything on",
        rounds_s=_round_seconds(entries)[:rounds],
        accuracy=float(trained[-1]["metrics"]["eval_accuracy"]),
        cpu_s=cpu,
        extra={
            "governance_s": _median([part[1] for part in timings]),
            "node_peak_mib": max(memory.peaks.values(), default=0) / 2**20,
        },
    )


def _round_seconds(entries: list[Entry]) -> list[float]:
    """Close to close, so that all that happens between rounds counts; the first from its ask."""
    times = [
        datetime.fromisoformat(entry.time).timestamp()
        for entry in entries
        if entry.type == "RoundClosed"
    ]
    first = next(e for e in entries if e.type == "RoundDecided")
    times.insert(0, datetime.fromisoformat(first.time).timestamp())
    return [after - before for before, after in pairwise(times)]


def _entries(folder: Path) -> list[Entry]:
    return [parse_entry(line) for _, line in Snapshot.take(folder).entries()]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else float("nan")


def _product_file(number: int, share: Path) -> Path:
    path = share.with_suffix(".json")
    pixels = [{"name": f"p{i}", "type": "float", "role": "feature"} for i in range(64)]
    product = {
        "version": 1,
        "id": f"node{number}/digits",
        "title": "handwritten digits",
        "path": share.name,
        "columns": [*pixels, {"name": "digit", "type": "integer", "role": "label"}],
        "classes": [str(digit) for digit in range(10)],
        "held_back": "0.2",
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
    }
    path.write_text(json.dumps(product), encoding="utf-8")
    return path
