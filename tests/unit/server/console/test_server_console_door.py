"""The way in, and what every answer and every form must have."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Iterator

import httpx
import pytest
from console_site import AUDITS, Bench, csrf
from server_site import CONSUMER, OPERATOR, Site, withdrawal_envelope

from server.console.advance import MAX_BODY_BYTES
from server.console.entrance import LINK_VALID, SESSION_IDLE, SESSION_VALID, TRIES
from server.console.link_route import visitor
from server.console.place import Place, parse_place
from server.console.serving import serve_console
from server.console.shield import CSP
from server.dsp.endpoint import serve_contracts
from server.edge import Edge
from server.errors import BadInput, NotAllowed, ServerError
from server.pki import Identity

CLOSED = ("/space", "/runs", "/runs/new", "/consent", "/runs/run-1", "/runs/run-1/stop")


def test_without_a_session_there_is_nothing_to_see(bench: Bench) -> None:
    browser = bench.browser()
    for path in CLOSED:
        answer = browser.get(path)
        assert answer.status_code == 401
        assert "alpha" not in answer.text
    assert browser.get("/runs/run-1/events").status_code == 401
    assert browser.post("/runs/new", data={"csrf": "x"}).status_code == 401
    assert "tds node console-link" in browser.get("/").text


def test_a_link_is_used_up_by_its_button_alone(bench: Bench) -> None:
    code, browser = bench.code("alpha"), bench.browser()
    for _ in range(3):  # a mail scanner's visits
        page = browser.get(f"/enter/{code}")
        assert page.status_code == 200 and "alpha" in page.text
    entered = browser.post("/enter", data={"code": code})
    assert (entered.status_code, entered.headers["location"]) == (303, "/space")
    assert code not in entered.headers["set-cookie"]
    other = bench.browser()
    assert other.post("/enter", data={"code": code}).status_code == 404
    assert other.get(f"/enter/{code}").status_code == 404
    assert browser.get("/space").status_code == 200


def test_a_cookie_is_for_this_console_alone(bench: Bench) -> None:
    browser = bench.browser()
    entered = browser.post("/enter", data={"code": bench.code("operator")})
    name, _, rest = entered.headers["set-cookie"].partition("=")
    assert name == f"tds-{bench.console.url.rpartition(':')[2]}"
    assert {part.strip() for part in rest.split(";")[1:]} == {
        "HttpOnly",
        "Path=/",
        "SameSite=strict",
    }


def test_links_and_sessions_end(bench: Bench) -> None:
    site = bench.site
    code = bench.code("alpha")
    site.now += LINK_VALID
    assert bench.browser().post("/enter", data={"code": code}).status_code == 404
    idle = bench.visit("alpha")
    site.now += SESSION_IDLE
    assert idle.get("/space").status_code == 401
    busy = bench.visit("alpha")
    for _ in range(int(SESSION_VALID / SESSION_IDLE) * 2):
        assert busy.get("/space").status_code == 200
        site.now += SESSION_IDLE / 2
    assert busy.get("/space").status_code == 401


def test_leaving_ends_the_session_for_good(bench: Bench) -> None:
    browser = bench.visit("operator")
    cookies = dict(browser.cookies)
    assert browser.post("/leave", data={"csrf": "guess"}).status_code == 403
    assert browser.get("/space").status_code == 200
    left = browser.post("/leave", data={"csrf": csrf(browser)})
    assert (left.status_code, left.headers["location"]) == (303, "/")
    again = bench.browser()
    again.cookies.update(cookies)
    assert again.get("/space").status_code == 401


def test_who_is_no_longer_active_is_out(bench: Bench) -> None:
    browser = bench.visit("alpha")
    assert browser.get("/space").status_code == 200
    with bench.site.registry.transaction() as connection:
        connection.exec_driver_sql("UPDATE participants SET active = 0 WHERE id = 'alpha'")
    assert browser.get("/space").status_code == 401
    with bench.site.registry.transaction() as connection:
        connection.exec_driver_sql("UPDATE participants SET active = 1 WHERE id = 'alpha'")


def test_a_form_needs_the_token_of_its_own_session(bench: Bench) -> None:
    run = bench.site.open_run()
    browser, other = bench.visit("operator"), bench.visit("operator")
    path = f"/runs/{run}/stop"
    for fields in (
        {"reason": "x"},
        {"csrf": ""},
        {"csrf": csrf(other)},
        {"csrf": csrf(browser)[:-1] + "é"},
    ):
        assert browser.post(path, data=fields).status_code == 403
    twice = f"csrf={csrf(browser)}&csrf={csrf(browser)}"
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.post(path, content=twice, headers=form).status_code == 400
    assert "RunEnded" not in bench.site.kinds()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_no_form_of_a_foreign_page_is_taken(bench: Bench, headers: dict[str, str]) -> None:
    browser = bench.visit("operator")
    token = csrf(browser)
    assert browser.post("/leave", data={"csrf": token}, headers=headers).status_code == 403
    code = {"code": bench.code("alpha")}
    assert bench.browser().post("/enter", data=code, headers=headers).status_code == 403
    own = {"origin": bench.console.url, "sec-fetch-site": "same-origin"}
    assert browser.post("/leave", data={"csrf": token}, headers=own).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1", ""])
def test_another_name_that_leads_here_shows_nothing(bench: Bench, host: str) -> None:
    answer = bench.visit("operator").get("/space", headers={"host": host})
    assert answer.status_code in (400, 421)
    assert "alpha" not in answer.text


def test_every_answer_is_shielded(bench: Bench) -> None:
    browser = bench.visit("operator")
    paths = ("/", "/space", "/nothing", "/static/console.css", "/static/../app.py", "/enter/x")
    for path in paths:
        answer = browser.get(path)
        headers = answer.headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        if not path.startswith("/static/c"):
            assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    assert "unsafe" not in CSP
    assert browser.get("/nothing").status_code == 404
    assert browser.put("/space").status_code == 405


def test_trying_has_a_pace(bench: Bench) -> None:
    browser = bench.browser()
    wrong = "A" * 43
    codes = [browser.get(f"/enter/{wrong}").status_code for _ in range(TRIES + 2)]
    assert codes == [404] * TRIES + [429] * 2
    assert browser.post("/enter", data={"code": wrong}).status_code == 429
    bench.site.tick(60)
    assert browser.post("/enter", data={"code": wrong}).status_code == 404


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"csrf=x", "text/plain", 400),
        (b"{}", "application/json", 400),
        (b"a=1&" * 200_000, "application/x-www-form-urlencoded", 400),
        (b"x=" + b"y" * (1 << 20), "application/x-www-form-urlencoded", 400),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400),
        (b"csrf=\xc3\xa9", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded", 403),
    ],
)
def test_a_form_is_bounded_and_well_formed(
    bench: Bench, content: bytes, media: str, status: int
) -> None:
    browser = bench.visit("operator")
    answer = browser.post("/leave", content=content, headers={"content-type": media})
    assert answer.status_code == status


def test_a_language_is_remembered_and_leads_back_to_pages_of_ours(bench: Bench) -> None:
    browser = bench.visit("alpha")
    chosen = browser.get("/language/zh", params={"back": "/runs"})
    assert chosen.headers["location"] == "/runs"
    assert 'lang="zh-Hans"' in browser.get("/runs").text
    for back in ("//evil.example", "https://evil.example", "/\\evil", "/a?b", "/a\r\nb: c"):
        assert browser.get("/language/en", params={"back": back}).headers["location"] == "/"
    assert browser.get("/language/xx").status_code == 404


@pytest.fixture
def links(bench: Bench) -> Iterator[httpx.Client]:
    """The endpoint of the contracts beside the console."""
    site = bench.site
    keys = site.space.folder / "governance"
    endpoint = serve_contracts(
        site.governance.contracts,
        address="127.0.0.1:0",
        certificate=keys / "tls.crt",
        key=keys / "tls.key",
        log_folder=site.space.log_folder,
        beside=[bench.console.link],
    )
    with httpx.Client(
        base_url=f"https://127.0.0.1:{endpoint.port}",
        verify=ssl.create_default_context(cadata=site.space.card.ca_pem),
        trust_env=False,
    ) as client:
        yield client
    endpoint.stop()


def test_a_token_of_the_space_gets_a_link_of_its_holder(bench: Bench, links: httpx.Client) -> None:
    token, _ = bench.site.governance.contracts.tokens.issue(bench.caller("alpha"))
    answer = links.post("/console/link", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    link = json.loads(answer.content)
    assert link["withdrawals"] == 0
    assert link["url"].startswith(f"{bench.console.url}/enter/")
    page = bench.browser().get(link["url"])
    assert re.search(r"enterprise\s+alpha", page.text)
    for headers in ({}, {"authorization": f"Bearer {'A' * 43}"}):
        refused = links.post("/console/link", headers=headers)
        assert (refused.status_code, refused.content) == (404, b"")
    asked = {"authorization": f"Bearer {token}"}
    assert links.post("/console/link?role=auditor", headers=asked).status_code == 403
    assert links.post("/console/link?role=operator", headers=asked).status_code == 400
    assert links.get("/console/link", headers=asked).status_code in (404, 405)


def test_withdrawals_come_with_a_link_from_their_node_alone(
    bench: Bench, links: httpx.Client
) -> None:
    node = bench.site.nodes["alpha"]
    one = base64.b64encode(withdrawal_envelope(node, bench.site.now, reason="")).decode()
    tokens = bench.site.governance.contracts.tokens
    headers = {
        name: {"authorization": f"Bearer {tokens.issue(bench.caller(name))[0]}"}
        for name in ("alpha", "beta", "operator")
    }
    body = {"version": 1, "withdrawals": [one]}
    answer = links.post("/console/link", headers=headers["alpha"], json=body)
    assert json.loads(answer.content)["withdrawals"] == 1
    browser = bench.browser()
    code = json.loads(answer.content)["url"].rpartition("/")[2]
    browser.post("/enter", data={"code": code})
    page = browser.get("/consent/withdraw", params={"agreement": "agreement-alpha"})
    assert '<button class="danger">' in page.text
    for name in ("beta", "operator"):
        assert links.post("/console/link", headers=headers[name], json=body).status_code == 403
    too_much = b" " * (MAX_BODY_BYTES + 1)
    for wrong in (b"{}", too_much):
        refused = links.post("/console/link", headers=headers["alpha"], content=wrong)
        assert refused.status_code == 400


@pytest.mark.parametrize(
    ("caller", "role", "expected"),
    [
        (OPERATOR, "", OPERATOR),
        (OPERATOR, "operator", OPERATOR),
        (OPERATOR, "auditor", AUDITS),
        (CONSUMER, "consumer", CONSUMER),
        (CONSUMER, "auditor", NotAllowed),
        (CONSUMER, "operator", BadInput),
        (OPERATOR, "node", BadInput),
    ],
)
def test_whom_a_link_signs_in(
    caller: Identity, role: str, expected: Identity | type[Exception]
) -> None:
    if isinstance(expected, Identity):
        assert visitor(caller, role) == expected
    else:
        with pytest.raises(expected):
            visitor(caller, role)


@pytest.mark.parametrize(
    ("listen", "url", "expected"),
    [
        ("127.0.0.1:0", "", "http://127.0.0.1:9"),
        ("localhost:8080", "", "http://localhost:9"),
        ("[::1]:0", "", "http://[::1]:9"),
        ("10.0.0.5:8080", "", "https://10.0.0.5:9"),
        ("0.0.0.0:8080", "http://localhost:8080", "http://localhost:8080"),
        ("0.0.0.0:8080", "https://space.example", "https://space.example"),
        ("0.0.0.0:8080", "", ServerError),
        ("0.0.0.0:8080", "http://10.0.0.5:8080", ServerError),
        ("127.0.0.1:0", "http://evil.example", ServerError),
        ("127.0.0.1:0", "http://localhost/path", ServerError),
        ("127.0.0.1:0", "http://user@localhost", ServerError),
        ("127.0.0.1:0", "ftp://localhost", ServerError),
        ("127.0.0.1", "", ServerError),
        ("127.0.0.1:99999", "", ServerError),
    ],
)
def test_places(listen: str, url: str, expected: str | type[Exception]) -> None:
    if isinstance(expected, str):
        bound = parse_place(listen, url).bound(9)
        assert bound.url == expected
        assert bound.tls == expected.startswith("https")
    else:
        with pytest.raises(expected):
            parse_place(listen, url)


def test_from_elsewhere_it_is_tls_and_the_cookie_is_bound_to_it(site: Site) -> None:
    keys = site.space.folder / "governance"
    console = serve_console(
        site.governance,
        place=Place("127.0.0.1:0", "https://space.example"),
        certificate=keys / "tls.crt",
        key=keys / "tls.key",
        log_folder=site.space.log_folder,
        edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
    )
    code, _ = console.entrance.link(OPERATOR)
    with httpx.Client(
        base_url=f"https://127.0.0.1:{console.port}",
        verify=ssl.create_default_context(cadata=site.space.card.ca_pem),
        headers={"host": "space.example"},
        trust_env=False,
    ) as client:
        entered = client.post("/enter", data={"code": code})
    console.stop()
    assert entered.headers["set-cookie"].startswith("__Host-tds=")
    assert "Secure" in entered.headers["set-cookie"]
    assert "max-age" in entered.headers["strict-transport-security"]
