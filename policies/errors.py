"""Everything the `policies` package raises.

PolicyError
├── DocumentError    bytes that are no document of ours: too large, malformed, unknown field
├── SignatureError   an envelope that nobody we know signed, or that was changed
├── AccountError     a reservation that does not fit its account
├── EncodingError    what cannot be encoded for a secure sum, or is no sum of what was encoded
├── MaskKeyError     a key that a mask cannot be made with
├── PrivacyError     a privacy loss, ε, δ or noise that cannot be
├── SealError        a disclosure that a key does not open, or that opens no commitment of the log
└── SecureSumError   a step of a secure sum that must not be taken
    ├── OutOfTurn          asked before its time, or again
    ├── WrongPermit        a message of another permit
    ├── UnknownPeer        a participant outside the cohort, or outside those who shared
    ├── TooFew             fewer than the threshold
    ├── NotSigned          keys or an agreement without the signature of their participant
    ├── KeyRepeated        a one-time key that stands in two places
    ├── ShareNotOpened     a share that does not decrypt
    ├── ShareMalformed     a share that is no element of the field
    ├── SecretMismatch     shares that give another secret than was signed
    ├── BothSharesAsked    one peer named as survivor and as dropped
    ├── NotASurvivor       a node asked to open a sum that it is not in
    └── SecondOpening      a permit's sum asked for a second time, for others
"""

from __future__ import annotations


class PolicyError(Exception):
    """Base of this package's errors; its text is meant for a person."""


class DocumentError(PolicyError):
    """A document was refused at intake.

    Its text holds no invisible character and no escape sequence of a terminal, whatever the
    document held; in the path, where a letter of another script could pass for a Latin one, all
    that is not ASCII is escaped.

    Args:
        where: JSON path of the offending value, `$` for the whole document.
        expected: what would have been accepted.
        got: what came (shortened; never secret material).
    """

    def __init__(self, where: str, expected: str, got: str) -> None:
        self.where = ascii(where)[1:-1] if not where.isascii() else _visible(where)
        self.expected = _visible(expected)
        self.got = _visible(got)
        super().__init__(f"{self.where}: expected {self.expected}, got {self.got}")


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class SignatureError(PolicyError):
    """A signature is missing, wrong, or by a key that is not the expected one."""


class AccountError(PolicyError):
    """A reservation was made or settled twice, or takes more than there is."""


class PrivacyError(PolicyError):
    """A privacy loss that cannot be, or an ε, δ or noise out of bounds; the text names which."""


class SealError(PolicyError):
    """A disclosure was not opened; its text holds nothing of the content.

    Args:
        for_this_key: False where it is sealed to others only, which is no fault.
    """

    def __init__(self, text: str, *, for_this_key: bool = True) -> None:
        self.for_this_key = for_this_key
        super().__init__(text)


class EncodingError(PolicyError):
    """Numbers or bytes do not fit a secure sum's vectors; its text holds none of the numbers."""


class MaskKeyError(PolicyError):
    """A key that no mask can be made with; its text holds nothing of any key."""


class SecureSumError(PolicyError):
    """A step of a secure sum was refused; nothing left, and the state is as before."""


class OutOfTurn(SecureSumError):
    """A step was asked for before its time, or a second time."""


class WrongPermit(SecureSumError):
    """A message belongs to another permit."""


class UnknownPeer(SecureSumError):
    """A message names somebody who is not in the cohort, or not among those who shared."""


class TooFew(SecureSumError):
    """Fewer than the threshold shared, sent, agreed or answered."""


class NotSigned(SecureSumError):
    """Keys, or an agreement, do not carry the signature of their participant's receipt key."""


class KeyRepeated(SecureSumError):
    """A one-time key stands in two places: of two participants, or for two purposes."""


class ShareNotOpened(SecureSumError):
    """An encrypted share does not decrypt: altered, of another round, or for somebody else."""


class ShareMalformed(SecureSumError):
    """A share is no element of the field, or shares give no secret."""


class SecretMismatch(SecureSumError):
    """What shares give is not what their owner signed: a share was altered, or shared wrongly."""


class BothSharesAsked(SecureSumError):
    """A division names one peer as survivor and as dropped: both its shares would be given."""


class NotASurvivor(SecureSumError):
    """A node was asked to help to open a sum that its own update is not in."""


class SecondOpening(SecureSumError):
    """The sum of others than before was asked for under one permit: two sums would tell what is in
    one and not in the other."""
