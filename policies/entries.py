"""Log entries: one line of canonical JSON each, `{"body": …, "time": …, "type": …}`.

The ledger keeps entries as opaque bytes; their meaning is defined here and read by auditors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from policies.canonical import Json, canonical_bytes, parse_canonical
from policies.errors import DocumentError
from policies.fields import parse_instant

MAX_ENTRY_BYTES = 1 << 20

EntryType = Literal[
    # the space's log
    "SpaceCreated",
    "ParticipantEnrolled",
    "ProductRegistered",
    "AppRegistered",
    "AgreementConcluded",
    "ConsentWithdrawn",
    "RunOpened",
    "RunResumed",
    "RunEnded",
    "ReportsMade",
    "RoundDecided",
    "PermitIssued",
    "ReceiptAccepted",
    "ReceiptRefused",
    "MasksReleased",
    "RoundClosed",
    "RoundAbandoned",
    "BaselineAdopted",
    "OfferPublished",
    "CertificateIssued",
    "CertificateRevoked",
    "AppFilingRevoked",
    "VoucherIssued",
    "NegotiationStep",
    "TransferStep",
    "EnginesDisagreed",
    # of an entry that is too long for a line (`policies.parts`)
    "EntryPart",
    "EntryWhole",
    "AuditorNamed",
    "DisclosureErased",
    "KeyRotated",
    # a node's own log
    "NodeCreated",
    "AppApproved",
    "AppRevoked",
    "UseStarted",
    "UseRefused",
    "UseFailed",
    "UseReceipted",
    "Withdrawn",
    "KeyReplaced",
    "ForkSeen",
]
ENTRY_TYPES: frozenset[str] = frozenset(get_args(EntryType))


@dataclass(frozen=True, slots=True)
class Entry:
    """A parsed entry; `body` is JSON whose fields the entry's type defines."""

    type: str
    time: str
    body: dict[str, Json]


def entry_bytes(kind: EntryType, *, time: str, body: object) -> bytes:
    """The entry's one spelling.

    Args:
        kind: what happened.
        time: when, as `policies.fields.instant` spells it.
        body: the facts.

    Raises:
        DocumentError: `parse_entry` would refuse it, so it must not reach the log.
    """
    value: dict[str, object] = {"type": kind, "time": time, "body": body}
    _checked(value)
    data = canonical_bytes(value)
    if len(data) > MAX_ENTRY_BYTES:
        raise DocumentError("$", f"an entry of at most {MAX_ENTRY_BYTES} bytes", f"{len(data)}")
    return data


def parse_entry(data: bytes) -> Entry:
    """A line of the log.

    Raises:
        DocumentError: not canonical, too large, unknown type, other fields, or a time that
            `policies.fields.instant` would not spell.
    """
    value = parse_canonical(data, max_bytes=MAX_ENTRY_BYTES)
    if not isinstance(value, dict) or set(value) != {"type", "time", "body"}:
        raise DocumentError("$", "an entry with type, time and body", "other fields")
    return _checked(value)


def _checked(value: Mapping[str, object]) -> Entry:
    kind, time, body = value["type"], value["time"], value["body"]
    if not isinstance(kind, str) or kind not in ENTRY_TYPES:
        raise DocumentError("$.type", "a known entry type", repr(kind)[:60])
    if not isinstance(time, str) or not isinstance(body, dict):
        raise DocumentError("$", "a time and a body object", "other types")
    try:
        parse_instant(time)
    except DocumentError as error:
        raise DocumentError("$.time", error.expected, error.got) from error
    return Entry(type=kind, time=time, body=body)
