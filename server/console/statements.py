"""The signed statements in an entry, unfolded: what was signed, under which key, and which entry
of the log names that key. Nothing is verified here; the browser does it (`static/audit`)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection

from policies.canonical import parse_json
from policies.entries import Entry
from policies.envelope import MAX_ENVELOPE_BYTES
from policies.errors import DocumentError
from server import queries

REGISTRAR: Final = ""
SIGNERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "ProductRegistered": {"envelope": "participant"},
        "AgreementConcluded": {"envelope": "assigner", "verification": "assignee"},
        "ConsentWithdrawn": {"envelope": "participant"},
        "CertificateIssued": {"envelope": REGISTRAR},
        "OfferPublished": {"envelope": "participant"},
        "ReceiptAccepted": {"envelope": "participant"},
        "KeyRotated": {"envelope": "participant"},
    }
)
"""By type: the field that holds an envelope, and the field that names its signer."""

MAX_SHOWN: Final = 20_000
"""Characters of a document that a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A DSSE envelope as it stands in an entry.

    Attributes:
        field: of the entry's body.
        signer: who is to have signed; "" is the space's registrar.
        payload: as it was signed, set out for reading.
        key_entry: the entry that names the key; None where it is not known.
    """

    field: str
    signer: str
    payload_type: str
    keyid: str
    signature: str
    payload: str
    key_entry: int | None


def statements(connection: Connection, entry: Entry) -> Iterator[Statement]:
    """Those of an entry that can be read; what is malformed is left to the verifier to name."""
    for field, signer in SIGNERS.get(entry.type, {}).items():
        value, who = entry.body.get(field), entry.body.get(signer, REGISTRAR)
        if isinstance(value, str) and isinstance(who, str):
            try:
                found = _unfold(value)
            except (DocumentError, KeyError, TypeError, ValueError, binascii.Error):
                continue
            yield Statement(
                field=field,
                signer=who,
                payload_type=found["type"],
                keyid=found["keyid"],
                signature=found["sig"],
                payload=found["payload"],
                key_entry=_key_entry(connection, who, found["keyid"]),
            )


def set_out(value: object) -> str:
    """JSON for reading, cut where it is long."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _unfold(value: str) -> dict[str, str]:
    data = base64.b64decode(value, validate=True)
    envelope: Any = parse_json(data, max_bytes=MAX_ENVELOPE_BYTES)
    payload = base64.b64decode(envelope["payload"], validate=True)
    signature = envelope["signatures"][0]
    return {
        "type": str(envelope["payloadType"]),
        "keyid": str(signature["keyid"]),
        "sig": str(signature["sig"]),
        "payload": set_out(parse_json(payload, max_bytes=MAX_ENVELOPE_BYTES)),
    }


def _key_entry(connection: Connection, who: str, keyid: str) -> int | None:
    if who == REGISTRAR:
        return 0
    person = queries.participant(connection, who)
    if person is None:
        return None
    began = person.entry
    for key in queries.retired_keys_of(connection, who):
        if key.key_id == keyid:
            return began
        began = key.entry
    current = person.receipt_key
    return began if current and queries.key_id_of(current) == keyid else None
