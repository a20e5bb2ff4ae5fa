"""State machines as tables: from, to, and who may. A value says no; nothing is raised or done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Party = Literal["consumer", "provider"]


@dataclass(frozen=True, slots=True)
class IllegalStep:
    """A step that the protocol does not have.

    Attributes:
        before: None where nothing existed yet.
    """

    machine: str
    before: str | None
    after: str
    by: Party

    @property
    def text(self) -> str:
        """For people."""
        origin = f"is {self.before}" if self.before is not None else "does not exist"
        return f"a {self.machine} that {origin} cannot be made {self.after} by the {self.by}"


@dataclass(frozen=True, slots=True)
class Machine:
    """One protocol's states.

    Attributes:
        steps: by (from, to), who may make the step; `from` is None before the first message.
        final: states that nothing leads out of.
    """

    name: str
    states: frozenset[str]
    final: frozenset[str]
    steps: Mapping[tuple[str | None, str], frozenset[Party]]

    def check(self, before: str | None, after: str, by: Party) -> IllegalStep | None:
        """None if `by` may make this step, else what is wrong with it."""
        if by in self.steps.get((before, after), frozenset()):
            return None
        return IllegalStep(self.name, before, after, by)
