"""The release of a round's masks: which updates are opened, as the log says it (step 9).

A permit's cohort is dealt into groups, and the masks of each group are released as one sum. Who
deals whom where follows from the permit, so that nobody can choose whom an update is added to after
seeing it.

Of each group those are released whose receipt was accepted and whose consent stands; the update of
nobody else can be opened. There are enough of them only if each group has at least `min_cohort`
(and two), and, where nodes share the noise, all but `tolerated` of those who share it.

Under pairwise masks there are none of governance's to hand out: its release says, signed with the
permit key, of whom the nodes may open the sum. They help to open no other (clients.pairwise_desk).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from policies.envelope import open_envelope, sign_envelope
from policies.fields import Document, Id, ParticipantId, Sha256
from policies.permit import Kind, PermitBody

Cohort = frozenset[str]
Group = Annotated[list[ParticipantId], Field(min_length=1, max_length=10_000)]

NO_REPLY: Final = ("no-reply", "no receipt of this node reached governance")
"""Code and text for a member of a cohort without a receipt."""
RELEASE_TYPE: Final = "application/vnd.tdspace.release+json"
NO_SUMS: Final = hashlib.sha256().hexdigest()
LEAST_IN_SUM: Final = 2
"""A sum of fewer would be the update of one."""
PIECE_BYTES: Final = 1 << 20
"""How much of a sum one message of a release carries at most."""


class MaskRelease(Document):
    """The body of the entry `MasksReleased`.

    Attributes:
        permit, permit_id: digest and id of the permit whose masks they are.
        groups: whose masks are in each group's sum, ascending.
        words: of each sum.
        sums: SHA-256 of the sums' bytes, one group's after the other's; under pairwise masks there
            are none (`NO_SUMS`).
    """

    run: Id
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: Kind
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    permit: Sha256
    permit_id: Annotated[str, Field(pattern=r"^permit-[0-9a-f]{32}$")]
    groups: Annotated[list[Group], Field(min_length=1, max_length=1000)]
    words: Annotated[int, Field(ge=1, le=1 << 28)]
    sums: Sha256

    @property
    def participants(self) -> frozenset[str]:
        """All whose updates are opened."""
        return frozenset(one for group in self.groups for one in group)


def release_of(
    permit: PermitBody, digest: str, groups: list[list[str]], *, words: int, sums: str
) -> MaskRelease:
    """What the log says of a release under a permit with this digest."""
    return MaskRelease(
        run=permit.run,
        round=permit.round,
        kind=permit.kind,
        attempt=permit.attempt,
        permit=digest,
        permit_id=permit.id,
        groups=groups,
        words=words,
        sums=sums,
    )


def sign_release(release: MaskRelease, key: Ed25519PrivateKey) -> bytes:
    """The envelope that nodes check under pairwise masks. Call it only after the entry is
    durable."""
    return sign_envelope(release.to_json(), payload_type=RELEASE_TYPE, key=key)


def open_release(data: bytes, key: Ed25519PublicKey) -> MaskRelease:
    """Parse and verify an envelope against the space's permit key.

    Raises:
        DocumentError, SignatureError: what was expected and what came.
    """
    return MaskRelease.from_json(open_envelope(data, payload_type=RELEASE_TYPE, key=key))


def dealt(permit: PermitBody) -> list[list[str]]:
    """The cohort's participants in their groups, each ascending: ordered by SHA-256 of permit id,
    zero byte and participant, then dealt round-robin."""
    groups = permit.secure_sum.groups if permit.secure_sum is not None else 1
    prefix = permit.id.encode() + b"\0"
    order = sorted(
        {member.participant for member in permit.cohort},
        key=lambda participant: hashlib.sha256(prefix + participant.encode()).digest(),
    )
    return [sorted(order[at::groups]) for at in range(groups)]


def released(permit: PermitBody, standing: Collection[str]) -> list[list[str]]:
    """Of each group those that may be opened.

    Args:
        standing: participants with an accepted receipt whose consent stands.
    """
    return [[one for one in group if one in standing] for group in dealt(permit)]


def too_few(permit: PermitBody, groups: Sequence[Sequence[str]]) -> str:
    """Why these groups must not be opened, in words; "" if they may."""
    for number, (group, whole) in enumerate(zip(groups, dealt(permit), strict=True), 1):
        least = least_of(permit, len(whole))
        if len(group) < least:
            which = f" of group {number}" if len(groups) > 1 else ""
            return f"expected at least {least}{which} with standing consent, got {len(group)}"
    return ""


def cohorts(groups: Iterable[Iterable[str]]) -> frozenset[Cohort]:
    """Of whom a release tells sums: of each group, and of all together."""
    each = [frozenset(group) for group in groups]
    return frozenset({*each, frozenset().union(*each)})


def told_apart(ours: Iterable[Cohort], theirs: Iterable[Cohort], least: int) -> int:
    """How many two sums about the same model tell of together, if that is too few; else 0.

    Of two cohorts, each must hold nobody that the other does not, or at least `least`: the
    difference of their sums is a sum over those. What this does not stop:

    - a consumer that changes the model by a hair asks about another model. Differential privacy is
      the answer to that (`policies.privacy`): it holds for all that is ever asked;
    - three or more sums that single somebody out together, though no two of them do.
    """
    others = list(theirs)
    for mine in ours:
        for other in others:
            for apart in (mine - other, other - mine):
                if 0 < len(apart) < least:
                    return len(apart)
    return 0


def too_alike(entry: int, least: int, few: int) -> str:
    """What is said of a release that `told_apart` finds fault with."""
    return (
        f"expected a cohort that differs from the one released in entry {entry} for the same model "
        f"by nobody or by at least {least}, got {few}"
    )


def withdrawn_before_release(participant: str, withdrawn: str | None) -> tuple[str, str]:
    """Code and text for a member whose receipt was accepted and whose update is not opened."""
    moment = f" at {withdrawn}" if withdrawn is not None else ""
    text = f"{participant} withdrew its consent{moment}, before the round's masks were released"
    return "consent-withdrawn", text


def two_thirds(members: int) -> int:
    """More than two thirds: what n participants of whom fewer than n / 3 follow the aggregator
    instead of the protocol need (Bonawitz et al., section 6.2 and table 2)."""
    return 2 * members // 3 + 1


def least_of(permit: PermitBody, members: int) -> int:
    """How many of a group of so many members are opened at least; under pairwise masks as many
    as have to help (`policies.pairwise_round`)."""
    privacy = permit.privacy
    shared = privacy is not None and privacy.by == "nodes"
    noise = members - privacy.tolerated if privacy is not None and shared else 0
    how = permit.secure_sum
    helpers = two_thirds(members) if how is not None and how.mode == "pairwise" else 0
    return max(LEAST_IN_SUM, permit.min_cohort, noise, helpers)


def large_enough(members: int, groups: int, min_cohort: int) -> bool:
    """Whether each of the groups that so many members are dealt into may be opened at all."""
    return members // groups >= max(LEAST_IN_SUM, min_cohort)
