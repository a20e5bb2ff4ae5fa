"""What an owner is told before an offer is published or an agreement signed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from commands.output import say
from commands.reading import documents
from policies.authoring import Finding, check, offer_warnings
from policies.baseline import parse_baseline
from policies.facts import product_facts
from policies.odrl import Agreement, Offer, parse_offer

RUN_DAYS = 1  # how long a run that starts now may take, where nobody says


class Lists(Protocol):
    """Where documents of the space are listed."""

    def list_documents(self, what: str) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class _Listed:
    """A product as the space lists it (`policies.facts.Described`)."""

    classification: str
    personal_information: bool
    subject_consent: str
    anonymization: str
    filing_number: str
    data_version: int

    @classmethod
    def of(cls, document: dict[str, Any]) -> _Listed:
        return cls(**{name: document[name] for name in cls.__slots__})


def say_offer_findings(governance: Lists, offer: Offer, product: str) -> None:
    """Tell what is odd about an offer, also beside the others of its product and the laws."""
    listed = documents(governance.list_documents("offers"))
    others = [
        parse_offer(str(one["document"]).encode())
        for one in listed
        if one["product"] == product and one["withdrawn"] is None and one["offer"] != offer.id
    ]
    laws = [
        parse_baseline(str(one["document"]).encode())
        for one in documents(governance.list_documents("baseline"))
    ]
    facts = [
        product_facts(_Listed.of(one), "the space's list")
        for one in documents(governance.list_documents("products"))
        if one["product"] == product
    ]
    now = datetime.now(UTC)
    ends = now + timedelta(days=RUN_DAYS)
    known = facts[0] if facts else {}
    _warn(offer_warnings(offer, others, now=now, ends=ends, baseline=laws, facts=known))


def say_agreement_findings(agreement: Agreement) -> None:
    """Tell what is odd about an agreement that is to be signed."""
    _warn(check(agreement, at=datetime.now(UTC)))


def _warn(findings: Iterable[Finding]) -> None:
    """Nothing of it stands in the way, so that even an error of the policy is a warning here."""
    for finding in findings:
        severity = "note" if finding.severity == "note" else "warning"
        place = "" if finding.path == "$" else f" ({finding.path})"
        say(f"{severity}: {finding.text}{place}; {finding.fix}")
