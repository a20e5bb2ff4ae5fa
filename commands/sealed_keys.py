"""Keys under a passphrase: how a backup carries them.

scrypt (RFC 7914) makes a key of the passphrase, AES-256-GCM (SP 800-38D) seals all files as one. A
wrong passphrase and a changed byte look the same: nothing is opened. Whoever has the sealed file
may try passphrases at about half a second each; one of six random words outlasts that.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import Field

from commands.errors import BadInput, CommandFailed
from commands.private_file import read_private
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Document, Version

MAX_SEALED_BYTES: Final = 4 << 20
MIN_PASSPHRASE_CHARS: Final = 12
MAX_PASSPHRASE_BYTES: Final = 1024
_COST: Final = 1 << 17  # OWASP's first choice for scrypt: N = 2^17, r = 8, p = 1 (128 MiB)
_BLOCK: Final = 8
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=MAX_SEALED_BYTES)]


class SealedKeys(Document):
    """The sealed file.

    Attributes:
        kdf: the one function known; its costs are constants of this version.
        salt, nonce: random, used for this file only; base64.
        sealed: base64 of the files' JSON, with the tag.
    """

    version: Version
    kdf: Literal["scrypt-n17-r8-p1"]
    salt: _Base64
    nonce: _Base64
    sealed: _Base64 = Field(repr=False)


def seal_keys(files: Mapping[str, bytes], passphrase: str, *, about: str, random: bytes) -> bytes:
    """The files, sealed.

    Args:
        about: what they belong to; only with the same text are they opened again.
        random: 28 random bytes, never used before.

    Raises:
        BadInput: more than fits.
    """
    if len(random) != _SALT_BYTES + _NONCE_BYTES:
        raise ValueError(f"random: expected 28 bytes, got {len(random)}")
    salt, nonce = random[:_SALT_BYTES], random[_SALT_BYTES:]
    plain = canonical_bytes(
        {name: base64.b64encode(data).decode() for name, data in sorted(files.items())}
    )
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, about.encode())
    if len(sealed) > MAX_SEALED_BYTES // 2:
        raise BadInput(f"keys: expected at most {MAX_SEALED_BYTES // 2} bytes, got {len(sealed)}")
    return canonical_bytes(
        SealedKeys(
            version=1,
            kdf="scrypt-n17-r8-p1",
            salt=base64.b64encode(salt).decode(),
            nonce=base64.b64encode(nonce).decode(),
            sealed=base64.b64encode(sealed).decode(),
        ).to_json()
    )


def open_keys(data: bytes, passphrase: str, *, about: str) -> dict[str, bytes]:
    """The files again.

    Raises:
        BadInput: not such a file.
        CommandFailed: another passphrase, or changed since.
    """
    try:
        found = SealedKeys.from_json(parse_json(data, max_bytes=MAX_SEALED_BYTES))
        salt, nonce, sealed = (
            base64.b64decode(text, validate=True)
            for text in (found.salt, found.nonce, found.sealed)
        )
    except (DocumentError, binascii.Error) as error:
        raise BadInput(f"sealed keys: {error}") from error
    if (len(salt), len(nonce)) != (_SALT_BYTES, _NONCE_BYTES):
        raise BadInput("sealed keys: expected a salt of 16 bytes and a nonce of 12")
    try:
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, about.encode())
    except InvalidTag as error:
        raise CommandFailed(
            "sealed keys: expected the passphrase that the backup was made with, and an unchanged "
            "file, got another of one of the two; nothing was restored"
        ) from error
    files = parse_json(plain, max_bytes=MAX_SEALED_BYTES)
    if not isinstance(files, dict):
        raise BadInput("sealed keys: expected files by name")
    return {name: base64.b64decode(str(text)) for name, text in files.items()}


def read_passphrase(file: Path | None, *, again: bool) -> str:
    """The passphrase, from a file (mode 0600; its first line) or asked on the terminal.

    Args:
        again: ask twice, since nobody can open what was sealed with a slip of the hand.

    Raises:
        BadInput: no terminal to ask on, two different answers, or too short a one.
    """
    if file is not None:
        where = str(file)
        try:
            text = read_private(file, MAX_PASSPHRASE_BYTES).decode("utf-8").partition("\n")[0]
        except UnicodeDecodeError as error:
            raise BadInput(f"{file}: expected a passphrase in UTF-8, got other bytes") from error
    elif sys.stdin.isatty():
        where, text = "passphrase", getpass("Passphrase for the keys: ")
        if again and getpass("Once more: ") != text:
            raise BadInput("passphrase: expected the same twice; nothing was written")
    else:
        raise BadInput("passphrase: expected a terminal to ask on; else give --passphrase-file")
    if len(text) < MIN_PASSPHRASE_CHARS:
        raise BadInput(
            f"{where}: expected a passphrase of at least {MIN_PASSPHRASE_CHARS} characters, got "
            f"{len(text)}; six random words are a good one"
        )
    return text


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=1).derive(passphrase.encode())
