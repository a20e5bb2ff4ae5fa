"""A node's certificate: when the next one is asked for, what is taken, what its owner reads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from test_clients_enrol import NOW, Authority

from clients.errors import EnrolmentFailed, GovernanceRefused, GovernanceUnavailable, IdentityError
from clients.files import replace_file
from clients.identity import NodeIdentity, load_identity
from clients.renewal import EXPIRED_HELP, Renewal, Validity, renew, renew_by_join_file
from policies import governance_pb2 as pb
from policies.fields import instant
from policies.space import JoinFile

YEAR = timedelta(days=365)


@dataclass
class Space:
    """A node in a space whose clock stands where the test sets it."""

    authority: Authority
    identity: NodeIdentity
    now: datetime = NOW
    problem: Exception | None = None
    used: list[bytes] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    valid: timedelta = YEAR
    other: ec.EllipticCurvePublicKey | None = None

    def renew_certificate(self, csr_pem: bytes) -> bytes:
        if self.problem is not None:
            raise self.problem
        request = x509.load_pem_x509_csr(csr_pem)
        assert request.is_signature_valid
        key = self.other or request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return self.certify(key)

    def certify(self, key: ec.EllipticCurvePublicKey) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.authority.name)
            .issuer_name(self.authority.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + self.valid)
        )
        return builder.sign(self.authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def use_certificate(self, certificate_pem: bytes) -> None:
        self.used.append(certificate_pem)

    def renewal(self) -> Renewal:
        return Renewal(self.identity, self, say=self.said.append, clock=lambda: self.now)

    def on_disk(self) -> bytes:
        return self.identity.paths.key("tls.crt").read_bytes()


@pytest.fixture
def space(tmp_path: Path) -> Space:
    authority = Authority()
    return Space(authority, authority.enrolled(tmp_path))


@pytest.mark.parametrize(
    ("days", "due"), [(0, False), (200, False), (242, False), (244, True), (364, True), (400, True)]
)
def test_it_is_due_when_a_third_of_its_life_is_left(space: Space, days: int, due: bool) -> None:
    held = Validity.of(space.identity.certificate_pem)
    assert held.due(NOW + timedelta(days=days)) is due


def test_the_running_node_renews_in_time_and_goes_on_with_the_new_one(space: Space) -> None:
    renewal = space.renewal()
    renewal.look()
    assert (space.used, space.said) == ([], [])
    space.now += timedelta(days=300)
    renewal.look()
    assert space.used == [space.on_disk()] != [space.identity.certificate_pem]
    assert space.said == [f"certificate renewed until {space.now + YEAR:%Y-%m-%d}"]
    assert load_identity(space.identity.paths.root).certificate_pem == space.on_disk()
    renewal.look()
    assert len(space.used) == 1


def test_what_another_process_renewed_is_used(space: Space) -> None:
    renewal = space.renewal()
    space.now += timedelta(days=1)
    renew(space.identity, space)
    renewal.look()
    assert space.used == [space.on_disk()]


def test_while_governance_is_away_it_is_told_once_a_change_and_tried_again(space: Space) -> None:
    renewal = space.renewal()
    space.now += timedelta(days=300)
    space.problem = GovernanceUnavailable("away")
    for _ in range(3):
        renewal.look()
    space.now += timedelta(days=1)
    renewal.look()
    space.now += timedelta(days=100)
    renewal.look()
    space.problem = None
    renewal.look()
    assert space.said == [
        "the certificate could not be renewed, 65 days are left (away); it is tried again",
        "the certificate could not be renewed, 64 days are left (away); it is tried again",
        f"THE CERTIFICATE EXPIRED on {NOW + YEAR:%Y-%m-%d}: governance no longer talks to this "
        f"node; {EXPIRED_HELP}",
        f"certificate renewed until {space.now + YEAR:%Y-%m-%d}",
    ]


def test_a_certificate_that_does_not_fit_is_not_kept(space: Space) -> None:
    before = space.on_disk()
    space.other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(IdentityError, match="for another key"):
        renew(space.identity, space)
    space.other, space.valid = None, timedelta(days=3)
    with pytest.raises(IdentityError, match="holds longer"):
        renew(space.identity, space)
    assert space.on_disk() == before


def test_one_of_another_ca_on_the_disk_is_not_used(space: Space) -> None:
    renewal = space.renewal()
    other = Authority().certify(space.identity.keys.tls.public_key(), "clinic-a")
    replace_file(space.identity.paths.key("tls.crt"), other)
    renewal.look()
    assert space.used == []
    assert "CA issued" in space.said[0]


def test_it_looks_at_once_and_ends_when_stopped(space: Space) -> None:
    space.now += timedelta(days=300)
    stop = threading.Event()
    stop.set()
    space.renewal().run(stop)
    assert len(space.used) == 1


# -- by a join file ------------------------------------------------------------------------------


def test_an_expired_node_gets_a_certificate_for_a_new_join_file(
    space: Space, tmp_path: Path
) -> None:
    join = space.authority.join(tmp_path, token="u" * 43)
    sent: list[pb.EnrolRequest] = []

    def ask(_: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
        sent.append(request)
        space.authority.taken = None
        return space.authority.answer(request)

    found = renew_by_join_file(space.identity.paths.root, join, now=NOW, ask=ask)
    assert found.certificate_pem == space.on_disk() != space.identity.certificate_pem
    assert sent[0].receipt_key == space.identity.keys.receipt.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"participant": "clinic-b"}, "expected a join file for clinic-a"),
        ({"expires": instant(NOW)}, "expired"),
    ],
)
def test_a_join_file_of_another_or_an_old_one_is_refused(
    space: Space, tmp_path: Path, changes: dict[str, str], text: str
) -> None:
    join = space.authority.join(tmp_path, **changes)
    with pytest.raises(EnrolmentFailed, match=text):
        renew_by_join_file(space.identity.paths.root, join, now=NOW, ask=space.authority.ask)


def test_a_refusal_says_what_to_ask_the_operator_for(space: Space, tmp_path: Path) -> None:
    def ask(_: JoinFile, _request: pb.EnrolRequest) -> pb.EnrolResponse:
        raise GovernanceRefused("expected a token that is known", code="permission_denied")

    before = space.on_disk()
    join = space.authority.join(tmp_path)
    with pytest.raises(EnrolmentFailed, match="tds space invite --again"):
        renew_by_join_file(space.identity.paths.root, join, now=NOW, ask=ask)
    assert space.on_disk() == before
