"""Verifying and replaying a log before anything is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from auditors.report_facts import Checked
from auditors.shares import replay_log
from commands.audit_input import MAX_NOTE_BYTES, read_text, verified_folder
from commands.output import STDERR


def check_first(folder: Path, key: str | None, seen: Sequence[Path]) -> Checked:
    """Verify the log, where a key is given, and replay it.

    Raises:
        IntegrityBroken: nothing may be told about this log.
        AuditInputError, BadInput: the folder, the key or a seen checkpoint cannot be read.
    """
    checked = verify_first(folder, key, seen)
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("replaying entries")
        found = replay_log(
            folder,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    return Checked(
        verified=checked.verified,
        origin=checked.origin,
        size=checked.size if checked.verified else found.entries,
        root=checked.root,
        cosigners=checked.cosigners,
        seen=checked.seen,
        replayed=True,
        decisions=found.decisions,
        permits=found.permits,
        receipts=found.receipts,
        violations=found.violations,
    )


def verify_first(folder: Path, key: str | None, seen: Sequence[Path]) -> Checked:
    """Verify the log; without a key nothing is, and `verified` says so."""
    if key is None:
        return Checked(verified=False)
    heads = [read_text(path, MAX_NOTE_BYTES) for path in seen]
    found = verified_folder(folder, key, heads)
    return Checked(
        verified=True,
        origin=found.origin,
        size=found.size,
        root=found.root_hex,
        seen=len(heads),
    )
