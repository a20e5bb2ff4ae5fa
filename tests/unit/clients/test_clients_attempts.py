"""Refused and failed tasks, read from the node's own log while the node holds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from test_clients_gate import APP, NOW, agreement
from test_clients_work import OWN_LOG, Crash, Node

from clients.attempts import last_attempts
from clients.errors import AppFailed, ClientError
from ledger.note import NoteSigner
from policies.fields import instant


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement())
    return node


def told(node: Node, **more: int) -> list[tuple[str, str, str]]:
    found = last_attempts(node.folder / "log", OWN_LOG.verifier, **more)
    return [(one.kind, one.code, one.text) for one in found]


def test_the_newest_comes_first_with_what_was_sent_back(node: Node) -> None:
    assert told(node) == []
    node.runner.result = AppFailed("the app raised ValueError at a.py:3", detail="47.11")
    node.worker.handle(node.task(1))
    node.worker.handle(node.task(1))
    node.crash_at = "opened"
    with pytest.raises(Crash):
        node.worker.handle(node.task(2))
    node.restart()
    node.worker.recover()
    stopped, replayed, failed = last_attempts(node.folder / "log", OWN_LOG.verifier)
    assert (stopped.kind, stopped.code) == ("failed", "")
    assert stopped.text == "the node stopped during this use; nothing of it left"
    assert (replayed.kind, replayed.code, replayed.app) == ("refused", "permit-replayed", APP)
    assert (failed.kind, failed.code) == ("failed", "app-failed")
    assert failed.text == "the app raised ValueError at a.py:3"
    assert failed.permit == replayed.permit == f"permit-{1:032x}"
    assert failed.time == instant(NOW)
    assert told(node, most=1) == told(node)[:1]
    node.close()


def test_a_use_that_went_well_is_none_of_them(node: Node) -> None:
    node.worker.handle(node.task())
    assert node.types() == ["UseStarted", "UseReceipted"]
    assert told(node) == []
    node.close()


def test_what_cannot_be_read_is_said(node: Node, tmp_path: Path) -> None:
    node.worker.handle(node.task(purpose="marketing", app="b" * 64))
    assert last_attempts(tmp_path / "nothing", OWN_LOG.verifier) == []
    other = NoteSigner(OWN_LOG.name, Ed25519PrivateKey.from_private_bytes(b"x" * 32))
    with pytest.raises(ClientError, match="a signature by"):
        last_attempts(node.folder / "log", other.verifier)
    for file in (node.folder / "log" / "tile" / "entries").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ClientError, match="own log"):
        last_attempts(node.folder / "log", OWN_LOG.verifier)
    node.close()
