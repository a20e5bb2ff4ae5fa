"""Round latency: stock Flower 1.41, tdspace with everything on, and the plain loop as the limit.

    python bench/round_latency.py [--rounds 20] [--nodes 4] [--json FILE]

Four nodes, MLP 64-128-10 on scikit-learn's digits, batch 32, one local epoch, FedAvg, evaluation in
each round; all in turn on this machine. A stock round is train and evaluate (two exchanges); ours
evaluates in the exchange that trains. Read the ratios; absolutes belong to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

APP = Path(__file__).parent / "digits"
sys.path[:0] = [str(APP), str(Path(__file__).parents[1])]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from digits.model import evaluate, make_model, train_epoch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from bench.governed import measure_governed
from bench.stock import Measured, measure_stock

HELD_BACK = 0.2

PYPROJECT = """[project]
name = "digits"
version = "1.0.0"
description = "Benchmark"
license = "Apache-2.0"
dependencies = ["flwr>=1.41,<1.42"]

[tool.flwr.app]
publisher = "tdspace"
fab-include = ["digits/*.py"]

[tool.flwr.app.components]
serverapp = "{server}"
clientapp = "{client}"

[tool.flwr.app.config]
{config}
"""


def main() -> None:
    """Measure all three and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--skip-stock", action="store_true", help="measure ours only")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    try:
        measured = _measure(work, options.rounds, options.nodes, stock=not options.skip_stock)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _print(measured)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")


def _measure(work: Path, rounds: int, nodes: int, *, stock: bool) -> list[Measured]:
    shares = _shares(work / "shares", nodes)
    measured = [_plain([npz for npz, _ in shares], rounds)]
    governed = _app(
        work / "governed",
        server="server.app:app",
        client="digits.governed:app",
        config='initial-model = "digits.model:initial_arrays"',
    )
    measured.append(measure_governed(work / "ours", [csv for _, csv in shares], governed, rounds))
    if stock:
        plain = _app(
            work / "stock-app",
            server="digits.stock:server",
            client="digits.stock:app",
            config='out = ""\nrounds = 1',
        )
        measured.append(measure_stock(work / "stock", [npz for npz, _ in shares], plain, rounds))
    return measured


def _shares(folder: Path, nodes: int) -> list[tuple[Path, Path]]:
    """The digits dealt out evenly; each share as an archive for stock and as CSV for ours."""
    folder.mkdir()
    bunch = load_digits()
    order = np.random.default_rng(3).permutation(len(bunch.target))
    paths = []
    for number, part in enumerate(np.array_split(order, nodes)):
        x, y = bunch.data[part].astype(np.float32), bunch.target[part].astype(np.int64)
        cut = int(len(y) * HELD_BACK)
        npz, csv = folder / f"{number}.npz", folder / f"{number}.csv"
        np.savez(npz, x=x[cut:], y=y[cut:], held_x=x[:cut], held_y=y[:cut])
        header = ",".join([*(f"p{i}" for i in range(64)), "digit"])
        rows = np.column_stack([x, y])
        np.savetxt(csv, rows, fmt=["%g"] * 64 + ["%d"], delimiter=",", header=header, comments="")
        paths.append((npz, csv))
    return paths


def _plain(shares: list[Path], rounds: int) -> Measured:
    """FedAvg without any transport: one process trains each share in turn and averages."""
    torch.set_num_threads(1)
    data = [dict(np.load(path)) for path in shares]
    state = make_model().state_dict()
    seconds, accuracy = [], 0.0
    cpu = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        updates, correct = [], 0.0
        for share in data:
            model = make_model()
            model.load_state_dict(state)
            correct += evaluate(model, share["held_x"], share["held_y"])[1] / len(data)
            train_epoch(model, share["x"], share["y"])
            updates.append(model.state_dict())
        state = {name: sum(u[name] for u in updates) / len(updates) for name in state}
        seconds.append(time.perf_counter() - began)
        accuracy = correct
    cpu = time.process_time() - cpu
    return Measured("plain torch loop, one process", seconds, accuracy, cpu, {})


def _app(folder: Path, *, server: str, client: str, config: str) -> Path:
    shutil.copytree(APP / "digits", folder / "digits", ignore=shutil.ignore_patterns("__pyc*"))
    text = PYPROJECT.format(server=server, client=client, config=config)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def _print(measured: list[Measured]) -> None:
    table = Table(title="seconds a round", title_justify="left")
    for column in ("", "median", "p95", "CPU s a round", "times plain", "accuracy"):
        table.add_column(column, justify="left" if not column else "right")
    medians = {one.name: float(np.median(one.rounds_s)) for one in measured}
    plain = medians[measured[0].name]
    for one in measured:
        table.add_row(
            one.name,
            f"{medians[one.name]:.3f}",
            f"{np.quantile(one.rounds_s, 0.95):.3f}",
            f"{one.cpu_s / len(one.rounds_s):.2f}",
            f"{medians[one.name] / plain:.1f}",
            f"{one.accuracy:.3f}",
        )
    console = Console(width=110)
    console.print(table)
    ours = measured[1]
    console.print(
        f"governance, as the ServerApp sees it: {ours.extra['governance_s']:.3f} s a round"
    )
    console.print(
        f"peak memory of a node's process tree: {ours.extra['node_peak_mib']:.0f} MiB (PSS)"
    )
    if len(measured) > 2:
        ratio = medians[measured[2].name] / medians[ours.name]
        console.print(f"stock Flower takes {ratio:.1f} times as long a round as tdspace")


if __name__ == "__main__":
    main()
