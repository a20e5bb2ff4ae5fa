"""`tds audit rows`: what became of single rows, as their owner opens them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from auditors.lines import log_lines
from auditors.opened_rows import MAX_PROOF_BYTES, check_rows
from commands.audit_checked import opened_log
from commands.audit_input import KeyOption, PolicyOption
from commands.audit_source import CaOption, MirrorOption, SourceArgument
from commands.output import JsonFlag, print_json, print_table, say
from commands.reading import read_bounded


def rows(
    log: SourceArgument,
    proof: Annotated[Path, typer.Argument(help="A file of `tds node subject --prove`.")],
    key: KeyOption = None,
    policy: PolicyOption = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check rows that an owner opened against its receipts in the log: used, and how, or not.

    Ends with 1 if one does not fit its receipt. Whose rows they are is the owner's word.

    Example: tds audit rows ./log proof.json --key log-key.txt
    """
    data = read_bounded(proof, MAX_PROOF_BYTES)
    with opened_log(log, key, policy, ca=ca, kept=kept) as opened:
        found = check_rows(log_lines(opened.folder, opened.size), data)
        verified = opened.verified is not None
    if as_json:
        print_json({"verified": verified, "uses": [asdict(one) for one in found]})
        return
    say(f"{len(found)} uses opened; every row fits the receipt that its owner's node signed")
    if not verified:
        say("the log itself was not verified: give --key or --policy")
    print_table(
        "what became of these rows",
        ["entry", "run", "round", "data of", "product", "trained on", "evaluated on", "not seen"],
        [
            [
                str(one.entry),
                one.run,
                f"{one.kind} {one.round}",
                one.participant,
                one.product,
                *(str(count) for count in (one.trained, one.evaluated, one.unseen)),
            ]
            for one in found
        ],
    )
