"""What the entries of offers, negotiations and transfers mean for the registry.

Part of `server.projection`, whose rules hold here: run once an entry, in order, checking nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, update

from server.tables import NEGOTIATIONS, OFFERS, TRANSFERS

Body = Mapping[str, Any]

_NEGOTIATION_CHANGES = (
    "consumer_pid",
    "offer",
    "document",
    "word_for_word",
    "agreement",
    "agreement_document",
    "said",
)


def offer_published(connection: Connection, index: int, time: str, body: Body) -> None:
    """A new offer, or the end of one."""
    if not body["document"]:
        values = {"withdrawn": time, "withdrawal_entry": index}
        connection.execute(update(OFFERS).where(OFFERS.c.id == body["offer"]).values(values))
        return
    values = {
        "id": body["offer"],
        "product": body["product"],
        "participant": body["participant"],
        "document": body["document"],
        "auto_agree": body["auto_agree"],
        "digest": body["digest"],
        "entry": index,
    }
    connection.execute(insert(OFFERS), values)


def negotiation_step(connection: Connection, index: int, _time: str, body: Body) -> None:
    """A negotiation opens or moves on."""
    changes = {name: body[name] for name in _NEGOTIATION_CHANGES if name in body}
    changes |= {"state": body["state"], "number": body["number"], "entry": index}
    if "envelope" in body:
        changes["envelope"] = base64.b64decode(body["envelope"])
    if body["before"] is None:
        changes["opened_by"] = body["by"]
    first = ("consumer", "owner", "product")
    _step(connection, NEGOTIATIONS, body["negotiation"], body, changes, first)


def transfer_step(connection: Connection, index: int, _time: str, body: Body) -> None:
    """A transfer process opens or moves on."""
    changes = {name: body[name] for name in ("state", "number", "by", "code", "reason", "said")}
    changes["entry"] = index
    if body["run"] is not None:
        changes["run"] = body["run"]
    first = ("consumer_pid", "agreement", "consumer", "owner")
    _step(connection, TRANSFERS, body["transfer"], body, changes, first)


def _step(
    connection: Connection,
    table: Table,
    id: str,
    body: Body,
    changes: dict[str, Any],
    first: tuple[str, ...],
) -> None:
    if body["before"] is not None:
        connection.execute(update(table).where(table.c.id == id).values(changes))
        return
    # Where to call back stands beside the log: it is nobody's business but the two parties'.
    opening = {"id": id, "request": body["message"], "callback": "", "said": ""}
    opening |= {name: body[name] for name in first}
    connection.execute(insert(table), opening | changes)
