"""What the page of the space shows: who is there, what they offer, and the log's head."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from ledger.cosignature import cosigner_of, open_cosigned
from ledger.errors import LedgerError
from ledger.folder import CHECKPOINT
from ledger.note import MAX_NOTE_BYTES, NoteVerifier
from policies.fields import instant
from server.console.drawing import Drawn
from server.console.words import Words
from server.governance import Governance
from server.pki import Identity
from server.tables import RECEIPTS, ROUNDS

Object = dict[str, Any]
OFFERED: Final = 2  # products that a drawn card names
MAX_LOOKED: Final = 200  # permitted rounds, for who took part when


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
    """The space as one caller sees it; documents as `server.views` makes them.

    Attributes:
        up: whose node watches the log now.
        seen: since this service started, when each that is not up was last there (UTC).
        replied: by the log, when the newest round was that each took part in (UTC).
    """

    people: Sequence[Object]
    products: Sequence[Object]
    offers: Mapping[str, int]
    up: frozenset[str]
    seen: Mapping[str, str]
    replied: Mapping[str, str]
    head: Head | None


class Spaces:
    """Reads of the space.

    Args:
        log_folder: where its log is published.
    """

    def __init__(
        self, governance: Governance, log_folder: Path, clock: Callable[[], datetime]
    ) -> None:
        self._governance = governance
        self._log_folder = log_folder
        self._clock = clock

    def version(self) -> Hashable:
        """Another value once anything changed that no entry of the log tells of."""
        minute = self._clock().replace(second=0, microsecond=0)  # certificates end by themselves
        return self._governance.witnesses.cosigning.watching(), self._note(), minute

    def view(self, caller: Identity) -> SpaceView:
        """The space as the caller may see it."""
        people = listed(self._governance, caller, "participants")
        cosigning, now = self._governance.witnesses.cosigning, self._clock()
        with self._governance.reading() as connection:
            replied = _last_receipts(connection)
        offers: dict[str, int] = {}
        for one in listed(self._governance, caller, "offers"):
            if not one["withdrawn"]:
                offers[one["product"]] = offers.get(one["product"], 0) + 1
        return SpaceView(
            people=people,
            products=listed(self._governance, caller, "products"),
            offers=offers,
            up=cosigning.watching(),
            seen={
                name: _shown(instant(now - timedelta(seconds=ago)), now)
                for name, ago in cosigning.away_s().items()
            },
            replied={name: _shown(when, now) for name, when in replied.items()},
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
            note = self._note().decode("utf-8")
            own = NoteVerifier.parse(self._governance.card.log_key)
            found = open_cosigned(note, own, list(names))
        except (UnicodeDecodeError, LedgerError):
            return None
        return Head(
            size=found.checkpoint.size,
            root=found.checkpoint.root.hex(),
            cosigned=tuple(sorted(names[one.witness] for one in found.cosignatures)),
            note=note,
        )

    def _note(self) -> bytes:
        """The published head; b"" if it cannot be read."""
        try:
            with (self._log_folder / CHECKPOINT).open("rb") as file:
                return file.read(MAX_NOTE_BYTES + 1)
        except OSError:
            return b""


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
    """The participants for the drawing, in the order of enrolment, the log behind the operator."""
    offered: dict[str, list[str]] = {}
    for one in view.products:
        offered.setdefault(one["participant"], []).append(str(one["title"]))
    found = []
    for person in view.people:
        id, node = person["participant"], person["role"] == "node"
        titles = offered.get(id, [])
        more = f" +{len(titles) - OFFERED}" if len(titles) > OFFERED else ""
        offers = (", ".join(titles[:OFFERED]) + more) or words("nothing")
        found.append(
            Drawn(
                id=id,
                name=title_of(person),
                role=person["role"],
                region=person["region"],
                active=person["active"],
                up=id in view.up if node else None,
                note=offers if node else words(f"role-{person['role']}"),
                state=presence(view, person, words) if node else person["region"],
            )
        )
        if person["role"] == "operator" and view.head is not None:
            found.append(_log(view, view.head, words))
    return found


def presence(view: SpaceView, person: Object, words: Words) -> str:
    """Whether a node is there, or when it was, in a few words."""
    id = person["participant"]
    if not person["active"]:
        return words("inactive")
    if id in view.up:
        cosigned = view.head is not None and id in view.head.cosigned
        return words("up-cosigned" if cosigned else "up")
    if id in view.seen:
        return words("seen", time=view.seen[id])
    if id in view.replied:
        return words("replied", time=view.replied[id])
    return words("unseen")


def _log(view: SpaceView, head: Head, words: Words) -> Drawn:
    nodes = sum(1 for one in view.people if one["role"] == "node" and one["active"])
    return Drawn(
        id="log",
        name=words("log"),
        role="log",
        region="",
        active=True,
        up=None,
        note=words("log-entries", n=head.size),
        state=words("log-cosigners", n=len(head.cosigned), all=nodes),
    )


def _last_receipts(connection: Connection) -> dict[str, str]:
    """When the newest round was decided that each participant's accepted receipt is of; among the
    newest `MAX_LOOKED` permitted rounds."""
    newest = (
        select(ROUNDS.c.permit_id, ROUNDS.c.decided)
        .where(ROUNDS.c.permit_id.is_not(None))
        .order_by(ROUNDS.c.id.desc())
        .limit(MAX_LOOKED)
        .subquery()
    )
    query = (
        select(RECEIPTS.c.participant, func.max(newest.c.decided).label("when"))
        .join(newest, newest.c.permit_id == RECEIPTS.c.permit_id)
        .where(RECEIPTS.c.accepted)
        .group_by(RECEIPTS.c.participant)
    )
    return {row.participant: row.when for row in connection.execute(query)}


def _shown(moment: str, now: datetime) -> str:
    """A moment (UTC) in a few letters: of this day to the minute, of another the day."""
    day = moment[:10]
    return moment[11:16] if day == instant(now)[:10] else day
