"""`tds audit monitor`, and a log that is named by its address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import commands.audit_monitor
from auditors.mirror import only_one
from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tree import EMPTY_ROOT
from server.space import load_space

NAME = "logs.example/followed"
SIGNER = NoteSigner(NAME, Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
CALL = ("audit", "monitor", "log", "--key", "key.txt", "--state", "state")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """A log of three entries in `log/`, open; its key in `key.txt`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.txt").write_text(SIGNER.verifier_key + "\n", encoding="utf-8")
    with Log.open(
        folder=tmp_path / "log",
        database=tmp_path / "ledger.db",
        last_signed=tmp_path / "last-signed",
        signer=SIGNER,
    ) as opened:
        opened.append([b'{"entry":%d}' % n for n in range(3)])
        yield opened


def rolled_back(folder: Path) -> None:
    note = sign_checkpoint(Checkpoint(NAME, 0, EMPTY_ROOT), SIGNER)
    (folder / "checkpoint").write_text(note, encoding="utf-8")


def test_once_after_once(tds: Tds, log: Log) -> None:
    ran = tds(*CALL, "--once")
    assert (ran.code, ran.err) == (0, "")
    assert f"{NAME}: 3 entries verified, 3 of them new" in ran.out
    log.append([b"{}"] * 400)
    ran = tds(*CALL, "--once", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["event"], found["size"], found["new"], found["cosigners"]) == (
        "head",
        403,
        400,
        [],
    )


def test_a_contradiction_ends_with_3(tds: Tds, log: Log, tmp_path: Path) -> None:
    tds(*CALL, "--once")
    rolled_back(tmp_path / "log")
    ran = tds(*CALL, "--json")
    assert ran.code == 3
    assert "rolled back" in ran.err
    assert json.loads(ran.out)["event"] == "broken"
    assert len(list((tmp_path / "state/evidence").iterdir())) == 2
    ran = tds(*CALL)
    assert (ran.code, "evidence that it does not" in ran.err) == (3, True)


def test_a_broken_rule_ends_with_4(tds: Tds, log: Log) -> None:
    ran = tds(*CALL, "--rules", "--once")
    assert ran.code == 4
    assert "3 entries verified" in ran.out
    assert "breaks a rule" in ran.out
    ran = tds(*CALL, "--rules", "--once", "--json")
    assert ran.code == 4
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [one["event"] for one in events] == ["head", "replayed"]
    assert events[1]["violations"]


def test_rules_that_are_kept(tds: Tds, desk: Path) -> None:
    key = load_space(desk / "space").card.log_key
    ran = tds(
        *("audit", "monitor", "space/log", "--key", key, "--state", "m"),
        *("--rules", "--once"),
    )
    assert (ran.code, ran.err) == (0, "")
    assert "every decision follows from those before it" in ran.out


def test_what_it_says_while_it_runs(
    tds: Tds, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth, a copy that is not whole, silence; each is said once; then somebody ends it."""
    clock = [1_800_000_000]
    tile = tmp_path / "log/tile/0/000.p/5"
    kept: list[bytes] = []

    def nothing() -> None:
        """A look that finds nothing new."""

    def grow() -> None:
        log.append([b"{}", b"{}"])

    def lose() -> None:
        log.append([b"{}"])
        current = tmp_path / "log/tile/0/000.p/6"
        kept.append(current.read_bytes())
        current.unlink()

    def found() -> None:
        tile.with_name("6").write_bytes(kept[0])

    def stop() -> None:
        raise KeyboardInterrupt

    acts = iter([nothing, grow, nothing, nothing, lose, nothing, found, stop])

    def sleep(seconds: float) -> None:
        clock[0] += int(seconds)
        next(acts)()

    monkeypatch.setattr(commands.audit_monitor.time, "sleep", sleep)
    monkeypatch.setattr(commands.audit_monitor.time, "time", lambda: clock[0])
    ran = tds(*CALL, "--interval", "50", "--stale", "100", "--json")
    assert (ran.code, ran.err) == (0, "")
    events: list[dict[str, Any]] = [json.loads(line) for line in ran.out.splitlines()]
    assert [(one["event"], one.get("size")) for one in events] == [
        ("head", 3),
        ("head", 5),
        ("stale", 5),
        ("waiting", None),
        ("head", 6),
        ("stopped", 6),
    ]
    assert events[2]["seconds"] == 100
    assert "tile/0/000.p/6" in events[3]["reason"]


def test_one_monitor_a_state(tds: Tds, log: Log, tmp_path: Path) -> None:
    with only_one(tmp_path / "state"):
        ran = tds(*CALL, "--once")
        assert (ran.code, ran.out) == (2, "")
        assert "expected to be its only user, but another process is at work there" in ran.err
    assert tds(*CALL, "--once").code == 0


def test_ctrl_c_ends_it_cleanly(log: Log, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "commands", *CALL, "--json", "--interval", "3600"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["size"] == 3
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == {"event": "stopped", "size": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("monitor", "gone", "--key", "key.txt", "--state", "s", "--once"), 2, "got none"),
        (("monitor", "log", "--state", "s", "--once"), 2, "(--key) or a policy (--policy)"),
        (("monitor", "log", "--key", "key.txt", "--state", "s", "--interval", "0"), 2, "range"),
        (("monitor", "http://a.b/log", "--key", "key.txt", "--state", "s"), 2, "plain http"),
        (
            ("monitor", "http://127.0.0.1:1/log", "--key", "key.txt", "--state", "s", "--once"),
            1,
            "expected an answer, got: ConnectError",
        ),
        (("verify", "http://127.0.0.1:1/log", "--key", "key.txt"), 1, "ConnectError"),
        (("verify", "http://a.b/log", "--key", "key.txt"), 2, "plain http"),
        (("verify", "https://a.b/log?x", "--key", "key.txt"), 2, "without user, query"),
        (
            ("verify", "https://127.0.0.1/log", "--key", "key.txt", "--ca", "key.txt"),
            2,
            "expected a CA's certificate (PEM)",
        ),
        (("verify", "log", "--key", "key.txt", "--mirror", "m"), 2, "expected an address beside"),
        (("verify", "log", "--key", "key.txt", "--ca", "key.txt"), 2, "expected an address beside"),
    ],
)
def test_what_cannot_be_followed(
    tds: Tds,
    log: Log,
    arguments: tuple[str, ...],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auditors.fetch.PAUSE_S", 0.0)
    ran = tds("audit", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.split())
