"""Whether what was registered may be used now: certificates and filings, as typed reasons, and
what registrations say to the laws.

Asked when a run is opened and again in every round; nothing is remembered in between.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

from policies.certificate import validity
from policies.facts import agreement_facts, crossing_facts, product_facts
from policies.fields import parse_instant
from policies.odrl import Agreement
from policies.relations import PURPOSES, Relation, relate_purposes
from policies.results import Reason, Value
from policies.statements import AppFiling
from server.queries import Claim
from server.rows import App, Participant

CertificateState = Literal["missing", "revoked", "not-yet-valid", "expired", "valid"]
FilingState = Literal["revoked", "expired", "valid"]


def certificate_state(
    not_before: str | None, not_after: str | None, revoked: str | None, now: datetime
) -> CertificateState:
    """How a product's newest certificate stands; all None where it has none."""
    if not_before is None or not_after is None:
        return "missing"
    return "revoked" if revoked is not None else validity(not_before, not_after, now)


def certificate_reasons(claim: Claim, now: datetime) -> list[Reason]:
    """Why a product's certificate does not let it be used; empty if it stands.

    Codes: certificate-missing, -revoked, -not-yet-valid, -expired.
    """
    found = certificate_state(claim.not_before, claim.not_after, claim.revoked, now)
    if found == "valid":
        return []
    text = {
        "missing": (
            f"version {claim.data_version} of {claim.product} has no certificate yet; "
            "the space's registrar issues it"
        ),
        "revoked": f"{claim.serial} was revoked at {claim.revoked}",
        "not-yet-valid": f"{claim.serial} is valid from {claim.not_before} on",
        "expired": f"{claim.serial} was valid until {claim.not_after}",
    }[found]
    return [Reason(f"certificate-{found}", text)]


def law_facts(
    claim: Claim, agreement: Agreement, action: str, recipient: Participant | None
) -> dict[str, Value]:
    """The left values that laws ask for, each with the log entry that says it.

    Args:
        recipient: who receives the round's result.
    """
    region = recipient.region if recipient else ""
    entries = f"log entries {claim.participant_entry}, {claim.product_entry}"
    return {
        **product_facts(claim, f"log entry {claim.product_entry}"),
        **agreement_facts(agreement, action, region, f"log entry {claim.agreement_entry}"),
        **crossing_facts(
            claim.jurisdiction,
            claim.region,
            region,
            f"{entries} and {recipient.entry}" if recipient else entries,
        ),
    }


def filing_of(app: App) -> AppFiling:
    """An app's newest filing."""
    return AppFiling.from_json(json.loads(app.filing))


def filing_state(app: App, now: datetime) -> FilingState:
    """How an app's newest filing stands."""
    if app.filing_revoked is not None:
        return "revoked"
    expires = filing_of(app).expires
    return "expired" if expires is not None and now >= parse_instant(expires) else "valid"


def filing_reasons(app: App, purpose: str, now: datetime) -> list[Reason]:
    """Why an app's filing does not let it run for a purpose; empty if it does.

    Codes: app-filing-revoked, app-filing-expired, app-filing-purpose.
    """
    state, filing = filing_state(app, now), filing_of(app)
    if state == "revoked":
        text = f"the filing of app {app.id[:16]}… was revoked at {app.filing_revoked}"
        return [Reason("app-filing-revoked", text)]
    if state == "expired":
        text = f"the filing of app {app.id[:16]}… was valid until {filing.expires}"
        return [Reason("app-filing-expired", text)]
    inside = (Relation.EQUAL, Relation.INSIDE)
    if filing.purposes and not any(
        relate_purposes(purpose, one, PURPOSES) in inside for one in filing.purposes
    ):
        text = f"app {app.id[:16]}… is filed for {', '.join(filing.purposes)}, not for {purpose}"
        return [Reason("app-filing-purpose", text[:1000])]
    return []
