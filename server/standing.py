"""Whether what was registered may be used now: certificates and filings, as typed reasons.

Asked when a run is opened and again in every round; nothing is remembered in between.
"""

from __future__ import annotations

from datetime import datetime

from policies.certificate import validity
from policies.results import Reason
from server.queries import Claim


def certificate_reasons(claim: Claim, now: datetime) -> list[Reason]:
    """Why a product's certificate does not let it be used; empty if it stands.

    Codes: certificate-missing, -revoked, -not-yet-valid, -expired.
    """
    start, end = claim.not_before, claim.not_after
    if start is None or end is None:
        text = f"version {claim.data_version} of {claim.product} has no certificate"
        return [Reason("certificate-missing", f"{text}; the registrar issues one")]
    if claim.revoked is not None:
        text = f"the certificate {claim.serial} was revoked at {claim.revoked}"
        return [Reason("certificate-revoked", text)]
    found = validity(start, end, now)
    if found == "not-yet-valid":
        return [Reason("certificate-not-yet-valid", f"{claim.serial} is valid from {start} on")]
    if found == "expired":
        return [Reason("certificate-expired", f"{claim.serial} was valid until {end}")]
    return []
