"""The ready apps: each is a Flower app, learns in a space, and is governed by one line."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_site import Tds

import clients
from clients.appbundle import build_bundle, verify_bundle
from policies.canonical import sha256_hex

APPS = Path(clients.__path__[0]) / "apps"
GOVERNED = "from clients.sdk import training_rows"

EXAMPLES = {"quickstart": "task.py", "logistic": "client_app.py"}
"""Each app, and the file whose one line makes it governed."""

ORDINARY = """\
import sys
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict
import importlib, pathlib, tomllib
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder))
table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
task = importlib.import_module(f"{name}.task")
app = importlib.import_module(f"{name}.client_app").app
arrays = task.initial_arrays(table["config"])
for kind in ("train", "evaluate"):
    metadata = Metadata(1, "", 1, 1, "", "1", 0.0, 60.0, kind)
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 1})})
    context = Context(1, 1, {}, RecordDict(), table["config"])
    reply = app(Message(content, metadata=metadata), context).content
    if kind == "train":
        arrays = reply["arrays"]
print(reply["metrics"]["eval_accuracy"])
"""


@pytest.fixture(autouse=True, scope="module")
def imports() -> Iterator[None]:
    """Apps are imported into this process; other tests shall not find them."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] in EXAMPLES]:
        del sys.modules[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_learns_under_the_rounds_of_a_space(tds: Tds, name: str) -> None:
    ran = tds("simulate", str(APPS / name), "--nodes", "3", "--rounds", "3", "--json")
    assert (ran.code, ran.err.strip()) == (0, "")
    found = ran.json()
    assert found["state"] == "COMPLETED"
    assert [entry["accepted"] for entry in found["rounds"]] == [3, 3, 3, 3]
    assert float(found["rounds"][-1]["eval_accuracy"]) > 0.85


@pytest.mark.parametrize("name", EXAMPLES)
def test_flower_builds_it_and_a_node_would_take_it(name: str) -> None:
    bundle = build_bundle(APPS / name)
    files = verify_bundle(bundle, expected_sha256=sha256_hex(bundle))
    assert {"pyproject.toml", f"{name}/client_app.py", f"{name}/task.py"} <= set(files)


@pytest.mark.parametrize(("name", "file"), EXAMPLES.items())
def test_one_line_is_between_it_and_an_app_of_nobodys(tmp_path: Path, name: str, file: str) -> None:
    shutil.copytree(APPS / name, tmp_path / name)
    sources = {path: path.read_text() for path in (tmp_path / name).rglob("*.py")}
    assert sum(text.count("clients") for text in sources.values()) == 1, "one mention of the SDK"
    source = tmp_path / name / name / file
    ordinary = sources[source].replace(GOVERNED, f"from {name}.local_rows import training_rows")
    changes = difflib.ndiff(sources[source].splitlines(), ordinary.splitlines())
    assert [line[0] for line in changes if line[0] in "+-"] == ["-", "+"]
    source.write_text(ordinary)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORDINARY, str(tmp_path / name), name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) > 0.8
