"""The share of a replay that looks at receipts only; the others look at all else."""

from __future__ import annotations

from auditors.ledgerbook import NOTHING
from auditors.reading import Read, Turns, kind_of, read_entry
from auditors.receipts import LOOKS, Receipts
from auditors.rules import MALFORMED, UNREADABLE, Violation, in_order, malformed
from auditors.wholelog import Replayed


class Signed:
    """One pass over a log that looks at receipts only."""

    def __init__(self, turns: Turns) -> None:
        self.violations: list[Violation] = []
        self._turns = turns
        self._receipts = Receipts()
        self._unreadable = False
        self._entries = 0

    def take(self, index: int, line: bytes) -> None:
        """One entry, in the log's order."""
        self._entries += 1
        kind = kind_of(line)
        if kind not in LOOKS:
            return
        own = kind == "ReceiptAccepted" and self._turns.owns(kind)
        if kind == "ReceiptAccepted" and not own:
            return
        try:
            read = Read(index, -1, line, own, read_entry(line, own=own))
        except UNREADABLE as error:
            self._unreadable = True
            self._broken(index, "entry-readable", str(error)[:500])
            return
        try:
            for rule, text in self._receipts.look(read):
                self._broken(index, rule, text)
        except MALFORMED as error:
            if own:  # the others are looked at by others
                self._broken(index, "entry-readable", malformed(kind, error))

    def _broken(self, index: int, rule: str, text: str) -> None:
        self.violations.append(Violation(index, rule, text))

    def result(self) -> Replayed:
        """What was found; nothing is counted."""
        found = in_order(self.violations)
        return Replayed(self._entries, 0, 0, 0, found, NOTHING, self._unreadable)
