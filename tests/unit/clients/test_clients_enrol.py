"""Enrolment: against a fake and against a real TLS server, cut off and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from clients.enrol import ask_governance, enrol
from clients.errors import (
    ClientError,
    EnrolmentFailed,
    FileRefused,
    GovernanceRefused,
    GovernanceUnavailable,
    IdentityError,
)
from clients.identity import NodeIdentity, load_identity, open_own_log
from ledger.note import NoteSigner, NoteVerifier
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.entries import parse_entry
from policies.fields import instant
from policies.governance_pb2_grpc import EnrolmentServicer, add_EnrolmentServicer_to_server
from policies.sealing import parse_disclosure_key
from policies.space import JoinFile, SpaceCard, enrolment_transcript

NOW = datetime.now(UTC).replace(microsecond=0)  # TLS looks at the real clock
SPACE = "space.example/demo"


class Authority:
    """A space's side of enrolment: its CA, its keys, and a token that works once."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
        self.permit = Ed25519PrivateKey.generate()
        self.registrar = Ed25519PrivateKey.generate()
        self.log = NoteSigner(SPACE, Ed25519PrivateKey.generate())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self.key.public_key(), self.name).add_extension(
            basic, critical=True
        )
        self.ca_pem = certificate.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.enrolment = "127.0.0.1:1"
        self.taken: bytes | None = None
        self.asked = 0

    def _builder(self, key: ec.EllipticCurvePublicKey, name: x509.Name) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=365))
        )

    def certify(self, key: ec.EllipticCurvePublicKey, name: str) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = self._builder(key, subject).add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def server_credentials(self, *, mutual: bool = False) -> grpc.ServerCredentials:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pair = [(pem, self.certify(key.public_key(), "governance"))]
        return grpc.ssl_server_credentials(
            pair, root_certificates=self.ca_pem if mutual else None, require_client_auth=mutual
        )

    def card(self, **changes: Any) -> SpaceCard:
        fields = {
            "version": 1,
            "name": SPACE,
            "permit_key": self.permit.public_key().public_bytes_raw().hex(),
            "log_key": self.log.verifier_key,
            "registrar_key": self.registrar.public_key().public_bytes_raw().hex(),
            "ca_pem": self.ca_pem.decode(),
            "governance": "127.0.0.1:1",
            "enrolment": self.enrolment,
            "superlink": "127.0.0.1:2",
            "created": instant(NOW),
        }
        return SpaceCard.from_json(fields | changes)

    def join(self, folder: Path, **changes: Any) -> Path:
        document = {
            "version": 1,
            "participant": "clinic-a",
            "token": "t" * 43,
            "expires": instant(NOW + timedelta(days=1)),
            "space": self.card().to_json(),
        }
        path = folder / "join.json"
        path.write_bytes(canonical_bytes(document | changes))
        return path

    def answer(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
        """What governance does: check every proof, take the token once, certify."""
        self.asked += 1
        transcript = enrolment_transcript(
            token=request.token,
            csr_pem=request.csr_pem,
            receipt_key=request.receipt_key,
            log_verifier_key=request.log_verifier_key,
            fleet_key_pem=request.fleet_key_pem,
            disclosure_key=request.disclosure_key,
        )
        parse_disclosure_key(request.disclosure_key)
        receipt_key = Ed25519PublicKey.from_public_bytes(request.receipt_key)
        receipt_key.verify(request.receipt_proof, transcript)
        fleet = load_pem_public_key(request.fleet_key_pem)
        assert isinstance(fleet, ec.EllipticCurvePublicKey)
        fleet.verify(request.fleet_proof, transcript, ec.ECDSA(hashes.SHA256()))
        NoteVerifier.parse(request.log_verifier_key.decode())
        csr = x509.load_pem_x509_csr(request.csr_pem)
        assert csr.is_signature_valid
        if self.taken not in (None, transcript):
            raise GovernanceRefused("the token was used", code="permission_denied")
        self.taken = transcript
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return pb.EnrolResponse(
            participant="clinic-a",
            certificate_pem=self.certify(key, "clinic-a"),
            space_json=canonical_bytes(self.card().to_json()),
        )

    def ask(self, _join: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
        return self.answer(request)

    def enrolled(self, folder: Path) -> NodeIdentity:
        join = self.join(folder)
        return enrol(folder / "node", join, region="CN-SH", now=NOW, ask=self.ask)


def test_an_enrolled_node_has_a_certificate_and_the_first_entry_of_its_log(tmp_path: Path) -> None:
    identity = Authority().enrolled(tmp_path)
    assert load_identity(tmp_path / "node").config == identity.config
    with open_own_log(identity) as log:
        entry = parse_entry(log.entry(0))
        assert log.size == 1
    assert (entry.type, entry.body["participant"]) == ("NodeCreated", "clinic-a")
    assert entry.body["receipt_key"] == identity.receipt_key_id


def test_an_enrolled_node_is_not_enrolled_again(tmp_path: Path) -> None:
    authority = Authority()
    authority.enrolled(tmp_path)
    with pytest.raises(EnrolmentFailed, match="enrolled node"):
        authority.enrolled(tmp_path)
    assert authority.asked == 1


class Crash(BaseException):
    """The process dies here."""


def crash_before(_authority: Authority, _request: pb.EnrolRequest) -> pb.EnrolResponse:
    raise Crash


def crash_after(authority: Authority, request: pb.EnrolRequest) -> pb.EnrolResponse:
    authority.answer(request)
    raise Crash


@pytest.mark.parametrize("crash", [crash_before, crash_after])
def test_an_enrolment_that_was_cut_off_goes_on_with_the_same_keys(
    tmp_path: Path, crash: Callable[[Authority, pb.EnrolRequest], pb.EnrolResponse]
) -> None:
    authority = Authority()
    join = authority.join(tmp_path)
    sent: list[bytes] = []

    def ask(_join: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
        sent.append(request.receipt_key + request.csr_pem)
        return crash(authority, request) if len(sent) == 1 else authority.answer(request)

    with pytest.raises(Crash):
        enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=ask)
    identity = enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=ask)
    assert sent[0] == sent[1]
    assert identity.participant == "clinic-a"


def test_a_crash_before_node_json_adds_no_second_first_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    join = authority.join(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("clients.enrol.canonical_bytes", lambda _value: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=authority.ask)
    identity = enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=authority.ask)
    with open_own_log(identity) as log:
        assert log.size == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"expires": instant(NOW)}, "expired"),
        ({"expires": "2026-13-01T00:00:00.000Z"}, "moment"),
        ({"token": "secret-but-short"}, "token"),
        ({"participant": "Clinic A"}, "participant"),
        ({"more": 1}, "more"),
        ({"version": 2}, "version"),
        ({"space": {}}, "space"),
    ],
)
def test_a_join_file_with_one_fault_is_refused_before_keys_are_made(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    authority = Authority()
    join = authority.join(tmp_path, **changes)
    with pytest.raises(EnrolmentFailed, match=text) as caught:
        enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=authority.ask)
    assert "secret-but-short" not in str(caught.value)
    assert not (tmp_path / "node").exists()
    assert authority.asked == 0


def test_a_join_file_that_is_missing_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="No such file"):
        enrol(tmp_path / "node", tmp_path / "absent", region="CN-SH", now=NOW)
    (tmp_path / "join.json").write_bytes(b"{")
    with pytest.raises(EnrolmentFailed, match="JSON"):
        enrol(tmp_path / "node", tmp_path / "join.json", region="CN-SH", now=NOW)


def test_a_region_that_agreements_cannot_name_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    with pytest.raises(EnrolmentFailed, match="ISO 3166"):
        enrol(tmp_path / "n", authority.join(tmp_path), region="Mars", now=NOW, ask=authority.ask)


def change(**fields: Any) -> Callable[[Authority, pb.EnrolResponse], None]:
    def apply(_authority: Authority, response: pb.EnrolResponse) -> None:
        for name, value in fields.items():
            setattr(response, name, value)

    return apply


def other_card(**fields: Any) -> Callable[[Authority, pb.EnrolResponse], None]:
    def apply(authority: Authority, response: pb.EnrolResponse) -> None:
        response.space_json = canonical_bytes(authority.card(**fields).to_json())

    return apply


def other_key(authority: Authority, response: pb.EnrolResponse) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    response.certificate_pem = authority.certify(stranger, "clinic-a")


def other_ca(_authority: Authority, response: pb.EnrolResponse) -> None:
    key = x509.load_pem_x509_certificate(response.certificate_pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    response.certificate_pem = Authority().certify(key, "clinic-a")


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (change(participant="clinic-b"), EnrolmentFailed, "clinic-b"),
        (change(space_json=b"{}"), EnrolmentFailed, "card"),
        (change(certificate_pem=b""), IdentityError, "CA issued"),
        (other_card(permit_key="ab" * 32), EnrolmentFailed, "permit_key"),
        (other_card(registrar_key="ab" * 32), EnrolmentFailed, "registrar_key"),
        (other_card(ca_pem="other"), EnrolmentFailed, "ca_pem"),
        (other_card(name="space.example/2"), EnrolmentFailed, "the name of"),
        (other_key, IdentityError, "another key"),
        (other_ca, IdentityError, "CA issued"),
    ],
)
def test_an_answer_that_does_not_fit_enrols_nobody(
    tmp_path: Path,
    fault: Callable[[Authority, pb.EnrolResponse], None],
    error: type[ClientError],
    text: str,
) -> None:
    authority = Authority()

    def ask(_join: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
        response = authority.answer(request)
        fault(authority, response)
        return response

    with pytest.raises(error, match=text):
        enrol(tmp_path / "node", authority.join(tmp_path), region="CN-SH", now=NOW, ask=ask)
    assert not (tmp_path / "node" / "node.json").exists()


def test_addresses_may_have_changed_since_the_invitation(tmp_path: Path) -> None:
    authority = Authority()
    join = authority.join(tmp_path)
    authority.enrolment = "127.0.0.1:9"
    identity = enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=authority.ask)
    assert identity.config.space.enrolment == "127.0.0.1:9"


class Service(EnrolmentServicer):  # type: ignore[misc]
    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolResponse:
        try:
            return self._authority.answer(request)
        except GovernanceRefused as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            raise


@pytest.mark.parametrize("ca", ["right", "wrong"])
def test_over_tls_only_the_ca_of_the_join_file_is_believed(tmp_path: Path, ca: str) -> None:
    authority, impostor = Authority(), Authority()
    server = grpc.server(ThreadPoolExecutor(1))
    add_EnrolmentServicer_to_server(Service(authority), server)
    credentials = (authority if ca == "right" else impostor).server_credentials()
    authority.enrolment = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        join = authority.join(tmp_path)
        if ca == "right":
            enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=ask_governance)
            with pytest.raises(EnrolmentFailed, match="the token was used"):
                enrol(tmp_path / "other", join, region="CN-SH", now=NOW, ask=ask_governance)
        else:
            with pytest.raises(GovernanceUnavailable, match="certificate"):
                enrol(tmp_path / "node", join, region="CN-SH", now=NOW, ask=ask_governance)
            assert authority.asked == 0
    finally:
        server.stop(None).wait()


def test_the_join_files_secret_stays_out_of_the_folder(tmp_path: Path) -> None:
    Authority().enrolled(tmp_path)
    kept = [path for path in (tmp_path / "node").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"t" * 43 in path.read_bytes()]
    assert json.loads((tmp_path / "node" / "node.json").read_bytes())["participant"] == "clinic-a"
