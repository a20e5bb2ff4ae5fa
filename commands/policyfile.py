"""Policy files as the commands read them: bounded, and of either kind."""

from __future__ import annotations

from pathlib import Path

from commands.reading import read_bounded
from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.intake import MAX_BYTES
from policies.odrl import Agreement, Offer, parse_agreement, parse_offer


def read_policy(path: Path) -> Agreement | Offer:
    """The agreement or offer in a file.

    Raises:
        BadInput: it cannot be read, or is too large.
        DocumentError: anything the profile does not know, with the JSON path.
    """
    return parse_policy(read_policy_bytes(path))


def parse_policy(data: bytes) -> Agreement | Offer:
    """An agreement or an offer, as its `@type` says; DocumentError as `read_policy`."""
    document = parse_json(data, max_bytes=MAX_BYTES)
    if not isinstance(document, dict):
        raise DocumentError("$", "an object", type(document).__name__)
    kind = document.get("@type")
    if kind == "Offer":
        return parse_offer(data)
    if kind == "Agreement":
        return parse_agreement(data)
    raise DocumentError("$.@type", "'Agreement' or 'Offer'", repr(kind)[:60])


def read_policy_bytes(path: Path) -> bytes:
    """A policy file's bytes, at most as many as intake takes."""
    return read_bounded(path, MAX_BYTES)
