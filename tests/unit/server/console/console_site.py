"""A populated space with its console served on loopback, and browsers in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from server_site import CONSUMER, OPERATOR, SPACE, Site

from commands.console_teller import ConsoleTeller
from server.console.advance import NONE, InAdvance
from server.console.door import AUDITOR
from server.console.place import parse_place
from server.console.serving import Console, serve_console
from server.edge import Edge
from server.pki import Identity

AUDITS = Identity(space=SPACE, role="auditor", participant=AUDITOR)
CALLERS = {"operator": OPERATOR, "consumer": CONSUMER, "auditor": AUDITS}


@dataclass
class Bench:
    """The console over a site; `visit` makes a browser that is signed in."""

    site: Site
    console: Console
    browsers: list[httpx.Client] = field(default_factory=list)

    def browser(self, language: str = "en") -> httpx.Client:
        made = httpx.Client(
            base_url=self.console.url, headers={"accept-language": language}, trust_env=False
        )
        self.browsers.append(made)
        return made

    def caller(self, name: str) -> Identity:
        return CALLERS.get(name) or self.site.nodes[name].identity

    def code(self, name: str, withdrawals: InAdvance = NONE) -> str:
        return self.console.entrance.link(self.caller(name), withdrawals)[0]

    def visit(self, name: str, language: str = "en", withdrawals: InAdvance = NONE) -> httpx.Client:
        """A browser of the operator, the consumer, an auditor, or an enterprise by its name."""
        browser = self.browser(language)
        entered = browser.post("/enter", data={"code": self.code(name, withdrawals)})
        assert entered.status_code == 303, entered.text
        return browser


@contextmanager
def console_over(site: Site, port: int = 0) -> Iterator[Bench]:
    """The console of a site, until the block is left; at a free port unless one is named."""
    keys = site.space.folder / "governance"
    console = serve_console(
        site.governance,
        place=parse_place(f"127.0.0.1:{port}"),
        certificate=keys / "tls.crt",
        key=keys / "tls.key",
        log_folder=site.space.log_folder,
        edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
        teller=ConsoleTeller(site.space.card.log_key),
    )
    bench = Bench(site, console)
    yield bench
    for browser in bench.browsers:
        browser.close()
    console.stop()
    console.stop()  # safe to call again


def csrf(browser: httpx.Client, path: str = "/runs") -> str:
    """The token that a page's forms carry."""
    found = re.search(r'name="csrf" value="([A-Za-z0-9_-]{43})"', browser.get(path).text)
    assert found is not None
    return found[1]


def events(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """Server-sent events, as a browser reads them."""
    name, data = "", []
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif not line and name:
            yield name, "\n".join(data)
            name, data = "", []
