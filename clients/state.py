"""What a node must not forget: used permits, uses, consents, approved apps, the last checkpoint.

One SQLite file (WAL, synchronous FULL), so that what a call recorded is on the disk when it
returns. Node and owner's command line open it side by side: each change is one transaction that
takes the write lock before it reads. That another process committed something shows in
`PRAGMA data_version`, which the running node watches (clients.work.StateWatcher).

The journal. A node's own log has exactly one writer: the process that holds its lock. So whoever
changes something that the log must tell (approval, revocation, withdrawal) puts the entry here in
the transaction of the change itself, numbered; `Journal.drain`, in whichever process holds the log,
appends the entries in that order. A crash between append and removal appends nothing twice: the
number is the log's idempotency key.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from clients.errors import ClientError, StateUnavailable, refused
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.log import Appended
from ledger.note import NoteVerifier
from policies.entries import EntryType, entry_bytes

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5000

_METADATA = MetaData()
_SEEN = Table(
    "seen",
    _METADATA,
    Column("id", Integer, primary_key=True),  # always 1
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", String, nullable=False),
)
_AGREEMENTS = Table(
    "agreements",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("product", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("concluded", String, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("withdrawn", String),
    Column("reason", String),
)
_PRODUCTS = Table(
    "products",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("file", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("registered", Integer),
)
_APPS = Table(
    "apps",
    _METADATA,
    Column("sha256", String, primary_key=True),
    Column("approved", String, nullable=False),
    Column("revoked", String),
)
_USES = Table(
    "uses",
    _METADATA,
    Column("permit_id", String, primary_key=True),
    Column("permit", String, nullable=False),
    Column("agreement", String, nullable=False),
    Column("product", String, nullable=False),
    Column("app", String, nullable=False),
    Column("run", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("started", String, nullable=False),
    Column("expires", String, nullable=False),
    Column("outcome", String),
)
_WITHDRAWALS = Table(
    "withdrawals",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("agreement", String, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("told", String),
)
_JOURNAL = Table(
    "journal",
    _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("entry", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a number is an idempotency key: never given twice
)


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The largest checkpoint of the space's log that this node ever accepted."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class AgreementRecord:
    """The node's own copy of an agreement.

    Attributes:
        document: what the owner signed, word for word.
        uses: uses begun under it.
        withdrawn: when consent was taken back; None while it stands.
    """

    id: str
    digest: str
    product: str
    document: bytes
    concluded: str
    uses: int
    withdrawn: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A product as it was registered.

    Attributes:
        file: absolute path of the product file; the data lies where that file says.
        digest: SHA-256 of the product file's bytes; a changed file is another product.
        card: the signed ProductCard.
        registered: index in the space's log; None until governance confirmed it.
    """

    id: str
    file: str
    digest: str
    rows: int
    card: bytes
    registered: int | None = None


@dataclass(frozen=True, slots=True)
class AppRecord:
    """The owner's word on a bundle; approved means `revoked` is None."""

    sha256: str
    approved: str
    revoked: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a product, begun once.

    Attributes:
        permit: digest of the permit's body; `permit_id` is its nonce.
        outcome: None in progress; else `receipted`, `failed`, `withdrawn`, or `stopped` (the node
            ended first).
    """

    permit_id: str
    permit: str
    agreement: str
    product: str
    app: str
    run: str
    round: int
    started: str
    expires: str
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class PendingWithdrawal:
    """A signed withdrawal that governance has not confirmed yet."""

    id: str
    agreement: str
    envelope: bytes


class NodeState:
    """The node's database. Safe to share between threads.

    Every method raises StateUnavailable when the file cannot be read or written.
    """

    def __init__(self, *, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> NodeState:
        """Open the database, made (mode 0600) if absent.

        Raises:
            StateUnavailable: locked, unreadable, or of another version of this program.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StateUnavailable(f"{path}: cannot be opened: {error.strerror}") from error
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        state = cls(path=path, engine=engine)
        try:
            with state._transaction() as connection:
                state._prepare(connection)
        except ClientError:
            engine.dispose()
            raise
        return state

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def close(self) -> None:
        """Let go of the file; nothing is pending."""
        self._engine.dispose()

    # -- what the gate reads -----------------------------------------------------------------

    def permit_used(self, permit_id: str) -> bool:
        """Whether a use under this permit was ever begun."""
        return (
            self._one(select(_USES.c.permit_id).where(_USES.c.permit_id == permit_id)) is not None
        )

    def last_seen(self) -> SeenCheckpoint | None:
        """The largest checkpoint accepted so far."""
        row = self._one(select(_SEEN.c.size, _SEEN.c.root, _SEEN.c.note))
        return None if row is None else SeenCheckpoint(**row._mapping)

    def app_approved(self, sha256: str) -> bool:
        """Whether the owner approved this bundle and did not revoke it."""
        with self._transaction(reading=True) as connection:
            return _approved(connection, sha256)

    def agreement(self, agreement: str) -> AgreementRecord | None:
        """The node's own copy, with its counter and consent."""
        row = self._one(select(_AGREEMENTS).where(_AGREEMENTS.c.id == agreement))
        return None if row is None else AgreementRecord(**row._mapping)

    # -- uses --------------------------------------------------------------------------------

    def begin_use(self, use: Use, *, expected_uses: int, seen: SeenCheckpoint) -> None:
        """Record nonce, counter and checkpoint in one transaction; durable when it returns.

        What the gate checked is checked again under the write lock, so that two tasks cannot both
        take the last use, and a withdrawal made meanwhile wins.

        Raises:
            GateRefused: permit used, consent withdrawn, approval revoked, or counter moved.
        """
        with self._transaction() as connection:
            found = select(_USES.c.permit_id).where(_USES.c.permit_id == use.permit_id)
            if connection.execute(found).first() is not None:
                raise refused("permit-replayed", f"permit {use.permit_id} was used before")
            _require_allowed(connection, agreement=use.agreement, app=use.app)
            counted = connection.execute(
                update(_AGREEMENTS)
                .where(_AGREEMENTS.c.id == use.agreement, _AGREEMENTS.c.uses == expected_uses)
                .values(uses=expected_uses + 1)
            )
            if counted.rowcount != 1:
                raise refused(
                    "agreement-denies",
                    f"another use under agreement {use.agreement} was counted while this one was "
                    "being decided; ask for a fresh permit",
                )
            connection.execute(insert(_USES).values(**asdict(use)))
            row = {"id": 1, "size": seen.size, "root": seen.root, "note": seen.note}
            statement = insert(_SEEN).values(row)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["id"], set_=row, where=_SEEN.c.size < seen.size
                )
            )

    def finish_use(self, permit_id: str, outcome: str) -> None:
        """Record how a use ended. `receipted` only if it is still allowed in that very moment.

        Withdrawing and revoking take the same write lock: they come before, and the result stays
        here, or after, and the use was over.

        Raises:
            GateRefused: `receipted`, but consent or approval was taken back; nothing is recorded.
        """
        with self._transaction() as connection:
            query = select(_USES.c.agreement, _USES.c.app).where(_USES.c.permit_id == permit_id)
            if outcome == "receipted":
                use = connection.execute(query).one()
                _require_allowed(connection, agreement=use.agreement, app=use.app)
            connection.execute(
                update(_USES).where(_USES.c.permit_id == permit_id).values(outcome=outcome)
            )

    def require_allowed(self, *, agreement: str, app: str) -> None:
        """Returns only while consent and approval stand.

        Raises:
            GateRefused: one was taken back.
        """
        with self._transaction(reading=True) as connection:
            _require_allowed(connection, agreement=agreement, app=app)

    def unfinished(self) -> list[Use]:
        """Uses without an outcome: in progress, or cut off when the node stopped."""
        query = select(_USES).where(_USES.c.outcome.is_(None)).order_by(_USES.c.started)
        return [Use(**row._mapping) for row in self._all(query)]

    def uses(self, *, limit: int) -> list[Use]:
        """The newest uses, newest first."""
        query = select(_USES).order_by(_USES.c.started.desc()).limit(limit)
        return [Use(**row._mapping) for row in self._all(query)]

    # -- what the owner decides --------------------------------------------------------------

    def approve_app(self, sha256: str, *, time: str) -> bool:
        """The owner's yes to a bundle, also after a revocation; False if it stood already."""
        with self._transaction() as connection:
            if _approved(connection, sha256):
                return False
            values = {"sha256": sha256, "approved": time, "revoked": None}
            statement = insert(_APPS).values(values)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["sha256"], set_=values)
            )
            _enqueue(connection, "AppApproved", time, {"app": sha256})
            return True

    def revoke_app(self, sha256: str, *, time: str) -> bool:
        """Take the yes back; False if there was none."""
        with self._transaction() as connection:
            if not _approved(connection, sha256):
                return False
            connection.execute(update(_APPS).where(_APPS.c.sha256 == sha256).values(revoked=time))
            _enqueue(connection, "AppRevoked", time, {"app": sha256})
            return True

    def apps(self) -> list[AppRecord]:
        """Every bundle the owner ever approved."""
        rows = self._all(select(_APPS).order_by(_APPS.c.approved))
        return [AppRecord(**row._mapping) for row in rows]

    def add_product(self, product: ProductRecord) -> ProductRecord:
        """Keep a product until governance confirms it; returns what is kept.

        The same file again gives the record of the first time, with the card that was signed then;
        one that governance never confirmed is replaced.

        Raises:
            ClientError: another file was registered under this id.
        """
        with self._transaction() as connection:
            query = select(_PRODUCTS).where(_PRODUCTS.c.id == product.id)
            row = connection.execute(query).first()
            known = None if row is None else ProductRecord(**row._mapping)
            if known is not None and known.digest == product.digest:
                return known
            if known is not None and known.registered is not None:
                raise ClientError(
                    f"product {product.id}: expected the file that was registered (SHA-256 "
                    f"{known.digest}), got one with {product.digest}; a product version never "
                    "changes: register the new one under a new id"
                )
            statement = insert(_PRODUCTS).values(**asdict(product))
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_=asdict(product))
            )
            return product

    def confirm_product(self, product: str, *, index: int) -> None:
        """Governance logged the product at this index."""
        with self._transaction() as connection:
            connection.execute(
                update(_PRODUCTS).where(_PRODUCTS.c.id == product).values(registered=index)
            )

    def product(self, product: str) -> ProductRecord | None:
        """A product of this node."""
        row = self._one(select(_PRODUCTS).where(_PRODUCTS.c.id == product))
        return None if row is None else ProductRecord(**row._mapping)

    def products(self) -> list[ProductRecord]:
        """Every product of this node."""
        rows = self._all(select(_PRODUCTS).order_by(_PRODUCTS.c.id))
        return [ProductRecord(**row._mapping) for row in rows]

    def add_agreement(
        self, *, agreement: str, digest: str, product: str, document: bytes, time: str
    ) -> None:
        """Keep the owner's copy; the same one again changes nothing, not even a withdrawal.

        Raises:
            ClientError: another document has this id already.
        """
        with self._transaction() as connection:
            query = select(_AGREEMENTS.c.digest).where(_AGREEMENTS.c.id == agreement)
            known = connection.execute(query).scalar_one_or_none()
            if known not in (None, digest):
                raise ClientError(
                    f"agreement {agreement}: expected the document with digest {known}, which this "
                    f"node signed before, got one with {digest}; give a new agreement a new id"
                )
            values = {"id": agreement, "digest": digest, "product": product, "document": document}
            statement = insert(_AGREEMENTS).values(concluded=time, uses=0, **values)
            connection.execute(statement.on_conflict_do_nothing())

    def agreements(self) -> list[AgreementRecord]:
        """Every agreement this node keeps, withdrawn ones too."""
        rows = self._all(select(_AGREEMENTS).order_by(_AGREEMENTS.c.concluded))
        return [AgreementRecord(**row._mapping) for row in rows]

    def withdraw(
        self, agreement: str, *, withdrawal: str, envelope: bytes, reason: str, time: str
    ) -> bool:
        """Take consent back, with its entry and its message to governance, in one transaction.

        Returns:
            False if it was taken back before; then nothing changes.

        Raises:
            ClientError: this node keeps no such agreement.
        """
        with self._transaction() as connection:
            query = select(_AGREEMENTS.c.withdrawn).where(_AGREEMENTS.c.id == agreement)
            row = connection.execute(query).first()
            if row is None:
                raise ClientError(
                    f"agreement {agreement}: this node keeps none of that id; "
                    "see the ids with: tds node status"
                )
            if row.withdrawn is not None:
                return False
            connection.execute(
                update(_AGREEMENTS)
                .where(_AGREEMENTS.c.id == agreement)
                .values(withdrawn=time, reason=reason)
            )
            connection.execute(
                insert(_WITHDRAWALS).values(id=withdrawal, agreement=agreement, envelope=envelope)
            )
            body = {"withdrawal": withdrawal, "agreement": agreement, "reason": reason}
            _enqueue(connection, "Withdrawn", time, body)
            return True

    def pending_withdrawals(self) -> list[PendingWithdrawal]:
        """Withdrawals that governance has not confirmed."""
        table = _WITHDRAWALS.c
        query = select(table.id, table.agreement, table.envelope).where(table.told.is_(None))
        return [PendingWithdrawal(**row._mapping) for row in self._all(query)]

    def mark_told(self, withdrawal: str, *, time: str) -> None:
        """Governance confirmed this withdrawal."""
        with self._transaction() as connection:
            connection.execute(
                update(_WITHDRAWALS).where(_WITHDRAWALS.c.id == withdrawal).values(told=time)
            )

    # -- the journal -------------------------------------------------------------------------

    def pending_entries(self) -> list[tuple[int, bytes]]:
        """Entries that the node's own log lacks, in order, each with its number."""
        rows = self._all(select(_JOURNAL.c.number, _JOURNAL.c.entry).order_by(_JOURNAL.c.number))
        return [(row.number, row.entry) for row in rows]

    def drop_entry(self, number: int) -> None:
        """The log holds this entry durably."""
        with self._transaction() as connection:
            connection.execute(_JOURNAL.delete().where(_JOURNAL.c.number == number))

    def _prepare(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 0:
            _METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise StateUnavailable(
                f"{self._path}: expected version {SCHEMA_VERSION} of its tables, got {version}; "
                "run the version of tds that wrote it"
            )

    @contextmanager
    def _transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.execution_options(reading=reading).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StateUnavailable(
                f"{self._path}: expected to read and write it, got: {error.orig}; "
                "free the disk or the lock, then try again"
            ) from error

    def _one(self, query: Select[Any]) -> Row[Any] | None:
        rows = self._all(query)
        return rows[0] if rows else None

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._transaction(reading=True) as connection:
            return connection.execute(query).all()


class LogWriter(Protocol):
    """The node's own log, as far as the journal writes it; `ledger.log.Log` is one."""

    @property
    def size(self) -> int:
        """Number of published entries."""

    def append(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> Appended:
        """All or none, durable when it returns; LedgerError otherwise."""

    def checkpoint(self) -> str:
        """The newest signed checkpoint."""


class Journal:
    """The only way entries get into the node's own log. Safe to share between threads.

    Args:
        log: the node's own log, held by this process.
        state: whose pending entries go first.
        verifier: of the own log's checkpoints.
    """

    def __init__(self, *, log: LogWriter, state: NodeState, verifier: NoteVerifier) -> None:
        self._log = log
        self._state = state
        self._verifier = verifier
        self._order = threading.Lock()

    def write(
        self, kind: EntryType, *, time: str, body: object, idempotency_key: str | None = None
    ) -> int:
        """Append one entry, after all that is pending; durable when its index is returned.

        Raises:
            LedgerError: the log is unavailable or damaged, or the key was used for another entry.
        """
        entry = entry_bytes(kind, time=time, body=body)
        with self._order:
            self._drain()
            return self._log.append([entry], idempotency_key=idempotency_key).first_index

    def drain(self) -> int:
        """Append what other processes left in the state; returns how many entries that were."""
        with self._order:
            return self._drain()

    def head(self) -> Checkpoint:
        """Origin, size and root of the own log now."""
        return open_checkpoint(self._log.checkpoint(), self._verifier)

    def _drain(self) -> int:
        pending = self._state.pending_entries()
        for number, entry in pending:
            self._log.append([entry], idempotency_key=f"journal-{number}")
            # A crash here: the entry is in the log and still pending; the key keeps it single.
            self._state.drop_entry(number)
        return len(pending)


def _approved(connection: Connection, sha256: str) -> bool:
    query = select(_APPS.c.sha256).where(_APPS.c.sha256 == sha256, _APPS.c.revoked.is_(None))
    return connection.execute(query).first() is not None


def _require_allowed(connection: Connection, *, agreement: str, app: str) -> None:
    if not _approved(connection, app):
        raise refused("app-not-approved", f"the owner does not approve app {app}")
    query = select(_AGREEMENTS.c.withdrawn).where(_AGREEMENTS.c.id == agreement)
    row = connection.execute(query).first()
    if row is None:
        raise refused("agreement-unknown", f"this node keeps no agreement {agreement}")
    if row.withdrawn is not None:
        raise refused(
            "consent-withdrawn",
            f"consent to agreement {agreement} was withdrawn at {row.withdrawn}",
        )


def _enqueue(connection: Connection, kind: EntryType, time: str, body: object) -> None:
    connection.execute(insert(_JOURNAL).values(entry=entry_bytes(kind, time=time, body=body)))


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # sqlite3 would begin transactions by itself, and late; SQLAlchemy's recipe takes that over.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A reader sees one moment and waits for nobody; a writer takes the lock before it reads.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
