"""Whether what was registered and agreed may be used now, as typed reasons against it.

Asked when a run is opened and again in every round; nothing is remembered in between. Governance
asks it of its registry, an auditor of the log, and both get the same words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from policies.certificate import validity
from policies.claim import Claim, Filed
from policies.fields import parse_instant
from policies.relations import PURPOSES, Relation, relate_purposes
from policies.results import Reason
from policies.statements import AppFiling

CertificateState = Literal["missing", "revoked", "not-yet-valid", "expired", "valid"]
FilingState = Literal["revoked", "expired", "valid"]

RUN_ENDED: Final = "run-ended"
WITHDRAWN: Final = "consent-withdrawn"
PASSED_OVER: Final = (WITHDRAWN, RUN_ENDED)
"""Codes of transfer steps that stop nobody: a consent that ended is a reason of its own, and what
ended with the run before it was resumed begins anew."""
HELD: Final = ("SUSPENDED", "COMPLETED", "TERMINATED")
"""States of a transfer process in which its run may not use the data."""


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


def claim_reasons(
    claim: Claim, app_facts: Sequence[Reason], online: bool, now: datetime
) -> list[Reason]:
    """Why a claim is refused before its policy is asked; empty if it is not.

    Args:
        app_facts: what stands against the run's app.
        online: whether the owner's node is.
    """
    facts: list[Reason] = []
    if not claim.active:
        facts.append(Reason("participant-inactive", f"{claim.participant} is not active"))
    facts += certificate_reasons(claim, now)
    facts += app_facts
    if claim.withdrawn is not None:
        text = f"{claim.participant} withdrew its consent at {claim.withdrawn}"
        facts.append(Reason(WITHDRAWN, text))
    if not online:
        facts.append(Reason("offline", f"the node of {claim.participant} is not online"))
    return facts


def held_reason(*, id: str, by: str, state: str, entry: int, reason: str) -> Reason:
    """Why a transfer process that is not STARTED stops its run's use of one agreement."""
    why = f": {reason}" if reason else ""
    return Reason(f"transfer-{state.lower()}", f"the {by} made {id} {state} (entry {entry}){why}")


def disagreement_reason(ours: str, engine: str, theirs: str) -> Reason:
    """Why somebody is refused about whom two engines said different things."""
    text = f"our evaluator says {ours}, {engine} says {theirs}; the log has the alarm"
    return Reason("engines-disagree", text)


def app_reasons(app: Filed | None, id: str, purpose: str, now: datetime) -> list[Reason]:
    """Why an app may not run for a purpose now; empty if it may.

    Args:
        app: as registered; None where `id` is not.
    """
    if app is None:
        return [Reason("app-unregistered", f"app {id} is not registered")]
    return filing_reasons(app, purpose, now)


def filing_of(app: Filed) -> AppFiling:
    """An app's newest filing."""
    return _filing(app.filing)


@lru_cache(maxsize=256)
def _filing(text: str) -> AppFiling:
    return AppFiling.from_json(json.loads(text))


def filing_state(app: Filed, now: datetime) -> FilingState:
    """How an app's newest filing stands."""
    if app.filing_revoked is not None:
        return "revoked"
    expires = filing_of(app).expires
    return "expired" if expires is not None and now >= parse_instant(expires) else "valid"


def filing_reasons(app: Filed, purpose: str, now: datetime) -> list[Reason]:
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
