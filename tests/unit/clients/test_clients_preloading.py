"""What is imported ahead of an app: by its sources, of trusted packages, never its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_clients_sandbox import MODEL, PYPROJECT, ROWS

from clients.appreading import modules_named
from clients.environments import Environment
from clients.errors import AppFailed
from clients.jobs import Job
from clients.preloading import MAX_MODULES, OURS, read_modules, trusted_packages, wanted
from clients.sandbox import Sandbox
from policies.tensors import pack_tensors

CLIENT = """
import sys
WARM = sorted(name for name in sys.modules if name in {"scipy.special", "lazy", "own.part", "sly"})
IMPORTS
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    figures = {"warm": len(WARM), "own": getattr(sys.modules.get("scipy"), "OWN", 0)}
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    content = {"arrays": ArrayRecord({n: Array(a) for n, a in arrays.items()}),
               "metrics": MetricRecord(figures)}
    return Message(content=RecordDict(content), reply_to=message)
"""

THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""


def app(folder: Path, imports: str, **own: str) -> Path:
    """An app that says how many of the modules were imported before it was."""
    (folder / "probe_app").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT.replace("holder.app", "app"))
    (folder / "probe_app" / "client.py").write_text(CLIENT.replace("IMPORTS", imports))
    for name, text in own.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def job(folder: Path, environment: Environment | None = None) -> Job:
    return Job(
        app_dir=folder,
        kind="train",
        model=pack_tensors(MODEL),
        rows=ROWS,
        run_config={},
        round=1,
        timeout_s=60,
        memory_bytes=1 << 30,
        environment=environment,
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(preload=()) as started:
        yield started


def test_sources_name_modules_and_are_not_run() -> None:
    files = {
        "mine/a.py": b"import os, scipy.special as s\nfrom sklearn import svm\nfrom . import b\n",
        "mine/b.py": b"def f():\n    import pandas\nraise SystemExit\n",
        "mine/broken.py": b"import (",
        "readme.md": b"import torch",
        "own.py": b"from mine import a\nimport own\n",
    }
    assert modules_named(files) == ["os", "pandas", "scipy.special", "sklearn", "sklearn.svm"]


def test_what_may_be_imported_ahead(tmp_path: Path) -> None:
    for name in ("lazy", "single.py", "lazy-1.0.dist-info"):
        (tmp_path / name).mkdir()
    trusted = trusted_packages([tmp_path])
    assert trusted - OURS == {"lazy", "single"}
    refused = ["os", "clients.keys", "server", "torch.__main__", "numpy._core", "numpy.tests.a"]
    odd = ["scipy.testing", "scipy..x", "scipy.é", "x" * 99, "flwr.cli", "pip"]
    assert wanted([*refused, *odd, "lazy.a", "single", "torch.nn"], trusted) == [
        "lazy.a",
        "single",
        "torch.nn",
    ]
    assert len(wanted([f"torch.a{n}" for n in range(200)], trusted)) == MAX_MODULES


def test_an_app_finds_imported_what_its_sources_name_and_no_more(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """In its first round already; what it finds out at run time stays cold in each round."""
    named = job(app(tmp_path / "named", "import scipy.special"))
    hidden = job(app(tmp_path / "hidden", "__import__('importlib').import_module('scipy.linalg')"))
    assert not any(name.startswith("scipy") for name in read_modules(hidden.app_dir))
    assert sandbox.run(named).metrics["warm"] == 1
    zygote = sandbox.pid
    assert sandbox.run(named).metrics["warm"] == 1
    assert sandbox.run(hidden).metrics["own"] == 0
    assert sandbox.pid == zygote


def test_an_apps_own_module_is_its_own_whatever_was_imported_for_another(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.run(job(app(tmp_path / "named", "import scipy.special")))
    own = app(tmp_path / "own", "import scipy", scipy="OWN = 7\n")
    assert sandbox.run(job(own)).metrics == {"warm": 0, "own": 7}


@pytest.mark.parametrize(
    ("text", "warm"),
    [
        ("A = 1\n", 1),
        ("raise ValueError\n", None),
        ("raise SystemExit\n", None),
        (THREAD, 0),
    ],
    ids=["good", "raises", "exits", "thread"],
)
def test_a_package_that_does_not_import_well_is_left_to_the_app(
    sandbox: Sandbox, tmp_path: Path, text: str, warm: int | None
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "lazy.py").write_text(text)
    environment = Environment(name="x", digest=str(tmp_path), site=site)
    one = job(app(tmp_path / "app", "import lazy"), environment)
    for _ in range(2):
        if warm is None:
            with pytest.raises(AppFailed, match="probe_app/client"):
                sandbox.run(one)
        else:
            assert sandbox.run(one).metrics["warm"] == warm


def test_a_source_that_breaks_the_parser_ends_with_its_child(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    one = app(tmp_path / "app", "import scipy.special", deep="-" * 900_000 + "1\n")
    zygote = sandbox.pid
    assert sandbox.run(job(one)).update is not None
    assert sandbox.pid == zygote
