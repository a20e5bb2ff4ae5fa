"""How products and apps are shown: with how their certificates and filings stand at that moment."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from policies.canonical import Json, canonical_bytes
from policies.disclosure import AppText, ProductText
from policies.envelope import unverified_payload
from policies.refusals import certificate_state, filing_state
from policies.statements import PRODUCT_TYPE
from server import queries
from server.disclosing import Disclosing
from server.errors import NotKnown
from server.rows import App, CertificateRow, Product

UNDISCLOSED: Final = "(not disclosed)"


def products(connection: Connection, now: datetime, texts: Disclosing) -> list[dict[str, Json]]:
    """All products, in the order of registration."""
    certificates = queries.certificates(connection)
    return [
        _product(one, certificates.get(one.id), now, texts) for one in queries.products(connection)
    ]


def apps(connection: Connection, now: datetime, texts: Disclosing) -> list[dict[str, Json]]:
    """All apps, in the order of registration."""
    return [
        {
            "app": one.id,
            "title": (words := app_text(one, texts)).title,
            "size": one.size,
            "config": json.loads(one.config),
            "index": one.entry,
            "filing": {
                **json.loads(one.filing),
                "author": words.author,
                "outputs": list(words.outputs),
            },
            "filing_index": one.filing_entry,
            "filing_state": filing_state(one, now),
            "filing_revocation_reason": _reason(one.filing_revocation_reason, texts),
        }
        for one in queries.apps(connection)
    ]


def app_text(app: App, texts: Disclosing) -> AppText:
    """What an app is called; `UNDISCLOSED` where nothing opens it."""
    known = texts.value(app.description)
    return known if isinstance(known, AppText) else AppText(title=UNDISCLOSED)


def product_title(product: Product, texts: Disclosing) -> str:
    """What a product is called; its id where nothing opens it."""
    known = texts.value(product.description)
    return known.title if isinstance(known, ProductText) else product.id


def laws(connection: Connection, _now: datetime, _texts: Disclosing) -> list[dict[str, Json]]:
    """The laws in force, by file name, each with its text."""
    row = queries.baseline(connection)
    if row is None:
        return []
    when: dict[str, Json] = {"adopted": row.adopted, "index": row.entry}
    return [{**one, **when} for one in json.loads(row.documents)]


def product_document(connection: Connection, id: str, *, now: datetime, texts: Disclosing) -> bytes:
    """One product as in the list, with its owner's card and its certificate's envelope.

    Whoever reads it can check the envelope against the space's registrar key, and that the card has
    the digest that the certificate names. Title and columns are what the card commits to; the salt
    is for the owner, the operator and auditors.

    Raises:
        NotKnown: no such product.
    """
    found = queries.product(connection, id)
    if found is None:
        raise NotKnown(f"product {id!r:.140}: expected a registered one")
    certificate = queries.certificates(connection).get(id)
    envelope = base64.b64encode(certificate.envelope).decode() if certificate else None
    known = texts.value(found.description)
    document = {
        **_product(found, certificate, now, texts),
        # The owner's signature was checked before the card was logged.
        "card": unverified_payload(found.envelope, payload_type=PRODUCT_TYPE),
        "certificate_envelope": envelope,
        "columns": known.to_json()["columns"] if isinstance(known, ProductText) else [],
    }
    return canonical_bytes(document)


def _reason(commitment: str | None, texts: Disclosing) -> str | None:
    return None if commitment is None else texts.text(commitment) or UNDISCLOSED


def _product(
    one: Product, certificate: CertificateRow | None, now: datetime, texts: Disclosing
) -> dict[str, Json]:
    start, end, revoked = (
        (certificate.not_before, certificate.not_after, certificate.revoked)
        if certificate
        else (None, None, None)
    )
    return {
        "product": one.id,
        "participant": one.participant,
        "title": product_title(one, texts),
        "rows": one.rows,
        "classification": one.classification,
        "digest": one.digest,
        "index": one.entry,
        "data_version": one.data_version,
        "jurisdiction": one.jurisdiction,
        "personal_information": one.personal_information,
        "subject_consent": one.subject_consent,
        "anonymization": one.anonymization,
        "filing_number": one.filing_number,
        "execution_environment": one.execution_environment,
        "readiness": json.loads(one.readiness),
        "certificate": certificate_state(start, end, revoked, now),
        "certificate_serial": certificate.serial if certificate else None,
        "certificate_not_before": start,
        "certificate_not_after": end,
        "certificate_index": certificate.entry if certificate else None,
        "revocation_reason": _reason(certificate.revocation_reason, texts) if certificate else None,
    }


_Lists = Mapping[str, Callable[[Connection, datetime, Disclosing], list[dict[str, Json]]]]
REGISTER: Final[_Lists] = MappingProxyType({"products": products, "apps": apps, "baseline": laws})
