"""The service over real sockets: certificates, roles, codes, streams and a graceful end."""

from __future__ import annotations

import copy
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from server_site import (
    SPACE,
    Node,
    Site,
    agreement_envelope,
    enrolling,
    make_fab,
    new_node,
    product_envelope,
    withdrawal_envelope,
)

from policies import governance_pb2 as pb
from policies.canonical import parse_json, sha256_hex
from policies.governance_pb2_grpc import EnrolmentStub, GovernanceStub
from policies.space import JoinFile, SpaceCard
from policies.statements import RunSpec
from server import errors, guarded
from server.access import ROLES_BY_RPC
from server.edge import Edge
from server.errors import GovernanceRefused, GovernanceUnavailable, ServerError, SpaceError
from server.governance_client import GovernanceClient
from server.observing import Call
from server.pki import Identity, Issued, create_ca, issue_server, new_client, parse_identity
from server.service import Running, serve

TIMEOUT_S = 5.0


@dataclass
class Served:
    """A populated space that is served on loopback."""

    site: Site
    running: Running
    told: FakeObserver

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.running.governance_port}"

    @property
    def enrolment(self) -> str:
        return f"127.0.0.1:{self.running.enrolment_port}"

    @property
    def ca(self) -> bytes:
        return self.site.space.card.ca_pem.encode()

    def issued(self, role: str, participant: str, **changes: Any) -> Issued:
        identity = Identity(space=SPACE, role=role, participant=participant)
        arguments = {"now": self.site.now} | changes
        return new_client(self.site.space.authority(), identity, **arguments)

    def client(self, role: str, participant: str) -> GovernanceClient:
        return self.client_with(self.issued(role, participant))

    def client_with(
        self, issued: Issued, traceparent: Callable[[], str] | None = None
    ) -> GovernanceClient:
        return GovernanceClient(
            address=self.address,
            ca_pem=self.ca,
            key_pem=issued.key,
            certificate_pem=issued.certificate,
            pause=lambda _s: None,
            traceparent=traceparent,
        )

    def channel(self, issued: Issued | None) -> grpc.Channel:
        key, certificate = (issued.key, issued.certificate) if issued else (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca, key, certificate)
        return grpc.secure_channel(self.address, credentials)

    def node_client(self, node: Node) -> GovernanceClient:
        return self.client_with(Issued(node.certificate, _key(node.tls)))


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class FakeObserver:
    """Keeps the calls that it was told of, as they were when they ended."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @contextmanager
    def call(self, call: Call) -> Iterator[None]:
        try:
            yield
        finally:
            self.calls.append(call)

    def append(self, entries: int) -> AbstractContextManager[None]:
        return nullcontext()

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """Entries are not kept."""

    def answered(self, status: int, seconds: float) -> None:
        """Nor are pages."""


def start(site: Site) -> Served:
    told = FakeObserver()
    running = serve(
        site.space,
        superlink=site.superlink,
        edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
        governance_listen="127.0.0.1:0",
        enrolment_listen="127.0.0.1:0",
        contracts_listen="127.0.0.1:0",
        observer=told,
    )
    return Served(site, running, told)


@pytest.fixture(scope="module")
def served(populated: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("service") / "space"
    shutil.copytree(populated.folder, folder)
    site = Site(folder, populated.now)
    site.superlink = copy.deepcopy(populated.superlink)
    site.nodes = dict(populated.nodes)
    site.tick(1)
    site.open()
    site.close()
    mine = start(site)
    yield mine
    mine.running.stop(0)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(GovernanceRefused) as caught:
        call()
    return caught.value.code, caught.value.text


# -- what is told of calls -----------------------------------------------------------------------


def test_a_call_is_told_with_its_facts_its_code_and_the_callers_trace(served: Served) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    parents = iter([parent, "", "x" * 101])
    issued = served.issued("consumer", "consortium")
    with served.client_with(issued, lambda: next(parents)) as client:
        before = len(served.told.calls)
        refused(lambda: client.get_run("no-such-run"))
        client.get_space()
        client.get_space()
    first, second, third = served.told.calls[before:]
    assert (first.rpc, first.code, first.parent) == ("GetRun", "NOT_FOUND", parent)
    assert first.facts == {"run": "no-such-run", "participant": "consortium"}
    assert (second.rpc, second.code, second.parent) == ("GetSpace", "OK", "")
    assert third.parent == ""
    with served.client_with(served.issued("node", "nobody")) as client:
        refused(client.get_space)
    # Whom the guard did not let in is nobody.
    assert (served.told.calls[-1].code, served.told.calls[-1].facts) == ("PERMISSION_DENIED", {})


# -- who gets in ---------------------------------------------------------------------------------


def test_a_client_opens_from_its_folder(served: Served) -> None:
    folder = served.site.space.consumer_folder
    with GovernanceClient.open(folder, address=served.address) as client:
        space = client.get_space()
    card = SpaceCard.from_json(parse_json(space.space_json, max_bytes=65_536))
    assert card == served.site.space.card
    assert space.checkpoint.startswith(f"{SPACE}\n")


def test_a_folder_without_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"consumer\.json or operator\.json"):
        GovernanceClient.open(tmp_path)
    (tmp_path / "consumer.json").write_bytes(b"{}")
    with pytest.raises(SpaceError, match=r"consumer\.json"):
        GovernanceClient.open(tmp_path)


def _foreign(served: Served) -> Issued:
    other = create_ca(SPACE, now=served.site.now)
    identity = Identity(space=SPACE, role="consumer", participant="consortium")
    return new_client(other, identity, now=served.site.now)


def _expired(served: Served) -> Issued:
    then = served.site.now - timedelta(days=10)
    return served.issued("consumer", "consortium", now=then, valid=timedelta(days=1))


def _not_yet(served: Served) -> Issued:
    return served.issued("consumer", "consortium", now=served.site.now + timedelta(days=10))


@pytest.mark.parametrize("make", [_foreign, _expired, _not_yet, lambda _: None])
def test_a_connection_without_a_good_certificate_fails(served: Served, make: Any) -> None:
    with served.channel(make(served)) as channel, pytest.raises(grpc.RpcError) as caught:
        GovernanceStub(channel).GetSpace(pb.Empty(), timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_server_of_another_ca_is_not_believed(served: Served) -> None:
    issued = served.issued("consumer", "consortium")
    client = GovernanceClient(
        address=served.address,
        ca_pem=create_ca(SPACE, now=served.site.now).certificate_pem,
        key_pem=issued.key,
        certificate_pem=issued.certificate,
        pause=lambda _s: None,
    )
    with client, pytest.raises(GovernanceUnavailable, match="right address and certificate"):
        client.get_space()


@pytest.mark.parametrize(
    ("role", "participant"),
    [("consumer", "nobody"), ("operator", "alpha"), ("node", "consortium"), ("auditor", "a")],
)
def test_a_certificate_of_nobody_enrolled_is_not_enough(
    served: Served, role: str, participant: str
) -> None:
    with served.client(role, participant) as client:
        code, text = refused(client.get_space)
    assert code == "PERMISSION_DENIED"
    assert "enrolled participant" in text


def test_a_server_certificate_is_no_clients(served: Served) -> None:
    issued = issue_server(served.site.space.authority(), ["x"], now=served.site.now)
    with served.channel(issued) as channel, pytest.raises(grpc.RpcError) as caught:
        GovernanceStub(channel).GetSpace(pb.Empty(), timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    assert caught.value.code() in (
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAVAILABLE,
    )


@pytest.mark.parametrize(
    ("role", "participant"),
    [("operator", "operator"), ("consumer", "consortium"), ("node", "alpha")],
)
def test_every_rpc_is_held_to_its_row(served: Served, role: str, participant: str) -> None:
    service = pb.DESCRIPTOR.services_by_name["Governance"]
    denied = [one for one in service.methods if role not in ROLES_BY_RPC[one.name]]
    assert denied
    with served.channel(served.issued(role, participant)) as channel:
        stub = GovernanceStub(channel)  # type: ignore[no-untyped-call]
        for method in denied:
            request = getattr(pb, method.input_type.name)()
            with pytest.raises(grpc.RpcError) as caught:
                answer = getattr(stub, method.name)(request, timeout=TIMEOUT_S)
                list(answer)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, method.name
            assert method.name in caught.value.details()


def test_the_enrolment_port_serves_nothing_else(served: Served) -> None:
    credentials = grpc.ssl_channel_credentials(served.ca)
    with grpc.secure_channel(served.enrolment, credentials) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            GovernanceStub(channel).GetSpace(pb.Empty(), timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as caught:
            EnrolmentStub(channel).Enrol(pb.EnrolRequest(token="x"), timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as caught:
            request = pb.EnrolRequest(csr_pem=b"x" * (1 << 20))
            EnrolmentStub(channel).Enrol(request, timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_and_reflection_answer(served: Served) -> None:
    name = pb.DESCRIPTOR.services_by_name["Governance"].full_name
    with served.channel(served.issued("consumer", "consortium")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=name)
        answer = health.Check(request, timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        listing = next(reflection.ServerReflectionInfo(iter([question]), timeout=TIMEOUT_S))
        names = {one.name for one in listing.list_services_response.service}
    assert name in names


# -- a whole story -------------------------------------------------------------------------------


def test_from_invitation_to_a_completed_run(served: Served) -> None:
    site = served.site
    node = new_node("delta")
    operator = GovernanceClient.open(site.space.operator_folder, address=served.address)
    consumer = GovernanceClient.open(site.space.consumer_folder, address=served.address)
    with operator, consumer:
        raw = operator.invite(
            participant="delta", title="Delta", sector="health", region="CN-GD", valid_s=600
        )
        join = JoinFile.from_json(parse_json(raw, max_bytes=65_536))
        _enrol(served, node, join.token)
        with served.node_client(node) as client:
            stub = client._stub
            product = stub.RegisterProduct(
                pb.Signed(envelope=product_envelope(node, site.now)), timeout=TIMEOUT_S
            )
            agreement = stub.ConcludeAgreement(
                pb.Signed(envelope=agreement_envelope(node, site.now)), timeout=TIMEOUT_S
            )
        assert (product.id, agreement.id) == (node.product, node.agreement)
        app = operator.register_app(make_fab(), "a classifier").app
        assert consumer.get_app(app).fab == make_fab()
        spec = RunSpec.from_json(site.spec(app=app, agreements=[node.agreement], rounds=1))
        run = consumer.open_run(spec, "story")
        assert consumer.find_run(run.flower_run).run == run.run
        for number in (1, 2):
            run = _round(served, consumer, run, node, number)
        assert (run.state, run.closed_rounds) == ("COMPLETED", 1)
        assert len(consumer.get_run(run.run).rounds_json) == 2
        assert "delta" in {one["participant"] for one in consumer.list("participants")}  # type: ignore[index, call-overload]
        assert operator.stop_run(run.run).state == "COMPLETED"
        size = int(consumer.get_space().checkpoint.split("\n")[1])
        assert consumer.get_consistency(1, size)
        assert refused(lambda: consumer.get_consistency(1, size + 9))[0] == "INVALID_ARGUMENT"


def _enrol(served: Served, node: Node, token: str) -> None:
    request = enrolling(token, node)
    credentials = grpc.ssl_channel_credentials(served.ca)
    with grpc.secure_channel(served.enrolment, credentials) as channel:
        fields = {name: getattr(request, name) for name in request.__slots__}
        answer = EnrolmentStub(channel).Enrol(pb.EnrolRequest(**fields), timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    assert parse_identity(answer.certificate_pem) == node.identity
    node.certificate = answer.certificate_pem
    node.node_id = served.site.superlink.nodes[node.online.fleet_key_pem]


def _round(
    served: Served, consumer: GovernanceClient, run: pb.Run, node: Node, number: int
) -> pb.Run:
    ref = pb.NodeRef(node_id=node.node_id, fleet_key_pem=node.online.fleet_key_pem)
    answer = consumer.authorize_round(
        pb.AuthorizeRoundRequest(
            run=run.run,
            flower_run=run.flower_run,
            round=number,
            kind="train" if number == 1 else "evaluate",
            model=run.model or sha256_hex(b"model 0"),
            architecture="f" * 64,
            floats=10,
            online=[ref],
            request_id=f"ask-{number}",
        )
    )
    assert [one.permitted for one in answer.verdicts] == [True]
    arrived: Any = served.site.arrived(answer, node)  # type: ignore[arg-type]
    outcome = consumer.submit_receipts(
        pb.SubmitReceiptsRequest(
            permit_id=answer.permit_id,
            arrived=[
                pb.Arrived(node_id=arrived.node_id, receipt=arrived.receipt, update=arrived.update)
            ],
        )
    )
    assert [one.participant for one in outcome.accepted] == ["delta"]
    model = sha256_hex(b"model 1")
    return consumer.close_round(
        pb.CloseRoundRequest(
            permit_id=answer.permit_id, model=model, metrics={"loss": "0.5"}, quorum_met=True
        )
    )


# -- codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.get_run("run-0"), "NOT_FOUND"),
        (lambda c: c.get_app("0" * 64), "NOT_FOUND"),
        (lambda c: c.list("secrets"), "INVALID_ARGUMENT"),
        (lambda c: c.stop_run("run-0"), "NOT_FOUND"),
        (lambda c: c.resume_run("run-0"), "NOT_FOUND"),
        (lambda c: c.register_app(b"", "x"), "PERMISSION_DENIED"),
    ],
)
def test_refusals_carry_their_code_and_reason(served: Served, call: Any, code: str) -> None:
    with served.client("consumer", "consortium") as client:
        got, text = refused(lambda: call(client))
    assert got == code
    assert "expected" in text


@pytest.mark.parametrize(
    ("filing", "says"),
    [
        (b"{", "filing: $"),
        (b"[]", "filing: $"),
        (b'{"colour": "red"}', "filing: $.colour"),
        (b'{"purposes": "all"}', "filing: $.purposes"),
        (b'{"author": "a", "author": "b"}', "twice"),
        (b" " * 70_000, "at most"),
    ],
)
def test_a_malformed_filing_is_refused(served: Served, filing: bytes, says: str) -> None:
    request = pb.RegisterAppRequest(fab=make_fab(), title="x", filing_json=filing)
    with served.client("operator", "operator") as client, pytest.raises(grpc.RpcError) as caught:
        client._stub.RegisterApp(request, timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()


def test_the_registrars_calls_go_over_the_wire(served: Served) -> None:
    product = "alpha/records"
    with served.client("operator", "operator") as operator:
        issued = operator.certify_product(product, days=5)
        document: Any = operator.get_product(product)
        assert (document["certificate"], document["certificate_serial"]) == ("valid", issued.id)
        gone = operator.revoke_certificate(issued.id, "wrong")
        assert operator.revoke_certificate(issued.id, "again").index == gone.index
        assert operator.get_product(product)["certificate"] == "revoked"  # type: ignore[index, call-overload]
        operator.certify_product(product)
        assert refused(lambda: operator.revoke_certificate("none", "x"))[0] == "NOT_FOUND"
        assert refused(lambda: operator.revoke_app_filing("0" * 64, "x"))[0] == "NOT_FOUND"
        assert refused(lambda: operator.certify_product(product, 9999))[0] == "INVALID_ARGUMENT"


def test_no_traceback_leaves(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(served.running.governance, "checkpoint", broken)
    with caplog.at_level(logging.ERROR), served.client("consumer", "consortium") as client:
        code, text = refused(client.get_space)
    assert code == "INTERNAL"
    assert "secret of the inside" not in text
    assert "secret of the inside" in caplog.text


def test_every_answer_has_a_code() -> None:
    kinds = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.RequestError)
    ]
    covered = tuple(guarded._CODES)
    assert [one for one in kinds if not issubclass(one, covered)] == [errors.RequestError]


# -- withdrawals as they come --------------------------------------------------------------------


def test_watchers_learn_at_once_and_again_after_reconnecting(served: Served) -> None:
    site, node = served.site, served.site.nodes["gamma"]
    stub_for = served.client("consumer", "consortium")
    with stub_for as consumer, served.node_client(node) as owner:
        stream = consumer._stub.WatchWithdrawals(pb.Empty(), timeout=TIMEOUT_S)
        stream.initial_metadata()  # the service has subscribed us
        envelope = withdrawal_envelope(node, site.now)
        logged = owner._stub.Withdraw(pb.Signed(envelope=envelope), timeout=TIMEOUT_S)
        notice: Any = parse_json(next(stream).json, max_bytes=9999)
        assert (notice["participant"], notice["index"]) == ("gamma", logged.index)
        stream.cancel()
        again: Any = next(consumer.watch_withdrawals())
        assert again == notice


def test_watching_ends_with_the_connection(served: Served) -> None:
    ended = threading.Event()
    client = served.client("node", "alpha")

    def watch() -> None:
        try:
            list(client.watch_withdrawals())
        except (GovernanceUnavailable, ValueError):
            ended.set()

    thread = threading.Thread(target=watch)
    thread.start()
    client.get_space()
    client.close()
    thread.join(TIMEOUT_S)
    assert ended.is_set()


# -- start, stop, absence ------------------------------------------------------------------------


def test_a_service_stops_with_watchers_and_starts_again_where_it_was(site: Site) -> None:
    site.close()
    first = start(site)
    with first.client("node", "alpha") as client:
        stream = client._stub.WatchWithdrawals(pb.Empty(), timeout=TIMEOUT_S)
        stream.initial_metadata()
        size = client.get_space().checkpoint.split("\n")[1]
        first.running.stop()
        assert list(stream) == []
    first.running.stop()
    second = start(site)
    with second.client("consumer", "consortium") as client:
        assert client.get_space().checkpoint.split("\n")[1] == size
    second.running.stop(0)


def test_a_taken_port_is_said_and_everything_let_go(site: Site, served: Served) -> None:
    site.close()
    with pytest.raises(ServerError, match=f"{served.address}: expected a free port"):
        serve(
            site.space,
            superlink=site.superlink,
            edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
            governance_listen=served.address,
            enrolment_listen="127.0.0.1:0",
            contracts_listen="127.0.0.1:0",
        )
    site.open()
    assert site.kinds()[0] == "SpaceCreated"


def test_an_absent_service_is_asked_again_with_pauses(served: Served) -> None:
    issued = served.issued("consumer", "consortium")
    pauses: list[float] = []
    client = GovernanceClient(
        address="127.0.0.1:1",
        ca_pem=served.ca,
        key_pem=issued.key,
        certificate_pem=issued.certificate,
        pause=pauses.append,
    )
    with client:
        with pytest.raises(GovernanceUnavailable, match=r"127\.0\.0\.1:1"):
            client.get_space()
        assert len(pauses) == 4
        assert pauses == sorted(pauses)
        with pytest.raises(GovernanceUnavailable):
            client.resume_run("run-0")
    assert len(pauses) == 4  # what may not be repeated was not


def test_an_unavailable_log_is_unavailable_to_the_caller(served: Served) -> None:
    served.site.superlink.down = True
    spec = RunSpec.from_json(served.site.spec(agreements=["agreement-alpha"]))
    with served.client("consumer", "consortium") as client:
        with pytest.raises(GovernanceUnavailable, match="SuperLink"):
            client.open_run(spec, "down")
        served.site.superlink.down = False
        assert client.open_run(spec, "down").state == "RUNNING"


class _Answered(grpc.RpcError):
    """What a call ends with."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text


def test_a_deadline_after_a_reason_tells_the_reason(served: Served) -> None:
    answers = [
        _Answered(grpc.StatusCode.UNAVAILABLE, "permit: expected the quorum 'nodes'"),
        _Answered(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
    ]

    def method(_request: object, timeout: float) -> pb.Empty:
        raise answers.pop(0)

    with (
        served.client("consumer", "consortium") as client,
        pytest.raises(GovernanceUnavailable, match="expected the quorum 'nodes'"),
    ):
        client._again(pb.Empty, method, pb.Empty())
    assert answers == []
