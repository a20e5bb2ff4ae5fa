"""Measuring process trees: CPU seconds and memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil


def cpu_seconds(pids: list[int]) -> float:
    """User and system seconds of processes, their descendants and all that these waited for."""
    total = 0.0
    seen: set[int] = set()
    for pid in pids:
        try:
            top = psutil.Process(pid)
            family = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            if process.pid in seen:
                continue
            seen.add(process.pid)
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def tree_pss_bytes(pid: int) -> int:
    """Proportional set size of a process tree: shared pages counted once, split among sharers."""
    try:
        top = psutil.Process(pid)
        family = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


@dataclass
class PeakMemory:
    """Samples the PSS of process trees in a thread and keeps each tree's peak."""

    pids: list[int]
    interval_s: float = 0.25
    peaks: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> PeakMemory:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self.interval_s):
            for pid in self.pids:
                self.peaks[pid] = max(self.peaks.get(pid, 0), tree_pss_bytes(pid))
