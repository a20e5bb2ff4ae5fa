"""Uses of data products, for those whom they concern: each permit's cohort, and what came of it.

A permit counts as a use whether its receipt came or not (DESIGN.md, step 9), so permits are what is
listed here, and receipts say the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, select

from server import queries
from server.pki import Identity
from server.rows import ReceiptRow
from server.tables import ROUNDS, RUNS

MAX_USES: Final = 200
MAX_ROUNDS: Final = 2000
"""Rounds looked at: a busy space's older uses are in the log (`tds audit find`)."""

_BATCH: Final = 100
_SEES_ALL: Final = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True)
class Use:
    """One enterprise's permission in one round, and what came of it.

    Attributes:
        outcome: `no-reply` where the round ended without one; it counts all the same.
        text: why it was left out, if it was.
        index: of the log's entry that says so: the receipt's, else the permit's.
    """

    participant: str
    product: str
    agreement: str
    run: str
    kind: str
    round: int
    decided: str
    outcome: Literal["received", "left-out", "no-reply", "at-work"]
    rows: int
    text: str
    index: int


def uses(connection: Connection, caller: Identity, *, most: int = MAX_USES) -> list[Use]:
    """The newest uses that the caller may see: operator and auditors all, an owner those of its
    products, a consumer those of its runs; the newest first.

    Args:
        most: at most so many, of the newest `MAX_ROUNDS` permitted rounds.
    """
    query = (
        select(
            ROUNDS.c.run,
            ROUNDS.c.kind,
            ROUNDS.c.round,
            ROUNDS.c.state,
            ROUNDS.c.decided,
            ROUNDS.c.permit_id,
            ROUNDS.c.permit_body,
            ROUNDS.c.permit_entry,
        )
        .where(ROUNDS.c.permit_body.is_not(None))
        .order_by(ROUNDS.c.id.desc())
        .limit(MAX_ROUNDS)
    )
    if caller.role not in (*_SEES_ALL, "node"):
        query = query.join(RUNS, RUNS.c.id == ROUNDS.c.run)
        query = query.where(RUNS.c.consumer == caller.participant)
    found: list[Use] = []
    rows = connection.execute(query).all()
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        receipts = queries.receipts(connection, [row.permit_id for row in batch])
        for row in batch:
            found += _of_round(row, receipts, caller)
        if len(found) >= most:
            break
    return found[:most]


def _of_round(row: Any, receipts: Sequence[ReceiptRow], caller: Identity) -> Iterator[Use]:
    known: dict[tuple[str, str], ReceiptRow] = {}
    for one in receipts:
        key = one.participant, one.product
        if one.permit_id == row.permit_id and (key not in known or one.accepted):
            known[key] = one
    for member in json.loads(row.permit_body)["cohort"]:
        owner, product = str(member["participant"]), str(member["product"])
        if caller.role == "node" and owner != caller.participant:
            continue
        receipt = known.get((owner, product))
        outcome: Literal["received", "left-out", "no-reply", "at-work"]
        if receipt is not None:
            outcome = "received" if receipt.accepted else "left-out"
        else:
            outcome = "at-work" if row.state == "AUTHORIZED" else "no-reply"
        yield Use(
            participant=owner,
            product=product,
            agreement=str(member["agreement"]),
            run=row.run,
            kind=row.kind,
            round=row.round,
            decided=row.decided,
            outcome=outcome,
            rows=receipt.rows_used if receipt else 0,
            text=receipt.text if receipt and not receipt.accepted else "",
            index=receipt.entry if receipt else row.permit_entry,
        )
