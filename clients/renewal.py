"""A node's certificate, renewed in time.

It names the node to governance, and holds for a year. When a third of its life is left the running
node asks for the next one over the connection that the old one still opens, for the same key; the
new one is on the disk, whole, before it is used, and a crash leaves the one or the other, both
valid. What runs goes on: a task needs no connection to governance while it runs, calls under way
end on the connection that they began on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509

from clients.certificates import MAX_CERTIFICATE_BYTES, check_issued, signing_request
from clients.enrol import Ask, ask_governance, check_answer, enrolment_request, load_join
from clients.errors import ClientError, EnrolmentFailed, GovernanceRefused, IdentityError
from clients.files import read_file, replace_file
from clients.identity import NodeIdentity, load_identity

LOGGER = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 600.0
_DAY: Final = timedelta(days=1)


class RenewPort(Protocol):
    """What renewing asks of governance; `clients.governance.GovernanceClient` is one."""

    def renew_certificate(self, csr_pem: bytes) -> bytes:
        """A certificate for the caller's name and key; GovernanceError."""
        ...

    def use_certificate(self, certificate_pem: bytes) -> None:
        """Connect with this one from now on; calls under way are not cut off."""
        ...


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate holds."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, certificate_pem: bytes) -> Validity:
        """As a certificate says; IdentityError for what is none."""
        try:
            found = x509.load_pem_x509_certificate(certificate_pem)
        except ValueError as error:
            raise IdentityError("certificate: expected X.509 in PEM") from error
        return cls(found.not_valid_before_utc, found.not_valid_after_utc)

    def days_left(self, now: datetime) -> int:
        """Whole days; negative once it expired."""
        return (self.end - now) // _DAY

    def due(self, now: datetime) -> bool:
        """Whether a third of its life or less is left."""
        return self.end - now <= (self.end - self.start) / 3


def renew(identity: NodeIdentity, governance: RenewPort) -> bytes:
    """A new certificate for the same name and key, durable in the folder when it is returned.

    Raises:
        GovernanceError: none was given; the old one stands.
        IdentityError, FileRefused: what came is not it, or cannot be written; likewise.
    """
    paths = identity.paths
    csr = signing_request(paths.key("tls.csr"), identity.keys.tls, identity.participant)
    came = governance.renew_certificate(csr)
    check_issued(came, ca_pem=identity.ca_pem, tls=identity.keys.tls)
    held = read_file(paths.key("tls.crt"), max_bytes=MAX_CERTIFICATE_BYTES)
    if Validity.of(came).end <= Validity.of(held).end:
        raise IdentityError(
            "certificate: expected one that holds longer than the one that this node has "
            f"({Validity.of(held).end}), got one until {Validity.of(came).end}; check the clocks"
        )
    replace_file(paths.key("tls.crt"), came)
    return came


def renew_by_join_file(
    folder: Path, join_file: Path, *, now: datetime, ask: Ask = ask_governance
) -> NodeIdentity:
    """A new certificate where the old one expired: by a join file that the operator made anew for
    this node (`tds space invite --again`), with the keys that the node has. May be called again.

    Raises:
        EnrolmentFailed: an expired or malformed join file, one for another participant or space,
            or governance refused.
        FileRefused, IdentityError, GovernanceError
    """
    identity = load_identity(folder)
    join = load_join(join_file, now=now)
    if join.participant != identity.participant or join.space.name != identity.config.space.name:
        raise EnrolmentFailed(
            f"{join_file}: expected a join file for {identity.participant} of space "
            f"{identity.config.space.name}, got one for {join.participant} of {join.space.name}; "
            "ask the operator for: tds space invite --again"
        )
    request = enrolment_request(join, paths=identity.paths, keys=identity.keys)
    try:
        response = ask(join, request)
    except GovernanceRefused as error:
        raise EnrolmentFailed(
            f"{join_file}: governance gave no certificate ({error}); ask the operator for a new "
            "join file for this participant: tds space invite --again"
        ) from error
    check_answer(response, join=join, tls=identity.keys.tls)
    replace_file(identity.paths.key("tls.crt"), response.certificate_pem)
    return load_identity(folder)


class Renewal:
    """The running node's: looks now and then, renews when due, uses what another process renewed.

    Args:
        governance: whose connection is made anew.
        say: a line for the owner at each change.
        clock: aware UTC now.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        governance: RenewPort,
        *,
        say: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._identity = identity
        self._governance = governance
        self._say = say
        self._clock = clock
        self._used = identity.certificate_pem
        self._told = ""

    def run(self, stop: threading.Event, *, every_s: float = LOOK_EVERY_S) -> None:
        """Look at once and then every `every_s` seconds until stopped."""
        while True:
            self.look()
            if stop.wait(every_s):
                return

    def look(self) -> None:
        """Renew if it is due; never raises what another look may heal."""
        try:
            self._adopt()
            if Validity.of(self._used).due(self._clock()):
                renew(self._identity, self._governance)
                self._adopt()
        except ClientError as problem:
            self._tell(self._warning(problem))

    def _adopt(self) -> None:
        """Use the certificate on the disk, which `tds node renew` may have put there."""
        path = self._identity.paths.key("tls.crt")
        found = read_file(path, max_bytes=MAX_CERTIFICATE_BYTES)
        if found == self._used:
            return
        check_issued(found, ca_pem=self._identity.ca_pem, tls=self._identity.keys.tls)
        self._governance.use_certificate(found)
        self._used = found
        self._tell(f"certificate renewed until {Validity.of(found).end:%Y-%m-%d}")

    def _warning(self, problem: ClientError) -> str:
        held, now = Validity.of(self._used), self._clock()
        if held.end < now:
            return (
                f"THE CERTIFICATE EXPIRED on {held.end:%Y-%m-%d}: governance no longer talks to "
                f"this node; {EXPIRED_HELP}"
            )
        return (
            f"the certificate could not be renewed, {held.days_left(now)} days are left "
            f"({problem}); it is tried again"
        )

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._say(line)


EXPIRED_HELP: Final = (
    "ask the operator for a new join file for this participant (tds space invite --again), then: "
    "tds node renew --node FOLDER --join FILE"
)
