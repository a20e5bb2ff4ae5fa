"""Trainings of a project, one after another, as its log tells of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from compose_project import Project
from integration_space import of_run, wait_for

from auditors.snapshot import Snapshot
from policies.entries import Entry, parse_entry

DEADLINE_S: Final = 15  # of a round
PATIENCE_S: Final = 240.0  # on a machine that is loaded

_START = (
    "run", "start", "/public/tabular.fab", "--consumer=/consumer/home",
    "--purpose=diagnosis-support", "--no-watch", "--json",
)  # fmt: skip


@dataclass(slots=True)
class Runs:
    """Starts trainings and follows the last of them.

    Args:
        rounds: of each.
    """

    project: Project
    rounds: int
    ids: list[str] = field(default_factory=list)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.project.volume("space") / "space" / "log"

    @property
    def last(self) -> str:
        """The id of the last one that was started."""
        return self.ids[-1]

    def start(self) -> str:
        """Start one; its id.

        Each has a first model of its own. Of the same model no sum is opened whose cohort is nearly
        that of an earlier one, so that a part killed in the first round would cost its result.
        """
        words = (*_START, f"--rounds={self.rounds}", f"--deadline-s={DEADLINE_S}")
        words += (f"--config=seed={secrets.randbelow(1 << 31)}",)
        said = self.project.compose("run", "--rm", "--no-deps", "-T", "train", *words)
        self.ids.append(str(json.loads(said)["run"]))
        return self.last

    def resume(self) -> None:
        """Go on with the last one, as its consumer would; returns at once."""
        words = ("run", "resume", self.last, "--consumer=/consumer/home")
        self.project.compose("run", "--rm", "--no-deps", "-d", "train", *words)

    def in_a_round(self) -> None:
        """Returns in the middle of a round of the last one; starts another if that is over."""
        while True:
            if not self.ids or self.over:
                self.start()
            known = len(self.of("RoundDecided"))
            self.wait("a round", lambda: len(self.of("RoundDecided")) > known or self.over)  # noqa: B023
            if not self.over:
                return

    def goes_on(self) -> None:
        """Returns once a round that is decided from now on closed with a result, or all are."""
        known = len(self.of("RoundDecided"))

        def closed() -> bool:
            later = {entry.body["round"] for entry in self.of("RoundDecided")[known:]}
            closes = self.of("RoundClosed", quorum_met=True)
            return self.over or any(entry.body["round"] in later for entry in closes)

        self.wait("a later round to close", closed)

    def end(self) -> Entry:
        """How the last one ended, once it did."""
        self.wait("the run to end", lambda: self.over)
        return self.of("RunEnded")[-1]

    @property
    def over(self) -> bool:
        """Whether the last one ended, and was not resumed since."""
        turns = [one.type for one in self.told() if one.type in ("RunEnded", "RunResumed")]
        return turns[-1:] == ["RunEnded"]

    def of(self, kind: str, **fields: object) -> list[Entry]:
        """Entries of the last one."""
        return of_run(self.told(), self.last, kind, **fields)

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Returns once `ready()`; fails with the last one's entries."""
        try:
            wait_for(what, ready, timeout_s=PATIENCE_S, every_s=0.2)
        except AssertionError as late:
            told = [(one.time[11:19], one.type, one.body.get("round")) for one in self.told()]
            raise AssertionError(f"{late}; {self.last}: {told[-20:]}") from late

    def told(self) -> list[Entry]:
        """All entries that name the last one."""
        id = self.last.encode()
        lines = (line for _, line in Snapshot.take(self.log).entries())
        return [parse_entry(line) for line in lines if id in line]
