"""The ways into the console besides a link, in a real browser.

OpenID Connect with a certified provider, oidc-provider (npm, MIT), which lies in the folder that
`TDS_OIDC_MODULES` names (.ci/browser). And an enrolled certificate, as a browser that holds one
shows it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oidc_site import CLIENT, SECRET
from playwright.sync_api import Browser, Page, expect
from server_site import SPACE, Site
from test_browser_console import LOOKS, _accessible, axe

from commands.children import free_ports
from server.console.oidc.settings import Configuration, Settings
from server.console.place import Place, parse_place
from server.console.serving import Console, serve_console
from server.edge import system_edge
from server.pki import Identity, new_client

__all__ = ["axe"]

MODULES = Path(os.environ.get("TDS_OIDC_MODULES", Path(__file__).parents[2] / ".venv/oidc"))
SCRIPT = Path(__file__).parent / "oidc" / "provider.mjs"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "space")
    made.populate("alpha", "beta", "gamma")
    yield made
    made.close()


@contextmanager
def served(site: Site, place: Place, oidc: Settings | None = None) -> Iterator[Console]:
    keys = site.space.folder / "governance"
    console = serve_console(
        site.governance,
        place=place,
        certificate=keys / "tls.crt",
        key=keys / "tls.key",
        log_folder=site.space.log_folder,
        edge=system_edge(),
        oidc=oidc,
    )
    try:
        yield console
    finally:
        console.stop()


@contextmanager
def provider(port: int, redirect_uri: str) -> Iterator[str]:
    """A real provider; its issuer."""
    assert (MODULES / "node_modules" / "oidc-provider").is_dir(), (
        f"{MODULES}: expected oidc-provider; get it with: .ci/browser"
    )
    with subprocess.Popen(
        ["node", str(SCRIPT), str(port), redirect_uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "CLIENT_SECRET": SECRET, "OIDC_MODULES": str(MODULES)},
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def configuration(issuer: str) -> Configuration:
    people = [
        {"value": "clinic-staff", "role": "node", "participant": "alpha"},
        {"value": "audit", "role": "auditor"},
    ]
    return Configuration.from_json(
        {
            "version": 1,
            "issuer": issuer,
            "client_id": CLIENT,
            "client_secret_file": "oidc.secret",
            "scopes": ["openid", "groups"],
            "claim": "groups",
            "people": people,
        }
    )


def log_in(page: Page, console: Console, name: str) -> None:
    """Through the provider's own pages, and back."""
    page.goto(console.url)
    page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]").click()  # its question of consent


def test_a_real_provider_lets_in_whom_the_operators_file_names(
    browser: Browser, site: Site, axe: str
) -> None:
    at, idp = free_ports(2)
    with provider(idp, f"http://127.0.0.1:{at}/oidc/back") as issuer:
        oidc = Settings(configuration(issuer), SECRET, None)
        with served(site, parse_place(f"127.0.0.1:{at}"), oidc) as console:
            context = browser.new_context(**LOOKS["desk"])
            page = context.new_page()
            page.goto(console.url)
            _accessible(page, axe, "sign-in-oidc")
            log_in(page, console, "clinic-staff")
            expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
            expect(page.get_by_role("main")).to_contain_text("enterprise alpha")
            _accessible(page, axe, "sign-in-oidc-confirm")
            page.get_by_role("main").get_by_role("button").click()
            expect(page).to_have_url(f"{console.url}/space")
            expect(page.get_by_text("alpha, enterprise")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
            context.close()

            context = browser.new_context(**LOOKS["desk"])
            page = context.new_page()
            log_in(page, console, "stranger")
            expect(page.get_by_role("alert")).to_contain_text("got none")
            page.goto(f"{console.url}/space")
            expect(page.get_by_role("heading", level=1)).to_have_text("You are not signed in.")
            context.close()


def test_a_browser_that_holds_a_certificate_signs_in_with_it(
    browser: Browser, site: Site, axe: str, tmp_path: Path
) -> None:
    [at] = free_ports(1)
    url = f"https://localhost:{at}"
    who = Identity(space=SPACE, role="node", participant="alpha")
    held = new_client(site.space.authority(), who, now=system_edge().clock())
    (tmp_path / "alpha.crt").write_bytes(held.certificate)
    (tmp_path / "alpha.key").write_bytes(held.key)
    with served(site, parse_place(f"127.0.0.1:{at}", url)) as console:
        context = browser.new_context(
            **LOOKS["phone"],
            ignore_https_errors=True,
            client_certificates=[
                {
                    "origin": url,
                    "certPath": str(tmp_path / "alpha.crt"),
                    "keyPath": str(tmp_path / "alpha.key"),
                }
            ],
        )
        page = context.new_page()
        page.goto(console.url)
        _accessible(page, axe, "sign-in-certificate")
        page.get_by_role("button", name="以您的证书登录").click()
        expect(page).to_have_url(f"{url}/space")
        expect(page.get_by_text("alpha，提供方企业")).to_be_visible()
        context.close()
