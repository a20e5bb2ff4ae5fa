from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import SPACE, Node, Site, enrolling, enrolling_consumer, make_csr, new_node

from ledger.note import NoteSigner
from policies.canonical import parse_json, sha256_hex
from policies.disclosure import Profile
from server import queries
from server.enrolling import Enrolling
from server.errors import (
    BadInput,
    NotAllowed,
    RequestError,
    RuleBroken,
    SuperLinkUnavailable,
)
from server.keys import key_digest, key_pem
from server.pki import Identity, parse_identity

LOW_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def people(site: Site) -> list[str]:
    operator = Identity(space=SPACE, role="operator", participant="operator")
    documents = site.governance.list(operator, "participants")
    return [parse_json(data, max_bytes=9999)["participant"] for data in documents]  # type: ignore[call-overload, index, misc]


def test_a_node_enrols(empty: Site) -> None:
    node = new_node("alpha")
    join = empty.invite("alpha")
    enrolled = empty.governance.enrolment.enrol(enrolling(join.token, node))
    assert join.space == empty.space.card
    assert parse_identity(enrolled.certificate) == node.identity
    entry = empty.entries()[-1]
    assert entry.type == "ParticipantEnrolled"
    assert entry.body["receipt_key"] == node.receipt.public_key().public_bytes_raw().hex()
    assert entry.body["fleet_key"] == key_digest(node.fleet.public_key())
    assert entry.body["node_id"] == empty.superlink.nodes[key_pem(node.fleet.public_key())]
    assert people(empty) == ["operator", "consortium", "alpha"]


def test_neither_log_nor_registry_holds_the_token_or_the_title(empty: Site) -> None:
    join = empty.invite("alpha", title="Alpha Hospital of Somewhere")
    empty.governance.enrolment.enrol(enrolling(join.token, new_node("alpha")))
    log = b"\n".join(empty.log.entries(0, empty.log.size))
    folder = empty.space.folder
    stored = b"".join(path.read_bytes() for path in (folder / "governance").iterdir())
    assert join.token.encode() not in log + stored
    assert b"Somewhere" not in log + stored
    assert sha256_hex(join.token.encode()).encode() in log


def test_an_auditor_brings_only_a_tls_key(empty: Site) -> None:
    token = empty.invite("other", role="auditor", region="").token
    node = new_node("other")
    for request in (enrolling(token, node), enrolling_consumer(token, node)):
        with pytest.raises(BadInput, match="no key but TLS"):
            empty.governance.enrolment.enrol(request)
    request = Enrolling(token, make_csr(node.tls), b"", b"", b"", b"", b"")
    enrolled = empty.governance.enrolment.enrol(request)
    assert parse_identity(enrolled.certificate).role == "auditor"
    assert empty.superlink.nodes == {}


def test_a_consumer_brings_a_key_for_its_statements(empty: Site) -> None:
    token = empty.invite("institute", role="consumer", region="").token
    node = new_node("institute")
    public = node.receipt.public_key().public_bytes_raw()
    other = _other().public_key().public_bytes_raw()
    for request, said in (
        (enrolling(token, node), "TLS and statements, got more"),
        (Enrolling(token, make_csr(node.tls), b"", b"", b"", b"", b""), "32 bytes"),
        (enrolling_consumer(token, node, receipt_key=LOW_ORDER), "low order"),
        (enrolling_consumer(token, node, receipt_key=other), "proof for the receipt key"),
        (enrolling_consumer(token, node, receipt_proof=b""), "proof for the receipt key"),
    ):
        with pytest.raises(BadInput, match=said):
            empty.governance.enrolment.enrol(request)
    enrolled = empty.governance.enrolment.enrol(enrolling_consumer(token, node))
    assert parse_identity(enrolled.certificate).role == "consumer"
    assert empty.entries()[-1].body["receipt_key"] == public.hex()
    assert empty.superlink.nodes == {}


def test_a_consumer_has_a_key_of_its_own(site: Site) -> None:
    node = new_node("institute")
    node.receipt = site.nodes["alpha"].receipt
    token = site.invite("institute", role="consumer").token
    with pytest.raises(RuleBroken, match="another participant's"):
        site.governance.enrolment.enrol(enrolling_consumer(token, node))


@pytest.mark.parametrize(
    "changes",
    [
        {"participant": "Upper"},
        {"title": "", "contact": "nobody@example.org"},
        {"participant": "a" * 64},
        {"role": "operator"},
        {"role": ""},
        {"region": "Guangdong"},
        {"region": "EU"},
        {"valid_s": 0},
        {"valid_s": 31 * 86_400},
        {"title": "t" * 201},
        {"sector": "s" * 201},
    ],
)
def test_a_malformed_invitation_is_refused(empty: Site, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        empty.invite("alpha", **changes)


@pytest.mark.parametrize("name", ["alpha", "operator", "consortium"])
def test_who_is_enrolled_is_not_invited(site: Site, name: str) -> None:
    with pytest.raises(RuleBroken, match="already enrolled"):
        site.invite(name)


def test_a_second_invitation_voids_the_first(empty: Site) -> None:
    first, second = empty.invite("alpha"), empty.invite("alpha")
    with pytest.raises(NotAllowed):
        empty.governance.enrolment.enrol(enrolling(first.token, new_node("alpha")))
    empty.governance.enrolment.enrol(enrolling(second.token, new_node("alpha")))
    assert people(empty)[-1] == "alpha"


def test_a_token_works_once_but_its_request_may_be_repeated(empty: Site) -> None:
    join, node = empty.invite("alpha"), new_node("alpha")
    request = enrolling(join.token, node)
    first = empty.governance.enrolment.enrol(request)
    again = empty.governance.enrolment.enrol(request)
    assert parse_identity(again.certificate) == parse_identity(first.certificate)
    assert empty.kinds().count("ParticipantEnrolled") == 1
    with pytest.raises(NotAllowed, match="unused"):
        empty.governance.enrolment.enrol(enrolling(join.token, new_node("alpha")))


@pytest.mark.parametrize("token", ["", "A" * 43, "A" * 42, "é" * 43])
def test_a_guessed_token_is_refused(empty: Site, token: str) -> None:
    empty.invite("alpha")
    with pytest.raises(NotAllowed, match="known, unused and not expired"):
        empty.governance.enrolment.enrol(enrolling(token, new_node("alpha")))


def test_an_expired_token_is_refused(empty: Site) -> None:
    join = empty.invite("alpha", valid_s=60)
    empty.tick(60)
    with pytest.raises(NotAllowed):
        empty.governance.enrolment.enrol(enrolling(join.token, new_node("alpha")))


def _other() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def _p521() -> bytes:
    return key_pem(ec.generate_private_key(ec.SECP521R1()).public_key())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"receipt_key": LOW_ORDER}, "low order"),
        ({"receipt_key": bytes(32)}, "low order"),
        ({"receipt_key": b"short"}, "32 bytes"),
        ({"receipt_key": _other().public_key().public_bytes_raw()}, "proof for the receipt key"),
        ({"receipt_proof": b"x" * 64}, "proof for the receipt key"),
        ({"receipt_proof": b""}, "proof for the receipt key"),
        ({"fleet_proof": b"x"}, "proof for the fleet key"),
        ({"fleet_proof": b""}, "proof for the fleet key"),
        ({"fleet_key_pem": _p521()}, "P-256 or P-384"),
        ({"fleet_key_pem": b""}, "public key in PEM"),
        ({"fleet_key_pem": b"x" * 20_000}, "at most"),
        ({"log_verifier_key": b"name+00000000+AAAA"}, "key name"),
        ({"log_verifier_key": b"\xff"}, r"name\+hash\+base64"),
        ({"csr_pem": b"nothing"}, "PKCS"),
        ({"csr_pem": make_csr(_other())}, "P-256 or P-384"),
    ],
)
def test_a_bad_key_or_proof_is_refused(empty: Site, changes: dict[str, Any], message: str) -> None:
    token = empty.invite("alpha").token
    with pytest.raises(BadInput, match=message):
        empty.governance.enrolment.enrol(enrolling(token, new_node("alpha"), **changes))
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted"]
    assert empty.superlink.nodes == {}


def test_a_low_order_log_key_is_refused(empty: Site) -> None:
    raw = b"\x01" + LOW_ORDER
    short = hashlib.sha256(b"alpha\n" + raw).hexdigest()[:8]
    text = f"alpha+{short}+{base64.b64encode(raw).decode()}".encode()
    token = empty.invite("alpha").token
    with pytest.raises(BadInput, match="low order"):
        empty.governance.enrolment.enrol(enrolling(token, new_node("alpha"), log_verifier_key=text))


@pytest.mark.parametrize("name", ["alpha", f"{SPACE}/beta", f"{SPACE}/alpha/more", SPACE])
def test_a_log_key_under_another_s_name_is_refused(empty: Site, name: str) -> None:
    node = new_node("alpha")
    text = NoteSigner(name, node.receipt).verifier_key.encode()
    token = empty.invite("alpha").token
    with pytest.raises(BadInput, match=f"expected a log key named {SPACE}/alpha"):
        empty.governance.enrolment.enrol(enrolling(token, node, log_verifier_key=text))


def test_one_key_for_tls_and_fleet_is_refused(empty: Site) -> None:
    node = new_node("alpha")
    node.fleet = node.tls
    token = empty.invite("alpha").token
    with pytest.raises(BadInput, match="two keys"):
        empty.governance.enrolment.enrol(enrolling(token, node))


@pytest.mark.parametrize("shared", ["receipt", "fleet"])
def test_a_key_of_another_participant_is_refused(site: Site, shared: str) -> None:
    node = new_node("delta")
    setattr(node, shared, getattr(site.nodes["alpha"], shared))
    token = site.invite("delta").token
    with pytest.raises(RuleBroken, match="another participant's"):
        site.governance.enrolment.enrol(enrolling(token, node))


def test_a_proof_is_bound_to_its_token(empty: Site) -> None:
    node = new_node("alpha")
    old = enrolling(empty.invite("alpha").token, node)
    token = empty.invite("alpha").token
    replayed = enrolling(token, node, receipt_proof=old.receipt_proof)
    with pytest.raises(BadInput, match="proof for the receipt key"):
        empty.governance.enrolment.enrol(replayed)


def test_without_the_superlink_nothing_is_enrolled(empty: Site) -> None:
    request = enrolling(empty.invite("alpha").token, new_node("alpha"))
    empty.superlink.down = True
    with pytest.raises(SuperLinkUnavailable):
        empty.governance.enrolment.enrol(request)
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted"]
    empty.superlink.down = False
    empty.governance.enrolment.enrol(request)
    assert empty.kinds()[-1] == "ParticipantEnrolled"


@pytest.mark.parametrize("step", ["signed", "committed", "recorded", "published"])
def test_a_crash_while_enrolling_is_gone_after_a_restart(empty: Site, step: str) -> None:
    node = new_node("alpha")
    request = enrolling(empty.invite("alpha").token, node)
    empty.on_step = _crash_at(step)
    with pytest.raises(RuntimeError, match=step):
        empty.governance.enrolment.enrol(request)
    empty.reopen()
    enrolled = empty.governance.enrolment.enrol(request)
    assert parse_identity(enrolled.certificate) == node.identity
    assert empty.kinds().count("ParticipantEnrolled") == 1
    assert len(empty.superlink.nodes) == 1


def test_the_note_key_is_kept_as_it_was_parsed(empty: Site) -> None:
    node: Node = empty.enrol("alpha")
    with empty.registry.transaction() as connection:
        row = queries.participant(connection, "alpha")
    assert row is not None
    assert row.log_key == NoteSigner(f"{SPACE}/alpha", node.receipt).verifier_key
    profile = empty.governance.disclosing.value(row.profile)
    assert profile == Profile(title="The alpha")


def test_all_refusals_are_answers(empty: Site) -> None:
    with pytest.raises(RequestError):
        empty.governance.enrolment.enrol(Enrolling("", b"", b"", b"", b"", b"", b""))


def _crash_at(step: str) -> Any:
    def crash(name: str) -> None:
        if name == step:
            raise RuntimeError(step)

    return crash


def test_a_superlink_that_lost_its_database_knows_the_nodes_again(empty: Site) -> None:
    nodes = [empty.enrol("alpha"), empty.enrol("beta")]
    known = dict(empty.superlink.nodes)
    empty.superlink.nodes.clear()
    assert empty.governance.enrolment.register_again() == 2
    assert empty.superlink.nodes.keys() == known.keys()
    assert empty.superlink.nodes.keys() == {key_pem(node.fleet.public_key()) for node in nodes}
    assert empty.governance.enrolment.register_again() == 0
    assert len(empty.superlink.nodes) == 2
    empty.superlink.down = True
    with pytest.raises(SuperLinkUnavailable):
        empty.governance.enrolment.register_again()
