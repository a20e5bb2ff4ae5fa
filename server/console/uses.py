"""Uses of data products by their receipts, for those whom they concern."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from server.pki import Identity
from server.tables import RECEIPTS, ROUNDS, RUNS

MAX_USES: Final = 200
_SEES_ALL: Final = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True)
class Use:
    """One enterprise's outcome in a round that it was permitted to take part in.

    Attributes:
        agreement: under which it was permitted; "" where the permit names none.
        accepted: its receipt was accepted; else `text` says why not.
        index: of the log's entry.
    """

    participant: str
    product: str
    agreement: str
    run: str
    kind: str
    round: int
    decided: str
    accepted: bool
    rows: int
    text: str
    index: int


def uses(connection: Connection, caller: Identity, *, most: int = MAX_USES) -> list[Use]:
    """The newest uses that the caller may see: operator and auditors all, an owner those of its
    products, a consumer those of its runs; the newest first.

    Args:
        most: at most so many.
    """
    query = (
        select(
            RECEIPTS.c.participant,
            RECEIPTS.c.product,
            RECEIPTS.c.accepted,
            RECEIPTS.c.rows_used,
            RECEIPTS.c.text,
            RECEIPTS.c.entry,
            ROUNDS.c.run,
            ROUNDS.c.kind,
            ROUNDS.c.round,
            ROUNDS.c.decided,
            ROUNDS.c.permit_body,
        )
        .join(ROUNDS, ROUNDS.c.permit_id == RECEIPTS.c.permit_id)
        .join(RUNS, RUNS.c.id == ROUNDS.c.run)
        .where(RECEIPTS.c.participant != "")
        .order_by(RECEIPTS.c.entry.desc())
        .limit(most)
    )
    if caller.role not in _SEES_ALL:
        own = RECEIPTS.c.participant if caller.role == "node" else RUNS.c.consumer
        query = query.where(own == caller.participant)
    found = []
    for row in connection.execute(query):
        found.append(
            Use(
                participant=row.participant,
                product=row.product,
                agreement=_agreement(row.permit_body, row.participant, row.product),
                run=row.run,
                kind=row.kind,
                round=row.round,
                decided=row.decided,
                accepted=row.accepted,
                rows=row.rows_used,
                text=row.text,
                index=row.entry,
            )
        )
    return found


def _agreement(permit: str | None, participant: str, product: str) -> str:
    for member in json.loads(permit)["cohort"] if permit else ():
        if member["participant"] == participant and member["product"] == product:
            return str(member["agreement"])
    return ""
