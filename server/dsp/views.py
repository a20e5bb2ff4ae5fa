"""Offers, negotiations and transfers as lists of JSON documents, for those whom they concern."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from policies.canonical import Json
from server.disclosing import Disclosing
from server.dsp import store
from server.dsp.rows import NegotiationRow, TransferRow
from server.pki import Identity

_SEES_ALL: Final = frozenset({"operator", "auditor"})


def _offers(connection: Connection, _caller: Identity, _texts: Disclosing) -> list[dict[str, Json]]:
    return [
        {
            "offer": one.id,
            "product": one.product,
            "participant": one.participant,
            "document": one.document,
            "auto_agree": one.auto_agree,
            "withdrawn": one.withdrawn,
            "index": one.entry,
        }
        for one in store.offers(connection)
    ]


def _negotiation(one: NegotiationRow, texts: Disclosing) -> dict[str, Json]:
    return {
        "negotiation": one.id,
        "opened_by": one.opened_by,
        "consumer_pid": one.consumer_pid,
        "state": one.state,
        "consumer": one.consumer,
        "owner": one.owner,
        "product": one.product,
        "offer": one.offer,
        "document": one.document,
        "word_for_word": one.word_for_word,
        "agreement": one.agreement,
        "agreement_document": one.agreement_document,
        "envelope": base64.b64encode(one.envelope).decode() if one.envelope else None,
        "reason": texts.text(one.said),
        "index": one.entry,
    }


def _negotiations(
    connection: Connection, caller: Identity, texts: Disclosing
) -> list[dict[str, Json]]:
    found = store.negotiations(connection)
    return [_negotiation(one, texts) for one in found if concerns(caller, one)]


def _waiting(connection: Connection, caller: Identity, texts: Disclosing) -> list[dict[str, Json]]:
    found = store.negotiations_waiting(connection, caller.participant)
    return [_negotiation(one, texts) for one in found]


def _transfers(
    connection: Connection, caller: Identity, texts: Disclosing
) -> list[dict[str, Json]]:
    return [
        {
            "transfer": one.id,
            "consumer_pid": one.consumer_pid,
            "state": one.state,
            "agreement": one.agreement,
            "consumer": one.consumer,
            "owner": one.owner,
            "run": one.run,
            "by": one.by,
            "code": one.code,
            "reason": texts.text(one.said) or one.reason,
            "index": one.entry,
        }
        for one in store.transfers(connection)
        if concerns(caller, one)
    ]


def concerns(caller: Identity, row: NegotiationRow | TransferRow) -> bool:
    """Operator, auditors, and the two parties."""
    return caller.role in _SEES_ALL or caller.participant in (row.consumer, row.owner)


_Lists = Mapping[str, Callable[[Connection, Identity, Disclosing], list[dict[str, Json]]]]
DSP_LISTS: Final[_Lists] = MappingProxyType(
    {
        "offers": _offers,
        "negotiations": _negotiations,
        "negotiations-waiting": _waiting,
        "transfers": _transfers,
    }
)
