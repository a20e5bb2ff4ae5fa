"""Registering a product: check, tell governance, keep; a newer version in the place of the last.

The card is signed once and kept before governance hears of it, so that a call that was cut off
sends the same card again. The first version waits in the node's database; a newer one waits in a
file beside the product's (`clients.pending`), so that until governance has logged it the node goes
on with the version that is registered, and with nothing else.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

from clients.consent import read_consents
from clients.errors import ProductError, VaultError
from clients.files import read_file, replace_file
from clients.governance import OwnerPort, Registered
from clients.identity import NodeIdentity
from clients.pending import drop_pending, keep_pending
from clients.product import MAX_PRODUCT_BYTES, Product, load_product, product_card
from clients.readiness import Readiness, read_readiness, shared_figures
from clients.records import ProductRecord
from clients.rowbook import keep_numbering
from clients.state import NodeState
from clients.summary import load_summary, save_summary
from clients.vault import open_product
from policies.canonical import sha256_hex
from policies.disclosure import SALT_BYTES, Opening
from policies.envelope import sign_envelope
from policies.errors import DocumentError
from policies.statements import PRODUCT_TYPE


def register_product(
    path: Path,
    *,
    identity: NodeIdentity,
    state: NodeState,
    governance: OwnerPort,
    now: datetime,
) -> Registered:
    """See `clients.owner.Owner.add_product`.

    Raises:
        ProductError, VaultError, ConsentError: the file, its data or its consents.
        ClientError: another version was registered under this id, and this one is not above it.
        GovernanceError: not registered; what was registered before stands.
    """
    product = load_product(path)
    opened = open_product(product, salt=identity.keys.salt)
    rows, subjects = opened.count, opened.subjects
    del opened  # the report reads the data again: never twice in memory
    if product.consent is not None:
        read_consents(product.consent)
    text = read_file(path, max_bytes=MAX_PRODUCT_BYTES)
    place = identity.paths.summary(product.id)
    report, summary = read_readiness(product, load_summary(place))
    if report.rows != rows:
        raise VaultError(f"{product.data}: changed while it was read; register it again")
    card, description = product_card(
        product,
        participant=identity.participant,
        rows=rows,
        registered=now,
        salt=secrets.token_bytes(SALT_BYTES),
        readiness=shared_figures(report, product.share_readiness),
    )
    record = ProductRecord(
        id=product.id,
        file=str(path.resolve()),
        digest=sha256_hex(text),
        rows=rows,
        card=sign_envelope(card.to_json(), payload_type=PRODUCT_TYPE, key=identity.keys.receipt),
        opening=_opening(product, description),
    )
    newer = _is_newer(product, state.product(product.id), record.digest)
    if newer:
        kept = keep_pending(identity.paths.pending(product.id), record)
    else:
        kept = state.add_product(record)
    # A crash from here on: what is kept has no index; the next call sends the same card again.
    registered = governance.register_product(kept.card, kept.opening)
    replace_file(identity.paths.product(product.id), text)
    if newer:
        state.replace_product(kept, index=registered.index)
        drop_pending(identity.paths.pending(product.id))
    else:
        state.confirm_product(product.id, index=registered.index)
    save_summary(place, summary)
    if subjects is not None:
        keep_numbering(state, subjects, node_salt=identity.keys.salt)
    return registered


def readiness_of(path: Path, identity: NodeIdentity) -> Readiness:
    """See `clients.owner.Owner.readiness`."""
    product = load_product(path)
    report, _ = read_readiness(product, load_summary(identity.paths.summary(product.id)))
    return report


def _opening(product: Product, description: Opening) -> bytes:
    try:
        return description.to_bytes()
    except DocumentError as error:
        raise ProductError(f"product {product.id}: title and columns: {error}") from error


def _is_newer(product: Product, known: ProductRecord | None, digest: str) -> bool:
    """Whether this is a version above the one that governance has logged."""
    if known is None or known.registered is None or known.digest == digest:
        return False
    return product.data_version > known.data_version
