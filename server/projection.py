"""What each log entry means for the registry: the only code that changes it (but for side data).

`apply` runs once for every entry, in the log's order, both right after an append and when
governance starts and finds the log ahead of the registry. It checks nothing: whatever is in the log
was decided before it was written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError, NoResultFound

from policies.canonical import canonical_bytes
from policies.derived import NOTHING_DERIVED
from policies.errors import PolicyError
from server import accounts, disclosed, mask_keys, released
from server.dsp import effects as dsp
from server.errors import RegistryDamaged
from server.queries import key_id_of
from server.registrations import REGISTRATIONS
from server.tables import (
    AGREEMENTS,
    INVITATIONS,
    PARTICIPANTS,
    RECEIPTS,
    RETIRED_KEYS,
    ROUNDS,
    RUNS,
)

Body = Mapping[str, Any]

_NOT_APPLICABLE = (
    IntegrityError,
    NoResultFound,
    PolicyError,
    ArithmeticError,
    KeyError,
    TypeError,
    ValueError,
)


def apply(connection: Connection, index: int, data: bytes) -> str:
    """Apply entry `index`; returns its type.

    Raises:
        RegistryDamaged: no entry of a space's log, or one that lacks a field.
    """
    try:
        # The log has checked the bytes against its tree; parsing strictly once more costs 3 ms a
        # round, and a field that is not there is found here as well.
        entry = json.loads(data)
        _EFFECTS[entry["type"]](connection, index, entry["time"], entry["body"])
        disclosed.committed(connection, index, entry["type"], entry["body"])
    except _NOT_APPLICABLE as error:
        raise RegistryDamaged(
            f"log entry {index}: expected an entry that governance wrote, got one it cannot apply "
            f"({type(error).__name__}: {error}); run `tds audit verify` on the log"
        ) from error
    return str(entry["type"])


def _space_created(connection: Connection, index: int, _time: str, body: Body) -> None:
    for person in body["participants"]:
        values = {
            "id": person["participant"],
            "profile": "",
            "role": person["role"],
            "sector": person["sector"],
            "region": person["region"],
            "active": True,
            "entry": index,
            "receipt_key": person.get("receipt_key"),
            "disclosure_key": None,
        }
        connection.execute(insert(PARTICIPANTS), values)


def _enrolled(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "id": body["participant"],
        "profile": body["profile"],
        "role": body["role"],
        "sector": body["sector"],
        "region": body["region"],
        "receipt_key": body["receipt_key"],
        "disclosure_key": body["disclosure_key"],
        "log_key": body["log_key"],
        "fleet_key_pem": body["fleet_key_pem"],
        "fleet_key": body["fleet_key"],
        "node_id": body["node_id"],
        "active": True,
        "entry": index,
    }
    connection.execute(insert(PARTICIPANTS), values)
    used = INVITATIONS.c.token == body["invitation"]
    connection.execute(update(INVITATIONS).where(used).values(used_by=body["request"]))


def _key_rotated(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "receipt_key": body["previous"],
        "key_id": key_id_of(body["previous"]),
        "participant": body["participant"],
        "entry": index,
    }
    connection.execute(insert(RETIRED_KEYS), values)
    whose = PARTICIPANTS.c.id == body["participant"]
    connection.execute(update(PARTICIPANTS).where(whose).values(receipt_key=body["receipt_key"]))


def _agreement(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "id": body["agreement"],
        "product": body["product"],
        "assigner": body["assigner"],
        "assignee": body["assignee"],
        "document": body["document"],
        "digest": body["digest"],
        "envelope": base64.b64decode(body["envelope"]),
        "entry": index,
        "negotiation": body.get("negotiation"),
    }
    connection.execute(insert(AGREEMENTS), values)


def _withdrawn(connection: Connection, index: int, time: str, body: Body) -> None:
    values = {"withdrawn": time, "withdrawal": body["withdrawal"], "withdrawal_entry": index}
    standing = (AGREEMENTS.c.id == body["agreement"]) & AGREEMENTS.c.withdrawn.is_(None)
    connection.execute(update(AGREEMENTS).where(standing).values(values))


def _run_opened(connection: Connection, index: int, _time: str, body: Body) -> None:
    values = {
        "id": body["run"],
        "consumer": body["consumer"],
        "request_id": body["request_id"],
        "spec": _text(body["spec"]),
        "config": _text(body["config"]),
        "state": "OPEN",
        "reason": "",
        "said": "",
        "closed_rounds": 0,
        "model": "",
        "derived": _text(NOTHING_DERIVED),
        "entry": index,
    }
    connection.execute(insert(RUNS), values)


def _run_resumed(connection: Connection, _index: int, _time: str, body: Body) -> None:
    values = {"state": "OPEN", "reason": "", "said": "", "flower_run": None}
    connection.execute(update(RUNS).where(RUNS.c.id == body["run"]).values(values))


def _run_ended(connection: Connection, _index: int, _time: str, body: Body) -> None:
    values = {"state": body["state"], "reason": body["reason"], "said": body["said"]}
    connection.execute(update(RUNS).where(RUNS.c.id == body["run"]).values(values))


def _decided(connection: Connection, index: int, time: str, body: Body) -> None:
    nodes = body["nodes"]
    verdicts = [
        {
            "participant": verdict["participant"],
            "product": verdict["product"],
            "node_id": nodes.get(verdict["participant"], ""),
            "permitted": verdict["permitted"],
            "reasons": verdict["reasons"],
        }
        for verdict in body["decision"]["verdicts"]
    ]
    values = {
        "run": body["run"],
        "kind": body["kind"],
        "round": body["round"],
        "attempt": body["attempt"],
        "request_id": body["request_id"],
        "request": body["request"],
        "state": "REFUSED",
        "verdicts": _text(verdicts),
        "decision_entry": index,
        "decided": time,
    }
    connection.execute(insert(ROUNDS), values)


def _permit(connection: Connection, index: int, _time: str, body: Body) -> None:
    attempt = (
        (ROUNDS.c.run == body["run"])
        & (ROUNDS.c.kind == body["kind"])
        & (ROUNDS.c.round == body["round"])
        & (ROUNDS.c.attempt == body["attempt"])
    )
    values = {
        "state": "AUTHORIZED",
        "permit_id": body["id"],
        "permit_body": _text(body),
        "permit_entry": index,
    }
    connection.execute(update(ROUNDS).where(attempt).values(values))
    # A use is counted here and never given back: whoever holds a permit may have used the data.
    accounts.reserve(connection, body)
    # Only when the registry is made again from the log: the binding is side data otherwise.
    unbound = (RUNS.c.id == body["run"]) & RUNS.c.flower_run.is_(None)
    binding = {"flower_run": body["flower_run"], "state": "RUNNING"}
    connection.execute(update(RUNS).where(unbound).values(binding))


def _receipt(connection: Connection, index: int, accepted: bool, body: Body) -> None:
    values = {
        "entry": index,
        "permit_id": body["permit_id"],
        "submission": body["submission"],
        "node_id": body["node_id"],
        "participant": body["participant"],
        "product": body["product"],
        "accepted": accepted,
        "code": body.get("code", ""),
        "text": body.get("text", ""),
        "rows_used": body.get("rows_used", 0),
        "rows_held_back": body.get("rows_held_back", 0),
        "receipt": body.get("receipt", ""),
    }
    connection.execute(insert(RECEIPTS), values)


def _accepted(connection: Connection, index: int, _time: str, body: Body) -> None:
    _receipt(connection, index, True, body)
    accounts.commit(connection, body)
    mask_keys.used(connection, body)


def _refused(connection: Connection, index: int, _time: str, body: Body) -> None:
    _receipt(connection, index, False, body)


def _released(connection: Connection, index: int, _time: str, body: Body) -> None:
    released.put(connection, index, body)


def _closed(connection: Connection, index: int, time: str, body: Body) -> None:
    values = {"state": "CLOSED", "close": _text(body), "close_entry": index, "closed": time}
    of = ROUNDS.c.permit_id == body["permit_id"]
    connection.execute(update(ROUNDS).where(of).values(values))
    mask_keys.forget(connection, body["permit_id"])
    accounts.keep(connection, body["permit_id"])
    progress: dict[str, object] = {"last_close": index, "derived": _text(body["derived"])}
    if body["kind"] == "train":
        progress |= {"closed_rounds": body["round"], "model": body["model"]}
    connection.execute(update(RUNS).where(RUNS.c.id == body["run"]).values(progress))


def _abandoned(connection: Connection, _index: int, _time: str, body: Body) -> None:
    of = ROUNDS.c.permit_id == body["permit_id"]
    connection.execute(update(ROUNDS).where(of).values(state="ABANDONED"))
    mask_keys.forget(connection, body["permit_id"])
    accounts.keep(connection, body["permit_id"])


def _voucher(connection: Connection, index: int, _time: str, body: Body) -> None:
    accounts.issue(connection, index, body)


def _nothing(_connection: Connection, _index: int, _time: str, _body: Body) -> None:
    """An entry that is for people and auditors only: an alarm, or a decision's reports."""


def _text(value: object) -> str:
    return canonical_bytes(value).decode()


_EFFECTS: Mapping[str, Callable[[Connection, int, str, Body], None]] = MappingProxyType(
    {
        "SpaceCreated": _space_created,
        "ParticipantEnrolled": _enrolled,
        "KeyRotated": _key_rotated,
        **REGISTRATIONS,
        "AgreementConcluded": _agreement,
        "ConsentWithdrawn": _withdrawn,
        "RunOpened": _run_opened,
        "RunResumed": _run_resumed,
        "RunEnded": _run_ended,
        "EnginesDisagreed": _nothing,
        "ReportsMade": _nothing,
        "RoundDecided": _decided,
        "PermitIssued": _permit,
        "ReceiptAccepted": _accepted,
        "ReceiptRefused": _refused,
        "MasksReleased": _released,
        "RoundClosed": _closed,
        "RoundAbandoned": _abandoned,
        "VoucherIssued": _voucher,
        "AuditorNamed": disclosed.auditor_named,
        "DisclosureErased": disclosed.erased,
        "OfferPublished": dsp.offer_published,
        "NegotiationStep": dsp.negotiation_step,
        "TransferStep": dsp.transfer_step,
    }
)
