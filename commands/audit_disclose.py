"""`tds audit keygen`, `tds audit disclose`: reading what a log only commits to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from auditors.disclosures import Disclosed, Shown, disclose
from commands.audit_checked import opened_log
from commands.errors import BadInput, CommandFailed
from commands.output import JsonFlag, complain, print_json, print_table, say
from commands.private_file import read_private, write_private
from policies.canonical import canonical_bytes
from policies.errors import DocumentError
from policies.sealing import parse_private_disclosure_key, private_disclosure_key_file

MAX_KEY_BYTES: Final = 4096
_WORDS: Final = {
    "not-disclosed": "no disclosure of it is here",
    "sealed-to-others": "sealed to others",
    "faulty": "its disclosure is faulty",
}


def keygen(
    out: Annotated[Path, typer.Option(help="Where to write the private key (mode 0600).")],
) -> None:
    """Make an auditor's disclosure key: the private half stays here, the operator gets the public.

    Example: tds audit keygen --out auditor.key
    """
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    half = out.with_suffix(".pub")
    if half.exists():
        raise BadInput(f"{half}: expected no such file, got one; choose another --out")
    write_private(out, private_disclosure_key_file(key))
    half.write_text(public + "\n", encoding="ascii")
    say(f"wrote {out}; keep it: what is sealed to it opens with nothing else")
    say(f"public half, for the operator, in {half}: {public}")
    say(f"there: tds space auditor add {half.name} --space SPACE --title NAME")


def disclosed(
    folder: Annotated[Path, typer.Argument(help="A copy of the log's folder.")],
    disclosures: Annotated[
        Path, typer.Option(help="A copy of the space's disclosures/, or a part of it.")
    ],
    key: Annotated[
        Path,
        typer.Option(help="Your disclosure key: auditor.key, or a node's keys/disclosure.key."),
    ],
    participant: Annotated[
        str | None, typer.Option(help="Only what is about this participant.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write names by pseudonym here (JSON, mode 0600), for reports."),
    ] = None,
    log_key: Annotated[
        str | None,
        typer.Option(help="The log's public key, or a file that holds it: verifies first."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Open what the log only commits to: who is who, and what people wrote.

    Each text is checked against the commitment in its entry. What was erased stays closed. Ends
    with 1 if a disclosure is damaged or opens nothing, 2 if nothing here is sealed to the key.

    Example: tds audit disclose ./log --disclosures ./disclosures --key auditor.key --out names.json
    """
    private = _key(key)
    with opened_log(str(folder), log_key, None) as opened:
        found = disclose(opened.folder, disclosures, private, size=opened.size)
    shown = [one for one in found.commitments if participant in (None, one.participant)]
    if out is not None:
        names = {one: name for one, name in found.names().items() if participant in (None, one)}
        write_private(out, canonical_bytes(names) + b"\n")
    if as_json:
        print_json(
            {
                "space": found.space,
                "verified": log_key is not None,
                "names": found.names(),
                "commitments": [asdict(one) for one in shown],
                "faults": found.faults,
            }
        )
    else:
        _tell(shown)
    _check(found, key)


def _tell(shown: list[Shown]) -> None:
    rows = [[str(one.entry), one.type, one.participant, _text(one)] for one in shown]
    print_table("what the log commits to", ["entry", "type", "about", "disclosed"], rows)


def _text(one: Shown) -> str:
    if one.erased is not None:
        return f"erased in entry {one.erased}"
    if one.value is None:
        return _WORDS[one.state]
    if one.kind == "product":
        columns = one.value["columns"]
        many = len(columns) if isinstance(columns, list) else 0
        return f"{one.value['title']}, {many} columns"
    parts = [", ".join(map(str, v)) if isinstance(v, list) else str(v) for v in one.value.values()]
    return ", ".join(part for part in parts if part)


def _check(found: Disclosed, key: Path) -> None:
    for fault in found.faults:
        complain(fault)
    if found.faults:
        raise CommandFailed(
            f"{len(found.faults)} disclosures are not as the log has them; the others hold"
        )
    closed = sum(one.state == "sealed-to-others" for one in found.commitments)
    if closed and not found.opened:
        raise BadInput(
            f"{key}: expected a key that something here is sealed to, got {closed} disclosures "
            "sealed to others; give another key, or ask the operator to name you: tds space "
            "auditor add"
        )


def _key(path: Path) -> X25519PrivateKey:
    try:
        return parse_private_disclosure_key(read_private(path, MAX_KEY_BYTES))
    except DocumentError as error:
        raise BadInput(f"{path}: {error}; make one with: tds audit keygen") from error
