"""Everything the `ledger` package raises.

LedgerError          also raised itself: an argument that no log can take (a bad entry, a range)
├── ProofError       a proof or a checkpoint does not hold
│   ├── NoteError    a signed note is malformed, or not signed by everyone it must be signed by
│   └── QuorumMissed a checkpoint is cosigned by too few witnesses
├── LogUnavailable   the log cannot answer now: disk full, locked, closed; nothing is lost
├── LogDamaged       database, folder and last-signed record disagree; the log refuses to run
├── KeyRefused       bytes that are no Ed25519 public key one should trust
└── PolicyRefused    a trust policy's file is malformed; names the line
"""

from __future__ import annotations


class LedgerError(Exception):
    """Base of this package's errors; its text is meant for a person."""


class ProofError(LedgerError):
    """A proof, note or checkpoint does not hold: believe nothing that rests on it."""


class NoteError(ProofError):
    """A signed note is malformed, or a signature that must be there is missing or wrong."""


class QuorumMissed(ProofError):
    """A checkpoint is its log's, but too few witnesses of the policy cosigned it."""


class LogUnavailable(LedgerError):
    """An append could not be made durable, or the log is closed or held by another process.

    Nothing that was acknowledged is lost. Free what the text names and try again, with the same
    idempotency key if there was one: an entry that did reach the database is then not added twice.
    """


class LogDamaged(LedgerError):
    """Store, folder or last-signed record disagree; the text says which, and what to do."""


class KeyRefused(LedgerError):
    """A public key is malformed, or one under which signatures prove nothing."""


class PolicyRefused(LedgerError):
    """A trust policy cannot be read; the text says which line, and what was expected."""
