"""Verifying and replaying a log before anything is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from auditors.ledgerbook import Book
from auditors.report_scope import Checked
from auditors.shares import replay_log
from commands.audit_input import MAX_NOTE_BYTES, read_text, verified_folder
from commands.output import STDERR


def check_first(
    folder: Path, key: str | None, policy: Path | None, seen: Sequence[Path]
) -> tuple[Checked, Book]:
    """Verify the log, where a key or a policy is given, and replay it.

    Returns:
        What was checked, and the budgets as the replay added them up.

    Raises:
        IntegrityBroken: nothing may be told about this log.
        AuditInputError, BadInput: the folder, the key or a seen checkpoint cannot be read.
    """
    checked = verify_first(folder, key, policy, seen)
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("replaying entries")
        found = replay_log(
            folder,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    told = replace(
        checked,
        replayed=True,
        decisions=found.decisions,
        permits=found.permits,
        receipts=found.receipts,
        violations=found.violations,
    )
    return told, found.book


def verify_first(
    folder: Path, key: str | None, policy: Path | None, seen: Sequence[Path]
) -> Checked:
    """Verify the log; without a key or a policy nothing is, and `verified` says so."""
    if key is None and policy is None:
        return Checked(verified=False)
    heads = [read_text(path, MAX_NOTE_BYTES) for path in seen]
    found = verified_folder(folder, key, heads, policy)
    return Checked(
        verified=True,
        origin=found.origin,
        size=found.size,
        root=found.root_hex,
        cosigners=found.cosigners,
        seen=len(heads),
    )
