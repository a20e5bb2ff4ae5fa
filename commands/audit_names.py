"""`--names FILE`: who stands behind the log's pseudonyms, and what it only commits to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from auditors.known import Known
from commands.errors import BadInput
from commands.reading import read_bounded
from policies.canonical import Json, parse_json
from policies.errors import DocumentError

MAX_NAMES_BYTES: Final = 64 << 20
MAX_NAME: Final = 200
# A pseudonym by itself, not as a part of another id.
_PSEUDONYM: Final = re.compile(r"(?<![\w/:.-])[a-z0-9][a-z0-9-]{0,62}(?![\w/:-])")

NamesOption = Annotated[
    Path | None,
    typer.Option(
        "--names",
        help="Names by pseudonym, as `tds audit disclose --out` writes; or all that `--json` of it "
        "prints, then titles and reasons are shown as well.",
    ),
]


def read_names(path: Path | None) -> Known:
    """What is known beside the log; nothing without a file.

    Raises:
        BadInput: no such file, or neither of the two forms.
    """
    if path is None:
        return Known()
    try:
        value = parse_json(read_bounded(path, MAX_NAMES_BYTES), max_bytes=MAX_NAMES_BYTES)
    except DocumentError as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f'{path}: expected a JSON object such as {{"p-1": "Riverside"}}')
    if isinstance(value.get("commitments"), list):
        return Known(_names(path, value.get("names")), _texts(path, value["commitments"]))
    return Known(_names(path, value))


def _names(path: Path, value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected names by pseudonym, got none")
    names: dict[str, str] = {}
    for id, name in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            text = f"expected a name of 1 to {MAX_NAME} characters, got {name!r:.60}"
            raise BadInput(f"{path}: {id[:80]}: {text}")
        names[id] = name
    return names


def _texts(path: Path, value: Any) -> dict[str, dict[str, Any]]:
    texts: dict[str, dict[str, Any]] = {}
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("commitment"), str):
            raise BadInput(f"{path}: expected commitments as `tds audit disclose --json` prints")
        if isinstance(one.get("value"), dict):
            texts[one["commitment"]] = one["value"]
    return texts


def named(text: str, known: Known) -> str:
    """A sentence about pseudonyms, with the names that are known before them."""

    def with_name(found: re.Match[str]) -> str:
        name = known.name(found[0])
        return f"{name} ({found[0]})" if name else found[0]

    return _PSEUDONYM.sub(with_name, text) if known.names else text


def pseudonym_of(participant: str, known: Known) -> str:
    """The pseudonym of a participant that was given by either.

    Raises:
        BadInput: several participants have this name.
    """
    if participant in known.names:
        return participant
    found = [id for id, name in known.names.items() if name == participant]
    if len(found) > 1:
        raise BadInput(f"{participant}: expected one participant of this name, got {found[:3]}")
    return found[0] if found else participant
