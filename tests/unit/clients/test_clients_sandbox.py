"""The sandbox with real processes: what an app gets, what it cannot do, how a job ends."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import clients
from clients.confinement import unprivileged_user
from clients.errors import AppFailed, AppTimeout, SandboxCancelled, SandboxUnavailable
from clients.sandbox import InProcessUnsafeRunner, Job, Sandbox
from clients.sdk import Rows
from policies.permit import Kind
from policies.runconfig import ConfigValue
from policies.tensors import Tensors, pack_tensors

ROOT = Path(clients.__path__[0]).parent
TABULAR = ROOT / "clients" / "apps" / "tabular"

PYPROJECT = """
[project]
name = "probe"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "probe_app.client:holder.app"
"""

# Reports what it found as figures, since these are what a test gets back.
CLIENT = """
import os, socket, subprocess, sys, time
from types import SimpleNamespace
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from clients.sdk import training_rows

app = ClientApp()
holder = SimpleNamespace(app=app)

class SecretHunter2(Exception):
    pass

def number(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0

def open_fds():
    found = 0
    for fd in range(256):
        try:
            os.fstat(fd)
            found += 1
        except OSError:
            pass
    return found

def fail(error):
    raise error

ACTIONS = {
    "nothing": lambda c: 0,
    "raise": lambda c: fail(ValueError("SECRET hunter2")),
    "raise-own": lambda c: fail(SecretHunter2("SECRET hunter2")),
    "exit": lambda c: os._exit(3),
    "sys-exit": lambda c: sys.exit("SECRET hunter2"),
    "sleep": lambda c: time.sleep(60),
    "allocate": lambda c: int(np.ones(1 << 32, dtype=np.uint8)[-1]),
    "socket": lambda c: number(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
    "unix": lambda c: number(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)),
    "fork": lambda c: number(os.fork),
    "exec": lambda c: number(lambda: subprocess.run(["/bin/true"])),
    "kill-parent": lambda c: number(lambda: os.kill(os.getppid(), 9)),
    "new-session": lambda c: number(os.setsid),
    "read": lambda c: number(lambda: open(c["path"], "rb").read()),
    "write": lambda c: number(lambda: open(c["path"], "wb").write(b"x")),
    "scratch": lambda c: number(lambda: open("mine", "wb").write(b"x")),
    "environment": lambda c: sum("TDS" in key or "SECRET" in key for key in os.environ),
    "descriptors": lambda c: open_fds(),
    "uid": lambda c: os.getuid(),
    "node-modules": lambda c: sum(n in sys.modules for n in ("clients.sandbox", "clients.vault")),
    "print": lambda c: print("x" * (4 << 20), "the end", file=sys.stderr) or 0,
    "import": lambda c: number(lambda: __import__("sqlite3")),
    "huge": lambda c: 0,
}

def reply(message, context):
    rows = training_rows()
    config = context.run_config
    figure = ACTIONS[str(config["do"])](config)
    arrays = {name: array.numpy() + 1 for name, array in message.content["arrays"].items()}
    if config["do"] == "huge":
        arrays = {"w": np.zeros(1 << 20, dtype=np.float32)}
    metrics = {"figure": figure, "num-examples": len(rows.labels), "curve": [1.0, 2.0],
               "held-out": len(rows.held_out_labels), "third": 1 / 3,
               "round": message.content["config"]["server-round"]}
    content = {"metrics": MetricRecord(metrics)}
    if message.metadata.message_type == "train":
        content["arrays"] = ArrayRecord({n: Array(a) for n, a in arrays.items()})
    return Message(content=RecordDict(content), reply_to=message)

app.train()(reply)
app.evaluate()(reply)
"""

ROWS = Rows(
    features=np.arange(12, dtype=np.float32).reshape(6, 2),
    labels=np.array([0, 1, 0, 1, 0, 1], dtype=np.int64),
    held_out_features=np.ones((2, 2), dtype=np.float32),
    held_out_labels=np.array([1, 0], dtype=np.int64),
    feature_names=("a", "b"),
    classes=("no", "yes"),
)
MODEL: Tensors = {"w": np.array([[1.0, 2.0]], dtype=np.float32), "n": np.array([5])}


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app in a folder that only we can enter, as a node's are."""
    folder = tmp_path_factory.mktemp("apps") / "probe"
    (folder / "probe_app").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "probe_app" / "client.py").write_text(CLIENT)
    return folder


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One zygote for the module, started by a process that holds what must not be passed on."""
    os.environ["TDS_TEST_SECRET"] = "hunter2"
    leak = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leak, True)
    with Sandbox.start(preload=()) as started:
        yield started
    os.close(leak)
    del os.environ["TDS_TEST_SECRET"]


def job(
    app_dir: Path, do: str, *, kind: Kind = "train", timeout_s: float = 30.0, **more: ConfigValue
) -> Job:
    return Job(
        app_dir=app_dir,
        kind=kind,
        model=pack_tensors(MODEL),
        rows=ROWS,
        run_config={"do": do, "rate": 0.1, **more},
        round=3,
        timeout_s=timeout_s,
        memory_bytes=1 << 30,
    )


def test_training_returns_update_and_single_figures(sandbox: Sandbox, app_dir: Path) -> None:
    result = sandbox.run(job(app_dir, "nothing"))
    assert result.update is not None
    assert result.update["w"].tolist() == [[2.0, 3.0]]
    assert result.update["n"].dtype == np.int64
    assert result.metrics == {
        "figure": 0, "num-examples": 6, "held-out": 2, "third": 1 / 3, "round": 3
    }  # fmt: skip


def test_evaluation_sees_no_training_rows_and_returns_no_arrays(
    sandbox: Sandbox, app_dir: Path
) -> None:
    result = sandbox.run(job(app_dir, "nothing", kind="evaluate"))
    assert result.update is None
    assert (result.metrics["num-examples"], result.metrics["held-out"]) == (0, 2)


def test_in_process_runner_returns_the_same(sandbox: Sandbox, app_dir: Path) -> None:
    inside = InProcessUnsafeRunner().run(job(app_dir, "nothing"))
    outside = sandbox.run(job(app_dir, "nothing"))
    assert inside.metrics == outside.metrics
    assert inside.update is not None
    assert outside.update is not None
    assert {n: a.tolist() for n, a in inside.update.items()} == {
        n: a.tolist() for n, a in outside.update.items()
    }


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        ("socket", errno.ENETUNREACH),
        ("unix", errno.ENETUNREACH),
        ("fork", errno.EPERM),
        ("exec", errno.EPERM),
        ("kill-parent", errno.EPERM),
        ("new-session", errno.EPERM),
        ("environment", 0),
        ("descriptors", 4),  # null, output twice, result
        ("node-modules", 0),
        ("scratch", 0),
        ("import", 0),
    ],
)
def test_what_an_app_can_reach(sandbox: Sandbox, app_dir: Path, do: str, expected: int) -> None:
    assert sandbox.confinement.network == "none"
    assert sandbox.run(job(app_dir, do)).metrics["figure"] == expected


@pytest.mark.parametrize("do", ["read", "write"])
def test_files_of_the_node_are_out_of_reach(
    sandbox: Sandbox, app_dir: Path, tmp_path: Path, do: str
) -> None:
    secret = tmp_path / "receipt.key"
    secret.write_bytes(b"key")
    for folder in (secret, tmp_path):
        folder.chmod(0o777)
    assert sandbox.confinement.files == "own" or sandbox.confinement.user == "nobody"
    assert sandbox.run(job(app_dir, do, path=str(secret))).metrics["figure"] == errno.EACCES
    assert secret.read_bytes() == b"key"


def test_as_root_the_app_runs_as_nobody(sandbox: Sandbox, app_dir: Path) -> None:
    user = unprivileged_user()
    expected = os.getuid() if user is None else user.uid
    assert sandbox.run(job(app_dir, "uid")).metrics["figure"] == expected
    assert sandbox.confinement.user == ("same" if user is None else "nobody")
    assert sandbox.confinement.no_new_privileges
    assert sandbox.confinement.memory_limit


def test_environment_and_descriptors_of_the_zygote_are_clean(sandbox: Sandbox) -> None:
    zygote = psutil.Process(sandbox.pid)
    assert not [key for key in zygote.environ() if "TDS" in key or "SECRET" in key]
    assert zygote.num_threads() == 1
    # Standard streams, the socket to the node, its own selector.
    assert zygote.num_fds() == 5


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("raise", "the app raised ValueError at probe_app/client.py:"),
        ("raise-own", "the app raised Exception at probe_app/client.py:"),
        ("sys-exit", "the app raised SystemExit at probe_app/client.py:"),
        ("exit", "ended without a result (it exited)"),
        ("allocate", "the app raised MemoryError at probe_app/client.py:"),
        ("huge", "expected a reply about as large as the model"),
        ("unknown action", "the app raised KeyError"),
    ],
)
def test_a_failing_app_is_named_without_its_words(
    sandbox: Sandbox, app_dir: Path, do: str, words: str
) -> None:
    with pytest.raises(AppFailed) as caught:
        sandbox.run(job(app_dir, do))
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value).lower()


def test_what_the_app_said_stays_in_detail(sandbox: Sandbox, app_dir: Path) -> None:
    with pytest.raises(AppFailed) as caught:
        sandbox.run(job(app_dir, "raise"))
    assert "SECRET hunter2" in caught.value.detail


def test_output_is_drained_and_bounded(sandbox: Sandbox, app_dir: Path) -> None:
    result = sandbox.run(job(app_dir, "print"))
    assert result.stderr_tail.endswith("the end\n")
    assert len(result.stderr_tail) <= 8192


def test_timeout_ends_the_child(sandbox: Sandbox, app_dir: Path) -> None:
    with pytest.raises(AppTimeout, match=r"within 0\.3 s"):
        sandbox.run(job(app_dir, "sleep", timeout_s=0.3))
    assert psutil.Process(sandbox.pid).children() == []


@pytest.mark.parametrize("by", ["event", "kill_current"])
def test_cancel_ends_the_child_at_once(sandbox: Sandbox, app_dir: Path, by: str) -> None:
    event = threading.Event()
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        event.set() if by == "event" else sandbox.kill_current()

    timer = threading.Timer(0.2, press)
    timer.start()
    with pytest.raises(SandboxCancelled):
        sandbox.run(job(app_dir, "sleep"), cancelled=event)
    took_s = time.monotonic() - pressed[0]
    timer.join()
    assert took_s < 3.0  # the app sleeps for 60 s
    assert psutil.Process(sandbox.pid).children() == []


def test_a_job_cancelled_before_it_started_returns_nothing(sandbox: Sandbox, app_dir: Path) -> None:
    event = threading.Event()
    event.set()
    with pytest.raises(SandboxCancelled):
        sandbox.run(job(app_dir, "nothing"), cancelled=event)
    with pytest.raises(SandboxCancelled):
        InProcessUnsafeRunner().run(job(app_dir, "nothing"), cancelled=event)


def test_a_lost_zygote_is_replaced(sandbox: Sandbox, app_dir: Path) -> None:
    lost = sandbox.pid
    timer = threading.Timer(0.2, os.kill, (lost, 9))
    timer.start()
    with pytest.raises(SandboxUnavailable, match="lost"):
        sandbox.run(job(app_dir, "sleep"))
    assert sandbox.run(job(app_dir, "nothing")).metrics["figure"] == 0
    assert sandbox.pid != lost


def test_a_config_that_is_too_large_is_refused(sandbox: Sandbox, app_dir: Path) -> None:
    with pytest.raises(AppFailed, match="run config"):
        sandbox.run(job(app_dir, "nothing", text="x" * 70_000))
    assert sandbox.run(job(app_dir, "nothing")).metrics["figure"] == 0


def test_close_leaves_no_process_and_no_folder() -> None:
    sandbox = Sandbox.start(preload=())
    zygote = psutil.Process(sandbox.pid)
    base = Path(zygote.environ()["HOME"])
    sandbox.close()
    assert not zygote.is_running()
    assert not base.exists()


NODE = """
import sys, threading, time
from clients.sandbox import Sandbox
from tests.unit.clients.test_clients_sandbox import Path, job
sandbox = Sandbox.start(preload=())
c = sandbox.confinement
print(sandbox.pid, c.network, c.user, c.files, "torch" in sys.modules, flush=True)
if len(sys.argv) > 1:
    sandbox.run(job(Path(sys.argv[1]), "sleep"))
sandbox.close()
"""


# Become nobody, but keep reading the interpreter, which may lie in root's home (capabilities(7)).
DROP = """
import ctypes, os, struct
libc = ctypes.CDLL(None)
libc.prctl(8, 1, 0, 0, 0)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", 4, 4, 4, 0, 0, 0))
libc.prctl(47, 2, 2, 0, 0)
"""


@pytest.mark.parametrize("job_ends_too", [False, True])
def test_a_node_that_is_killed_leaves_no_process(app_dir: Path, job_ends_too: bool) -> None:
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, str(app_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    zygote = psutil.Process(int(node.stdout.readline().split()[0]))
    base = Path(zygote.environ()["HOME"])
    while not (children := zygote.children()):
        time.sleep(0.02)
    if job_ends_too:  # the zygote finds both at once, and has nobody to tell of the first
        zygote.suspend()
        children[0].kill()
    node.kill()
    node.wait()
    node.stdout.close()
    zygote.resume()
    _, alive = psutil.wait_procs([zygote, *children], timeout=5)
    assert alive == []
    assert not base.exists()


def test_without_root_the_app_is_held_as_well() -> None:
    script = NODE if unprivileged_user() is None else DROP + NODE
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[1:] == ["none", "same", "own", "False"], done.stderr


def test_the_tabular_app_trains_and_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, ConfigValue] = tomllib.loads((TABULAR / "pyproject.toml").read_text())[
        "tool"
    ]["flwr"]["app"]["config"]
    config |= {"features": 2, "least": "700 700", "most": "1300 1300", "local-epochs": 5}
    config |= {"learning-rate": 0.05}
    monkeypatch.syspath_prepend(str(TABULAR))
    initial_arrays = importlib.import_module("tabular.model").initial_arrays

    first = {name: array.numpy() for name, array in initial_arrays(config).items()}
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 2)).astype(np.float32) * 100 + 1000
    labels = (features.sum(axis=1) > 2000).astype(np.int64)
    rows = Rows(features[:160], labels[:160], features[160:], labels[160:], ("a", "b"), ("n", "y"))
    with Sandbox.start() as warm:
        model = pack_tensors(first)
        accuracy = []
        for number in (1, 2, 3):
            trained = warm.run(Job(TABULAR, "train", model, rows, config, number, 60.0, 1 << 30))
            assert trained.update is not None
            assert {n: (a.shape, a.dtype) for n, a in trained.update.items()} == {
                n: (a.shape, a.dtype) for n, a in first.items()
            }
            model = pack_tensors(trained.update)
            accuracy.append(trained.metrics["eval_accuracy"])
        final = warm.run(Job(TABULAR, "evaluate", model, rows, config, 3, 60.0, 1 << 30))
    assert final.metrics["eval_accuracy"] > 0.9
    assert final.metrics["eval_correct"] == final.metrics["eval_accuracy"] * 40
