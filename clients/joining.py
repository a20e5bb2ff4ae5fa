"""The way into the SuperLink: waits for what can heal, ends for what cannot.

The SuperLink answers "not let in" alike to a key that it does not know and to a node of which it
counts an earlier process as running. What it is, tells a second question, for which the node must
know its Flower id; governance knows that, and whether this node is enrolled at all:

    governance says it is not enrolled, or not active   ends: only a new enrolment helps
    the SuperLink's certificate is not of the space's CA  ends at the start; waits if it was
                                                          there before
    the SuperLink does not know the key                 waits: `tds serve` registers the keys of all
                                                        enrolled nodes when it starts
    an earlier process is counted, or no connection     waits
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from clients.backoff import Backoff, Presence
from clients.errors import GovernanceRefused, GovernanceUnavailable
from clients.fleet_errors import FleetNotAdmitted, FleetRejected, FleetUnavailable, FleetUntrusted
from policies.canonical import parse_json
from policies.errors import DocumentError

MAX_ROW_BYTES: Final = 1 << 20
_NOT_ENROLLED: Final = frozenset({"permission_denied", "unauthenticated"})


class ListPort(Protocol):
    """What is asked of governance; `clients.governance.GovernanceClient` is one."""

    def list_documents(self, what: str) -> list[bytes]:
        """`participants`; GovernanceError."""
        ...


class DoorPort(Protocol):
    """What is asked of the SuperLink; `clients.fleet.Fleet` is one."""

    def activate(self) -> None:
        """Let this node in; FleetUnavailable, FleetRejected."""
        ...

    def knows(self, node_id: int) -> bool:
        """Whether it knows this node's key under this id; FleetUnavailable."""
        ...


class NotEnrolled(FleetRejected):
    """Governance says that this node is not enrolled in the space, or no longer active."""


def flower_id(governance: ListPort, participant: str) -> int | None:
    """The node's id in Flower as the space's log has it; None if governance cannot say.

    Raises:
        NotEnrolled: governance answered, and does not know this node.
    """
    try:
        rows = governance.list_documents("participants")
    except GovernanceRefused as error:
        if error.code in _NOT_ENROLLED:
            raise NotEnrolled(
                f"governance does not know this node ({error}); waiting does not help: ask the "
                "operator, or enrol with a new join file in a new folder"
            ) from error
        return None
    except GovernanceUnavailable:
        return None
    for row in rows:
        try:
            value = parse_json(row, max_bytes=MAX_ROW_BYTES)
        except DocumentError:
            continue
        if isinstance(value, dict) and value.get("participant") == participant:
            found = str(value.get("node_id") or "")
            return int(found) if found.isdecimal() else None
    return None


@dataclass(slots=True)
class Joining:
    """How a node gets in, the first time and again.

    Args:
        door: the SuperLink.
        ask: the node's Flower id, as `flower_id` returns it.
        presence: told of each change.
        backoff: its pauses are waited between tries.
        stop: set to give up.
    """

    door: DoorPort
    ask: Callable[[], int | None]
    presence: Presence
    backoff: Backoff
    stop: threading.Event
    been_in: bool = False

    def join(self) -> bool:
        """Returns True once the SuperLink let this node in, False when stopped before.

        Raises:
            FleetRejected: waiting does not help; the text says what does.
        """
        while not self.stop.is_set():
            try:
                self.door.activate()
            except FleetUntrusted as problem:
                if not self.been_in:
                    raise FleetRejected(str(problem)) from problem
                self.presence.lost(str(problem))
            except FleetNotAdmitted as problem:
                self.presence.lost(self._why(problem))
            except FleetUnavailable as problem:
                self.presence.lost(str(problem))
            else:
                self.been_in = True
                self.backoff.reset()
                self.presence.back()
                return True
            self.stop.wait(self.backoff.next())
        return False

    def _why(self, problem: FleetNotAdmitted) -> str:
        """What "not let in" means; NotEnrolled if governance does not know this node."""
        try:
            node_id = self.ask()
            known = None if node_id is None else self.door.knows(node_id)
        except FleetUnavailable:
            known = None
        if known is None:
            return str(problem)
        if known:
            return (
                "it counts an earlier process of this node as running, and lets this one in when "
                "that one's time is over (about a minute after it ended)"
            )
        return (
            "it does not know this node's Flower key, though governance knows this node: it lost "
            "its database, or the key was taken out; ask the operator to start `tds serve` again, "
            "which registers the keys of all enrolled nodes"
        )
