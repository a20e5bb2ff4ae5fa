"""The end of `tds demo`: auditing its own log, as an auditor would, from the folder alone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final

from auditors.disclosures import disclose
from auditors.known import Known
from auditors.lines import log_lines
from auditors.page import render
from auditors.report_facts import collect
from auditors.report_json import report_json
from auditors.report_page import report_page
from auditors.report_scope import Checked, Scope
from auditors.shares import replay_log
from auditors.snapshot import Snapshot
from auditors.trust import PolicyTrust
from auditors.verify import verify_folder
from clients.identity import load_identity
from clients.logcopy import verify_copy
from clients.reconcile import reconcile
from clients.state import NodeState
from commands.demo_privacy import Plan, budgets
from commands.errors import CommandFailed
from commands.localspace import LocalNode, LocalSpace
from commands.node_reconcile import self_of
from commands.space_witness import nodes_policy
from ledger.errors import ProofError
from ledger.tlogpolicy import format_policy
from policies.entries import parse_entry
from server.files import write_public
from server.space import WITNESS_POLICY

WITNESSES: Final = 2
"""How many hospitals must have cosigned the log before a permit leaves."""

REPORT: Final = "report.html"
_PATIENCE_S: Final = 10.0


def demand_witnesses(local: LocalSpace) -> None:
    """From now on a permit waits for the cosignatures of `WITNESSES` of the nodes."""
    policy = nodes_policy(local.space, quorum=WITNESSES, only=[])
    write_public(local.space.folder / WITNESS_POLICY, format_policy(policy))


def await_witnesses(local: LocalSpace) -> None:
    """Return once the newest head carries that many, or after a while; the audit then says so."""
    trust = PolicyTrust.parse((local.space.folder / WITNESS_POLICY).read_bytes())
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            trust.open(Snapshot.take(local.space.log_folder).checkpoint)
        except ProofError:
            time.sleep(0.1)
        else:
            return


def audit(local: LocalSpace, plan: Plan) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Verify the space's log against witnesses and what each node saw, replay it, reconcile it with
    each node's own log, and write a report; also what each one's data has told in all.

    Raises:
        AuditError: the log does not hold.
        CommandFailed: it holds, and something in it does not follow.
    """
    log, folder = local.space.log_folder, local.space.folder.parent
    (folder / "log-key.txt").write_text(local.space.card.log_key + "\n", encoding="utf-8")
    policy = folder / "witness-policy.txt"
    shutil.copy(local.space.folder / WITNESS_POLICY, policy)
    seen, own = [], {}
    for node in local.nodes.values():
        own[node.name], note = _node(node, log)
        if note:
            seen.append(note)
            (folder / f"seen-by-{node.name}.txt").write_text(note, encoding="utf-8")
    verified = verify_folder(log, trust=PolicyTrust.parse(policy.read_bytes()), seen=seen)
    replayed = replay_log(log, jobs=1)
    if replayed.violations:
        first = replayed.violations[0]
        raise CommandFailed(f"entry {first.index} does not follow ({first.rule}): {first.text}")
    checked = Checked(
        verified=True,
        origin=verified.origin,
        size=verified.size,
        root=verified.root_hex,
        cosigners=verified.cosigners,
        seen=len(seen),
        replayed=True,
        decisions=replayed.decisions,
        permits=replayed.permits,
        receipts=replayed.receipts,
    )
    facts = collect(log_lines(log, verified.size), checked, Scope(), replayed.book)
    page = report_page(report_json(facts, _known(local)), "en")
    (folder / REPORT).write_text(render(page), encoding="utf-8")
    return {
        "folder": str(log),
        "key": str(folder / "log-key.txt"),
        "policy": str(policy),
        "report": str(folder / REPORT),
        "entries": verified.size,
        "root": verified.root_hex,
        "witnesses": len(verified.cosigners),
        "seen_by_nodes": len(seen),
        "own_logs": own,
        "verified": True,
        "decisions": replayed.decisions,
    }, budgets(replayed.book, local, plan)


def bytes_left(local: LocalSpace) -> dict[str, int]:
    """Bytes of masked updates and receipts that left each enterprise, by the log."""
    sizes: dict[str, int] = {}
    left = dict.fromkeys(local.nodes, 0)
    names = {node.participant: node.name for node in local.nodes.values()}
    for _, line in Snapshot.take(local.space.log_folder).entries():
        entry = parse_entry(line)
        body: dict[str, Any] = entry.body
        if entry.type == "PermitIssued":
            how = body["secure_sum"]
            sizes[body["id"]] = how["words"] * how["word_bits"] // 8
        elif entry.type == "ReceiptAccepted":
            update = sizes[body["permit_id"]]
            left[names[body["participant"]]] += update + len(body["envelope"]) * 3 // 4
    return left


def _node(node: LocalNode, log: Path) -> tuple[int, str]:
    """Size of a node's own log, which agrees with the space's, and the last head it accepted."""
    identity = load_identity(node.folder)
    state = NodeState.open(identity.paths.state)
    try:
        last = state.last_seen()
        own = verify_copy(node.folder / "log", identity.log_signer.verifier)
        found = reconcile(
            self_of(identity),
            space=verify_copy(log, identity.space_log, last).entries(),
            own=own.entries(),
            agreements=state.agreements(),
        )
    finally:
        state.close()
    for one in found.differences:
        raise CommandFailed(f"{node.name}: the log and its own log differ: {one.text}")
    return own.size, last.note if last is not None else ""


def _known(local: LocalSpace) -> Known:
    """Who is who and what people wrote, as the operator's key opens it."""
    found = disclose(
        local.space.log_folder, local.space.disclosures_folder, local.space.disclosure_key()
    )
    texts = {one.commitment: one.value for one in found.commitments if one.value is not None}
    return Known(names=found.names(), texts=texts)
