"""Fuzz the intake of policies, guided by coverage where atheris is installed (extra `fuzz`).

    python bench/fuzz_intake.py [--seconds 3600] [--corpus DIR]

Starts from the seeds in tests/seeds/intake. Each input goes through every parser; what is accepted
has to read back from its normal form as itself, and to be decided, reported and compiled; all else
has to be refused by our own error with its place (`tests/property/intake_check.py`). Without
atheris valid documents are bent at random, blindly. Ends with exit code 1 at the first finding; its
input is printed, or atheris leaves it in a file `crash-*`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "property")]
MAX_INPUT = 8192  # a longer one finds nothing new, and slowly

try:
    import atheris
except ImportError:
    atheris = None

if atheris is None:
    from intake_check import SEEDS, bend, bent, check
else:
    with atheris.instrument_imports(include=["policies", "intake_check"]):
        from intake_check import SEEDS, bend, bent, check


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Another input: half of them bent as trees, since bytes alone seldom stay JSON."""
    random = Random(seed)
    if random.random() < 0.05:
        return bent(random)[:max_size]
    if random.random() < 0.5:
        try:
            document = json.loads(data)
            bend(random, document)
            return json.dumps(document).encode()[:max_size]
        except (ValueError, RecursionError):  # no JSON; its bytes are changed instead
            pass
    changed: bytes = atheris.Mutate(data, max_size)
    return changed


def guided(seconds: int, corpus: Path) -> None:
    """Run libFuzzer; it ends the process."""
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT}", "-print_final_stats=1"]
    arguments = [sys.argv[0], *options, "-timeout=5", "-rss_limit_mb=2048", str(corpus)]
    atheris.Setup(arguments, check, custom_mutator=mutate)
    atheris.Fuzz()


def blind(seconds: int) -> None:
    """Bend documents by one seed after the other."""
    ends = time.monotonic() + seconds
    seed = 0
    while time.monotonic() < ends:
        data = bent(Random(seed))
        try:
            check(data)
        except BaseException:
            print(f"seed {seed}: {data!r}")
            raise
        seed += 1
    print(f"{seed} inputs, nothing found")


def main() -> None:
    """Parse the arguments and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--corpus", type=Path, help="kept and extended; default: a temporary one")
    parser.add_argument("--blind", action="store_true", help="without coverage")
    options = parser.parse_args()
    if atheris is None or options.blind:
        blind(options.seconds)
        return
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="tds-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS.glob("*.json"):
        shutil.copy(seed, corpus)
    guided(options.seconds, corpus)


if __name__ == "__main__":
    main()
