"""What `tds serve` lends the console: the auditors' sentences, and their report.

A sentence is made here and now. A report replays the whole log: it is made by `tds audit report` in
a process of its own, so that governance goes on meanwhile and one that takes too long can be ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from auditors.errors import AuditError
from auditors.explain_entry import Line, explain_entry
from auditors.explain_say import Say
from auditors.explain_sentences import sentences
from auditors.known import Known
from auditors.lines import MALFORMED, log_lines
from commands import tether
from commands.children import python
from commands.errors import Exit
from policies.entries import Entry
from policies.phrases import Language
from server.console.telling import Beside, Told
from server.errors import TooMany, Unavailable

EXPLAIN_S: Final = 6.0
REPORT_S: Final = 60.0
MAX_REPORT_BYTES: Final = 32 << 20
_LEAST_PRIORITY: Final = 10


class ConsoleTeller:
    """See `server.console.telling.Teller`.

    Args:
        log_key: of the space's log, under which a report verifies it first.
        explain_s, report_s: how long one may take, in seconds.
    """

    def __init__(
        self, log_key: str, *, explain_s: float = EXPLAIN_S, report_s: float = REPORT_S
    ) -> None:
        self._log_key = log_key
        self._explain_s = explain_s
        self._report_s = report_s
        self._explaining = threading.Lock()
        self._reporting = threading.Lock()

    def sentence(self, entry: Entry, *, language: Language, names: Mapping[str, str]) -> str:
        """The first sentence of what the entry says."""
        try:
            return sentences(entry, Say(language, Known(names)))[0]
        except MALFORMED:
            return ""

    def explain(
        self, folder: Path, index: int, *, language: Language, names: Mapping[str, str]
    ) -> Told:
        """As `tds audit explain` tells it; one at a time, the next ones wait."""
        read = _until(time.monotonic() + self._explain_s, folder, index)
        if not self._explaining.acquire(timeout=self._explain_s):
            raise TooMany("explaining: others are at it; open the page again in a moment")
        try:
            found = explain_entry(read, index, language, Known(names))
        except AuditError as error:
            raise Unavailable(str(error)) from error
        finally:
            self._explaining.release()
        return Told(
            says=found.says,
            verdicts=found.verdicts,
            rests=_beside(found.rests),
            more_rests=found.more_rests,
            followed=_beside(found.followed),
            more_followed=sum(found.types.values()) - len(found.followed),
        )

    def report(self, folder: Path, *, language: Language) -> bytes:
        """As `tds audit report` writes it; one at a time, the next ones are refused."""
        if not self._reporting.acquire(blocking=False):
            raise TooMany("report: one is being made; try again in a minute")
        try:
            with tempfile.TemporaryDirectory(prefix="tds-report-") as made:
                return self._report(folder, Path(made) / "report.html", language)
        finally:
            self._reporting.release()

    def _report(self, folder: Path, out: Path, language: Language) -> bytes:
        program = python("-m", "commands", "audit", "report", str(folder))
        command = [*program, "--key", self._log_key, "--out", str(out), "--lang", language]
        ended = _ended(command, self._report_s)
        if ended.returncode == Exit.LOG_BROKEN:
            said = ended.stderr.decode("utf-8", "replace").strip()[:500]
            raise Unavailable(f"report: none is made of a log that does not hold: {said}")
        if ended.returncode not in (0, Exit.RULE_BROKEN) or not out.is_file():
            raise Unavailable(
                f"report: expected one, tds audit report ended with {ended.returncode}; the "
                "operator may run it by hand"
            )
        if out.stat().st_size > MAX_REPORT_BYTES:
            raise Unavailable(
                f"report: expected at most {MAX_REPORT_BYTES} bytes, got more; make it from a copy "
                "of the log: tds audit report"
            )
        return out.read_bytes()


def _ended(command: Sequence[str], within_s: float) -> subprocess.CompletedProcess[bytes]:
    """A command's end; one that takes longer is ended, with all that it started. It gives way to
    others, and does not outlive this process (`commands.tether`)."""
    tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
    nice = shutil.which("nice")
    gently = [nice, "-n", str(_LEAST_PRIORITY)] if nice else []
    with subprocess.Popen(
        [*tethered, *gently, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise Unavailable(
                f"report: it takes longer than {within_s:g} s here; make it from a copy of the "
                "log: tds audit report ./log --key KEY --out report.html"
            ) from error
    return subprocess.CompletedProcess(command, process.returncode, stderr=said)


def _until(ends: float, folder: Path, index: int) -> Callable[[], Iterator[tuple[int, bytes]]]:
    """Reads the log's lines, but no longer than until a moment."""

    def read() -> Iterator[tuple[int, bytes]]:
        for at, line in log_lines(folder):
            if time.monotonic() > ends:
                raise Unavailable(
                    "the log is too long to tell of it here in good time; from a copy of it: "
                    f"tds audit explain ./log {index}"
                )
            yield at, line

    return read


def _beside(lines: tuple[Line, ...]) -> tuple[Beside, ...]:
    return tuple(Beside(one.entry, one.time, one.type, one.text) for one in lines)
