"""Opening a log for whatever is told about it: verified first where a key or a policy is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from auditors.ledgerbook import Book
from auditors.report_scope import Checked
from auditors.shares import replay_log
from auditors.verify import Verified
from auditors.wholelog import Replayed
from commands.audit_input import MAX_NOTE_BYTES, read_text, read_trust
from commands.audit_source import is_address, verified_log
from commands.errors import BadInput
from commands.output import STDERR


@dataclass(frozen=True, slots=True)
class Opened:
    """A log, for as long as its context lasts.

    Args:
        folder: where its entries are; a copy, where the log was named by its address.
        verified: what holds; None where nobody asked.
        seen: how many heads of others it was held against.
    """

    folder: Path
    verified: Verified | None
    seen: int

    @property
    def size(self) -> int | None:
        """How many entries were verified."""
        return None if self.verified is None else self.verified.size

    @property
    def checked(self) -> Checked:
        """For a report."""
        found = self.verified
        if found is None:
            return Checked(verified=False)
        return Checked(
            verified=True,
            origin=found.origin,
            size=found.size,
            root=found.root_hex,
            cosigners=found.cosigners,
            seen=self.seen,
        )


@contextmanager
def opened_log(
    source: str,
    key: str | None,
    policy: Path | None,
    *,
    seen: Sequence[Path] = (),
    ca: Path | None = None,
    kept: Path | None = None,
) -> Iterator[Opened]:
    """A log from a folder or an address; without a key or a policy nothing is verified.

    Args:
        seen: files with heads that others saw.
        ca, kept: as `verified_log`.

    Raises:
        IntegrityBroken: nothing may be told about this log.
        AuditInputError, BadInput: the folder, the key or a seen checkpoint cannot be read; or what
            only makes sense together with a key came without one.
        LogUnreachable: the address does not answer.
    """
    if key is not None or policy is not None:
        heads = [read_text(path, MAX_NOTE_BYTES) for path in seen]
        trust = read_trust(key, policy)
        with verified_log(source, trust=trust, seen=heads, ca=ca, kept=kept) as audited:
            yield Opened(audited.folder, audited.verified, len(heads))
        return
    if seen:
        raise BadInput("--seen: expected --key or --policy with it, to verify the log against both")
    if is_address(source):
        raise BadInput(
            f"{source}: expected --key or --policy with an address: nobody knows who answers"
        )
    if ca is not None or kept is not None:
        raise BadInput(f"{source}: expected an address beside --ca or --mirror")
    yield Opened(Path(source), None, 0)


def replayed(log: Opened, jobs: int | None = None) -> Replayed:
    """Replay it, with a bar on the terminal."""
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        bar = progress.add_task("replaying entries")
        return replay_log(
            log.folder,
            jobs=jobs,
            size=log.size,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def check_first(log: Opened) -> tuple[Checked, Book]:
    """Replay it; what was checked, and the budgets as the replay added them up."""
    found = replayed(log)
    told = replace(
        log.checked,
        replayed=True,
        decisions=found.decisions,
        permits=found.permits,
        receipts=found.receipts,
        violations=found.violations,
    )
    return told, found.book
