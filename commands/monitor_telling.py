"""What `tds audit monitor` says: a line for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from auditors.errors import AuditError, IntegrityBroken
from auditors.monitor import Step
from auditors.rules import Violation
from commands.audit_input import tell_violations, violations_json
from commands.output import say


class MonitorTeller:
    """Says what is new, and each thing once.

    Args:
        as_json: for programs.
        stale_s: after how many seconds without growth it says so; None never.
    """

    def __init__(self, *, as_json: bool, stale_s: int | None) -> None:
        self._as_json = as_json
        self._stale_s = stale_s
        self._told_size = -1
        self._told_quiet = False
        self._told_waiting = ""

    def head(self, step: Step) -> bool:
        """A verified head; whether it is one that was not told before."""
        self._told_waiting = ""
        if step.size == self._told_size:
            return False
        self._told_size, self._told_quiet = step.size, False
        cosigned = f", cosigned by {', '.join(step.cosigners)}" if step.cosigners else ""
        self._tell(
            f"{step.origin}: {step.size} entries verified, {step.new} of them new, root "
            f"{step.root.hex()[:16]}…{cosigned}",
            "head",
            origin=step.origin,
            size=step.size,
            new=step.new,
            root=step.root.hex(),
            cosigners=list(step.cosigners),
        )
        return True

    def quiet(self, step: Step, now: int) -> None:
        """The log has not grown, if that is so for too long."""
        for_s = now - step.grown_at
        if self._stale_s is None or for_s < self._stale_s or self._told_quiet:
            return
        self._told_quiet = True
        since = datetime.fromtimestamp(step.grown_at, UTC).isoformat()
        self._tell(
            f"{step.origin}: nothing was added for {for_s} seconds, since {since}",
            "stale",
            size=step.size,
            seconds=for_s,
        )

    def waiting(self, error: AuditError) -> None:
        """The log does not answer, or is not whole; said again only if it is for another reason."""
        if str(error) != self._told_waiting:
            self._told_waiting = str(error)
            self._tell(f"not verified, looking again: {error}", "waiting", reason=str(error))

    def broken(self, error: IntegrityBroken) -> None:
        """The end; for people the error itself says it."""
        if self._as_json:
            self._event("broken", place=error.place, expected=error.expected, got=error.got)

    def replayed(self, entries: int, violations: Sequence[Violation]) -> None:
        """What a replay found."""
        if self._as_json:
            self._event("replayed", entries=entries, violations=violations_json(violations))
        elif violations:
            tell_violations(violations)
        else:
            say(f"replayed {entries} entries: every decision follows from those before it")

    def stopped(self, size: int) -> None:
        """Somebody ended it."""
        self._tell(f"stopped; {size} entries are verified", "stopped", size=size)

    def _tell(self, text: str, event: str, **fields: object) -> None:
        if self._as_json:
            self._event(event, **fields)
        else:
            say(text)

    @staticmethod
    def _event(event: str, **fields: object) -> None:
        line = json.dumps({"event": event} | fields, ensure_ascii=False, sort_keys=True)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
