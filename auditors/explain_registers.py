"""What entries about registrations, contracts and consents say, in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from auditors.explain_say import Body, Say, digest
from auditors.report_terms import terms_of

# -- the space, participants, products, apps -------------------------------------------------------


def _space(say: Say, body: Body) -> Iterator[str]:
    space = body["space"]
    yield say("SpaceCreated", space=space["name"])
    keys = {name: digest(space[name]) for name in ("permit_key", "registrar_key")}
    yield say("space-keys", log_key=space["log_key"], **keys)
    for one in body["participants"]:
        who = say.who(one["participant"])
        yield say("space-person", participant=who, role=one["role"], region=one["region"])


def _enrolled(say: Say, body: Body) -> Iterator[str]:
    who = say.who(body["participant"])
    yield say("ParticipantEnrolled", participant=who, role=body["role"], region=body["region"])
    if body.get("receipt_key"):
        key, log_key = digest(body["receipt_key"]), body["log_key"]
        yield say("enrolled-keys", receipt_key=key, log_key=log_key)


def _rotated(say: Say, body: Body) -> Iterator[str]:
    yield say("KeyRotated", participant=say.who(body["participant"]))
    keys = {name: digest(body[name]) for name in ("previous", "receipt_key")}
    yield say("rotated-keys", **keys)


def _product(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("product", "data_version", "rows", "classification")}
    yield say("ProductRegistered", participant=say.who(body["participant"]), **fields)
    yield say(
        "product-facts",
        personal=say("yes" if body["personal_information"] else "no"),
        subject_consent=body["subject_consent"],
        jurisdiction=body["jurisdiction"],
    )
    if body["anonymization"]:
        yield say("product-anonymized", anonymization=body["anonymization"])
    if body["filing_number"]:
        yield say("product-filing", filing_number=body["filing_number"])
    if words := say.words(body.get("description"), "title"):
        yield say("described", title=words)
    yield say("signed-owner", owner=say.who(body["participant"]))


def _certified(say: Say, body: Body) -> Iterator[str]:
    yield say("CertificateIssued", product=body["product"], serial=body["serial"])
    valid = {name: body[name] for name in ("not_before", "not_after")}
    yield say("certificate-valid", **valid)


def _uncertified(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("serial", "product")}
    yield say("CertificateRevoked", **fields)
    yield from _why(say, body)
    yield say("certificate-means")


def _app(say: Say, body: Body) -> Iterator[str]:
    filing = body["filing"]
    yield say("AppRegistered", app=digest(body["app"]))
    if words := say.words(body.get("description"), "title"):
        yield say("described", title=words)
    yield say(
        "app-filed",
        purposes=say.several(filing["purposes"]) if filing["purposes"] else say("any"),
        filing_number=filing["filing_number"] or "-",
        expires=filing["expires"] or "-",
    )


def _unfiled(say: Say, body: Body) -> Iterator[str]:
    yield say("AppFilingRevoked", app=digest(body["app"]))
    yield from _why(say, body)
    yield say("app-stops")


def _why(say: Say, body: Body, field: str = "reason") -> Iterator[str]:
    if words := say.words(body.get(field)):
        yield say("step-why", reason=words)


def _auditor(say: Say, body: Body) -> Iterator[str]:
    yield say("AuditorNamed", auditor=say.who(body["auditor"]))
    yield say("auditor-means", sealed_to=digest(body["disclosure_key"]))


def _erased(say: Say, body: Body) -> Iterator[str]:
    fields = {"count": len(body["commitments"]), "code": body["code"]}
    yield say("DisclosureErased", by=say.who(body["by"]), **fields)
    if body["participant"]:
        yield say("erased-about", participant=say.who(body["participant"]))
    yield say("erased-means")


def _part(say: Say, body: Body) -> Iterator[str]:
    yield say("EntryPart", part=body["part"])


def _whole(say: Say, body: Body) -> Iterator[str]:
    yield say("EntryWhole", parts=body["parts"])


def _laws(say: Say, body: Body) -> Iterator[str]:
    yield say("BaselineAdopted", count=len(body["documents"]))
    for one in body["documents"]:
        document = json.loads(one["document"])
        title, source = one["title"], one["source"]
        if say.language == "zh":
            title, source = document.get("titleZh", title), document.get("sourceZh", source)
        yield say("law-line", title=title, version=one["version"], source=source)


# -- contracts and consents ------------------------------------------------------------------------


def _offer(say: Say, body: Body) -> Iterator[str]:
    key = "OfferPublished" if body["document"] else "offer-ended"
    who = say.who(body["participant"])
    yield say(key, participant=who, product=body["product"], offer=body["offer"])
    if body["document"] and body["auto_agree"]:
        yield say("offer-auto")


def _agreement(say: Say, body: Body) -> Iterator[str]:
    owner, consumer = say.who(body["assigner"]), say.who(body["assignee"])
    fields = {name: body[name] for name in ("product", "agreement")}
    yield say("AgreementConcluded", assigner=owner, assignee=consumer, **fields)
    yield from terms_of(body["document"], say.language)
    if body.get("verification"):
        yield say("signed-both", owner=owner, consumer=consumer)
    else:
        yield say("signed-owner", owner=owner)


def _withdrawn(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("agreement", "product")}
    yield say("ConsentWithdrawn", participant=say.who(body["participant"]), **fields)
    yield from _why(say, body)
    yield say("withdrawn-means")


def _step(kind: str, *named: str) -> Callable[[Say, Body], Iterator[str]]:
    def tell(say: Say, body: Body) -> Iterator[str]:
        fields = {name: body[name] for name in (*named, "state", "by")}
        yield say(kind, participant=say.who(body["participant"]), **fields)
        if body["before"]:
            yield say("step-before", before=body["before"])
        if body.get("run"):
            yield say("step-run", run=body["run"])
        if body.get("reason"):
            yield say("step-why", reason=body["reason"])
        yield from _why(say, body, "said")

    return tell


def _voucher(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("voucher", "amount")}
    yield say("VoucherIssued", consumer=say.who(body["consumer"]), **fields)


REGISTERS: Final[Mapping[str, Callable[[Say, Body], Iterator[str]]]] = MappingProxyType(
    {
        "SpaceCreated": _space,
        "ParticipantEnrolled": _enrolled,
        "KeyRotated": _rotated,
        "ProductRegistered": _product,
        "CertificateIssued": _certified,
        "CertificateRevoked": _uncertified,
        "AppRegistered": _app,
        "AppFilingRevoked": _unfiled,
        "BaselineAdopted": _laws,
        "OfferPublished": _offer,
        "AgreementConcluded": _agreement,
        "ConsentWithdrawn": _withdrawn,
        "NegotiationStep": _step("NegotiationStep", "negotiation"),
        "TransferStep": _step("TransferStep", "transfer", "agreement"),
        "VoucherIssued": _voucher,
        "AuditorNamed": _auditor,
        "DisclosureErased": _erased,
        "EntryPart": _part,
        "EntryWhole": _whole,
    }
)
