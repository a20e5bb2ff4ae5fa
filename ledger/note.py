"""Signed notes with Ed25519 (C2SP signed-note, v1.0.0): text, an empty line, signature lines.

Two types of signature are known: a log's own (0x01) and a witness's timestamped cosignature (0x04,
`ledger.cosignature`). A key is its name and the hash of name, type and public key: keys may share
either one.

Invariants: one spelling of everything (names, base64, line ends); a note is read only together with
the keys it must be signed by; an empty list of keys is refused, for "signed by all of nobody" is
not a promise. A note of more than `MAX_SIGNATURES` lines is refused unread, as the format allows
(it asks for at least 16).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.ed25519 import KEY_BYTES, load_public_key, public_bytes
from ledger.errors import KeyRefused, NoteError

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_NAME_CHARS = 255

MAX_TIMESTAMP = 2**63 - 1  # of a cosignature, POSIX seconds

_HASH_BYTES = 4
_TIMESTAMP_BYTES = 8
_DASH = "\u2014 "  # em dash, space


class SignatureType(IntEnum):
    """Type identifier bytes of C2SP signed-note."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


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
            name=_key_name(name),
            key_hash=key_hash(name, SignatureType.ED25519, raw),
            public=load_public_key(raw),
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
        raw = self._private.sign(text.encode("utf-8"))
        return SignatureLine(self.name, self._verifier.key_hash, raw).text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoteVerifier:
    """A name and the public key that verifies for it; make one with `parse`.

    Equal are those of one name, type and public key: the hash is short, and can be made to fit.

    Args:
        name: key name.
        key_hash: the 4 bytes that, with the name, say whose a signature line is.
        public: the key.
        kind: what it signs.
    """

    name: str
    key_hash: bytes
    public: Ed25519PublicKey
    kind: SignatureType = SignatureType.ED25519

    @classmethod
    def parse(cls, text: str, kind: SignatureType = SignatureType.ED25519) -> NoteVerifier:
        """A verifier from `name+hash+base64` (8 hexadecimal digits; type byte and key).

        Args:
            kind: the only type that is taken here: a log's key is no witness's.

        Raises:
            KeyRefused: malformed, of another type, the hash is not this key's, or the key is one
                to refuse.
        """
        parts = text.split("+", 2)  # base64 may hold a plus itself
        if len(parts) != 3:
            raise KeyRefused(f"expected a key of the form name+hash+base64, got {text!r:.120}")
        name, hash_hex, encoded = _key_name(parts[0]), parts[1], parts[2]
        data = decode_base64(encoded)
        if data is None or len(data) != 1 + KEY_BYTES or data[0] != kind:
            raise KeyRefused(
                f"key {name}: expected base64 of byte {int(kind)} and 32 bytes, got {encoded!r:.80}"
            )
        expected = key_hash(name, kind, data[1:])
        if hash_hex != expected.hex():
            raise KeyRefused(f"key {name}: expected hash {expected.hex()}, got {hash_hex!r:.40}")
        return cls(name=name, key_hash=expected, public=load_public_key(data[1:]), kind=kind)

    @property
    def text(self) -> str:
        """The spelling that `parse` takes."""
        raw = bytes([self.kind]) + public_bytes(self.public)
        return f"{self.id}+{base64.b64encode(raw).decode('ascii')}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoteVerifier) and self.text == other.text

    def __hash__(self) -> int:
        return hash((self.name, self.key_hash))

    @property
    def id(self) -> str:
        """Name and key hash, for people."""
        return f"{self.name}+{self.key_hash.hex()}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Returns only if this key made the signature (a line's bytes after the hash) over `text`.

        Returns:
            A cosignature's time in POSIX seconds; None for a log's signature, which has none.

        Raises:
            NoteError: it did not.
        """
        message, time = text.encode("utf-8"), None
        if self.kind is SignatureType.COSIGNATURE:
            time = int.from_bytes(signature[:_TIMESTAMP_BYTES], "big")
            signature = signature[_TIMESTAMP_BYTES:]
            if time > MAX_TIMESTAMP:
                raise NoteError(f"note: expected a time below 2^63 by {self.name}, got {time}")
            message = cosigned_message(text, time)
        try:
            self.public.verify(signature, message)
        except InvalidSignature as error:
            raise NoteError(
                f"note: the signature by {self.name} does not fit the text: "
                "the note was changed after signing"
            ) from error
        return time


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature as it stands in a note; nothing is verified yet.

    Args:
        name, key_hash: whose it says it is.
        signature: what follows the hash.
    """

    name: str
    key_hash: bytes
    signature: bytes

    def is_by(self, verifier: NoteVerifier) -> bool:
        """Whether it says it is this key's."""
        return self.name == verifier.name and self.key_hash == verifier.key_hash

    @property
    def text(self) -> str:
        """The line, with its newline."""
        encoded = base64.b64encode(self.key_hash + self.signature).decode("ascii")
        return f"{_DASH}{self.name} {encoded}\n"


def cosigned_message(text: str, time: int) -> bytes:
    """What cosignature/v1 signs over a note's text (C2SP tlog-cosignature)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


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
    text, lines = split_note(note)
    for verifier in verifiers:
        own = [line.signature for line in lines if line.is_by(verifier)]
        if not own:
            there = ", ".join(f"{line.name}+{line.key_hash.hex()}" for line in lines)
            raise NoteError(
                f"note: expected a signature by {verifier.id}, got {there[:300] or 'none'}"
            )
        for signature in own:
            verifier.verify(text, signature)
    return text


def add_signatures(note: str, lines: Sequence[str]) -> str:
    """The note with these signature lines after its own; a key that signed it keeps its first line.

    Args:
        lines: each with its newline. They are not verified.

    Raises:
        NoteError: not a note, not signature lines, or more than a note can carry.
    """
    _, there = split_note(note)
    signed = {(line.name, line.key_hash) for line in there}
    grown = [note]
    for text in lines:
        if not text.endswith("\n"):
            raise NoteError(f"note: expected a signature line with its newline, got {text!r:.120}")
        line = parse_signature(text[:-1])
        if (line.name, line.key_hash) not in signed:
            signed.add((line.name, line.key_hash))
            grown.append(text)
    made = "".join(grown)
    split_note(made)
    return made


def only_by(note: str, verifier: NoteVerifier) -> str:
    """The note with this key's lines alone, verified by nobody.

    Raises:
        NoteError: malformed.
    """
    text, lines = split_note(note)
    return f"{text}\n" + "".join(line.text for line in lines if line.is_by(verifier))


def split_note(note: str) -> tuple[str, list[SignatureLine]]:
    """Text and signature lines of a well-formed note; nothing is verified: see `open_note`.

    Raises:
        NoteError: malformed, too large, or too many lines.
    """
    _check_characters(note)
    end = note.rfind("\n\n")
    if end < 0 or not note.endswith("\n"):
        raise NoteError("note: expected a text, an empty line and signature lines")
    text, lines = note[: end + 1], note[end + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"note: expected at most {MAX_SIGNATURES} signatures, got {len(lines)}")
    return text, [parse_signature(line) for line in lines]


def parse_signature(line: str) -> SignatureLine:
    """A signature line without its newline.

    Raises:
        NoteError: not the one spelling of one.
    """
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = decode_base64(encoded)
    if not line.startswith(_DASH) or not _name_ok(name) or raw is None or len(raw) <= _HASH_BYTES:
        raise NoteError(f"note: expected a line '— name base64', got {line!r:.120}")
    return SignatureLine(name, raw[:_HASH_BYTES], raw[_HASH_BYTES:])


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


def key_hash(name: str, kind: SignatureType, raw: bytes) -> bytes:
    """The 4 bytes that, with the name, identify a key in signature lines."""
    data = name.encode("utf-8") + b"\n" + bytes([kind]) + raw
    return hashlib.sha256(data).digest()[:_HASH_BYTES]


def decode_base64(encoded: str) -> bytes | None:
    """Standard base64 in its one spelling, else None."""
    try:
        raw = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode("ascii") == encoded else None
