"""Certificates of products and filings of apps: issued, expired, revoked, and what a round says."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from server_site import AGE, CONSUMER, DESCRIPTION, OPERATOR, Site, make_fab

from policies.canonical import parse_json, sha256_hex
from policies.certificate import Certificate, open_certificate
from policies.entries import entry_bytes
from policies.errors import SignatureError
from policies.fields import instant
from policies.statements import AppFiling
from server.errors import BadInput, NotKnown, RegistryDamaged, RuleBroken
from server.projection import apply
from server.registrar import CLOCK_STEP
from server.rounds import RoundAnswer

APP = sha256_hex(make_fab())


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Site]:
    """A space whose products wait for the registrar."""
    site = Site.make(tmp_path / "space", auto_certify=False)
    yield site
    site.close()


def codes(answer: RoundAnswer) -> dict[str, list[str]]:
    return {
        verdict["participant"]: [reason["code"] for reason in verdict["reasons"]]
        for verdict in answer.verdicts
        if not verdict["permitted"]
    }


def shown(site: Site, what: str = "products") -> dict[str, Any]:
    listed = [parse_json(one, max_bytes=1 << 20) for one in site.governance.list(OPERATOR, what)]
    return {one["product" if what == "products" else "app"]: one for one in listed}  # type: ignore[index, call-overload, misc]


def certificate(site: Site, entry: int) -> Certificate:
    body = site.entries()[entry].body
    envelope = base64.b64decode(str(body["envelope"]))
    return open_certificate(
        envelope, site.space.registrar_key().public_key(), issuer=site.space.card.name
    )


def serial(site: Site, product: str = "alpha/records") -> str:
    return str(shown(site)[product]["certificate_serial"])


# -- certificates --------------------------------------------------------------------------------


def test_a_registered_product_has_its_certificate_in_the_same_append(empty: Site) -> None:
    node = empty.enrol("alpha")
    index, product = empty.add_product(node)
    assert empty.kinds(index) == ["ProductRegistered", "CertificateIssued"]
    made = certificate(empty, index + 1)
    digest = empty.entries()[index].body["digest"]
    assert (made.product, made.owner, made.digest) == (product, "alpha", digest)
    assert made.not_before == instant(empty.now - CLOCK_STEP)
    assert made.not_after == instant(empty.now + timedelta(days=365))
    body = empty.entries()[index + 1].body
    assert {key: body[key] for key in ("serial", "not_before", "not_after", "owner")} == {
        "serial": made.serial,
        "not_before": made.not_before,
        "not_after": made.not_after,
        "owner": made.owner,
    }


def test_a_certificate_is_the_registrars_alone(empty: Site) -> None:
    index, _ = empty.add_product(empty.enrol("alpha"))
    envelope = base64.b64decode(str(empty.entries()[index + 1].body["envelope"]))
    with pytest.raises(SignatureError):
        open_certificate(
            envelope, empty.space.permit_key().public_key(), issuer=empty.space.card.name
        )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, {}),
        (86_399, {}),
        (86_400, ["certificate-expired"]),
        (-300, {}),  # clocks are set back a little at times
        (-301, ["certificate-not-yet-valid"]),
    ],
)
def test_a_round_looks_at_the_certificates_time(
    site: Site, seconds: int, expected: list[str]
) -> None:
    site.tick(1)
    run = site.open_run()
    site.governance.registrar.certify("beta/records", days=1)
    site.tick(seconds)
    assert codes(site.authorize(run)) == ({"beta": expected} if expected else {})
    site.replays = seconds >= -300  # an auditor names a clock that goes back further


def test_a_product_without_certificate_waits_for_the_registrar(waiting: Site) -> None:
    waiting.populate("alpha", "beta")
    assert "CertificateIssued" not in waiting.kinds()
    assert shown(waiting)["alpha/records"]["certificate"] == "missing"
    run = waiting.open_run()
    missing = {"alpha": ["certificate-missing"], "beta": ["certificate-missing"]}
    assert codes(waiting.authorize(run)) == missing
    index, given = waiting.governance.registrar.certify("alpha/records")
    assert waiting.kinds(index) == ["CertificateIssued"]
    assert certificate(waiting, index).serial == given
    assert codes(waiting.authorize(run, "ask-2")) == {"beta": ["certificate-missing"]}


def test_a_revoked_certificate_refuses_from_the_next_round_on(site: Site) -> None:
    run = site.open_run()
    site.whole_round(run, "ask-1")
    taken = serial(site)
    index, _ = site.governance.registrar.revoke(taken, "the card was wrong")
    entry = site.entries()[index]
    assert (entry.type, entry.body["serial"]) == ("CertificateRevoked", taken)
    assert entry.body["participant"] == "alpha"
    assert site.governance.disclosing.text(entry.body["reason"]) == "the card was wrong"  # type: ignore[arg-type]
    assert codes(site.authorize(run, "ask-2")) == {"alpha": ["certificate-revoked"]}
    stated = shown(site)["alpha/records"]
    assert (stated["certificate"], stated["revocation_reason"]) == ("revoked", "the card was wrong")
    site.governance.registrar.certify("alpha/records")
    assert codes(site.authorize(run, "ask-3")) == {}


def test_revoking_twice_changes_nothing(site: Site) -> None:
    registrar, taken = site.governance.registrar, serial(site)
    first = registrar.revoke(taken, "wrong")
    size = site.log.size
    site.tick(5)
    assert registrar.revoke(taken, "again") == first
    assert site.log.size == size
    assert shown(site)["alpha/records"]["revocation_reason"] == "wrong"


def test_a_newer_version_does_not_undo_a_revocation(site: Site) -> None:
    alpha, registrar = site.nodes["alpha"], site.governance.registrar
    run = site.open_run(agreements=["agreement-alpha", "agreement-beta"])
    registrar.revoke(serial(site), "stolen rows")
    for version in (2, 3):
        site.add_product(alpha, data_version=version)
        assert shown(site)["alpha/records"]["certificate"] == "missing"
        refused = codes(site.authorize(run, f"ask-{version}"))
        assert refused == {"alpha": ["certificate-missing"]}
    registrar.certify("alpha/records")
    assert codes(site.authorize(run, "ask-4")) == {}
    site.add_product(alpha, data_version=4)
    assert shown(site)["alpha/records"]["certificate"] == "valid"


def test_revoking_an_earlier_certificate_leaves_the_newest(site: Site) -> None:
    earlier = serial(site)
    site.governance.registrar.certify("alpha/records")
    site.governance.registrar.revoke(earlier, "replaced")
    assert shown(site)["alpha/records"]["certificate"] == "valid"
    assert codes(site.authorize(site.open_run())) == {}


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda r, s: r.certify("nobody/records"), NotKnown, "a registered one"),
        (lambda r, s: r.certify("alpha/records", -1), BadInput, "days"),
        (lambda r, s: r.certify("alpha/records", 3651), BadInput, "days"),
        (lambda r, s: r.revoke("certificate-" + "0" * 32, "x"), NotKnown, "serial"),
        (lambda r, s: r.revoke("", "x"), NotKnown, "serial"),
        (lambda r, s: r.revoke(s, ""), BadInput, "reason"),
        (lambda r, s: r.revoke(s, "  "), BadInput, "reason"),
        (lambda r, s: r.revoke(s, "x" * 1001), BadInput, "reason"),
        (lambda r, s: r.revoke_filing("0" * 64, "x"), NotKnown, "registered app"),
        (lambda r, s: r.revoke_filing(APP, ""), BadInput, "reason"),
    ],
)
def test_what_the_registrar_refuses_leaves_no_entry(
    site: Site, act: Any, error: type[Exception], message: str
) -> None:
    size = site.log.size
    with pytest.raises(error, match=message):
        act(site.governance.registrar, serial(site))
    assert site.log.size == size


def test_a_serial_stands_once(site: Site) -> None:
    index = site.kinds().index("CertificateIssued")
    issued = site.entries()[index]
    again = entry_bytes("CertificateIssued", time=issued.time, body=issued.body)
    with (
        pytest.raises(RegistryDamaged, match="IntegrityError"),
        site.registry.transaction() as connection,
    ):
        apply(connection, 999, again)


def test_a_certificate_of_another_version_counts_for_nothing(site: Site) -> None:
    index = site.kinds().index("CertificateIssued")
    body = dict(site.entries()[index].body)
    body |= {"serial": "certificate-" + "f" * 32, "digest": "0" * 64}
    foreign = entry_bytes("CertificateIssued", time=instant(site.now), body=body)
    before = shown(site)
    with site.registry.transaction() as connection:
        apply(connection, 999, foreign)
    assert shown(site) == before


# -- versions and places -------------------------------------------------------------------------


def test_a_newer_version_takes_the_place_of_the_one_before(site: Site) -> None:
    run = site.open_run()
    node = site.nodes["alpha"]
    earlier = serial(site)
    index, _ = site.add_product(node, rows=120, data_version=2)
    assert site.kinds(index) == ["ProductRegistered", "CertificateIssued"]
    stated = shown(site)[node.product]
    assert (stated["rows"], stated["data_version"], stated["certificate"]) == (120, 2, "valid")
    assert stated["certificate_serial"] != earlier
    permit = site.permit(site.authorize(run)).body
    assert [member.max_rows for member in permit.cohort] == [120, 100, 100]
    assert site.add_product(node, rows=120, data_version=2)[0] == index
    for version in (1, 2):
        with pytest.raises(RuleBroken, match="data_version above 2"):
            site.add_product(node, rows=121, data_version=version)


def test_a_newer_version_waits_for_a_certificate_of_its_own(waiting: Site) -> None:
    waiting.populate("alpha")
    waiting.governance.registrar.certify("alpha/records")
    assert codes(waiting.authorize(waiting.open_run())) == {}
    waiting.add_product(waiting.nodes["alpha"], data_version=2)
    answer = waiting.authorize(waiting.open_run("run-2"))
    assert codes(answer) == {"alpha": ["certificate-missing"]}


def test_another_owner_cannot_register_a_newer_version(site: Site) -> None:
    with pytest.raises(RuleBroken, match="by its owner"):
        site.add_product(site.nodes["beta"], id="alpha/records", data_version=2)


@pytest.mark.parametrize(
    ("region", "stated", "jurisdiction"),
    [
        ("CN-GD", None, "mainland"),
        ("CN-GD", "mainland", "mainland"),
        ("HK", None, "hong-kong"),
        ("MO", None, "macao"),
        ("DE", None, "other"),
        ("", "hong-kong", "hong-kong"),
        ("", None, ""),
    ],
)
def test_the_jurisdiction_is_that_of_the_registered_region(
    empty: Site, region: str, stated: str | None, jurisdiction: str
) -> None:
    node = empty.enrol("alpha", region=region)
    empty.add_product(node, jurisdiction=stated)
    assert shown(empty)[node.product]["jurisdiction"] == jurisdiction


def test_a_card_cannot_move_a_product_to_another_jurisdiction(empty: Site) -> None:
    node = empty.enrol("alpha", region="CN-GD")
    with pytest.raises(RuleBroken, match=r"expected mainland.*got hong-kong"):
        empty.add_product(node, jurisdiction="hong-kong")


def test_the_shared_figures_are_listed_and_logged(empty: Site) -> None:
    node = empty.enrol("alpha")
    figures = {"rows": "100", "missing": "0.25"}
    index, _ = empty.add_product(node, readiness=figures)
    assert empty.entries()[index].body["readiness"] == figures
    assert shown(empty)[node.product]["readiness"] == figures


# -- one product ---------------------------------------------------------------------------------


def test_one_product_comes_with_its_card_and_certificate(site: Site) -> None:
    document: Any = parse_json(site.governance.product("alpha/records"), max_bytes=1 << 20)
    assert document["card"]["description"] == DESCRIPTION.commitment
    assert (document["title"], document["columns"]) == ("records", [AGE.to_json()])
    envelope = base64.b64decode(document["certificate_envelope"])
    made = open_certificate(
        envelope, site.space.registrar_key().public_key(), issuer=site.space.card.name
    )
    assert made.digest == document["digest"]
    assert shown(site)["alpha/records"].items() <= document.items()
    with pytest.raises(NotKnown, match="a registered one"):
        site.governance.product("alpha/none")


def test_one_product_without_certificate_says_so(waiting: Site) -> None:
    waiting.add_product(waiting.enrol("alpha"))
    document: Any = parse_json(waiting.governance.product("alpha/records"), max_bytes=1 << 20)
    assert (document["certificate"], document["certificate_envelope"]) == ("missing", None)


# -- filings -------------------------------------------------------------------------------------


def file(site: Site, **changes: Any) -> tuple[int, str]:
    filing = AppFiling.from_json({"author": "Ada"} | changes)
    return site.governance.catalogue.register_app(make_fab(), "a classifier", filing)


def test_an_app_without_a_filing_of_its_own_is_bound_by_nothing(site: Site) -> None:
    entry = next(one for one in site.entries() if one.type == "AppRegistered")
    assert entry.body["filing"] == AppFiling().to_json()
    assert shown(site, "apps")[APP]["filing_state"] == "valid"


def test_a_filing_is_logged_and_listed(site: Site) -> None:
    said: dict[str, Any] = {
        "author": "Ada",
        "purposes": ["medical-research"],
        "outputs": ["model weights", "loss"],
        "filing_number": "F-1",
        "expires": instant(site.now + timedelta(days=1)),
    }
    index, _ = file(site, **said)
    logged = said | {"author": "", "outputs": []}
    assert site.entries()[index].body["filing"] == logged
    listed = shown(site, "apps")[APP]
    assert (listed["filing"], listed["filing_index"]) == (said, index)
    assert file(site, **said) == (index, APP)
    assert site.governance.catalogue.register_app(make_fab(), "x") == (index, APP)
    assert site.kinds().count("AppRegistered") == 2


@pytest.mark.parametrize("expires", ["past", "now", "2026-02-30T00:00:00.000Z"])
def test_a_filing_that_cannot_hold_is_refused(site: Site, expires: str) -> None:
    when = {"past": instant(site.now - timedelta(days=1)), "now": instant(site.now)}
    size = site.log.size
    with pytest.raises(BadInput, match="filing: expires"):
        file(site, expires=when.get(expires, expires))
    assert site.log.size == size


def test_an_expired_filing_refuses_run_and_round(site: Site) -> None:
    file(site, expires=instant(site.now + timedelta(seconds=60)))
    run = site.open_run()
    assert codes(site.authorize(run)) == {}
    site.tick(60)
    assert codes(site.authorize(run, "ask-2")) == {
        name: ["app-filing-expired"] for name in ("alpha", "beta", "gamma")
    }
    with pytest.raises(RuleBroken, match="app-filing-expired"):
        site.open_run("run-2")
    assert shown(site, "apps")[APP]["filing_state"] == "expired"


def test_a_revoked_filing_refuses_until_there_is_another(site: Site) -> None:
    file(site, filing_number="F-1")
    run = site.open_run()
    first = site.governance.registrar.revoke_filing(APP, "it returns more than it declares")
    assert site.entries()[-1].type == "AppFilingRevoked"
    size = site.log.size
    assert site.governance.registrar.revoke_filing(APP, "again") == first
    file(site, filing_number="F-1")  # the same filing again stays revoked
    assert site.log.size == size
    refused = {name: ["app-filing-revoked"] for name in ("alpha", "beta", "gamma")}
    assert codes(site.authorize(run)) == refused
    with pytest.raises(RuleBroken, match="app-filing-revoked"):
        site.open_run("run-2")
    file(site, filing_number="F-2")
    assert codes(site.authorize(run, "ask-2")) == {}
    file(site, filing_number="F-1")  # back to the first, under a new entry
    assert site.kinds()[-1] == "AppRegistered"
    assert shown(site, "apps")[APP]["filing"]["filing_number"] == "F-1"


@pytest.mark.parametrize(
    ("purposes", "purpose", "allowed"),
    [
        ([], "anything", True),
        (["medical-research"], "medical-research", True),
        (["medical-research"], "drug-safety", True),
        (["drug-safety"], "medical-research", False),
        (["marketing", "drug-safety"], "drug-safety", True),
        (["marketing"], "medical-research", False),
        (["marketing"], "unlisted", False),
    ],
)
def test_a_run_needs_a_purpose_that_the_app_is_filed_for(
    site: Site, purposes: list[str], purpose: str, allowed: bool
) -> None:
    file(site, purposes=purposes)
    if allowed:
        assert codes(site.authorize(site.open_run(purpose=purpose))) == {}
        return
    with pytest.raises(RuleBroken, match="app-filing-purpose"):
        site.open_run(purpose=purpose)


def test_a_filing_that_was_narrowed_refuses_the_next_round(site: Site) -> None:
    run = site.open_run()
    file(site, purposes=["marketing"])
    assert codes(site.authorize(run)) == {
        name: ["app-filing-purpose"] for name in ("alpha", "beta", "gamma")
    }


# -- the log alone -------------------------------------------------------------------------------


def test_the_log_alone_gives_the_same_register(site: Site) -> None:
    site.governance.registrar.certify("beta/records", days=3)
    site.governance.registrar.revoke(serial(site), "wrong")
    site.add_product(site.nodes["gamma"], rows=7, data_version=3, readiness={"rows": "7"})
    file(site, filing_number="F-1", expires=instant(site.now + timedelta(days=1)))
    site.governance.registrar.revoke_filing(APP, "x")
    site.governance.rounds.authorize(CONSUMER, site.ask(_reopened_run(site)))
    before = {what: site.governance.list(OPERATOR, what) for what in ("products", "apps")}
    tables = _rows(site)
    site.close()
    site.space.database.unlink()
    site.open()
    assert {what: site.governance.list(OPERATOR, what) for what in before} == before
    assert _rows(site) == tables


def _reopened_run(site: Site) -> str:
    file(site, filing_number="F-3")
    return site.open_run()


def _rows(site: Site) -> dict[str, list[Any]]:
    connection = sqlite3.connect(site.space.database)
    try:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("products", "certificates", "apps")
        }
    finally:
        connection.close()
