"""The receipt of a use: what was done under a permit, as far as its node vouches for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clients.egress import Leaving
from clients.gate import Admission
from clients.selection import Selection
from ledger.checkpoint import Checkpoint
from policies.canonical import sha256_hex
from policies.fields import Accelerator, instant
from policies.receipt import Confinement, Receipt


def use_receipt(
    admission: Admission,
    selected: Selection,
    *,
    leaving: Leaving,
    metrics: Mapping[str, str],
    confinement: Confinement,
    accelerator: Accelerator,
    started: datetime,
    finished: datetime,
    head: Checkpoint,
) -> Receipt:
    """What is to be signed.

    Args:
        leaving: the update as it leaves.
        metrics: the figures that leave; under a mask they are within the update, and not here.
        head: of the node's own log, before the receipt's entry.
    """
    body, member = admission.permit.body, admission.member
    permit = body.digest()
    return Receipt(
        version=1,
        permit=permit,
        permit_id=body.id,
        run=body.run,
        round=body.round,
        participant=member.participant,
        product=member.product,
        product_commitment=selected.product_commitment,
        rows_commitment=selected.commitment(permit),
        rows_used=selected.training if body.kind == "train" else 0,
        rows_held_back=selected.evaluation,
        rows_without_consent=selected.without_consent,
        update=sha256_hex(leaving.data),
        metrics={} if leaving.mask_key else dict(metrics),
        clip_norm=body.clip_norm,
        mask_key=leaving.mask_key,
        noise=leaving.noise,
        confinement=confinement,
        accelerator=accelerator,
        started=instant(started),
        finished=instant(finished),
        log_size=head.size,
        log_root=head.root.hex(),
    )
