"""The registrar: signs a product's certificate, renews it, takes it back; an app's filing likewise.

The newest certificate for a product's newest version is the one that counts. Whether it stands is
decided anew in every round (`policies.refusals`).
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import Json
from policies.certificate import MAX_DAYS, Certificate, sign_certificate
from policies.entries import entry_bytes
from policies.fields import instant
from server import queries
from server.disclosing import Disclosing
from server.edge import Edge
from server.errors import BadInput, NotKnown
from server.journal import Journal

MAX_REASON: Final = 1000
CLOCK_STEP: Final = timedelta(minutes=5)
"""A certificate is valid from that much before its issue: clocks are set back a little at times."""


class Registrar:
    """Certificates and filings. What changes returns (log index, serial or app).

    Args:
        disclosing: keeps the reasons, which entries only commit to.
        space: its name, the issuer.
        key: signs certificates.
        auto: whether a product gets one as it is registered.
        days: how long a certificate is valid unless somebody asks for another time.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        disclosing: Disclosing,
        space: str,
        key: Ed25519PrivateKey,
        auto: bool,
        days: int,
        edge: Edge,
    ) -> None:
        self._journal = journal
        self._disclosing = disclosing
        self._space = space
        self._key = key
        self._auto = auto
        self._days = days
        self._edge = edge

    def at_registration(
        self, *, product: str, owner: str, digest: str, now: datetime
    ) -> list[bytes]:
        """The entry that follows a product's own in the same append; none if the space has its
        registrar decide on each, or the registrar took back the product's last certificate: an
        owner must not undo that by registering another version.

        Args:
            digest: of the product's card.
        """
        if not self._auto:
            return []
        with self._journal.reading() as connection:
            last = queries.last_certificate(connection, product)
        if last is not None and last.revocation_entry is not None:
            return []
        return [self._entry(product, owner, digest, self._days, now)[0]]

    def certify(self, product: str, days: int = 0) -> tuple[int, str]:
        """Issue a certificate for a product as it is registered; it takes the place of any before.

        Args:
            days: how long it is valid, from now; 0 is the space's own setting.

        Raises:
            BadInput: no number of days that a certificate can have.
            NotKnown: no such product.
        """
        if not 0 <= days <= MAX_DAYS:
            raise BadInput(f"days: expected 1 to {MAX_DAYS}, got {days}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                found = queries.product(connection, product)
            if found is None:
                raise NotKnown(f"product {product!r:.140}: expected a registered one")
            entry, serial = self._entry(
                found.id, found.participant, found.digest, days or self._days, self._edge.clock()
            )
            return self._journal.commit([entry], key=serial).first_index, serial

    def revoke(self, serial: str, reason: str) -> tuple[int, str]:
        """Take a certificate back, from the next round on. The first revocation counts: later ones
        get its index.

        Raises:
            BadInput: no reason, or one that is too long.
            NotKnown: no such certificate.
        """
        _check_reason(reason)
        with self._journal.writing():
            with self._journal.reading() as connection:
                found = queries.certificate(connection, serial)
            if found is None:
                raise NotKnown(f"certificate {serial!r:.80}: expected the serial of an issued one")
            if found.revocation_entry is not None:
                return found.revocation_entry, serial
            with self._journal.reading() as connection:
                owner = queries.product(connection, found.product)
            body: dict[str, Json] = {
                "product": found.product,
                "participant": owner.participant if owner is not None else "",
                "serial": serial,
                "reason": self._disclosing.commit_reason(
                    reason, about=owner.participant if owner is not None else ""
                ),
            }
            entry = entry_bytes("CertificateRevoked", time=instant(self._edge.clock()), body=body)
            return self._journal.commit([entry], key=f"revoke:{serial}").first_index, serial

    def revoke_filing(self, app: str, reason: str) -> tuple[int, str]:
        """Take an app's filing back, from the next round on. The first revocation counts: later
        ones get its index.

        Raises:
            BadInput: no reason, or one that is too long.
            NotKnown: no such app.
        """
        _check_reason(reason)
        with self._journal.writing():
            with self._journal.reading() as connection:
                found = queries.app(connection, app)
            if found is None:
                raise NotKnown(f"app {app[:64]!r}: expected the SHA-256 of a registered app")
            if found.filing_revocation_entry is not None:
                return found.filing_revocation_entry, app
            body: dict[str, Json] = {
                "app": app,
                "reason": self._disclosing.commit_reason(reason, about=""),
            }
            entry = entry_bytes("AppFilingRevoked", time=instant(self._edge.clock()), body=body)
            key = f"unfile:{app}:{found.filing_entry}"
            return self._journal.commit([entry], key=key).first_index, app

    def _entry(
        self, product: str, owner: str, digest: str, days: int, now: datetime
    ) -> tuple[bytes, str]:
        certificate = Certificate(
            version=1,
            serial=self._edge.new_id("certificate"),
            product=product,
            digest=digest,
            owner=owner,
            issuer=self._space,
            not_before=instant(now - CLOCK_STEP),
            not_after=instant(now + timedelta(days=days)),
        )
        body: dict[str, Json] = {
            "product": product,
            "serial": certificate.serial,
            "digest": digest,
            "owner": owner,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "envelope": base64.b64encode(sign_certificate(certificate, self._key)).decode(),
        }
        entry = entry_bytes("CertificateIssued", time=instant(now), body=body)
        return entry, certificate.serial


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= len(reason) <= MAX_REASON:
        raise BadInput(f"reason: expected 1 to {MAX_REASON} characters, got {len(reason)}")
