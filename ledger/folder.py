"""The published folder (FORMAT.md): three files that only grow, and the newest checkpoint.

All of it can be made again from the database, so that a crash or a full disk here loses nothing:
`reconcile` adds what is missing. What it never does is to overwrite a complete line: a folder that
says something else than the database is evidence, not a mistake to tidy up.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from ledger.durable import open_file, replace_file, sync_folder, write_at
from ledger.errors import LogDamaged, ProofError
from ledger.note import MAX_NOTE_BYTES

ENTRIES = "entries.jsonl"
LEAVES = "leaves"
HISTORY = "checkpoints.jsonl"
CHECKPOINT = "checkpoint"

MAX_ENTRY_BYTES = 1 << 20

_CHUNK_BYTES = 1 << 20


def leaf_line(leaf: bytes) -> bytes:
    """One line of `leaves`: the hash in lowercase hexadecimal."""
    return leaf.hex().encode("ascii") + b"\n"


def history_line(size: int, note: str) -> bytes:
    """One line of `checkpoints.jsonl`: this and no other spelling."""
    record = {"size": size, "note": note}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"


def parse_history_line(line: bytes) -> tuple[int, str]:
    """Size and note of one line without its newline; the note is not verified.

    Raises:
        ProofError: not the one spelling that `history_line` writes.
    """
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProofError(f"expected a JSON object with size and note, got {line[:80]!r}") from error
    size, note = (record.get("size"), record.get("note")) if isinstance(record, dict) else (0, 0)
    if type(size) is not int or type(note) is not str or _spelling(size, note) != line:
        raise ProofError(f'expected {{"size":integer,"note":text}} and no more, got {line[:80]!r}')
    return size, note


def _spelling(size: int, note: str) -> bytes | None:
    try:
        return history_line(size, note)[:-1]
    except UnicodeEncodeError:  # JSON can escape a lone surrogate, UTF-8 cannot hold it
        return None


class LineFile:
    """A file of lines that only grows.

    Args:
        path: created if absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = open_file(path)
        # How far the file is known to equal the database.
        self.lines = 0
        self._good_bytes = 0

    def reconcile(self, expected: Iterable[bytes]) -> None:
        """Bring the file up to the expected lines, from line `self.lines` on, durably.

        A crash during it leaves complete lines and at most one torn end, which the next call cuts.

        Args:
            expected: lines with their newline, from line `self.lines` (counted from 0) to the end.

        Raises:
            LogDamaged: the file holds another complete line, or more than was expected.
            OSError: it cannot be written. After any error `self.lines` is what it was.
        """
        start = self.lines, self._good_bytes
        try:
            self._reconcile(iter(expected))
        except BaseException:
            self.lines, self._good_bytes = start
            raise

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from offset `start` to `stop`; safe beside an append."""
        return os.pread(self.descriptor, stop - start, start)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.descriptor)

    def _reconcile(self, lines: Iterator[bytes]) -> None:
        missing = self._skip_equal(lines)
        size_bytes = os.fstat(self.descriptor).st_size
        if missing is None:
            if size_bytes > self._good_bytes:
                raise self._damaged(f"expected the end after {self.lines} lines, got more")
        else:
            if size_bytes > self._good_bytes:
                os.ftruncate(self.descriptor, self._good_bytes)
            self._write(chain([missing], lines))
        os.fdatasync(self.descriptor)

    def _skip_equal(self, lines: Iterator[bytes]) -> bytes | None:
        """Step over the lines that are there; the first one that is not, or None."""
        with self.path.open("rb") as file:
            file.seek(self._good_bytes)
            for line in lines:
                got = file.read(len(line))
                if got != line:
                    if self._holds_newline(got, file.read):
                        raise self._damaged(
                            f"line {self.lines + 1} is not the one in the database "
                            f"(expected {line[:80]!r}, got {got[:80]!r})"
                        )
                    return line  # the end of the file, or a line torn by a crash
                self.lines += 1
                self._good_bytes += len(line)
        return None

    @staticmethod
    def _holds_newline(got: bytes, read: Callable[[int], bytes]) -> bool:
        while got and b"\n" not in got:
            got = read(_CHUNK_BYTES)
        return bool(got)

    def _write(self, lines: Iterable[bytes]) -> None:
        chunk, count = bytearray(), 0
        for line in lines:
            chunk += line
            count += 1
            if len(chunk) >= _CHUNK_BYTES:
                self._add(bytes(chunk), count)
                chunk, count = bytearray(), 0
        self._add(bytes(chunk), count)

    def _add(self, data: bytes, count: int) -> None:
        write_at(self.descriptor, data, self._good_bytes)
        self._good_bytes += len(data)
        self.lines += count

    def _damaged(self, what: str) -> LogDamaged:
        return LogDamaged(
            f"{self.path}: {what}: the folder and the database tell two stories. Keep both as "
            "evidence and compare them with the copies that auditors hold. If the database is the "
            "true one, move the folder away: it is published anew on the next start"
        )


class Folder:
    """The open folder; its files are created if absent.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.entries = LineFile(path / ENTRIES)
        self.leaves = LineFile(path / LEAVES)
        self.history = LineFile(path / HISTORY)
        sync_folder(path)

    def read_checkpoint(self) -> str | None:
        """The published checkpoint; None if there is none yet."""
        return read_note(self.path / CHECKPOINT)

    def write_checkpoint(self, note: str) -> None:
        """Replace the published checkpoint, durably."""
        replace_file(self.path / CHECKPOINT, note.encode("utf-8"))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around publishing: under a shared lock on `entries.jsonl` the folder is seen whole.

        The lock is a courtesy to readers; one who holds it for long does not stop the log.
        """
        descriptor = self.entries.descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield
            return
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        for file in (self.entries, self.leaves, self.history):
            file.close()


def read_note(path: Path) -> str | None:
    """A file that holds one note; None if absent.

    Raises:
        LogDamaged: too large, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LogDamaged(f"{path}: expected a signed note, got bytes that are no text") from error
    if len(raw) > MAX_NOTE_BYTES:
        raise LogDamaged(f"{path}: expected a note of at most {MAX_NOTE_BYTES} bytes, got more")
    return text
