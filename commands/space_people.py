"""`tds space participants`, `tds space auditor`, `tds space erase`: who is who, who may know, and
the end of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.errors import BadInput
from commands.output import JsonFlag, print_columns, print_json, say
from commands.reading import objects, read_bounded
from server.governance_client import GovernanceClient
from server.space import load_space

MAX_KEY_CHARS: Final = 64
SpaceFolder = Annotated[
    Path, typer.Option("--space", envvar="TDS_SPACE", help="The space's folder.")
]
auditor_cli = typer.Typer(
    no_args_is_help=True, help="Auditors: who may read what the log only commits to."
)


class ErasureReason(StrEnum):
    """Why salts and texts are destroyed; stands in the log."""

    NO_LONGER_NEEDED = "no-longer-needed"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    OBJECTION = "objection"
    UNLAWFUL = "unlawful"
    LEGAL_OBLIGATION = "legal-obligation"


ReasonCode = Annotated[ErasureReason, typer.Option(help="Why; stands in the log.")]


def participants(space: SpaceFolder, as_json: JsonFlag = False) -> None:
    """List participants: what the log calls them, and who they are. `tds serve` must run.

    Names come from the space's disclosures; the log has none.
    Example: tds space participants --space ./space
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        found = objects(governance.list("participants"))
    if as_json:
        print_json(found)
    else:
        print_columns("participants", ["participant", "title", "role", "region", "index"], found)


@auditor_cli.command("add")
def add_auditor(
    key: Annotated[
        str, typer.Argument(help="The public half that `tds audit keygen` printed, or its file.")
    ],
    space: SpaceFolder,
    title: Annotated[str, typer.Option(help="Its name, for people; never logged.")] = "",
    auditor: Annotated[
        str, typer.Option(help="Its id in the log; a pseudonym is made if left out.")
    ] = "",
) -> None:
    """Name an auditor: every disclosure, also those that are there, is sealed to its key as well.

    It is logged. `tds serve` must run. Example: tds space auditor add auditor.pub --space ./space
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        index, id = governance.name_auditor(auditor=auditor, title=title, key=_public(key))
    say(f"named auditor {id}, log entry {index}")
    say(f"give it {space / 'log'} and {space / 'disclosures'} (sealed; its key opens what it may)")


@auditor_cli.command("list")
def list_auditors(space: SpaceFolder, as_json: JsonFlag = False) -> None:
    """List the named auditors. Example: tds space auditor list --space ./space"""
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        found = objects(governance.list("auditors"))
    if as_json:
        print_json(found)
    else:
        print_columns("auditors", ["auditor", "title", "index"], found)


def erase(
    what: Annotated[
        str, typer.Argument(help="A participant's or an auditor's id, or one commitment.")
    ],
    space: SpaceFolder,
    reason_code: ReasonCode,
) -> None:
    """Destroy salts and texts of what the log commits to, for good; the erasure is logged.

    The log stays as it is, and every proof holds; the commitments open to nothing any more. Copies
    must be erased where they are: in backups, and with auditors. `tds serve` must run.
    Example: tds space erase p-aaaaaaaaaaaaaaaa --space ./space --reason-code no-longer-needed
    """
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        index, count = governance.erase(what, reason_code.value)
    say(f"erased {count} disclosures, log entry {index}")
    say("erase them from backups of the space, too; auditors are told by the log")


def _public(text: str) -> bytes:
    path = Path(text)
    given = text
    if len(text) != MAX_KEY_CHARS or path.is_file():
        given = read_bounded(path, MAX_KEY_CHARS + 1).decode("utf-8", "replace").strip()
    try:
        return bytes.fromhex(given)
    except ValueError as error:
        raise BadInput(
            f"{text:.80}: expected 64 hexadecimal digits or a file that holds them, got others; "
            "make a key with: tds audit keygen"
        ) from error
