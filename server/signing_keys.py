"""The space's own keys as files: PKCS #8 in PEM, without password, mode 0600."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from policies.errors import DocumentError
from policies.sealing import parse_private_disclosure_key
from server.errors import SpaceError
from server.files import read_secret


def key_file(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    """What a key's file holds."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in a file.

    Raises:
        SpaceError: missing, readable by others, or no such key.
    """
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SpaceError(f"{path}: expected an Ed25519 key in PEM, without password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SpaceError(f"{path}: expected an Ed25519 key, got {type(key).__name__}")
    return key


def load_disclosure_key(path: Path) -> X25519PrivateKey:
    """The X25519 key in a file; errors as `load_key`."""
    try:
        return parse_private_disclosure_key(read_secret(path))
    except DocumentError as error:
        raise SpaceError(f"{path}: {error}") from error
