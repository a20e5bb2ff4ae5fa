"""The node as a witness of the space's log (C2SP tlog-witness, over the node's own connection).

Governance sends each head with a proof that the log only grew since the one the node saw last. The
node compares, remembers durably, and only then cosigns, with the key of its own log. It is the same
memory that the gate compares permits with: a permit and a head of two histories meet here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, Protocol

from clients.backoff import Backoff, Presence
from clients.errors import ClientError, GateRefused, GovernanceError, IdentityError, LogForked
from clients.files import read_file
from clients.folder import NodePaths
from clients.logcheck import check_not_forked
from clients.records import Fork, SeenCheckpoint
from ledger.checkpoint import open_checkpoint
from ledger.cosignature import Cosigner
from ledger.errors import LedgerError, PolicyRefused
from ledger.note import NoteVerifier
from ledger.tlogpolicy import MAX_POLICY_BYTES, UNWITNESSED, Policy, parse_policy
from ledger.witness import Accepted, Refused, Seen, judge, parse_request

LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.5


def read_witness_policy(paths: NodePaths, space_log: NoteVerifier) -> Policy:
    """Whose cosignatures the owner demands on a permit's checkpoint; nobody's without the file.

    Raises:
        FileRefused: too large, or unreadable.
        IdentityError: malformed, or for another log than the space's.
    """
    path = paths.witness_policy
    if not path.exists():
        return UNWITNESSED
    try:
        policy = parse_policy(read_file(path, max_bytes=MAX_POLICY_BYTES))
    except PolicyRefused as error:
        raise IdentityError(f"{path}: {error}") from error
    if policy.logs and all(log.verifier != space_log for log in policy.logs):
        raise IdentityError(
            f"{path}: expected no log line or one with this space's key {space_log.text}"
        )
    return policy


class WitnessPort(Protocol):
    """What a witness asks of governance; `clients.governance.GovernanceClient` is one."""

    def watch_checkpoints(self, size: int) -> Iterator[bytes]:
        """Heads to cosign; GovernanceError when the stream breaks."""
        ...

    def cosign(self, size: int, lines: bytes) -> None:
        """Hand in a cosignature; GovernanceError."""
        ...

    def get_consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """A consistency proof of the space's log; GovernanceError."""
        ...


class SeenPort(Protocol):
    """The node's memory of the space's log; `clients.state.NodeState` is one."""

    def last_seen(self) -> SeenCheckpoint | None:
        """The largest checkpoint accepted so far."""
        ...

    def keep_seen(self, seen: SeenCheckpoint) -> None:
        """Remember it durably, if it is larger."""
        ...


class NodeWitness:
    """Cosigns what it can verify.

    Args:
        cosigner: the key of the node's own log, as a witness's.
        space_log: the key that must have signed the heads.
        state: shared with the gate.
        governance: where heads come from and cosignatures go.
        on_fork: told of heads that do not fit together; does not raise.
        log_turn: shared with the worker (`clients.work`).
        clock: aware UTC now.
        tell: hears when governance is lost and when it is back.
    """

    def __init__(
        self,
        *,
        cosigner: Cosigner,
        space_log: NoteVerifier,
        state: SeenPort,
        governance: WitnessPort,
        on_fork: Callable[[Fork], None],
        log_turn: threading.Lock,
        clock: Callable[[], datetime],
        tell: Callable[[str], None] = LOGGER.info,
    ) -> None:
        self._cosigner = cosigner
        self._space_log = space_log
        self._state = state
        self._governance = governance
        self._on_fork = on_fork
        self._log_turn = log_turn
        self._clock = clock
        self._presence = Presence("governance", tell)

    def run(self, stop: threading.Event) -> None:
        """Watch and cosign until stopped; a broken stream is opened again."""
        backoff = Backoff(first_s=_FIRST_PAUSE_S)
        while not stop.is_set():
            try:
                seen = self._state.last_seen()
                for body in self._governance.watch_checkpoints(0 if seen is None else seen.size):
                    backoff.reset()
                    self._presence.back()
                    self.handle(body)
                    if stop.is_set():
                        return
            except GovernanceError as problem:
                self._presence.lost(str(problem))
            except ClientError as problem:
                LOGGER.warning("this node cannot witness at present: %s", problem)
            stop.wait(backoff.next())

    def handle(self, body: bytes) -> bool:
        """Check one head and cosign it; False, with a line in the program's log, if it is not.

        Args:
            body: of an add-checkpoint request.

        Raises:
            StateUnavailable: the node's memory cannot be read or written.
        """
        try:
            with self._log_turn:
                note, size = self._accept(body)
            # The head is remembered: a crash here leaves it without this node's cosignature.
            line = self._cosigner.cosign(note, time=int(self._clock().timestamp()))
            self._governance.cosign(size, line.encode("utf-8"))
        except LogForked as error:
            self._on_fork(error.fork)
            return False
        except (GateRefused, GovernanceError, LedgerError) as error:
            LOGGER.warning("a head of the space's log was not cosigned: %s", error)
            return False
        return True

    def _accept(self, body: bytes) -> tuple[str, int]:
        """The note and its size, once it is consistent with what was seen, and remembered."""
        request = parse_request(body)
        before = self._state.last_seen()
        verdict = judge(request, seen=self._known(before), log=self._space_log)
        if isinstance(verdict, Refused):
            raise LedgerError(verdict.text)
        checkpoint = open_checkpoint(request.note, self._space_log)
        came = SeenCheckpoint(checkpoint.size, checkpoint.root, request.note)
        if not isinstance(verdict, Accepted):
            # The gate may have seen a newer head since this one was sent, or governance may have
            # taken this node for another state: a fork it is only if no proof joins the two.
            check_not_forked(came, before, self._governance.get_consistency)
            if before is not None and came.size < before.size:
                raise LedgerError(
                    f"a head of {came.size} entries came after one of {before.size}: it is older"
                )
        self._state.keep_seen(came)
        return request.note, came.size

    def _known(self, seen: SeenCheckpoint | None) -> Seen | None:
        if seen is None:
            return None
        return Seen(open_checkpoint(seen.note, self._space_log), seen.note)
