"""Keeps whose rows a use has, while the node works: once a data version, once a set of states."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from clients.consent import Subjects
from clients.rolls import (
    PackedStates,
    Roll,
    codes_of,
    packed_states,
    roll_id,
    roll_of,
    subject_key,
)
from clients.selection import Selection
from clients.used_rows import UseRows
from policies.fields import instant
from policies.permit import PermitBody

REMEMBERED: Final = 32
"""Products of which the id of the last numbering is remembered."""


class RowStore(Protocol):
    """Where it is kept; `clients.used_rows.UsedRows` says what each promises."""

    def has_roll(self, roll: str) -> bool:
        """Whether this numbering is kept."""

    def keep_roll(self, roll: Roll) -> None:
        """Durable when it returns."""

    def has_states(self, states: str) -> bool:
        """Whether these states are kept."""

    def keep_rows(
        self, rows: UseRows, *, roll: Roll | None = None, states: PackedStates | None = None
    ) -> None:
        """In one transaction, durable when it returns."""


def keep_numbering(store: RowStore, subjects: Subjects, *, node_salt: bytes) -> None:
    """Number a data version's subjects before its first use, so that no round waits for it.

    Raises:
        StateUnavailable: not kept; the first use does it.
    """
    key = subject_key(node_salt)
    roll = roll_id(key, subjects)
    if not store.has_roll(roll):
        store.keep_roll(roll_of(key, roll, subjects))


@dataclass(frozen=True, slots=True)
class _Numbered:
    subjects: Subjects
    roll: str


class RowBook:
    """Writes of whose rows were used. Safe to share between threads."""

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._last: dict[str, _Numbered] = {}

    def keep(self, body: PermitBody, product: str, selected: Selection, *, at: datetime) -> None:
        """Durable when it returns; before that, no app may see a row.

        Args:
            at: the moment for which consents were asked.

        Raises:
            StateUnavailable: not kept; the use must not go on.
        """
        rows = UseRows(
            permit_id=body.id,
            known="no-subjects",
            kind=body.kind,
            purpose=body.purpose,
            selected=instant(at),
            product_commitment=selected.product_commitment,
        )
        subjects = selected.subjects
        if subjects is None:
            self._store.keep_rows(rows)
            return
        key = subject_key(selected.salt)
        roll = self._roll_id(key, product, subjects)
        states = packed_states(key, codes_of(selected.states, subjects, selected.standings))
        self._store.keep_rows(
            replace(rows, known="of-subjects", roll=roll, states=states.id),
            roll=None if self._store.has_roll(roll) else roll_of(key, roll, subjects),
            states=None if self._store.has_states(states.id) else states,
        )

    def _roll_id(self, key: bytes, product: str, subjects: Subjects) -> str:
        with self._turn:
            last = self._last.pop(product, None)
            if last is None or last.subjects is not subjects:
                last = _Numbered(subjects, roll_id(key, subjects))
            while len(self._last) >= REMEMBERED:
                del self._last[next(iter(self._last))]
            self._last[product] = last
            return last.roll
