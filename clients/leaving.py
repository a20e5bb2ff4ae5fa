"""What leaves a use, in the form in which it leaves: step 8, between egress and receipt.

as it is    the packed update, and its figures beside it (clients.egress)
masked      both in one vector under the mask (clients.masking)
private     the noisy sum of the use's parts under the mask; no figure beside it
"""

from __future__ import annotations

from collections.abc import Mapping

from clients.declared import UNDECLARED, Declaration
from clients.egress import Held, Leaving, check_metrics, held_update, packed
from clients.jobs import JobResult
from clients.masking import Masking, head_of
from clients.private_use import PrivateSum
from policies.permit import PermitBody
from policies.tensors import Tensor, Tensors
from policies.wide_integers import Head


def leaving_of(
    body: PermitBody,
    masking: Masking | None,
    incoming: Tensors,
    ran: JobResult | PrivateSum,
    *,
    rows_used: int,
    rows_held_back: int,
    declared: Declaration = UNDECLARED,
) -> tuple[Leaving, dict[str, str]]:
    """What leaves, and the figures that the permit lets out.

    Args:
        ran: what the app returned, or the sum of its parts; that one is masked.
        declared: what the app says that it returns.

    Raises:
        EgressRefused: as `clients.egress` and `clients.masking.Masking`.
    """
    if isinstance(ran, PrivateSum):
        assert masking is not None  # there is no private use without a secure sum
        return leaving_sum(masking, ran, rows_used, rows_held_back), {}
    held = held_update(body.kind, ran.update, incoming, clip_norm=body.clip_norm, declared=declared)
    figures = check_metrics(ran.metrics, body.metrics, declared=declared)
    head = head_of(body, rows_used, rows_held_back, figures)
    return leaving(held, masking, head, incoming, declared), figures


def leaving(
    held: Held,
    masking: Masking | None,
    head: Head,
    incoming: Mapping[str, Tensor],
    declared: Declaration = UNDECLARED,
) -> Leaving:
    """The update in the form in which it leaves: packed, or under its mask.

    Args:
        head: what a masked vector says of rows and figures.
        declared: what the app says that it returns.

    Raises:
        EgressRefused: as `clients.egress.packed` and `Masking.mask_update`.
    """
    if masking is None:
        return packed(held, declared)
    layout = masking.layout
    declared.check_size(layout.size_bytes)
    masked = masking.mask_update(head, held.arrays, incoming)
    return Leaving(
        data=masked.data,
        clip_norm=held.clip_norm,
        clipped=held.clipped,
        mask_key=masked.key,
        head_bytes=layout.head_words * layout.word_bits // 8,
    )


def leaving_sum(
    masking: Masking, summed: PrivateSum, rows_used: int, rows_held_back: int
) -> Leaving:
    """A private use's sum under its mask.

    Raises:
        EgressRefused: as `Masking.mask_integers`.
    """
    body, layout = masking.body, masking.layout
    head = Head(rows_used=rows_used, rows_held_back=rows_held_back, figures=summed.figures)
    masked = masking.mask_integers(head, [summed.body], summed.bound)
    return Leaving(
        data=masked.data,
        clip_norm=body.clip_norm,
        mask_key=masked.key,
        head_bytes=layout.head_words * layout.word_bits // 8,
        noise="" if body.privacy is None else body.privacy.noise,
    )
