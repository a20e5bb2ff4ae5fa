"""Signing in with an enrolled certificate: what the TLS connection shows, and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from server_site import OPERATOR, SPACE, Site

from server.console.place import Place
from server.console.serving import Console, serve_console
from server.edge import Edge, system_edge
from server.pki import Identity, Issued, create_ca, issue_server, new_client

URL = "https://space.example"
FORM = {"content-type": "application/x-www-form-urlencoded", "origin": URL}
ALPHA = Identity(space=SPACE, role="node", participant="alpha")
Visit = Callable[..., httpx.Client]


@pytest.fixture
def console(site: Site) -> Iterator[Console]:
    keys = site.space.folder / "governance"
    made = serve_console(
        site.governance,
        place=Place("127.0.0.1:0", URL),
        certificate=keys / "tls.crt",
        key=keys / "tls.key",
        log_folder=site.space.log_folder,
        edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
    )
    yield made
    made.stop()


@pytest.fixture
def visit(site: Site, console: Console, tmp_path: Path) -> Iterator[Visit]:
    """Browsers, each with a certificate or none."""
    with ExitStack() as stack:

        def browser(held: Issued | None = None, **headers: str) -> httpx.Client:
            context = ssl.create_default_context(cadata=site.space.card.ca_pem)
            if held is not None:
                (tmp_path / "held.pem").write_bytes(held.certificate + held.key)
                context.load_cert_chain(tmp_path / "held.pem")
            made = httpx.Client(
                base_url=f"https://127.0.0.1:{console.port}",
                verify=context,
                headers={"host": "space.example", "accept-language": "en", **headers},
                trust_env=False,
            )
            return stack.enter_context(made)

        yield browser


def held(site: Site, who: Identity, *, since: timedelta = timedelta(0)) -> Issued:
    """TLS takes the machine's clock, whatever the site's is."""
    return new_client(site.space.authority(), who, now=clock() - since)


def clock() -> datetime:
    return system_edge().clock()


@pytest.mark.parametrize("who", [ALPHA, OPERATOR])
def test_an_enrolled_certificate_signs_its_holder_in(
    site: Site, visit: Visit, who: Identity
) -> None:
    site.now = clock()
    browser = visit(held(site, who))
    assert "Sign in with your certificate" in browser.get("/").text
    entered = browser.post("/enter/certificate", headers=FORM)
    assert (entered.status_code, entered.headers["location"]) == (303, "/space")
    assert entered.headers["set-cookie"].startswith("__Host-tds=")
    browser.cookies.set("__Host-tds", entered.cookies["__Host-tds"], domain="127.0.0.1")
    assert who.participant in browser.get("/consent").text
    withdraw = browser.get("/consent/withdraw", params={"agreement": "agreement-alpha"})
    assert who is OPERATOR or "tds node withdraw agreement-alpha" in withdraw.text
    site.now += timedelta(days=366)  # nobody is let in for longer than the certificate
    assert browser.get("/space").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-client-cert": "PEM"},
        {"x-ssl-client-cert": "PEM", "x-ssl-client-verify": "SUCCESS"},
        {"x-forwarded-client-cert": "PEM"},
        {"client-cert": "PEM", "ssl-client-cert": "PEM", "x-forwarded-for": "127.0.0.1"},
    ],
)
def test_no_header_stands_in_for_a_certificate(
    site: Site, visit: Visit, headers: Mapping[str, str]
) -> None:
    pem = held(site, ALPHA).certificate.decode().strip().replace("\n", " ")
    said = {name: value.replace("PEM", pem) for name, value in headers.items()}
    browser = visit(None, **said)
    assert "Sign in with your certificate" not in browser.get("/").text
    assert browser.post("/enter/certificate", headers=FORM).status_code == 403


@pytest.mark.parametrize(
    "who",
    [
        Identity(space=SPACE, role="node", participant="nobody"),
        Identity(space=SPACE, role="operator", participant="alpha"),
        Identity(space="elsewhere", role="node", participant="alpha"),
        Identity(space=SPACE, role="auditor", participant="console.auditor"),
    ],
)
def test_a_certificate_of_nobody_who_stands_opens_nothing(
    site: Site, visit: Visit, who: Identity
) -> None:
    site.now = clock()
    assert visit(held(site, who)).post("/enter/certificate", headers=FORM).status_code == 403


def test_who_is_no_longer_active_is_not_let_in(site: Site, visit: Visit) -> None:
    site.now = clock()
    with site.registry.transaction() as connection:
        connection.exec_driver_sql("UPDATE participants SET active = 0 WHERE id = 'alpha'")
    refused = visit(held(site, ALPHA)).post("/enter/certificate", headers=FORM)
    assert refused.status_code == 403 and "not active" in refused.text


def test_a_servers_certificate_names_nobody(site: Site, visit: Visit) -> None:
    server = issue_server(site.space.authority(), ["space.example"], now=clock())
    with pytest.raises(httpx.TransportError):
        visit(server).get("/")


def test_another_cas_or_an_expired_certificate_ends_the_handshake(site: Site, visit: Visit) -> None:
    foreign = new_client(create_ca("foreign", now=clock()), ALPHA, now=clock())
    for wrong in (foreign, held(site, ALPHA, since=timedelta(days=366))):
        with pytest.raises(httpx.TransportError):
            visit(wrong).get("/")


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "https://evil.example"}, {"origin": URL, "sec-fetch-site": "cross-site"}],
)
def test_only_a_page_of_the_consoles_own_signs_somebody_in(
    site: Site, visit: Visit, headers: dict[str, str]
) -> None:
    site.now = clock()
    form = {"content-type": FORM["content-type"], **headers}
    assert visit(held(site, ALPHA)).post("/enter/certificate", headers=form).status_code == 403
