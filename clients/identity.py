"""Who a node is: its folder, its keys, and what it knows of its space.

The folder (0700) and what lies in it; keys are files of mode 0600 and never leave it:

    node.json             NodeConfig; written last by enrolment: without it the node is not enrolled
    ca.crt                the space's CA
    keys/tls.key .csr .crt   EC P-256: how governance knows the node
    keys/receipt.key      Ed25519: signs receipts, product cards, agreements, withdrawals
    keys/log.key          Ed25519: signs the checkpoints of the node's own log
    keys/fleet.key        EC P-256, a NIST curve as Flower asks: how the SuperLink knows the node
    keys/vault.salt       32 random bytes: salt of commitments to data (clients.vault)
    products/<id>.json    product files; agreements/<sha256>.json  agreements word for word
    apps/                 bundles that the owner looked at
    state.db              clients.state; ledger.db, last-signed, log/  the node's own log
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from pydantic import AfterValidator, Field

from clients.errors import FileRefused, IdentityError
from clients.files import make_private_folder, read_file, read_secret, replace_file, write_secret
from ledger.ed25519 import load_public_key
from ledger.errors import KeyRefused
from ledger.log import Log
from ledger.note import NoteSigner, NoteVerifier
from policies.canonical import parse_json
from policies.envelope import key_id
from policies.errors import DocumentError
from policies.fields import Document, Instant, ParticipantId
from policies.operands import OPERANDS
from policies.space import SpaceCard

MAX_CONFIG_BYTES = 32 * 1024
MAX_CERTIFICATE_BYTES = 64 * 1024
DEFAULT_POLL_MS = 50
SALT_BYTES = 32


def _place(text: str) -> str:
    pattern = OPERANDS["spatial"].pattern
    if pattern is None or not pattern.fullmatch(text):
        raise ValueError("an ISO 3166 code of a country or its region, such as CN or CN-SH")
    return text


Region = Annotated[str, AfterValidator(_place)]


class NodeConfig(Document):
    """`node.json`.

    Attributes:
        region: where this node processes data.
        space: as governance handed it out at enrolment.
        poll_ms: pause between two questions for messages, milliseconds.
        enrolled: when.
    """

    version: Literal[1]
    participant: ParticipantId
    region: Region
    space: SpaceCard
    poll_ms: Annotated[int, Field(ge=10, le=60_000)] = DEFAULT_POLL_MS
    enrolled: Instant


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where things lie in a node's folder."""

    root: Path

    @property
    def keys(self) -> Path:
        """Everything secret."""
        return self.root / "keys"

    def key(self, name: str) -> Path:
        """A file in `keys/`."""
        return self.keys / name

    @property
    def config(self) -> Path:
        """`node.json`."""
        return self.root / "node.json"

    @property
    def ca(self) -> Path:
        """The space's CA certificate."""
        return self.root / "ca.crt"

    @property
    def products(self) -> Path:
        """Product files."""
        return self.root / "products"

    @property
    def agreements(self) -> Path:
        """Agreements, word for word."""
        return self.root / "agreements"

    @property
    def apps(self) -> Path:
        """App bundles."""
        return self.root / "apps"

    @property
    def state(self) -> Path:
        """The node's database."""
        return self.root / "state.db"

    def product(self, product: str) -> Path:
        """The file of one product; ids hold `:` and `/`, which no file name should."""
        return self.products / f"{quote(product, safe='')}.json"


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The keys that a node makes itself, before anybody has heard of it."""

    tls: ec.EllipticCurvePrivateKey = field(repr=False)
    receipt: Ed25519PrivateKey = field(repr=False)
    log: Ed25519PrivateKey = field(repr=False)
    fleet: ec.EllipticCurvePrivateKey = field(repr=False)
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """An enrolled node whose parts were checked to belong together.

    Attributes:
        tls_key_pem, certificate_pem, ca_pem: for mutual TLS.
        permit_key: what a permit must be signed with.
        space_log: verifier of the space's log; its name is the space's name.
        log_signer: signs the node's own log.
    """

    paths: NodePaths
    config: NodeConfig
    keys: NodeKeys
    tls_key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    ca_pem: bytes
    permit_key: Ed25519PublicKey
    space_log: NoteVerifier
    log_signer: NoteSigner

    @property
    def participant(self) -> str:
        """The enterprise's name in the space."""
        return self.config.participant

    @property
    def receipt_key_id(self) -> str:
        """How permits name this node's receipt key."""
        return key_id(self.keys.receipt.public_key())

    def check_certificate(self, now: datetime) -> None:
        """Returns only while the node's certificate is valid.

        Not part of loading: an owner withdraws with an expired certificate, too.

        Raises:
            IdentityError: not yet valid, or expired.
        """
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not start <= now <= end:
            raise IdentityError(
                f"{self.paths.key('tls.crt')}: expected a certificate that is valid now ({now}), "
                f"got one from {start} to {end}; check this machine's clock, or ask the operator "
                "for a new invitation and enrol in a new folder"
            )


def own_log_name(space: str, participant: str) -> str:
    """The origin of a node's own log."""
    return f"{space}/{participant}"


def make_keys(paths: NodePaths) -> NodeKeys:
    """All keys, durable; what an earlier, interrupted call made is taken as it is.

    Raises:
        FileRefused, IdentityError: a file cannot be written, or is no such key.
    """
    for folder in (paths.root, paths.keys, paths.products, paths.agreements, paths.apps):
        make_private_folder(folder)
    for name in ("tls.key", "fleet.key"):
        if not paths.key(name).exists():
            _write_key(paths.key(name), ec.generate_private_key(ec.SECP256R1()))
    for name in ("receipt.key", "log.key"):
        if not paths.key(name).exists():
            _write_key(paths.key(name), Ed25519PrivateKey.generate())
    if not paths.key("vault.salt").exists():
        write_secret(paths.key("vault.salt"), secrets.token_bytes(SALT_BYTES))
    return load_keys(paths)


def load_keys(paths: NodePaths) -> NodeKeys:
    """The keys in the folder.

    Raises:
        FileRefused: one is missing, or open to other users.
        IdentityError: one is of another kind.
    """
    salt = read_secret(paths.key("vault.salt"))
    if len(salt) != SALT_BYTES:
        raise IdentityError(
            f"{paths.key('vault.salt')}: expected {SALT_BYTES} bytes, got {len(salt)}"
        )
    return NodeKeys(
        tls=_load_ec(paths.key("tls.key")),
        receipt=_load_ed25519(paths.key("receipt.key")),
        log=_load_ed25519(paths.key("log.key")),
        fleet=_load_ec(paths.key("fleet.key")),
        salt=salt,
    )


def signing_request(paths: NodePaths, keys: NodeKeys, participant: str) -> bytes:
    """The PEM request for the TLS key; kept, since enrolling again must send the same bytes."""
    path = paths.key("tls.csr")
    if path.exists():
        data = read_file(path, max_bytes=MAX_CERTIFICATE_BYTES)
        if _csr_fits(data, keys, participant):
            return data
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, participant)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    data = request.sign(keys.tls, hashes.SHA256()).public_bytes(Encoding.PEM)
    replace_file(path, data)
    return data


def check_issued(certificate_pem: bytes, *, ca_pem: bytes, tls: ec.EllipticCurvePrivateKey) -> None:
    """Returns only if this CA issued the certificate for this key.

    Raises:
        IdentityError: malformed, another key's, or another CA's.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        authority = x509.load_pem_x509_certificate(ca_pem)
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(
            "certificate: expected one that the space's CA issued, got another "
            f"({type(error).__name__}); enrol with the join file of this space"
        ) from error
    if _spki(certificate.public_key()) != _spki(tls.public_key()):
        raise IdentityError(
            "certificate: expected one for this node's keys/tls.key, got one for another key; "
            "restore the folder from one backup, not from several"
        )


def load_config(paths: NodePaths) -> NodeConfig:
    """`node.json`, strictly.

    Raises:
        IdentityError: absent (not enrolled) or malformed; the text names the field.
    """
    if not paths.config.exists():
        raise IdentityError(
            f"{paths.root}: expected an enrolled node's folder with node.json, got none; "
            "run: tds node new JOIN_FILE"
        )
    try:
        data = read_file(paths.config, max_bytes=MAX_CONFIG_BYTES)
        return NodeConfig.from_json(parse_json(data, max_bytes=MAX_CONFIG_BYTES))
    except DocumentError as error:
        raise IdentityError(f"{paths.config}: {error}") from error


def load_identity(folder: Path) -> NodeIdentity:
    """Everything in the folder, checked to belong together.

    Raises:
        FileRefused: a file is missing, too large, or a key is open to other users.
        IdentityError: parts that do not belong together; the text names them.
    """
    paths = NodePaths(folder.absolute())
    return assemble_identity(paths, load_config(paths))


def assemble_identity(paths: NodePaths, config: NodeConfig) -> NodeIdentity:
    """`load_identity` with a config that is not written yet; the same errors."""
    keys = load_keys(paths)
    space = config.space
    ca_pem = read_file(paths.ca, max_bytes=MAX_CERTIFICATE_BYTES)
    certificate_pem = read_file(paths.key("tls.crt"), max_bytes=MAX_CERTIFICATE_BYTES)
    if ca_pem != space.ca_pem.encode():
        raise IdentityError(f"{paths.ca}: expected the CA of node.json's space, got another")
    check_issued(certificate_pem, ca_pem=ca_pem, tls=keys.tls)
    permit_key, space_log = space_keys(space)
    return NodeIdentity(
        paths=paths,
        config=config,
        keys=keys,
        tls_key_pem=read_secret(paths.key("tls.key")),
        certificate_pem=certificate_pem,
        ca_pem=ca_pem,
        permit_key=permit_key,
        space_log=space_log,
        log_signer=NoteSigner(own_log_name(space.name, config.participant), keys.log),
    )


def space_keys(space: SpaceCard) -> tuple[Ed25519PublicKey, NoteVerifier]:
    """The space's permit key and the verifier of its log.

    Raises:
        IdentityError: a key to refuse, or a log key that is not the space's.
    """
    try:
        permit_key = load_public_key(bytes.fromhex(space.permit_key))
        verifier = NoteVerifier.parse(space.log_key)
    except KeyRefused as error:
        raise IdentityError(f"space {space.name}: {error}") from error
    if verifier.name != space.name:
        raise IdentityError(
            f"space {space.name}: expected a log key of that name, got one of {verifier.name}"
        )
    return permit_key, verifier


def open_own_log(identity: NodeIdentity) -> Log:
    """The node's own log; exactly one process may hold it (LogUnavailable otherwise)."""
    root = identity.paths.root
    return Log.open(
        folder=root / "log",
        database=root / "ledger.db",
        last_signed=root / "last-signed",
        signer=identity.log_signer,
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as SubjectPublicKeyInfo PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _load_ec(path: Path) -> ec.EllipticCurvePrivateKey:
    key = _load_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{path}: expected an EC key on P-256, got another kind of key")
    return key


def _load_ed25519(path: Path) -> Ed25519PrivateKey:
    key = _load_key(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path}: expected an Ed25519 key, got another kind of key")
    return key


def _load_key(path: Path) -> object:
    try:
        return load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"{path}: expected an unencrypted PEM private key") from error
    except FileRefused as error:
        if path.exists():
            raise
        raise IdentityError(f"{path}: expected a key, got no file; restore the folder") from error


def _csr_fits(data: bytes, keys: NodeKeys, participant: str) -> bool:
    try:
        request = x509.load_pem_x509_csr(data)
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return False
    return [name.value for name in names] == [participant] and (
        _spki(request.public_key()) == _spki(keys.tls.public_key())
    )


def _spki(key: object) -> bytes:
    """SubjectPublicKeyInfo of a public key; empty for a kind that has none."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
