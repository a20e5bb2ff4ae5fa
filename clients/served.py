"""Runs that this node served, from its own record of uses."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from clients.database import Database
from clients.schema import USES


@dataclass(frozen=True, slots=True)
class ServedRun:
    """A run that used this node's data.

    Attributes:
        permits: how many of its permits were used here.
        receipts: after how many of them a receipt was signed and the result released.
        round, permit, expires, product, outcome: of the last of them; `outcome` as in
            `clients.records.Use`.
        last: when that began.
    """

    run: str
    permits: int
    receipts: int
    round: int
    permit: str
    expires: str
    product: str
    outcome: str | None
    last: str


class Served(Database):
    """The part of a node's database that tells of runs."""

    def runs(self, *, limit: int) -> list[ServedRun]:
        """The runs whose last use is the newest, newest first."""
        order = USES.c.started.desc(), USES.c.permit_id
        ranked = select(
            USES,
            func.count().over(partition_by=USES.c.run).label("permits"),
            func.sum(func.iif(USES.c.outcome == "receipted", 1, 0))
            .over(partition_by=USES.c.run)
            .label("receipts"),
            func.row_number().over(partition_by=USES.c.run, order_by=order).label("place"),
        ).subquery()
        newest = (
            select(ranked)
            .where(ranked.c.place == 1)
            .order_by(ranked.c.started.desc(), ranked.c.run)
            .limit(limit)
        )
        return [
            ServedRun(
                run=row.run,
                permits=row.permits,
                receipts=row.receipts,
                round=row.round,
                permit=row.permit_id,
                expires=row.expires,
                product=row.product,
                outcome=row.outcome,
                last=row.started,
            )
            for row in self._all(newest)
        ]
