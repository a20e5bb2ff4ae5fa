"""A space with its enterprises, in one folder, without a network: the server's test bed.

`Site` holds everything that survives a crash of governance: the space's folder, the nodes' keys,
Flower's side. `reopen` is a restart from disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tlogpolicy import Policy
from policies.canonical import canonical_bytes, digest_of, parse_json, sha256_hex
from policies.disclosure import ProductText, ReasonText, new_opening
from policies.entries import Entry, parse_entry
from policies.envelope import sign_envelope
from policies.fields import instant
from policies.masks import public_key
from policies.odrl import CONTEXT, PROFILE
from policies.permit import Permit, PermitBody, open_permit
from policies.receipt import Receipt, sign_receipt
from policies.runconfig import ConfigValue
from policies.space import JoinFile, enrolment_transcript
from policies.statements import AGREEMENT_TYPE, PRODUCT_TYPE, WITHDRAWAL_TYPE, Column
from server.edge import Edge
from server.enrolling import Enrolling
from server.enrolment import Enrolled
from server.errors import SuperLinkUnavailable
from server.governance import Governance
from server.keys import key_pem
from server.laws import read_laws
from server.pki import Identity
from server.receipt_checks import Arrived
from server.registry import Registry
from server.round_asks import OnlineNode, RoundAsk
from server.rounds import RoundAnswer
from server.second_key import SecondKey
from server.space import Space, init_space, load_space

SPACE = "example.org/health"
AGE = Column(name="age", type="integer", role="feature")
DESCRIPTION = new_opening(ProductText(title="records", columns=[AGE]), bytes(32))
ENOUGH = new_opening(ReasonText(text="enough"), bytes(32))
MODEL = sha256_hex(b"model 0")
ARCHITECTURE = sha256_hex(b"architecture")
FLOATS = 10
UPDATE = sha256_hex(b"update")
CONSUMER = Identity(space=SPACE, role="consumer", participant="consortium")
OPERATOR = Identity(space=SPACE, role="operator", participant="operator")


class Crash(Exception):
    """Stands for the end of the process at some step."""


@dataclass
class FakeSuperLink:
    """Flower's side; survives a restart of governance."""

    down: bool = False
    started: list[tuple[str, dict[str, ConfigValue]]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    nodes: dict[bytes, str] = field(default_factory=dict)

    def start_run(self, fab: bytes, overrides: Mapping[str, ConfigValue]) -> str:
        self._check()
        self.started.append((sha256_hex(fab), dict(overrides)))
        return str(18_000_000_000_000_000_000 + len(self.started))

    def stop_run(self, flower_run: str) -> None:
        self._check()
        self.stopped.append(flower_run)

    def ended(self, flower_runs: Collection[str]) -> dict[str, str]:
        self._check()
        return {one: why for one, why in self.given_up.items() if one in flower_runs}

    def register_node(self, public_key_pem: bytes, name: str) -> str:
        self._check()
        return self.nodes.setdefault(public_key_pem, str(1000 + len(self.nodes)))

    def register_missing(self, names: Mapping[bytes, str]) -> int:
        self._check()
        missing = [key for key in names if key not in self.nodes]
        for key in missing:
            self.register_node(key, names[key])
        return len(missing)

    def _check(self) -> None:
        if self.down:
            raise SuperLinkUnavailable("SuperLink: expected a connection, got none")


@dataclass
class Node:
    """An enterprise's keys."""

    name: str
    tls: ec.EllipticCurvePrivateKey
    receipt: Ed25519PrivateKey
    fleet: ec.EllipticCurvePrivateKey
    disclosure: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    node_id: str = ""
    certificate: bytes = b""

    @property
    def identity(self) -> Identity:
        return Identity(space=SPACE, role="node", participant=self.name)

    @property
    def product(self) -> str:
        return f"{self.name}/records"

    @property
    def agreement(self) -> str:
        return f"agreement-{self.name}"

    @property
    def online(self) -> OnlineNode:
        return OnlineNode(self.node_id, key_pem(self.fleet.public_key()))


def private(noise: str = "4", **changes: str) -> dict[str, Any]:
    """Of a run's plan: differential privacy. One use with noise 4 is ε 0.926342, three 1.698036."""
    terms = {"unit": "record", "parts": 8, "sample": "1", "by": "nodes", "tolerated": 0}
    privacy = {**terms, "noise": noise, "delta": "0.00001", **changes}
    masked = {"clip_norm": "1.5", "secure_sum": "governance", "min_cohort": 2}
    return {**masked, "privacy": privacy}


class Site:
    """The space, its nodes, and governance over it."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder
        self.now = now
        self.superlink = FakeSuperLink()
        self.second_key: SecondKey | None = None
        self.witness_policy = Policy()
        self.replays = True  # whether the log is all that governance decides by
        self.nodes: dict[str, Node] = {}
        self.mask_keys: dict[tuple[str, str], X25519PrivateKey] = {}  # by permit and node
        self.on_step: Callable[[str], None] = lambda _step: None
        self.on_registry: Callable[[], None] = lambda: None
        self._counter = 0
        self._close: list[Callable[[], None]] = []

    @classmethod
    def make(cls, folder: Path, now: datetime | None = None, **changes: Any) -> Site:
        """A new space with governance open over it; `changes` are of `init_space`."""
        moment = now or datetime.now(UTC)
        make_space(folder, now=moment, **changes)
        site = cls(folder, moment)
        site.open()
        return site

    def open(self) -> None:
        """Start governance from what is on the disk."""
        self.space = load_space(self.folder)
        self.log = Log.open(
            folder=self.space.log_folder,
            database=self.space.log_database,
            last_signed=self.space.last_signed,
            signer=self.space.log_signer(),
            on_step=self._step,
        )
        self._close.append(self.log.close)
        registry = Registry.open(self.space.database, on_commit=self._commit)
        self._close.append(registry.close)
        self.governance = Governance(
            card=self.space.card,
            operator=self.space.config.operator,
            consumer=self.space.config.consumer,
            permit_key=self.space.permit_key(),
            registrar_key=self.space.registrar_key(),
            region=self.space.config.region,
            sector=self.space.config.sector,
            auto_certify=self.space.config.auto_certify,
            certificate_days=self.space.config.certificate_days,
            laws=read_laws(self.space.baseline_folder),
            disclosures=self.space.disclosures(),
            authority=self.space.authority(),
            apps_folder=self.space.apps_folder,
            log=self.log,
            registry=registry,
            superlink=self.superlink,
            edge=Edge(clock=lambda: self.now, random_bytes=self.random_bytes),
            consumer_key=self.space.config.consumer_key,
            second_key=self.second_key,
            witness_policy=lambda: self.witness_policy,
        )
        self.registry = registry
        self._close.append(self.governance.stop_watching)

    def close(self) -> None:
        """End governance; all that it knew is on the disk."""
        while self._close:
            self._close.pop()()

    def reopen(self) -> None:
        """A restart, without faults from now on."""
        self.on_step = lambda _step: None
        self.on_registry = lambda: None
        self.close()
        self.open()

    def _step(self, name: str) -> None:
        self.on_step(name)

    def _commit(self) -> None:
        self.on_registry()

    def random_bytes(self, size: int) -> bytes:
        self._counter += 1
        return hashlib.shake_128(f"{self.now} {self._counter}".encode()).digest(size)

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # -- entering -------------------------------------------------------------------------------

    def invite(self, name: str, **changes: Any) -> JoinFile:
        arguments: dict[str, Any] = {
            "participant": name,
            "title": f"The {name}",
            "sector": "health",
            "region": "CN-GD",
            "valid_s": 3600,
            "role": "node",
        }
        join = self.governance.enrolment.invite(**(arguments | changes))
        return JoinFile.from_json(parse_json(join, max_bytes=65_536))

    def enrol(self, name: str, **changes: Any) -> Node:
        node = new_node(name)
        request = enrolling(self.invite(name, **changes).token, node)
        enrolled = self.governance.enrolment.enrol(request)
        self.adopt(node, enrolled)
        return node

    def adopt(self, node: Node, enrolled: Enrolled) -> None:
        node.certificate = enrolled.certificate
        node.node_id = self.superlink.nodes[key_pem(node.fleet.public_key())]
        self.nodes[node.name] = node

    def add_product(self, node: Node, **changes: Any) -> tuple[int, str]:
        envelope = product_envelope(node, self.now, **changes)
        openings = () if "description" in changes else (DESCRIPTION.to_bytes(),)
        return self.governance.catalogue.register_product(node.identity, envelope, openings)

    def agree(self, node: Node, *constraints: dict[str, Any], **changes: Any) -> tuple[int, str]:
        envelope = agreement_envelope(node, self.now, *constraints, **changes)
        return self.governance.catalogue.conclude_agreement(node.identity, envelope)

    def withdraw(self, node: Node, **changes: Any) -> tuple[int, str]:
        envelope = withdrawal_envelope(node, self.now, **changes)
        openings = () if "reason" in changes else (ENOUGH.to_bytes(),)
        return self.governance.catalogue.withdraw(node.identity, envelope, openings)

    def populate(self, *names: str) -> None:
        """Enterprises with a product and an agreement each, and an app."""
        for name in names or ("alpha", "beta", "gamma"):
            node = self.enrol(name)
            self.add_product(node)
            self.agree(node)
        self.governance.catalogue.register_app(make_fab(), "a classifier")

    # -- running --------------------------------------------------------------------------------

    def spec(self, **changes: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "app": sha256_hex(make_fab()),
            "purpose": "medical-research",
            "agreements": [node.agreement for node in self.nodes.values()],
            "rounds": 2,
            "deadline_s": 30,
            "quorum": 1,
            "min_cohort": 1,
            "memory_bytes": 1 << 30,
            "metrics": ["loss"],
            "config": {},
        } | changes

    def open_run(self, request_id: str = "run-1", **changes: Any) -> str:
        """A run that Flower carries; its id."""
        view = self.governance.runs.open(
            CONSUMER, canonical_bytes(self.spec(**changes)), request_id
        )
        return view.row.id

    def ask(self, run: str, request_id: str = "ask-1", **changes: Any) -> RoundAsk:
        view = self.governance.runs.get(CONSUMER, run)
        row, spec = view.row, json.loads(view.row.spec)
        closed = row.closed_rounds
        values: dict[str, Any] = {
            "run": run,
            "flower_run": row.flower_run or "",
            "round": closed + 1,
            "kind": "train" if closed < spec["rounds"] else "evaluate",
            "model": row.model or MODEL,
            "architecture": ARCHITECTURE,
            "floats": FLOATS,
            "online": tuple(node.online for node in self.nodes.values()),
            "request_id": request_id,
        }
        return RoundAsk(**(values | changes))

    def authorize(self, run: str, request_id: str = "ask-1", **changes: Any) -> RoundAnswer:
        return self.governance.rounds.authorize(CONSUMER, self.ask(run, request_id, **changes))

    def permit(self, answer: RoundAnswer) -> Permit:
        return open_permit(answer.permit, self.space.permit_key().public_key())

    def arrived(self, answer: RoundAnswer, node: Node, **changes: Any) -> Arrived:
        receipt = self.receipt(answer, node, **changes)
        return Arrived(node.node_id, sign_receipt(receipt, node.receipt), receipt.update)

    def receipt(self, answer: RoundAnswer, node: Node, **changes: Any) -> Receipt:
        permit = self.permit(answer).body
        train, masked = permit.kind == "train", permit.secure_sum is not None
        values: dict[str, Any] = {
            "version": 1,
            "permit": permit.digest(),
            "permit_id": permit.id,
            "run": permit.run,
            "round": permit.round,
            "participant": node.name,
            "product": node.product,
            "product_commitment": sha256_hex(b"file"),
            "rows_commitment": sha256_hex(b"rows"),
            "rows_used": 80 if train else 0,
            "rows_held_back": 20,
            "rows_without_consent": 0,
            "accelerator": "none",
            "update": UPDATE if train or masked else sha256_hex(b""),
            "metrics": {} if masked else {"loss": "0.5"},
            "clip_norm": permit.clip_norm,
            "mask_key": self.mask_key(permit, node),
            "noise": permit.privacy.noise if permit.privacy is not None else "",
            "confinement": {
                "network": "none",
                "user": "nobody",
                "files": "own",
                "no_new_privileges": True,
                "memory_limit": True,
                "scratch": "bounded",
                "level": "isolated",
            },
            "started": instant(self.now),
            "finished": instant(self.now),
            "log_size": 3,
            "log_root": sha256_hex(b"root"),
        }
        return Receipt.from_json(values | changes)

    def mask_key(self, permit: PermitBody, node: Node) -> str:
        """The node's one-time public key for this use; "" where nothing is masked."""
        if permit.secure_sum is None:
            return ""
        place = permit.id, node.name
        return public_key(self.mask_keys.setdefault(place, X25519PrivateKey.generate()))

    def submit(self, answer: RoundAnswer, *nodes: Node) -> list[Any]:
        arrived = [self.arrived(answer, node) for node in nodes]
        return self.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, [])

    def close_round(self, answer: RoundAnswer, **changes: Any) -> Any:
        permit = self.permit(answer).body
        after = sha256_hex(f"model {permit.round}".encode())
        values: dict[str, Any] = {
            "model": after if permit.kind == "train" else permit.model,
            "metrics": {"loss": "0.25"},
            "quorum_met": True,
            "duties": {},
        }
        return self.governance.receipts.close(CONSUMER, answer.permit_id, **(values | changes))

    def whole_round(self, run: str, request_id: str) -> RoundAnswer:
        """Steps 2 to 10 with every node taking part."""
        answer = self.authorize(run, request_id)
        taking = {verdict["participant"] for verdict in answer.verdicts if verdict["permitted"]}
        self.submit(answer, *(node for node in self.nodes.values() if node.name in taking))
        self.open_masks(answer)
        self.close_round(answer)
        return answer

    def open_masks(self, answer: RoundAnswer) -> None:
        """Have governance release a round's masks, if it keeps them."""
        how = self.permit(answer).body.secure_sum
        if how is not None and how.mode == "governance":
            with self.governance.releases.release(CONSUMER, answer.permit_id):
                pass

    # -- looking --------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        return [parse_entry(data) for data in self.log.entries(0, self.log.size)]

    def kinds(self, since: int = 0) -> list[str]:
        return [entry.type for entry in self.entries()[since:]]

    def uses(self) -> dict[str, int]:
        documents = self.governance.list(OPERATOR, "agreements")
        parsed = [parse_json(data, max_bytes=1 << 20) for data in documents]
        return {one["agreement"]: one["uses"] for one in parsed}  # type: ignore[index, misc, call-overload]

    def state(self) -> dict[str, str]:
        """A digest of every list, to see that nothing changed."""
        names = ("participants", "products", "apps", "agreements", "runs")
        return {
            name: digest_of([data.decode() for data in self.governance.list(OPERATOR, name)])
            for name in names
        }


def make_space(
    folder: Path, *, now: datetime, ports: tuple[int, int] = (19443, 19444), **changes: Any
) -> Space:
    return init_space(
        folder,
        name=SPACE,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address="127.0.0.1:19445",
        contracts_address="127.0.0.1:19446",
        hosts=["127.0.0.1"],
        now=now,
        **({"region": "CN-GD", "sector": "health"} | changes),
    )


def new_node(name: str) -> Node:
    return Node(
        name=name,
        tls=ec.generate_private_key(ec.SECP256R1()),
        receipt=Ed25519PrivateKey.generate(),
        fleet=ec.generate_private_key(ec.SECP384R1()),
    )


def make_csr(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def enrolling(token: str, node: Node, **changes: Any) -> Enrolling:
    """The request of a node; `changes` are made before the proofs unless they are proofs."""
    parts: dict[str, Any] = {
        "csr_pem": make_csr(node.tls),
        "receipt_key": node.receipt.public_key().public_bytes_raw(),
        "log_verifier_key": NoteSigner(f"{SPACE}/{node.name}", node.receipt).verifier_key.encode(),
        "fleet_key_pem": key_pem(node.fleet.public_key()),
        "disclosure_key": node.disclosure.public_key().public_bytes_raw(),
    }
    parts |= {name: value for name, value in changes.items() if name in parts}
    transcript = enrolment_transcript(token=token, **parts)
    proofs: dict[str, Any] = {
        "receipt_proof": node.receipt.sign(transcript),
        "fleet_proof": node.fleet.sign(transcript, ec.ECDSA(hashes.SHA256())),
    }
    proofs |= {name: value for name, value in changes.items() if name in proofs}
    return Enrolling(token=token, **parts, **proofs)


def enrolling_consumer(token: str, node: Node, **changes: Any) -> Enrolling:
    """The request of a consumer, which has a node's keys for TLS and statements only."""
    none: dict[str, Any] = {"log_verifier_key": b"", "fleet_key_pem": b"", "fleet_proof": b""}
    return enrolling(token, node, **(none | changes))


def product_envelope(node: Node, now: datetime, **changes: Any) -> bytes:
    card: dict[str, Any] = {
        "version": 1,
        "id": node.product,
        "participant": node.name,
        "description": DESCRIPTION.commitment,
        "rows": 100,
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
        "registered": instant(now),
    }
    key = changes.pop("key", node.receipt)
    return sign_envelope(card | changes, payload_type=PRODUCT_TYPE, key=key)


def agreement_document(node: Node, now: datetime, *constraints: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"action": "use"}
    if constraints:
        rule["constraint"] = list(constraints)
    return {
        "@context": [CONTEXT],
        "@id": node.agreement,
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": node.product,
        "assigner": node.name,
        "assignee": "consortium",
        "timestamp": instant(now),
        "permission": [rule],
    }


def agreement_envelope(
    node: Node, now: datetime, *constraints: dict[str, Any], **changes: Any
) -> bytes:
    key = changes.pop("key", node.receipt)
    participant = changes.pop("participant", node.name)
    document = agreement_document(node, now, *constraints) | changes
    signed = {
        "version": 1,
        "participant": participant,
        "document": canonical_bytes(document).decode(),
    }
    return sign_envelope(signed, payload_type=AGREEMENT_TYPE, key=key)


def withdrawal_envelope(node: Node, now: datetime, **changes: Any) -> bytes:
    key = changes.pop("key", node.receipt)
    wish: dict[str, Any] = {
        "version": 1,
        "id": f"withdrawal-{hashlib.md5(node.name.encode()).hexdigest()}",
        "participant": node.name,
        "agreement": node.agreement,
        "reason": ENOUGH.commitment,
        "time": instant(now),
    }
    return sign_envelope(wish | changes, payload_type=WITHDRAWAL_TYPE, key=key)


def count_at_most(limit: int) -> dict[str, Any]:
    right = {"@value": str(limit), "@type": "xsd:integer"}
    return {"leftOperand": "count", "operator": "lteq", "rightOperand": right}


def constraint(left: str, operator: str, right: str) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def make_fab(pyproject: str | None = None, **files: str) -> bytes:
    """A bundle as `flwr build` makes them, as far as governance looks."""
    text = pyproject
    if text is None:
        text = (
            '[project]\nname = "app"\nversion = "1.0.0"\n'
            '[tool.flwr.app]\npublisher = "tests"\n'
            "[tool.flwr.app.config]\nepochs = 1\nlr = 0.1\n"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if text:
            archive.writestr(zipfile.ZipInfo("pyproject.toml"), text)
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()
