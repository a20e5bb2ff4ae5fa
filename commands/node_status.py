"""`tds node status`: what a node offers, agreed to and served, and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.attempts import LOOKED_AT, Attempt, last_attempts
from clients.budgets import Budget
from clients.identity import load_identity
from clients.owner import open_owner
from clients.records import AgreementRecord
from clients.room import GIB
from clients.status import NodeStatus
from commands.output import JsonFlag, print_json, print_table, say

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]


def node_status(node: NodeFolder, as_json: JsonFlag = False) -> None:
    """Show what this node offers, has agreed to, has approved, and who used what; needs no network.

    Example: tds node status --node ./clinic
    """
    with open_owner(node) as owner:
        found = owner.status()
    identity = load_identity(node)
    attempts = last_attempts(node / "log", identity.log_signer.verifier)
    log_key, witness_key = identity.log_signer.verifier_key, identity.cosigner.verifier.text
    if as_json:
        _print_json(found, log_key, witness_key, attempts)
        return
    for fork in found.forks:
        say(
            f"THE SPACE'S LOG IS NOT TO BE TRUSTED ({fork.kind}, {fork.time}): {fork.text}; both "
            f"signed heads: {node / 'evidence'}/{fork.id}-seen.note and -came.note"
        )
    say(f"{found.participant} in {found.space}, processing in {found.region}")
    say(f"own log {node / 'log'}, its key for `tds audit verify`: {log_key}")
    say(f"as a witness of the space's log: {witness_key}")
    _say_how_it_runs(found)
    say(f"certificate valid until {found.certificate_expires:%Y-%m-%d %H:%M} UTC")
    _print_holdings(found)
    _print_runs(found)
    _print_attempts(attempts)
    if found.untold:
        say(
            f"{len(found.untold)} withdrawals are not yet confirmed by governance; "
            "the running node goes on telling it"
        )


def _print_json(
    found: NodeStatus, log_key: str, witness_key: str, attempts: Sequence[Attempt]
) -> None:
    record = found.running.record
    print_json(
        {
            "log_key": log_key,
            "witness_key": witness_key,
            **_plain(asdict(found) | {"agreements": [_agreement(one) for one in found.agreements]}),
            "forks": [fork.to_json() for fork in found.forks],
            "running": {"up": found.running.up, "record": record and record.to_json()},
            "attempts": [asdict(one) for one in attempts],
        }
    )


def _agreement(record: AgreementRecord) -> dict[str, Any]:
    """Without what all agreements of its product add up to: that is told by its budget."""
    return {name: value for name, value in asdict(record).items() if name != "given"}


def _print_holdings(found: NodeStatus) -> None:
    """What the owner has said: products, agreements, apps."""
    print_table(
        "data products",
        ["product", "rows", "registered"],
        [
            [p.id, str(p.rows), "no" if p.registered is None else f"entry {p.registered}"]
            for p in found.products
        ],
        whole=1,
    )
    print_table(
        "agreements",
        ["agreement, its product", "uses", "seconds", "ε", "until", "consent"],
        [
            [
                f"{record.id}\n{record.product}",
                _of(budget.uses, budget.uses_left),
                _of(budget.metered_s, budget.metered_left_s),
                _loss(budget),
                _moment(budget.until),
                f"withdrawn {_moment(record.withdrawn)}" if record.withdrawn else "stands",
            ]
            for record, budget in zip(found.agreements, found.budgets, strict=True)
        ],
        whole=1,
    )
    print_table(
        "approved apps",
        ["SHA-256", "approved", "revoked", "environment"],
        [[a.sha256, _moment(a.approved), _moment(a.revoked), a.environment] for a in found.apps],
        whole=1,
    )


def _print_runs(found: NodeStatus) -> None:
    """What came of it: runs, and their last uses."""
    print_table(
        "runs served",
        ["run", "product", "permits", "receipts", "round", "its permit ends", "outcome"],
        [
            [
                *(run.run, run.product, str(run.permits), str(run.receipts), str(run.round)),
                *(_moment(run.expires), run.outcome or "in progress"),
            ]
            for run in found.runs
        ],
        whole=1,
    )
    print_table(
        "last uses",
        ["run", "round", "product", "began", "outcome"],
        [
            [u.run, str(u.round), u.product, _moment(u.started), u.outcome or "in progress"]
            for u in found.uses
        ],
        whole=1,
    )


def _print_attempts(attempts: Sequence[Attempt]) -> None:
    """What was tried here and came to nothing, as far back as the log's end goes."""
    print_table(
        f"last refusals and failures, in the last {LOOKED_AT} entries of the own log",
        ["time", "what", "code", "what was sent back"],
        [[_moment(one.time), one.kind, one.code, one.text] for one in attempts],
    )


def _say_how_it_runs(found: NodeStatus) -> None:
    record = found.running.record
    if record is None:
        say("the node has not run yet (tds node run)")
    elif found.running.up:
        say(f"running since {record.started} as process {record.pid}")
    else:
        say(f"NOT RUNNING; it was started last at {record.started}")
    if record is not None:
        say(f"apps are confined: {record.confinement}")
        tasks = "1 task" if record.tasks == 1 else f"{record.tasks} tasks"
        say(f"room: {tasks} at once, {record.memory_bytes / GIB:.1f} GiB for their apps together")
        if record.health:
            say(f"health: {record.health}")
    if found.seen_size is None:
        say("last checkpoint of the space's log: none seen")
    else:
        known = record is not None and record.seen_size == found.seen_size
        seen = f", accepted {record.seen}" if known and record is not None and record.seen else ""
        say(f"last checkpoint of the space's log: {found.seen_size} entries{seen}")


def _moment(instant: str | None) -> str:
    """To the second, which is enough to read; `--json` has it whole."""
    return "" if instant is None else instant[:19].replace("T", " ")


def _loss(budget: Budget) -> str:
    """ε of the product, at which δ, and what of the agreed limit is left."""
    spent = "no bound" if budget.epsilon is None else _of(budget.epsilon, budget.epsilon_left)
    return spent if budget.delta is None else f"{spent} at δ {budget.delta}"


def _of(spent: object, left: object) -> str:
    """An amount, and what of the agreed limit is left, where there is one."""
    return str(spent) if left is None else f"{spent} ({left} left)"


def _plain(value: Any) -> Any:
    """JSON values of a status; envelopes and other bytes are left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not isinstance(item, bytes)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
