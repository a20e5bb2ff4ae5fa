"""How rows are shown: to a consumer as a Run, to people as lists of JSON documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection

from policies.account import Account, Amounts
from policies.canonical import Json, canonical_bytes
from policies.disclosure import Profile
from policies.fields import instant
from policies.statements import RoundItem
from policies.values import decimal_text
from server import accounts, disclosed, queries, released
from server.disclosing import Disclosing
from server.dsp.views import DSP_LISTS
from server.errors import BadInput
from server.pki import Identity
from server.register_views import REGISTER
from server.released import Released
from server.rows import AgreementRow, ReceiptRow, RoundRow, RunRow

_SEES_ALL: Final = frozenset({"operator", "auditor"})
MAX_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with documents of its rounds; `policies/governance.proto`, message Run."""

    row: RunRow
    rounds: tuple[bytes, ...]


def run_view(connection: Connection, row: RunRow, texts: Disclosing) -> RunView:
    """The run with one document for each round, its latest attempt, oldest first."""
    latest: dict[tuple[str, int], RoundRow] = {}
    for attempt in queries.rounds(connection, row.id):
        latest[attempt.kind, attempt.round] = attempt
    permits = [one.permit_id for one in latest.values() if one.permit_id]
    receipts = queries.receipts(connection, permits)
    opened = released.of_permits(connection, permits)
    documents = tuple(
        round_document(one, receipts, opened.get(one.permit_id or "")) for one in latest.values()
    )
    shown = replace(row, reason=texts.text(row.said) or row.reason)
    return RunView(row=shown, rounds=documents)


def round_document(row: RoundRow, receipts: Sequence[ReceiptRow], opened: Released | None) -> bytes:
    """A round for people and auditors: state, who took part, who did not and why.

    Args:
        receipts: outcomes; those under other permits are passed over.
        opened: the release of its masks.
    """
    close: dict[str, Any] = json.loads(row.close) if row.close else {}
    items: dict[tuple[str, str], RoundItem] = {}
    for verdict in json.loads(row.verdicts):
        if not verdict["permitted"]:
            reason = verdict["reasons"][0]
            item = _item(verdict, "refused", reason["code"], reason["text"], 0)
            items[item.participant, item.product] = item
    for one in receipts:
        if one.permit_id == row.permit_id and one.participant:
            place = {"participant": one.participant, "product": one.product}
            outcome = "accepted" if one.accepted else "left-out"
            item = _item(place, outcome, one.code, one.text, one.rows_used)
            known = items.get((item.participant, item.product))
            if known is None or known.outcome != "accepted":
                items[item.participant, item.product] = item
    for out in close.get("left_out", []):
        item = _item(out, "left-out", out["code"], out["text"], 0)
        known = items.get((item.participant, item.product))
        if known is None or known.outcome == "accepted":  # withdrawn before its mask was released
            items[item.participant, item.product] = item
    replied = any(one.permit_id == row.permit_id for one in receipts)
    state = "RECEIPTED" if row.state == "AUTHORIZED" and replied else row.state
    document: dict[str, Json] = {
        "round": row.round,
        "kind": row.kind,
        "attempt": row.attempt,
        "state": state,
        "decided": row.decided,
        "closed": row.closed,
        "permit_id": row.permit_id,
        "decision_index": row.decision_entry,
        "permit_index": row.permit_entry,
        "release_index": opened.entry if opened is not None else None,
        "released": [*sorted(opened.release.participants)] if opened is not None else None,
        "close_index": row.close_entry,
        "model": close.get("model"),
        "metrics": close.get("metrics", {}),
        "quorum_met": close.get("quorum_met"),
        "duties": close.get("duties", {}),
        "derived": close.get("derived"),
        "items": [items[key].to_json() for key in sorted(items)],
    }
    return canonical_bytes(document)


def list_documents(
    connection: Connection, caller: Identity, what: str, *, now: datetime, texts: Disclosing
) -> list[bytes]:
    """Canonical JSON documents of what the caller may see, oldest first.

    Args:
        now: when what has an end is looked at.
        texts: what the log only commits to.

    Raises:
        BadInput: not one of `_LISTS`, `_TOLD` or `REGISTER`.
    """
    if what in REGISTER:
        return [canonical_bytes(document) for document in REGISTER[what](connection, now, texts)]
    if what in _TOLD:
        return [canonical_bytes(document) for document in _TOLD[what](connection, caller, texts)]
    if what not in _LISTS:
        known = ", ".join(sorted({**_LISTS, **_TOLD, **REGISTER}))
        raise BadInput(f"list: expected one of {known}, got {what!r:.40}")
    return [canonical_bytes(document) for document in _LISTS[what](connection, caller)]


def may_see_run(connection: Connection, caller: Identity, row: RunRow) -> bool:
    """Operator and auditors see every run, a consumer its own, a node those it is asked into."""
    if caller.role in _SEES_ALL or row.consumer == caller.participant:
        return True
    if caller.role != "node":
        return False
    asked = queries.claims(connection, json.loads(row.spec)["agreements"])
    return any(claim.participant == caller.participant for claim in asked.values())


def may_see_agreement(caller: Identity, row: AgreementRow) -> bool:
    """Operator, auditors, and the two parties."""
    return caller.role in _SEES_ALL or caller.participant in (row.assigner, row.assignee)


def _item(place: Mapping[str, str], outcome: Any, code: str, text: str, rows: int) -> RoundItem:
    return RoundItem(
        participant=place["participant"],
        product=place["product"],
        outcome=outcome,
        code=code[:64],
        text=text[:MAX_TEXT],
        rows=rows,
    )


def _participants(
    connection: Connection, caller: Identity, texts: Disclosing
) -> list[dict[str, Json]]:
    """The operator sees who everybody is, the others who they are themselves."""
    return [
        {
            "participant": one.id,
            **_profile(one.profile, texts, seen=caller.participant == one.id or _runs_it(caller)),
            "role": one.role,
            "sector": one.sector,
            "region": one.region,
            "node_id": one.node_id,
            "log_key": one.log_key,
            "receipt_key": one.receipt_key,
            "active": one.active,
            "index": one.entry,
        }
        for one in queries.participants(connection)
    ]


def _auditors(connection: Connection, caller: Identity, texts: Disclosing) -> list[dict[str, Json]]:
    return [
        {
            "auditor": one.id,
            "title": _profile(one.profile, texts, seen=_runs_it(caller))["title"],
            "disclosure_key": one.disclosure_key,
            "index": one.entry,
        }
        for one in disclosed.auditors(connection)
    ]


def _disclosures(
    connection: Connection, caller: Identity, texts: Disclosing
) -> list[dict[str, Json]]:
    """What is sealed to the caller's own key, as it lies in the space's folder."""
    return texts.files_of(connection, caller)


def _runs_it(caller: Identity) -> bool:
    return caller.role == "operator"


def _profile(commitment: str, texts: Disclosing, *, seen: bool) -> dict[str, Json]:
    known = texts.value(commitment) if seen else None
    return known.to_json() if isinstance(known, Profile) else {"title": ""}


def _agreements(connection: Connection, caller: Identity) -> list[dict[str, Json]]:
    rows = [row for row in queries.agreements(connection) if may_see_agreement(caller, row)]
    spent = accounts.accounts(connection, [row.id for row in rows])
    given = accounts.of_products(connection, {row.product for row in rows})
    return [
        {
            "agreement": one.id,
            "product": one.product,
            "assigner": one.assigner,
            "assignee": one.assignee,
            "document": one.document,
            **_spent(spent[one.id]),
            **_given(given[one.product]),
            "withdrawn": one.withdrawn,
            "negotiation": one.negotiation,
            "index": one.entry,
        }
        for one in rows
    ]


def _spent(account: Account) -> dict[str, Json]:
    """What counts against an agreement's limits: settled uses and those that are under way."""
    total = account.total
    return {
        "uses": total.uses,
        "outstanding": len(account.outstanding),
        "metered_s": total.metered_s,
        "paid": decimal_text(total.paid),
        "first_use": None if account.first is None else instant(account.first),
    }


def _given(amounts: Amounts) -> dict[str, Json]:
    """ε of the product under all its agreements, null without a bound; at the smallest δ of a use,
    null where no use stated one."""
    loss, delta = amounts.epsilon, amounts.delta
    return {
        "epsilon": None if loss is None else decimal_text(loss),
        "delta": None if delta is None else decimal_text(delta),
    }


def _vouchers(connection: Connection, caller: Identity) -> list[dict[str, Json]]:
    return [
        {
            "voucher": one.id,
            "consumer": one.consumer,
            "amount": decimal_text(one.amount),
            "spent": decimal_text(one.spent),
            "balance": decimal_text(one.balance),
            "index": index,
        }
        for index, one in accounts.vouchers(connection)
        if caller.role in _SEES_ALL or caller.participant == one.consumer
    ]


def _runs(connection: Connection, caller: Identity, texts: Disclosing) -> list[dict[str, Json]]:
    return [
        {
            "run": one.id,
            "consumer": one.consumer,
            "state": one.state,
            "reason": texts.text(one.said) or one.reason,
            "flower_run": one.flower_run or "",
            "closed_rounds": one.closed_rounds,
            "model": one.model,
            "spec": json.loads(one.spec),
            "index": one.entry,
        }
        for one in queries.runs(connection)
        if may_see_run(connection, caller, one)
    ]


_LISTS: Mapping[str, Callable[[Connection, Identity], list[dict[str, Json]]]] = MappingProxyType(
    {
        "agreements": _agreements,
        "vouchers": _vouchers,
    }
)
_TOLD: Mapping[str, Callable[[Connection, Identity, Disclosing], list[dict[str, Json]]]] = (
    MappingProxyType(
        {
            "participants": _participants,
            "auditors": _auditors,
            "disclosures": _disclosures,
            "runs": _runs,
            **DSP_LISTS,
        }
    )
)
