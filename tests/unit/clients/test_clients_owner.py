"""The owner's acts: what holds on the node, what governance hears, and when."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from test_clients_enrol import NOW, Authority

from clients.advance import sign_in_advance
from clients.consent import Subjects
from clients.contracts import OwnerContracts
from clients.endedconsents import EndedConsents
from clients.errors import (
    BundleError,
    ClientError,
    GovernanceError,
    GovernanceRefused,
    GovernanceUnavailable,
    ProductError,
    VaultError,
)
from clients.governance import GovernanceClient, Registered
from clients.identity import NodeIdentity, open_own_log
from clients.journal import log_pending
from clients.materials import OwnMaterials
from clients.owner import Owner, governance_client, open_owner
from clients.rolls import roll_id, subject_digest, subject_key
from clients.state import NodeState
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, sha256_hex
from policies.disclosure import ProductText, ReasonText, parse_opening
from policies.entries import parse_entry
from policies.envelope import open_envelope, sign_envelope
from policies.fields import instant
from policies.governance_pb2_grpc import GovernanceServicer, add_GovernanceServicer_to_server
from policies.statements import (
    AGREEMENT_TYPE,
    PRODUCT_TYPE,
    WITHDRAWAL_TYPE,
    ProductCard,
    SignedAgreement,
    Withdrawal,
)

PYPROJECT = b"""
[tool.flwr.app.components]
serverapp = "app:server"
clientapp = "app:client"
"""


def bundle() -> bytes:
    """A bundle as `flwr build` makes it, as far as it is looked at."""
    files = {"pyproject.toml": PYPROJECT, "app.py": b"client = None\n"}
    lines = [f"{n},{hashlib.sha256(c).hexdigest()},{len(c) * 8}" for n, c in files.items()]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in (files | {".info/CONTENT": "\n".join(lines).encode()}).items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def product_file(folder: Path, **changes: Any) -> Path:
    (folder / "data.csv").write_text("x,kind\n1.5,a\n2.5,b\n3.5,a\n4.5,b\n")
    document = {
        "version": 1,
        "id": "clinic-a/cytology",
        "title": "Cytology",
        "path": "data.csv",
        "columns": [
            {"name": "x", "type": "float", "role": "feature"},
            {"name": "kind", "type": "string", "role": "label"},
        ],
        "classes": ["a", "b"],
        "held_back": "0.25",
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
    }
    path = folder / "product.json"
    path.write_text(json.dumps(document | changes))
    return path


def agreement(**changes: Any) -> bytes:
    document = {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
        "@id": "agreement-1",
        "@type": "Agreement",
        "profile": "https://w3id.org/tdspace/odrl/1",
        "conflict": "prohibit",
        "target": "clinic-a/cytology",
        "assigner": "clinic-a",
        "assignee": "institute",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": [{"action": "train"}],
    }
    return json.dumps(document | changes).encode()


@dataclass
class FakeGovernance:
    """Keeps what it is told; `error` is raised instead, after taking it where `late`."""

    heard: list[bytes] = field(default_factory=list)
    openings: list[bytes] = field(default_factory=list)
    apps: dict[str, bytes] = field(default_factory=dict)
    error: Exception | None = None
    late: bool = False

    def _take(self, envelope: bytes) -> Registered:
        if self.error is None or self.late:
            self.heard.append(envelope)
        if self.error is not None:
            raise self.error
        return Registered(index=len(self.heard), id="id")

    def register_product(self, envelope: bytes, opening: bytes = b"") -> Registered:
        self.openings.append(opening)
        return self._take(envelope)

    def conclude_agreement(self, envelope: bytes) -> Registered:
        return self._take(envelope)

    def withdraw(self, envelope: bytes, opening: bytes = b"") -> Registered:
        self.openings.append(opening)
        return self._take(envelope)

    def get_app(self, app: str) -> bytes:
        return self.apps[app]


@dataclass
class Site:
    identity: NodeIdentity
    state: NodeState
    governance: FakeGovernance
    owner: Owner
    data: Path

    def entries(self) -> list[str]:
        log_pending(self.identity, self.state)
        with open_own_log(self.identity) as log:
            return [parse_entry(line).type for line in log.entries(0, log.size)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    identity = Authority().enrolled(tmp_path)
    state = NodeState.open(identity.paths.state)
    governance = FakeGovernance()
    owner = Owner(identity=identity, state=state, governance=governance, clock=lambda: NOW)
    data = tmp_path / "data"
    data.mkdir()
    yield Site(identity, state, governance, owner, data)
    state.close()


class FakeContracts:
    """A port that `only_product` has no need of."""

    def publish_offer(self, envelope: bytes) -> Registered:
        raise AssertionError(envelope)

    def negotiate(
        self, negotiation: str, act: str, *, envelope: bytes = b"", reason: str = ""
    ) -> Registered:
        raise AssertionError(negotiation, act, envelope, reason)

    def move_transfer(self, transfer: str, act: str, reason: str) -> Registered:
        raise AssertionError(transfer, act, reason)

    def list_documents(self, what: str) -> list[bytes]:
        raise AssertionError(what)


DOWN = GovernanceUnavailable("no answer")
NO = GovernanceRefused("not this", code="failed_precondition")


def test_a_product_that_governance_refused_is_none_of_the_nodes(site: Site) -> None:
    contracts = OwnerContracts(
        identity=site.identity, state=site.state, governance=FakeContracts(), clock=lambda: NOW
    )
    site.governance.error = NO
    with pytest.raises(GovernanceRefused):
        site.owner.add_product(product_file(site.data))
    with pytest.raises(ClientError, match=r"\(--product\), this node has registered none"):
        contracts.only_product()
    site.governance.error = None
    registered = site.owner.add_product(product_file(site.data))
    assert contracts.only_product() == "clinic-a/cytology"
    assert registered.index == 1


def test_an_approved_bundle_is_kept_as_it_was_looked_at(site: Site) -> None:
    app = site.owner.approve_app(bundle())
    assert app == sha256_hex(bundle())
    assert site.state.app_approved(app)
    folder = OwnMaterials(identity=site.identity, state=site.state).app_folder(app)
    assert (folder / "app.py").read_bytes() == b"client = None\n"
    assert site.owner.revoke_app(app)
    assert not site.owner.revoke_app(app)
    assert site.entries() == ["NodeCreated", "AppApproved", "AppRevoked"]


def test_what_is_no_bundle_cannot_be_approved(site: Site) -> None:
    with pytest.raises(BundleError):
        site.owner.approve_app(b"no bundle")
    assert site.state.apps() == []


def test_a_bundle_from_governance_must_have_its_hash(site: Site) -> None:
    app = sha256_hex(bundle())
    site.governance.apps[app] = bundle()
    assert site.owner.fetch_app(app) == bundle()
    site.governance.apps[app] = b"another"
    with pytest.raises(ClientError, match="do not run it"):
        site.owner.fetch_app(app)


def test_a_product_is_registered_by_a_card_that_the_owner_signed(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    key = site.identity.keys.receipt.public_key()
    card = ProductCard.from_json(
        open_envelope(site.governance.heard[0], payload_type=PRODUCT_TYPE, key=key)
    )
    assert (card.id, card.rows, card.participant) == ("clinic-a/cytology", 4, "clinic-a")
    opening = parse_opening(site.governance.openings[0])
    assert opening.commitment == card.description
    assert isinstance(opening.value, ProductText)
    assert opening.value.title == "Cytology"
    assert b"Cytology" not in base64.b64decode(json.loads(site.governance.heard[0])["payload"])
    materials = OwnMaterials(identity=site.identity, state=site.state)
    assert materials.select("clinic-a/cytology", purpose="marketing", now=NOW).count == 4
    assert site.identity.paths.product("clinic-a/cytology").exists()


def test_a_products_subjects_are_numbered_before_its_first_use(site: Site) -> None:
    path = product_file(site.data)
    said = json.loads(path.read_text())
    said["columns"].append({"name": "who", "type": "string", "role": "subject"})
    path.write_text(json.dumps(said))
    (site.data / "data.csv").write_text("x,kind,who\n1.5,a,p1\n2.5,b,p2\n3.5,a,p1\n")
    site.owner.add_product(path)
    salt = site.identity.keys.salt
    subjects = Subjects.of(np.array(["p1", "p2", "p1"], dtype=object))
    found = site.state.roll(roll_id(subject_key(salt), subjects))
    assert found is not None
    assert found.rows_of(subject_digest(subject_key(salt), "p1")).tolist() == [0, 2]


def test_a_folder_of_images_is_registered(site: Site) -> None:
    (site.data / "scans").mkdir()
    for number in range(4):
        Image.new("L", (3, 2), number).save(site.data / "scans" / f"{number}.png")
    lines = [f"{number}.png,{'ab'[number % 2]}" for number in range(4)]
    (site.data / "scans.csv").write_text("\n".join(["file,kind", *lines, ""]))
    form = {"folder": "scans", "mode": "L", "width": 3, "height": 2, "fit": "exact"}
    path = product_file(
        site.data,
        path="scans.csv",
        modality="image",
        image=form,
        columns=[
            {"name": "file", "type": "string", "role": "feature"},
            {"name": "kind", "type": "string", "role": "label"},
        ],
        share_readiness=["rows", "duplicates", "imbalance"],
    )
    site.owner.add_product(path)
    key = site.identity.keys.receipt.public_key()
    card = ProductCard.from_json(
        open_envelope(site.governance.heard[0], payload_type=PRODUCT_TYPE, key=key)
    )
    assert (card.modality, card.rows) == ("image", 4)
    assert card.readiness == {"rows": "4", "duplicates": "0", "imbalance": "1"}
    (site.data / "scans" / "2.png").unlink()
    with pytest.raises(VaultError, match=r"line 4: file '2\.png'"):
        site.owner.readiness(path)


@pytest.mark.parametrize("late", [False, True], ids=["lost", "answer-lost"])
def test_a_registration_that_was_cut_off_sends_the_same_card_again(site: Site, late: bool) -> None:
    path = product_file(site.data)
    site.governance.error, site.governance.late = DOWN, late
    with pytest.raises(GovernanceUnavailable):
        site.owner.add_product(path)
    first = list(site.governance.heard)
    site.governance.error = None
    site.owner.add_product(path)
    assert set(site.governance.heard) == {*first, site.governance.heard[-1]}
    assert len(set(site.governance.heard)) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"classification": "core"}, ProductError),
        ({"path": "../data.csv"}, ProductError),
        ({"path": "absent.csv"}, VaultError),
        ({"classes": ["a", "c"]}, VaultError),
    ],
)
def test_a_product_that_cannot_be_read_is_not_registered(
    site: Site, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        site.owner.add_product(product_file(site.data, **changes))
    assert site.governance.heard == []
    assert site.state.products() == []


def test_a_product_file_that_was_changed_is_another_product(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    product_file(site.data, title="Changed")
    materials = OwnMaterials(identity=site.identity, state=site.state)
    with pytest.raises(ProductError, match="changed since"):
        materials.select("clinic-a/cytology", purpose="marketing", now=NOW)
    with pytest.raises(ClientError, match="new id"):
        site.owner.add_product(site.data / "product.json")
    with pytest.raises(ClientError, match="no product clinic-a/other"):
        materials.select("clinic-a/other", purpose="marketing", now=NOW)
    (site.data / "product.json").unlink()
    with pytest.raises(ProductError, match="No such file"):
        materials.select("clinic-a/cytology", purpose="marketing", now=NOW)
    with pytest.raises(BundleError, match="approve it again"):
        materials.app_folder("b" * 64)


def test_an_agreement_is_signed_word_for_word(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    site.owner.sign_agreement(agreement())
    key = site.identity.keys.receipt.public_key()
    signed = SignedAgreement.from_json(
        open_envelope(site.governance.heard[-1], payload_type=AGREEMENT_TYPE, key=key)
    )
    kept = site.state.agreement("agreement-1")
    assert signed.document.encode() == agreement()
    assert kept is not None
    assert kept.document == agreement()
    copy = site.identity.paths.agreements / f"{sha256_hex(agreement())}.json"
    assert copy.read_bytes() == agreement()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (agreement(assigner="clinic-b"), "own data only"),
        (agreement(target="clinic-a/other"), "tds product add"),
        (agreement(conflict="perm"), "conflict"),
        (b"{}", "agreement"),
        (b"\xff", "UTF-8"),
    ],
)
def test_an_agreement_that_is_not_the_owners_is_not_signed(
    site: Site, document: bytes, text: str
) -> None:
    site.owner.add_product(product_file(site.data))
    with pytest.raises(ClientError, match=text):
        site.owner.sign_agreement(document)
    assert len(site.governance.heard) == 1
    assert site.state.agreements() == []


@pytest.mark.parametrize("error", [DOWN, NO])
def test_an_agreement_that_governance_did_not_take_is_not_kept(
    site: Site, error: Exception
) -> None:
    site.owner.add_product(product_file(site.data))
    site.governance.error = error
    with pytest.raises(GovernanceError):
        site.owner.sign_agreement(agreement())
    assert site.state.agreements() == []


def test_an_agreements_id_cannot_be_used_for_another_document(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    site.owner.sign_agreement(agreement())
    with pytest.raises(ClientError, match="new id"):
        site.owner.sign_agreement(agreement(permission=[{"action": "evaluate"}]))
    assert len(site.governance.heard) == 2


@pytest.fixture
def agreed(site: Site) -> Site:
    site.owner.add_product(product_file(site.data))
    site.owner.sign_agreement(agreement())
    site.governance.heard.clear()
    return site


def test_a_withdrawal_holds_and_is_told_and_logged(agreed: Site) -> None:
    outcome = agreed.owner.withdraw("agreement-1", "study ended")
    assert (outcome.before, outcome.told, outcome.problem) == (False, True, "")
    key = agreed.identity.keys.receipt.public_key()
    statement = Withdrawal.from_json(
        open_envelope(agreed.governance.heard[0], payload_type=WITHDRAWAL_TYPE, key=key)
    )
    opening = parse_opening(agreed.governance.openings[-1])
    assert (statement.agreement, statement.reason) == ("agreement-1", opening.commitment)
    assert opening.value == ReasonText(text="study ended")
    kept = agreed.state.agreement("agreement-1")
    assert kept is not None
    assert kept.withdrawn is not None
    assert agreed.entries()[-1] == "Withdrawn"
    log = b"".join(
        path.read_bytes()
        for path in (agreed.identity.paths.root / "log").rglob("*")
        if path.is_file()
    )
    assert opening.commitment.encode() in log
    assert b"study ended" not in log
    again = agreed.owner.withdraw("agreement-1", "again")
    assert (again.before, again.told) == (True, True)
    assert len(agreed.governance.heard) == 1


@pytest.mark.parametrize("error", [DOWN, NO])
def test_a_withdrawal_holds_while_governance_cannot_be_told_and_is_told_later(
    agreed: Site, error: Exception
) -> None:
    agreed.governance.error = error
    outcome = agreed.owner.withdraw("agreement-1", "study ended")
    assert not outcome.told
    assert outcome.problem == str(error)
    kept = agreed.state.agreement("agreement-1")
    assert kept is not None
    assert kept.withdrawn is not None
    assert len(agreed.owner.status().untold) == 1
    agreed.governance.error = None
    assert agreed.owner.tell_governance() == ""
    assert parse_opening(agreed.governance.openings[-1]).value == ReasonText(text="study ended")
    assert agreed.owner.status().untold == []
    assert len(agreed.governance.heard) == 1


@pytest.mark.parametrize(
    ("name", "reason", "text"),
    [("agreement-7", "", "agreement-7"), ("agreement-1", "x" * 1001, "reason")],
)
def test_a_withdrawal_of_nothing_or_with_a_novel_is_refused(
    agreed: Site, name: str, reason: str, text: str
) -> None:
    with pytest.raises(ClientError, match=text):
        agreed.owner.withdraw(name, reason)
    assert agreed.governance.heard == []


# -- withdrawn elsewhere, with what was signed in advance -----------------------------------------


def ended(site: Site) -> EndedConsents:
    return EndedConsents(
        identity=site.identity, state=site.state, governance=FakeWatch([]), clock=lambda: NOW
    )


@dataclass
class FakeWatch:
    """Streams of notices, one for each connection; the last stays up until `stop`."""

    streams: list[list[bytes]]
    stop: threading.Event = field(default_factory=threading.Event)

    def watch_withdrawals(self) -> Iterator[bytes]:
        yield from self.streams.pop(0)
        if self.streams:
            raise DOWN
        self.stop.set()


def notice(site: Site, signed: bytes, **changes: Any) -> bytes:
    said = json.loads(unverified(signed))
    value = {
        "agreement": said["agreement"],
        "participant": site.identity.participant,
        "product": "clinic-a/cytology",
        "consumer": "institute",
        "withdrawal": said["id"],
        "time": instant(NOW),
        "index": 57,
        "envelope": base64.b64encode(signed).decode(),
    }
    return canonical_bytes(value | changes)


def unverified(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


def in_advance(site: Site) -> bytes:
    [envelope], without = sign_in_advance(site.identity, site.state, now=NOW, most=5)
    assert without == 0
    return envelope


def test_one_withdrawal_is_signed_for_each_agreement_that_stands(agreed: Site) -> None:
    agreed.owner.sign_agreement(agreement(**{"@id": "agreement-2"}))
    envelopes, without = sign_in_advance(agreed.identity, agreed.state, now=NOW, most=5)
    said = [
        Withdrawal.from_json(agreed.identity.open_own(one, payload_type=WITHDRAWAL_TYPE))
        for one in envelopes
    ]
    assert {one.agreement for one in said} == {"agreement-1", "agreement-2"}
    assert len({one.id for one in said}) == 2 and {one.reason for one in said} == {""}
    assert without == 0
    assert len(sign_in_advance(agreed.identity, agreed.state, now=NOW, most=1)[0]) == 1
    assert sign_in_advance(agreed.identity, agreed.state, now=NOW, most=1)[1] == 1
    agreed.owner.withdraw("agreement-1", "")
    [left], _ = sign_in_advance(agreed.identity, agreed.state, now=NOW, most=5)
    assert json.loads(unverified(left))["agreement"] == "agreement-2"


def test_what_was_withdrawn_elsewhere_ends_here_as_the_owners_own_act(agreed: Site) -> None:
    envelope = in_advance(agreed)
    assert ended(agreed).take(notice(agreed, envelope))
    kept = agreed.state.agreement("agreement-1")
    assert kept is not None and kept.withdrawn == instant(NOW)
    assert agreed.owner.status().untold == []
    assert agreed.entries()[-1] == "Withdrawn"
    assert not ended(agreed).take(notice(agreed, envelope))  # told again at each connection
    assert agreed.owner.withdraw("agreement-1", "").before
    assert agreed.governance.heard == []


def test_a_node_that_was_away_catches_up(agreed: Site) -> None:
    envelope = in_advance(agreed)
    watch = FakeWatch([[], [notice(agreed, envelope)]])
    EndedConsents(
        identity=agreed.identity, state=agreed.state, governance=watch, clock=lambda: NOW
    ).run(watch.stop)
    kept = agreed.state.agreement("agreement-1")
    assert kept is not None and kept.withdrawn is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"envelope": ""},
        {"envelope": "?"},
        {"envelope": base64.b64encode(b"{}").decode()},
        {"withdrawal": "withdrawal-" + "0" * 32},
        {"participant": "clinic-b"},
        {"agreement": "agreement-9"},
        {"more": 1},
    ],
)
def test_only_the_nodes_own_signature_ends_a_consent(agreed: Site, changes: Any) -> None:
    assert not ended(agreed).take(notice(agreed, in_advance(agreed), **changes))
    kept = agreed.state.agreement("agreement-1")
    assert kept is not None and kept.withdrawn is None


def test_a_withdrawal_by_another_key_ends_nothing(
    agreed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    forged = sign_envelope(
        json.loads(unverified(in_advance(agreed))),
        payload_type=WITHDRAWAL_TYPE,
        key=Ed25519PrivateKey.generate(),
    )
    watching = ended(agreed)
    assert not watching.take(notice(agreed, forged)) and not watching.take(notice(agreed, forged))
    assert caplog.text.count("shows no statement of this node's") == 1
    assert agreed.entries()[-1] != "Withdrawn"


def test_while_a_node_holds_the_log_entries_wait_for_it(agreed: Site) -> None:
    with open_own_log(agreed.identity):
        agreed.owner.approve_app(bundle())
        assert not log_pending(agreed.identity, agreed.state)
        assert agreed.owner.status().unlogged == 1
    assert log_pending(agreed.identity, agreed.state)
    assert agreed.owner.status().unlogged == 0
    assert agreed.entries() == ["NodeCreated", "AppApproved"]


def test_the_status_needs_no_network(agreed: Site) -> None:
    agreed.governance.error = DOWN
    status = agreed.owner.status()
    assert (status.participant, status.region) == ("clinic-a", "CN-SH")
    assert [product.rows for product in status.products] == [4]
    assert [one.id for one in status.agreements] == ["agreement-1"]
    assert status.certificate_expires > NOW


def test_the_command_lines_way_in_logs_what_it_did(agreed: Site) -> None:
    with open_owner(agreed.identity.paths.root) as owner:  # nobody listens at governance's address
        outcome = owner.withdraw("agreement-1", "study ended")
    assert not outcome.told
    assert agreed.state.pending_entries() == []
    assert agreed.entries() == ["NodeCreated", "Withdrawn"]


# -- the real client, over mutual TLS ------------------------------------------------------------


class Service(GovernanceServicer):  # type: ignore[misc]
    def GetConsistency(
        self, request: pb.ConsistencyRequest, context: grpc.ServicerContext
    ) -> pb.ConsistencyResponse:
        name = context.auth_context()["x509_common_name"]
        if request.old_size > request.new_size:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such size")
        if request.new_size == 99:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the log cannot be written")
        return pb.ConsistencyResponse(proof=[name[0]])

    def Withdraw(self, request: pb.Signed, _context: grpc.ServicerContext) -> pb.Logged:
        return pb.Logged(index=len(request.envelope), id="withdrawal")

    def List(self, request: pb.ListRequest, _context: grpc.ServicerContext) -> pb.ListResponse:
        return pb.ListResponse(documents=[request.what.encode()])

    def GetApp(self, _request: pb.AppRef, _context: grpc.ServicerContext) -> pb.App:
        return pb.App(fab=bytes(6 << 20))

    def GetRun(self, request: pb.RunRef, context: grpc.ServicerContext) -> pb.Run:
        if request.run != "run-1":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such run")
        return pb.Run(run=request.run, state="COMPLETED")

    def GetSpace(self, _request: pb.Empty, _context: grpc.ServicerContext) -> pb.Space:
        return pb.Space(space_json=b"{}", checkpoint="note")

    def WatchWithdrawals(
        self, _request: pb.Empty, context: grpc.ServicerContext
    ) -> Iterator[pb.Document]:
        yield pb.Document(json=b"one")
        context.abort(grpc.StatusCode.UNAVAILABLE, "going down")


@contextmanager
def served(authority: Authority) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_GovernanceServicer_to_server(Service(), server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials(mutual=True))
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def client(identity: NodeIdentity, address: str) -> GovernanceClient:
    return GovernanceClient(
        address=address,
        ca_pem=identity.ca_pem,
        key_pem=identity.tls_key_pem,
        certificate_pem=identity.certificate_pem,
        timeout_s=5,
    )


def test_calls_carry_the_nodes_certificate_and_bring_typed_answers(tmp_path: Path) -> None:
    authority = Authority()
    identity = authority.enrolled(tmp_path)
    with served(authority) as address, client(identity, address) as governance:
        assert governance.get_consistency(1, 2) == [b"clinic-a"]
        assert governance.withdraw(b"12345") == Registered(index=5, id="withdrawal")
        assert governance.list_documents("apps") == [b"apps"]
        assert len(governance.get_app("a" * 64)) == 6 << 20
        assert governance.get_space() == (b"{}", "note")
        assert governance.run_state("run-1") == "COMPLETED"
        with pytest.raises(GovernanceRefused, match="no such run"):
            governance.run_state("run-2")
        watch = governance.watch_withdrawals()
        assert next(watch) == b"one"
        with pytest.raises(GovernanceUnavailable, match="going down"):
            next(watch)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda g: g.get_consistency(3, 2), GovernanceRefused, "no such size"),
        (lambda g: g.get_consistency(1, 99), GovernanceUnavailable, "log cannot be written"),
        (lambda g: g.register_product(b""), GovernanceRefused, "not implemented"),
    ],
)
def test_a_no_is_told_from_no_answer(
    tmp_path: Path,
    call: Callable[[GovernanceClient], object],
    error: type[Exception],
    text: str,
) -> None:
    authority = Authority()
    identity = authority.enrolled(tmp_path)
    with (
        served(authority) as address,
        client(identity, address) as governance,
        pytest.raises(error, match=text),
    ):
        call(governance)


def test_a_node_of_another_space_and_a_closed_client_get_no_answer(tmp_path: Path) -> None:
    identity = Authority().enrolled(tmp_path)
    with served(Authority()) as address:
        governance = client(identity, address)
        with pytest.raises(GovernanceUnavailable, match="certificate"):
            governance.get_space()
        governance.close()
        with pytest.raises(GovernanceUnavailable, match="closed"):
            governance.get_space()


def test_the_client_is_made_from_the_folder_alone(site: Site) -> None:
    with (
        governance_client(site.identity) as governance,
        pytest.raises(GovernanceUnavailable, match=r"127\.0\.0\.1:1"),
    ):
        governance.get_space()
