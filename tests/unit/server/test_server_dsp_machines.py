"""The two state machines, step by step: every one that exists, and every one that does not."""

from __future__ import annotations

from itertools import product

import pytest

from server.dsp.machine import IllegalStep, Machine, Party
from server.dsp.negotiation import NEGOTIATION
from server.dsp.transfer import TRANSFER

PARTIES: tuple[Party, ...] = ("consumer", "provider")
# From, to, C or P or both: as the specification's figures draw them.
LEGAL = {
    "negotiation": """
        none REQUESTED C
        none OFFERED P
        REQUESTED OFFERED P
        REQUESTED AGREED P
        REQUESTED TERMINATED CP
        OFFERED REQUESTED C
        OFFERED ACCEPTED C
        OFFERED TERMINATED CP
        ACCEPTED AGREED P
        ACCEPTED TERMINATED P
        AGREED VERIFIED C
        AGREED TERMINATED C
        VERIFIED FINALIZED P
        VERIFIED TERMINATED P
    """,
    "transfer": """
        none REQUESTED C
        REQUESTED STARTED P
        REQUESTED TERMINATED CP
        STARTED SUSPENDED CP
        STARTED COMPLETED CP
        STARTED TERMINATED CP
        SUSPENDED STARTED CP
        SUSPENDED TERMINATED CP
    """,
}


def legal(machine: Machine) -> set[tuple[str | None, str, Party]]:
    found: set[tuple[str | None, str, Party]] = set()
    for line in LEGAL[machine.name].split("\n"):
        if words := line.split():
            before = None if words[0] == "none" else words[0]
            found |= {(before, words[1], p) for p in PARTIES if p[0].upper() in words[2]}
    return found


CASES = [
    (machine, before, after, party)
    for machine in (NEGOTIATION, TRANSFER)
    for before, after, party in product(
        [None, *sorted(machine.states)], sorted(machine.states), PARTIES
    )
]


@pytest.mark.parametrize(
    ("machine", "before", "after", "party"),
    CASES,
    ids=[f"{m.name}-{b}-{a}-{p}" for m, b, a, p in CASES],
)
def test_every_step(machine: Machine, before: str | None, after: str, party: Party) -> None:
    answer = machine.check(before, after, party)
    if (before, after, party) in legal(machine):
        assert answer is None
    else:
        assert answer == IllegalStep(machine.name, before, after, party)
        assert after in answer.text and party in answer.text


@pytest.mark.parametrize("machine", [NEGOTIATION, TRANSFER], ids=lambda m: m.name)
def test_tables_name_known_states_and_nothing_leaves_a_final_one(machine: Machine) -> None:
    for before, after in machine.steps:
        assert after in machine.states
        assert before is None or before in machine.states - machine.final
    reached = {after for _, after in machine.steps}
    assert reached == machine.states


@pytest.mark.parametrize("machine", [NEGOTIATION, TRANSFER], ids=lambda m: m.name)
def test_an_unknown_state_leads_nowhere(machine: Machine) -> None:
    assert machine.check("UNHEARD-OF", "TERMINATED", "consumer") is not None
    assert machine.check("REQUESTED", "UNHEARD-OF", "provider") is not None
