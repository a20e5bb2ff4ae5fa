"""Which uses had rows of one subject, from what the node kept of each (clients.used_rows).

The answer is about the moment of each use: data and consents may have changed since. It is for the
owner only: nothing of it stands in a log or travels.

A row that a use was `trained` on or `evaluated` on reached the app, whether the use ended well or
not. An evaluation is given no training rows (clients.appcall). Of a use that failed or was cut off
the rows may not have reached the app any more; it counts all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from clients.errors import StateUnavailable
from clients.records import Use
from clients.rolls import (
    TAKEN_BACK,
    PackedStates,
    Places,
    Roll,
    states_from,
    subject_digest,
    subject_key,
)
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
from clients.used_rows import Known, UseRows

WHY: Final = {
    "": "",
    "not-given": "no consent to the purpose had been given",
    "withdrawn": "consent to the purpose had been withdrawn",
}

_Record = TypeVar("_Record", Roll, PackedStates)


class RowReader(Protocol):
    """What is kept; `clients.used_rows.UsedRows` says what each promises."""

    def uses_with_rows(self) -> list[tuple[Use, UseRows | None]]:
        """Every use, oldest first; those without rows had none."""

    def roll(self, roll: str) -> Roll | None:
        """A numbering that is kept."""

    def states(self, states: str) -> PackedStates | None:
        """States that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class SubjectUse:
    """One use of data that had rows of the subject.

    Attributes:
        trained, evaluated: rows that the app was given for it.
        left_out: rows that it was not given for want of consent; `why` is "not-given", "withdrawn"
            or, where none was left out, "".
        places: which rows they are, from 0, in the order of the data at that time.
        codes: what became of each.
    """

    use: Use
    rows: UseRows
    trained: int
    evaluated: int
    left_out: int
    why: str
    places: Places = field(repr=False)
    codes: States = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubjectAnswer:
    """All that the node knows.

    Attributes:
        uses: those of data that had rows of the subject, oldest first.
        without: how many uses were of data without a row of the subject.
        idle: how many uses ended before any row was selected.
        unknown: of how many uses of a product it is not known whose rows they had, and why.
    """

    uses: tuple[SubjectUse, ...]
    without: int
    idle: int
    unknown: dict[tuple[str, Known], int]


def uses_of(
    reader: RowReader, *, node_salt: bytes, subject: str, product: str | None = None
) -> SubjectAnswer:
    """Every use of the subject's rows.

    Args:
        node_salt: the node's secret for commitments.
        subject: the id as it stands in the data.
        product: of this product only.

    Raises:
        StateUnavailable: what is kept cannot be read, or is not whole.
    """
    kept = _Kept(reader, subject_digest(subject_key(node_salt), subject))
    found: list[SubjectUse] = []
    without = idle = 0
    unknown: dict[tuple[str, Known], int] = {}
    for use, rows in reader.uses_with_rows():
        if product is not None and use.product != product:
            continue
        if rows is None:
            idle += 1
        elif rows.known != "of-subjects":
            place = use.product, rows.known
            unknown[place] = unknown.get(place, 0) + 1
        elif len(places := kept.places(rows)):
            found.append(_use(use, rows, places, kept.codes(rows, places)))
        else:
            without += 1
    return SubjectAnswer(tuple(found), without, idle, unknown)


class _Kept:
    """What is kept about one subject; each numbering and each set of states is read once."""

    def __init__(self, reader: RowReader, digest: bytes) -> None:
        self._reader = reader
        self._digest = digest
        self._places: dict[str, Places] = {}
        self._codes: dict[tuple[str, str], States] = {}

    def places(self, rows: UseRows) -> Places:
        """The subject's rows, in the data of this use."""
        roll = rows.roll or ""
        if roll not in self._places:
            found = _found(self._reader.roll(roll), rows)
            self._places[roll] = found.rows_of(self._digest)
        return self._places[roll]

    def codes(self, rows: UseRows, places: Places) -> States:
        """What became of them."""
        pair = rows.roll or "", rows.states or ""
        if pair not in self._codes:
            found = _found(self._reader.states(pair[1]), rows)
            if places[-1] >= found.rows:
                raise _damaged(rows)
            self._codes[pair] = found.unpacked()[places]
        return self._codes[pair]


@dataclass(frozen=True, slots=True)
class OpenedUse:
    """The subject's rows of one use, opened against its receipt's `rows_commitment`."""

    use: Use
    commitment: str
    rows: tuple[OpenedRow, ...]


def opened(
    reader: RowReader, uses: Iterable[SubjectUse], *, node_salt: bytes
) -> Iterator[OpenedUse]:
    """What shows an auditor what became of exactly these rows, and nothing of any other.

    Raises:
        StateUnavailable: as `uses_of`.
    """
    tree, of = None, ""
    for one in uses:
        rows = one.rows
        states = states_from(_found(reader.states(rows.states or ""), rows).unpacked())
        if tree is None or of != rows.product_commitment:
            of = rows.product_commitment
            tree = RowTree.of(node_salt=node_salt, product_commitment=of)
        salt = use_salt(node_salt=node_salt, permit=one.use.permit)
        yield OpenedUse(
            use=one.use,
            commitment=rows_commitment(tree, states, salt),
            rows=tuple(open_row(tree, states, salt, row) for row in one.places.tolist()),
        )


def _found(found: _Record | None, rows: UseRows) -> _Record:
    if found is None:
        raise _damaged(rows)
    return found


def _damaged(rows: UseRows) -> StateUnavailable:
    return StateUnavailable(
        f"permit {rows.permit_id}: expected what was kept of its rows, got none or others; the "
        "node's database was changed by something else: restore it from a copy"
    )


def _use(use: Use, rows: UseRows, places: Places, codes: States) -> SubjectUse:
    given, taken_back = int((codes == LEFT_OUT).sum()), int((codes == TAKEN_BACK).sum())
    return SubjectUse(
        use=use,
        rows=rows,
        trained=int((codes == TRAINING).sum()) if rows.kind == "train" else 0,
        evaluated=int((codes == EVALUATION).sum()),
        left_out=given + taken_back,
        why="withdrawn" if taken_back else "not-given" if given else "",
        places=places,
        codes=codes,
    )
