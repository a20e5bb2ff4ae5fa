"""Whose rows each use had, in the node's database: kept before an app sees any of them.

So a use of which nothing is kept here had no rows. What is kept does not change when the data or
the consents do: `tds node subject` answers from it alone (clients.subject).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Row, Table, select
from sqlalchemy.dialects.sqlite import insert

from clients.database import Database
from clients.records import Use
from clients.rolls import PackedStates, Roll
from clients.schema import ROW_STATES, SUBJECT_ROLLS, USE_ROWS, USES

Known = Literal["of-subjects", "no-subjects", "before-version-4"]


@dataclass(frozen=True, slots=True)
class UseRows:
    """The rows of one use.

    Attributes:
        known: whether it is known whose they were; not if the product does not say, nor if the
            use was before the node kept it.
        kind: train or evaluate.
        selected: the moment for which consents were asked.
        product_commitment: as in the receipt.
        roll, states: ids of what is kept; None where it is not known.
    """

    permit_id: str
    known: Known
    kind: str
    purpose: str
    selected: str
    product_commitment: str
    roll: str | None = None
    states: str | None = None


class UsedRows(Database):
    """The part of a node's database that remembers whose rows were used."""

    def has_roll(self, roll: str) -> bool:
        """Whether this numbering is kept."""
        return self._has(SUBJECT_ROLLS, roll)

    def has_states(self, states: str) -> bool:
        """Whether these states are kept."""
        return self._has(ROW_STATES, states)

    def keep_roll(self, roll: Roll) -> None:
        """Durable when it returns; one that is kept already stays as it is."""
        with self._transaction() as connection:
            connection.execute(insert(SUBJECT_ROLLS).values(asdict(roll)).on_conflict_do_nothing())

    def keep_rows(
        self, rows: UseRows, *, roll: Roll | None = None, states: PackedStates | None = None
    ) -> None:
        """In one transaction, durable when it returns; what is kept already stays as it is.

        Args:
            roll, states: what `rows` names and `has_roll`, `has_states` did not find.
        """
        with self._transaction() as connection:
            for table, value in (
                (SUBJECT_ROLLS, roll),
                (ROW_STATES, states),
                (USE_ROWS, rows),
            ):
                if value is not None:
                    statement = insert(table).values(**asdict(value))
                    connection.execute(statement.on_conflict_do_nothing())

    def uses_with_rows(self) -> list[tuple[Use, UseRows | None]]:
        """Every use, oldest first; those without rows had none."""
        query = (
            select(USES, *(column.label(f"rows_{column.name}") for column in USE_ROWS.c))
            .join(USE_ROWS, USE_ROWS.c.permit_id == USES.c.permit_id, isouter=True)
            .order_by(USES.c.started, USES.c.round)
        )
        return [(_use(row), _rows(row)) for row in self._all(query)]

    def roll(self, roll: str) -> Roll | None:
        """A numbering that is kept."""
        row = self._one(select(SUBJECT_ROLLS).where(SUBJECT_ROLLS.c.id == roll))
        return None if row is None else Roll(**row._mapping)

    def states(self, states: str) -> PackedStates | None:
        """States that are kept."""
        row = self._one(select(ROW_STATES).where(ROW_STATES.c.id == states))
        return None if row is None else PackedStates(**row._mapping)

    def _has(self, table: Table, identifier: str) -> bool:
        return self._one(select(table.c.id).where(table.c.id == identifier)) is not None


def _use(row: Row[Any]) -> Use:
    return Use(**{name: row._mapping[name] for name in USES.c.keys()})  # noqa: SIM118 a column set


def _rows(row: Row[Any]) -> UseRows | None:
    if row._mapping["rows_permit_id"] is None:
        return None
    return UseRows(**{name: row._mapping[f"rows_{name}"] for name in USE_ROWS.c.keys()})  # noqa: SIM118
