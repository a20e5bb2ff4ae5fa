"""Replaying a log with several processes; what is found does not depend on how many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from auditors.errors import AuditError, AuditInputError
from auditors.ledgerbook import NOTHING
from auditors.reading import Turns
from auditors.receipts import Receipts
from auditors.rules import in_order
from auditors.signed import Signed
from auditors.snapshot import Snapshot
from auditors.wholelog import Replay, Replayed

MAX_VIOLATIONS: Final = 10_000
PROGRESS_EVERY: Final = 1024
_ENTRIES_A_PROCESS: Final = 10_000  # below that, starting one takes longer than it saves
_MOST_PROCESSES: Final = 4  # if nobody asks for more: what each has to take in, all do

Progress = Callable[[int, int], None]


def replay_log(
    folder: Path,
    *,
    jobs: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Replay a log's folder, or a copy of one; see `auditors.wholelog` for the promise.

    Args:
        jobs: processes, this one included; None is as many as there are processors, up to 4,
            or fewer for a small log.
        size: lines of the log to replay, such as those that were verified; None is all.
        progress: called now and then with the entries that are done and those in all.

    Raises:
        AuditInputError: the folder cannot be read, or one of the processes ended before its time.
        IntegrityBroken: a line has no end.
    """
    snapshot = Snapshot.take(folder)
    if size is not None:
        snapshot = replace(snapshot, size=size)
    if jobs is None:
        most = 1 + snapshot.size // _ENTRIES_A_PROCESS
        jobs = min(len(os.sched_getaffinity(0)), most, _MOST_PROCESSES)
    if jobs == 1:
        return replay_share(snapshot, progress=progress)
    with ExitStack() as stack:
        others = [stack.enter_context(_process(snapshot, n, jobs)) for n in range(1, jobs)]
        shares = [replay_share(snapshot, 0, jobs, progress), *map(_received, others)]
    if any(one.unreadable for one in shares) or _full(shares):
        # What an entry that is not canonical means is for one reader to say; and which faults
        # come first, where there are more than anybody lists.
        return replay_share(snapshot, progress=progress)
    found = in_order(fault for share in shares for fault in share.violations)
    return replace(shares[0], violations=found)


def replay_share(
    snapshot: Snapshot, share: int = 0, shares: int = 1, progress: Progress | None = None
) -> Replayed:
    """Replay a log; of what takes time, only one share.

    Of several shares, half look at nothing but receipts, which take about half of the time. What
    each entry means is taken in by all of the others; whether it follows is looked at by one of
    them each. Together the shares find what one alone would.

    Args:
        share: from 0 to `shares` - 1; the first one has counts and book.
        progress: called now and then with the entries that are done and those in all.

    Raises:
        AuditInputError, IntegrityBroken: the folder cannot be read, or a line has no end.
    """
    receipts = shares // 2
    others = shares - receipts
    taking: Replay | Signed
    if share < others:
        taking = Replay(Turns(share, others), Receipts() if shares == 1 else None)
    else:
        taking = Signed(Turns(share - others, receipts))
    total = snapshot.size
    for index, line in snapshot.entries():
        taking.take(index, line)
        if progress is not None and index % PROGRESS_EVERY == 0:
            progress(index, total)
        if len(taking.violations) >= MAX_VIOLATIONS:
            break
    if progress is not None:
        progress(total, total)
    return taking.result()


def _full(shares: list[Replayed]) -> bool:
    return any(len(one.violations) >= MAX_VIOLATIONS for one in shares)


@contextmanager
def _process(snapshot: Snapshot, share: int, shares: int) -> Iterator[Connection]:
    """A process with its share of the work; it ends with the context, whatever it was doing."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, snapshot, share, shares), daemon=True)
    with _no_interrupt():
        process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.terminate()
        process.join()
        receiver.close()


def _work(sender: Connection, snapshot: Snapshot, share: int, shares: int) -> None:
    try:
        # Everybody adds up the same; the first share's book is enough.
        sender.send(replace(replay_share(snapshot, share, shares), book=NOTHING))
    except AuditError as error:
        sender.send(str(error))


def _received(receiver: Connection) -> Replayed:
    try:
        found = receiver.recv()
    except EOFError:
        found = "a process of the replay ended before its time; give it more memory, or --jobs 1"
    if isinstance(found, Replayed):
        return found
    raise AuditInputError(str(found))


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C is for this process, which ends the others; a child inherits that it is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
