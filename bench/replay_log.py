"""What a replay of a large governed log costs: processor seconds and memory, of all processes.

    python bench/replay_log.py [--entries 20000] [--jobs 2] [--folder KEPT] [--json FILE]

Makes a log of that many entries (ten enterprises, all receipts signed), replays it in processes of
their own and projects both figures to a million entries. A folder that is kept is not made again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.large_log import LargeLog, write_folder
from bench.processes import PeakMemory

MILLION = 1_000_000
FEW = 500
GOAL_CPU_S = 240.0
GOAL_BYTES = 600 << 20
REPLAY = """
import sys
from pathlib import Path
from auditors.shares import replay_log
found = replay_log(Path(sys.argv[1]), jobs=int(sys.argv[2]))
assert not found.violations, found.violations[:3]
print(found.entries, found.decisions, found.receipts)
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One replay; seconds are of all processes together, and so are bytes."""

    entries: int
    decisions: int
    receipts: int
    cpu_s: float
    wall_s: float
    peak_bytes: int


def projected_s(found: Figures, least: Figures) -> float:
    """Processor seconds of a million entries, where starting does not grow with them.

    Args:
        least: the replay of a few entries with as many processes.
    """
    entries, cpu_s = found.entries - least.entries, found.cpu_s - least.cpu_s
    return least.cpu_s + cpu_s * MILLION / entries


def measure(folder: Path, jobs: int) -> Figures:
    """Replay a folder in a process of its own, which may start others."""
    before, began = _children_s(), time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", REPLAY, str(folder), str(jobs)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    with PeakMemory([child.pid]) as memory:
        out, _ = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"the replay ended with {child.returncode}")
    entries, decisions, receipts = map(int, out.split())
    return Figures(
        entries=entries,
        decisions=decisions,
        receipts=receipts,
        cpu_s=_children_s() - before,
        wall_s=time.perf_counter() - began,
        peak_bytes=memory.peaks.get(child.pid, 0),
    )


def make(folder: Path, entries: int) -> None:
    """The log, if it is not there."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder(folder, islice(LargeLog().entries(), entries))


def verify_us() -> float:
    """Microseconds of processor for one Ed25519 signature here and now: what to read figures by."""
    key, number = Ed25519PrivateKey.generate(), 1000
    public, signature = key.public_key(), key.sign(b"")
    began = time.process_time()
    for _ in range(number):
        public.verify(signature, b"")
    return (time.process_time() - began) / number * 1e6


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make, replay, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = asked.folder or Path(place) / "log"
        make(folder, asked.entries)
        make(Path(place) / "few" / "log", FEW)
        least = measure(Path(place) / "few" / "log", asked.jobs)
        found, signature_us = measure(folder, asked.jobs), verify_us()
    million_s = projected_s(found, least)
    print(
        f"{found.entries} entries, {found.decisions} decisions, {found.receipts} receipts: "
        f"{found.cpu_s:.2f} CPU-s, {found.wall_s:.2f} s, {found.peak_bytes / 2**20:.0f} MiB; "
        f"a million: {million_s:.0f} CPU-s of at most {GOAL_CPU_S:.0f} "
        f"(a signature takes {signature_us:.0f} µs here)"
    )
    if asked.json:
        asked.json.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
    if million_s > GOAL_CPU_S or found.peak_bytes > GOAL_BYTES:
        sys.exit(1)


if __name__ == "__main__":
    main()
