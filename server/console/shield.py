"""What every answer of the console carries, and which requests reach it at all.

The pages hold no script and no style of their own, so that a policy without `unsafe-inline` lets
nothing run that somebody smuggled into a title or a reason. A request must name the console's own
host: another name that leads here is an attempt to read it from a foreign page (DNS rebinding). And
a request that changes something must not come from a foreign page (Fetch Metadata, and Origin). One
that signs somebody in by what their browser sends by itself, a client certificate, has to say that
it comes from a page of ours: no secret in it would show that.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": CSP,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # `same-origin`, not `no-referrer`: with that, browsers send `Origin: null` with every form.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
CERTIFICATE_PATH: Final = "/enter/certificate"
_SAFE: Final = frozenset({"GET", "HEAD"})


class Shield:
    """Around the whole application.

    Args:
        url: scheme://host[:port] of the console.
    """

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._url = url
        self._host = urlsplit(url).netloc
        self._headers = dict(HEADERS)
        if url.startswith("https://"):
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, sending)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() != self._host.lower():
            return PlainTextResponse(f"this console is at {self._url}\n", 421)
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin", "" if scope["path"] == CERTIFICATE_PATH else self._url)
        site = headers.get("sec-fetch-site", "same-origin")
        if origin != self._url or site not in ("same-origin", "none"):
            return PlainTextResponse("expected a form of this console\n", 403)
        return None
