"""Reading a log over HTTPS (C2SP tlog-tiles), from a server that is not believed in anything.

Every answer is bounded in bytes, also once it is unpacked, and in time; what fails is tried again a
few times. No redirect is followed, no proxy is taken from the environment, and plain HTTP is for
this machine only. What the bytes are worth is for `auditors.verify` to say.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from auditors.errors import AuditInputError, LogUnreachable
from ledger.folder import CHECKPOINT
from ledger.note import MAX_NOTE_BYTES
from ledger.tiles import ENTRIES, MAX_BUNDLE_BYTES, TILE_BYTES, Tile

TRIES: Final = 4
TIMEOUT_S: Final = 15.0
"""For the next bytes to come."""

FILE_TIMEOUT_S: Final = 120.0
"""For one file, however slowly its bytes come."""

PAUSE_S: Final = 0.5
"""Before the second try; twice as long before each one after."""

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_SLACK_BYTES: Final = 1 << 16
_MAX_URL_CHARS: Final = 2048


class Source:
    """A log's address. A context manager; may be used by several threads.

    Args:
        url: the log's prefix, `https://host[:port]/log`; `http` for this machine only.
        ca: PEM file of the only CA that may have issued the server's certificate; None takes the
            system's.
        sleep: waits a number of seconds between two tries.

    Raises:
        AuditInputError: not such an address, or no such CA.
    """

    def __init__(
        self, url: str, *, ca: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = _checked(url)
        self._sleep = sleep
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise AuditInputError(
                f"{ca}: expected a CA's certificate (PEM), got: {error}"
            ) from error
        self._client = httpx.Client(
            verify=context,
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "gzip, identity", "accept": "*/*"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def checkpoint(self) -> bytes:
        """The newest checkpoint.

        Raises:
            LogUnreachable: no answer, or another.
        """
        found = self._get(CHECKPOINT, MAX_NOTE_BYTES)
        if found is None:
            raise LogUnreachable(
                f"{self.url}/{CHECKPOINT}: expected a log's checkpoint, got 404; give the address "
                "under which the log has its checkpoint"
            )
        return found

    def tile(self, tile: Tile) -> bytes | None:
        """A tile or bundle; None where the server has none.

        Raises:
            LogUnreachable: no answer, or another.
        """
        most = MAX_BUNDLE_BYTES if tile.level == ENTRIES else TILE_BYTES
        return self._get(tile.path, most)

    def _get(self, path: str, most: int) -> bytes | None:
        url, pause = f"{self.url}/{path}", PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                return self._once(url, most)
            except _Again as error:
                if not left:
                    raise LogUnreachable(
                        f"{url}: expected an answer, got: {error} ({TRIES} times); try again "
                        "later, what came is kept"
                    ) from error
            self._sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, url: str, most: int) -> bytes | None:
        end = time.monotonic() + FILE_TIMEOUT_S
        try:
            with self._client.stream("GET", url) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                if answer.status_code in _AGAIN:
                    raise _Again(f"status {answer.status_code}")
                if answer.status_code != httpx.codes.OK:
                    raise LogUnreachable(
                        f"{url}: expected 200 or 404, got status {answer.status_code}"
                    )
                coding = answer.headers.get("content-encoding", "identity").strip().lower()
                return _body(answer.iter_raw(), coding, most, end, url)
        except httpx.HTTPError as error:
            raise _Again(f"{type(error).__name__}: {error}") from error
        except (httpx.InvalidURL, UnicodeError) as error:  # a name that no resolver takes
            raise AuditInputError(f"{url!r:.200}: expected a host's name, got: {error}") from error


class _Again(Exception):
    """It may go better the next time."""


def _body(pieces: Iterator[bytes], coding: str, most: int, end: float, url: str) -> bytes:
    unpack = None
    if coding in ("gzip", "x-gzip"):
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
    elif coding != "identity":
        raise LogUnreachable(f"{url}: expected gzip or no coding, got {coding!r:.40}")
    data, raw = bytearray(), 0
    for piece in pieces:
        raw += len(piece)
        if unpack is None:
            data += piece
        else:
            try:
                data += unpack.decompress(piece, most + 1 - len(data))
            except zlib.error as error:
                raise _Again(f"a broken gzip stream: {error}") from error
        if len(data) > most or raw > most + _SLACK_BYTES:
            raise LogUnreachable(f"{url}: expected at most {most} bytes, got more")
        if time.monotonic() > end:
            raise _Again(f"not all of it in {FILE_TIMEOUT_S:.0f} s")
    if unpack is not None and not unpack.eof:
        raise _Again("a gzip stream without its end")
    return bytes(data)


def _checked(url: str) -> str:
    expected = "expected an address as https://host[:port]/log"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise AuditInputError(f"{url!r:.200}: {expected}, got: {error}") from error
    printable = url.isascii() and url.isprintable() and " " not in url
    if (
        len(url) > _MAX_URL_CHARS
        or not printable
        or not host
        or parts.scheme not in ("https", "http")
        or parts.username is not None
        or parts.password is not None
        or parts.query
        or parts.fragment
    ):
        raise AuditInputError(f"{url!r:.200}: {expected}, without user, query and fragment")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise AuditInputError(
            f"{url!r:.200}: {expected}; plain http is for this machine only, got {host!r:.80}"
        )
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
