"""`--names FILE`: who stands behind the log's pseudonyms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.errors import BadInput
from commands.reading import read_bounded
from policies.canonical import parse_json
from policies.errors import DocumentError

MAX_NAMES_BYTES: Final = 8 << 20
MAX_NAME: Final = 200

NamesOption = Annotated[
    Path | None,
    typer.Option(
        "--names", help="JSON object of names by pseudonym, as `tds audit disclose --out` writes."
    ),
]


def read_names(path: Path | None) -> Mapping[str, str]:
    """Names by pseudonym; none without a file.

    Raises:
        BadInput: no such file, or no JSON object of short texts.
    """
    if path is None:
        return {}
    try:
        value = parse_json(read_bounded(path, MAX_NAMES_BYTES), max_bytes=MAX_NAMES_BYTES)
    except DocumentError as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f'{path}: expected a JSON object such as {{"p-1": "Riverside"}}')
    names: dict[str, str] = {}
    for id, name in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            text = f"expected a name of 1 to {MAX_NAME} characters, got {name!r:.60}"
            raise BadInput(f"{path}: {id[:80]}: {text}")
        names[id] = name
    return names


def pseudonym_of(participant: str, names: Mapping[str, str]) -> str:
    """The pseudonym of a participant that was given by either.

    Raises:
        BadInput: several participants have this name.
    """
    if participant in names:
        return participant
    found = [id for id, name in names.items() if name == participant]
    if len(found) > 1:
        raise BadInput(f"{participant}: expected one participant of this name, got {found[:3]}")
    return found[0] if found else participant
