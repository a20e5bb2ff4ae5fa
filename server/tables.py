"""The registry's tables; their rows, typed, are in `server.rows`.

All but `invitations`, `tokens`, callbacks, `mask_keys`, `runs.flower_run` and `rounds.permit` can
be made again from the log (`server.projection`). Documents are kept as the bytes or canonical JSON
that was logged. What identifies somebody stands here as it stands in the log, as a commitment;
what opens it is in `server.disclosures` alone.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)
PARTICIPANTS = Table(
    "participants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("receipt_key", Text),
    Column("disclosure_key", Text),
    Column("log_key", Text),
    Column("fleet_key_pem", Text),
    Column("fleet_key", Text, unique=True),
    Column("node_id", Text),
    Column("active", Boolean, nullable=False),
    Column("entry", Integer, nullable=False),
)
Index(
    "participants_receipt_key",
    PARTICIPANTS.c.receipt_key,
    unique=True,
    sqlite_where=text("receipt_key IS NOT NULL"),
)
# Keys that a participant's newer one took the place of; `entry` is the log index that says so.
RETIRED_KEYS = Table(
    "retired_keys",
    METADATA,
    Column("receipt_key", Text, primary_key=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("participant", Text, ForeignKey("participants.id"), nullable=False),
    Column("entry", Integer, nullable=False),
)
INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("participant", Text, nullable=False, unique=True),
    Column("profile", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("expires", Text, nullable=False),
    Column("used_by", Text),
)
# Whoever the space names may read what its log commits to.
AUDITORS = Table(
    "auditors",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("disclosure_key", Text, nullable=False, unique=True),
    Column("entry", Integer, nullable=False),
)
# `participant` is whom it is about, "" for nobody; `erased` is the log index that says so.
COMMITMENTS = Table(
    "commitments",
    METADATA,
    Column("commitment", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("participant", Text, nullable=False, index=True),
    Column("entry", Integer, nullable=False),
    Column("erased", Integer),
)
PRODUCTS = Table(
    "products",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("participant", Text, ForeignKey("participants.id"), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("classification", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("data_version", Integer, nullable=False),
    Column("jurisdiction", Text, nullable=False),
    Column("personal_information", Boolean, nullable=False),
    Column("subject_consent", Text, nullable=False),
    Column("anonymization", Text, nullable=False),
    Column("filing_number", Text, nullable=False),
    Column("execution_environment", Text, nullable=False),
    Column("readiness", Text, nullable=False),
    # Of the newest certificate for this version; one of an earlier version says nothing here.
    Column("certificate", Integer, ForeignKey("certificates.entry")),
)
CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("entry", Integer, primary_key=True),
    Column("serial", Text, nullable=False, unique=True),
    Column("product", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("not_before", Text, nullable=False),
    Column("not_after", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("revoked", Text),
    Column("revocation_reason", Text),
    Column("revocation_entry", Integer),
)
BASELINES = Table(
    "baselines",
    METADATA,
    Column("entry", Integer, primary_key=True),
    Column("adopted", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("documents", Text, nullable=False),
)
APPS = Table(
    "apps",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("config", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("filing", Text, nullable=False),
    Column("filing_entry", Integer, nullable=False),
    Column("filing_revoked", Text),
    Column("filing_revocation_reason", Text),
    Column("filing_revocation_entry", Integer),
)
AGREEMENTS = Table(
    "agreements",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("product", Text, ForeignKey("products.id"), nullable=False, index=True),
    Column("assigner", Text, ForeignKey("participants.id"), nullable=False),
    Column("assignee", Text, ForeignKey("participants.id"), nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("withdrawn", Text),
    Column("withdrawal", Text, unique=True),
    Column("withdrawal_entry", Integer),
    Column("negotiation", Text),
)
RUNS = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("consumer", Text, ForeignKey("participants.id"), nullable=False),
    Column("request_id", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("flower_run", Text),
    Column("closed_rounds", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("last_close", Integer),
    Column("derived", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    UniqueConstraint("consumer", "request_id"),
)
Index("runs_flower_run", RUNS.c.flower_run, unique=True, sqlite_where=text("flower_run <> ''"))
ROUNDS = Table(
    "rounds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("verdicts", Text, nullable=False),
    Column("decision_entry", Integer, nullable=False),
    Column("decided", Text, nullable=False),
    Column("permit_id", Text, unique=True),
    Column("permit_body", Text),
    Column("permit_entry", Integer),
    Column("permit", LargeBinary),
    Column("close", Text),
    Column("close_entry", Integer),
    Column("closed", Text),
    UniqueConstraint("run", "kind", "round", "attempt"),
    UniqueConstraint("run", "request_id"),
)
Index("rounds_decided", ROUNDS.c.decided)
RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("entry", Integer, primary_key=True),
    Column("permit_id", Text, ForeignKey("rounds.permit_id"), nullable=False, index=True),
    Column("submission", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("participant", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("code", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("rows_used", Integer, nullable=False),
    Column("rows_held_back", Integer, nullable=False),
    Column("receipt", Text, nullable=False),
)
# Never two accepted receipts for one place in one cohort, whatever the code above does.
Index(
    "receipts_once",
    RECEIPTS.c.permit_id,
    RECEIPTS.c.participant,
    unique=True,
    sqlite_where=text("accepted = 1"),
)
# Secrets of permits that are open (`server.mask_keys`); no entry of the log holds them. A key is
# there before its permit is, so that it cannot refer to it.
MASK_KEYS = Table(
    "mask_keys",
    METADATA,
    Column("permit_id", Text, primary_key=True),
    Column("private", LargeBinary, nullable=False),
    Column("seed", LargeBinary, nullable=False),
)
NODE_MASK_KEYS = Table(
    "node_mask_keys",
    METADATA,
    Column("permit_id", Text, ForeignKey("rounds.permit_id"), primary_key=True),
    Column("participant", Text, primary_key=True),
    Column("mask_key", Text, nullable=False),
)
# What was opened, for ever; never two of one round, whatever the code above does.
RELEASES = Table(
    "releases",
    METADATA,
    Column("permit_id", Text, ForeignKey("rounds.permit_id"), primary_key=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("least", Integer, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    UniqueConstraint("run", "kind", "round"),
)
Index("releases_model", RELEASES.c.model, RELEASES.c.kind, RELEASES.c.app)
# What is settled under an agreement; amounts with a point are texts, so that sums stay exact, and
# losses are events with how often they came (`policies.privacy_loss`).
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("agreement", Text, ForeignKey("agreements.id"), primary_key=True),
    Column("first", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("metered_s", Integer, nullable=False),
    Column("losses", Text, nullable=False),
    Column("delta", Text, nullable=False),  # "" is none
    Column("paid", Text, nullable=False),
)
# One use each; `settled` is null while it is outstanding, then `committed` or `kept`.
RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("permit_id", Text, ForeignKey("rounds.permit_id"), primary_key=True),
    Column("agreement", Text, ForeignKey("agreements.id"), primary_key=True),
    Column("participant", Text, nullable=False),
    Column("metered_s", Integer, nullable=False),
    Column("losses", Text, nullable=False),
    Column("delta", Text, nullable=False),  # "" is none
    Column("paid", Text, nullable=False),
    Column("settled", Text),
)
Index("reservations_member", RESERVATIONS.c.permit_id, RESERVATIONS.c.participant, unique=True)
Index(
    "reservations_outstanding",
    RESERVATIONS.c.agreement,
    sqlite_where=text("settled IS NULL"),
)
VOUCHERS = Table(
    "vouchers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("consumer", Text, ForeignKey("participants.id"), nullable=False),
    Column("request_id", Text, nullable=False, unique=True),
    Column("amount", Text, nullable=False),
    Column("spent", Text, nullable=False),
    Column("entry", Integer, nullable=False),
)
OFFERS = Table(
    "offers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("product", Text, ForeignKey("products.id"), nullable=False, index=True),
    Column("participant", Text, ForeignKey("participants.id"), nullable=False),
    Column("document", Text, nullable=False),
    Column("auto_agree", Boolean, nullable=False),
    Column("digest", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("withdrawn", Text),
    Column("withdrawal_entry", Integer),
)
NEGOTIATIONS = Table(
    "negotiations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("opened_by", Text, nullable=False),
    Column("consumer_pid", Text),
    Column("consumer", Text, ForeignKey("participants.id"), nullable=False),
    Column("owner", Text, ForeignKey("participants.id"), nullable=False, index=True),
    Column("product", Text, ForeignKey("products.id"), nullable=False),
    Column("offer", Text, ForeignKey("offers.id")),
    Column("request", Text, nullable=False),
    Column("callback", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("word_for_word", Boolean, nullable=False),
    Column("agreement", Text, unique=True),
    Column("agreement_document", Text),
    Column("envelope", LargeBinary),
    Column("said", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    UniqueConstraint("consumer", "consumer_pid"),
)
TRANSFERS = Table(
    "transfers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("consumer_pid", Text, nullable=False),
    Column("agreement", Text, ForeignKey("agreements.id"), nullable=False, index=True),
    Column("consumer", Text, ForeignKey("participants.id"), nullable=False),
    Column("owner", Text, ForeignKey("participants.id"), nullable=False),
    Column("run", Text, ForeignKey("runs.id"), index=True),
    Column("request", Text, nullable=False),
    Column("callback", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("entry", Integer, nullable=False),
    UniqueConstraint("consumer", "consumer_pid"),
)
TOKENS = Table(
    "tokens",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("participant", Text, ForeignKey("participants.id"), nullable=False, index=True),
    Column("expires", Text, nullable=False),
)
