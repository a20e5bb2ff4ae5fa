"""Packages for apps: what a lock may say, what is built of it, and what an app gets of that."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from test_clients_enrol import Authority
from test_clients_owner import FakeGovernance, Site, bundle
from test_clients_sandbox import MODEL, PYPROJECT, ROWS
from tiny_wheels import lock, only, source, wheel

from clients.environments import (
    Environment,
    EnvironmentDocument,
    build_environment,
    list_environments,
    open_environment,
    read_environment,
    remove_environment,
)
from clients.errors import AppFailed, ClientError, EnvironmentRefused, FileRefused
from clients.identity import open_own_log
from clients.jobs import Job
from clients.lockfile import check_lock, own_pins
from clients.materials import OwnMaterials
from clients.owner import Owner
from clients.refusals import explain
from clients.sandbox import Sandbox
from clients.state import NodeState
from clients.zygotes import MAX_ENVIRONMENTS
from policies.entries import Entry, parse_entry
from policies.tensors import pack_tensors

NOW = datetime(2026, 1, 31, tzinfo=UTC)
HASH = "--hash=sha256:" + "0" * 64

# Its import says in a figure whose it is, and it cannot change what others get.
CLIENT = """
import os, sys
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
import numpy
import greet

app = ClientApp()

@app.train()
def train(message, context):
    try:
        open(greet.__file__, "w").write("VERSION = 99")
        met = 0
    except OSError as error:
        met = error.errno
    figures = {"version": greet.VERSION, "met": met, "started": int(hasattr(sys, "pth_ran")),
               "ours": int(greet.__file__ not in numpy.__file__ and "/envs/" not in numpy.__file__)}
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    content = {"arrays": ArrayRecord({n: Array(a) for n, a in arrays.items()}),
               "metrics": MetricRecord(figures)}
    return Message(content=RecordDict(content), reply_to=message)
"""

Built = Callable[..., EnvironmentDocument]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All the packages that pip knows."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    only(monkeypatch, folder)
    return folder


@pytest.fixture
def build(tmp_path: Path, shelf: Path) -> Built:
    """Builds `tmp_path/node/envs/<name>` of packages from the shelf."""
    (tmp_path / "node").mkdir(mode=0o700)

    def built(name: str, *files: Path) -> EnvironmentDocument:
        locked = lock(tmp_path / "lock.txt", *files)
        return build_environment(tmp_path / "node" / "envs", name, locked, now=NOW)

    return built


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one environment, to copy."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "shelf").mkdir()
    locked = lock(folder / "lock.txt", greet(folder / "shelf", 1))
    with pytest.MonkeyPatch.context() as patch:
        only(patch, folder / "shelf")
        build_environment(folder / "envs", "one", locked, now=NOW)
    return folder / "envs"


def greet(shelf: Path, number: int, **more: str) -> Path:
    files = {"greet/__init__.py": f"VERSION = {number}\n"}
    return wheel(shelf, "greet", f"{number}.0", files | more)


@pytest.mark.parametrize(
    "line",
    [
        "greet==1.0",
        "greet==1.0 --hash=md5:" + "0" * 32,
        f"greet>=1.0 {HASH}",
        f"greet {HASH}",
        f"greet @ https://example.org/greet.whl {HASH}",
        f"git+https://example.org/greet {HASH}",
        f"./greet.whl {HASH}",
        "-e .",
        "-r other.txt",
        "--index-url https://example.org/simple",
        f"greet==1.0 {HASH} --global-option=x",
        f"greet==1.0 \\\n  {HASH} \\\n  --config-settings=x",
        "",
        "# nothing",
    ],
)
def test_a_lock_without_one_version_and_hashes_a_line_is_refused(line: str) -> None:
    with pytest.raises(EnvironmentRefused, match="lock"):
        check_lock(f"{line}\n")


def test_locks_as_tools_write_them_are_read() -> None:
    text = (
        f"#\n# by pip-compile\n#\na==1.0 \\\n    {HASH} \\\n    {HASH}\n    # via -r in.txt\n"
        f"B-c[x,y]==1!2.0+cpu ; python_version >= '3.11' \\\n    {HASH}  # comment\n"
    )
    assert check_lock(text) == 2


def test_what_is_built_is_what_was_locked_and_stays_so(
    tmp_path: Path, shelf: Path, build: Built
) -> None:
    built = build("one", greet(shelf, 1))
    folder = tmp_path / "node" / "envs"
    assert built.packages == {"greet": "1.0"}
    assert list_environments(folder) == [built]
    assert open_environment(folder, "one", built.digest).name == "one"
    with pytest.raises(EnvironmentRefused, match="expected a new name"):
        build("one", greet(shelf, 2))
    remove_environment(folder, "one")
    assert list_environments(folder) == []
    with pytest.raises(EnvironmentRefused, match="got none"):
        remove_environment(folder, "one")


@pytest.mark.parametrize("name", ["", ".new", "../x", "A", "a/b", "x" * 65])
def test_a_name_that_is_no_plain_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnvironmentRefused, match="expected a name"):
        open_environment(tmp_path, name, "0" * 64)


def test_pip_refuses_another_hash_and_what_is_no_wheel(
    tmp_path: Path, shelf: Path, build: Built
) -> None:
    mark = tmp_path / "ran"
    setup = f"open({str(mark)!r}, 'w')\nfrom setuptools import setup\nsetup(name='code')\n"
    for name, file in (
        ("changed", greet(shelf, 1)),
        ("source", source(shelf, "code", "1.0", setup)),
    ):
        locked = lock(tmp_path / "lock.txt", file)
        if name == "changed":
            wheel(shelf, "greet", "1.0", {"greet.py": "VERSION = 66"})
        with pytest.raises(EnvironmentRefused, match="pip install"):
            build_environment(tmp_path / "node" / "envs", name, locked, now=NOW)
    assert not mark.exists()
    assert list((tmp_path / "node" / "envs").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "text"),
    [
        ("numpy", "numpy", f"package numpy: expected version {version('numpy')}"),
        ("other", "numpy", "module numpy: expected it from one package"),
        ("other", "socket", "module socket: expected no name"),
        ("other", "clients", "module clients: expected no name"),
    ],
)
def test_what_would_clash_with_our_own_is_refused(
    tmp_path: Path, shelf: Path, build: Built, name: str, module: str, text: str
) -> None:
    with pytest.raises(EnvironmentRefused, match=text):
        build("x", wheel(shelf, name, "0.1", {f"{module}/__init__.py": ""}))
    assert list((tmp_path / "node" / "envs").iterdir()) == []


def test_the_pins_name_what_the_node_runs_with() -> None:
    pins = own_pins()
    assert f"numpy=={version('numpy')}" in pins
    assert not any(pin.startswith("tdspace") for pin in pins)


def changed(site: Path) -> None:
    (site / "greet" / "__init__.py").chmod(0o644)
    (site / "greet" / "__init__.py").write_text("VERSION = 66\n")


def removed(site: Path) -> None:
    (site / "greet" / "__init__.py").unlink()


def added(site: Path) -> None:
    (site / "more.py").write_text("")


def linked(site: Path) -> None:
    (site / "more.py").symlink_to("/etc/passwd")


@pytest.mark.parametrize("change", [changed, removed, added, linked])
def test_an_environment_that_was_changed_is_refused(
    tmp_path: Path, once: Path, change: Callable[[Path], None]
) -> None:
    folder = Path(shutil.copytree(once, tmp_path / "envs"))
    built = read_environment(folder, "one")
    change(folder / "one" / "site")
    with pytest.raises(EnvironmentRefused):
        open_environment(folder, "one", built.digest)


def test_a_damaged_or_foreign_description_is_refused(tmp_path: Path, once: Path) -> None:
    folder = Path(shutil.copytree(once, tmp_path / "envs"))
    built = read_environment(folder, "one")
    path = folder / "one" / "env.json"
    text = path.read_text()
    path.write_text(text.replace(built.python, "cpython-27 amiga m68k"))
    with pytest.raises(EnvironmentRefused, match="amiga"):
        open_environment(folder, "one", built.digest)
    path.write_text("{}")
    with pytest.raises(EnvironmentRefused, match="build it"):
        open_environment(folder, "one", built.digest)
    with pytest.raises(FileRefused):
        build_environment(folder, "two", tmp_path / "none.txt", now=NOW)


# -- in the sandbox --------------------------------------------------------------------------------


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(preload=()) as started:
        yield started


def job(folder: Path, environment: Environment | None) -> Job:
    app = folder / "app"
    if not app.exists():
        (app / "probe_app").mkdir(parents=True)
        (app / "pyproject.toml").write_text(PYPROJECT.replace("holder.app", "app"))
        (app / "probe_app" / "client.py").write_text(CLIENT)
    return Job(
        app_dir=app,
        kind="train",
        model=pack_tensors(MODEL),
        rows=ROWS,
        run_config={},
        round=1,
        timeout_s=30,
        memory_bytes=1 << 29,
        environment=environment,
    )


def test_an_app_gets_the_packages_it_was_approved_with_to_read_and_no_others(
    tmp_path: Path, shelf: Path, build: Built, sandbox: Sandbox
) -> None:
    """Ours come first; a `.pth` file starts nothing; each environment has a process of its own."""
    folder = tmp_path / "node" / "envs"
    found = []
    for number in (1, 2, 3):
        pth = {"x.pth": "import sys; sys.pth_ran = True\n"}
        built = build(f"env-{number}", greet(shelf, number, **pth))
        found.append(open_environment(folder, built.name, built.digest))
    with pytest.raises(AppFailed, match="ModuleNotFoundError at probe_app"):
        sandbox.run(job(tmp_path, None))
    for number, environment in [*enumerate(found, 1), (2, found[1]), (1, found[0])]:
        figures = sandbox.run(job(tmp_path, environment)).metrics
        denied = figures.pop("met")
        assert figures == {"version": number, "started": 0, "ours": 1}
        assert denied in (errno.EACCES, errno.EROFS) or not sandbox.files_confined
    assert "VERSION = 1" in (found[0].site / "greet" / "__init__.py").read_text()
    zygotes = [p for p in psutil.Process().children() if "clients.zygote" in " ".join(p.cmdline())]
    assert len(zygotes) == 1 + MAX_ENVIRONMENTS


# -- the owner's word ------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "enrolled").mkdir()
    identity = Authority().enrolled(tmp_path / "enrolled")
    state = NodeState.open(identity.paths.state)
    governance = FakeGovernance()
    owner = Owner(identity=identity, state=state, governance=governance, clock=lambda: NOW)
    yield Site(identity, state, governance, owner, tmp_path)
    state.close()


def test_approval_names_the_environment_by_its_digest(
    tmp_path: Path, once: Path, site: Site
) -> None:
    folder = Path(shutil.copytree(once, site.identity.paths.environments))
    built = read_environment(folder, "one")
    with pytest.raises(EnvironmentRefused, match="build it"):
        site.owner.approve_app(bundle(), environment="two")
    assert site.state.apps() == []
    app = site.owner.approve_app(bundle(), environment="one")
    materials = OwnMaterials(identity=site.identity, state=site.state)
    opened = materials.app_environment(app)
    assert opened is not None
    assert (opened.name, opened.digest) == ("one", built.digest)
    site.owner.use_environment(app, "")
    assert materials.app_environment(app) is None
    site.owner.use_environment(app, "one")
    site.owner.use_environment(app, "one")
    changed(folder / "one" / "site")
    with pytest.raises(EnvironmentRefused, match="were changed") as told:
        OwnMaterials(identity=site.identity, state=site.state).app_environment(app)
    sent = explain(told.value, app=app)
    assert (sent.code, str(tmp_path) in sent.text) == ("app-failed", False)
    site.owner.revoke_app(app)
    with pytest.raises(ClientError, match="expected one that is approved"):
        site.owner.use_environment(app, "one")
    approvals = [entry.body for entry in entries(site) if entry.type == "AppApproved"]
    named = {"app": app, "environment": "one", "environment_digest": built.digest}
    assert approvals == [named, {"app": app}, named]


def entries(site: Site) -> list[Entry]:
    site.entries()  # logs what waits
    with open_own_log(site.identity) as log:
        return [parse_entry(line) for line in log.entries(0, log.size)]
