"""The tables of a node's database; a change of any of them is a new `SCHEMA_VERSION`.

`UPGRADES` brings an older file to the next version (clients.migration): statements, or functions of
the connection. A version that was on main is never changed, only followed by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, String, Table, text

SCHEMA_VERSION: Final = 7

METADATA = MetaData()
SEEN = Table(
    "seen",
    METADATA,
    Column("id", Integer, primary_key=True),  # always 1
    Column("size", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", String, nullable=False),
)
AGREEMENTS = Table(
    "agreements",
    METADATA,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("product", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("concluded", String, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("metered_s", Integer, nullable=False, server_default="0"),
    Column("losses", String, nullable=False, server_default="{}"),
    Column("delta", String, nullable=False, server_default=""),
    Column("paid", String, nullable=False, server_default="0"),
    Column("first_use", String),
    Column("withdrawn", String),
    Column("reason", String),
)
PRODUCTS = Table(
    "products",
    METADATA,
    Column("id", String, primary_key=True),
    Column("file", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("opening", LargeBinary, nullable=False, server_default=text("x''")),
    Column("registered", Integer),
)
APPS = Table(
    "apps",
    METADATA,
    Column("sha256", String, primary_key=True),
    Column("approved", String, nullable=False),
    Column("revoked", String),
    Column("environment", String, nullable=False, server_default=""),
    Column("environment_digest", String, nullable=False, server_default=""),
)
USES = Table(
    "uses",
    METADATA,
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
    Column("metered_s", Integer, nullable=False, server_default="0"),
)
# Whose rows a use had: clients.used_rows. `known`: of-subjects, no-subjects, or before-version-4.
USE_ROWS = Table(
    "use_rows",
    METADATA,
    Column("permit_id", String, primary_key=True),
    Column("known", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("selected", String, nullable=False),
    Column("product_commitment", String, nullable=False),
    Column("roll", String),
    Column("states", String),
)
SUBJECT_ROLLS = Table(
    "subject_rolls",
    METADATA,
    Column("id", String, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("digests", LargeBinary, nullable=False),
    Column("numbers", LargeBinary, nullable=False),
)
ROW_STATES = Table(
    "row_states",
    METADATA,
    Column("id", String, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("states", LargeBinary, nullable=False),
)
WITHDRAWALS = Table(
    "withdrawals",
    METADATA,
    Column("id", String, primary_key=True),
    Column("agreement", String, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("opening", LargeBinary, nullable=False, server_default=text("x''")),
    Column("told", String),
)
APP_STATES = Table(
    "app_states",
    METADATA,
    Column("run", String, primary_key=True),
    Column("product", String, primary_key=True),
    Column("agreement", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("rows", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("kept", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
JOURNAL = Table(
    "journal",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("entry", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # a number is an idempotency key: never given twice
)

# Before version 2 no agreement could limit seconds, epsilon or payments (its profile did not know
# them), so that counting them from 0 loses nothing; the first use stands in `uses`. Before
# version 7 epsilon was what consumers stated, and nothing bounded what a use told.
UPGRADES: Final[Mapping[int, tuple[str | Callable[[Connection], None], ...]]] = MappingProxyType(
    {
        1: (
            "ALTER TABLE agreements ADD COLUMN metered_s INTEGER NOT NULL DEFAULT '0'",
            "ALTER TABLE agreements ADD COLUMN epsilon VARCHAR NOT NULL DEFAULT '0'",
            "ALTER TABLE agreements ADD COLUMN paid VARCHAR NOT NULL DEFAULT '0'",
            "ALTER TABLE agreements ADD COLUMN first_use VARCHAR",
            "UPDATE agreements SET first_use ="
            " (SELECT min(started) FROM uses WHERE uses.agreement = agreements.id)",
            "ALTER TABLE uses ADD COLUMN metered_s INTEGER NOT NULL DEFAULT '0'",
        ),
        2: (
            "ALTER TABLE products ADD COLUMN opening BLOB NOT NULL DEFAULT x''",
            "ALTER TABLE withdrawals ADD COLUMN opening BLOB NOT NULL DEFAULT x''",
        ),
        3: (
            "CREATE TABLE use_rows (permit_id VARCHAR NOT NULL PRIMARY KEY,"
            " known VARCHAR NOT NULL, kind VARCHAR NOT NULL, purpose VARCHAR NOT NULL,"
            " selected VARCHAR NOT NULL, product_commitment VARCHAR NOT NULL,"
            " roll VARCHAR, states VARCHAR)",
            "CREATE TABLE subject_rolls (id VARCHAR NOT NULL PRIMARY KEY, rows INTEGER NOT NULL,"
            " digests BLOB NOT NULL, numbers BLOB NOT NULL)",
            "CREATE TABLE row_states (id VARCHAR NOT NULL PRIMARY KEY, rows INTEGER NOT NULL,"
            " states BLOB NOT NULL)",
            "INSERT INTO use_rows (permit_id, known, kind, purpose, selected, product_commitment)"
            " SELECT permit_id, 'before-version-4', '', '', started, '' FROM uses",
        ),
        4: (
            "CREATE TABLE app_states (run VARCHAR NOT NULL, product VARCHAR NOT NULL,"
            " agreement VARCHAR NOT NULL, app VARCHAR NOT NULL, round INTEGER NOT NULL,"
            " rows VARCHAR NOT NULL, size INTEGER NOT NULL, kept VARCHAR NOT NULL,"
            " sealed BLOB NOT NULL, PRIMARY KEY (run, product, agreement, app))",
        ),
        5: (
            "ALTER TABLE apps ADD COLUMN environment VARCHAR NOT NULL DEFAULT ''",
            "ALTER TABLE apps ADD COLUMN environment_digest VARCHAR NOT NULL DEFAULT ''",
        ),
        6: (
            "ALTER TABLE agreements ADD COLUMN losses VARCHAR NOT NULL DEFAULT '{}'",
            "ALTER TABLE agreements ADD COLUMN delta VARCHAR NOT NULL DEFAULT ''",
            "UPDATE agreements SET losses = '{\"unbounded\":' || uses || '}' WHERE uses > 0",
            "ALTER TABLE agreements DROP COLUMN epsilon",
        ),
    }
)
