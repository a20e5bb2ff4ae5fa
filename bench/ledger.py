"""What the ledger costs: durable appends, proofs, and verifying a million entries.

    python bench/ledger.py                     everything; about three minutes
    python bench/ledger.py --entries 100000    a smaller log to verify

Every append here is what governance does: committed by SQLite with `synchronous=FULL`, the
checkpoint signed and recorded, tiles and checkpoint written and synced, before it returns. CPU time
(of all threads) stands beside wall time: machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # this file's own folder has another `ledger`

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.processes import PeakMemory
from ledger.checkpoint import open_checkpoint
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.proofs import verify_inclusion
from ledger.tiles import MAX_ENTRY_BYTES
from ledger.tree import leaf_hash

SIGNER = NoteSigner("bench.example/log", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
ENTRY_BYTES = 750
BATCH = 8192


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=256, help="concurrent appenders")
    parser.add_argument("--seconds", type=float, default=5.0, help="of concurrent appends")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="tds-bench-ledger-"))
    try:
        with open_log(work / "small") as log:
            alone(log)
            together(log, arguments.threads, arguments.seconds)
        large(work / "large", arguments.entries)
    finally:
        shutil.rmtree(work)


def open_log(root: Path) -> Log:
    """A log in a folder of its own."""
    return Log.open(
        folder=root / "log",
        database=root / "state" / "ledger.db",
        last_signed=root / "last-signed",
        signer=SIGNER,
    )


def entry(n: int) -> bytes:
    """An entry of the usual size; no two are alike."""
    body = {"n": n, "noise": secrets.token_hex((ENTRY_BYTES - 60) // 2)}
    value = {"body": body, "time": "2026-01-31T08:00:00.000Z", "type": "Bench"}
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def alone(log: Log, count: int = 500) -> None:
    """One caller, one entry at a time."""
    times = []
    cpu = time.process_time()
    for n in range(count):
        line = entry(n)
        started = time.perf_counter()
        log.append([line])
        times.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    print(
        f"one entry at a time: p50 {quantile(times, 0.5) * 1e3:.1f} ms, "
        f"p99 {quantile(times, 0.99) * 1e3:.1f} ms, CPU {cpu / count * 1e3:.2f} ms an entry"
    )


def together(log: Log, threads: int, seconds: float) -> None:
    """Many callers, each with one entry at a time and a key of its own."""
    before, times = log.size, []
    end = time.perf_counter() + seconds

    def append(worker: int) -> None:
        n = 0
        while time.perf_counter() < end:
            line = entry(n)
            started = time.perf_counter()
            log.append([line], idempotency_key=f"{worker}/{n}")
            times.append(time.perf_counter() - started)
            n += 1

    wall, cpu = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=append, args=(n,)) for n in range(threads)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = log.size - before
    print(
        f"{threads} callers: {count / wall:,.0f} entries/s, p50 {quantile(times, 0.5) * 1e3:.0f} "
        f"ms, p99 {quantile(times, 0.99) * 1e3:.0f} ms, CPU {cpu:.1f} s in {wall:.1f} s"
    )


def large(root: Path, entries: int) -> None:
    """A large log: filling it, its size, starting again, proofs, verifying it."""
    wall, cpu = time.perf_counter(), time.process_time()
    with open_log(root) as log:
        for start in range(0, entries, BATCH):
            log.append([entry(n) for n in range(start, min(entries, start + BATCH))])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{entries:,} entries in batches: {entries / wall:,.0f} entries/s, CPU {cpu:.1f} s")
    tiles = root / "log" / "tile"
    bundles = size_of(tiles / "entries")
    hashes = size_of(tiles) - bundles
    print(
        f"folder: {bundles / 1e6:,.0f} MB of entries, {hashes / 1e6:,.1f} MB of hashes: "
        f"{hashes / entries:.2f} bytes an entry, and 2 of length"
    )
    wall, cpu = time.perf_counter(), time.process_time()
    with open_log(root) as log:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"starting on it again: {wall:.1f} s, CPU {cpu:.1f} s")
        proofs(log)
    verify(root / "log", entries)


def proofs(log: Log, count: int = 2000) -> None:
    """Inclusion proofs of entries here and there, made and checked."""
    head = open_checkpoint(log.checkpoint(), SIGNER.verifier)
    made, checked = [], []
    for n in range(count):
        index = n * 7919 % log.size
        leaf = leaf_hash(log.entry(index))
        started = time.perf_counter()
        proof = log.inclusion_proof(index, log.size)
        made.append(time.perf_counter() - started)
        started = time.perf_counter()
        verify_inclusion(index=index, size=head.size, leaf=leaf, proof=proof, root=head.root)
        checked.append(time.perf_counter() - started)
    print(
        f"inclusion proof: made in {quantile(made, 0.5) * 1e3:.3f} ms, "
        f"checked in {quantile(checked, 0.5) * 1e6:.0f} us (p50)"
    )


def verify(folder: Path, entries: int) -> None:
    """`tds audit verify` as a process of its own."""
    command = [sys.executable, "-m", "commands", "audit", "verify", str(folder)]
    command += ["--key", SIGNER.verifier_key]
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=sys.path[0])
    with PeakMemory([process.pid], interval_s=0.02) as memory:
        assert process.wait() == 0
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"tds audit verify of {entries:,} entries: CPU {cpu:.1f} s in {wall:.1f} s, "
        f"memory {memory.peaks[process.pid] / 1e6:.0f} MB"
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return statistics.quantiles(values, n=1000)[int(share * 1000) - 1]


if __name__ == "__main__":
    assert ENTRY_BYTES < MAX_ENTRY_BYTES
    main()
