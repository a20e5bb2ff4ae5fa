"""Governance without its network: registry, decisions, permits and the log, wired in one place.

What it promises: no use without a permit, no permit without a log entry, and the same answer to the
same request, also after a crash between any two durable steps (`server.journal`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from ledger.errors import KeyRefused, LedgerError
from ledger.log import Log
from ledger.note import NoteVerifier
from ledger.tlogpolicy import Policy
from policies.canonical import Json
from policies.entries import entry_bytes, parse_entry
from policies.errors import DocumentError
from policies.space import SpaceCard
from server.access import check_enrolled, check_role
from server.catalogue import Catalogue
from server.cosigning import CosignedLog, Cosigning
from server.disclosing import Disclosing
from server.disclosures import Disclosures
from server.dsp.callbacks import Callbacks
from server.dsp.contracts import Contracts
from server.edge import Edge
from server.enrolment import Enrolment
from server.errors import BadInput, SpaceError, Unavailable
from server.external_witness import ExternalWitness, ask_witnesses
from server.journal import Journal, Listener, TransparencyLog
from server.laws import Texts, adopt, read_laws
from server.observing import NOBODY, Observer
from server.pki import Authority, Identity
from server.queries import agreements
from server.receipts import Receipts
from server.register_views import product_document
from server.registrar import Registrar
from server.registry import Registry
from server.releases import Releases
from server.renewal import Renewal
from server.rotation import Rotation
from server.rounds import Rounds
from server.runs import Runs
from server.second_key import SecondKey
from server.space import Space
from server.superlink import SuperLink
from server.views import list_documents, may_see_agreement
from server.vouchers import Vouchers
from server.withdrawals import Notice, Subscription, Withdrawals, notice_of
from server.witnesses import Witnesses


class GovernedLog(TransparencyLog, CosignedLog, Protocol):
    """What governance needs of `ledger.log.Log`."""


class Governance:
    """Everything that governance does, by subject.

    Attributes:
        baseline: the space's laws in force.
        disclosing, enrolment, registrar, catalogue, runs, rounds, receipts, releases, vouchers,
            contracts, witnesses: the operations.

    Args:
        card: of the space.
        operator, consumer: participant ids of the two that come with the space.
        registrar_key: signs products' certificates.
        region, sector, auto_certify, certificate_days: as in `server.space.SpaceFile`.
        laws: the baseline's documents by file name (`server.laws.read_laws`).
        disclosures: what opens the log's commitments.
        apps_folder: where bundles are kept; must exist.
        log: open; nobody else may append to it.
        registry: open; its projection.
        consumer_key: that consumer's key for statements; None if it has none.
        second_key: an engine that has to permit every round as well.
        witness_policy: reads whose cosignatures a permit's checkpoint must carry.
        observer: told of appends and of each entry from when governance is ready.

    Raises:
        SpaceError: the card's log key, or a witness's URL.
    """

    def __init__(
        self,
        *,
        card: SpaceCard,
        operator: str,
        consumer: str,
        permit_key: Ed25519PrivateKey,
        registrar_key: Ed25519PrivateKey,
        region: str,
        sector: str,
        auto_certify: bool,
        certificate_days: int,
        laws: Texts,
        disclosures: Disclosures,
        authority: Authority,
        apps_folder: Path,
        log: GovernedLog,
        registry: Registry,
        superlink: SuperLink,
        edge: Edge,
        consumer_key: str | None = None,
        second_key: SecondKey | None = None,
        witness_policy: Callable[[], Policy] = Policy,
        observer: Observer = NOBODY,
    ) -> None:
        self.card = card
        self._withdrawals = Withdrawals()
        self._listeners: list[Listener] = [self._withdrawals.on_applied]
        journal = Journal(
            log=log,
            registry=registry,
            on_applied=self._on_applied,
            appending=observer.append,
        )
        self._journal = journal
        self._edge = edge
        _start(
            journal,
            card,
            operator=operator,
            consumer=consumer,
            consumer_key=consumer_key,
            region=region,
            sector=sector,
        )
        self.disclosing = Disclosing(journal=journal, files=disclosures, edge=edge)
        self.disclosing.settle()
        self.enrolment = Enrolment(
            journal=journal,
            disclosing=self.disclosing,
            superlink=superlink,
            card=card,
            authority=authority,
            edge=edge,
        )
        self.renewal = Renewal(space=card.name, authority=authority, edge=edge)
        self.rotation = Rotation(journal=journal, space=card.name, edge=edge)
        self.baseline = adopt(journal, laws, clock=edge.clock)
        self.registrar = Registrar(
            journal=journal,
            disclosing=self.disclosing,
            space=card.name,
            key=registrar_key,
            auto=auto_certify,
            days=certificate_days,
            edge=edge,
        )
        self.catalogue = Catalogue(
            journal=journal,
            disclosing=self.disclosing,
            apps_folder=apps_folder,
            registrar=self.registrar,
            laws=self.baseline.laws,
            edge=edge,
        )
        log_key = _log_key(card)
        self._cosigning = Cosigning(log=log, verifier=log_key, policy=witness_policy)
        self.witnesses = Witnesses(journal=journal, cosigning=self._cosigning, verifier=log_key)
        self.runs = Runs(
            journal=journal,
            disclosing=self.disclosing,
            superlink=superlink,
            apps_folder=apps_folder,
            edge=edge,
        )
        self.rounds = Rounds(
            journal=journal,
            space=card.name,
            permit_key=permit_key,
            baseline=self.baseline,
            edge=edge,
            second_key=second_key,
            cosigning=self._cosigning,
        )
        self.receipts = Receipts(journal=journal, edge=edge)
        self.releases = Releases(journal=journal, space=card.name, permit_key=permit_key, edge=edge)
        self.vouchers = Vouchers(journal=journal, edge=edge)
        self.contracts = Contracts(
            journal=journal,
            texts=self.disclosing,
            card=card,
            operator=operator,
            laws=self.baseline.laws,
            edge=edge,
        )
        self.listen(observer.on_applied)

    @property
    def log_size(self) -> int:
        """Number of the log's entries."""
        return self._journal.log.size

    def cosignatures(self) -> int:
        """How many signatures by others than the log itself the newest checkpoint carries."""
        _, _, signatures = self.checkpoint().partition("\n\n")
        return max(0, len(signatures.splitlines()) - 1)

    def watchers(self) -> tuple[int, int]:
        """How many watch withdrawals, and how many watch checkpoints."""
        return self._withdrawals.watching, len(self._cosigning.watching())

    def listen(self, listener: Listener) -> None:
        """Tell this listener, too, of each entry once its effects are durable (`Journal`)."""
        self._listeners.append(listener)

    def call_back(self, bases: Mapping[str, str]) -> Callbacks:
        """Tell these participants of the provider's steps from now on; close what is returned."""
        callbacks = Callbacks(
            journal=self._journal,
            texts=self.disclosing,
            url=self.contracts.catalogue.url,
            bases=bases,
            ca_pem=self.card.ca_pem,
        )
        self.listen(callbacks.on_applied)
        return callbacks

    def ask_witnesses(self, policy: Policy) -> list[ExternalWitness]:
        """Have the policy's witnesses that have a URL cosign from now on; close each.

        Raises:
            SpaceError: a URL that may not be called.
        """
        return ask_witnesses(policy.witnesses, self._cosigning)

    def _on_applied(self, index: int, kind: str, data: bytes) -> None:
        for listener in self._listeners:
            listener(index, kind, data)

    def admit(self, caller: Identity, rpc: str) -> None:
        """Returns only if this caller may call this RPC; each operation checks whose things it is.

        Raises:
            NotAllowed: role, space or enrolment.
        """
        check_role(caller, rpc)
        with self._journal.reading() as connection:
            check_enrolled(connection, caller, self.card.name)

    def reading(self) -> AbstractContextManager[Connection]:
        """A snapshot of the registry, for whoever serves in the same process and asks whose things
        it shows (`server.views`)."""
        return self._journal.reading()

    def checkpoint(self) -> str:
        """The log's newest signed head."""
        return self._journal.log.checkpoint()

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log of size `new` begins with that of size `old`.

        Raises:
            BadInput: not `0 <= old <= new <= size`.
        """
        try:
            return self._journal.log.consistency_proof(old, new)
        except LedgerError as error:
            raise BadInput(f"consistency: {error}") from error

    def list(self, caller: Identity, what: str) -> list[bytes]:
        """Canonical JSON documents of participants, products, apps, agreements, runs, offers,
        negotiations, transfers, vouchers, auditors or disclosures.

        Raises:
            BadInput: another word.
        """
        with self._journal.reading() as connection:
            now = self._edge.clock()
            return list_documents(connection, caller, what, now=now, texts=self.disclosing)

    def product(self, id: str) -> bytes:
        """A product's card and certificate, as canonical JSON (`server.register_views`).

        Raises:
            NotKnown: no such product.
        """
        with self._journal.reading() as connection:
            now = self._edge.clock()
            return product_document(connection, id, now=now, texts=self.disclosing)

    def watch_withdrawals(self, caller: Identity) -> Subscription:
        """The ended consents that concern the caller: those of before, then each as it happens.

        Whose own consent it was gets the signed statement, too (`envelope`, base64): a node
        believes no other word about its owner's consent than its own signature.

        Raises:
            TooMany: too many watch already.
        """
        parties = (caller.participant,)
        sees_all = caller.role in ("operator", "auditor")
        with self._journal.writing(), self._journal.reading() as connection:
            before = [
                notice_of(row)
                for row in agreements(connection)
                if row.withdrawn is not None and may_see_agreement(caller, row)
            ]
            return self._withdrawals.subscribe(
                lambda notice: (
                    sees_all or notice["participant"] in parties or notice["consumer"] in parties
                ),
                before,
                lambda notice: self._with_envelope(caller, notice),
                owner=caller.participant,
            )

    def _with_envelope(self, caller: Identity, notice: Notice) -> Notice:
        index = notice["index"]
        if notice["participant"] != caller.participant or not isinstance(index, int):
            return notice
        [entry] = self._journal.log.entries(index, index + 1)
        return notice | {"envelope": parse_entry(entry).body["envelope"]}

    def stop_watching(self) -> None:
        """End all watchers; for a service that stops."""
        self._withdrawals.close()
        self._cosigning.close()


class OpenGovernance:
    """Governance with the files it holds open.

    Attributes:
        governance: ready to serve.
    """

    def __init__(self, governance: Governance, resources: ExitStack) -> None:
        self.governance = governance
        self._resources = resources

    def close(self) -> None:
        """Let go of log and registry; safe to call again."""
        self.governance.stop_watching()
        self._resources.close()


def open_governance(
    space: Space,
    *,
    superlink: SuperLink,
    edge: Edge,
    second_key: SecondKey | None = None,
    observer: Observer = NOBODY,
) -> OpenGovernance:
    """Governance over a space's folder; when this returns, the registry shows all of the log.

    Raises:
        ledger.errors.LogDamaged, LogUnavailable: the log refuses to run, or another process has it.
        SpaceError, RegistryDamaged, Unavailable: the folder, or registry and log do not fit.
    """
    policy = space.witness_policy()
    with ExitStack() as stack:
        log = Log.open(
            folder=space.log_folder,
            database=space.log_database,
            last_signed=space.last_signed,
            signer=space.log_signer(),
        )
        stack.callback(log.close)
        registry = Registry.open(space.database)
        stack.callback(registry.close)
        governance = Governance(
            card=space.card,
            operator=space.config.operator,
            consumer=space.config.consumer,
            permit_key=space.permit_key(),
            registrar_key=space.registrar_key(),
            region=space.config.region,
            sector=space.config.sector,
            auto_certify=space.config.auto_certify,
            certificate_days=space.config.certificate_days,
            laws=read_laws(space.baseline_folder),
            disclosures=space.disclosures(),
            authority=space.authority(),
            apps_folder=space.apps_folder,
            log=log,
            registry=registry,
            superlink=superlink,
            edge=edge,
            consumer_key=space.config.consumer_key,
            second_key=second_key,
            witness_policy=space.witness_policy,
            observer=observer,
        )
        stack.callback(governance.stop_watching)
        for external in governance.ask_witnesses(policy):
            stack.callback(external.close)
        if space.config.callbacks:
            stack.callback(governance.call_back(space.config.callbacks).close)
        return OpenGovernance(governance, stack.pop_all())


def _log_key(card: SpaceCard) -> NoteVerifier:
    try:
        return NoteVerifier.parse(card.log_key)
    except KeyRefused as error:
        raise SpaceError(f"space {card.name}: its card's log key: {error}") from error


def _start(
    journal: Journal,
    card: SpaceCard,
    *,
    operator: str,
    consumer: str,
    consumer_key: str | None,
    region: str,
    sector: str,
) -> None:
    people: list[Json] = [
        {
            "participant": id,
            "role": role,
            "region": region,
            "sector": business,
            "receipt_key": key,
        }
        for id, role, business, key in (
            (operator, "operator", "", None),
            (consumer, "consumer", sector, consumer_key),
        )
    ]
    body: dict[str, Json] = {
        "space": card.to_json(),
        "participants": people,
    }
    # The card's own time, so that a first start that broke off finds its own entry again.
    journal.start(entry_bytes("SpaceCreated", time=card.created, body=body))
    try:
        first = parse_entry(journal.log.entries(0, 1)[0])
    except (LedgerError, DocumentError) as error:
        raise Unavailable(f"the log's first entry cannot be read: {error}") from error
    made = first.body.get("space")
    keys = ("name", "permit_key", "log_key", "registrar_key")
    if not isinstance(made, dict) or any(made.get(key) != getattr(card, key) for key in keys):
        raise SpaceError(
            f"log: expected it to begin with the creation of {card.name} and its keys, got "
            "another's; put the log that belongs to this space back"
        )
