"""Eight digits, and what attacks make of them, as pictures."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np

from auditors import svg
from auditors.svg import WIDTH, Said
from bench.attacks.accounting import noise_of
from bench.attacks.data import Floats, Population
from bench.attacks.imprint import bins, imprint_for, received_rows
from bench.attacks.inversion import Effort, analytic, optimised
from bench.attacks.similarity import psnr
from bench.attacks.training import PLANS, untrained
from bench.attacks.views import View, opened, prior_of

SHOWN, SIDE, LEFT, CELL, GAP = 8, 8, 292, 44, 8
CLIENTS = 10
EPSILON = 8.0
SEED = 12


def write_gallery(population: Population, folder: Path) -> Path:
    """The picture, into a folder; its path."""
    path = folder / "digits.svg"
    path.write_text(draw(lines_of(population)) + "\n", encoding="utf-8")
    return path


def lines_of(population: Population) -> list[tuple[str, Floats]]:
    """Of the same eight records what each attack finds that is nearest to it, [8, 64]."""
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(population.rows), CLIENTS * SHOWN, replace=False)
    rows, labels = population.rows[chosen], population.labels[chosen]
    shown, own = rows[:SHOWN], labels[:SHOWN]
    plan = PLANS[population.name][EPSILON]
    noise = noise_of(EPSILON, plan.rounds)
    clear, plain = View("one update", 1, SHOWN), View("sum", CLIENTS, SHOWN)
    noisy = View("noisy sum", CLIENTS, SHOWN, plan, noise)
    model = untrained(population, 1)

    sums = opened(model, shown, own, clear, rng)
    found = optimised(population, model, sums, own, clear, rng, Effort())
    inverted = np.concatenate([analytic(sums), found])
    imprints = []
    for view in (plain, noisy):
        first, _ = opened(imprint_for(population, view, SEED), rows, labels, view, rng)
        imprints.append(bins(first, view.deviation, prior_of(population)))
    received = received_rows(population, plan, noise, plan.rounds, SEED)[chosen[:SHOWN]]
    others = np.delete(population.rows, chosen[:SHOWN], 0)

    def best(guesses: Floats) -> Floats:
        return np.asarray(guesses[psnr(shown, guesses, population).argmax(1)])

    return [
        ("the records", shown),
        ("one update of 8 records, inverted", best(inverted)),
        ("sum of 10 clients, imprint model", best(imprints[0])),
        (f"the same with clip and noise, ε {EPSILON:g}", best(imprints[1])),
        (f"rows sent {plan.rounds} times, ε {EPSILON:g}", received),
        ("the nearest other record", best(others)),
        ("the mean of public records", np.repeat(population.public.mean(0)[None], SHOWN, 0)),
    ]


def draw(lines: list[tuple[str, Floats]]) -> str:
    """The pictures of each line beside its name, on white."""
    height = (CELL + GAP) * len(lines) + GAP
    parts = [svg.box(0, 0, WIDTH, height, fill="#ffffff")]
    for n, (name, images) in enumerate(lines):
        y = GAP + n * (CELL + GAP)
        parts.append(svg.text(LEFT - 12, y + CELL / 2 + 4, name, anchor="end"))
        for place, image in enumerate(images):
            x = LEFT + place * (CELL + GAP)
            data = b64encode(png(image.reshape(SIDE, SIDE))).decode()
            parts.append(
                f'<image x="{x}" y="{y}" width="{CELL}" height="{CELL}" '
                f'image-rendering="pixelated" href="data:image/png;base64,{data}"/>'
            )
    said = Said(
        id="digits",
        title="Eight digits and what attacks make of them",
        text="Each line shows, for the same eight records, the guess that is nearest to each.",
    )
    return str(svg.document(said, height, parts)).replace(
        'font-family="inherit"', 'font-family="sans-serif"'
    )


def png(image: Floats) -> bytes:
    """A grey picture of numbers from 0, white, to 1 (PNG specification, 8 bits, no filter)."""
    grey = np.rint(255 * (1 - np.clip(image, 0, 1))).astype(np.uint8)
    size = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in grey)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
