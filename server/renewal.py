"""A new certificate for who is enrolled: over its own connection, or by a second join file.

Neither is logged, since neither changes what the log says: the participant's name, role and keys
stay. Over the connection even the TLS key stays the one of the certificate that is used. A second
join file is for a certificate that expired; whoever comes with it proves to hold the keys that the
participant has now, which the one who only found the file cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from policies.disclosure import Profile
from server import queries
from server.edge import Edge
from server.enrolling import Keys
from server.errors import BadInput, CertificateError, NotAllowed, RuleBroken
from server.keys import key_digest, parse_csr
from server.pki import Authority, Identity, issue_client

AGAIN: Final = "again"
"""In an invitation, in place of who used it; never the digest of a request."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Certificates anew.

    Args:
        space: the space's name.
        authority: signs client certificates.
    """

    space: str
    authority: Authority
    edge: Edge

    def renew(self, caller: Identity, certificate_pem: bytes, csr_pem: bytes) -> bytes:
        """A certificate (PEM) of the caller's name and key that is valid from now on.

        Args:
            caller: an active participant, as the certificate names it (`Governance.admit`).
            certificate_pem: what the TLS handshake accepted.

        Raises:
            BadInput: no signing request, or one for another key.
        """
        try:
            asked = parse_csr(csr_pem)
        except CertificateError as error:
            raise BadInput(f"renewal: {error}") from error
        held = x509.load_pem_x509_certificate(certificate_pem).public_key()
        if not isinstance(held, ec.EllipticCurvePublicKey) or key_digest(asked) != key_digest(held):
            raise BadInput(
                "renewal: expected a request for the key of the certificate that you called with, "
                "got one for another key"
            )
        return issue_client(self.authority, asked, caller, now=self.edge.clock())


def require_again(
    connection: Connection, participant: str, role: str, profile: Profile | None
) -> None:
    """Returns only where a second join file makes sense.

    Raises:
        RuleBroken: not enrolled in this role, or not active.
        BadInput: a profile is stated; it stands in the log since the enrolment.
    """
    found = queries.participant(connection, participant)
    if found is None or found.role != role or not found.active:
        raise RuleBroken(
            f"participant {participant}: expected one that is enrolled as {role}, and active; "
            "invite a new one without --again"
        )
    if profile is not None:
        raise BadInput("invitation: expected no title or address for one that is enrolled already")


def require_enrolled_keys(connection: Connection, participant: str, keys: Keys) -> None:
    """Returns only for the keys that the participant has now; NotAllowed else."""
    found = queries.participant(connection, participant)
    if found is None or not found.active:
        raise NotAllowed(f"participant {participant} is not active; ask the operator")
    have = (found.receipt_key, found.log_key, found.fleet_key)
    if have != (keys.receipt, keys.log, keys.fleet) or found.receipt_key is None:
        raise NotAllowed(
            f"{participant}: expected the keys that it has in this space, got others; renew from "
            "the folder of the node that is enrolled"
        )
