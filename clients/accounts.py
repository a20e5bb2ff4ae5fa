"""Accounts in the node's database: what was used of each product, under one agreement and all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from clients.records import AgreementRecord
from clients.schema import AGREEMENTS
from policies.account import NOTHING, Amounts

_ALL = select(AGREEMENTS).order_by(AGREEMENTS.c.concluded)


def agreement_record(connection: Connection, agreement: str) -> AgreementRecord | None:
    """The node's own copy of an agreement, with all that counts of its product."""
    product = select(AGREEMENTS.c.product).where(AGREEMENTS.c.id == agreement).scalar_subquery()
    rows = connection.execute(_ALL.where(AGREEMENTS.c.product == product)).all()
    return next((one for one in _records(rows) if one.id == agreement), None)


def agreement_records(connection: Connection) -> list[AgreementRecord]:
    """Every agreement that the node keeps, oldest first."""
    return _records(connection.execute(_ALL).all())


def _records(rows: Iterable[Row[Any]]) -> list[AgreementRecord]:
    found = [AgreementRecord(**row._mapping, given=NOTHING) for row in rows]
    given: dict[str, Amounts] = defaultdict(Amounts)
    for one in found:
        given[one.product] = given[one.product].plus(one.spent)
    return [one.of_product(given[one.product]) for one in found]
