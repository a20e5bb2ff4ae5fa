"""Accounts and vouchers in the registry: how they are read, and what entries do to them.

The arithmetic and its invariants are those of `policies.account`; here is where it is kept. A
reservation is made by `PermitIssued`, in the transaction that applies it, and under the journal's
lock together with the decision: nobody decides on what another has reserved meanwhile.

    PermitIssued      one reservation for each member of the cohort; the voucher pays for all
    ReceiptAccepted   commits the member's: its seconds as the receipt proves, the rest as reserved
    ReceiptRefused    leaves it outstanding, and so counted in full: a better receipt may come
    RoundClosed,      keep what is still outstanding: whoever held the permit may have used the
    RoundAbandoned    data, and nobody can show the contrary
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from policies.account import Account, Amounts, Voucher
from policies.fields import parse_instant
from policies.permit import use_amounts
from policies.privacy import Privacy
from policies.privacy_loss import parse_losses
from policies.values import decimal_text
from server.tables import ACCOUNTS, AGREEMENTS, RESERVATIONS, VOUCHERS

Body = Mapping[str, Any]

_OUTSTANDING = RESERVATIONS.c.settled.is_(None)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_ACCOUNTS = select(ACCOUNTS).where(ACCOUNTS.c.agreement.in_(_IDS))
_RESERVED = select(RESERVATIONS).where(RESERVATIONS.c.agreement.in_(_IDS), _OUTSTANDING)
_OF_PERMIT = select(RESERVATIONS).where(
    RESERVATIONS.c.permit_id == bindparam("permit"), _OUTSTANDING
)
_OF_MEMBER = _OF_PERMIT.where(RESERVATIONS.c.participant == bindparam("member"))
_VOUCHER = select(VOUCHERS).where(VOUCHERS.c.id == bindparam("id"))
_VOUCHER_BY_REQUEST = select(VOUCHERS).where(VOUCHERS.c.request_id == bindparam("id"))
_VOUCHERS = select(VOUCHERS).order_by(VOUCHERS.c.entry)
_SETTLE = (
    update(RESERVATIONS)
    .where(
        RESERVATIONS.c.permit_id == bindparam("permit"),
        RESERVATIONS.c.agreement == bindparam("of"),
    )
    .values(settled=bindparam("outcome"))
)
# What is settled, and what is outstanding, of products under all their agreements.
_SETTLED = (
    select(AGREEMENTS.c.product, ACCOUNTS)
    .join(ACCOUNTS, ACCOUNTS.c.agreement == AGREEMENTS.c.id)
    .where(AGREEMENTS.c.product.in_(_IDS))
)
_UNSETTLED = (
    select(AGREEMENTS.c.product, RESERVATIONS)
    .join(RESERVATIONS, RESERVATIONS.c.agreement == AGREEMENTS.c.id)
    .where(AGREEMENTS.c.product.in_(_IDS), _OUTSTANDING)
)
_OPEN = upsert(ACCOUNTS).on_conflict_do_nothing()
_WRITE = update(ACCOUNTS).where(ACCOUNTS.c.agreement == bindparam("of"))


# -- reads within the caller's transaction -------------------------------------------------------


def accounts(connection: Connection, agreements: Sequence[str]) -> dict[str, Account]:
    """The account of each of these agreements, an empty one where nothing was used yet."""
    found = {id: Account() for id in agreements}
    ids = {"ids": list(agreements)}
    for row in connection.execute(_ACCOUNTS, ids):
        found[row.agreement] = _account(row, {})
    for row in connection.execute(_RESERVED, ids):
        before = found[row.agreement]
        found[row.agreement] = replace(
            before, outstanding={**before.outstanding, row.permit_id: _amounts(row)}
        )
    return found


def of_products(connection: Connection, products: Iterable[str]) -> dict[str, Amounts]:
    """All that counts of each of these products, settled and outstanding, whatever agreement."""
    found = dict.fromkeys(products, Amounts())
    ids = {"ids": list(found)}
    for row in connection.execute(_SETTLED, ids):
        found[row.product] = found[row.product].plus(_committed(row))
    for row in connection.execute(_UNSETTLED, ids):
        found[row.product] = found[row.product].plus(_amounts(row))
    return found


def voucher(connection: Connection, id: str) -> Voucher | None:
    """The voucher with this id."""
    row = connection.execute(_VOUCHER, {"id": id}).one_or_none()
    return None if row is None else _voucher(row)


def voucher_by_request(connection: Connection, request_id: str) -> tuple[int, Voucher] | None:
    """The voucher that this request issued, with its log index."""
    row = connection.execute(_VOUCHER_BY_REQUEST, {"id": request_id}).one_or_none()
    return None if row is None else (row.entry, _voucher(row))


def vouchers(connection: Connection) -> list[tuple[int, Voucher]]:
    """All with their log indices, in the order of issue."""
    return [(row.entry, _voucher(row)) for row in connection.execute(_VOUCHERS)]


# -- effects of entries, for `server.projection` alone -------------------------------------------


def issue(connection: Connection, index: int, body: Body) -> None:
    """`VoucherIssued`."""
    values = {
        "id": body["voucher"],
        "consumer": body["consumer"],
        "request_id": body["request_id"],
        "amount": body["amount"],
        "spent": "0",
        "entry": index,
    }
    connection.execute(insert(VOUCHERS), values)


def reserve(connection: Connection, body: Body) -> None:
    """`PermitIssued`.

    Raises:
        IntegrityError, AccountError: reserved under this permit before, or more than the voucher
            holds; governance decides neither.
    """
    cohort = body["cohort"]
    privacy = Privacy.from_json(body["privacy"]) if body["privacy"] is not None else None
    nothing = {"uses": 0, "metered_s": 0, **_columns(Amounts())}
    opened = {**nothing, "first": body["issued"]}
    # Row by row: one statement for a large cohort has more parameters than SQLite takes.
    connection.execute(_OPEN, [{"agreement": member["agreement"], **opened} for member in cohort])
    reservations = [
        {
            "permit_id": body["id"],
            "agreement": member["agreement"],
            "participant": member["participant"],
            "metered_s": member["metered_s"],
            **_columns(use_amounts(member["metered_s"], privacy, member["pays"])),
        }
        for member in cohort
    ]
    connection.execute(insert(RESERVATIONS), reservations)
    if body["voucher"]:
        before = _voucher(connection.execute(_VOUCHER, {"id": body["voucher"]}).one())
        after = before
        for member in cohort:
            after = after.spend(Decimal(member["pays"]))
        spent = update(VOUCHERS).where(VOUCHERS.c.id == before.id)
        connection.execute(spent.values(spent=decimal_text(after.spent)))


def commit(connection: Connection, body: Body) -> None:
    """`ReceiptAccepted`: a member is accepted once, while its round is open.

    Raises:
        NoResultFound, AccountError: nothing is outstanding, or less than was used.
    """
    keys = {"permit": body["permit_id"], "member": body["participant"]}
    row = connection.execute(_OF_MEMBER, keys).one()
    actual = replace(_amounts(row), metered_s=body["metered_s"])
    _settle(connection, [(row, actual)], "committed")


def keep(connection: Connection, permit_id: str) -> None:
    """`RoundClosed` and `RoundAbandoned`."""
    rows = connection.execute(_OF_PERMIT, {"permit": permit_id}).all()
    _settle(connection, [(row, _amounts(row)) for row in rows], "kept")


def _settle(
    connection: Connection, settled: Iterable[tuple[Row[Any], Amounts]], outcome: str
) -> None:
    of_agreement = {row.agreement: (row, actual) for row, actual in settled}
    if not of_agreement:
        return
    writes = []
    for before in connection.execute(_ACCOUNTS, {"ids": list(of_agreement)}).all():
        row, actual = of_agreement[before.agreement]
        account = _account(before, {row.permit_id: _amounts(row)})
        total = account.commit(row.permit_id, actual).committed
        writes.append(
            {
                "of": before.agreement,
                "uses": total.uses,
                "metered_s": total.metered_s,
                **_columns(total),
            }
        )
    connection.execute(_WRITE, writes)
    keys = [
        {"permit": row.permit_id, "of": row.agreement, "outcome": outcome}
        for row, _ in of_agreement.values()
    ]
    connection.execute(_SETTLE, keys)


def _account(row: Row[Any], outstanding: Mapping[str, Amounts]) -> Account:
    return Account(_committed(row), outstanding, parse_instant(row.first))


def _committed(row: Row[Any]) -> Amounts:
    return replace(_amounts(row), uses=row.uses)


def _amounts(row: Row[Any]) -> Amounts:
    delta = Decimal(row.delta) if row.delta else None
    return Amounts(1, row.metered_s, parse_losses(row.losses), Decimal(row.paid), delta)


def _columns(amounts: Amounts) -> dict[str, str]:
    """What is kept as text."""
    return {
        "losses": str(amounts.losses),
        "delta": decimal_text(amounts.delta) if amounts.delta is not None else "",
        "paid": decimal_text(amounts.paid),
    }


def _voucher(row: Row[Any]) -> Voucher:
    return Voucher(row.id, row.consumer, Decimal(row.amount), Decimal(row.spent))
