"""What came of each enterprise in one attempt at a round, as far as the log tells. Without I/O.

waits      permitted; the permit is logged and waits for the witnesses before it is handed out
at-work    permitted, nothing came back yet: whether the app has begun is the node's to know
overdue    the same after the permit's end: no reply is accepted that was made later
received   its receipt was accepted
left-out   refused by its node, or its receipt by governance, or outside the opened sum
refused    not permitted
abandoned  permitted, and given up with its attempt
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from policies.fields import parse_instant
from server.released import Released
from server.rows import ReceiptRow, RoundRow

Outcome = Literal["refused", "waits", "at-work", "overdue", "received", "left-out", "abandoned"]
UNDER_WAY: Final[Collection[Outcome]] = frozenset({"waits", "at-work", "overdue"})
_NOT_OPENED: Final = "the masks were opened without it: its consent ended before"
_Key = tuple[str, str]  # participant, product


@dataclass(frozen=True, slots=True)
class Place:
    """What came of one enterprise in one round.

    Attributes:
        code, text: the first reason where it did not take part, in governance's words.
        rows: used, by its receipt.
        counted: whether its update is in the round's result.
    """

    outcome: Outcome
    code: str = ""
    text: str = ""
    rows: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt's permit says that a page needs.

    Attributes:
        vector_bytes: of each masked update; None without masks, where governance sees neither an
            update nor its size.
        expires: None for an attempt that is over.
    """

    vector_bytes: int | None
    expires: datetime | None


def terms_of(row: RoundRow) -> Terms:
    """Of a permitted attempt; nothing for another."""
    if not row.permit_body:
        return Terms(None, None)
    body: dict[str, Any] = json.loads(row.permit_body)
    how = body["secure_sum"]
    return Terms(
        vector_bytes=how["words"] * how["word_bits"] // 8 if how else None,
        expires=parse_instant(body["expires"]) if row.state == "AUTHORIZED" else None,
    )


def places_of(
    row: RoundRow,
    receipts: Iterable[ReceiptRow],
    opened: Released | None,
    *,
    expires: datetime | None,
    now: datetime,
) -> dict[_Key, Place]:
    """A place for each who was asked, by participant and product.

    Args:
        receipts: under the attempt's permit.
        opened: the release of its masks.
        expires: the permit's end, for an attempt that is not over.
    """
    found: dict[_Key, Place] = {}
    for verdict in json.loads(row.verdicts):
        key = verdict["participant"], verdict["product"]
        if verdict["permitted"]:
            found[key] = Place(_permitted(row, expires, now))
        else:
            reason = verdict["reasons"][0]
            found[key] = Place("refused", reason["code"], reason["text"])
    for one in receipts:
        key = one.participant, one.product
        known = found.get(key)
        if one.accepted:
            found[key] = Place("received", rows=one.rows_used)
        elif one.participant and (known is None or known.outcome != "received"):
            found[key] = Place("left-out", one.code, one.text)
    if row.close:
        _close(found, json.loads(row.close))
    elif opened is not None:
        _open(found, opened.release.participants)
    return found


def _permitted(row: RoundRow, expires: datetime | None, now: datetime) -> Outcome:
    if row.state == "ABANDONED":
        return "abandoned"
    if expires is not None and now >= expires:
        return "overdue"
    return "waits" if row.state == "AUTHORIZED" and row.permit is None else "at-work"


def _open(found: dict[_Key, Place], opened: Collection[str]) -> None:
    """Between the release of the masks and the round's close."""
    for key, place in found.items():
        if place.outcome == "received":
            found[key] = (
                replace(place, counted=True)
                if key[0] in opened
                else Place("left-out", "not-opened", _NOT_OPENED, place.rows)
            )


def _close(found: dict[_Key, Place], close: Mapping[str, Any]) -> None:
    """What the close says of those it leaves out, also of whom no receipt tells."""
    for out in close.get("left_out", []):
        key = out["participant"], out["product"]
        known = found.get(key, Place("at-work"))
        if known.outcome in UNDER_WAY or known.outcome == "received":
            found[key] = Place("left-out", out["code"], out["text"], known.rows)
    for key, place in found.items():
        if place.outcome in UNDER_WAY:
            found[key] = Place("left-out", "no-reply", "no reply came")
        elif place.outcome == "received" and close.get("quorum_met"):
            found[key] = replace(place, counted=True)
