"""Whose turn a negotiation is, and what there is to do: for its page.

A session stands for whoever signed in, and so may ask for an offer as it is published and end a
negotiation: acts that no signature goes with (docs/contracts.md). To offer, to agree, to accept an
owner's own offer and to verify take a key, or the record of what was asked for, and both are in
the participant's folder: for these the page has the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from server.dsp.machine import Party
from server.dsp.negotiation import NEGOTIATION
from server.pki import Identity

PID: Final = "urn:tdspace:console:"
"""How the consumerPid of a negotiation begins that was opened on a page."""

Part = Literal["consumer", "provider", ""]


@dataclass(frozen=True, slots=True)
class Command:
    """A command with its ids filled in; `key` names what it does."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """How a negotiation stands for one reader.

    Attributes:
        part: which party the reader is; "" for who only looks.
        key: of the sentence that says what is next.
        commands: what the reader may run now; empty where it is the other's turn.
        may_end: whether the reader may end it by its word.
        ended: nothing follows any more.
    """

    part: Part
    key: str
    commands: tuple[Command, ...]
    may_end: bool
    ended: bool


_WHOSE: Final[Mapping[str, Party]] = {
    "REQUESTED": "provider",
    "OFFERED": "consumer",
    "ACCEPTED": "provider",
    "AGREED": "consumer",
    "VERIFIED": "provider",
}


def part_of(caller: Identity, one: Mapping[str, Any]) -> Part:
    """Which party of a listed negotiation the caller is."""
    if caller.role == "consumer" and caller.participant == one["consumer"]:
        return "consumer"
    if caller.role == "node" and caller.participant == one["owner"]:
        return "provider"
    return ""


def turn_of(caller: Identity, one: Mapping[str, Any], *, auto: bool) -> Turn:
    """How a negotiation stands for the caller.

    Args:
        one: as `server.dsp.views` lists it.
        auto: its offer is one that the owner's node agrees to by itself.
    """
    part, state = part_of(caller, one), str(one["state"])
    ended = state in NEGOTIATION.final
    whose = _WHOSE.get(state)
    if ended or whose is None:
        key = f"turn-{state}"
    elif part == whose:
        key = f"turn-{state}-yours"
    else:
        waits = auto and state == "REQUESTED" and one["word_for_word"]
        key = f"turn-{state}-{'auto' if waits else 'theirs'}"
    return Turn(
        part=part,
        key=key,
        commands=_commands(part, state, one) if part == whose else (),
        may_end=bool(part) and NEGOTIATION.check(state, "TERMINATED", part) is None,  # type: ignore[arg-type]
        ended=ended,
    )


def request_command(product: str, offer: str) -> str:
    """What asks for other terms than those of an offer, whose id somebody else has chosen."""
    about = f"{shlex.quote(product)} --offer {shlex.quote(offer)}"
    return f"tds contract request {about} --terms changed.json --consumer ./CONSUMER"


def _commands(part: Part, state: str, one: Mapping[str, Any]) -> tuple[Command, ...]:
    id = shlex.quote(str(one["negotiation"]))
    if part == "provider":
        agree = Command("do-agree", f"tds contract accept {id} --node ./NODE")
        other = f"tds contract offer offer.json --negotiation {id} --node ./NODE"
        return (agree, Command("do-offer", other)) if state == "REQUESTED" else (agree,)
    if state == "OFFERED":
        answer = f"tds contract request {id} --terms changed.json --consumer ./CONSUMER"
        return (
            Command("do-accept", f"tds contract accept {id} --consumer ./CONSUMER"),
            Command("do-counter", answer),
        )
    return (Command("do-verify", f"tds contract verify {id}{_asked(one)} --consumer ./CONSUMER"),)


def _asked(one: Mapping[str, Any]) -> str:
    """What the consumer's folder does not know of a request that was made on a page."""
    if str(one["consumer_pid"] or "").startswith(PID) and one["word_for_word"]:
        return f" --offer {shlex.quote(str(one['offer']))}"
    return ""
