"""A crash after each step, a full disk at each: what was acknowledged is there, and once."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.errors import LogUnavailable

STEPS = ("signed", "committed", "recorded", "entries", "leaves", "history", "published")


class Crash(BaseException):
    """Stands for the process's end."""


def crash_at(step: str, *, after: int = 0) -> Callable[[str], None]:
    left = [after]

    def on_step(name: str) -> None:
        if name == step:
            if left[0] == 0:
                raise Crash(step)
            left[0] -= 1

    return on_step


def check(site: Site, expected: list[bytes]) -> None:
    """The log opens, holds this and no more, and its folder verifies."""
    with site.open() as log:
        assert log.entries(0, log.size) == expected
        log.append([b"next"])
    verified = verify_folder(site.folder, verifier_key=site.signer.verifier_key)
    assert verified.size == len(expected) + 1


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_in_an_append(site: Site, step: str) -> None:
    with site.open() as log:
        acknowledged = log.append([b"a", b"b"]).checkpoint
    with site.open(crash_at(step, after=0 if step in STEPS[:2] else 1)) as log:
        with pytest.raises(Crash):
            log.append([b"c", b"d"], idempotency_key="k")
        assert (log.size, log.checkpoint()) == (2, acknowledged)
    check(site, [b"a", b"b"] if step == "signed" else [b"a", b"b", b"c", b"d"])


@pytest.mark.parametrize("step", STEPS)
def test_the_same_process_goes_on_after_a_failed_step(site: Site, step: str) -> None:
    with site.open(crash_at(step, after=2)) as log:
        log.append([b"a"])
        with pytest.raises(Crash):
            log.append([b"c"], idempotency_key="k")
    with site.open() as log:
        again = log.append([b"c"], idempotency_key="k")
        assert (again.first_index, again.count, log.size) == (1, 1, 2)
    check(site, [b"a", b"c"])


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_while_the_log_is_made(site: Site, step: str) -> None:
    with pytest.raises(Crash):
        site.open(crash_at(step))
    check(site, [])


@pytest.mark.parametrize("step", STEPS[2:])
def test_a_crash_during_recovery(site: Site, step: str) -> None:
    with site.open(crash_at("committed", after=1)) as log, pytest.raises(Crash):
        log.append([b"a"])
    with pytest.raises(Crash):
        site.open(crash_at(step))
    check(site, [b"a"])


KILLED = """
import os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger.log import Log
from ledger.note import NoteSigner

signer = NoteSigner("logs.example/test", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))

def run(root, step):
    armed = []
    def on_step(name):
        if armed and name == step:
            os.kill(os.getpid(), signal.SIGKILL)
    log = Log.open(folder=root / "folder", database=root / "state" / "log.sqlite",
                   last_signed=root / "apart" / "last-signed", signer=signer, on_step=on_step)
    log.append([b"a", b"b"])
    armed.append(True)
    log.append([b"c", b"d"])

for step in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        run(Path(sys.argv[1]) / step, step)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, step
"""


def test_a_killed_process_leaves_a_log_that_opens(site: Site) -> None:
    command = [sys.executable, "-c", KILLED, str(site.root), *STEPS]
    source = Path(__file__).parents[3]
    subprocess.run(command, check=True, timeout=60, cwd=source, env=os.environ)
    for step in STEPS:
        kept = [b"a", b"b"] if step == "signed" else [b"a", b"b", b"c", b"d"]
        check(Site(site.root / step, site.signer), kept)


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: the kernel refuses the write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# What is about to be written when the disk is found full, by the step before it.
@pytest.mark.parametrize(
    ("step", "kept"),
    [("signed", False), ("committed", True), ("recorded", True), ("leaves", True)],
)
def test_a_full_disk(site: Site, step: str, kept: bool) -> None:
    limits: list[int] = []
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step(name: str) -> None:
        if limits and name == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits[0], hard))

    with site.open(on_step) as log:
        before = log.append([b"a"]).checkpoint
        with files_up_to(1 << 30):
            limits.append(3)
            with pytest.raises(LogUnavailable, match="try again"):
                log.append([b"c" * 5000, b"d"], idempotency_key="k")
            limits.clear()
        assert (log.size, log.checkpoint(), log.entries(0, 1)) == (1, before, [b"a"])
        # There is room again: the next append catches up first.
        other = log.append([b"e"])
        assert other.first_index == (3 if kept else 1)
        again = log.append([b"c" * 5000, b"d"], idempotency_key="k")
        assert again.first_index == (1 if kept else 2)
        assert log.size == 4
    check(site, [b"a", b"c" * 5000, b"d", b"e"] if kept else [b"a", b"e", b"c" * 5000, b"d"])


def test_a_full_disk_in_the_middle_of_a_line(site: Site) -> None:
    def on_step(name: str) -> None:
        if name == "recorded" and armed:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    armed: list[bool] = []
    with site.open(on_step) as log:
        log.append([b"a"])
        with files_up_to(1 << 30):
            armed.append(True)
            with pytest.raises(LogUnavailable):
                log.append([b"c" * 5000])
            armed.clear()
        assert (site.folder / "entries.jsonl").stat().st_size == 1000
        assert log.append([b"e"]).first_index == 2
    check(site, [b"a", b"c" * 5000, b"e"])


def test_a_disk_error_names_the_cause(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with site.open() as log:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", full)
            with pytest.raises(LogUnavailable, match="No space left on device"):
                log.append([b"a"])
        assert log.size == 0
        assert log.append([b"b"]).first_index == 1
    check(site, [b"a", b"b"])


def test_a_locked_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.store.BUSY_TIMEOUT_MS", 20)
    with site.open() as log:
        other = sqlite3.connect(site.database)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="locked"):
            log.append([b"a"])
        other.close()
        assert log.append([b"a"]).first_index == 0
    check(site, [b"a"])


def test_a_place_that_cannot_be_written(site: Site) -> None:
    site.folder.write_text("a file where the folder should be")
    with pytest.raises(LogUnavailable, match="opening failed"):
        site.open()
    site.folder.unlink()
    check(site, [])
