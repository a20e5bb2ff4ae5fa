"""What a process tree's memory is made of: proportional set size by what is mapped."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

KINDS = (
    ("torch", re.compile(r"/torch/|libtorch|libgomp|/functorch/")),
    ("duckdb", re.compile(r"duckdb")),
    ("grpc", re.compile(r"/grpc/|cygrpc")),
    ("numpy", re.compile(r"numpy")),
    ("interpreter", re.compile(r"/python3|libpython|lib-dynload|/libc\.so|/ld-linux|libm\.so")),
    ("other libraries", re.compile(r"\.so|^/")),
)
"""What a mapped file belongs to: the first that fits. What has no file is the heap."""


def made_of(pid: int | str) -> Counter[str]:
    """PSS of one process (or "self") in bytes, by what is mapped; "heap" is what has no file."""
    found: Counter[str] = Counter()
    for name, sizes in _mapped(pid):
        found[_kind(name)] += sizes["Pss"]
    return found


def alone(pids: Collection[int]) -> int:
    """Bytes of these processes if nobody else had the same files mapped: each file counts once."""
    files: dict[str, int] = {}
    heap = 0
    for pid in pids:
        own: Counter[str] = Counter()
        for name, sizes in _mapped(pid):
            if _kind(name) == "heap":
                heap += sizes["Pss"]
            else:
                own[name] += sizes["Rss"]
        for name, size in own.items():
            files[name] = max(files.get(name, 0), size)
    return heap + sum(files.values())


def _mapped(pid: int | str) -> Iterator[tuple[str, Counter[str]]]:
    """Each mapping's file, "" where it has none, and its sizes in bytes."""
    text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8")
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE)[1:]:
        head, *lines = part.splitlines()
        sizes: Counter[str] = Counter()
        for line in lines:
            name, _, rest = line.partition(":")
            if name in ("Pss", "Rss"):
                sizes[name] = int(rest.split()[0]) * 1024
        yield (head.split(maxsplit=5)[5:] or [""])[0], sizes


def _kind(name: str) -> str:
    if not name or name.startswith(("[", "/memfd", "/dev/zero")):
        return "heap"
    return next(kind for kind, pattern in KINDS if pattern.search(name))


class PeakOwn:
    """Samples the memory that only the processes of a tree have, and keeps each one's peak.

    Attributes:
        peaks: bytes by process id: anonymous memory and memory shared without a file on disk. Pages
            of files are left out: the kernel drops them when memory is short.
    """

    def __init__(self, pid: int, *, interval_s: float = 0.005) -> None:
        self._top = psutil.Process(pid)
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peaks: Counter[int] = Counter()

    def __enter__(self) -> PeakOwn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        family: list[psutil.Process] = []
        looked = 0.0
        while not self._stop.wait(self._interval_s):
            if time.monotonic() - looked > 0.1:
                family = [self._top, *self._top.children(recursive=True)]
                looked = time.monotonic()
            for process in family:
                self.peaks[process.pid] = max(self.peaks[process.pid], own_bytes(process.pid))


def own_bytes(pid: int) -> int:
    """Anonymous and shared memory of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", text, re.MULTILINE)
    return sum(map(int, found)) * 1024
