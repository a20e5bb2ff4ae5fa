"""The nodes as witnesses: whose key, which heads, what they report.

A node cosigns with the key of its own log, whose public half the space's log holds since the node
enrolled: everybody can derive its witness key (`ledger.cosignature.cosigner_of`).
"""

from __future__ import annotations

import logging
from typing import Final, get_args

from ledger.checkpoint import open_checkpoint
from ledger.cosignature import cosigner_of
from ledger.errors import KeyRefused, ProofError
from ledger.note import NoteVerifier
from ledger.witness import ForkKind
from server import queries
from server.cosigning import Cosigning, Offered
from server.errors import BadInput, NotAllowed, RuleBroken
from server.heads import Heads
from server.journal import Journal
from server.pki import Identity

FORK_KINDS: Final = frozenset(get_args(ForkKind))
MAX_SIZE: Final = 2**53 - 1
MAX_HEAD_CHARS: Final = 65_536
MAX_TEXT_CHARS: Final = 1000
_LOGGER = logging.getLogger(__name__)


class Witnesses:
    """What nodes may do as witnesses.

    Args:
        cosigning: the heads offered, and who cosigned them.
        verifier: the log's key.
    """

    def __init__(self, *, journal: Journal, cosigning: Cosigning, verifier: NoteVerifier) -> None:
        self.cosigning = cosigning
        self._journal = journal
        self._verifier = verifier

    def watch(self, caller: Identity, size: int) -> Heads[Offered]:
        """The heads to cosign for a node that says it saw this size.

        Raises:
            BadInput: no size.
            NotAllowed: no node with a key to cosign with.
            TooMany: too many watch already.
        """
        self._key_of(caller)
        if size > MAX_SIZE:
            raise BadInput(f"size: expected at most 2^53 - 1, got {size}")
        return self.cosigning.watch(caller.participant, size=size)

    def cosign(self, caller: Identity, size: int, lines: bytes) -> None:
        """Verify, keep and publish a node's cosignature on the head of this size.

        Raises:
            BadInput: malformed, or not this node's over that head.
            NotAllowed: no node with a key to cosign with.
            RuleBroken: a head that was not offered, or too long ago.
        """
        if not self.cosigning.take(self._key_of(caller), size, lines):
            raise RuleBroken(
                f"cosignature: expected one on a head that was lately offered, got one on {size}"
            )

    def report_fork(self, caller: Identity, kind: str, heads: tuple[str, str], text: str) -> None:
        """A node saw two heads of this log that do not fit together: tell the operator.

        Args:
            heads: the one that it accepted before, and the one that came; signed notes.

        Raises:
            BadInput: malformed, or a head that this log did not sign.
        """
        if kind not in FORK_KINDS or len(text) > MAX_TEXT_CHARS:
            raise BadInput(
                f"fork: expected one of {', '.join(sorted(FORK_KINDS))}, got {kind!r:.40}"
            )
        try:
            if any(len(head) > MAX_HEAD_CHARS for head in heads):
                raise BadInput(f"fork: expected heads of at most {MAX_HEAD_CHARS} characters")
            seen, came = (open_checkpoint(head, self._verifier) for head in heads)
        except ProofError as error:
            raise BadInput(f"fork: expected two heads that this log signed: {error}") from error
        _LOGGER.critical(
            "node %s refuses this log (%s): it accepted size %d with root %s, then size %d with "
            "root %s came: %s",
            caller.participant,
            kind,
            seen.size,
            seen.root.hex(),
            came.size,
            came.root.hex(),
            text,
        )

    def _key_of(self, caller: Identity) -> NoteVerifier:
        with self._journal.reading() as connection:
            found = queries.participant(connection, caller.participant)
        if found is None or found.log_key is None:
            raise NotAllowed(f"{caller.participant}: expected a node with a log key, got none")
        try:
            key = cosigner_of(NoteVerifier.parse(found.log_key))
        except KeyRefused as error:
            raise NotAllowed(f"{caller.participant}: {error}") from error
        # Under another's name a key could be made whose short hash is that one's: its lines would
        # pass for wrong signatures by a known witness, and spoil the checkpoint for everybody.
        own = f"{self._verifier.name}/{caller.participant}"
        if key.name != own:
            raise NotAllowed(
                f"{caller.participant}: expected a log key of the name {own}, got {key.name!r:.120}"
            )
        return key
