"""Commitments and auditors in the registry: effects of entries, and who may read what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from policies.canonical import sha256_hex
from policies.disclosure import committed_by
from server.tables import AUDITORS, COMMITMENTS, INVITATIONS, PARTICIPANTS

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Auditor:
    """Who was named to read what the log commits to; the key is raw X25519, hexadecimal."""

    id: str
    profile: str
    disclosure_key: str
    entry: int


@dataclass(frozen=True, slots=True)
class CommitmentRow:
    """A commitment of the log; `erased` is the index of the entry that says so."""

    commitment: str
    kind: str
    participant: str
    entry: int
    erased: int | None


# -- effects -----------------------------------------------------------------------------------


def committed(connection: Connection, index: int, type: str, body: Body) -> None:
    """Whatever the entry commits to; where one stands twice, the first is whose it is."""
    found = committed_by(type, body)
    if found is None:
        return
    values = {
        "commitment": found.commitment,
        "kind": found.kind,
        "participant": found.participant,
        "entry": index,
    }
    connection.execute(insert_or(COMMITMENTS).values(values).on_conflict_do_nothing())


def auditor_named(connection: Connection, index: int, _time: str, body: Body) -> None:
    """`AuditorNamed`."""
    values = {
        "id": body["auditor"],
        "profile": body["profile"],
        "disclosure_key": body["disclosure_key"],
        "entry": index,
    }
    connection.execute(insert(AUDITORS), values)


def erased(connection: Connection, index: int, _time: str, body: Body) -> None:
    """`DisclosureErased`; the first erasure of a commitment counts."""
    for commitment in body["commitments"]:
        standing = (COMMITMENTS.c.commitment == commitment) & COMMITMENTS.c.erased.is_(None)
        connection.execute(update(COMMITMENTS).where(standing).values(erased=index))


# -- reads -------------------------------------------------------------------------------------


def auditors(connection: Connection) -> list[Auditor]:
    """All, in the order of naming."""
    rows = connection.execute(select(AUDITORS).order_by(AUDITORS.c.entry)).mappings()
    return [Auditor(**row) for row in rows]


def commitment(connection: Connection, id: str) -> CommitmentRow | None:
    """One."""
    query = select(COMMITMENTS).where(COMMITMENTS.c.commitment == id)
    found = connection.execute(query).mappings().one_or_none()
    return CommitmentRow(**found) if found is not None else None


def standing(connection: Connection, participant: str) -> list[CommitmentRow]:
    """Those about a participant or an auditor that are not erased, in the order of the log."""
    of = (COMMITMENTS.c.participant == participant) & COMMITMENTS.c.erased.is_(None)
    query = select(COMMITMENTS).where(of).order_by(COMMITMENTS.c.entry)
    return [CommitmentRow(**row) for row in connection.execute(query).mappings()]


def readers(connection: Connection, participant: str) -> list[str]:
    """The keys of a participant ("" for nobody's) and of every auditor."""
    query = select(PARTICIPANTS.c.disclosure_key).where(PARTICIPANTS.c.id == participant)
    own: str | None = connection.scalar(query)
    keys: Sequence[str] = connection.scalars(select(AUDITORS.c.disclosure_key)).all()
    return [*([own] if own else []), *keys]


def wanted(connection: Connection, id: str, *, now: str) -> list[str] | None:
    """Who may read a commitment; None for one that no entry and no open invitation names, or that
    was erased."""
    row = commitment(connection, id)
    if row is not None:
        return None if row.erased is not None else readers(connection, row.participant)
    named = (INVITATIONS.c.profile == id) & (INVITATIONS.c.expires > now)
    invited = select(INVITATIONS.c.token).where(named)
    return [] if connection.scalar(invited) is not None else None


def own_key_ids(connection: Connection, participant: str) -> list[str]:
    """The ids of a participant's key, and of the key that it was named an auditor with."""
    of = PARTICIPANTS.c.disclosure_key, AUDITORS.c.disclosure_key
    ids = PARTICIPANTS.c.id, AUDITORS.c.id
    found = [
        connection.scalar(select(key).where(id == participant))
        for key, id in zip(of, ids, strict=True)
    ]
    return [sha256_hex(bytes.fromhex(key)) for key in found if key]
