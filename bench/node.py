"""What a node costs beside the app: a use, selecting rows, its memory, and ten million rows.

    python bench/node.py                       everything; about five minutes
    python bench/node.py --part use            one part: use, select, idle, rows

Each part runs in a process of its own. Wall time needs cores that do nothing else: CPU time, of the
node's process and of its children, stands beside it, and the load at the end.

`use` is what `tds node` does from a permit that came to the receipt and update that may leave: the
real gate, database, log (every append synced), vault, sandbox and egress, around an app that hands
the arrays back as they came. The app's own time is what it measures itself between being called and
returning, and is taken off. The bed of keys and permits is that of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
# This file's own folder has another `ledger`.
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "unit" / "clients")]

import duckdb
import numpy as np
from test_clients_gate import APP, PERMIT_KEY, RECEIPT_KEY, agreement, body, member
from test_clients_work import RECEIPT_KEY as SIGNING_KEY
from test_clients_work import Node

from bench.node_idle import idle_node
from bench.node_memory import PeakOwn, alone, made_of
from clients.appbundle import installed_declaration
from clients.declared import Declaration
from clients.product import Product, load_product
from clients.sandbox import Sandbox
from clients.selection import Selection, Selector
from clients.tasks import Done, Task
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.permit import sign_permit
from policies.receipt import open_receipt
from policies.runconfig import config_digest
from policies.tensors import pack_tensors

SALT = b"s" * 32
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PURPOSE = "medical-research"
MIB = 1 << 20

PYPROJECT = """[project]
name = "bench-app"
version = "1.0.0"
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "bench_app.client:app"
clientapp = "bench_app.client:app"
"""
CLIENT = """import time
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from clients.sdk import training_rows
app = ClientApp()

@app.train()
def train(message, context):
    started = time.perf_counter()
    arrays = message.content["arrays"]
    if context.run_config["fits"]:  # logistic regression by stochastic gradient descent
        (weight,) = arrays.to_numpy_ndarrays()
        weight = weight.copy()
        for features, labels in training_rows().batches(4096, rng=np.random.default_rng()):
            error = 1 / (1 + np.exp(-(features @ weight))) - labels
            weight -= (0.1 / len(labels)) * (features.T @ error).astype(np.float32)
        arrays = ArrayRecord([weight])
    spent = time.perf_counter() - started
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"loss": spent})})
    return Message(content=content, reply_to=message)
"""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=sorted(PARTS))
    parser.add_argument("--repeat", type=int, default=9, help="uses of each model")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large product")
    arguments = parser.parse_args()
    if arguments.part is None:
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--repeat", arguments.repeat]
            subprocess.run([*map(str, command), "--rows", str(arguments.rows)], check=True)
        print(f"load of this machine at the end: {os.getloadavg()[0]:.1f}, cores {os.cpu_count()}")
        return
    work = Path(tempfile.mkdtemp(prefix="tds-bench-node-"))
    try:
        PARTS[arguments.part](work, arguments)
    finally:
        shutil.rmtree(work)


@dataclass(frozen=True)
class Taken:
    """Seconds of one thing: wall time and CPU time of this process and of the child of a job."""

    wall_s: float
    cpu_s: float


def timed(act: Callable[[], object], pid: int | None = None) -> Taken:
    """Do it once; `pid` is a process that waits for its own children (the zygote)."""
    wall, cpu = time.perf_counter(), time.process_time() + _children(pid)
    act()
    return Taken(time.perf_counter() - wall, time.process_time() + _children(pid) - cpu)


def _children(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


# -- a use -------------------------------------------------------------------------------------


class Bed:
    """A node as the tests have it, with the real sandbox, vault and app of this file."""

    def __init__(self, folder: Path, sandbox: Sandbox, product: Product, model: bytes) -> None:
        (folder / "app" / "bench_app").mkdir(parents=True)
        (folder / "app" / "pyproject.toml").write_text(PYPROJECT)
        (folder / "app" / "bench_app" / "client.py").write_text(CLIENT)
        self._app, self._product, self._model = folder / "app", product, model
        self._selector = Selector(salt=SALT, spool=folder)
        self.node = Node(folder)
        self.node.runner = sandbox  # type: ignore[assignment]
        self.node.materials = self  # type: ignore[assignment]
        self.node.restart()
        self.node.state.approve_app(APP, time=instant(NOW))
        self.node.consent(agreement())

    def select(self, product: str, *, purpose: str, now: datetime) -> Selection:
        """As `clients.materials.OwnMaterials` does, of the one product."""
        return self._selector.select(self._product, purpose=purpose, now=now)

    def app_folder(self, app: str) -> Path:
        """The one app."""
        return self._app

    def declaration(self, app: str) -> Declaration:
        """What it declares to return."""
        return installed_declaration(self._app)

    def task(self, number: int, *, fits: bool = False) -> Task:
        """A permit of its own."""
        config = {"fits": fits}
        permit = body(
            id=f"permit-{number:032x}",
            model=sha256_hex(self._model),
            config=config_digest(config),
            cohort=[member("clinic-a", RECEIPT_KEY, max_rows=50_000_000, metered_s=600)],
            min_cohort=1,
            limits={"wall_s": 600, "memory_bytes": 1 << 31, "accelerator": "none"},
        )
        envelope = sign_permit(permit, self.node.space.log(permit), PERMIT_KEY)
        return Task("77", permit.app, config, envelope, self._model)

    def use(self, task: Task) -> float:
        """From the permit to the receipt; returns the app's own seconds."""
        reply = self.node.worker.handle(task)
        assert isinstance(reply, Done), reply
        receipt = open_receipt(reply.receipt, SIGNING_KEY.public_key())
        return float(receipt.metrics["loss"])


def packed(parameters: int) -> bytes:
    """A model of so many float32, in arrays as layers have them."""
    chance, count = np.random.default_rng(1), 10
    size = parameters // count
    arrays = {f"layer{n}": chance.random(size, dtype=np.float32) for n in range(count)}
    return pack_tensors(arrays)


def use(work: Path, arguments: argparse.Namespace) -> None:
    """From permit received to receipt sent, beside the app's own time."""
    product = written(work, rows=1000, width=10, consented=False)
    for parameters, goal in ((100_000, 40), (10_000_000, 250)):
        with Sandbox.start() as sandbox:
            folder = work / str(parameters)
            folder.mkdir()
            bed = Bed(folder, sandbox, product, packed(parameters))
            overheads, cpu = [], []
            for number in range(1, arguments.repeat + 2):
                task, own = bed.task(number), []
                taken = timed(lambda: own.append(bed.use(task)), sandbox.pid)  # noqa: B023
                overheads.append(taken.wall_s - own[0])
                cpu.append(taken.cpu_s)
            bed.node.close()
        first, overheads, cpu = overheads[0], overheads[1:], cpu[1:]
        print(
            f"a use of {parameters:,} parameters beside the app's own time: median "
            f"{statistics.median(overheads) * 1e3:.0f} ms, least {min(overheads) * 1e3:.0f} ms, "
            f"CPU {statistics.median(cpu) * 1e3:.0f} ms (node and child); the first use "
            f"{first * 1e3:.0f} ms; goal {goal} ms"
        )


# -- selecting ---------------------------------------------------------------------------------


def written(work: Path, *, rows: int, width: int, consented: bool) -> Product:
    """A Parquet product of so many columns; one row a subject, one in twenty withdrawn."""
    work.mkdir(exist_ok=True)
    numbers = width - (2 if consented else 1)
    features = [f"random()::FLOAT AS c{place}" for place in range(numbers)]
    told = ["'p' || lpad(range::VARCHAR, 9, '0') AS who"] if consented else []
    selected = ", ".join([*features, "range % 2 AS kind", *told])
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT {selected} FROM range({rows})) TO '{work}/data.parquet'")
    columns = [{"name": f"c{n}", "type": "float", "role": "feature"} for n in range(numbers)]
    columns.append({"name": "kind", "type": "integer", "role": "label"})
    if consented:
        columns.append({"name": "who", "type": "string", "role": "subject"})
        connection.execute(
            "COPY (SELECT 'p' || lpad(range::VARCHAR, 9, '0') AS subject, "
            f"'{PURPOSE}' AS purpose, '2026-01-31' AS given, CASE WHEN range % 20 = 0 THEN "
            "'2026-02-03' END AS withdrawn, 'form ' || range AS evidence "
            f"FROM range({rows})) TO '{work}/consents.csv' (HEADER)"
        )
    content = {
        "version": 1,
        "id": "clinic-a/cytology",
        "title": "bench",
        "path": "data.parquet",
        "columns": columns,
        "classes": ["0", "1"],
        "held_back": "0.2",
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
    }
    if consented:
        content |= {"subject_consent": "table", "consent": "consents.csv"}
    (work / "product.json").write_text(json.dumps(content))
    return load_product(work / "product.json")


def select(work: Path, arguments: argparse.Namespace) -> None:
    """A million consented rows of 30 columns, cold and warm, then after a withdrawal."""
    product = written(work, rows=1_000_000, width=30, consented=True)
    assert product.consent is not None
    cold, committed = [], []
    for _ in range(3):
        selector = Selector(salt=SALT, spool=work)
        cold.append(timed(lambda: _selected(selector, product)))  # noqa: B023
        found = _selected(selector, product)
        committed.append(timed(lambda: found.commitment("a" * 64)))  # noqa: B023
    warm = [timed(lambda: _selected(selector, product).commitment("b" * 64)) for _ in range(9)]
    lines = product.consent.read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace(",2026-01-31,,", ",2026-01-31,2026-02-20,")
    product.consent.write_text("".join(lines))
    changed = timed(lambda: _selected(selector, product).commitment("c" * 64))
    print(f"1,000,000 rows of 30 columns, consents joined, cold: {least(cold)}; goal 1500 ms")
    print(f"  the commitment to its rows, once for a version of the data: {least(committed)}")
    print(f"  warm, commitment included: {least(warm)}; goal 150 ms")
    print(f"  after a withdrawal (the table of consents is read again): {least([changed])}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"  peak memory of the process, pages of files included: {peak / MIB:.0f} MiB")


def _selected(selector: Selector, product: Product) -> Selection:
    return selector.select(product, purpose=PURPOSE, now=NOW)


def least(taken: list[Taken]) -> str:
    """The least of each: what the machine's other work added most of is left out."""
    wall = statistics.median(one.wall_s for one in taken)
    return (
        f"median {wall * 1e3:.0f} ms, least {min(one.wall_s for one in taken) * 1e3:.0f} ms, "
        f"CPU {min(one.cpu_s for one in taken) * 1e3:.0f} ms"
    )


# -- memory ------------------------------------------------------------------------------------


def idle(work: Path, _: argparse.Namespace) -> None:
    """A node's processes that wait for work, in a space with one node."""
    written(work, rows=1000, width=10, consented=False)
    with idle_node(work, work / "product.json", PURPOSE) as (pids, busy):
        total = 0
        for name, pid in pids.items():
            found = made_of(pid)
            total += sum(found.values())
            parts = ", ".join(f"{kind} {size / MIB:.0f}" for kind, size in found.most_common())
            print(f"  {name}: {sum(found.values()) / MIB:.0f} MiB: {parts}")
        by_itself = alone(pids.values())
    print(f"an idle node (PSS): {total / 1e6:.0f} MB ({total / MIB:.0f} MiB); goal 350 MB")
    print(f"  with nobody else on the machine to share files with: {by_itself / 1e6:.0f} MB")
    print(f"  it takes {busy * 100:.1f} % of a core while it waits")
    for name, size in imported().items():
        print(f"  what {name} adds to a Python process: {size / MIB:.0f} MiB")


def imported() -> dict[str, int]:
    """Memory (PSS) that each package adds when it is imported after those before it."""
    packages = ["numpy", "duckdb", "sqlalchemy", "pydantic", "grpc", "flwr.clientapp", "torch"]
    code = (
        "import importlib, sys\nfrom bench.node_memory import made_of\n"
        "for name in sys.argv[1:]:\n"
        "    before = sum(made_of('self').values())\n"
        "    importlib.import_module(name)\n"
        "    print(name, sum(made_of('self').values()) - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *packages],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: int(size) for name, size in lines}


def rows(work: Path, arguments: argparse.Namespace) -> None:
    """A product of many rows, read, committed to and trained on in bounded memory."""
    product = written(work, rows=arguments.rows, width=6, consented=False)
    with Sandbox.start() as sandbox:
        (work / "node").mkdir()
        model = pack_tensors({"0": np.zeros(5, dtype=np.float32)})
        bed = Bed(work / "node", sandbox, product, model)
        task = bed.task(1, fits=True)
        before = made_of(os.getpid())["heap"]
        with PeakOwn(os.getpid()) as peak:
            taken = timed(lambda: bed.use(task), sandbox.pid)
        bed.node.close()
    parent, zygote = peak.peaks.pop(os.getpid()), peak.peaks.pop(sandbox.pid)
    child = max(peak.peaks.values())
    arrays = arguments.rows * (5 * 4 + 8)
    print(
        f"{arguments.rows:,} rows of 6 columns ({arrays / MIB:.0f} MiB as arrays), read, committed "
        f"to and trained on for an epoch: {taken.wall_s:.1f} s, CPU {taken.cpu_s:.1f} s; peak of "
        f"memory that is no file's: node {parent / MIB:.0f} MiB ({before / MIB:.0f} before), "
        f"zygote {zygote / MIB:.0f} MiB, child {child / MIB:.0f} MiB"
    )


PARTS = {"use": use, "select": select, "idle": idle, "rows": rows}

if __name__ == "__main__":
    main()
