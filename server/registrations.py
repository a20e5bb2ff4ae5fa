"""What entries about products, certificates, apps and law mean for the registry (projection)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, insert, update
from sqlalchemy.dialects.sqlite import insert as upsert

from policies.canonical import canonical_bytes
from server.tables import APPS, BASELINES, CERTIFICATES, PRODUCTS

Body = Mapping[str, Any]


def _product(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "id": body["product"],
        "participant": body["participant"],
        "rows": body["rows"],
        "classification": body["classification"],
        "digest": body["digest"],
        "description": body["description"],
        "envelope": base64.b64decode(body["envelope"]),
        "entry": index,
        "data_version": body["data_version"],
        "jurisdiction": body["jurisdiction"],
        "personal_information": body["personal_information"],
        "subject_consent": body["subject_consent"],
        "anonymization": body["anonymization"],
        "filing_number": body["filing_number"],
        "execution_environment": body["execution_environment"],
        "readiness": _text(body["readiness"]),
        "certificate": None,
    }
    # A newer version takes the place of the one before; what is agreed about it goes on.
    one = upsert(PRODUCTS).values(values)
    connection.execute(one.on_conflict_do_update(index_elements=["id"], set_=values))


def _certificate(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "entry": index,
        "serial": body["serial"],
        "product": body["product"],
        "digest": body["digest"],
        "not_before": body["not_before"],
        "not_after": body["not_after"],
        "envelope": base64.b64decode(body["envelope"]),
    }
    connection.execute(insert(CERTIFICATES), values)
    of = (PRODUCTS.c.id == body["product"]) & (PRODUCTS.c.digest == body["digest"])
    connection.execute(update(PRODUCTS).where(of).values(certificate=index))


def _certificate_revoked(connection: Connection, index: int, time: str, body: Body) -> None:
    values = {"revoked": time, "revocation_reason": body["reason"], "revocation_entry": index}
    standing = (CERTIFICATES.c.serial == body["serial"]) & CERTIFICATES.c.revoked.is_(None)
    connection.execute(update(CERTIFICATES).where(standing).values(values))


def _app(connection: Connection, index: int, _time: str, body: Body) -> None:
    filing = {
        "description": body["description"],
        "filing": _text(body["filing"]),
        "filing_entry": index,
        "filing_revoked": None,
        "filing_revocation_reason": None,
        "filing_revocation_entry": None,
    }
    values = {
        "id": body["app"],
        "size": body["size"],
        "config": _text(body["config"]),
        "entry": index,
    }
    # Registered again, an app has a new filing.
    one = upsert(APPS).values(values | filing)
    connection.execute(one.on_conflict_do_update(index_elements=["id"], set_=filing))


def _filing_revoked(connection: Connection, index: int, time: str, body: Body) -> None:
    values = {
        "filing_revoked": time,
        "filing_revocation_reason": body["reason"],
        "filing_revocation_entry": index,
    }
    standing = (APPS.c.id == body["app"]) & APPS.c.filing_revoked.is_(None)
    connection.execute(update(APPS).where(standing).values(values))


def _baseline(connection: Connection, index: int, time: str, body: Body) -> None:
    values = {
        "entry": index,
        "adopted": time,
        "digest": body["digest"],
        "documents": _text(body["documents"]),
    }
    connection.execute(insert(BASELINES), values)


def _text(value: object) -> str:
    return canonical_bytes(value).decode()


REGISTRATIONS: Final[Mapping[str, Callable[[Connection, int, str, Body], None]]] = MappingProxyType(
    {
        "ProductRegistered": _product,
        "CertificateIssued": _certificate,
        "CertificateRevoked": _certificate_revoked,
        "AppRegistered": _app,
        "AppFilingRevoked": _filing_revoked,
        "BaselineAdopted": _baseline,
    }
)
