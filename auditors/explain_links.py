"""What an entry begins, and which earlier entries it rests on, as keys such as ("run", its id).

`begins` and `rests_on` are two tables over the entries' types. An entry rests on another one if it
names a key that the other one began last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from policies.disclosure import committed_in
from policies.entries import Entry

Key = tuple[str, ...]
Body = Mapping[str, Any]
LAWS: Final[Key] = ("laws",)
SPACE: Final[Key] = ("space",)


def begins(index: int, entry: Entry) -> list[Key]:
    """The keys that later entries name this one by.

    Raises:
        lines.MALFORMED: a body in another form than governance writes.
    """
    begin = _BEGINS.get(entry.type)
    found = list(begin(index, entry.body)) if begin else []
    committed = committed_in(entry)
    return found if committed is None else [*found, ("committed", committed.commitment)]


def rests_on(entry: Entry) -> list[Key]:
    """The keys that this one names.

    Raises:
        lines.MALFORMED: a body in another form than governance writes.
    """
    rest = _RESTS.get(entry.type)
    return list(dict.fromkeys(rest(entry.body))) if rest else []


def _space(_index: int, body: Body) -> Iterator[Key]:
    yield SPACE
    yield from (("participant", one["participant"]) for one in body["participants"])


def _one(name: str, field: str = "") -> Callable[[int, Body], Iterator[Key]]:
    def begin(_index: int, body: Body) -> Iterator[Key]:
        yield (name, body[field or name])

    return begin


def _certificate(_index: int, body: Body) -> Iterator[Key]:
    yield ("certificate", body["serial"])
    yield ("certificate of", body["product"])


def _close(index: int, body: Body) -> Iterator[Key]:
    yield ("close", str(index))
    yield ("last close", body["run"])


_BEGINS: Final[Mapping[str, Callable[[int, Body], Iterable[Key]]]] = MappingProxyType(
    {
        "SpaceCreated": _space,
        "BaselineAdopted": lambda _index, _body: (LAWS,),
        "ParticipantEnrolled": _one("participant"),
        "ProductRegistered": _one("product"),
        "CertificateIssued": _certificate,
        "CertificateRevoked": _one("revoked", "serial"),
        "AppRegistered": _one("app"),
        "AppFilingRevoked": _one("unfiled", "app"),
        "OfferPublished": _one("offer"),
        "NegotiationStep": _one("negotiation"),
        "AgreementConcluded": _one("agreement"),
        "ConsentWithdrawn": _one("withdrawn", "agreement"),
        "VoucherIssued": _one("voucher"),
        "KeyRotated": _one("key of", "participant"),
        "AuditorNamed": _one("participant", "auditor"),
        "RunOpened": _one("run"),
        "RunEnded": _one("ended", "run"),
        "RunResumed": _one("resumed", "run"),
        "TransferStep": _one("transfer"),
        "EnginesDisagreed": _one("alarm", "run"),
        "RoundDecided": _one("decision", "run"),
        "PermitIssued": _one("permit", "id"),
        "ReceiptAccepted": _one("receipt"),
        "ReceiptRefused": lambda _index, body: (
            ("refused", body["permit_id"], body["participant"]),
        ),
        "MasksReleased": _one("release", "permit_id"),
        "RoundClosed": _close,
        # a node's own log
        "NodeCreated": lambda _index, _body: (SPACE,),
        "AppApproved": _one("app"),
        "UseStarted": _one("permit", "permit_id"),
        "Withdrawn": _one("withdrawn", "agreement"),
    }
)


def _named(*fields: str, **renamed: str) -> Callable[[Body], Iterator[Key]]:
    """Keys of the fields of a body that hold an id; those that hold none are passed over."""
    names = {**{field: field for field in fields}, **renamed}

    def rest(body: Body) -> Iterator[Key]:
        for field, name in names.items():
            value = body.get(field)
            if isinstance(value, str) and value:
                yield (name, value)

    return rest


def _run(body: Body) -> Iterator[Key]:
    spec = body["spec"]
    yield ("app", spec["app"])
    yield ("participant", body["consumer"])
    yield from (("agreement", one) for one in spec["agreements"])
    if spec["voucher"]:
        yield ("voucher", spec["voucher"])


def _decided(body: Body) -> Iterator[Key]:
    yield ("alarm", body["run"])
    yield ("run", body["run"])
    yield LAWS
    yield ("last close", body["run"])
    for verdict in body["decision"]["verdicts"]:
        yield ("product", verdict["product"])
        yield ("certificate of", verdict["product"])


def _permit(body: Body) -> Iterator[Key]:
    yield ("decision", body["run"])
    yield ("run", body["run"])
    yield ("app", body["app"])
    for member in body["cohort"]:
        yield ("agreement", member["agreement"])
    if body["voucher"]:
        yield ("voucher", body["voucher"])


def _closed(body: Body) -> Iterator[Key]:
    yield ("permit", body["permit_id"])
    yield ("release", body["permit_id"])
    yield from (("receipt", one["receipt"]) for one in body["accepted"])
    yield from (("refused", body["permit_id"], one["participant"]) for one in body["left_out"])
    if body["previous"] is not None:
        yield ("close", str(body["previous"]))
    yield ("run", body["run"])


def _transfer(body: Body) -> Iterator[Key]:
    yield from _named("transfer", "agreement", "run")(body)
    if body.get("code") == "consent-withdrawn":
        yield ("withdrawn", body["agreement"])


def _ended(body: Body) -> Iterator[Key]:
    yield ("run", body["run"])
    if body.get("last_close") is not None:
        yield ("close", str(body["last_close"]))


_RESTS: Final[Mapping[str, Callable[[Body], Iterable[Key]]]] = MappingProxyType(
    {
        "BaselineAdopted": lambda _body: (SPACE,),
        "ParticipantEnrolled": lambda _body: (SPACE,),
        "ProductRegistered": _named("participant"),
        "CertificateIssued": _named("product"),
        "CertificateRevoked": _named("product", serial="certificate"),
        "AppFilingRevoked": _named("app"),
        "OfferPublished": _named("product", "participant"),
        "NegotiationStep": _named("negotiation", "offer", "product", "agreement", "participant"),
        "AgreementConcluded": _named(
            "negotiation", "product", assigner="participant", assignee="participant"
        ),
        "ConsentWithdrawn": _named("agreement", "product", "participant"),
        "VoucherIssued": _named(consumer="participant"),
        "KeyRotated": _named("participant"),
        "AuditorNamed": lambda _body: (SPACE,),
        "DisclosureErased": lambda body: (
            ("participant", body["by"]),
            *(("committed", one) for one in body["commitments"]),
        ),
        "RunOpened": _run,
        "RunResumed": lambda body: (("run", body["run"]), ("ended", body["run"])),
        "RunEnded": _ended,
        "TransferStep": _transfer,
        "ReportsMade": lambda body: (("run", body["run"]), LAWS),
        "EnginesDisagreed": _named("run", "agreement", "product"),
        "RoundDecided": _decided,
        "PermitIssued": _permit,
        "ReceiptAccepted": _named("participant", "product", permit_id="permit"),
        "ReceiptRefused": _named("participant", "product", permit_id="permit"),
        "MasksReleased": _named("run", permit_id="permit"),
        "RoundClosed": _closed,
        "RoundAbandoned": _named("run", permit_id="permit"),
        "AppRevoked": _named("app"),
        "UseStarted": _named("app"),
        "UseRefused": _named("app", permit_id="permit"),
        "UseFailed": _named(permit_id="permit"),
        "UseReceipted": lambda body: (("permit", body["receipt"]["permit_id"]),),
    }
)
