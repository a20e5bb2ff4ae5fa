"""The sandbox on a machine with an NVIDIA device: the same app on it and on the processor.

Not collected by `make test`, since most machines have no device; run it where there is one:

    python -m pytest tests/device
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import clients
from clients.accelerator import cuda_devices
from clients.sandbox import Job, JobResult, Sandbox
from clients.sdk import Rows
from policies.tensors import Tensors, pack_tensors

TABULAR = Path(clients.__path__[0]) / "apps" / "tabular"

PYPROJECT = """
[project]
name = "where"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "where.client:app"
"""

CLIENT = """
import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.evaluate()
def evaluate(message, context):
    there = torch.cuda.is_available()
    drawn = float(torch.rand(1, device="cuda").item()) if there else -1.0
    metrics = MetricRecord({"there": int(there), "drawn": drawn})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
"""

FEATURES, HIDDEN, COUNT = 30, 64, 20_000
CONFIG = {
    "features": FEATURES, "least": "", "most": "", "classes": 2, "hidden": HIDDEN, "seed": 7,
    "learning-rate": 0.05,
    "momentum": 0.9, "local-epochs": 2, "batch-size": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.fixture(scope="module")
def devices() -> tuple[Path, ...]:
    found = cuda_devices()
    assert found, "expected an NVIDIA device and its driver in /dev, got none"
    return found


@pytest.fixture(scope="module")
def rows() -> Rows:
    chance = np.random.default_rng(1)
    labels = chance.integers(0, 2, size=COUNT)
    features = chance.normal(loc=labels[:, None] * 0.4, size=(COUNT, FEATURES)).astype(np.float32)
    cut = COUNT - 2_000
    names = tuple(f"f{n}" for n in range(FEATURES))
    return Rows(features[:cut], labels[:cut], features[cut:], labels[cut:], names, ("0", "1"))


def model() -> bytes:
    chance = np.random.default_rng(2)
    arrays: Tensors = {
        "layers.0.weight": chance.normal(scale=0.1, size=(HIDDEN, FEATURES)).astype(np.float32),
        "layers.0.bias": np.zeros(HIDDEN, np.float32),
        "layers.2.weight": chance.normal(scale=0.1, size=(2, HIDDEN)).astype(np.float32),
        "layers.2.bias": np.zeros(2, np.float32),
    }
    return pack_tensors(arrays)


def train(sandbox: Sandbox, rows: Rows, devices: tuple[Path, ...]) -> JobResult:
    job = Job(
        app_dir=TABULAR,
        kind="train",
        model=model(),
        rows=rows,
        run_config=CONFIG,
        round=1,
        timeout_s=120.0,
        memory_bytes=8 << 30,
        devices=devices,
    )
    return sandbox.run(job)


def test_an_app_sees_a_device_only_if_it_is_given_one(
    sandbox: Sandbox, rows: Rows, devices: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "where").mkdir()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "where" / "client.py").write_text(CLIENT)

    def look(given: tuple[Path, ...]) -> dict[str, float | int]:
        job = Job(
            app_dir=tmp_path,
            kind="evaluate",
            model=pack_tensors({"x": np.zeros(1, np.float32)}),
            rows=rows,
            run_config={},
            round=1,
            timeout_s=120.0,
            memory_bytes=8 << 30,
            devices=given,
        )
        return sandbox.run(job).metrics

    assert look(())["there"] == 0
    first, second = look(devices), look(devices)
    assert first["there"] == second["there"] == 1
    assert first["drawn"] != second["drawn"], "each job draws random numbers of its own"
    assert look(())["there"] == 0


def test_the_same_training_on_device_and_processor_agrees(
    sandbox: Sandbox, rows: Rows, devices: tuple[Path, ...]
) -> None:
    """Within float32's rounding over 564 steps; differences below 1e-6 were seen on an H100."""
    there, here = train(sandbox, rows, devices), train(sandbox, rows, ())
    assert there.update is not None
    assert here.update is not None
    for name, array in here.update.items():
        scale = max(1.0, float(np.abs(array).max()))
        worst = float(np.abs(there.update[name] - array).max())
        assert worst <= 1e-3 * scale, name
    assert here.metrics["eval_accuracy"] == pytest.approx(there.metrics["eval_accuracy"], abs=5e-3)
    assert here.metrics["train_loss"] == pytest.approx(there.metrics["train_loss"], rel=1e-3)
