"""`tds audit prove`, `tds audit check`: one entry and its place in the log, in one small file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from auditors.proving import check_proof, prove_entry
from auditors.trust import Head
from commands.audit_input import KeyOption, PolicyOption, read_trust
from commands.audit_source import CaOption, MirrorOption, SourceArgument, read_log
from commands.errors import BadInput
from commands.output import JsonFlag, print_json, say
from commands.reading import read_bounded
from ledger.errors import ProofError
from ledger.tlogproof import MAX_PROOF_BYTES, format_proof, parse_proof

_SHOWN: Final = 400


def prove(
    log: SourceArgument,
    entry: Annotated[int, typer.Argument(help="Which entry, counted from 0.", min=0)],
    out: Annotated[Path, typer.Option(help="File to write; .tlog-proof is the usual ending.")],
    key: KeyOption = None,
    policy: PolicyOption = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
) -> None:
    """Write the proof that an entry stands in a log (C2SP tlog-proof), with the entry in it.

    The file is checked before it is written, against the key or policy; whoever gets it needs
    neither the log nor us: `tds audit check`, or any tool that knows the format.

    Example: tds audit prove ./log 48 --key log-key.txt --out permit.tlog-proof
    """
    trust = read_trust(key, policy)
    with read_log(log, trust=trust, ca=ca, kept=kept) as folder:
        proof = prove_entry(folder, entry)
    head = check_proof(proof, trust, f"entry {entry} of {log}")
    out.write_bytes(format_proof(proof))
    say(f"{out}: entry {entry} of {head.checkpoint.origin}, under its head of {_size(head)}")


def check(
    file: Annotated[Path, typer.Argument(help="A .tlog-proof that holds its entry.")],
    key: KeyOption = None,
    policy: PolicyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a proof that `tds audit prove` wrote, offline, and show the entry that it proves.

    Ends with 3 if signature, cosignatures or inclusion do not hold.

    Example: tds audit check permit.tlog-proof --policy witness-policy.txt
    """
    trust = read_trust(key, policy)
    try:
        proof = parse_proof(read_bounded(file, MAX_PROOF_BYTES))
    except ProofError as error:
        raise BadInput(f"{file}: {error}") from error
    head = check_proof(proof, trust, str(file))
    entry = (proof.extra or b"").decode("utf-8", "replace")
    if as_json:
        print_json(
            {
                "origin": head.checkpoint.origin,
                "index": proof.index,
                "size": head.checkpoint.size,
                "root": head.checkpoint.root.hex(),
                "cosigners": list(head.cosigners),
                "entry": entry,
            }
        )
        return
    say(f"entry {proof.index} of {head.checkpoint.origin}, under its head of {_size(head)}")
    if head.cosigners:
        say(f"cosigned by {', '.join(head.cosigners)}")
    say(entry if len(entry) <= _SHOWN else f"{entry[:_SHOWN]}… ({len(entry)} characters; --json)")


def _size(head: Head) -> str:
    return f"{head.checkpoint.size} entries"
