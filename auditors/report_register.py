"""Who and what a log registered: participants, products, apps, laws, contracts, vouchers.

As the entries say, without judging them. Memory grows with what is registered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from auditors.report_registered import (
    App,
    Certificate,
    Contract,
    Erasure,
    Law,
    Participant,
    Product,
    Registered,
    VoucherIssue,
)
from policies.entries import Entry

Body = Mapping[str, Any]
MAX_ADOPTIONS: Final = 64


class Register:
    """Takes entries in, in the log's order; each method is named after an entry's type."""

    def __init__(self) -> None:
        self.now = Registered()
        self._certificates: dict[str, Certificate] = {}

    def take(self, index: int, entry: Entry) -> None:
        """One entry; of most types nothing is kept.

        Raises:
            lines.MALFORMED: a body in another form than governance writes.
        """
        look: Callable[[int, str, Body], None] | None
        look = getattr(self, f"_on_{entry.type}", None)
        if look is not None:
            look(index, entry.time, entry.body)

    def _on_SpaceCreated(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        space = body["space"]
        self.now.space, self.now.created = space["name"], space["created"]
        self.now.log_key = space["log_key"]
        for person in body["participants"]:
            self._on_ParticipantEnrolled(index, time, person)

    def _on_ParticipantEnrolled(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        self.now.participants[body["participant"]] = Participant(
            participant=body["participant"],
            role=body["role"],
            sector=body["sector"],
            region=body["region"],
            entry=index,
            time=time,
        )

    def _on_ProductRegistered(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        before = self.now.products.get(body["product"])
        self.now.products[body["product"]] = Product(
            product=body["product"],
            participant=body["participant"],
            description=body.get("description") or "",
            rows=body["rows"],
            classification=body["classification"],
            personal_information=body["personal_information"] is True,
            subject_consent=body["subject_consent"],
            anonymization=body["anonymization"],
            jurisdiction=body["jurisdiction"],
            filing_number=body["filing_number"],
            execution_environment=body["execution_environment"],
            data_version=body["data_version"],
            versions=before.versions + 1 if before else 1,
            entry=index,
            time=time,
        )

    def _on_CertificateIssued(self, index: int, _time: str, body: Body) -> None:  # noqa: N802
        made = Certificate(
            serial=body["serial"],
            not_before=body["not_before"],
            not_after=body["not_after"],
            entry=index,
        )
        self._certificates[made.serial] = made
        product = self.now.products.get(body["product"])
        if product is not None:
            product.certificate = made

    def _on_CertificateRevoked(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        found = self._certificates[body["serial"]]
        if found.revoked_entry is None:
            found.revoked, found.revoked_entry = time, index
            found.reason = body.get("reason") or ""

    def _on_AppRegistered(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        before, filing = self.now.apps.get(body["app"]), body["filing"]
        self.now.apps[body["app"]] = App(
            app=body["app"],
            description=body.get("description") or "",
            purposes=list(filing["purposes"]),
            filing_number=filing["filing_number"],
            expires=filing["expires"] or "",
            filings=before.filings + 1 if before else 1,
            entry=index,
            time=time,
        )

    def _on_AppFilingRevoked(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        found = self.now.apps[body["app"]]
        if found.revoked_entry is None:
            found.revoked, found.revoked_entry = time, index
            found.reason = body.get("reason") or ""

    def _on_BaselineAdopted(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        self.now.laws = [_law(one, index, time) for one in body["documents"]]
        self.now.adoptions = [*self.now.adoptions, (index, time)][-MAX_ADOPTIONS:]

    def _on_AgreementConcluded(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        self.now.contracts[body["agreement"]] = Contract(
            agreement=body["agreement"],
            product=body["product"],
            assigner=body["assigner"],
            assignee=body["assignee"],
            document=body["document"],
            verified=bool(body.get("verification")),
            negotiation=body.get("negotiation") or "",
            entry=index,
            time=time,
        )

    def _on_ConsentWithdrawn(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        found = self.now.contracts[body["agreement"]]
        if found.withdrawn_entry is None:
            found.withdrawn, found.withdrawn_entry = time, index

    def _on_VoucherIssued(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        self.now.vouchers[body["voucher"]] = VoucherIssue(
            voucher=body["voucher"],
            consumer=body["consumer"],
            amount=body["amount"],
            entry=index,
            time=time,
        )

    def _on_AuditorNamed(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        self.now.auditors[body["auditor"]] = (index, time)

    def _on_DisclosureErased(self, index: int, time: str, body: Body) -> None:  # noqa: N802
        made = Erasure(
            count=len(body["commitments"]),
            participant=body["participant"],
            by=body["by"],
            code=body["code"],
            entry=index,
            time=time,
        )
        self.now.erasures = [*self.now.erasures, made][-MAX_ADOPTIONS:]

    def _on_OfferPublished(self, _index: int, _time: str, body: Body) -> None:  # noqa: N802
        self.now.offers[body["offer"]] = "PUBLISHED" if body["document"] else "TAKEN BACK"

    def _on_NegotiationStep(self, _index: int, _time: str, body: Body) -> None:  # noqa: N802
        self.now.negotiations[body["negotiation"]] = body["state"]

    def _on_TransferStep(self, _index: int, _time: str, body: Body) -> None:  # noqa: N802
        self.now.transfers[body["transfer"]] = body["state"]


def _law(one: Body, index: int, time: str) -> Law:
    document = _json(one["document"])
    return Law(
        name=one["name"],
        title=one["title"],
        version=one["version"],
        source=one["source"],
        title_zh=str(document.get("titleZh", "")),
        source_zh=str(document.get("sourceZh", "")),
        entry=index,
        time=time,
    )


def _json(data: str | bytes) -> Body:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
