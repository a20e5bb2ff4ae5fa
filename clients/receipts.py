"""The receipt of a use: what was done under a permit, as far as its node vouches for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clients.gate import Admission
from clients.vault import OpenProduct
from ledger.checkpoint import Checkpoint
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.receipt import Confinement, Receipt


def use_receipt(
    admission: Admission,
    opened: OpenProduct,
    *,
    update: bytes,
    metrics: Mapping[str, str],
    confinement: Confinement,
    started: datetime,
    finished: datetime,
    head: Checkpoint,
) -> Receipt:
    """What is to be signed.

    Args:
        update, metrics: what leaves; an evaluation has an empty update.
        head: of the node's own log, before the receipt's entry.
    """
    body, member = admission.permit.body, admission.member
    training, held_back = opened.training_indices(), opened.held_back.nonzero()[0]
    trains = body.kind == "train"
    return Receipt(
        version=1,
        permit=body.digest(),
        permit_id=body.id,
        run=body.run,
        round=body.round,
        participant=member.participant,
        product=member.product,
        product_commitment=opened.product_commitment,
        rows_commitment=opened.rows_commitment(training if trains else held_back),
        rows_used=len(training) if trains else 0,
        rows_held_back=len(held_back),
        update=sha256_hex(update),
        metrics=dict(metrics),
        confinement=confinement,
        started=instant(started),
        finished=instant(finished),
        log_size=head.size,
        log_root=head.root.hex(),
    )
