"""Forms as browsers post them, bounded before they are parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from server.errors import BadInput

MAX_FORM_BYTES: Final = 1 << 20  # 10,000 agreements may be named
MAX_FIELDS: Final = 10_100
FORM_TIMEOUT_S: Final = 10.0
Fields = Mapping[str, Sequence[str]]


async def read_form(request: Request) -> Fields:
    """All values of each field.

    Raises:
        BadInput: another media type, too large, too late, or no UTF-8.
        starlette.requests.ClientDisconnect: the client went away.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise BadInput(f"form: expected application/x-www-form-urlencoded, got {media!r:.80}")
    return parse_form(await read_body(request, what="form", most=MAX_FORM_BYTES))


async def read_body(request: Request, *, what: str, most: int) -> bytes:
    """All of a body.

    Args:
        what: how an error names it.
        most: bytes.

    Raises:
        BadInput: too large, or not all of it within `FORM_TIMEOUT_S`.
        starlette.requests.ClientDisconnect: the client went away.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            async for part in request.stream():
                data += part
                if len(data) > most:
                    raise BadInput(f"{what}: expected at most {most} bytes")
    except TimeoutError as error:
        raise BadInput(f"{what}: expected all of it within {FORM_TIMEOUT_S:g} s") from error
    return bytes(data)


def parse_form(data: bytes) -> Fields:
    """The fields of a body; BadInput if it is malformed."""
    try:
        return parse_qs(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise BadInput("form: expected fields as a browser sends them") from error


def one(fields: Fields, name: str) -> str:
    """The value of a field that stands once, without spaces around it; "" if it is not there.

    Raises:
        BadInput: it is there twice.
    """
    values = fields.get(name, ())
    if len(values) > 1:
        raise BadInput(f"form: expected {name} once, got {len(values)} of it")
    return values[0].strip() if values else ""
