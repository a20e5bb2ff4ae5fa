"""What the page of the space shows: who is there, what they offer, and the log's head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.cosignature import cosigner_of, open_cosigned
from ledger.errors import LedgerError
from ledger.folder import CHECKPOINT
from ledger.note import MAX_NOTE_BYTES, NoteVerifier
from server.console.drawing import Drawn
from server.console.words import Words
from server.governance import Governance
from server.pki import Identity

Object = dict[str, Any]
OFFERED: Final = 2  # products that a drawn card names


@dataclass(frozen=True, slots=True)
class Head:
    """The log's head as published.

    Attributes:
        cosigned: the participants whose cosignatures hold.
        note: its text.
    """

    size: int
    root: str
    cosigned: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class SpaceView:
    """The space as one caller sees it; documents as `server.views` makes them."""

    people: Sequence[Object]
    products: Sequence[Object]
    offers: Mapping[str, int]
    up: frozenset[str]
    head: Head | None


class Spaces:
    """Reads of the space.

    Args:
        log_folder: where its log is published.
    """

    def __init__(self, governance: Governance, log_folder: Path) -> None:
        self._governance = governance
        self._log_folder = log_folder

    def view(self, caller: Identity) -> SpaceView:
        """The space as the caller may see it."""
        people = listed(self._governance, caller, "participants")
        offers: dict[str, int] = {}
        for one in listed(self._governance, caller, "offers"):
            if not one["withdrawn"]:
                offers[one["product"]] = offers.get(one["product"], 0) + 1
        return SpaceView(
            people=people,
            products=listed(self._governance, caller, "products"),
            offers=offers,
            up=self._governance.witnesses.cosigning.watching(),
            head=self._head(people),
        )

    def _head(self, people: Sequence[Object]) -> Head | None:
        """The published head; None if it cannot be read, or its signature does not hold."""
        names: dict[NoteVerifier, str] = {}
        try:
            for one in people:
                if one["log_key"]:
                    witness = cosigner_of(NoteVerifier.parse(one["log_key"]))
                    names[witness] = one["participant"]
            with (self._log_folder / CHECKPOINT).open("rb") as file:
                note = file.read(MAX_NOTE_BYTES + 1).decode("utf-8")
            own = NoteVerifier.parse(self._governance.card.log_key)
            found = open_cosigned(note, own, list(names))
        except (OSError, UnicodeDecodeError, LedgerError):
            return None
        return Head(
            size=found.checkpoint.size,
            root=found.checkpoint.root.hex(),
            cosigned=tuple(sorted(names[one.witness] for one in found.cosignatures)),
            note=note,
        )


def listed(governance: Governance, caller: Identity, what: str) -> list[Object]:
    """One of governance's lists, as the caller may see it."""
    return [json.loads(data) for data in governance.list(caller, what)]


def names_for(governance: Governance, caller: Identity) -> dict[str, str]:
    """What the caller may call participants: the operator all by their titles, others itself."""
    return {
        one["participant"]: str(one["title"])
        for one in listed(governance, caller, "participants")
        if one.get("title")
    }


def title_of(person: Object) -> str:
    """What to call a participant: its title where the reader may know it, else its id."""
    return str(person.get("title") or person["participant"])


def drawn(view: SpaceView, words: Words) -> list[Drawn]:
    """The participants for the drawing, in the order of enrolment."""
    offered: dict[str, list[str]] = {}
    for one in view.products:
        offered.setdefault(one["participant"], []).append(str(one["title"]))
    found = []
    for person in view.people:
        id, node = person["participant"], person["role"] == "node"
        titles = offered.get(id, [])
        more = f" +{len(titles) - OFFERED}" if len(titles) > OFFERED else ""
        found.append(
            Drawn(
                id=id,
                name=title_of(person),
                role=person["role"],
                region=person["region"],
                active=person["active"],
                up=id in view.up if node else None,
                note=(", ".join(titles[:OFFERED]) + more) or words("nothing"),
            )
        )
    return found
