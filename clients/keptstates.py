"""What apps keep between the rounds of a run: sealed rows of the node's database.

It is replaced in the transaction that ends a use (clients.uses), and dropped in the one that takes
consent or approval back (clients.holdings): there is never a state of a use that did not end well,
nor of an agreement or app that no longer holds.
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, delete, func, insert, select

from clients.database import Database
from clients.records import KeptState, Use
from clients.schema import APP_STATES

_KEY = ("run", "product", "agreement", "app")


class KeptStates(Database):
    """The part of a node's database that holds what apps keep."""

    def app_state(self, *, run: str, product: str, agreement: str, app: str) -> KeptState | None:
        """What this app kept in this run of this product under this agreement."""
        table = APP_STATES.c
        query = select(APP_STATES).where(
            table.run == run,
            table.product == product,
            table.agreement == agreement,
            table.app == app,
        )
        row = self._one(query)
        return None if row is None else KeptState(**row._mapping)

    def app_states(self) -> list[KeptState]:
        """All of them, the oldest first, without what they hold (`sealed` is empty)."""
        columns = [column for column in APP_STATES.c if column.name != "sealed"]
        rows = self._all(select(*columns).order_by(APP_STATES.c.kept))
        return [KeptState(**row._mapping, sealed=b"") for row in rows]

    def app_state_bytes(self) -> int:
        """How much all of them hold."""
        row = self._one(select(func.coalesce(func.sum(APP_STATES.c.size), 0)))
        return 0 if row is None else int(row[0])

    def forget_app_states(self, run: str) -> int:
        """Drop what was kept in a run; returns how many there were."""
        with self._transaction() as connection:
            return drop_states(connection, run=run)


def replace_state(connection: Connection, use: Use, state: KeptState | None) -> None:
    """What is kept after a use is `state`, which may be nothing.

    Args:
        use: whose; a state of another run, product, agreement or app is never kept.
    """
    key = {name: getattr(use, name) for name in _KEY}
    drop_states(connection, **key)
    if state is not None:
        connection.execute(insert(APP_STATES).values(asdict(state) | key))


def drop_states(connection: Connection, **which: str) -> int:
    """Drop all states whose columns have these values; returns how many there were."""
    conditions = [APP_STATES.c[name] == value for name, value in which.items()]
    return connection.execute(delete(APP_STATES).where(*conditions)).rowcount
