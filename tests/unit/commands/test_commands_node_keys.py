"""The end of a key change that was cut off, at the node's start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clients.errors import GovernanceError, GovernanceRefused, GovernanceUnavailable
from clients.rotation import Rotated
from commands import node_keys

AWAY = GovernanceUnavailable("no answer")
DONE = Rotated(previous="a" * 64, receipt_key="b" * 64, index=7)


@dataclass
class Start:
    """A node's start over a `finish` that answers from a script."""

    script: list[GovernanceError]
    stays: bool = True
    said: list[str] = field(default_factory=list)

    def finish(self, *_: Any) -> Rotated:
        if self.script:
            raise self.script.pop(0)
        return DONE


def run(start: Start, patch: pytest.MonkeyPatch) -> list[str]:
    @dataclass
    class Identity:
        paths: None = None

    @contextmanager
    def held(_: Identity) -> Iterator[tuple[None, None, None]]:
        yield None, None, None

    patch.setattr(node_keys, "load_identity", lambda _: Identity())
    patch.setattr(node_keys, "_held", held)
    patch.setattr(node_keys, "finish", start.finish)
    patch.setattr(node_keys, "under_way", lambda _: start.stays)
    patch.setattr(node_keys, "Backoff", Backoff)
    node_keys.finish_rotation(Path("node"), start.said.append)
    return start.said


class Backoff:
    """No pauses."""

    def next(self) -> float:
        return 0.0


def test_governance_is_waited_for_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(Start([AWAY] * 9), monkeypatch) == [
        "waiting for governance: a change of this node's key has to be finished first: no answer",
        "governance is there again after 0 s",
        "the new key for receipts bbbbbbbbbbbbbbbb… counts now",
    ]


def test_a_change_that_governance_refuses_leaves_the_old_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = GovernanceRefused("a known key", code="failed_precondition")
    assert run(Start([refused], stays=False), monkeypatch) == [
        "the change of this node's key was refused, the old one stands: a known key"
    ]


def test_another_refusal_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GovernanceRefused, match="not active"):
        run(Start([GovernanceRefused("not active", code="permission_denied")]), monkeypatch)
