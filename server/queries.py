"""Reads of the registry, each within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Select, bindparam, func, select

from policies.canonical import sha256_hex
from policies.claim import Claim
from server.rows import (
    AgreementRow,
    App,
    BaselineRow,
    CertificateRow,
    Invitation,
    Participant,
    Product,
    ReceiptRow,
    RetiredKey,
    RoundRow,
    RunRow,
)
from server.tables import (
    AGREEMENTS,
    APPS,
    BASELINES,
    CERTIFICATES,
    INVITATIONS,
    META,
    PARTICIPANTS,
    PRODUCTS,
    RECEIPTS,
    RETIRED_KEYS,
    ROUNDS,
    RUNS,
)

Row = TypeVar("Row")


# Statements are built once: building them anew took longer than running them.
_ID: BindParameter[str] = bindparam("id")
_APPLIED = select(META.c.value).where(META.c.name == "applied")
_PARTICIPANT = select(PARTICIPANTS).where(PARTICIPANTS.c.id == _ID)
_PARTICIPANTS = select(PARTICIPANTS).order_by(PARTICIPANTS.c.entry)
_BY_KEY = select(PARTICIPANTS).where(
    (PARTICIPANTS.c.receipt_key == bindparam("receipt_key"))
    | (PARTICIPANTS.c.fleet_key == bindparam("fleet_key"))
)
_RETIRED = select(RETIRED_KEYS).where(RETIRED_KEYS.c.receipt_key == _ID)
_RETIRED_IDS = select(RETIRED_KEYS).where(
    RETIRED_KEYS.c.key_id.in_(bindparam("ids", expanding=True))
)
_RETIRED_OF = (
    select(RETIRED_KEYS).where(RETIRED_KEYS.c.participant == _ID).order_by(RETIRED_KEYS.c.entry)
)
_INVITATION = select(INVITATIONS).where(INVITATIONS.c.token == bindparam("token"))
_PRODUCT = select(PRODUCTS).where(PRODUCTS.c.id == _ID)
_PRODUCTS = select(PRODUCTS).order_by(PRODUCTS.c.entry)
_CERTIFICATE = select(CERTIFICATES).where(CERTIFICATES.c.serial == _ID)
_CERTIFICATES = (
    select(CERTIFICATES)
    .join(PRODUCTS, PRODUCTS.c.certificate == CERTIFICATES.c.entry)
    .order_by(CERTIFICATES.c.entry)
)
_LAST_CERTIFICATE = (
    select(CERTIFICATES)
    .where(CERTIFICATES.c.product == _ID)
    .order_by(CERTIFICATES.c.entry.desc())
    .limit(1)
)
_BASELINE = select(BASELINES).order_by(BASELINES.c.entry.desc()).limit(1)
_APP = select(APPS).where(APPS.c.id == _ID)
_APPS = select(APPS).order_by(APPS.c.entry)
_AGREEMENT = select(AGREEMENTS).where(AGREEMENTS.c.id == _ID)
_AGREEMENTS = select(AGREEMENTS).order_by(AGREEMENTS.c.entry)
_WITHDRAWAL = select(AGREEMENTS).where(AGREEMENTS.c.withdrawal == _ID)
_CLAIMS = (
    select(
        AGREEMENTS.c.id.label("agreement"),
        AGREEMENTS.c.document,
        AGREEMENTS.c.withdrawn,
        AGREEMENTS.c.product,
        PRODUCTS.c.rows,
        PRODUCTS.c.classification,
        PARTICIPANTS.c.id.label("participant"),
        PARTICIPANTS.c.region,
        PARTICIPANTS.c.active,
        PARTICIPANTS.c.receipt_key,
        PARTICIPANTS.c.disclosure_key,
        PARTICIPANTS.c.fleet_key,
        AGREEMENTS.c.entry.label("agreement_entry"),
        PARTICIPANTS.c.entry.label("participant_entry"),
        PRODUCTS.c.entry.label("product_entry"),
        PRODUCTS.c.data_version,
        PRODUCTS.c.jurisdiction,
        PRODUCTS.c.personal_information,
        PRODUCTS.c.subject_consent,
        PRODUCTS.c.anonymization,
        PRODUCTS.c.filing_number,
        PRODUCTS.c.execution_environment,
        CERTIFICATES.c.serial,
        CERTIFICATES.c.not_before,
        CERTIFICATES.c.not_after,
        CERTIFICATES.c.revoked,
    )
    .join(PRODUCTS, PRODUCTS.c.id == AGREEMENTS.c.product)
    .join(PARTICIPANTS, PARTICIPANTS.c.id == AGREEMENTS.c.assigner)
    .outerjoin(CERTIFICATES, CERTIFICATES.c.entry == PRODUCTS.c.certificate)
    .where(AGREEMENTS.c.id.in_(bindparam("ids", expanding=True)))
)
_RUN = select(RUNS).where(RUNS.c.id == _ID)
_RUN_BY_FLOWER = select(RUNS).where(RUNS.c.flower_run == _ID)
_RUN_BY_REQUEST = select(RUNS).where(
    RUNS.c.consumer == bindparam("consumer"), RUNS.c.request_id == _ID
)
_RUNS = select(RUNS).order_by(RUNS.c.entry)
_ROUND_BY_PERMIT = select(ROUNDS).where(ROUNDS.c.permit_id == _ID)
_ROUND_BY_REQUEST = select(ROUNDS).where(
    ROUNDS.c.run == bindparam("run"), ROUNDS.c.request_id == _ID
)
_FIRST_PERMIT = (
    select(ROUNDS.c.permit_body)
    .where(ROUNDS.c.run == _ID, ROUNDS.c.permit_body.is_not(None))
    .order_by(ROUNDS.c.id)
    .limit(1)
)
_OPEN_ROUNDS = (
    select(ROUNDS).where(ROUNDS.c.run == _ID, ROUNDS.c.state == "AUTHORIZED").order_by(ROUNDS.c.id)
)
_ATTEMPTS = select(func.max(ROUNDS.c.attempt)).where(
    ROUNDS.c.run == _ID,
    ROUNDS.c.kind == bindparam("kind"),
    ROUNDS.c.round == bindparam("round"),
)
_LAST_DECIDED = select(func.max(ROUNDS.c.decided))
_ROUNDS = (
    select(ROUNDS)
    .where(ROUNDS.c.run == _ID, ROUNDS.c.id > bindparam("after"))
    .order_by(ROUNDS.c.id)
)
_RECEIPTS = (
    select(RECEIPTS)
    .where(RECEIPTS.c.permit_id.in_(bindparam("ids", expanding=True)))
    .order_by(RECEIPTS.c.entry)
)


def applied(connection: Connection) -> int:
    """How many entries of the log this registry shows."""
    return int(connection.scalars(_APPLIED).one())


def participant(connection: Connection, id: str) -> Participant | None:
    """The participant with this id."""
    return _one(connection, Participant, _PARTICIPANT, id=id)


def participants(connection: Connection) -> list[Participant]:
    """All, in the order of enrolment."""
    return _all(connection, Participant, _PARTICIPANTS)


def participant_by_key(
    connection: Connection, *, receipt_key: str | None, fleet_key: str | None
) -> Participant | None:
    """Whoever enrolled with either key; None is nobody's."""
    keys = {"receipt_key": receipt_key, "fleet_key": fleet_key}
    return next(iter(_all(connection, Participant, _BY_KEY, **keys)), None)


def retired_key(connection: Connection, receipt_key: str) -> RetiredKey | None:
    """Whose key this was."""
    return _one(connection, RetiredKey, _RETIRED, id=receipt_key)


def retired_keys(connection: Connection, key_ids: Sequence[str]) -> dict[str, RetiredKey]:
    """Those of these ids (`policies.envelope.key_id`) that no longer count."""
    found = _all(connection, RetiredKey, _RETIRED_IDS, ids=list(key_ids))
    return {one.key_id: one for one in found}


def retired_keys_of(connection: Connection, participant: str) -> list[RetiredKey]:
    """All that a participant had before, in the order in which they were given up."""
    return _all(connection, RetiredKey, _RETIRED_OF, id=participant)


def invitation(connection: Connection, token: str) -> Invitation | None:
    """The invitation whose token has this SHA-256."""
    return _one(connection, Invitation, _INVITATION, token=token)


def invited_profile(connection: Connection, participant: str) -> str:
    """The profile of a participant's open invitation; "" without one."""
    query = select(INVITATIONS.c.profile).where(INVITATIONS.c.participant == participant)
    return connection.scalar(query) or ""


def product(connection: Connection, id: str) -> Product | None:
    """The product with this id."""
    return _one(connection, Product, _PRODUCT, id=id)


def products(connection: Connection) -> list[Product]:
    """All, in the order of registration."""
    return _all(connection, Product, _PRODUCTS)


def certificate(connection: Connection, serial: str) -> CertificateRow | None:
    """The certificate with this serial."""
    return _one(connection, CertificateRow, _CERTIFICATE, id=serial)


def last_certificate(connection: Connection, product: str) -> CertificateRow | None:
    """The newest certificate of a product, of whichever version."""
    return _one(connection, CertificateRow, _LAST_CERTIFICATE, id=product)


def certificates(connection: Connection) -> dict[str, CertificateRow]:
    """The newest certificate of each product's newest version, by product."""
    found = _all(connection, CertificateRow, _CERTIFICATES)
    return {row.product: row for row in found}


def baseline(connection: Connection) -> BaselineRow | None:
    """The baseline that was adopted last."""
    return _one(connection, BaselineRow, _BASELINE)


def app(connection: Connection, id: str) -> App | None:
    """The app with this SHA-256."""
    return _one(connection, App, _APP, id=id)


def apps(connection: Connection) -> list[App]:
    """All, in the order of registration."""
    return _all(connection, App, _APPS)


def agreement(connection: Connection, id: str) -> AgreementRow | None:
    """The agreement with this id."""
    return _one(connection, AgreementRow, _AGREEMENT, id=id)


def agreements(connection: Connection) -> list[AgreementRow]:
    """All, in the order of conclusion."""
    return _all(connection, AgreementRow, _AGREEMENTS)


def withdrawal(connection: Connection, id: str) -> AgreementRow | None:
    """The agreement that this withdrawal ended."""
    return _one(connection, AgreementRow, _WITHDRAWAL, id=id)


def key_id_of(receipt_key: str) -> str:
    """The id (`policies.envelope.key_id`) of a receipt key as the registry keeps it."""
    return sha256_hex(bytes.fromhex(receipt_key))


def claims(connection: Connection, agreement_ids: Sequence[str]) -> dict[str, Claim]:
    """Each known agreement of these, by id, with what belongs to it."""
    found = _all(connection, Claim, _CLAIMS, ids=list(agreement_ids))
    return {row.agreement: row for row in found}


def run(connection: Connection, id: str) -> RunRow | None:
    """The run with this id."""
    return _one(connection, RunRow, _RUN, id=id)


def run_by_flower(connection: Connection, flower_run: str) -> RunRow | None:
    """The run whose present Flower run this is."""
    return _one(connection, RunRow, _RUN_BY_FLOWER, id=flower_run)


def run_by_request(connection: Connection, consumer: str, request_id: str) -> RunRow | None:
    """The run that this request opened."""
    return _one(connection, RunRow, _RUN_BY_REQUEST, consumer=consumer, id=request_id)


def runs(connection: Connection) -> list[RunRow]:
    """All, oldest first."""
    return _all(connection, RunRow, _RUNS)


def round_by_permit(connection: Connection, permit_id: str) -> RoundRow | None:
    """The attempt that this permit is of."""
    return _one(connection, RoundRow, _ROUND_BY_PERMIT, id=permit_id)


def round_by_request(connection: Connection, run_id: str, request_id: str) -> RoundRow | None:
    """The attempt that this request asked for."""
    return _one(connection, RoundRow, _ROUND_BY_REQUEST, run=run_id, id=request_id)


def open_rounds(connection: Connection, run_id: str) -> list[RoundRow]:
    """Attempts with a permit that were neither closed nor abandoned: one at most."""
    return _all(connection, RoundRow, _OPEN_ROUNDS, id=run_id)


def first_permit(connection: Connection, run_id: str) -> str | None:
    """The body of the first permit that the run was given, as JSON."""
    found: str | None = connection.scalar(_FIRST_PERMIT, {"id": run_id})
    return found


def attempts(connection: Connection, run_id: str, kind: str, number: int) -> int:
    """How often this round was decided."""
    values = {"id": run_id, "kind": kind, "round": number}
    return connection.scalar(_ATTEMPTS, values) or 0


def last_decided(connection: Connection) -> str | None:
    """The latest moment at which any round of any run was decided."""
    found: str | None = connection.scalar(_LAST_DECIDED)
    return found


def rounds(connection: Connection, run_id: str, *, after: int = -1) -> list[RoundRow]:
    """All attempts of a run whose row comes after this one, oldest first."""
    return _all(connection, RoundRow, _ROUNDS, id=run_id, after=after)


def receipts(connection: Connection, permit_ids: Sequence[str]) -> list[ReceiptRow]:
    """Outcomes under these permits, in the order of the log."""
    return _all(connection, ReceiptRow, _RECEIPTS, ids=list(permit_ids))


def _one(
    connection: Connection, kind: type[Row], query: Select[Any], **values: object
) -> Row | None:
    found = connection.execute(query, values).mappings().one_or_none()
    return kind(**found) if found is not None else None


def _all(
    connection: Connection, kind: type[Row], query: Select[Any], **values: object
) -> list[Row]:
    return [kind(**found) for found in connection.execute(query, values).mappings()]
