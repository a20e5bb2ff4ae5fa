"""The log's folder over HTTP, as C2SP tlog-tiles serves a log: static files for anybody.

    GET  /log/checkpoint                          changes with each append: never from a cache
    GET  /log/tile/<L>/<N>[.p/<W>]                never changes: cached as long as one likes
    GET  /log/tile/entries/<N>[.p/<W>]            likewise; in gzip if the client takes it

Nothing else is there: no listing, no other name, no link is followed. Entries hold pseudonyms and
commitments, and the log is meant for strangers, so that nobody is asked for a token.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.errors import ProofError
from ledger.folder import CHECKPOINT
from ledger.note import MAX_NOTE_BYTES
from ledger.tiles import ENTRIES, MAX_BUNDLE_BYTES, TILE_BYTES, parse_tile_path

PREFIX: Final = "/log"
MAX_AT_ONCE: Final = 16
"""Answers being made: each may hold a bundle of 16 MiB in memory."""

_GZIP_LEVEL: Final = 4
_GZIP_LEAST_BYTES: Final = 1024
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of file is served."""

    media_type: str
    cache: str
    most_bytes: int
    compressed: bool


_NOTE: Final = _Kind("text/plain; charset=utf-8", "no-cache", MAX_NOTE_BYTES, False)
_TILE: Final = _Kind("application/octet-stream", _IMMUTABLE, TILE_BYTES, False)
_BUNDLE: Final = _Kind("application/octet-stream", _IMMUTABLE, MAX_BUNDLE_BYTES, True)


class LogFiles:
    """Serves one folder, read-only.

    Args:
        folder: the log's published folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._at_once = 0

    def route(self) -> Route:
        """Where an application mounts it; GET and HEAD."""
        return Route(f"{PREFIX}/{{path:path}}", self.answer, methods=["GET"])

    async def answer(self, request: Request) -> Response:
        """The file of a path: 200, 304 if the client has it, 404, or 503 with too many at once."""
        path = request.path_params["path"]
        kind = _kind(path)
        if kind is None:
            return _missing()
        if self._at_once >= MAX_AT_ONCE:
            return Response(None, 503, {"retry-after": "1", "cache-control": "no-store"})
        self._at_once += 1
        try:
            return await run_in_threadpool(self._file, path, kind, request)
        finally:
            self._at_once -= 1

    def _file(self, path: str, kind: _Kind, request: Request) -> Response:
        found = _read(self._folder / path, kind.most_bytes)
        if found is None:
            return _missing()
        data, modified = found
        digest = hashlib.sha256(data).hexdigest()[:32]
        headers = {
            "content-type": kind.media_type,
            "cache-control": kind.cache,
            "etag": f'W/"{digest}"' if kind.compressed else f'"{digest}"',
            "last-modified": formatdate(modified, usegmt=True),
            "x-content-type-options": "nosniff",
        }
        if kind.compressed:
            headers["vary"] = "accept-encoding"
        if digest in _known(request.headers.get("if-none-match", "")):
            return Response(None, 304, headers)
        if (
            kind.compressed
            and len(data) >= _GZIP_LEAST_BYTES
            and _takes_gzip(request.headers.get("accept-encoding", ""))
        ):
            data = gzip.compress(data, _GZIP_LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
        # An answer to HEAD says the length, and leaves the body out.
        headers["content-length"] = str(len(data))
        return Response(None if request.method == "HEAD" else data, 200, headers)


def _kind(path: str) -> _Kind | None:
    if path == CHECKPOINT:
        return _NOTE
    try:
        tile = parse_tile_path(path)
    except ProofError:
        return None
    return _BUNDLE if tile.level == ENTRIES else _TILE


def _read(path: Path, most: int) -> tuple[bytes, float] | None:
    """A regular file and when it was written; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most), status.st_mtime
    finally:
        os.close(descriptor)


def _known(header: str) -> set[str]:
    """The digests in If-None-Match."""
    tags = (tag.strip().removeprefix("W/") for tag in header.split(","))
    return {tag[1:-1] for tag in tags if len(tag) > 2 and tag[0] == tag[-1] == '"'}


def _takes_gzip(header: str) -> bool:
    for item in header.lower().split(","):
        coding, _, rest = item.partition(";")
        if coding.strip() == "gzip":
            return rest.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _missing() -> Response:
    return Response(None, 404, {"cache-control": "no-store"})
