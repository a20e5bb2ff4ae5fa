"""Measured leakage: what attacks get out of updates, sums and released models, on real data.

    python bench/leakage.py                          everything; about five minutes, one thread
    python bench/leakage.py --quick                  fewer trials and shadow models
    python bench/leakage.py --json FILE --plots DIR  also write the figures, and plots as SVG

Three questions, of scikit-learn's digits among ten enterprises and of the demo's seven hospitals
(nothing is downloaded):

    records    can rows be rebuilt from what the aggregator sees? (gradient inversion; the imprint
               model of a malicious server; an app that sends its rows)
    members    can it be told from the released model who was in the data? (LiRA, 32 shadow models;
               mislabelled canaries), and what does hiding it cost in accuracy?
    shipped    does the code that ships add the noise that its epsilon is computed from? (an audit
               of one run with canaries)

docs/privacy.md says what the figures mean, and where an attack is weak. The exit code is 1 if a
figure that the documentation promises is not reached: with clip and noise at epsilon 8 and 3 no
digit is rebuilt at 25 dB, and on average none nearer than the nearest other record is; LiRA's AUC
is at most 0.52 there; at epsilon 3 the accuracy on digits is 95 % of that without.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path[:1] = [str(Path(__file__).parents[1])]
# Small matrices: a second thread waits more than it works.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console
from rich.table import Table

from bench.attacks.data import Population, digits, hospitals
from bench.attacks.gallery import write_gallery
from bench.attacks.measure import QUICK, Rebuilt, Shipped, Size, Told, rebuilt, shipped, told
from bench.attacks.plots import write_plots
from bench.attacks.promises import broken

PARTS = ("records", "members", "shipped")


def main() -> int:
    """Measure, print, write; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer trials and shadow models")
    parser.add_argument("--part", choices=PARTS, help="one question only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--plots", type=Path, help="also write plots into this folder")
    options = parser.parse_args()
    if options.plots and options.part:
        parser.error("--plots: expected all parts; leave --part out")
    size = QUICK if options.quick else Size()
    asked = (options.part,) if options.part else PARTS
    start, cpu = time.monotonic(), time.process_time()
    populations = [digits(), hospitals()]
    records = _records(populations, size) if "records" in asked else []
    members = _members(populations, size) if "members" in asked else []
    audits = _shipped() if "shipped" in asked else []
    print(f"{time.monotonic() - start:.0f} s, {time.process_time() - cpu:.0f} s of CPU")
    figures = {
        "records": [asdict(one) for one in records],
        "members": [asdict(one) for one in members],
        "shipped": [asdict(one) for one in audits],
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")
    if options.plots:
        write_plots(figures, options.plots)
        write_gallery(populations[0], options.plots)
    missed = broken(records, members)
    for text in missed:
        print(f"MISSED: {text}")
    return 1 if missed else 0


def _records(populations: list[Population], size: Size) -> list[Rebuilt]:
    found = []
    for population in populations:
        table = Table("the aggregator has", "attack", "z", title=f"records: {population.name}")
        for heading in ("PSNR, dB", "best", "25 dB or more", "records"):
            table.add_column(heading, justify="right")
        for one in rebuilt(population, size):
            found.append(one)
            likeness = one.found
            table.add_row(
                one.seen,
                one.attack,
                f"{one.noise:.2f}" if one.noise else "",
                f"{likeness.mean:.1f}",
                f"{likeness.best:.1f}",
                f"{likeness.recognised:.1%}",
                str(likeness.records),
            )
        _show(table)
    return found


def _members(populations: list[Population], size: Size) -> list[Told]:
    found = []
    for population in populations:
        table = Table("training", "rounds", "z", title=f"members: {population.name}")
        for heading in ("accuracy (least)", "with half", "LiRA AUC", "95 %", "at most"):
            table.add_column(heading, justify="right")
        for heading in ("TPR at 1 %", "canaries: aggregator", "canaries: model"):
            table.add_column(heading, justify="right")
        for one in told(population, size):
            found.append(one)
            lira, watched = one.lira, one.watched
            table.add_row(
                one.training,
                str(one.rounds),
                f"{one.noise:.2f}" if one.noise else "",
                f"{one.accuracy:.3f} ({one.lowest:.3f})",
                f"{one.half_accuracy:.3f}",
                f"{lira.auc:.3f}",
                f"{lira.low:.3f}-{lira.high:.3f}",
                f"{one.most_auc:.3f}",
                f"{lira.tpr:.1%}",
                f"{watched.epsilon:.2f}, AUC {watched.auc:.3f}" if watched else "",
                f"{one.released.epsilon:.2f}, AUC {one.released.auc:.3f}",
            )
        _show(table)
    return found


def _shipped() -> list[Shipped]:
    table = Table("epsilon", "z", "shown at least", "of at most", "AUC", title="shipped code")
    found = list(shipped())
    for one in found:
        audit = one.found
        table.add_row(
            f"{one.epsilon:g}",
            f"{one.noise:.2f}",
            f"{audit.epsilon:.2f}",
            f"{audit.most:.2f}",
            f"{audit.auc:.3f}",
        )
    _show(table)
    return found


def _show(table: Table) -> None:
    Console(width=170 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    sys.exit(main())
