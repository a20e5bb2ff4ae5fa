"""Where the console is served, and at what address a browser finds it.

Plain HTTP is for this machine only. A browser does not know the CA of a space: under https on
loopback it would warn each visitor, who would learn to click such warnings away, and nobody between
the two ends of a loopback connection is kept out by it. Browsers count such an address as secure
(W3C Secure Contexts, 3.1). Whatever else the address names is served with TLS, under governance's
certificate, which the space's CA signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from server.errors import ServerError

LOCAL: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LISTEN: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Place:
    """An address to bind and the one to visit; `parse_place` makes it.

    Attributes:
        listen: host:port to bind; port 0 is any free one.
        url: scheme://host:port that browsers visit, "" until the port is known.
    """

    listen: str
    url: str

    @property
    def tls(self) -> bool:
        """Whether it is served with TLS."""
        if self.url:
            return self.url.startswith("https://")
        return self.listen.rpartition(":")[0] not in LOCAL

    def bound(self, port: int) -> Place:
        """With the port that was bound."""
        if self.url:
            return self
        host = self.listen.rpartition(":")[0]
        scheme = "https" if self.tls else "http"
        return Place(self.listen, f"{scheme}://{host}:{port}")


def parse_place(listen: str, url: str = "") -> Place:
    """What `tds serve --console LISTEN --console-url URL` says.

    Args:
        url: how browsers reach it where that differs, as behind a container's published port.

    Raises:
        ServerError: malformed, or plain HTTP from elsewhere than this machine.
    """
    found = _LISTEN.fullmatch(listen)
    if found is None or int(found[2]) > 65_535:
        raise ServerError(f"console: expected HOST:PORT, got {listen!r:.80}")
    if not url:
        if found[1] == "0.0.0.0":  # noqa: S104  # refused, not bound
            raise ServerError(
                f"console: {listen} is no address to visit; say which is: --console-url URL"
            )
        return Place(listen, "")
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if ":" in parts.netloc else parts.netloc
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != url:
        raise ServerError(f"console: expected http[s]://HOST[:PORT] and no more, got {url!r:.120}")
    if not _LISTEN.fullmatch(f"{host}:1"):
        raise ServerError(f"console: expected a URL with a host, got {url!r:.120}")
    if parts.scheme == "http" and host not in LOCAL:
        raise ServerError(
            f"console: expected https for {host}: plain http is for this machine only, "
            f"as http://localhost, got {url!r:.120}"
        )
    return Place(listen, url)
