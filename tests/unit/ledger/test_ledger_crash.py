"""A crash after each step, a full disk at each: what was acknowledged is there, and once."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.errors import LogUnavailable

STEPS = ("signed", "committed", "recorded", "placed", "synced", "dropped", "published")
FIRST = [b"first %d" % n for n in range(255)]
LATER = [b"later %d" % n for n in range(4)]
"""Ends a bundle and a level-0 tile and begins the next ones, and level 1."""

POINTS = ("signed", "committed", "recorded", *["placed"] * 5, "synced", "dropped", "published")
"""Each moment of that append at which a crash leaves something else behind."""


class Crash(BaseException):
    """Stands for the process's end."""


class Points:
    """Counts the fault points from when it is armed, and fails at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.armed = False
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        if self.armed:
            self.names.append(name)
            if len(self.names) - 1 == self.at:
                raise Crash(name)


def check(site: Site, expected: list[bytes]) -> None:
    """The log opens, holds this and no more, and its folder verifies."""
    with site.open() as log:
        assert log.entries(0, log.size) == expected
        log.append([b"next"])
    verified = verify_folder(site.folder, verifier_key=site.signer.verifier_key)
    assert verified.size == len(expected) + 1


def test_the_points_of_an_append(site: Site) -> None:
    points = Points(at=99)
    with site.open(points) as log:
        log.append(FIRST)
        points.armed = True
        log.append(LATER)
    assert tuple(points.names) == POINTS
    assert set(POINTS) == set(STEPS)


@pytest.mark.parametrize("at", range(len(POINTS)))
def test_a_crash_in_an_append(site: Site, at: int) -> None:
    points = Points(at)
    with site.open(points) as log:
        acknowledged = log.append(FIRST).checkpoint
        points.armed = True
        with pytest.raises(Crash):
            log.append(LATER, idempotency_key="k")
        assert (log.size, log.checkpoint()) == (255, acknowledged)
    check(site, FIRST if at == 0 else [*FIRST, *LATER])


@pytest.mark.parametrize("at", range(len(POINTS)))
def test_the_same_process_goes_on_after_a_failed_step(site: Site, at: int) -> None:
    points = Points(at)
    with site.open(points) as log:
        log.append(FIRST)
        points.armed = True
        with pytest.raises(Crash):
            log.append(LATER, idempotency_key="k")
        again = log.append(LATER, idempotency_key="k")
        assert (again.first_index, again.count, log.size) == (255, 4, 259)
    check(site, [*FIRST, *LATER])


@pytest.mark.parametrize("at", range(6))
def test_a_crash_while_the_log_is_made(site: Site, at: int) -> None:
    points = Points(at)
    points.armed = True
    with pytest.raises(Crash):
        site.open(points)
    check(site, [])


@pytest.mark.parametrize("at", range(len(POINTS) - 2))
def test_a_crash_during_recovery(site: Site, at: int) -> None:
    first, second = Points(1), Points(at)
    with site.open(first) as log:
        log.append(FIRST)
        first.armed = True
        with pytest.raises(Crash):
            log.append(LATER)
    second.armed = True
    with pytest.raises(Crash):
        site.open(second)
    check(site, [*FIRST, *LATER])


KILLED = """
import os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger.log import Log
from ledger.note import NoteSigner

signer = NoteSigner("logs.example/test", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))

def run(root, at):
    armed = []
    def on_step(name):
        if armed:
            armed.append(name)
            if len(armed) - 2 == at:
                os.kill(os.getpid(), signal.SIGKILL)
    log = Log.open(folder=root / "folder", database=root / "state" / "log.sqlite",
                   last_signed=root / "apart" / "last-signed", signer=signer, on_step=on_step)
    log.append([b"first %d" % n for n in range(255)])
    armed.append(True)
    log.append([b"later %d" % n for n in range(4)])

for at in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        run(Path(sys.argv[1]) / str(at), at)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, at
"""


def test_a_killed_process_leaves_a_log_that_opens(site: Site) -> None:
    command = [sys.executable, "-c", KILLED, str(site.root), str(len(POINTS))]
    source = Path(__file__).parents[3]
    subprocess.run(command, check=True, timeout=60, cwd=source, env=os.environ)
    for at in range(len(POINTS)):
        kept = FIRST if at == 0 else [*FIRST, *LATER]
        check(Site(site.root / str(at), site.signer), kept)


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
    [("signed", False), ("committed", True), ("recorded", True), ("dropped", True)],
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


def test_a_full_disk_in_the_middle_of_a_tile(site: Site) -> None:
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
        assert (site.folder / ".new").stat().st_size == 1000
        assert not (site.folder / "tile/entries/000.p/2").exists()
        assert log.append([b"e"]).first_index == 2
    check(site, [b"a", b"c" * 5000, b"e"])


def test_a_disk_error_names_the_cause(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with site.open() as log:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(LogUnavailable, match="No space left on device"):
                log.append([b"a"])
        assert log.size == 0
        assert log.append([b"b"]).first_index == 1
    check(site, [b"a", b"b"])


def test_a_locked_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.store_sqlite.BUSY_TIMEOUT_MS", 20)
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
