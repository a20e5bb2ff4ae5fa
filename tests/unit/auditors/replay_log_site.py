"""Logs that a real governance wrote, and such logs rewritten by somebody who holds all keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import CONSUMER, Site, count_at_most

from auditors.shares import replay_share
from auditors.snapshot import Snapshot
from auditors.verify import verify_folder
from ledger.log import Log
from ledger.note import NoteSigner
from policies.canonical import digest_of
from policies.entries import EntryType, entry_bytes, parse_entry
from policies.envelope import sign_envelope, unverified_payload
from policies.parts import log_lines
from policies.permit import PermitBody
from policies.receipt import RECEIPT_TYPE

SIGNER = NoteSigner("logs.example/replay", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


@dataclass
class Line:
    """An entry that can be changed."""

    type: EntryType
    time: str
    body: dict[str, Any]


Story = list[Line]
Keys = Mapping[str, Ed25519PrivateKey]


@contextmanager
def space(folder: Path) -> Iterator[Site]:
    """Three enterprises: alpha counts, is owed a duty and is paid for; a run of two rounds."""
    site = Site.make(folder)
    try:
        site.populate()
        duties = [{"action": "delete"}, {"action": "compensate"}]
        limited = [count_at_most(3)]
        site.agree(site.nodes["alpha"], *limited, **{"@id": "limited", "obligation": duties})
        yield site
    finally:
        site.close()


def open_run(site: Site, **changes: Any) -> str:
    """A run under alpha's limited agreement and the plain ones of the others."""
    _, voucher = site.governance.vouchers.issue("consortium", "100", "units")
    values: dict[str, Any] = {
        **{"pays": "2", "voucher": voucher},
        "clip_norm": "1.5",
    }
    values["agreements"] = ["limited", "agreement-beta", "agreement-gamma"]
    return site.open_run(**(values | changes))


def whole_round(site: Site, run: str, request: str, *, without: str = "") -> None:
    """Steps 2 to 10; the reply of one of the cohort may be missing."""
    site.tick(1)
    answer = site.authorize(run, request)
    cohort = [one.participant for one in site.permit(answer).body.cohort]
    site.submit(answer, *(site.nodes[name] for name in cohort if name != without))
    site.close_round(answer, duties={"delete": "dropped"})


def tell(site: Site) -> None:
    """A whole run with everything in it that a log may hold, and what comes after."""
    run = open_run(site)
    site.tick(1)
    site.authorize(run, "abandoned")
    whole_round(site, run, "first", without="gamma")
    site.governance.vouchers.issue("consortium", "1", "unused")
    site.withdraw(site.nodes["beta"])
    whole_round(site, run, "second")
    whole_round(site, run, "evaluation")
    site.tick(1)
    stopped = site.open_run("again", agreements=["agreement-gamma"])
    site.authorize(stopped, "a", online=())
    site.governance.runs.stop(CONSUMER, stopped)


def read(site: Site) -> Story:
    """The log as it was written."""
    entries = (parse_entry(entry) for _, entry in Snapshot.take(site.space.log_folder).entries())
    return [Line(one.type, one.time, one.body) for one in entries]  # type: ignore[arg-type]


def keys_of(site: Site) -> Keys:
    return {name: node.receipt for name, node in site.nodes.items()}


def copied(story: Story) -> Story:
    return [Line(one.type, one.time, json.loads(json.dumps(one.body))) for one in story]


def lines_of(story: Story) -> list[bytes]:
    """As they are appended, long entries in parts."""
    entries = [entry_bytes(one.type, time=one.time, body=one.body) for one in story]
    return [line for entry in entries for line in log_lines(entry)]


def write(folder: Path, story: Story) -> Path:
    """A fresh log of these entries, whose tree verifies."""
    return write_lines(folder, lines_of(story))


def write_lines(folder: Path, lines: Sequence[bytes]) -> Path:
    """A fresh log of these lines, whatever they are."""
    with Log.open(
        folder=folder / "log",
        database=folder / "log.sqlite",
        last_signed=folder / "last",
        signer=SIGNER,
    ) as log:
        log.append(lines)
    verified = verify_folder(folder / "log", verifier_key=SIGNER.verifier_key)
    assert verified.size == len(lines)
    return folder / "log"


def faults(folder: Path) -> list[tuple[int, str, str]]:
    """What a replay finds, in one piece; three shares together find the same."""
    snapshot = Snapshot.take(folder)
    found = replay_share(snapshot).violations
    shares = {one for share in range(3) for one in replay_share(snapshot, share, 3).violations}
    assert shares == set(found)
    return [(one.index, one.rule, one.text) for one in found]


def places(story: Story, kind: str) -> list[int]:
    return [index for index, one in enumerate(story) if one.type == kind]


def change(
    kind: str, nth: int, edit: Callable[[dict[str, Any]], object], *, named: int = 0
) -> Callable[[Story], int]:
    """An edit of the nth entry of a type; returns the index of the entry that it is named at.

    Args:
        named: how far behind the edited entry.
    """

    def apply(story: Story) -> int:
        index = places(story, kind)[nth]
        edit(story[index].body)
        return index + named

    return apply


def relinked(story: Story, keys: Keys) -> Story:
    """Every digest and signature made anew, as a governance that holds all keys could."""
    reports: list[str] = []
    decided: dict[tuple[str, str], str] = {}
    decision = ""
    permits: dict[str, PermitBody] = {}
    receipts: dict[tuple[str, str], str] = {}
    for one in story:
        body = one.body
        if one.type == "ReportsMade":
            reports += [digest_of(report) for report in body["reports"]]
        elif one.type == "RoundDecided":
            verdicts = body["decision"]["verdicts"]
            for verdict in verdicts:
                if verdict["report"] is not None and reports:
                    verdict["report"] = reports.pop(0)
            decided = {(v["participant"], v["product"]): v["report"] for v in verdicts}
            decision = body["digest"] = digest_of(body["decision"])
            reports = []
        elif one.type == "PermitIssued":
            body["decision"] = decision
            for member in body["cohort"]:
                report = decided.get((member["participant"], member["product"]))
                member["report"] = report or member["report"]
            permits[body["id"]] = PermitBody.from_json(body)
        elif one.type in ("ReceiptAccepted", "ReceiptRefused", "MasksReleased", "RoundClosed"):
            permit = permits[body["permit_id"]]
            body["permit"] = permit.digest()
            if one.type == "ReceiptAccepted":
                receipts[permit.id, body["participant"]] = _signed(body, keys)
            for item in body.get("accepted", ()):
                place = permit.id, item["participant"]
                item["receipt"] = receipts.get(place, item["receipt"])
    return story


def _signed(body: dict[str, Any], keys: Keys) -> str:
    envelope = base64.b64decode(body["envelope"])
    payload: Any = unverified_payload(envelope, payload_type=RECEIPT_TYPE)
    payload["permit"], payload["permit_id"] = body["permit"], body["permit_id"]
    signed = sign_envelope(payload, payload_type=RECEIPT_TYPE, key=keys[body["participant"]])
    body["envelope"] = base64.b64encode(signed).decode()
    body["receipt"] = digest_of(payload)
    return str(body["receipt"])
