"""A consumer's contracts: its connection, and what it remembers of each negotiation.

The record (CONSUMER/contracts/) says what was asked for, so that nothing else is ever signed. It is
written before the message that it is about goes out: a call that was cut off may be made again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from clients.files import replace_file
from commands.errors import BadInput, CommandFailed
from commands.reading import objects
from policies.canonical import canonical_bytes, parse_json, sha256_hex
from policies.errors import DocumentError
from policies.fields import Document, Id, Version
from policies.odrl import MAX_BYTES, Agreement, Offer, parse_agreement, parse_offer
from policies.space import SpaceCard
from server.dsp.client import ContractsClient
from server.dsp.consumer import Negotiation, check_agreement, published_offer
from server.dsp.documents import NONE
from server.files import read_file
from server.governance_client import GovernanceClient
from server.space import ClientFile, load_statement_key

ConsumerFolder = Annotated[
    Path,
    typer.Option(
        "--consumer", envvar="TDS_CONSUMER", help="The consumer's folder (SPACE/consumer)."
    ),
]
MAX_RECORD_BYTES = 4 * MAX_BYTES
POLL_S = 0.5


class Record(Document):
    """What a consumer asked for in a negotiation."""

    version: Version
    provider_pid: Annotated[str, Field(max_length=255)]
    consumer_pid: Annotated[str, Field(max_length=255)]
    product: Id
    offer: Annotated[str, Field(max_length=MAX_BYTES)]


@dataclass(frozen=True, slots=True)
class ConsumerSide:
    """The acts of one consumer; `open_consumer` makes it."""

    folder: Path
    participant: str
    governance: GovernanceClient
    contracts: ContractsClient

    def datasets(self) -> list[dict[str, Any]]:
        """Everything that is offered, by data product."""
        return self.contracts.datasets()

    def request(
        self, product: str, offer_id: str = "", *, terms: bytes | None = None
    ) -> Negotiation:
        """Ask for a product under one of its offers.

        Args:
            terms: the offer with the changes that are asked for; None asks for it word for word.

        Raises:
            DocumentError: no such offer, or malformed terms.
            ServerError: refused, or not answered.
        """
        if terms is None:
            offer = published_offer(self.contracts.dataset(product), offer_id)
        else:
            offer = parse_offer(terms)
        pid = f"urn:uuid:{uuid.uuid4()}"
        record = Record(
            version=1, provider_pid="", consumer_pid=pid, product=product, offer=_text(offer)
        )
        self._keep(pid, record)
        known = self.contracts.request(pid, offer, product)
        self._keep(
            known.provider_pid, record.model_copy(update={"provider_pid": known.provider_pid})
        )
        return known

    def asked(self, negotiation: str) -> bool:
        """Whether this consumer has a record of what it asked for in the negotiation."""
        return self._path(negotiation).exists()

    def counter(self, negotiation: str, terms: bytes) -> Negotiation:
        """Answer the provider's offer with the terms that this consumer would take.

        Raises:
            CommandFailed: there is none to answer.
            DocumentError: malformed terms.
            ServerError: refused, or not answered.
        """
        known, record = self._on_table(negotiation)
        offer = parse_offer(terms)
        self._keep(negotiation, record.model_copy(update={"offer": _text(offer)}))
        return self.contracts.counter(known, offer, record.product)

    def wait(self, known: Negotiation, states: set[str], wait_s: float) -> Negotiation:
        """The negotiation once it is in one of these states, or as it is after `wait_s`."""
        end = time.monotonic() + wait_s
        while known.state not in states and time.monotonic() < end:
            time.sleep(POLL_S)
            known = self.contracts.negotiation(known.provider_pid)
        return known

    def accept(self, negotiation: str) -> tuple[Negotiation, Offer]:
        """Accept the provider's offer; from now on it is what this consumer will sign.

        Raises:
            CommandFailed: there is none to accept.
        """
        known, record = self._on_table(negotiation)
        assert known.offer is not None  # it is on the table
        self._keep(negotiation, record.model_copy(update={"offer": _text(known.offer)}))
        return self.contracts.accept(known), known.offer

    def verify(self, negotiation: str, offer_id: str = "") -> tuple[Negotiation, Agreement]:
        """Check the agreement against what was asked for, and sign it.

        Args:
            offer_id: the published offer that was asked for, word for word, where that was done
                elsewhere than here, as in the console; "" goes by the record.

        Raises:
            DocumentError, SignatureError: it is something else, or not its owner's.
        """
        elsewhere = bool(offer_id) and not self.asked(negotiation)
        kept = None if elsewhere else self._record(negotiation)
        known = self.contracts.negotiation(negotiation)
        record = kept or self._published(known, offer_id)
        offer = parse_offer(record.offer.encode())
        agreement = check_agreement(
            known,
            offer=offer,
            product=record.product,
            consumer=self.participant,
            owner_key=self._key_of(offer.assigner or ""),
        )
        key = load_statement_key(self.folder)
        if elsewhere:
            self._keep(negotiation, record)
        if known.state == "AGREED":
            known = self.contracts.verify(known, key=key, participant=self.participant)
        return known, agreement

    def terminate(self, negotiation: str, reason: str) -> Negotiation:
        """End a negotiation."""
        known = self.contracts.negotiation(negotiation)
        if known.consumer_pid == NONE:
            known, _ = self._on_table(negotiation)
        return self.contracts.terminate(known, reason)

    def move(self, transfer: str, verb: str, reason: str) -> str:
        """`start`, `suspension`, `completion` or `termination`; the state after it."""
        known = self.contracts.transfer(transfer)
        return self.contracts.move(known, verb, reason).state

    def _on_table(self, negotiation: str) -> tuple[Negotiation, Record]:
        """A negotiation in which it is this consumer's turn, under this consumer's own name for it;
        one that the owner opened gets its name here, and keeps it however often it is asked for."""
        known = self.contracts.negotiation(negotiation)
        if known.offer is None or known.product is None:
            raise CommandFailed(
                f"{negotiation}: expected an offer of the provider to answer, it is {known.state}"
            )
        if self._path(negotiation).exists():
            record = self._record(negotiation)
        else:
            named = known.consumer_pid != NONE
            record = Record(
                version=1,
                provider_pid=negotiation,
                consumer_pid=known.consumer_pid if named else f"urn:uuid:{uuid.uuid4()}",
                product=known.product,
                offer=_text(known.offer),
            )
            self._keep(negotiation, record)
        if record.product != known.product:
            raise CommandFailed(
                f"{negotiation}: expected an offer of {record.product}, got one of {known.product}"
            )
        return replace(known, consumer_pid=record.consumer_pid), record

    def _published(self, known: Negotiation, offer_id: str) -> Record:
        """What was asked for elsewhere: a published offer, as whoever gives its id says.

        Raises:
            DocumentError: nothing was agreed yet, or no such offer of that product.
        """
        if known.agreement is None:
            agreed = "a negotiation that its owner agreed to (AGREED); wait for the owner's answer"
            raise DocumentError("$.state", agreed, known.state)
        product = parse_agreement(known.agreement.encode()).target
        offer = published_offer(self.contracts.dataset(product), offer_id)
        return Record(
            version=1,
            provider_pid=known.provider_pid,
            consumer_pid=known.consumer_pid,
            product=product,
            offer=_text(offer),
        )

    def _key_of(self, owner: str) -> Ed25519PublicKey:
        for one in objects(self.governance.list("participants")):
            key = one.get("receipt_key")
            if one.get("participant") == owner and isinstance(key, str):
                return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        raise CommandFailed(f"{owner}: expected an enrolled data owner with a key, got none")

    def _path(self, pid: str) -> Path:
        return self.folder / "contracts" / f"{sha256_hex(pid.encode())}.json"

    def _keep(self, pid: str, record: Record) -> None:
        path = self._path(pid)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, canonical_bytes(record.to_json()))

    def _record(self, pid: str) -> Record:
        path = self._path(pid)
        if not path.exists():
            raise BadInput(
                f"{pid}: expected a negotiation that this consumer opened or answered, got none; "
                "if it was asked for in the console, say for which offer: --offer ID"
            )
        return Record.from_json(parse_json(path.read_bytes(), max_bytes=MAX_RECORD_BYTES))


def _text(offer: Offer) -> str:
    return canonical_bytes(offer.to_json()).decode()


@contextmanager
def open_consumer(folder: Path) -> Iterator[ConsumerSide]:
    """A consumer's side, with a fresh token, until the block is left.

    Raises:
        SpaceError: a file of the folder is missing or malformed.
        CommandFailed: the space serves no contracts.
        ServerError: governance refused, or did not answer.
    """
    value = parse_json(read_file(folder / "consumer.json"), max_bytes=MAX_BYTES)
    participant = ClientFile.from_json(value).participant
    with GovernanceClient.open(folder) as governance:
        card = SpaceCard.from_json(
            parse_json(governance.get_space().space_json, max_bytes=MAX_BYTES)
        )
        if card.contracts is None:
            raise CommandFailed(
                f"space {card.name}: expected an address of its contracts, it has none; the "
                "operator makes a space with one: tds space init"
            )
        token = governance.issue_token()
        with ContractsClient(address=card.contracts, ca_pem=card.ca_pem, token=token) as contracts:
            yield ConsumerSide(folder, participant, governance, contracts)
