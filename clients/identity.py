"""Who a node is: its folder, its keys, and what it knows of its space.

Parts are loaded together and checked to belong together; where they lie, says clients.folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clients.certificates import MAX_CERTIFICATE_BYTES, check_issued
from clients.errors import IdentityError
from clients.files import read_file, read_secret
from clients.folder import NodeConfig, NodePaths, load_config
from clients.keys import NodeKeys, load_keys, public_pem
from ledger.cosignature import Cosigner
from ledger.ed25519 import load_public_key
from ledger.errors import KeyRefused
from ledger.log import Log
from ledger.note import NoteSigner, NoteVerifier
from policies.canonical import Json
from policies.envelope import key_id, open_envelope
from policies.errors import SignatureError
from policies.space import SpaceCard

__all__ = [
    "NodeConfig",
    "NodeIdentity",
    "NodeKeys",
    "NodePaths",
    "assemble_identity",
    "load_config",
    "load_identity",
    "open_own_log",
    "own_log_name",
    "public_pem",
    "space_keys",
]


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
    def cosigner(self) -> Cosigner:
        """The key of its own log, as that of a witness of the space's."""
        return Cosigner(self.log_signer.name, self.keys.log)

    @property
    def receipt_key_id(self) -> str:
        """How permits name this node's receipt key."""
        return key_id(self.keys.receipt.public_key())

    def open_own(self, envelope: bytes, *, payload_type: str) -> Json:
        """The payload of a statement that this node signed, with its key of then or of now.

        Raises:
            DocumentError, SignatureError: malformed, or another's.
        """
        error: SignatureError | None = None
        former = [bytes.fromhex(key) for key in reversed(self.keys.former)]
        for key in (
            self.keys.receipt.public_key(),
            *(Ed25519PublicKey.from_public_bytes(one) for one in former),
        ):
            try:
                return open_envelope(envelope, payload_type=payload_type, key=key)
            except SignatureError as problem:
                error = error or problem
        assert error is not None
        raise error

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
                f"got one from {start} to {end}; check this machine's clock; if it expired, ask "
                "the operator for a new join file for this participant (tds space invite --again), "
                f"then: tds node renew --node {self.paths.root} --join FILE"
            )


def own_log_name(space: str, participant: str) -> str:
    """The origin of a node's own log."""
    return f"{space}/{participant}"


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
    """The space's permit key and the verifier of its log; its registrar's key is checked too.

    Raises:
        IdentityError: a key to refuse, or a log key that is not the space's.
    """
    try:
        permit_key = load_public_key(bytes.fromhex(space.permit_key))
        load_public_key(bytes.fromhex(space.registrar_key))
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
