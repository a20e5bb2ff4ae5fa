"""Certificates anew: over the connection, and by a second join file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from server_site import Node, Site, enrolling, make_csr, new_node

from server.errors import BadInput, NotAllowed, RequestError, RuleBroken
from server.pki import parse_identity

YEAR = timedelta(days=365)


def end_of(pem: bytes) -> Any:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def renew(site: Site, node: Node, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    csr = make_csr(key or node.tls)
    return site.governance.renewal.renew(node.identity, node.certificate, csr)


def test_the_name_and_the_key_again_for_another_year_and_no_entry(site: Site) -> None:
    node, size = site.nodes["alpha"], site.log.size
    site.tick(300 * 86_400)
    certificate = renew(site, node)
    assert parse_identity(certificate) == node.identity
    assert abs(end_of(certificate) - (site.now + YEAR)) < timedelta(minutes=1)
    held = x509.load_pem_x509_certificate(certificate).public_key()
    assert held == node.tls.public_key()
    assert site.log.size == size


@pytest.mark.parametrize("csr", [b"", b"no request"])
def test_what_is_no_request_is_refused(site: Site, csr: bytes) -> None:
    node = site.nodes["alpha"]
    with pytest.raises(BadInput, match="PKCS #10"):
        site.governance.renewal.renew(node.identity, node.certificate, csr)


def test_another_key_gets_no_certificate(site: Site) -> None:
    with pytest.raises(BadInput, match="the key of the certificate that you called with"):
        renew(site, site.nodes["alpha"], ec.generate_private_key(ec.SECP256R1()))


# -- by a second join file -----------------------------------------------------------------------


def again(site: Site, name: str, **changes: Any) -> str:
    nothing = {"title": "", "sector": "", "region": "", "again": True}
    return site.invite(name, **(nothing | changes)).token


def test_a_second_join_file_gives_the_enrolled_keys_a_certificate(site: Site) -> None:
    node = site.nodes["alpha"]
    site.tick(400 * 86_400)
    size, people = site.log.size, site.state()
    token = again(site, "alpha")
    for _ in range(2):  # an answer that was lost is asked for again
        enrolled = site.governance.enrolment.enrol(enrolling(token, node))
        assert parse_identity(enrolled.certificate) == node.identity
        assert end_of(enrolled.certificate) > site.now
    assert site.log.size == size
    assert site.state() == people


@pytest.mark.parametrize("change", ["receipt", "fleet", "name"])
def test_who_found_the_file_gets_nothing(site: Site, change: str) -> None:
    node, other = site.nodes["alpha"], new_node("alpha")
    token = again(site, "alpha")
    thief = Node(
        name="alpha",
        tls=other.tls,
        receipt=other.receipt if change != "fleet" else node.receipt,
        fleet=other.fleet if change != "receipt" else node.fleet,
    )
    if change == "name":
        thief = site.nodes["beta"]
    with pytest.raises(RequestError) as caught:
        site.governance.enrolment.enrol(enrolling(token, thief))
    assert isinstance(caught.value, BadInput if change == "name" else NotAllowed)


def test_its_time_ends_and_a_newer_one_voids_it(site: Site) -> None:
    node = site.nodes["alpha"]
    first = again(site, "alpha")
    second = again(site, "alpha")
    with pytest.raises(NotAllowed, match="known, unused"):
        site.governance.enrolment.enrol(enrolling(first, node))
    site.tick(3601)
    with pytest.raises(NotAllowed, match="not expired"):
        site.governance.enrolment.enrol(enrolling(second, node))


@pytest.mark.parametrize(
    ("name", "changes", "error", "text"),
    [
        ("nobody", {}, RuleBroken, "expected one that is enrolled as node"),
        ("alpha", {"role": "consumer"}, RuleBroken, "expected one that is enrolled as consumer"),
        ("alpha", {"title": "Another name"}, BadInput, "no title or address"),
    ],
)
def test_a_second_join_file_is_for_who_is_enrolled_and_changes_nothing(
    site: Site, name: str, changes: dict[str, Any], error: type[RequestError], text: str
) -> None:
    with pytest.raises(error, match=text):
        again(site, name, **changes)


def test_it_survives_a_restart(site: Site) -> None:
    token = again(site, "alpha")
    site.reopen()
    assert site.governance.enrolment.enrol(enrolling(token, site.nodes["alpha"])).certificate
