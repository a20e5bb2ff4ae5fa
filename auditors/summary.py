"""What an entry says, in one line for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from policies.entries import Entry
from policies.release import NO_SUMS

MAX_SUMMARY: Final = 300
_NAMED: Final = 5  # of a cohort, one by one
Body = Mapping[str, Any]


def summary_of(entry: Entry) -> str:
    """One line of at most `MAX_SUMMARY` characters; the type alone where the body is another's."""
    try:
        text = _SUMMARIES[entry.type](entry.body)
    except (KeyError, TypeError, AttributeError, ValueError):
        text = entry.type
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 1] + "…"


def _names(items: list[Any]) -> str:
    names = [str(item["participant"]) for item in items]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) + more) or "nobody"


def _released(body: Body) -> str:
    return _names([{"participant": one} for group in body["groups"] for one in group])


def _decided(body: Body) -> str:
    verdicts = body["decision"]["verdicts"]
    refused = [
        f"{one['participant']} ({one['reasons'][0]['code']})"
        for one in verdicts
        if not one["permitted"]
    ]
    more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    permitted = _names([one for one in verdicts if one["permitted"]])
    return (
        f"{_round(body)}: permitted {permitted}; "
        f"refused {', '.join(refused[:_NAMED]) or 'nobody'}{more}"
    )


def _round(body: Body) -> str:
    return f"{body['run']} {body['kind']} round {body['round']} attempt {body['attempt']}"


def _spec(body: Body) -> str:
    spec = body["spec"]
    return (
        f"{body['consumer']} opened {body['run']} for {spec['purpose']}: {spec['rounds']} rounds "
        f"under {len(spec['agreements'])} agreements"
    )


def _closed(body: Body) -> str:
    result = "a result" if body["quorum_met"] else "no quorum"
    return (
        f"{_round(body)} closed with {result}: used {_names(body['accepted'])}; "
        f"left out {_names(body['left_out'])}"
    )


def _product(body: Body) -> str:
    return (
        f"{body['participant']} registered {body['product']}, version {body['data_version']}: "
        f"{body['rows']} rows, {body['classification']}"
    )


def _certificate(body: Body) -> str:
    return f"{body['serial']} for {body['product']}, valid until {body['not_after']}"


def _permit(body: Body) -> str:
    return f"{body['id']} for {_round(body)}, {body['purpose']}: {_names(body['cohort'])}"


def _receipt(body: Body) -> str:
    return f"{body['participant']} used {body['rows_used']} rows in {_round(body)}"


def _agreement(body: Body) -> str:
    return (
        f"{body['assigner']} and {body['assignee']} agreed on {body['product']}: "
        f"{body['agreement']}"
    )


_SUMMARIES: Final[Mapping[str, Callable[[Body], str]]] = MappingProxyType(
    {
        "SpaceCreated": lambda body: f"the space {body['space']['name']} begins",
        "ParticipantEnrolled": lambda body: f"{body['participant']} enrolled as {body['role']}",
        "ProductRegistered": _product,
        "AppRegistered": lambda body: f"app {body['app'][:16]}… registered",
        "AgreementConcluded": _agreement,
        "ConsentWithdrawn": lambda body: (
            f"{body['participant']} withdrew its consent to {body['agreement']}"
        ),
        "RunOpened": _spec,
        "RunResumed": lambda body: f"{body['run']} goes on",
        "RunEnded": lambda body: f"{body['run']} ended as {body['state']}: {body['reason']}",
        "ReportsMade": lambda body: f"{_round(body)}: {len(body['reports'])} reports",
        "RoundDecided": _decided,
        "PermitIssued": _permit,
        "ReceiptAccepted": _receipt,
        "ReceiptRefused": lambda body: (
            f"{body['participant'] or 'somebody'}'s reply in {_round(body)} was refused "
            f"({body['code']})"
        ),
        "MasksReleased": lambda body: (
            f"{_round(body)}: "
            f"{'nodes may open' if body['sums'] == NO_SUMS else 'masks released of'} "
            f"{_released(body)}"
        ),
        "RoundClosed": _closed,
        "RoundAbandoned": lambda body: f"{_round(body)} was abandoned: {body['reason']}",
        "BaselineAdopted": lambda body: f"{len(body['documents'])} laws adopted",
        "OfferPublished": lambda body: (
            f"{body['participant']} {'offered' if body['document'] else 'took back'} "
            f"{body['offer']} for {body['product']}"
        ),
        "CertificateIssued": _certificate,
        "CertificateRevoked": lambda body: f"{body['serial']} for {body['product']} revoked",
        "AppFilingRevoked": lambda body: f"the filing of app {body['app'][:16]}… revoked",
        "KeyRotated": lambda body: f"{body['participant']} has a new key for receipts",
        "KeyReplaced": lambda body: (
            f"the key {body['previous'][:16]}… for receipts was replaced by "
            f"{body['receipt_key'][:16]}…"
        ),
        "AuditorNamed": lambda body: f"{body['auditor']} named as an auditor",
        "DisclosureErased": lambda body: (
            f"{len(body['commitments'])} disclosures erased by {body['by']} ({body['code']})"
        ),
        "VoucherIssued": lambda body: (
            f"{body['voucher']} of {body['amount']} units for {body['consumer']}"
        ),
        "NegotiationStep": lambda body: f"{body['negotiation']} is {body['state']}",
        "TransferStep": lambda body: (
            f"{body['transfer']} under {body['agreement']} is {body['state']}"
        ),
        "EnginesDisagreed": lambda body: (
            f"two engines disagree about {body['participant']} in {body['run']} {body['kind']} "
            f"round {body['round']}"
        ),
    }
)
