"""A guide's commands, as they stand in it, and a terminal to run them in."""

from __future__ import annotations

import csv
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands.children import Child, Children, python

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## (.*?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What stays until Ctrl-C, and what it says once others may go on.
STAYING = {
    ("demo", "--open"): "is open, until Ctrl-C",
    ("node", "run"): "connected to the SuperLink",
}
NODE_COLUMNS = ("radius", "texture", "smoothness", "symmetry")


def commands_of(page: Path, section: str) -> list[list[str]]:
    """The words after `tds` of each line in the section's `sh` blocks, in order."""
    sections = dict(SECTION.findall(page.read_text(encoding="utf-8")))
    lines = [line for block in BLOCK.findall(sections[section]) for line in block.splitlines()]
    assert lines, f"{page.name}: no commands in {section!r}"
    assert all(line.startswith("tds ") for line in lines), lines
    return [shlex.split(line)[1:] for line in lines]


def write_biopsies(folder: Path, *, rows: int, seed: int) -> None:
    """The CSV that the guide is about."""
    draw = random.Random(seed)
    with (folder / "biopsies.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*NODE_COLUMNS, "diagnosis"])
        for _ in range(rows):
            values = [round(draw.gauss(0, 1), 4) for _ in NODE_COLUMNS]
            writer.writerow([*values, "malignant" if values[0] + values[1] > 0 else "benign"])


@dataclass(slots=True)
class Terminal:
    """A folder to run a guide's commands in.

    Attributes:
        words: what the reader puts in place of a word in capitals.
    """

    folder: Path
    children: Children
    words: dict[str, str]
    timeout_s: float

    def run(self, command: list[str]) -> str:
        """What the command printed, once it is done or, where it stays, once it is up."""
        words = [self._filled(word) for word in command]
        for beginning, up in STAYING.items():
            if set(beginning) <= set(words):
                return self._stay(words, up)
        done = subprocess.run(
            [*python("-m", "commands"), *words],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _stay(self, words: list[str], up: str) -> str:
        # Children start where the test does; a shell's `cd` is what a reader's terminal does.
        line = f"cd {shlex.quote(str(self.folder))} && exec {shlex.join(self._tds(words))}"
        name = f"{words[0]}-{len(list(self.children.logs.iterdir()))}"
        child: Child = self.children.start(name, ["bash", "-c", line], env=_environment())
        self.children.wait_until(up, lambda: up in child.output(), timeout_s=self.timeout_s)
        return child.output()

    def _tds(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "commands", *words]

    def _filled(self, word: str) -> str:
        for capital, value in self.words.items():
            word = word.replace(capital, value)
        return word


def _environment() -> Mapping[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TDS_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


@contextmanager
def terminal(folder: Path, logs: Path, *, timeout_s: float) -> Iterator[Terminal]:
    """An empty folder; what was started in it ends with the block."""
    folder.mkdir(parents=True)
    with Children(logs=logs) as children:
        yield Terminal(folder, children, {}, timeout_s)
