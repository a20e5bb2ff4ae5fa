"""The keys that a node makes itself; they never leave its folder."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import TypeAdapter, ValidationError

from clients.errors import FileRefused, IdentityError
from clients.files import make_private_folder, read_file, read_secret, write_secret
from clients.folder import NodePaths
from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.fields import Sha256

SALT_BYTES: Final = 32
MAX_FORMER_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The keys that a node makes itself, before anybody has heard of it."""

    tls: ec.EllipticCurvePrivateKey = field(repr=False)
    receipt: Ed25519PrivateKey = field(repr=False)
    log: Ed25519PrivateKey = field(repr=False)
    fleet: ec.EllipticCurvePrivateKey = field(repr=False)
    salt: bytes = field(repr=False)
    disclosure: X25519PrivateKey = field(repr=False)
    former: tuple[str, ...] = ()  # public halves of receipt keys that were replaced, oldest first


def make_keys(paths: NodePaths) -> NodeKeys:
    """All keys, durable; what an earlier, interrupted call made is taken as it is.

    Raises:
        FileRefused, IdentityError: a file cannot be written, or is no such key.
    """
    for folder in (paths.root, paths.keys, paths.products, paths.agreements, paths.apps):
        make_private_folder(folder)
    for name in ("tls.key", "fleet.key"):
        tls_key(paths.key(name))
    for name in ("receipt.key", "log.key"):
        signing_key(paths.key(name))
    disclosure_key(paths.key("disclosure.key"))
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
        receipt=load_signing_key(paths.key("receipt.key")),
        log=load_signing_key(paths.key("log.key")),
        fleet=_load_ec(paths.key("fleet.key")),
        salt=salt,
        disclosure=load_disclosure_key(paths.key("disclosure.key")),
        former=load_former(paths),
    )


def load_former(paths: NodePaths) -> tuple[str, ...]:
    """Raw Ed25519 public keys, hexadecimal; IdentityError for a file that holds something else."""
    path = paths.key("receipt.former")
    if not path.exists():
        return ()
    try:
        found = parse_json(read_file(path, max_bytes=MAX_FORMER_BYTES), max_bytes=MAX_FORMER_BYTES)
        return tuple(TypeAdapter(list[Sha256]).validate_python(found, strict=True))
    except (DocumentError, ValidationError) as error:
        raise IdentityError(f"{path}: expected a JSON list of public keys") from error


def tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in a file, which is made if there is none; errors as `make_keys`."""
    if not path.exists():
        _write_key(path, ec.generate_private_key(ec.SECP256R1()))
    return _load_ec(path)


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in a file, likewise."""
    if not path.exists():
        _write_key(path, Ed25519PrivateKey.generate())
    return load_signing_key(path)


def disclosure_key(path: Path) -> X25519PrivateKey:
    """The X25519 key in a file, likewise."""
    if not path.exists():
        _write_key(path, X25519PrivateKey.generate())
    return load_disclosure_key(path)


def load_disclosure_key(path: Path) -> X25519PrivateKey:
    """The X25519 key in a file; errors as `load_keys`."""
    key = _load_key(path)
    if not isinstance(key, X25519PrivateKey):
        raise IdentityError(f"{path}: expected an X25519 key, got another kind of key")
    return key


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as SubjectPublicKeyInfo PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _write_key(
    path: Path, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey | X25519PrivateKey
) -> None:
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _load_ec(path: Path) -> ec.EllipticCurvePrivateKey:
    key = _load_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{path}: expected an EC key on P-256, got another kind of key")
    return key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in a file; errors as `load_keys`."""
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
