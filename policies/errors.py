"""Everything the `policies` package raises.

PolicyError
├── DocumentError    bytes that are no document of ours: too large, malformed, unknown field
├── SignatureError   an envelope that nobody we know signed, or that was changed
└── AccountError     a reservation that does not fit its account
"""

from __future__ import annotations


class PolicyError(Exception):
    """Base of this package's errors; its text is meant for a person."""


class DocumentError(PolicyError):
    """A document was refused at intake.

    Args:
        where: JSON path of the offending value, `$` for the whole document.
        expected: what would have been accepted.
        got: what came (shortened; never secret material).
    """

    def __init__(self, where: str, expected: str, got: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}")
        self.where = where
        self.expected = expected
        self.got = got


class SignatureError(PolicyError):
    """A signature is missing, wrong, or by a key that is not the expected one."""


class AccountError(PolicyError):
    """A reservation was made or settled twice, or takes more than there is."""
