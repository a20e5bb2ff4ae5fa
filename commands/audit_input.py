"""What the commands of `tds audit` share: keys and notes, verifying first, telling faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from auditors.rules import Violation
from auditors.trust import KeyTrust, PolicyTrust, Trust
from commands.errors import BadInput
from commands.output import say
from commands.reading import read_bounded
from ledger.tlogpolicy import MAX_POLICY_BYTES

MAX_KEY_BYTES = 4096
MAX_NOTE_BYTES = 1 << 20

KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="The log's public key (name+hash+base64), or a file that holds it."),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        help="Which logs, and how many cosignatures of which witnesses (C2SP tlog-policy).",
    ),
]
MAX_TOLD = 100


def read_trust(key: str | None, policy: Path | None) -> Trust:
    """Whose signatures are believed: those of a key, or those that a policy asks for."""
    if policy is not None:
        own = None if key is None else read_key(key)
        return PolicyTrust.parse(read_bounded(policy, MAX_POLICY_BYTES), own)
    if key is None:
        raise BadInput(
            "expected the log's public key (--key) or a policy (--policy), got neither; take it "
            "from a source that you trust, not from the log's folder"
        )
    return KeyTrust.parse(read_key(key))


def violations_json(found: Sequence[Violation]) -> list[dict[str, object]]:
    return [{"entry": one.index, "rule": one.rule, "text": one.text} for one in found]


def tell_violations(found: Sequence[Violation]) -> None:
    """One line each, up to as many as anybody reads."""
    for one in found[:MAX_TOLD]:
        say(f"entry {one.index} breaks a rule ({one.rule}): {one.text}")
    if len(found) > MAX_TOLD:
        say(f"... and {len(found) - MAX_TOLD} more; --json lists them all")


def read_key(text: str) -> str:
    """A verifier key as given, or from the file that is named."""
    path = Path(text)
    try:
        is_file = path.exists()
    except OSError:  # longer than a file's name may be
        is_file = False
    if "+" in text and not is_file:
        return text.strip()
    return read_text(path, MAX_KEY_BYTES).strip()


def read_text(path: Path, limit: int) -> str:
    """A text file, bounded."""
    data = read_bounded(path, limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, got other bytes") from error
