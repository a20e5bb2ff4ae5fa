"""Signed notes with Ed25519 (C2SP signed-note, v1.0.0): text, an empty line, signature lines.

Invariants: one spelling of everything (names, base64, line ends); a note is read only together with
the keys it must be signed by; an empty list of keys is refused, for "signed by all of nobody" is
not a promise.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.ed25519 import KEY_BYTES, load_public_key, public_bytes
from ledger.errors import KeyRefused, NoteError

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_NAME_CHARS = 255

_ED25519 = b"\x01"  # signature type identifier
_HASH_BYTES = 4
_SIGNATURE_BYTES = 64
_DASH = "\u2014 "  # em dash, space


class NoteSigner:
    """A name and the private key that signs for it.

    Args:
        name: key name; a URL without schema is customary (`logs.example/space`).
        private: the key; it stays inside.

    Raises:
        KeyRefused: a name that no note can carry.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        raw = public_bytes(private.public_key())
        self._private = private
        self._verifier = NoteVerifier(
            name=_key_name(name), key_hash=_key_hash(name, raw), public=load_public_key(raw)
        )

    @property
    def name(self) -> str:
        """The key's name."""
        return self._verifier.name

    @property
    def verifier(self) -> NoteVerifier:
        """The other half, to check with."""
        return self._verifier

    @property
    def verifier_key(self) -> str:
        """The public key as people exchange it: `name+hash+base64`."""
        return self._verifier.text

    def sign(self, text: str) -> str:
        """One signature line over `text`, with its newline; `sign_note` makes the whole note."""
        raw = self._verifier.key_hash + self._private.sign(text.encode("utf-8"))
        return f"{_DASH}{self.name} {base64.b64encode(raw).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteVerifier:
    """A name and the public key that verifies for it; make one with `parse`.

    Args:
        name: key name.
        key_hash: the 4 bytes that, with the name, say whose a signature line is.
        public: the key.
    """

    name: str
    key_hash: bytes
    public: Ed25519PublicKey = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """A verifier from `name+hash+base64` (8 hexadecimal digits; type byte and key).

        Raises:
            KeyRefused: malformed, the hash is not this key's, or the key is one to refuse.
        """
        parts = text.split("+", 2)  # base64 may hold a plus itself
        if len(parts) != 3:
            raise KeyRefused(f"expected a key of the form name+hash+base64, got {text!r:.120}")
        name, hash_hex, encoded = _key_name(parts[0]), parts[1], parts[2]
        data = _decode(encoded)
        if data is None or len(data) != 1 + KEY_BYTES or data[:1] != _ED25519:
            raise KeyRefused(f"key {name}: expected base64 of byte 1 and 32 bytes, got {encoded!r}")
        key_hash = _key_hash(name, data[1:])
        if hash_hex != key_hash.hex():
            raise KeyRefused(f"key {name}: expected hash {key_hash.hex()}, got {hash_hex!r:.40}")
        return cls(name=name, key_hash=key_hash, public=load_public_key(data[1:]))

    @property
    def text(self) -> str:
        """The spelling that `parse` takes."""
        encoded = base64.b64encode(_ED25519 + public_bytes(self.public)).decode("ascii")
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"


def sign_note(text: str, signer: NoteSigner) -> str:
    """A note with one signature.

    Args:
        text: ends in a newline; no control characters but newlines.
        signer: who signs.

    Raises:
        NoteError: a text that no note can carry.
    """
    if not text.endswith("\n"):
        raise NoteError("note: expected a text that ends in a newline")
    _check_characters(text)
    note = f"{text}\n{signer.sign(text)}"
    _check_characters(note)
    return note


def open_note(note: str, verifiers: Sequence[NoteVerifier]) -> str:
    """The note's text, once every listed key is seen to have signed it.

    Signatures by other keys are ignored, as the format demands; a wrong one by a listed key is not.

    Args:
        note: the whole note.
        verifiers: whose signatures must be there; at least one.

    Raises:
        NoteError: malformed, or a listed key's signature is missing or wrong.
    """
    if not verifiers:
        raise NoteError("note: expected at least one key to check with, got none")
    text, signatures = _split(note)
    for verifier in verifiers:
        own = [raw for name, raw in signatures if name == verifier.name]
        own = [raw[_HASH_BYTES:] for raw in own if raw[:_HASH_BYTES] == verifier.key_hash]
        if not own:
            there = ", ".join(f"{name}+{raw[:_HASH_BYTES].hex()}" for name, raw in signatures)
            raise NoteError(
                f"note: expected a signature by {verifier.name}+{verifier.key_hash.hex()}, "
                f"got {there[:300]}"
            )
        for signature in own:
            try:
                verifier.public.verify(signature, text.encode("utf-8"))
            except InvalidSignature as error:
                raise NoteError(
                    f"note: the signature by {verifier.name} does not fit the text: "
                    "the note was changed after signing"
                ) from error
    return text


def add_signatures(note: str, lines: Sequence[str]) -> str:
    """The note with these signature lines after its own; those it has already are not repeated.

    Args:
        lines: each with its newline. They are not verified.

    Raises:
        NoteError: not a note, not signature lines, or more than a note can carry.
    """
    for line in lines:
        if not line.endswith("\n") or "\n" in line[:-1]:
            raise NoteError(f"note: expected a signature line with its newline, got {line!r:.120}")
        _signature(line[:-1])
    there = note.split("\n")
    fresh = [line for line in dict.fromkeys(lines) if line[:-1] not in there]
    grown = note + "".join(fresh)
    _split(grown)
    return grown


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text, and (key name, key hash with signature) of each line; nothing is verified yet."""
    _check_characters(note)
    end = note.rfind("\n\n")
    if end < 0 or not note.endswith("\n"):
        raise NoteError("note: expected a text, an empty line and signature lines")
    text, lines = note[: end + 1], note[end + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"note: expected at most {MAX_SIGNATURES} signatures, got {len(lines)}")
    return text, [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _decode(encoded)
    if not line.startswith(_DASH) or not _name_ok(name) or raw is None or len(raw) <= _HASH_BYTES:
        raise NoteError(f"note: expected a line '— name base64', got {line!r:.120}")
    return name, raw


def _check_characters(text: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise NoteError("note: expected Unicode text, got a lone surrogate") from error
    if size > MAX_NOTE_BYTES:
        raise NoteError(f"note: expected at most {MAX_NOTE_BYTES} bytes, got {size}")
    if any(char < " " and char != "\n" for char in text):
        raise NoteError("note: expected no control character but newline, got another")


def _name_ok(name: str) -> bool:
    return (
        0 < len(name) <= MAX_NAME_CHARS
        and "+" not in name
        and not any(char.isspace() or char < " " or "\ud800" <= char <= "\udfff" for char in name)
    )


def _key_name(name: str) -> str:
    if not _name_ok(name):
        raise KeyRefused(
            f"expected a key name of 1 to {MAX_NAME_CHARS} characters without spaces, plus or "
            f"control characters, got {name!r:.80}"
        )
    return name


def _key_hash(name: str, raw: bytes) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _ED25519 + raw).digest()[:_HASH_BYTES]


def _decode(encoded: str) -> bytes | None:
    """Standard base64 in its one spelling, else None."""
    try:
        raw = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode("ascii") == encoded else None
