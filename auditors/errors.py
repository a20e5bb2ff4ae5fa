"""Everything the `auditors` package raises.

AuditError
├── AuditInputError   what was handed in cannot be verified: no such file, no such key
├── LogUnreachable    a log's address gives no answer; nothing is known about the log
├── IntegrityBroken   the log was changed, cut, or signed twice; exit code 3
│   └── TileMissing   a file that the signed head needs is not there; it may be on its way
└── RuleViolated      the log is intact, and what an entry records broke a rule; exit code 4
"""

from __future__ import annotations


class AuditError(Exception):
    """Base of this package's errors; its text is meant for a person."""


class AuditInputError(AuditError):
    """A file is missing or unreadable, or a key or note handed in is malformed."""


class LogUnreachable(AuditError):
    """A log that should be read over the network does not answer, or with something else."""


class IntegrityBroken(AuditError):
    """The folder is not what its log signed.

    Args:
        place: which entry, line and file.
        expected: what an untouched folder holds there.
        got: what this one holds (shortened).
        hint: what to do next, or what else could explain it.
    """

    def __init__(self, place: str, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"{place}: expected {expected}, got {got}" + (f"; {hint}" if hint else ""))
        self.place = place
        self.expected = expected
        self.got = got
        self.hint = hint


class TileMissing(IntegrityBroken):
    """A file that the signed head needs is not there."""


class RuleViolated(AuditError):
    """An entry records what the rules do not allow.

    Args:
        index: the entry.
        rule: its short name, as `auditors.rules` lists them.
        text: what was expected and what stands there.
    """

    def __init__(self, index: int, rule: str, text: str) -> None:
        super().__init__(f"entry {index} breaks a rule ({rule}): {text}")
        self.index = index
        self.rule = rule
