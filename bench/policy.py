"""What a decision costs: one, a round of a thousand, the log beside it, and a conflict check.

    python bench/policy.py [--repeats 9] [--json FILE]

One policy with five constraints in four engines (`bench/policy_engines.py`), in turn in one
process; each figure is the median of the repeats, processor time beside wall time. The others give
a decision; ours gives the report of every constraint too. Read ratios: absolutes belong to the
machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from bench.policy_engines import END, ENGINES, agreement, state
from bench.policy_pairs import PAIRS, check
from ledger.log import Log
from ledger.note import NoteSigner
from policies.canonical import Json
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.entries import entry_bytes
from policies.evaluate import Request, evaluate
from policies.fields import instant
from server.report_entries import report_entries
from server.second_key import CedarKey, decide_with_two_keys

CANDIDATES = 1_000
RULES = 20
KEY = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; times are medians in microseconds."""

    what: str
    engine: str
    cpu_us: float
    wall_us: float
    goal_us: float | None = None


def measure(
    what: str,
    engine: str,
    act: Callable[[], object],
    *,
    repeats: int,
    times: int = 1,
    goal_us: float | None = None,
) -> Figure:
    """Run `act` `times` in a row, `repeats` times over, after once for warmth."""
    act()
    cpu, wall = [], []
    for _ in range(repeats):
        gc.collect()
        before, started = time.process_time(), time.perf_counter()
        for _ in range(times):
            act()
        cpu.append((time.process_time() - before) / times * 1e6)
        wall.append((time.perf_counter() - started) / times * 1e6)
    return Figure(what, engine, statistics.median(cpu), statistics.median(wall), goal_us)


def one_decision(repeats: int) -> list[Figure]:
    """The same request to each engine; a wrong answer ends the benchmark."""
    found = []
    for name, make in ENGINES.items():
        decide = make()
        answers = [decide(purpose) for purpose in ("diagnosis-support", "marketing", "unlisted")]
        if answers != [True, False, False]:
            raise SystemExit(f"{name}: expected yes, no, no, got {answers}")
        found.append(
            measure(
                "a decision, its request handed over",
                name,
                lambda decide=decide: decide("diagnosis-support"),
                repeats=repeats,
                times=300,
            )
        )
    agreed, known, request = agreement(0), state(), Request("p0", "consortium", "train")
    alone = measure(
        "a decision with 5 constraints, values at hand",
        "tdspace",
        lambda: evaluate(agreed, request, known),
        repeats=repeats,
        times=1000,
        goal_us=15,
    )
    return [*found, alone]


def candidates() -> list[Candidate]:
    """A thousand products, each under an agreement of its own."""
    known = state()
    return [
        Candidate(
            participant=f"owner-{number}",
            product=f"p{number}",
            agreement=agreement(number),
            facts=(),
            state=known,
            request=Request(f"p{number}", "consortium", "train"),
        )
        for number in range(CANDIDATES)
    ]


def decision_entries(decision: RoundDecision) -> list[bytes]:
    """What governance logs of a decision: every report, then the decision that names them."""
    time = instant(END)
    body: dict[str, Json] = {"decision": decision.to_json(), "digest": decision.digest}
    reports = report_entries(decision, run="run-1", round_=1, kind="train", attempt=1, time=time)
    return [*reports, entry_bytes("RoundDecided", time=time, body=body)]


def a_round(repeats: int) -> list[Figure]:
    """Deciding, reporting and logging a round of a thousand."""
    what = f"{CANDIDATES:,} candidates"
    asked = candidates()
    decision = decide_round(asked)
    if len(decision.permitted) != CANDIDATES:
        raise SystemExit(f"round: expected all permitted, got {len(decision.permitted)}")
    found = [
        measure(
            f"{what}, decided with full reports",
            "tdspace",
            lambda: decide_round(asked).digest,
            repeats=repeats,
            goal_us=150_000,
        ),
    ]
    key = CedarKey()
    found.append(
        measure(
            f"{what}, decided by two keys",
            "tdspace and cedarpy",
            lambda: decide_with_two_keys(asked, key, decide_round),
            repeats=max(3, repeats // 3),
        )
    )
    for name, make in ENGINES.items():
        if name == "tdspace":
            continue
        decide = make()
        found.append(
            measure(
                f"{CANDIDATES:,} decisions under one policy, no report",
                name,
                lambda decide=decide: [decide("diagnosis-support") for _ in range(CANDIDATES)],
                repeats=max(3, repeats // 3),
            )
        )
    with tempfile.TemporaryDirectory() as folder, a_log(Path(folder)) as log:
        found.append(
            measure(
                f"{what}, decided with full reports and durably logged",
                "tdspace",
                lambda: log.append(decision_entries(decide_round(asked))),
                repeats=repeats,
                goal_us=400_000,
            )
        )
    return found


def a_log(folder: Path) -> Log:
    """A log as governance has it: SQLite with fsync, tiles and checkpoint published."""
    return Log.open(
        folder=folder / "log",
        database=folder / "ledger.db",
        last_signed=folder / "last-signed",
        signer=NoteSigner("example.org/bench", Ed25519PrivateKey.from_private_bytes(KEY)),
    )


def a_conflict_check(repeats: int) -> list[Figure]:
    """Two policies of twenty rules, ten permissions and ten prohibitions each."""
    return [
        measure(
            f"conflict check of two policies of {RULES} rules: {name}",
            "tdspace",
            partial(check, name),
            repeats=repeats,
            goal_us=10_000,
        )
        for name in PAIRS
    ]


def show(figures: list[Figure]) -> None:
    """Print the table."""
    table = Table(title="medians; cpu beside wall")
    for column in ("what", "engine"):
        table.add_column(column)
    for column in ("cpu", "wall", "goal (cpu)"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in figures:
        cells = (text(one.cpu_us), text(one.wall_us), text(one.goal_us))
        table.add_row(one.what, one.engine, *cells)
    console = Console(width=120)
    console.print(table)
    versions = ", ".join(f"{name} {version(name)}" for name in ("cedarpy", "casbin", "regopy"))
    console.print(f"Python {sys.version.split()[0]}, {versions}", highlight=False)


def text(microseconds: float | None) -> str:
    """A time as people read it."""
    if microseconds is None:
        return ""
    if microseconds < 1000:
        return f"{microseconds:.1f} µs"
    return f"{microseconds / 1000:.1f} ms"


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    figures = one_decision(options.repeats)
    figures += a_round(options.repeats)
    figures += a_conflict_check(options.repeats)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in figures], indent=1))


if __name__ == "__main__":
    main()
