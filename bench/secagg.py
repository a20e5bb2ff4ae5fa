"""What a secure sum costs: consent-gated masks, pairwise masks, Flower's SecAgg+, in one process.

    python bench/secagg.py [--nodes 10] [--parameters 1000000] [--repeats 5] [--json FILE]

Processor milliseconds of one round (`time.process_time`), each party's by itself: a client's is the
median of all clients. Ours count from the update's arrays to the bytes that are sent, and from the
bytes that came to the opened mean; Flower's, its workflow and its mod between its own messages.
`floor` is what the same number of AES-128-CTR key streams of that length takes, made and not used.
Bytes a parameter are those of the masked vector and of every other message of one client, both
ways. A sum that is not the plain one ends the benchmark.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from rich.console import Console
from rich.table import Table

from bench.secagg_flower import run_flower
from bench.secagg_rounds import Clock, Round, consent_gated, pairwise
from policies.masks import CHUNK_BYTES

Part = Literal["client", "governance", "server"]

GOALS = {
    (10, 1_000_000): {
        ("consent-gated", "client"): 12,
        ("consent-gated", "governance"): 20,
        ("consent-gated", "server"): 15,
        ("pairwise, 20 % dropped", "client"): 40,
        ("pairwise, 20 % dropped", "server"): 60,
    },
    (50, 1_000_000): {
        ("pairwise", "client"): 150,
        ("pairwise", "server"): 1000,
        ("pairwise, 20 % dropped", "client"): 150,
        ("pairwise, 20 % dropped", "server"): 1000,
    },
}
"""Milliseconds, by nodes and parameters."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One party's part; times are milliseconds of processor time.

    Attributes:
        streams: how many key streams the party makes at the least.
    """

    protocol: str
    party: Part
    cpu_ms: float
    floor_ms: float
    streams: int
    goal_ms: float | None
    bytes_a_parameter: float | None


def floor_ms(words: int, *, repeats: int) -> float:
    """Milliseconds for one key stream of that many words of 32 bits, in chunks as ours."""
    given, made = memoryview(bytes(CHUNK_BYTES)), bytearray(CHUNK_BYTES + 15)
    found = []
    for _ in range(4 * repeats):
        started = time.process_time()
        stream = Cipher(AES128(bytes(16)), CTR(bytes(16))).encryptor()
        for at in range(0, 4 * words, CHUNK_BYTES):
            stream.update_into(given[: min(CHUNK_BYTES, 4 * words - at)], made)
        found.append(time.process_time() - started)
    return 1000 * statistics.median(found)


def measure(
    protocol: str,
    of: Round,
    act: Callable[[Round, Clock], None],
    streams: dict[Part, int],
    *,
    floor: float,
    repeats: int,
) -> list[Figure]:
    """The medians over the repeats, after once for warmth."""
    clocks = []
    for number in range(repeats + 1):
        gc.collect()
        clock = Clock()
        act(of, clock)
        if number:
            clocks.append(clock)
    goals = GOALS.get((len(of.names), of.parameters), {})
    figures = []
    for party, count in streams.items():
        found = [
            statistics.median(clock.spent[name] for name in clock.finished)
            if party == "client"
            else clock.spent[party]
            for clock in clocks
        ]
        most = max(clocks[0].carried.values()) / of.parameters if party == "client" else None
        figures.append(
            Figure(
                protocol,
                party,
                1000 * statistics.median(found),
                count * floor,
                count,
                goals.get((protocol, party)),
                most,
            )
        )
    return figures


def flower(of: Round, *, floor: float) -> list[Figure]:
    """Flower's, once: it takes seconds."""
    updates = [of.update(name) - of.incoming["w"] for name in of.names]
    run = run_flower(updates)
    if run.error > 1e-5:
        raise SystemExit(f"Flower's mean: expected the plain one, got one off by {run.error}")
    count = len(updates)
    client = 1000 * statistics.median(run.clients.values())
    size = run.vector_bytes / of.parameters
    return [
        Figure("Flower's SecAgg+", "client", client, count * floor, count, None, size),
        Figure("Flower's SecAgg+", "server", 1000 * run.server, count * floor, count, None, None),
    ]


def figures(nodes: int, parameters: int, *, repeats: int, with_flower: bool) -> list[Figure]:
    """All lines of the table."""
    of = Round(nodes, parameters)
    floor = floor_ms(of.layout.words, repeats=repeats)
    dropped = nodes // 5
    left = nodes - dropped
    found = measure(
        "consent-gated",
        of,
        consent_gated,
        {"client": 1, "governance": nodes, "server": 0},
        floor=floor,
        repeats=repeats,
    )
    found += measure(
        "pairwise",
        of,
        lambda of, clock: pairwise(of, clock, dropped=0),
        {"client": nodes, "server": nodes},
        floor=floor,
        repeats=repeats,
    )
    found += measure(
        "pairwise, 20 % dropped",
        of,
        lambda of, clock: pairwise(of, clock, dropped=dropped),
        {"client": nodes, "server": left + left * dropped},
        floor=floor,
        repeats=repeats,
    )
    return found + (flower(of, floor=floor) if with_flower else [])


def show(found: list[Figure], nodes: int, parameters: int) -> None:
    """Print the table."""
    table = Table(title=f"{nodes} nodes, {parameters:,} parameters; CPU ms, medians")
    for column in ("protocol", "party"):
        table.add_column(column)
    for column in ("cpu", "goal", "floor (streams)", "bytes a parameter"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in found:
        table.add_row(
            one.protocol,
            one.party,
            f"{one.cpu_ms:.1f}",
            "" if one.goal_ms is None else f"{one.goal_ms:,.0f}",
            f"{one.floor_ms:.1f} ({one.streams})",
            "" if one.bytes_a_parameter is None else f"{one.bytes_a_parameter:.3f}",
        )
    Console(width=110).print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--without-flower", action="store_true", help="measure ours only")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if not 5 <= options.nodes <= 1_000:
        parser.error("--nodes: 5 to 1000, so that a fifth may drop")
    found = figures(
        options.nodes,
        options.parameters,
        repeats=options.repeats,
        with_flower=not options.without_flower,
    )
    show(found, options.nodes, options.parameters)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))


if __name__ == "__main__":
    main()
