"""Verifying a log's folder offline: the folder, the log's public key, and nothing else.

What holds after `verify_folder` has returned: the log's key signed a head over exactly the entries
that stand in the folder; every head that somebody else saw is a head over a prefix of them; and no
file under `tile/` says anything else. Nothing was changed, cut or reordered since those heads were
signed. With a policy, as many witnesses as it wants saw the same head.

What it cannot show: that everything was logged; and, without heads that others saw or cosigned,
that the log did not sign a second history for somebody else. What the entries mean is for
`tds audit replay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditors.ahead import files_ahead
from auditors.errors import AuditInputError, IntegrityBroken
from auditors.frontier import Frontier
from auditors.growth import Progress, check_growth
from auditors.tilefolder import COPY_AGAIN, TileFolder, read_checkpoint
from auditors.trust import Head, KeyTrust, Trust, open_head, open_seen, require_same_log
from ledger.folder import CHECKPOINT


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    Args:
        origin: the log's name.
        size: number of entries.
        root: root over all of them.
        cosigners: names of the witnesses whose cosignatures hold.
        ahead: files of entries that no signed head covers yet; nothing is known about those.
        beside: names in the folder that are no part of the log; nobody looked into them.
        note: the signed checkpoint that all this rests on.
        frontier: where to go on from, once the log has grown.
    """

    origin: str
    size: int
    root: bytes
    cosigners: tuple[str, ...]
    ahead: int
    beside: tuple[str, ...]
    note: str
    frontier: Frontier

    @property
    def root_hex(self) -> str:
        """The root for people."""
        return self.root.hex()


def verify_folder(
    folder: Path,
    *,
    verifier_key: str | None = None,
    trust: Trust | None = None,
    seen: Sequence[str] = (),
    progress: Progress | None = None,
    note: bytes | None = None,
) -> Verified:
    """Verify a log's folder (C2SP tlog-tiles), or a copy of one; see the module for the promise.

    May be called beside a log that is appending: the checkpoint is read first, and what was
    published since is counted in `ahead`.

    Args:
        folder: holds `checkpoint` and `tile/`.
        verifier_key: the log's public key, `name+hash+base64`, from a source other than the folder.
        trust: instead of a key, whose signatures are believed.
        seen: checkpoints (signed notes) that nodes, other auditors or earlier runs saw.
        progress: called now and then, and at the end, with entries done and entries in all.
        note: the signed checkpoint, where it is not the one in the folder.

    Raises:
        IntegrityBroken: with the place, what was expected there, and what came.
        AuditInputError: a file cannot be read; the key, or a seen checkpoint, is not this log's.
    """
    # 1. What was handed in.
    trust = _trust(verifier_key, trust)
    seen_heads = open_seen(seen, trust)
    # 2. The signed head, before anything that it may cover.
    note = read_checkpoint(folder) if note is None else note
    head = open_head(note, CHECKPOINT, trust)
    require_same_log(head, seen_heads)
    # 3. Nothing newer was ever signed.
    _check_newest(head, seen_heads)
    # 4. Every name in the folder.
    there = TileFolder.look(folder)
    # 5. Every entry, every tile, the roots.
    frontier = Frontier()
    check_growth(there, frontier, head, seen_heads, progress)
    # 6. What no head covers.
    ahead = files_ahead(there, head.checkpoint.size)
    return Verified(
        origin=head.checkpoint.origin,
        size=head.checkpoint.size,
        root=head.checkpoint.root,
        cosigners=head.cosigners,
        ahead=ahead,
        beside=there.beside,
        note=note.decode("utf-8"),
        frontier=frontier,
    )


def _trust(verifier_key: str | None, trust: Trust | None) -> Trust:
    if (verifier_key is None) == (trust is None):
        raise AuditInputError(
            "verify: expected the log's key or a policy, and not both; take them from a source "
            "other than the folder"
        )
    return trust if trust is not None else KeyTrust.parse(verifier_key or "")


def _check_newest(head: Head, seen: Sequence[Head]) -> None:
    size = head.checkpoint.size
    if seen and seen[-1].checkpoint.size > size:
        newest = seen[-1]
        raise IntegrityBroken(
            CHECKPOINT,
            f"a head of at least {newest.checkpoint.size} entries, as {newest.place} signed",
            f"one of {size}: the log was rolled back",
            COPY_AGAIN,
        )
