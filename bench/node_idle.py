"""A node that waits for work: a space of this machine with one enterprise, nothing running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.processes import cpu_seconds
from clients.appbundle import build_bundle
from commands.localspace import local_space

SETTLE_S = 6.0


@contextmanager
def idle_node(work: Path, product: Path, purpose: str) -> Iterator[tuple[dict[str, int], float]]:
    """Process ids of a connected node by what they are, and its CPU seconds a second when idle.

    Args:
        product: a product file whose id begins with "clinic-a/".
    """
    app = Path(__file__).parents[1] / "clients" / "apps" / "tabular"
    with local_space(work, name="bench.example/idle") as local:
        local.start()
        local.add_node(
            "clinic-a",
            title="bench",
            region="CN-GD",
            product_file=product,
            purpose=purpose,
            app=build_bundle(app),
        )
        local.start_nodes(["clinic-a"])
        node = local.processes["clinic-a"].process.pid
        before = cpu_seconds([node])
        time.sleep(SETTLE_S)
        busy = (cpu_seconds([node]) - before) / SETTLE_S
        pids = {"node": node}
        for child in psutil.Process(node).children(recursive=True):
            kind = "zygote" if "clients.zygote" in child.cmdline() else child.name()
            pids[f"{kind} ({child.pid})"] = child.pid
        yield pids, busy
