"""`tds node subject`: which runs and rounds used the rows of one subject."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from clients.identity import NodeIdentity, load_identity
from clients.logcopy import verify_copy
from clients.state import NodeState
from clients.subject import WHY, OpenedUse, SubjectAnswer, SubjectUse, opened, uses_of
from clients.used_rows import Known
from commands.errors import BadInput, CommandFailed
from commands.output import JsonFlag, print_json, print_table, say
from commands.private_file import write_private
from policies.canonical import canonical_bytes
from policies.entries import parse_entry

MAX_OPENED_ROWS: Final = 20_000
UNKNOWN: Final[Mapping[Known, str]] = {
    "no-subjects": "its product file names no column of subjects",
    "before-version-4": "from before the node kept whose rows were used",
}


def subject_uses(
    subject: Annotated[
        str, typer.Argument(help="The subject's id as the data has it; - reads it from stdin.")
    ],
    node: Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")],
    product: Annotated[str | None, typer.Option(help="Of this product only.")] = None,
    prove: Annotated[
        Path | None,
        typer.Option(help="Write here what shows an auditor what became of exactly these rows."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell which runs and rounds used a subject's rows, how many, and which were left out and why.

    From what this node kept at each use, whatever became of data and consents since; for the owner
    only, needs no network, and the node may run. What --prove writes has no subject's id.
    Example: tds node subject p-0001 --node ./clinic
    """
    if subject == "-":
        subject = sys.stdin.readline().rstrip("\r\n")
    if not subject:
        raise BadInput("subject: expected the id of one, got nothing")
    identity = load_identity(node)
    state = NodeState.open(identity.paths.state)
    try:
        salt = identity.keys.salt
        found = uses_of(state, node_salt=salt, subject=subject, product=product)
        if prove is not None:
            signed = [one for one in found.uses if one.use.outcome == "receipted"]
            _check_size(signed)
            _write_proof(prove, identity, opened(state, signed, node_salt=salt))
    finally:
        state.close()
    if as_json:
        print_json(_document(found))
    else:
        _show(found)
        if prove is not None:
            say(f"wrote {prove}: each row opened against the receipt of its use")


def _document(found: SubjectAnswer) -> dict[str, Any]:
    return {
        "uses": [
            {
                "run": one.use.run,
                "round": one.use.round,
                "kind": one.rows.kind,
                "purpose": one.rows.purpose,
                "product": one.use.product,
                "agreement": one.use.agreement,
                "app": one.use.app,
                "permit_id": one.use.permit_id,
                "began": one.use.started,
                "consents_of": one.rows.selected,
                "outcome": one.use.outcome,
                "rows": len(one.places),
                "trained_on": one.trained,
                "evaluated_on": one.evaluated,
                "left_out": one.left_out,
                "why": one.why,
            }
            for one in found.uses
        ],
        "uses_of_other_data": found.without,
        "uses_of_no_rows": found.idle,
        "not_known": [
            {"product": product, "uses": uses, "why": known}
            for (product, known), uses in found.unknown.items()
        ],
    }


def _show(found: SubjectAnswer) -> None:
    used = [one for one in found.uses if one.trained or one.evaluated]
    runs = len({one.use.run for one in used})
    say(f"{len(used)} uses in {runs} runs had rows of this subject")
    print_table(
        "uses of data with rows of this subject",
        [
            *("run", "round", "kind", "product", "purpose", "began", "outcome"),
            *("trained on", "evaluated on", "left out", "why"),
        ],
        [
            [
                one.use.run,
                str(one.use.round),
                one.rows.kind,
                one.use.product,
                one.rows.purpose,
                one.use.started,
                one.use.outcome or "in progress",
                *(str(count) for count in (one.trained, one.evaluated, one.left_out)),
                WHY[one.why],
            ]
            for one in found.uses
        ],
    )
    if found.without:
        say(f"{found.without} uses were of data without a row of this subject")
    if found.idle:
        say(f"{found.idle} uses ended before a row was read")
    for (product, known), uses in found.unknown.items():
        say(f"NOT KNOWN of {uses} uses of {product}: {UNKNOWN[known]}")


def _check_size(uses: Iterable[SubjectUse]) -> None:
    rows = sum(len(one.places) for one in uses)
    if rows > MAX_OPENED_ROWS:
        raise BadInput(
            f"--prove: expected at most {MAX_OPENED_ROWS} rows to open, got {rows}; "
            "ask for one product with --product"
        )


def _write_proof(path: Path, identity: NodeIdentity, uses: Iterable[OpenedUse]) -> None:
    """Only what fits the receipts in the node's own log is worth handing on."""
    receipts = _receipts(identity)
    documents = []
    for one in uses:
        stated = receipts.get(one.use.permit_id)
        if stated != one.commitment:
            raise CommandFailed(
                f"permit {one.use.permit_id}: expected rows that fit the receipt's commitment "
                f"{stated}, got {one.commitment}; was keys/vault.salt replaced, or the database?"
            )
        documents.append(
            {
                "permit_id": one.use.permit_id,
                "permit": one.use.permit,
                "run": one.use.run,
                "round": one.use.round,
                "product": one.use.product,
                "rows_commitment": one.commitment,
                "rows": [row.to_json() for row in one.rows],
            }
        )
    write_private(
        path,
        canonical_bytes({"version": 1, "participant": identity.participant, "uses": documents}),
    )


def _receipts(identity: NodeIdentity) -> dict[str, str]:
    """The commitment to rows of each receipt in the node's own log."""
    own = verify_copy(identity.paths.root / "log", identity.log_signer.verifier)
    found = {}
    for _, data in own.entries():
        entry = parse_entry(data)
        if entry.type == "UseReceipted":
            receipt: Any = entry.body["receipt"]
            found[receipt["permit_id"]] = str(receipt["rows_commitment"])
    return found
