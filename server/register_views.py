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
from policies.envelope import unverified_payload
from policies.refusals import certificate_state, filing_state
from policies.statements import PRODUCT_TYPE
from server import queries
from server.errors import NotKnown
from server.rows import CertificateRow, Product


def products(connection: Connection, now: datetime) -> list[dict[str, Json]]:
    """All products, in the order of registration."""
    certificates = queries.certificates(connection)
    return [_product(one, certificates.get(one.id), now) for one in queries.products(connection)]


def apps(connection: Connection, now: datetime) -> list[dict[str, Json]]:
    """All apps, in the order of registration."""
    return [
        {
            "app": one.id,
            "title": one.title,
            "size": one.size,
            "config": json.loads(one.config),
            "index": one.entry,
            "filing": json.loads(one.filing),
            "filing_index": one.filing_entry,
            "filing_state": filing_state(one, now),
            "filing_revocation_reason": one.filing_revocation_reason,
        }
        for one in queries.apps(connection)
    ]


def laws(connection: Connection, _now: datetime) -> list[dict[str, Json]]:
    """The laws in force, by file name, each with its text."""
    row = queries.baseline(connection)
    if row is None:
        return []
    when: dict[str, Json] = {"adopted": row.adopted, "index": row.entry}
    return [{**one, **when} for one in json.loads(row.documents)]


def product_document(connection: Connection, id: str, *, now: datetime) -> bytes:
    """One product as in the list, with its owner's card and its certificate's envelope.

    Whoever reads it can check the envelope against the space's registrar key, and that the card has
    the digest that the certificate names.

    Raises:
        NotKnown: no such product.
    """
    found = queries.product(connection, id)
    if found is None:
        raise NotKnown(f"product {id!r:.140}: expected a registered one")
    certificate = queries.certificates(connection).get(id)
    envelope = base64.b64encode(certificate.envelope).decode() if certificate else None
    document = {
        **_product(found, certificate, now),
        # The owner's signature was checked before the card was logged.
        "card": unverified_payload(found.envelope, payload_type=PRODUCT_TYPE),
        "certificate_envelope": envelope,
    }
    return canonical_bytes(document)


def _product(one: Product, certificate: CertificateRow | None, now: datetime) -> dict[str, Json]:
    start, end, revoked = (
        (certificate.not_before, certificate.not_after, certificate.revoked)
        if certificate
        else (None, None, None)
    )
    return {
        "product": one.id,
        "participant": one.participant,
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
        "revocation_reason": certificate.revocation_reason if certificate else None,
    }


REGISTER: Final[Mapping[str, Callable[[Connection, datetime], list[dict[str, Json]]]]] = (
    MappingProxyType({"products": products, "apps": apps, "baseline": laws})
)
