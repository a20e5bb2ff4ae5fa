"""How a use leaves under a mask: only the sum of many such vectors can be read (step 8).

The permit says how (`policies.sumterms`), and this node checks it before anything runs: governance
chose the scale, but no sum may overflow, no key may be one that everybody has, and the words are
those of the incoming model. Then, once for the use:

    head    rows used and held back, and each figure with the rows that it was measured on
    body    weight * (clipped update - incoming), weight = rows used / rows of the cohort; in an
            evaluation nothing; in a private use the noisy sum of its parts (clients.private_use)
    vector  both in fixed point, plus the mask: one that this node and governance alone can compute,
            or those of pairs of nodes

The node's half of the key is made here, used here and dropped: it is on no disk, and neither is the
mask, so nobody can make a vector that was cut off anew, or take its mask off later. Under pairwise
masks the same holds of the secrets that the node shared before (clients.pairwise_desk).

That a permit is for one mask is kept by `NodeState.begin_use`, which uses the permit up before the
app starts: a crash, a refusal or a withdrawal afterwards costs the permit.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from clients.errors import EgressRefused, refused
from clients.gate import Admission
from policies import masks
from policies.errors import EncodingError, MaskKeyError, SecureSumError
from policies.fixedpoint import Layout, encode, encode_integers, vector_bytes
from policies.flattening import flatten
from policies.pairwise_round import PairwiseRound
from policies.permit import CohortMember, PermitBody
from policies.privacy import PermitSum
from policies.scale import check_scale
from policies.sumterms import layout_of, sum_bound
from policies.tensors import Tensor, float_count
from policies.wide_integers import BLIND_BYTES, Head
from policies.words import Integers, Words


@dataclass(frozen=True, slots=True)
class Masked:
    """A vector as it leaves.

    Attributes:
        data: encoded, and under its mask.
        key: the public half of the key that the mask was made with, for the receipt.
    """

    data: bytes
    key: str


class Masker(Protocol):
    """What puts the mask of one permit on one vector, once."""

    def mask(self, words: Words) -> str:
        """Mask in place; the public half of the key that it was made with.

        Raises:
            EgressRefused: no mask can be made; nothing may leave.
        """
        ...


@dataclass(frozen=True, slots=True)
class GovernanceMask:
    """The mask that governance can compute as well."""

    key: str
    permit: str
    space: str
    participant: str
    product: str

    def mask(self, words: Words) -> str:
        """See `Masker`."""
        private = masks.new_private_key()
        try:
            key = masks.mask_key(
                private,
                self.key,
                permit=self.permit,
                space=self.space,
                participant=self.participant,
                product=self.product,
            )
        except MaskKeyError as error:
            raise EgressRefused(f"mask: {error}") from error
        masks.add_mask(words, key)
        return masks.public_key(private)


@dataclass(frozen=True, slots=True)
class Masking:
    """How what leaves under one permit is encoded and masked; made by `masking_of` only.

    Attributes:
        layout: of the vector.
        cohort_rows: what a node's rows are divided by to give its weight.
    """

    body: PermitBody
    layout: Layout
    masker: Masker
    cohort_rows: int

    def mask_update(
        self, head: Head, update: Mapping[str, Tensor], incoming: Mapping[str, Tensor]
    ) -> Masked:
        """The vector of a training, or of an evaluation, whose `update` is empty.

        Args:
            update: within the permit's clip norm of `incoming`.

        Raises:
            EgressRefused: a number that cannot be encoded; nothing of it stands in the text.
        """
        weight = Fraction(head.rows_used, self.cohort_rows)
        body = flatten(update, incoming, float(weight)) if update else ()
        # An evaluation has no body, but the encoding wants some bound of it.
        bound = Fraction(self.body.clip_norm) * (weight or 1)
        try:
            words = encode(self.layout, head, body, bound=bound, blind=_blind())
        except EncodingError as error:
            raise EgressRefused(f"update: it cannot be encoded: {error}") from error
        return self._masked(words)

    def mask_integers(self, head: Head, body: Iterable[Integers], bound: Decimal) -> Masked:
        """The vector of a body that consists of integers already, such as one with noise.

        Args:
            body: at the layout's scale, chunk by chunk.
            bound: what none of them exceeds, in the model's units.

        Raises:
            EgressRefused: one exceeds it, or there are not as many as the layout has.
        """
        try:
            words = encode_integers(self.layout, head, body, bound=bound, blind=_blind())
        except EncodingError as error:
            raise EgressRefused(f"update: it cannot be encoded: {error}") from error
        return self._masked(words)

    def _masked(self, words: Words) -> Masked:
        key = self.masker.mask(words)
        return Masked(vector_bytes(words), key)


def masking_of(
    admission: Admission, incoming: Mapping[str, Tensor], pairwise: Masker | None = None
) -> Masking | None:
    """How what leaves has to be masked; None where the permit does not say so.

    Args:
        incoming: the permit's model.
        pairwise: what masks where the permit says so: a node that shared nothing has none.

    Raises:
        GateRefused: `permit-wrong-sum`: the permit asks for what would give this node's update
            away, spoil the sum, or is not to be had here.
    """
    body, member = admission.permit.body, admission.member
    if body.secure_sum is None and body.privacy is None:
        return None
    try:
        layout = _checked(body, incoming)
        masker = pairwise or _by_governance(body, member)
    except (EncodingError, MaskKeyError, SecureSumError) as error:
        raise refused("permit-wrong-sum", f"permit {body.id}: {error}") from error
    rows = sum(one.max_rows for one in body.cohort)
    return Masking(body=body, layout=layout, masker=masker, cohort_rows=rows)


def head_of(
    body: PermitBody, rows_used: int, rows_held_back: int, figures: Mapping[str, str]
) -> Head:
    """What the vector says besides its numbers: what the receipt says of rows, and the figures.

    Args:
        figures: as they may leave (`clients.egress.check_metrics`); those named `eval…` were
            measured on the rows held back, all others on the rows used.
    """
    return Head(
        rows_used=rows_used,
        rows_held_back=rows_held_back,
        figures={
            name: (rows_held_back if name.startswith("eval") else rows_used, Decimal(text))
            for name, text in figures.items()
            if name in body.metrics
        },
    )


def _blind() -> bytes:
    return secrets.token_bytes(BLIND_BYTES)


def _by_governance(body: PermitBody, member: CohortMember) -> Masker:
    how = body.secure_sum
    if how is None or how.mode != "governance":
        raise EncodingError(
            "pairwise masks: expected a message of step mask, after this node shared, got another"
        )
    return GovernanceMask(
        key=how.key,
        permit=body.digest(),
        space=body.space,
        participant=member.participant,
        product=member.product,
    )


def _checked(body: PermitBody, incoming: Mapping[str, Tensor]) -> Layout:
    how, members = body.secure_sum, len(body.cohort)
    if how is None:
        raise EncodingError("secure sum: expected one, since privacy needs it, got none")
    if not body.clip_norm:
        raise EncodingError("clip_norm: expected a bound on what is summed, got none")
    if min(members // how.groups, body.min_cohort) < 2:
        raise EncodingError(
            "sum: expected at least 2 members in each group and as min_cohort, since a sum of one "
            f"hides nothing, got {members} in {how.groups} groups and {body.min_cohort}"
        )
    if how.mode == "governance":
        masks.parse_public_key(how.key)
    else:
        _check_pairwise(body, how)
    layout = layout_of(body)
    floats = float_count(incoming) if body.kind == "train" else 0
    if body.kind == "evaluate" and body.privacy is not None:
        floats = len(layout.metrics)
    if layout.floats != floats:
        expected = layout.head_words + floats
        raise EncodingError(f"words: expected {expected} for this model, got {how.words}")
    check_scale(
        bound=sum_bound(body.clip_norm, body.privacy, members),
        members=members,
        word_bits=how.word_bits,
        scale_bits=how.scale_bits,
    )
    return layout


def _check_pairwise(body: PermitBody, how: PermitSum) -> None:
    PairwiseRound.of_permit(body)
    by_governance = body.privacy is not None and body.privacy.by == "governance"
    if how.key or how.groups != 1 or by_governance:
        raise EncodingError(
            "pairwise masks: expected one sum without a key or noise of governance's, got a permit "
            "with one of these"
        )
