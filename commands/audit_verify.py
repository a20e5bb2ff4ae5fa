"""`tds audit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditors.verify import Verified
from commands.audit_input import (
    MAX_NOTE_BYTES,
    KeyOption,
    PolicyOption,
    read_text,
    read_trust,
)
from commands.audit_source import CaOption, MirrorOption, SourceArgument, verified_log
from commands.output import JsonFlag, print_json, say


def verify(
    log: SourceArgument,
    key: KeyOption = None,
    policy: PolicyOption = None,
    seen: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint that somebody else saw (a node, another auditor)."),
    ] = None,
    ca: CaOption = None,
    kept: MirrorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Verify that nothing in a log was changed, dropped or rewritten since it was signed.

    Every entry is hashed again, every tile compared, and the signed root computed. Ends with 0 when
    all holds, with 3 when not: entry, file and byte are named. What the entries say is for
    `tds audit replay`. Dropping the newest entries with an older checkpoint can only be seen
    against a later one: keep one from each audit, and ask the nodes for theirs (--seen); or have
    the witnesses of a policy cosign each head (--policy).

    Example: tds audit verify ./log --key log-key.txt --seen clinic/log-seen.txt
    """
    heads = [read_text(path, MAX_NOTE_BYTES) for path in seen or []]
    trust = read_trust(key, policy)
    with verified_log(log, trust=trust, seen=heads, ca=ca, kept=kept) as audited:
        verified = audited.verified
    if as_json:
        print_json(verified_json(verified) | {"seen": len(heads)})
    else:
        tell_verified(verified, len(heads))


def verified_json(verified: Verified) -> dict[str, object]:
    """What was verified, for programs."""
    return {
        "origin": verified.origin,
        "size": verified.size,
        "root": verified.root_hex,
        "cosigners": list(verified.cosigners),
        "ahead": verified.ahead,
        "beside": list(verified.beside),
        "checkpoint": verified.note,
    }


def tell_verified(verified: Verified, seen: int) -> None:
    """What was verified, and what not, for people."""
    say(
        f"verified: {verified.size} entries of {verified.origin}, root {verified.root_hex[:16]}…, "
        f"checkpoints seen by others: {seen}"
    )
    if verified.cosigners:
        say(f"cosigned by {', '.join(verified.cosigners)}")
    if verified.ahead:
        say(
            f"not verified: {verified.ahead} files of newer entries, which no checkpoint here "
            "covers: copy again for those"
        )
    if verified.beside:
        say(f"not looked into, for they are no part of a log: {', '.join(verified.beside)}")
