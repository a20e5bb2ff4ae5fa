"""An accelerator's files: which are found, who may open them, what bounds an app that may."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clients.accelerator import cuda_devices, held_bytes
from clients.errors import AppFailed
from clients.sandbox import Job, Sandbox
from clients.sdk import Rows
from policies.tensors import pack_tensors

FULL = Path("/dev/full")
"""A device that any user may open, that no app is given, and whose writes fail."""

PYPROJECT = """
[project]
name = "prober"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "prober.client:app"
"""

CLIENT = """
import mmap, os, time
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

def opened():
    try:
        os.close(os.open("/dev/full", os.O_RDWR))
    except OSError as error:
        return error.errno
    return 0

def private():
    return len(mmap.mmap(-1, 1 << 29, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

def shared():
    held = mmap.mmap(-1, 1 << 28)
    for place in range(0, len(held), 4096):
        held[place] = 1
    time.sleep(30)

ACTIONS = {"open": opened, "private": private, "shared": shared,
           "hidden": lambda: int("CUDA_VISIBLE_DEVICES" in os.environ)}

@app.evaluate()
def evaluate(message, context):
    metrics = MetricRecord({"figure": ACTIONS[str(context.run_config["do"])]()})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
"""

NONE = np.zeros(0, dtype=np.int64)
ROWS = Rows(np.zeros((0, 1), np.float32), NONE, np.zeros((0, 1), np.float32), NONE, ("x",), ("a",))


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps") / "prober"
    (folder / "prober").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "prober" / "client.py").write_text(CLIENT)
    return folder


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(preload=()) as started:
        yield started


def figure(sandbox: Sandbox, app_dir: Path, do: str, *devices: Path) -> float:
    job = Job(
        app_dir=app_dir,
        kind="evaluate",
        model=pack_tensors({"x": NONE}),
        rows=ROWS,
        run_config={"do": do},
        round=1,
        timeout_s=20.0,
        memory_bytes=1 << 26,
        devices=devices,
    )
    return sandbox.run(job).metrics["figure"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], []),
        (["nvidia0"], []),
        (["nvidiactl", "nvidia-uvm"], []),
        (["nvidiactl", "nvidia-uvm", "nvidia1"], ["nvidia-uvm", "nvidia1", "nvidiactl"]),
        (
            ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia12", "sda", "tty0"],
            ["nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia12", "nvidiactl"],
        ),
        (["nvidiactl", "nvidia-uvm", "nvidia-modeset", "nvidia0x", "xnvidia0"], []),
    ],
)
def test_a_device_is_there_with_its_whole_driver(
    tmp_path: Path, names: list[str], found: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [place.name for place in cuda_devices(tmp_path)] == found


def test_memory_held_is_read_of_the_kernel() -> None:
    block = bytearray(1 << 24)
    assert held_bytes(os.getpid()) > len(block)
    assert held_bytes(2**22 + 1) == 0


def test_only_an_app_that_is_given_a_device_may_open_it(sandbox: Sandbox, app_dir: Path) -> None:
    if sandbox.confinement.files != "own":
        # Without Landlock the modes of /dev alone decide, which let everybody open this one.
        assert figure(sandbox, app_dir, "open") == 0
        return
    assert figure(sandbox, app_dir, "open") == errno.EACCES
    assert figure(sandbox, app_dir, "open", FULL) == 0
    assert figure(sandbox, app_dir, "open") == errno.EACCES


def test_devices_are_hidden_from_whoever_is_given_none(sandbox: Sandbox, app_dir: Path) -> None:
    assert figure(sandbox, app_dir, "hidden") == 1
    assert figure(sandbox, app_dir, "hidden", FULL) == 0


@pytest.mark.parametrize("do", ["private", "shared"])
def test_memory_is_bounded_where_address_space_is_not(
    sandbox: Sandbox, app_dir: Path, do: str
) -> None:
    """Private memory by the kernel's limit, shared memory by the zygote, which looks."""
    with pytest.raises(AppFailed, match=r"memory|OSError|SIGKILL"):
        figure(sandbox, app_dir, do, FULL)
    assert figure(sandbox, app_dir, "hidden", FULL) == 0
