"""What a node must not forget: used permits, uses, consents, approved apps, the last checkpoint.

`clients.database` says how it is kept, `clients.schema` in which tables.
"""

from __future__ import annotations

from sqlalchemy import select

from clients.holdings import Holdings
from clients.journal import Journal
from clients.keptstates import KeptStates
from clients.records import KeptState, ProductRecord, SeenCheckpoint, Use
from clients.schema import JOURNAL
from clients.served import Served
from clients.used_rows import UsedRows
from clients.uses import Uses

__all__ = ["Journal", "KeptState", "NodeState", "ProductRecord", "SeenCheckpoint", "Use"]


class NodeState(Uses, UsedRows, Holdings, KeptStates, Served):
    """The node's database. Safe to share between threads.

    Every method raises StateUnavailable when the file cannot be read or written.
    """

    def pending_entries(self) -> list[tuple[int, bytes]]:
        """Entries that the node's own log lacks, in order, each with its number."""
        rows = self._all(select(JOURNAL.c.number, JOURNAL.c.entry).order_by(JOURNAL.c.number))
        return [(row.number, row.entry) for row in rows]

    def drop_entry(self, number: int) -> None:
        """The log holds this entry durably."""
        with self._transaction() as connection:
            connection.execute(JOURNAL.delete().where(JOURNAL.c.number == number))
