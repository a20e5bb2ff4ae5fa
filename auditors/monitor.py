"""Following a log: each new head is held against the last one, and what came with it is verified.

What is kept on disk is the last verified head with the right edge of its tree, at most a few
hundred hashes: a step costs what the log grew by, and a monitor that was ended goes on where it
was. The state is written before anything is said about a new head.

A head that contradicts the kept one is the end: both are kept in `evidence/`, and the kept one
stays. Such a log is not followed any further, however it goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.fetch import Source
from auditors.frontier import Frontier
from auditors.growth import Progress, check_growth
from auditors.mirror import (
    EVIDENCE,
    Own,
    drop_partial,
    evidence,
    fetch_tiles,
    keep_head,
    require_growth,
    writing,
)
from auditors.tilefolder import TileFolder, read_checkpoint, read_file
from auditors.trust import Trust, open_head
from ledger.durable import replace_file
from ledger.errors import LedgerError
from ledger.folder import CHECKPOINT

STATE: Final = "state.json"
LOG: Final = "log"
MAX_STATE_BYTES: Final = 4 << 20


class Followed(Protocol):
    """A log that is followed."""

    def checkpoint(self) -> bytes:
        """Its newest checkpoint."""

    def bring(self, old: int, size: int, progress: Progress | None) -> Path:
        """The folder in which the tiles of this size are, those of `old` having been there."""

    def taken(self, old: int, size: int, note: bytes) -> None:
        """What was brought is verified."""

    @property
    def name(self) -> str:
        """Where it is, for people."""


@dataclass(frozen=True, slots=True)
class FollowedFolder:
    """A log whose folder is on this machine."""

    folder: Path

    def checkpoint(self) -> bytes:
        return read_checkpoint(self.folder)

    def bring(self, _old: int, _size: int, _progress: Progress | None) -> Path:
        return self.folder

    def taken(self, _old: int, _size: int, _note: bytes) -> None:
        """Nothing is kept."""

    @property
    def name(self) -> str:
        return str(self.folder)


@dataclass(frozen=True, slots=True)
class FollowedSource:
    """A log that is read over the network, into a copy that grows with it.

    Args:
        source: the log.
        copy: the folder of the copy.
    """

    source: Source
    copy: Path

    def checkpoint(self) -> bytes:
        return self.source.checkpoint()

    def bring(self, old: int, size: int, progress: Progress | None) -> Path:
        self.copy.mkdir(parents=True, exist_ok=True)
        fetch_tiles(self.source, self.copy, old, size, progress)
        return self.copy

    def taken(self, old: int, size: int, note: bytes) -> None:
        keep_head(self.copy, note)
        drop_partial(self.copy, old, size)

    @property
    def name(self) -> str:
        return self.source.url


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at the log found.

    Args:
        origin: the log's name.
        size: number of entries, all verified.
        root: root over them.
        new: how many came since the look before.
        cosigners: witnesses whose cosignatures hold.
        folder: where the entries are.
        grown_at: POSIX seconds, when the monitor first saw this size.
    """

    origin: str
    size: int
    root: bytes
    new: int
    cosigners: tuple[str, ...]
    folder: Path
    grown_at: int


class Monitor:
    """Follows one log.

    Args:
        log: which.
        state: a folder of the monitor's own; made if absent.
        trust: whose signatures are believed.

    Raises:
        AuditInputError: the state is another log's, or was changed.
        IntegrityBroken: evidence against this log is kept there.
    """

    def __init__(self, log: Followed, state: Path, *, trust: Trust) -> None:
        self._log = log
        self._state = state
        self._trust = trust
        self._own: Own | None = None
        self._frontier = Frontier()
        self._grown_at = 0
        if (state / STATE).exists():
            self._own, self._frontier, self._grown_at = _read_state(state, trust)
        if (state / EVIDENCE).exists():
            raise IntegrityBroken(
                log.name,
                "a log that keeps to what it signed",
                f"evidence that it does not, in {state / EVIDENCE}",
                "show it to the operator and to other auditors; a new state folder begins anew",
            )

    @property
    def size(self) -> int:
        """How many entries are verified."""
        return self._own.size if self._own else 0

    def step(
        self,
        *,
        now: int,
        fetching: Progress | None = None,
        verifying: Progress | None = None,
    ) -> Step:
        """Look at the log once; when this returns, all up to its newest head is verified.

        Args:
            now: POSIX seconds.
            fetching, verifying: called with tiles, and with entries, done and in all.

        Raises:
            IntegrityBroken: it contradicts itself or what it signed before; both heads are kept.
            TileMissing: a file that the head needs is not there: a copy that is on its way, or a
                log that does not serve what it signed. The next step looks again.
            LogUnreachable: no answer; the next step goes on.
            AuditInputError: a file cannot be read or written.
        """
        own, old = self._own, self.size
        with writing(self._state):
            note = self._log.checkpoint()
            head = open_head(note, f"{self._log.name}/{CHECKPOINT}", self._trust)
            self._state.mkdir(parents=True, exist_ok=True)
            frontier = self._frontier.copy()
            size = head.checkpoint.size
            with evidence(self._state, own, note):
                require_growth(own.head if own else None, head)
                folder = self._log.bring(old, size, fetching)
                check_growth(TileFolder(folder), frontier, head, (), verifying)
            # A crash before this verifies the same entries again.
            grown_at = now if own is None or size > old else self._grown_at
            fresh = Own(head, note.decode("utf-8"))
            replace_file(self._state / STATE, _state_bytes(fresh, frontier, grown_at))
            self._own, self._frontier, self._grown_at = fresh, frontier, grown_at
            self._log.taken(old, size, note)
        checkpoint = head.checkpoint
        return Step(
            origin=checkpoint.origin,
            size=size,
            root=checkpoint.root,
            new=size - old,
            cosigners=head.cosigners,
            folder=folder,
            grown_at=grown_at,
        )


def _state_bytes(own: Own, frontier: Frontier, grown_at: int) -> bytes:
    levels = [[one.hex() for one in level] for level in frontier.levels]
    document = {"version": 1, "checkpoint": own.note, "levels": levels, "grown_at": grown_at}
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"


def _read_state(state: Path, trust: Trust) -> tuple[Own, Frontier, int]:
    path = state / STATE
    try:
        document = json.loads(read_file(state, STATE, MAX_STATE_BYTES).decode("utf-8"))
        note = document["checkpoint"]
        head = open_head(note.encode("utf-8"), str(path), trust)
        levels = [[bytes.fromhex(one) for one in level] for level in document["levels"]]
        frontier = Frontier(head.checkpoint.size, levels)
        grown_at = document["grown_at"]
        if document["version"] != 1 or type(grown_at) is not int:
            raise ValueError("another version, or no time")
        if frontier.root() != head.checkpoint.root:
            raise ValueError("hashes that are not those of its checkpoint")
    except IntegrityBroken as error:
        raise AuditInputError(f"{path}: {error}; is it another log's state?") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, LedgerError) as error:
        raise AuditInputError(
            f"{path}: expected a monitor's state, got: {error}; if it is lost, a new state folder "
            "begins anew, and knows no older head"
        ) from error
    return Own(head, note), frontier, grown_at
