"""The port to Flower's SuperLink: what governance asks of it, and nothing more.

The real adapter is `server.exchange`; tests bring their own. Nothing that the SuperLink says is
believed beyond ids: permits and receipts are what counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from policies.runconfig import ConfigValue


class SuperLink(Protocol):
    """All methods raise `SuperLinkUnavailable` if the SuperLink did not take the request."""

    def start_run(self, fab: bytes, overrides: Mapping[str, ConfigValue]) -> str:
        """Submit an app bundle; returns Flower's run id in decimal. Not idempotent: a run that was
        submitted but never bound to one of ours is refused by governance and ends by itself."""

    def stop_run(self, flower_run: str) -> None:
        """Ask a run to end; returns also if it has ended or is unknown."""

    def ended(self, flower_runs: Collection[str]) -> dict[str, str]:
        """Those of these runs that go on no more, by id, with what is said of why; one that is
        unknown is one of them."""

    def register_node(self, public_key_pem: bytes, name: str) -> str:
        """Let a node with this key (PEM, NIST EC) in; returns its node id in decimal.

        Idempotent: the same key gives the same id.
        """

    def register_missing(self, names: Mapping[bytes, str]) -> int:
        """As `register_node` for many keys, by key; returns how many it did not know."""
