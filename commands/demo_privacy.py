"""The demo's budgets: how much noise a run plans for, what each hospital lets its data tell.

What is told in all, and who was left out of a sum after it had sent, is read from the log, as an
auditor would.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from auditors.ledgerbook import Book
from auditors.snapshot import Snapshot
from commands.localspace import LocalSpace
from policies.canonical import Json
from policies.entries import Entry, parse_entry
from policies.privacy_budget import epsilon, noise_for
from policies.privacy_loss import Event, loss_of
from policies.values import decimal_text

DELTA: Final = Decimal("0.00001")
BUDGET: Final = Decimal(9)
"""What a hospital lets its data tell of one biopsy in all: an ε, at `DELTA`."""

SPENDS_OUT: Final = "northgate"
"""Whose owner is more careful: its budget has room for two thirds of the rounds."""

CLIP_NORM: Final = "1"
PARTS: Final = 16

OVERRIDES: Final[Mapping[str, int | float]] = MappingProxyType(
    {"hidden": 8, "local-epochs": 5, "learning-rate": 0.1}
)
"""Fewer numbers to hide and larger steps: each part is some ten biopsies."""

CONFIG: Final[Mapping[str, Json]] = MappingProxyType(
    {key: {"float": str(one)} if isinstance(one, float) else one for key, one in OVERRIDES.items()}
)
"""The same, as a run states it."""

LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run of so many rounds states, and what each hospital allows.

    Attributes:
        noise: multiplier with which all rounds and the evaluation are within `BUDGET`.
        careful: the ε that `SPENDS_OUT` allows.
    """

    noise: Decimal
    careful: Decimal

    @classmethod
    def of(cls, rounds: int) -> Plan:
        """The plan for so many training rounds."""
        noise = noise_for(BUDGET, DELTA, rounds + 1)
        assert noise is not None  # a budget of 9 has room for any number of rounds that a demo has
        careful = epsilon(loss_of(Event(noise), rounds * 2 // 3), DELTA)
        assert careful is not None  # an event with noise has a bound
        return cls(noise, careful)

    def terms(self) -> dict[str, Json]:
        """The run's terms of privacy."""
        return {
            "unit": "record",
            "parts": PARTS,
            "sample": "1",
            "noise": decimal_text(self.noise),
            "by": "nodes",
            # One hospital may drop out, or withdraw: what is left has all of the noise.
            "tolerated": 1,
            "delta": decimal_text(DELTA),
        }

    def limit(self, name: str) -> Decimal:
        """The ε that a hospital's agreement allows at most."""
        return self.careful if name == SPENDS_OUT else BUDGET

    def constraints(self, name: str) -> list[dict[str, object]]:
        """What a hospital's agreement asks for: masks, and no more than its budget."""
        return [
            _at_most("epsilon", self.limit(name)),
            _at_most("delta", DELTA),
            {
                "leftOperand": "secureAggregation",
                "operator": "isAnyOf",
                "rightOperand": ["governance", "pairwise"],
            },
        ]


def budgets(book: Book, local: LocalSpace, plan: Plan) -> dict[str, dict[str, str]]:
    """By hospital what its data told in all, by a replay of the log, and what its owner allows."""
    of = {node.agreement: node.name for node in local.nodes.values()}
    found = {}
    for one in book.agreements.values():
        told = epsilon(one.given.losses, DELTA)
        name = of[one.agreement]
        found[name] = {
            "epsilon": "none" if told is None else decimal_text(told),
            "limit": decimal_text(plan.limit(name)),
        }
    return found


def await_sent(local: LocalSpace, who: str, round_: int, *, timeout_s: float) -> bool:
    """Wait until a hospital has sent its update of a round and another has not.

    Returns:
        whether it came to that; not if the round, or the time, was over first.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        states = {name: _state(node.folder, round_) for name, node in local.nodes.items()}
        if states[who] == "sent":
            return "at work" in states.values()
        if _closed(local.space.log_folder, round_):
            return False
        time.sleep(LOOK_S)
    return False


def left_after_sending(log: Path, own: Path, participant: str) -> int:
    """The round whose update a participant sent, and that was opened without it; 0 is none."""
    sent = {
        entry.body["receipt"]["round"]  # type: ignore[index,call-overload]
        for entry in _entries(own)
        if entry.type == "UseReceipted"
    }
    for entry in _entries(log):
        body: dict[str, Any] = entry.body
        if entry.type != "RoundClosed" or body["round"] not in sent:
            continue
        if any(
            (one["participant"], one["code"]) == (participant, "consent-withdrawn")
            for one in body["left_out"]
        ):
            return int(body["round"])
    return 0


def _state(folder: Path, round_: int) -> str:
    """What a node's own log says of a training round: `at work`, `sent` or nothing."""
    state = ""
    for entry in _entries(folder / "log"):
        body: dict[str, Any] = entry.body
        if entry.type == "UseStarted" and body["round"] == round_:
            state = "at work"
        elif entry.type == "UseReceipted" and body["receipt"]["round"] == round_:
            state = "sent"
    return state


def _closed(log: Path, round_: int) -> bool:
    return any(
        entry.type == "RoundClosed" and int(str(entry.body["round"])) >= round_
        for entry in _entries(log)
    )


def _entries(log: Path) -> Iterable[Entry]:
    return (parse_entry(line) for _, line in Snapshot.take(log).entries())


def _at_most(operand: str, value: Decimal) -> dict[str, object]:
    right: Mapping[str, str] = {"@value": decimal_text(value), "@type": "xsd:decimal"}
    return {"leftOperand": operand, "operator": "lteq", "rightOperand": right}
