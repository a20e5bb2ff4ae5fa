"""What a job's child finds ready in the zygote, and what it must not find of earlier jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from clients.jobs import Job
from clients.sandbox import Sandbox
from clients.sdk import Rows
from policies.tensors import pack_tensors

PYPROJECT = """
[project]
name = "probe"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "children_app.client:app"
"""

CLIENT = """
import random, sys
import numpy as np
import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from clients.sdk import training_rows

app = ClientApp()

def train():
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    torch.nn.functional.cross_entropy(net(torch.ones(4, 2)), torch.zeros(4).long()).backward()
    optimizer.step()
    return compiler()

def compiler():
    return int("torch._dynamo.eval_frame" in sys.modules)

def compiles():
    twice = torch.compile(lambda x: x * 2, backend="eager")
    return float(twice(torch.ones(3)).sum()) + compiler()

def scribble():
    training_rows().held_out_features[:] = 77.0
    return float(training_rows().held_out_features.sum())

ACTIONS = {
    "train": train,
    "compile": compiles,
    "threads": torch.get_num_threads,
    "numpy": lambda: float(np.random.rand()),
    "torch": lambda: float(torch.rand(1)),
    "python": random.random,
    "scribble": scribble,
    "sum": lambda: float(training_rows().held_out_features.sum()),
}

@app.evaluate()
def evaluate(message, context):
    figure = ACTIONS[str(context.run_config["do"])]()
    return Message(content=RecordDict({"m": MetricRecord({"figure": figure})}), reply_to=message)
"""


def rows(value: float) -> Rows:
    features, labels = np.full((3, 2), value, dtype=np.float32), np.zeros(3, dtype=np.int64)
    return Rows(features[:0], labels[:0], features, labels, ("x", "y"), ("a", "b"))


ROWS = rows(1.0)


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps") / "probe"
    (folder / "children_app").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "children_app" / "client.py").write_text(CLIENT)
    return folder


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """As a node starts it, with torch."""
    with Sandbox.start() as started:
        yield started


def figure(sandbox: Sandbox, app_dir: Path, do: str, seen: Rows = ROWS) -> float:
    model = pack_tensors({"w": np.zeros(1, dtype=np.float32)})
    done = sandbox.run(Job(app_dir, "evaluate", model, seen, {"do": do}, 1, 60.0, 1 << 30))
    return done.metrics["figure"]


def test_the_zygote_has_one_thread_whatever_it_made_ready(sandbox: Sandbox) -> None:
    assert psutil.Process(sandbox.pid).num_threads() == 1


@pytest.mark.parametrize(("do", "expected"), [("threads", 1), ("train", 0), ("compile", 7)])
def test_training_needs_no_compiler_and_compiling_gets_one(
    sandbox: Sandbox, app_dir: Path, do: str, expected: float
) -> None:
    assert figure(sandbox, app_dir, do) == expected


@pytest.mark.parametrize("source", ["numpy", "torch", "python"])
def test_no_two_jobs_draw_the_same_random_numbers(
    sandbox: Sandbox, app_dir: Path, source: str
) -> None:
    drawn = {figure(sandbox, app_dir, source) for _ in range(3)}
    assert len(drawn) == 3


def test_a_job_gets_its_own_rows_whatever_the_one_before_wrote_into_its(
    sandbox: Sandbox, app_dir: Path
) -> None:
    assert figure(sandbox, app_dir, "sum") == 6
    assert figure(sandbox, app_dir, "scribble") == 462
    assert figure(sandbox, app_dir, "sum") == 6
    assert figure(sandbox, app_dir, "sum", rows(2.0)) == 12
    assert figure(sandbox, app_dir, "sum") == 6
