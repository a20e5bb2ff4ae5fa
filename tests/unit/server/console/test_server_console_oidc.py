"""Sign-in by OpenID Connect: whom a provider's word lets in, and which words let nobody in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from console_site import AUDITS
from oidc_site import CLIENT, SECRET, FakeProvider, Key, fake_provider
from server_site import SPACE, Site

from server.console.entrance import TRIES
from server.console.oidc.id_token import UnknownKey, keys_of, verify_id_token
from server.console.oidc.pages import BEGUN_VALID
from server.console.oidc.settings import Configuration, Settings, load_settings, require_url
from server.console.place import parse_place
from server.console.serving import Console, serve_console
from server.edge import Edge, system_edge
from server.errors import NotAllowed, ServerError
from server.pki import Identity

NOW = system_edge().clock()
KEY, OTHER = Key(), Key("key-2")
PEOPLE = [
    {"value": "clinic-staff", "role": "node", "participant": "alpha"},
    {"value": "other-staff", "role": "node", "participant": "beta"},
    {"value": "nobody", "role": "node", "participant": "nobody"},
    {"value": "audit", "role": "auditor"},
]


def configuration(issuer: str = "https://idp.example", **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "issuer": issuer,
        "client_id": CLIENT,
        "client_secret_file": "oidc.secret",
        "scopes": ["openid", "groups"],
        "claim": "groups",
        "people": PEOPLE,
        **changes,
    }


# -- the ID token ----------------------------------------------------------------------------------


def claims(**changes: Any) -> dict[str, Any]:
    seconds = int(NOW.timestamp())
    stated = {
        "iss": "https://idp.example",
        "aud": CLIENT,
        "sub": "somebody",
        "iat": seconds,
        "exp": seconds + 300,
        "nonce": "a-nonce",
    } | changes
    return {name: value for name, value in stated.items() if value is not None}


def verified(token: str, *keys: Key) -> Any:
    listed = keys_of({"keys": [one.jwk for one in keys or (KEY,)]})
    return verify_id_token(
        token,
        listed,
        issuer="https://idp.example",
        client_id=CLIENT,
        nonce="a-nonce",
        now=NOW,
    )


def ago(**span: float) -> int:
    return int((NOW - timedelta(**span)).timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": [CLIENT]},
        {"azp": CLIENT},
        {"exp": ago(seconds=30)},  # clocks differ
        {"iat": ago(seconds=-30)},
    ],
)
def test_a_token_that_holds(changes: dict[str, Any]) -> None:
    assert verified(KEY.sign(claims(**changes)), KEY, OTHER)["sub"] == "somebody"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ago(minutes=2)},
        {"exp": True},
        {"exp": "soon"},
        {"iat": ago(minutes=-2)},
        {"iat": ago(minutes=11)},
        {"nbf": ago(minutes=-2)},
        {"iss": "https://evil.example"},
        {"iss": "https://idp.example/"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"aud": []},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": ""},
        {"sub": ""},
        *({name: None} for name in ("iss", "aud", "sub", "exp", "iat", "nonce")),
    ],
)
def test_a_token_with_a_claim_that_does_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed):
        verified(KEY.sign(claims(**changes)))


def test_a_token_that_was_forged() -> None:
    forged = OTHER.sign(claims(), kid=KEY.id)
    unsigned = jwt.encode(claims(), "", "none", headers={"kid": KEY.id})
    shared = jwt.encode(claims(), "x" * 64, "HS256", headers={"kid": KEY.id})
    head, _, mark = KEY.sign(claims()).split(".")
    changed = f"{head}.{KEY.sign(claims(sub='another')).split('.')[1]}.{mark}"
    for token in (forged, unsigned, shared, changed, "a.b.c", "", "x" * 20_000):
        with pytest.raises(NotAllowed):
            verified(token)
    with pytest.raises(UnknownKey):
        verified(OTHER.sign(claims()))


def test_keys_that_do_not_sign_are_passed_over() -> None:
    wrong: list[Any] = [{"kty": "oct", "k": "eA"}, KEY.jwk | {"use": "enc"}, {"kty": "?"}, 1]
    assert len(keys_of({"keys": [*wrong, KEY.jwk]})) == 1
    for document in ({"keys": wrong}, {"keys": []}, {"keys": "x"}, {}):
        with pytest.raises(NotAllowed):
            keys_of(document)


# -- the file --------------------------------------------------------------------------------------


def settings(**changes: Any) -> Settings:
    return Settings(Configuration.from_json(configuration(**changes)), SECRET, None)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"groups": ["clinic-staff"]}, Identity(SPACE, "node", "alpha")),
        ({"groups": "clinic-staff"}, Identity(SPACE, "node", "alpha")),
        ({"groups": ["clinic-staff", "others"]}, Identity(SPACE, "node", "alpha")),
        ({"groups": ["audit"]}, AUDITS),
        ({"groups": ["clinic-staff", "audit"]}, None),
        ({"groups": ["others"]}, None),
        ({"groups": []}, None),
        ({"groups": None}, None),
        ({"groups": {"clinic-staff": True}}, None),
        ({"groups": [["clinic-staff"]]}, None),
        ({"roles": ["clinic-staff"]}, None),
        ({}, None),
    ],
)
def test_whom_a_claim_lets_in(held: dict[str, Any], expected: Identity | None) -> None:
    if expected is not None:
        assert settings().whose(held, space=SPACE) == expected
    else:
        with pytest.raises(NotAllowed):
            settings().whose(held, space=SPACE)


@pytest.mark.parametrize(
    ("verified", "lets_in"), [(True, True), (False, False), ("true", False), (None, False)]
)
def test_an_address_counts_only_if_the_provider_verified_it(verified: Any, lets_in: bool) -> None:
    people = [{"value": "a@clinic.example", "role": "node", "participant": "alpha"}]
    by_mail = settings(claim="email", people=people)
    held = {"email": "a@clinic.example", "email_verified": verified}
    if lets_in:
        assert by_mail.whose(held, space=SPACE).participant == "alpha"
    else:
        with pytest.raises(NotAllowed):
            by_mail.whose(held, space=SPACE)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"issuer": "http://idp.example"},
        {"issuer": "https://user@idp.example"},
        {"issuer": "https://idp.example?x"},
        {"scopes": ["profile"]},
        {"scopes": []},
        {"people": []},
        {"people": [{"value": "x", "role": "operator"}]},
        {"people": [{"value": "x", "role": "king", "participant": "alpha"}]},
        {"people": [{"value": "", "role": "node", "participant": "alpha"}]},
        {"client_id": ""},
        {"client_secret": "in the file"},
    ],
)
def test_a_file_is_strict(tmp_path: Path, changes: dict[str, Any]) -> None:
    file, secret = tmp_path / "oidc.json", tmp_path / "oidc.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    file.write_text(json.dumps(configuration()))
    assert load_settings(file).client_secret == SECRET
    assert SECRET not in repr(load_settings(file))
    file.write_text(json.dumps(configuration() | changes))
    with pytest.raises(ServerError):
        load_settings(file)


def test_a_secret_that_others_may_read_or_guess_is_refused(tmp_path: Path) -> None:
    file, secret = tmp_path / "oidc.json", tmp_path / "oidc.secret"
    file.write_text(json.dumps(configuration()))
    for text, mode in ((SECRET, 0o644), ("short", 0o600), ("two\nlines of it, long", 0o600)):
        secret.write_text(text)
        secret.chmod(mode)
        with pytest.raises(ServerError):
            load_settings(file)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost/x", "https://idp.example"])
def test_what_may_be_asked(url: str) -> None:
    assert require_url(url) == url
    with pytest.raises(ValueError, match="https"):
        require_url(url.replace("http", "ftp"))


# -- the way in ------------------------------------------------------------------------------------


@dataclass
class Way:
    """A console with this way in, and its provider."""

    site: Site
    console: Console
    provider: FakeProvider

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.console.url, trust_env=False)

    def begun(self, browser: httpx.Client) -> dict[str, str]:
        """What a browser is sent to the provider with."""
        started = browser.get("/oidc/start")
        assert started.status_code == 303, started.text
        address = started.headers["location"]
        assert address.startswith(f"{self.provider.issuer}/auth?")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.provider.challenge, self.provider.nonce = asked["code_challenge"], asked["nonce"]
        return asked


@pytest.fixture
def way(site: Site) -> Iterator[Way]:
    site.now = NOW
    keys = site.space.folder / "governance"
    with fake_provider(NOW) as provider:
        parsed = Configuration.from_json(configuration(provider.issuer))
        console = serve_console(
            site.governance,
            place=parse_place("127.0.0.1:0"),
            certificate=keys / "tls.crt",
            key=keys / "tls.key",
            log_folder=site.space.log_folder,
            edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
            oidc=Settings(parsed, SECRET, None),
        )
        yield Way(site, console, provider)
        console.stop()


def test_who_is_let_in_confirms_it_and_has_a_session(way: Way) -> None:
    with way.browser() as browser:
        assert "/oidc/start" in browser.get("/").text
        asked = way.begun(browser)
        assert asked["redirect_uri"] == f"{way.console.url}/oidc/back"
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert asked["scope"] == "openid groups"
        assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
        back = {"code": "the-code", "state": asked["state"]}
        page = browser.get("/oidc/back", params=back)
        assert page.status_code == 200 and "alpha" in page.text
        assert browser.get("/space").status_code == 401  # not before the button
        code = page.text.partition('name="code" value="')[2][:43]
        entered = browser.post("/enter", data={"code": code})
        assert entered.status_code == 303 and "SameSite=strict" in entered.headers["set-cookie"]
        assert browser.get("/consent").status_code == 200
        assert browser.get("/oidc/back", params=back).status_code == 403  # once


def test_a_way_in_is_of_the_browser_that_began_it(way: Way) -> None:
    with way.browser() as browser, way.browser() as other:
        asked = way.begun(browser)
        back = {"code": "the-code", "state": asked["state"]}
        assert other.get("/oidc/back", params=back).status_code == 403
        way.begun(other)
        assert other.get("/oidc/back", params=back).status_code == 403
        assert "/token" not in way.provider.asked


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"state": "x"}, 403),
        ({"code": ""}, 403),
        ({"code": "x" * 5000}, 403),
        ({"code": "another"}, 403),
        ({"iss": "https://evil.example"}, 403),
        ({"error": "access_denied"}, 403),
    ],
)
def test_an_answer_that_does_not_fit(way: Way, changes: dict[str, str], status: int) -> None:
    with way.browser() as browser:
        asked = way.begun(browser)
        back = {"code": "the-code", "state": asked["state"]} | changes
        answer = browser.get("/oidc/back", params=back)
        assert answer.status_code == status and 'name="code"' not in answer.text
        again = {"code": "the-code", "state": asked["state"]}
        assert browser.get("/oidc/back", params=again).status_code == 403  # used up


@pytest.mark.parametrize(
    "said",
    [
        {"groups": ["nobody"]},
        {"groups": ["others"]},
        {"nonce": "another"},
        {"aud": "another"},
        {"exp": ago(minutes=5)},
    ],
)
def test_a_word_that_lets_nobody_in(way: Way, said: dict[str, Any]) -> None:
    way.provider.claims = said
    with way.browser() as browser:
        back = {"code": "the-code", "state": way.begun(browser)["state"]}
        answer = browser.get("/oidc/back", params=back)
        assert answer.status_code == 403 and 'name="code"' not in answer.text


def test_a_new_key_is_fetched_once_and_a_foreign_one_is_refused(way: Way) -> None:
    def comes_back(expected: int) -> None:
        with way.browser() as browser:
            back = {"code": "the-code", "state": way.begun(browser)["state"]}
            assert browser.get("/oidc/back", params=back).status_code == expected

    comes_back(200)
    way.provider.key = Key("key-3")
    comes_back(403)  # asked a moment ago
    way.site.tick(61)
    way.provider.now = way.site.now
    comes_back(200)
    way.provider.signer = Key("key-4")
    comes_back(403)
    assert way.provider.asked.count("/keys") == 2
    assert way.provider.asked.count("/.well-known/openid-configuration") == 1


def test_a_way_in_ends(way: Way) -> None:
    with way.browser() as browser:
        back = {"code": "the-code", "state": way.begun(browser)["state"]}
        way.site.now += BEGUN_VALID
        assert browser.get("/oidc/back", params=back).status_code == 403


def test_trying_has_a_pace(way: Way) -> None:
    with way.browser() as browser:
        for _ in range(TRIES):
            assert browser.get("/oidc/back", params={"code": "x"}).status_code == 403
        assert browser.get("/oidc/back", params={"code": "x"}).status_code == 429
        assert browser.get("/oidc/start").status_code == 429


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://evil.example"},
        {"code_challenge_methods_supported": ["plain"]},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
    ],
)
def test_a_description_that_is_not_believed(way: Way, described: dict[str, Any]) -> None:
    way.provider.described = described
    with way.browser() as browser:
        assert browser.get("/oidc/start").status_code == 503


def test_a_provider_that_names_itself_must_do_so(way: Way) -> None:
    way.provider.described = {"authorization_response_iss_parameter_supported": True}
    with way.browser() as browser:
        back = {"code": "the-code", "state": way.begun(browser)["state"]}
        assert browser.get("/oidc/back", params=back).status_code == 403
        back = {"code": "the-code", "state": way.begun(browser)["state"]}
        named = back | {"iss": way.provider.issuer}
        assert browser.get("/oidc/back", params=named).status_code == 200
