"""What the gate asks of the space's log: the permit stands in it, and it was not forked.

Pure but for the one question to governance, which is a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clients.errors import GovernanceRefused, GovernanceUnavailable, LogForked, refused
from clients.records import Fork, SeenCheckpoint
from ledger.checkpoint import open_checkpoint
from ledger.errors import ProofError
from ledger.note import NoteVerifier
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tlogpolicy import NONE, Policy
from ledger.tree import leaf_hash
from ledger.witness import ForkKind
from policies.permit import Permit

FetchConsistency = Callable[[int, int], Sequence[bytes]]
"""(old size, new size) -> proof; raises GovernanceRefused or GovernanceUnavailable."""


def check_logged(permit: Permit, *, space: str, space_log: NoteVerifier) -> SeenCheckpoint:
    """Step 6.4: the permit's body is an entry under a checkpoint that the space's log signed.

    Args:
        space: the log's origin.

    Raises:
        GateRefused: permit-not-logged.
    """
    place = permit.log
    try:
        checkpoint = open_checkpoint(place.checkpoint, space_log)
        if checkpoint.origin != space or checkpoint.size != place.size:
            raise ProofError(
                f"expected a checkpoint of {space} with size {place.size}, "
                f"got one of {checkpoint.origin} with size {checkpoint.size}"
            )
        verify_inclusion(
            index=place.index,
            size=place.size,
            leaf=leaf_hash(permit.body.line()),
            proof=[bytes.fromhex(digest) for digest in place.proof],
            root=checkpoint.root,
        )
    except ProofError as error:
        raise refused("permit-not-logged", f"permit {permit.body.id}: {error}") from error
    return SeenCheckpoint(checkpoint.size, checkpoint.root, place.checkpoint)


def check_not_forked(
    came: SeenCheckpoint, seen: SeenCheckpoint | None, fetch_consistency: FetchConsistency
) -> None:
    """Step 6.5: both checkpoints are of one log that only grew.

    Args:
        came: the one to judge, signed by the log.
        seen: the largest that this node accepted before, if any.
        fetch_consistency: asked at most once, only when the size is new.

    Raises:
        LogForked: they are not, or governance refused to show it.
        GateRefused: node-unavailable where governance gave no answer.
    """
    if seen is None:  # the first checkpoint that this node ever sees
        return
    old, new = sorted((seen, came), key=lambda checkpoint: checkpoint.size)
    # From size 0 no proof is needed; asked for all the same where the log seems to have gone back:
    # whoever lost the entries cannot give it.
    asked = old.size < new.size and (old.size > 0 or came.size < seen.size)
    try:
        proof = fetch_consistency(old.size, new.size) if asked else ()
        verify_consistency(
            old_size=old.size,
            new_size=new.size,
            old_root=old.root,
            new_root=new.root,
            proof=proof,
        )
    except GovernanceUnavailable as error:
        text = f"the log's consistency could not be checked: {error}"
        raise refused("node-unavailable", text) from error
    except (GovernanceRefused, ProofError) as error:
        text = (
            f"the checkpoint of size {came.size} is not of one log with the one of size "
            f"{seen.size} that this node saw before: {error}"
        )
        refusal = refused("log-forked", text).refusal
        fork = Fork(_kind(seen, came), seen, came, refusal.text)
        raise LogForked(refusal, fork) from error


def check_witnessed(permit: Permit, policy: Policy, space_log: NoteVerifier) -> None:
    """Step 6.5, too: the checkpoint carries the cosignatures that this node's policy demands.

    Raises:
        GateRefused: checkpoint-not-witnessed.
    """
    if policy.quorum == NONE:
        return
    try:
        policy.open(permit.log.checkpoint, space_log)
    except ProofError as error:
        text = f"permit {permit.body.id}: this node's witness policy: {error}"
        raise refused("checkpoint-not-witnessed", text) from error


def _kind(seen: SeenCheckpoint, came: SeenCheckpoint) -> ForkKind:
    if came.size == seen.size:
        return "two-roots"
    return "rollback" if came.size < seen.size else "no-proof"
