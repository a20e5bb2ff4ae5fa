"""A whole space on this machine with real processes, for the demo, the tests and the benchmark."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clients.enrol import enrol
from clients.owner import Withdrawn, open_owner
from commands.children import Child, Children, free_ports, python
from commands.contract_draft import draft_offer
from commands.node_wiring import now
from policies import governance_pb2 as pb
from policies.canonical import Json, canonical_bytes
from policies.odrl import agreement_from_offer, parse_offer
from policies.statements import RunSpec
from server.files import write_secret
from server.governance_client import GovernanceClient
from server.space import Space, init_space

START_TIMEOUT_S = 120.0
MIB = 1 << 20
CLIP_NORM = "10"
"""Far more than the updates of most apps' rounds: a bound on sums, not a protection by itself."""


@dataclass(frozen=True, slots=True)
class LocalNode:
    """An enterprise's node on this machine.

    Attributes:
        name: what people call it.
        participant: what the log calls it.
    """

    name: str
    participant: str
    folder: Path
    agreement: str
    product: str

    def withdraw(self, reason: str) -> Withdrawn:
        """What `tds node withdraw` does."""
        with open_owner(self.folder) as owner:
            return owner.withdraw(self.agreement, reason)


class LocalSpace:
    """A running space: `tds serve` and any number of `tds node run`, each a process of its own."""

    def __init__(self, space: Space, children: Children, env: Mapping[str, str]) -> None:
        self.space = space
        self.children = children
        self.nodes: dict[str, LocalNode] = {}
        self.processes: dict[str, Child] = {}
        self._env = dict(env)

    def start(self, *, database: Path | None = None) -> None:
        """Start `tds serve` and wait until governance answers.

        Args:
            database: a file for Flower's own state; in memory if None.
        """
        command = python("-m", "commands", "serve", "--space", str(self.space.folder))
        command += ["--in-memory"] if database is None else ["--database", str(database)]
        child = self.children.start("serve", command, env=self._env)
        self.processes["serve"] = child
        self._wait_for(child, "is up", "governance")

    def operator(self) -> GovernanceClient:
        """The operator's connection; close it."""
        return GovernanceClient.open(self.space.operator_folder)

    def consumer(self) -> GovernanceClient:
        """The consumer's connection; close it."""
        return GovernanceClient.open(self.space.consumer_folder)

    def add_node(
        self,
        name: str,
        *,
        title: str,
        region: str,
        product_file: Path,
        purpose: str,
        app: bytes,
        constraints: Iterable[Mapping[str, object]] = (),
        participant: str = "",
    ) -> LocalNode:
        """Invite, enrol, register a product, sign an agreement, approve the app.

        Args:
            participant: its id; its name if left out, which is then in the log.
            constraints: further ones that the owner puts into its agreement.
        """
        id = participant or name
        folder = self.space.folder.parent / "nodes" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        join = folder.with_suffix(".join")
        with self.operator() as operator:
            write_secret(
                join,
                operator.invite(
                    participant=id, title=title, sector="", region=region, valid_s=3600
                ),
            )
        enrol(folder, join, region=region, now=now())
        join.unlink()
        with open_owner(folder) as owner:
            product = owner.add_product(product_file).id
            agreement = draft_agreement(
                id,
                product,
                purpose,
                consumer=self.space.config.consumer,
                constraints=constraints,
            )
            concluded = owner.sign_agreement(agreement).id
            owner.approve_app(app)
        node = LocalNode(
            name=name, participant=id, folder=folder, agreement=concluded, product=product
        )
        self.nodes[name] = node
        return node

    def start_nodes(self, names: Iterable[str]) -> None:
        """Start the nodes' processes side by side and wait until each is connected."""
        for name in names:
            folder = self.nodes[name].folder
            command = python("-m", "commands", "node", "run", "--node", str(folder))
            self.processes[name] = self.children.start(f"node-{name}", command, env=self._env)
        for name in names:
            self._wait_for(self.processes[name], "connected to the SuperLink", f"node {name}")

    def register_app(self, bundle: bytes, title: str) -> str:
        """Register an app bundle with governance; its SHA-256."""
        with self.operator() as operator:
            return str(operator.register_app(bundle, title).app)

    def open_run(self, spec: RunSpec) -> pb.Run:
        """Open a run as the space's consumer."""
        with self.consumer() as consumer:
            return consumer.open_run(spec, secrets.token_hex(16))

    def _wait_for(self, child: Child, line: str, what: str) -> None:
        self.children.wait_until(
            what,
            lambda: line in child.output(),
            timeout_s=START_TIMEOUT_S,
        )


@contextmanager
def local_space(
    folder: Path, *, name: str, env: Mapping[str, str] | None = None
) -> Iterator[LocalSpace]:
    """Make a space in `folder/space` on free ports; every process ends when the block is left."""
    ports = free_ports(4)
    space = init_space(
        folder / "space",
        name=name,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
        contracts_address=f"127.0.0.1:{ports[3]}",
        hosts=["127.0.0.1"],
        now=now(),
        region="CN-GD",
        sector="health",
    )
    with Children(logs=folder / "logs") as children:
        yield LocalSpace(space, children, {"PYTHONUNBUFFERED": "1", **(env or {})})


def draft_agreement(
    owner: str,
    product: str,
    purpose: str,
    *,
    consumer: str,
    constraints: Iterable[Mapping[str, object]] = (),
) -> bytes:
    """An agreement as `tds contract draft` writes it, ready to sign."""
    offer = draft_offer(owner=owner, purpose=purpose, uses=1000, participants=2, more=constraints)
    agreement = agreement_from_offer(
        parse_offer(json.dumps(offer).encode()),
        id=f"urn:tdspace:agreement:{owner}-{secrets.token_hex(4)}",
        target=product,
        assigner=owner,
        assignee=consumer,
        timestamp=now(),
    )
    return canonical_bytes(agreement.to_json())


def default_clip(secure_sum: str) -> str:
    """To what updates are clipped where nobody says: masks need a bound on what is summed."""
    return "" if secure_sum == "none" else CLIP_NORM


def run_spec(
    app: str,
    agreements: Iterable[str],
    *,
    purpose: str,
    rounds: int,
    metrics: Iterable[str],
    deadline_s: int = 30,
    quorum: int = 2,
    min_cohort: int = 2,
    pays: str = "0",
    voucher: str = "",
    memory_bytes: int = 2048 * MIB,
    accelerator: str = "none",
    secure_sum: str = "governance",
    groups: int = 1,
    aggregation: str = "mean",
    clip_norm: str | None = None,
    privacy: Mapping[str, Json] | None = None,
    config: Mapping[str, Json] | None = None,
) -> RunSpec:
    """A run with the defaults that suit one machine.

    Args:
        clip_norm: `CLIP_NORM` under masks if left out, and no bound without them.

    Raises:
        DocumentError: a value that no run can have; it names the field.
    """
    return RunSpec.from_json(
        {
            "version": 1,
            "app": app,
            "purpose": purpose,
            "agreements": list(agreements),
            "rounds": rounds,
            "deadline_s": deadline_s,
            "quorum": quorum,
            "min_cohort": min_cohort,
            "memory_bytes": memory_bytes,
            "metrics": list(metrics),
            "config": dict(config or {}),
            "pays": pays,
            "voucher": voucher,
            "accelerator": accelerator,
            "clip_norm": default_clip(secure_sum) if clip_norm is None else clip_norm,
            "secure_sum": secure_sum,
            "groups": groups,
            "aggregation": aggregation,
            "privacy": dict(privacy) if privacy is not None else None,
        }
    )
