"""Who is not known gets nowhere: Flower keys, certificates of another CA, expired ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from integration_faulty import Faulty

from clients.errors import GovernanceRefused, GovernanceUnavailable, IdentityError
from clients.fleet import Fleet
from clients.fleet_errors import FleetNotAdmitted, FleetRejected, FleetUntrusted
from clients.governance import GovernanceClient
from clients.identity import load_identity
from commands.node_wiring import now
from commands.reading import objects
from policies import governance_pb2 as pb
from policies.governance_pb2_grpc import EnrolmentStub
from server.pki import Authority, Identity, Issued, create_ca, new_client

pytestmark = pytest.mark.process

YEAR = timedelta(days=366)


@contextmanager
def _fleet(faulty: Faulty, **changed: Any) -> Iterator[Fleet]:
    """A connection to the SuperLink that is closed whatever became of it."""
    card = faulty.local.space.card
    known = {
        "address": card.superlink,
        "ca_pem": card.ca_pem.encode(),
        "key": load_identity(faulty.local.nodes["south"].folder).keys.fleet,
    }
    fleet = Fleet(**{**known, **changed})
    try:
        yield fleet
    finally:
        fleet._client.close()  # leaving closes it, and these never enter


def test_a_flower_key_that_is_not_registered_is_rejected(faulty: Faulty) -> None:
    with (
        _fleet(faulty, key=ec.generate_private_key(ec.SECP256R1())) as stranger,
        pytest.raises(FleetRejected, match="this node's Flower key is not registered there"),
    ):
        stranger.poll()


def test_a_flower_key_that_is_not_registered_is_not_let_in(faulty: Faulty) -> None:
    """Flower says the same to it as to a node that it counts as running already."""
    before = faulty.online()
    with (
        _fleet(faulty, key=ec.generate_private_key(ec.SECP256R1())) as stranger,
        pytest.raises(FleetNotAdmitted),
    ):
        stranger.__enter__()
    assert faulty.online() == before == set(faulty.local.nodes)


def test_a_second_question_tells_an_unknown_key_from_a_node_that_runs(faulty: Faulty) -> None:
    with faulty.local.operator() as operator:
        rows = objects(operator.list("participants"))
    [node_id] = [int(row["node_id"]) for row in rows if row["participant"] == "south"]
    with _fleet(faulty) as running:
        with pytest.raises(FleetNotAdmitted):
            running.activate()
        assert running.knows(node_id)
    with _fleet(faulty, key=ec.generate_private_key(ec.SECP256R1())) as stranger:
        assert not stranger.knows(node_id)


def test_a_superlink_with_a_certificate_of_another_ca_is_not_spoken_to(faulty: Faulty) -> None:
    other = create_ca("tests/other", now=now()).certificate_pem
    with (
        _fleet(faulty, ca_pem=other) as fleet,
        pytest.raises(FleetUntrusted, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        fleet.__enter__()


def _of_another_ca(_: Authority, who: Identity) -> Issued:
    return new_client(create_ca("tests/other", now=now()), who, now=now())


def _expired(ca: Authority, who: Identity) -> Issued:
    return new_client(ca, who, now=now() - 2 * YEAR)


def _not_yet_valid(ca: Authority, who: Identity) -> Issued:
    return new_client(ca, who, now=now() + timedelta(days=1))


@pytest.mark.parametrize("issue", [_of_another_ca, _expired, _not_yet_valid])
def test_governance_does_not_answer_a_certificate_that_does_not_hold(
    faulty: Faulty, issue: Callable[[Authority, Identity], Issued]
) -> None:
    space = faulty.local.space
    who = Identity(space=space.card.name, role="node", participant="south")
    with (
        _client(faulty, issue(space.authority(), who)) as client,
        pytest.raises(GovernanceUnavailable, match="unavailable"),
    ):
        client.get_space()


@pytest.mark.parametrize(
    ("role", "participant", "said"),
    [
        ("node", "nobody", "nobody"),
        ("operator", "south", "south"),
    ],
)
def test_governance_refuses_a_certificate_of_its_ca_for_somebody_who_is_not_enrolled_so(
    faulty: Faulty, role: str, participant: str, said: str
) -> None:
    space = faulty.local.space
    who = Identity(space=space.card.name, role=role, participant=participant)
    with (
        _client(faulty, new_client(space.authority(), who, now=now())) as client,
        pytest.raises(GovernanceRefused, match=said),
    ):
        client.get_space()


def test_governance_refuses_a_node_of_another_space(faulty: Faulty) -> None:
    who = Identity(space="tests/elsewhere", role="node", participant="south")
    issued = new_client(faulty.local.space.authority(), who, now=now())
    with _client(faulty, issued) as client, pytest.raises(GovernanceRefused, match="elsewhere"):
        client.get_space()


def test_the_same_call_with_the_nodes_own_certificate_is_answered(faulty: Faulty) -> None:
    identity = load_identity(faulty.local.nodes["south"].folder)
    with _client(faulty, Issued(identity.certificate_pem, identity.tls_key_pem)) as client:
        _, checkpoint = client.get_space()
    assert checkpoint.startswith(faulty.local.space.card.name)


def test_enrolment_without_a_valid_token_is_refused(faulty: Faulty) -> None:
    card = faulty.local.space.card
    credentials = grpc.ssl_channel_credentials(card.ca_pem.encode())
    with (
        grpc.secure_channel(card.enrolment, credentials) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        EnrolmentStub(channel).Enrol(pb.EnrolRequest(token="x" * 43), timeout=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "a token that is known, unused and not expired" in str(refused.value.details())


def test_a_node_whose_certificate_expired_is_told_so_at_start(faulty: Faulty) -> None:
    identity = load_identity(faulty.local.nodes["south"].folder)
    identity.check_certificate(now())
    with pytest.raises(IdentityError, match="expected a certificate that is valid now"):
        identity.check_certificate(now() + YEAR)


def _client(faulty: Faulty, issued: Issued) -> GovernanceClient:
    card = faulty.local.space.card
    return GovernanceClient(
        address=card.governance,
        ca_pem=card.ca_pem.encode(),
        key_pem=issued.key,
        certificate_pem=issued.certificate,
        timeout_s=5,
    )
