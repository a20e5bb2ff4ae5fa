"""Which rows of a product an app may see: those whose subjects' consent stands now.

The data is read again only when its file changed (clients.vault), the consents when theirs did;
who may be used is asked anew each time. Nothing that could not be read is left to chance: the use
is refused.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from clients.consent import (
    STANDS,
    Mask,
    Stamp,
    Standing,
    Standings,
    Subjects,
    read_consents,
    stamp_of,
)
from clients.errors import ConsentError, VaultError
from clients.product import AppStateRule, Product
from clients.rowset import (
    EVALUATION,
    LEFT_OUT,
    TRAINING,
    OpenedRow,
    RowTree,
    States,
    open_row,
    rows_commitment,
    use_salt,
)
from clients.sdk import Rows
from clients.vault import OpenProduct, Vault

KEPT: Final = 32
"""Products whose last selection is remembered."""

AHEAD_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows of one use.

    Attributes:
        rows: what the app gets.
        states: uint8 [n] over the data's rows, in the file's order (clients.rowset).
        product_commitment: of the data, as `OpenProduct` has it.
        subjects: whose rows; None if the product does not say.
        standings: how each subject stood to the purpose (`Standing.of_subjects`), by its number;
            None without a table of consents.
        app_state: how long an app that saw them may keep something (clients.product).
    """

    rows: Rows
    states: States
    product_commitment: str
    tree: RowTree = field(repr=False)
    salt: bytes = field(repr=False)
    subjects: Subjects | None = None
    standings: Standings | None = None
    app_state: AppStateRule = "same-rows"

    @property
    def count(self) -> int:
        """How many rows the data has."""
        return len(self.states)

    @property
    def training(self) -> int:
        """How many rows there are to train on."""
        return len(self.rows.labels)

    @property
    def evaluation(self) -> int:
        """How many rows there are to evaluate on."""
        return len(self.rows.held_out_labels)

    @property
    def without_consent(self) -> int:
        """How many rows no app sees."""
        return self.count - self.training - self.evaluation

    def commit_ahead(self) -> None:
        """Begin to hash the rows' states, in a thread of its own: many take a second a million.

        `commitment` waits for it, and finds what did not change hashed already.
        """
        if self.count >= AHEAD_ROWS:
            ahead = threading.Thread(
                target=self.tree.root, args=(self.states,), name="commitment", daemon=True
            )
            ahead.start()

    def commitment(self, permit: str) -> str:
        """What the receipt under the permit of this digest states."""
        salt = use_salt(node_salt=self.salt, permit=permit)
        return rows_commitment(self.tree, self.states, salt)

    def open(self, permit: str, row: int) -> OpenedRow:
        """What shows one row's state against that commitment."""
        return open_row(self.tree, self.states, use_salt(node_salt=self.salt, permit=permit), row)


@dataclass(slots=True)
class _Last:
    """What was selected last of a product."""

    opened: OpenProduct
    stamp: Stamp | None
    standing: Standing | None
    selection: Selection | None = None


class Selector:
    """Selects for a node; one use at a time.

    Args:
        salt: the node's secret for commitments.
        spool: folder for the files of rows that are too large for memory (clients.rowfile).
    """

    def __init__(self, *, salt: bytes, spool: Path | None = None) -> None:
        self._salt = salt
        self._vault = Vault(salt=salt, spool=spool)
        self._last: dict[Product, _Last] = {}

    def select(self, product: Product, *, purpose: str, now: datetime) -> Selection:
        """The rows of subjects whose consent to `purpose` stands at `now`; all without a table.

        Raises:
            VaultError: the data cannot be read as declared.
            ConsentError: the consents cannot be read, or none of them stands.
        """
        last = self._current(product)
        mask = np.ones(last.opened.count, dtype=np.bool_)
        standings, subjects = None, last.opened.subjects
        if last.standing is not None and subjects is not None:
            standings = last.standing.of_subjects(purpose, now)
            mask = (standings == STANDS)[subjects.rows]
        if not mask.any():
            raise ConsentError(
                f"product {product.id}: no subject's consent to {purpose} stands; nothing was used"
            )
        states = states_of(last.opened, mask)
        known = last.selection
        if known is None or not np.array_equal(known.states, states):
            known = self._selected(product, last.opened, mask, states, known)
        if standings is not None and (
            known.standings is None or not np.array_equal(known.standings, standings)
        ):
            known = replace(known, standings=standings)
        last.selection = known
        return known

    def _current(self, product: Product) -> _Last:
        """Data and consents as they lie there now, read side by side."""
        stamp = None if product.consent is None else stamp_of(product.consent)
        last = self._last.get(product)
        with ThreadPoolExecutor(1, "consents") as pool:
            consents = None
            if product.consent is not None and (last is None or last.stamp != stamp):
                consents = pool.submit(read_consents, product.consent)
            opened = self._vault.open(product)
            if last is not None and last.opened is opened and last.stamp == stamp:
                return last
            read = None if consents is None else consents.result()
        standing = None
        if product.consent is not None:
            if opened.subjects is None:
                raise VaultError(f"product {product.id}: expected a column of subjects, got none")
            standing = Standing(read or read_consents(product.consent), opened.subjects)
            # A change from here on has another stamp: `read_consents` saw none while it read.
            if stamp_of(product.consent) != stamp:
                raise ConsentError(f"{product.consent}: changed while it was read; run it again")
        kept = last.selection if last is not None and last.opened is opened else None
        fresh = _Last(opened, stamp, standing, kept)
        while len(self._last) >= KEPT and product not in self._last:
            del self._last[next(iter(self._last))]
        self._last[product] = fresh
        return fresh

    def _selected(
        self,
        product: Product,
        opened: OpenProduct,
        mask: Mask,
        states: States,
        before: Selection | None,
    ) -> Selection:
        commitment = opened.product_commitment
        return Selection(
            rows=opened.select(mask),
            states=states,
            product_commitment=commitment,
            tree=before.tree
            if before is not None
            else RowTree.of(node_salt=self._salt, product_commitment=commitment),
            salt=self._salt,
            subjects=opened.subjects,
            app_state=product.app_state,
        )


def states_of(opened: OpenProduct, mask: Mask) -> States:
    """The state of each row (clients.rowset), where the rows of `mask` may be used."""
    states = np.full(opened.count, TRAINING, dtype=np.uint8)
    states[opened.held_back] = EVALUATION
    states[~mask] = LEFT_OUT
    states.setflags(write=False)
    return states
