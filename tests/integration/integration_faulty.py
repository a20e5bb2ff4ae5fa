"""A space whose processes are killed: every test finds all of them running, with fresh consents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from integration_space import (
    ALLOWED,
    alive,
    cmdline,
    descendants,
    has,
    online,
    sign_anew,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from commands.localspace import LocalSpace, local_space
from policies import governance_pb2 as pb

ROWS = {"north": 200, "south": 90, "west": 60}
SLOW = "north"  # the only one with `SLOW_ROWS` rows to train on
SLOW_ROWS = 120  # a fifth of the rows, drawn by chance, is held back


@dataclass(frozen=True, slots=True)
class Faulty:
    """The space and the slow app in it."""

    local: LocalSpace
    app: str
    database: Path

    @property
    def log(self) -> Path:
        """The space's log."""
        return self.local.space.log_folder

    def own_log(self, name: str) -> Path:
        """A node's own log."""
        return self.local.nodes[name].folder / "log"

    def heal(self) -> None:
        """Start again what an earlier test left dead."""
        if self.local.processes["serve"].process.poll() is not None:
            self.start_serve()
        dead = [n for n in ROWS if self.local.processes[n].process.poll() is not None]
        for name in dead:
            self.local.children.stop(self.local.processes[name])
        self.local.start_nodes(dead)

    def open(
        self, consents: dict[str, str], *, rounds: int, deadline_s: int, slow_ms: int
    ) -> pb.Run:
        """A run in which the node `SLOW` takes `slow_ms` for each training."""
        wanted = spec(
            self.app,
            list(consents.values()),
            rounds=rounds,
            deadline_s=deadline_s,
            slow_ms=slow_ms,
            slow_rows=SLOW_ROWS,
        )
        return self.local.open_run(wanted)

    def consents(self) -> dict[str, str]:
        """A new agreement with each enterprise."""
        return {name: sign_anew(self.local, name) for name in ROWS}

    def kill(self, name: str) -> None:
        """SIGKILL a process of the space; what it had started ends by itself."""
        child = self.local.processes[name]
        below = descendants(child.process.pid)
        self.local.children.kill(child)
        wait_for(f"what {name} had started to end", lambda: not alive(below), timeout_s=15)

    def start_serve(self) -> None:
        """`tds serve` again, on the same ports."""
        self.local.start(database=self.database)

    def serverapps(self) -> list[psutil.Process]:
        """The ServerApps' processes: forks of the executor."""
        serve = self.local.processes["serve"].process.pid
        executor = [p for p in descendants(serve) if "commands.executor" in cmdline(p)]
        return [p for p in executor if p.parent() in executor]

    def online(self) -> set[str]:
        """The nodes that the SuperLink counts as online, by participant."""
        return online(self.local)

    def wait(
        self, folder: Path, run: str, kind: str, *, timeout_s: float = 30, **f: object
    ) -> None:
        """Returns once such an entry stands in a log."""
        wait_for(f"{kind} {f} in {folder}", has(folder, run, kind, **f), timeout_s=timeout_s)


@contextmanager
def faulty_space(root: Path) -> Iterator[Faulty]:
    """Three enterprises that all allow the purpose; Flower's state is in a file."""
    database = root / "flower.db"
    with local_space(root, name="tests/faulty") as local:
        local.start(database=database)
        bundle = slow_bundle(root / "app")
        app = local.register_app(bundle, "Slow")
        for number, (name, rows) in enumerate(ROWS.items()):
            product, _ = write_product(root / "data" / name, name, rows=rows, seed=10 + number)
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=product,
                purpose=ALLOWED,
                app=bundle,
            )
        local.start_nodes(local.nodes)
        yield Faulty(local, app, database)
