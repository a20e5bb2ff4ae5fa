"""A node's folder: what lies where, and `node.json`.

The folder (0700) and what lies in it; keys are files of mode 0600 and never leave it:

    node.json             NodeConfig; written last by enrolment: without it the node is not enrolled
    ca.crt                the space's CA
    keys/tls.key .csr .crt   EC P-256: how governance knows the node
    keys/receipt.key      Ed25519: signs receipts, product cards, agreements, withdrawals
    keys/receipt.former   public halves of receipt keys that were replaced (clients.rotation), and
                          while one is being replaced receipt.next and rotation.json
    keys/log.key          Ed25519: signs the checkpoints of the node's own log
    keys/fleet.key        EC P-256, a NIST curve as Flower asks: how the SuperLink knows the node
    keys/disclosure.key   X25519: opens what the log commits to about this participant
    keys/vault.salt       32 random bytes: salt of commitments to data (clients.vault)
    keys/state.key        32 random bytes: seals what apps keep between rounds; made when first run
    products/<id>.json    product files; agreements/<sha256>.json  agreements word for word
    readiness/<id>.json   what is remembered of each product's data, to tell drift by
    pending/<id>.json     newer versions that governance has not logged yet
    offers/<id>.json      offers that the owner published, as it signed them
    apps/                 bundles that the owner looked at
    envs/<name>/          packages for apps that the owner built (clients.environments)
    witness-policy        whose cosignatures a permit's checkpoint must carry; optional
    failures/             what apps said when they failed (clients.failures)
    running.json .lock    what the node's process tells of itself (clients.running)
    evidence/             heads of the space's log that do not fit together (clients.evidence)
    state.db              clients.state; ledger.db, last-signed, log/  the node's own log
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import Field

from clients.errors import IdentityError
from clients.files import read_file
from policies.canonical import parse_json
from policies.errors import DocumentError
from policies.fields import Document, Instant, ParticipantId, Version
from policies.places import Region
from policies.space import SpaceCard

MAX_CONFIG_BYTES: Final = 32 * 1024
DEFAULT_POLL_MS: Final = 30


class NodeConfig(Document):
    """`node.json`.

    Attributes:
        region: where this node processes data.
        space: as governance handed it out at enrolment.
        poll_ms: pause between two questions for messages, milliseconds.
        enrolled: when.
        restored: when the folder was made again from a backup; permits that were issued before it
            are refused, since the backup cannot tell which of them were used.
    """

    version: Version
    participant: ParticipantId
    region: Region
    space: SpaceCard
    poll_ms: Annotated[int, Field(ge=10, le=60_000)] = DEFAULT_POLL_MS
    enrolled: Instant
    restored: Instant | None = None


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where things lie in a node's folder."""

    root: Path

    @property
    def keys(self) -> Path:
        """Everything secret."""
        return self.root / "keys"

    def key(self, name: str) -> Path:
        """A file in `keys/`."""
        return self.keys / name

    @property
    def config(self) -> Path:
        """`node.json`."""
        return self.root / "node.json"

    @property
    def ca(self) -> Path:
        """The space's CA certificate."""
        return self.root / "ca.crt"

    @property
    def products(self) -> Path:
        """Product files."""
        return self.root / "products"

    def summary(self, product: str) -> Path:
        """What is remembered of a registered version's data (clients.summary)."""
        return self.root / "readiness" / f"{quote(product, safe='')}.json"

    def pending(self, product: str) -> Path:
        """A newer version that governance has not logged yet (clients.pending)."""
        return self.root / "pending" / f"{quote(product, safe='')}.json"

    @property
    def agreements(self) -> Path:
        """Agreements, word for word."""
        return self.root / "agreements"

    def offer(self, offer: str) -> Path:
        """A published offer, as it was signed."""
        return self.root / "offers" / f"{quote(offer, safe='')}.json"

    @property
    def apps(self) -> Path:
        """App bundles."""
        return self.root / "apps"

    @property
    def running(self) -> Path:
        """What the node's process tells of itself."""
        return self.root / "running.json"

    @property
    def running_lock(self) -> Path:
        """Held by the node's process while it is up."""
        return self.root / "running.lock"

    @property
    def failures(self) -> Path:
        """What apps said when they failed."""
        return self.root / "failures"

    @property
    def environments(self) -> Path:
        """Packages for apps."""
        return self.root / "envs"

    @property
    def evidence(self) -> Path:
        """Heads of the space's log that do not fit together."""
        return self.root / "evidence"

    @property
    def witness_policy(self) -> Path:
        """The owner's witness policy (C2SP tlog-policy)."""
        return self.root / "witness-policy"

    @property
    def state(self) -> Path:
        """The node's database."""
        return self.root / "state.db"

    def bundle(self, app: str) -> Path:
        """An approved bundle, by its SHA-256."""
        return self.apps / f"{app}.fab"

    def product(self, product: str) -> Path:
        """The file of one product; ids hold `:` and `/`, which no file name should."""
        return self.products / f"{quote(product, safe='')}.json"


def load_config(paths: NodePaths) -> NodeConfig:
    """`node.json`, strictly.

    Raises:
        IdentityError: absent (not enrolled) or malformed; the text names the field.
    """
    if not paths.config.exists():
        raise IdentityError(
            f"{paths.root}: expected an enrolled node's folder with node.json, got none; "
            "run: tds node new FOLDER --join JOIN_FILE --region CN-GD"
        )
    try:
        data = read_file(paths.config, max_bytes=MAX_CONFIG_BYTES)
        return NodeConfig.from_json(parse_json(data, max_bytes=MAX_CONFIG_BYTES))
    except DocumentError as error:
        raise IdentityError(f"{paths.config}: {error}") from error
