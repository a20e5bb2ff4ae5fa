"""Releasing the masks of a round: step 9 of DESIGN.md, with a secure sum.

    9a  take those whose receipts were accepted and whose consent stands: enough of them, or nothing
    9b  add up their masks, group by group, and governance's noise where it is the one that adds it
    9c  look once more whether they are still those; log whose masks are released, with the digest
        of the sums
    9d  only then hand the sums out

Once for a round: the same permit again gets the same bytes, from the cohort that was logged and
the seed that was kept; anything else about that round is refused for ever. A crash before 9c leaves
nothing; one after it leaves an entry whose sums were never seen, and the same call gives them. A
withdrawal before 9c takes that enterprise's update out; one after it comes too late, as the order
of the log shows.

Under pairwise masks there is nothing to add up: 9b is left out, and what is handed out is the
logged release, signed with the permit key. Nodes help to open the sum of exactly those, so that
consent, the least number, and once for ever hold the same.

Nothing here sees an update: governance learns no more than whose masks it added. Nothing that
leaves here is of use to anybody but who holds all of a group's masked vectors.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection

from policies.canonical import canonical_bytes
from policies.entries import entry_bytes
from policies.fields import instant
from policies.fixedpoint import CHUNK
from policies.gaussian import NoiseStream
from policies.masks import mask_key, sum_masks
from policies.noise import sum_sigma
from policies.permit import PermitBody
from policies.privacy import PermitSum
from policies.release import (
    NO_SUMS,
    PIECE_BYTES,
    MaskRelease,
    release_of,
    released,
    sign_release,
    too_few,
)
from policies.sumterms import layout_of
from policies.words import Words, wrap
from server import mask_keys, queries
from server import released as known
from server.edge import Edge
from server.errors import RuleBroken, Unavailable
from server.journal import Journal
from server.mask_keys import SEED_BYTES, MaskKey
from server.pki import Identity
from server.receipt_checks import PermittedRound, load_round
from server.released import Released

MAX_RELEASES: Final = 8
"""How many may be computed and handed out at once: each holds the sums of its round."""
WAIT_S: Final = 5.0
"""How long another one waits for its turn."""

Groups = list[list[str]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What would be released now, or was: everything that the sums are made of.

    Attributes:
        before: the release as it was logged; None if there is none.
        nodes: the public halves of the nodes' keys, by participant.
    """

    round_: PermittedRound
    how: PermitSum
    key: MaskKey
    groups: Groups
    nodes: dict[str, str]
    before: Released | None

    @property
    def permit(self) -> PermitBody:
        """The permit whose masks they are."""
        return self.round_.permit


@dataclass(frozen=True, slots=True)
class Release:
    """A logged release with its sums, which may leave now.

    Attributes:
        document: canonical JSON of its `policies.release.MaskRelease`; under pairwise masks in its
            signed envelope.
        sums: of each group, in words; under pairwise masks there are none.
    """

    document: bytes
    sums: tuple[Words, ...]

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """The group's number from 0 and up to `PIECE_BYTES` of its sum, in order."""
        for number, words in enumerate(self.sums):
            data = words.data.cast("B")
            for at in range(0, len(data), PIECE_BYTES):
                yield number, bytes(data[at : at + PIECE_BYTES])


class Releases:
    """Opening rounds.

    Args:
        space: its name, which masks are bound to.
        permit_key: signs releases for nodes.
        wait_s: for a turn, where `MAX_RELEASES` are under way.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        space: str,
        permit_key: Ed25519PrivateKey,
        edge: Edge,
        wait_s: float = WAIT_S,
    ) -> None:
        self._journal = journal
        self._permit_key = permit_key
        self._space = space
        self._edge = edge
        self._wait_s = wait_s
        self._slots = threading.BoundedSemaphore(MAX_RELEASES)

    @contextmanager
    def release(self, caller: Identity, permit_id: str) -> Iterator[Release]:
        """The sums of a round's masks, for as long as they are handed out.

        Raises:
            NotKnown, NotAllowed: the request.
            Superseded: the permit was abandoned.
            RuleBroken: a round without masks of governance's, one that is closed, too few whose
                consent stands, a cohort that tells too much beside an earlier one, a key that is
                gone; the text begins with a word for each.
            Unavailable: nothing was released, or as many as one service holds are under way; send
                it again.
        """
        if not self._slots.acquire(timeout=self._wait_s):
            raise Unavailable(
                f"{permit_id}: expected at most {MAX_RELEASES} releases at once; ask again"
            )
        try:
            yield self._release(caller, permit_id)
        finally:
            self._slots.release()

    def _release(self, caller: Identity, permit_id: str) -> Release:
        if (signed := self._pairwise(caller, permit_id)) is not None:
            return Release(signed, ())
        # 9a. Take those who stand.
        with self._journal.writing(), self._journal.reading() as connection:
            plan = _plan(connection, caller, permit_id)
        while True:
            # 9b. Without the lock: it may take seconds, and a withdrawal must not wait for it.
            sums = tuple(self._sums(plan))
            digest = _digest(sums)
            # 9c. Alone again. Each turn but the last saw a receipt, a withdrawal or a release come,
            # of which there are not many for one permit.
            with self._journal.writing():
                with self._journal.reading() as connection:
                    latest = _plan(connection, caller, permit_id)
                if latest.groups == plan.groups:
                    # 9d. Logged: they may leave.
                    return Release(canonical_bytes(self._logged(latest, digest).to_json()), sums)
            plan = latest

    def _pairwise(self, caller: Identity, permit_id: str) -> bytes | None:
        """The signed release of a round under pairwise masks; None if its masks are others."""
        with self._journal.writing():
            with self._journal.reading() as connection:
                round_ = load_round(connection, caller, permit_id)
                permit = round_.permit
                how = permit.secure_sum
                if how is None or how.mode != "pairwise":
                    return None
                if round_.row.state == "CLOSED":
                    raise RuleBroken(f"round-closed: {permit_id}: expected an open round")
                before = known.of_permit(connection, permit_id)
                groups = [] if before is not None else _chosen(connection, round_)
            if before is not None:
                return sign_release(before.release, self._permit_key)
            release = release_of(permit, round_.digest, groups, words=how.words, sums=NO_SUMS)
            # A crash before this leaves nothing; one after it an entry that signs the same again.
            self._commit(release)
        return sign_release(release, self._permit_key)

    def _commit(self, release: MaskRelease) -> None:
        time = instant(self._edge.clock())
        entry = entry_bytes("MasksReleased", time=time, body=release.to_json())
        self._journal.commit([entry], key=f"release:{release.permit_id}")

    def _logged(self, plan: _Plan, digest: str) -> MaskRelease:
        if plan.before is not None:
            if plan.before.release.sums != digest:
                raise RuleBroken(
                    f"mask-key-gone: {plan.permit.id}: expected the key that gives the sums of "
                    f"entry {plan.before.entry}, got another; close the round without a result"
                )
            return plan.before.release
        release = release_of(
            plan.permit, plan.round_.digest, plan.groups, words=plan.how.words, sums=digest
        )
        self._commit(release)
        return release

    def _sums(self, plan: _Plan) -> Iterator[Words]:
        products = {member.participant: member.product for member in plan.permit.cohort}
        private = plan.key.private
        for number, group in enumerate(plan.groups):
            keys = [
                mask_key(
                    private,
                    plan.nodes[participant],
                    permit=plan.round_.digest,
                    space=self._space,
                    participant=participant,
                    product=products[participant],
                )
                for participant in group
            ]
            total = sum_masks(keys, plan.how.words, plan.how.word_bits)
            _add_noise(total, plan.permit, plan.key, number)
            yield total


def _plan(connection: Connection, caller: Identity, permit_id: str) -> _Plan:
    """What may be released as things stand; raises as `Releases.release`."""
    round_ = load_round(connection, caller, permit_id)
    how = round_.permit.secure_sum
    if how is None:
        raise RuleBroken(f"not-masked: {permit_id}: expected a round with masks, got one without")
    if round_.row.state == "CLOSED":
        raise RuleBroken(f"round-closed: {permit_id}: expected an open round; its key is forgotten")
    before = known.of_permit(connection, permit_id)
    groups = before.release.groups if before is not None else _chosen(connection, round_)
    key = mask_keys.find(connection, permit_id)
    if key is None or key.public != how.key:
        raise RuleBroken(
            f"mask-key-gone: {permit_id}: expected governance's key for it, got none: its registry "
            "was made again from the log, and nobody can open this round any more; close it "
            "without a result"
        )
    nodes = mask_keys.of_nodes(connection, permit_id)
    return _Plan(round_, how, key, groups, nodes, before)


def _chosen(connection: Connection, round_: PermittedRound) -> Groups:
    """Whose masks may be released together now."""
    permit = round_.permit
    taken = known.of_round(connection, permit.run, permit.kind, permit.round)
    if taken is not None:
        raise RuleBroken(
            f"released-already: {permit.id}: expected a round whose masks were not released, "
            f"entry {taken.entry} released those of {taken.release.permit_id}"
        )
    rows = queries.receipts(connection, [permit.id])
    accepted = {row.participant for row in rows if row.accepted}
    claims = queries.claims(connection, [member.agreement for member in permit.cohort])
    standing = {
        claim.participant for claim in claims.values() if claim.withdrawn is None and claim.active
    }
    groups = released(permit, accepted & standing)
    if text := too_few(permit, groups):
        raise RuleBroken(
            f"too-few-to-release: {permit.id}: {text}; wait for more receipts, or close the round "
            "without a result"
        )
    if text := known.differencing(permit, groups, known.beside(connection, permit)):
        raise RuleBroken(
            f"cohorts-too-alike: {permit.id}: {text}; wait for more receipts, close the round "
            "without a result, or begin a run with another first model, such as one of another seed"
        )
    return groups


def _add_noise(total: Words, permit: PermitBody, key: MaskKey, number: int) -> None:
    """Add governance's noise to a group's sum, if it is the one that adds it: on the body only, as
    the head holds no figures of a private use."""
    privacy = permit.privacy
    if privacy is None or privacy.by != "governance":
        return
    layout = layout_of(permit)
    sigma = sum_sigma(privacy.noise, permit.clip_norm, layout.scale_bits)
    stream = NoiseStream(sigma, _seed(key.seed, number))
    body = total[layout.head_words :]
    for at in range(0, body.size, CHUNK):
        part = body[at : at + CHUNK]
        part += wrap(stream.take(part.size), layout.word_bits)


def _seed(seed: bytes, number: int) -> bytes:
    """One for each group: a seed is for one vector."""
    info = b"tdspace release noise v1\0" + number.to_bytes(4, "big")
    return HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=None, info=info).derive(seed)


def _digest(sums: tuple[Words, ...]) -> str:
    digest = hashlib.sha256()
    for words in sums:
        digest.update(words.data.cast("B"))
    return digest.hexdigest()
