"""What a node's owner does in contracts: publish offers, agree or not, stop transfers.

Whatever governance says that somebody asked for, the owner's node signs only an offer that it reads
itself: by hand the one on the table, by itself only one that lies in its own folder with its own
signature under it, marked so, and word for word.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from clients.errors import ClientError
from clients.files import replace_file
from clients.governance import Registered
from clients.identity import NodeIdentity, load_identity
from clients.offers import Clock, OwnOffers
from clients.owner import governance_client
from clients.state import NodeState
from policies.canonical import canonical_bytes, parse_json, sha256_hex
from policies.envelope import MAX_ENVELOPE_BYTES, sign_envelope
from policies.errors import PolicyError
from policies.fields import instant
from policies.odrl import Offer, agreement_from_offer, parse_agreement, parse_offer
from policies.statements import AGREEMENT_TYPE, SignedAgreement

LOGGER = logging.getLogger(__name__)
SIGNED: Final = frozenset({"AGREED", "VERIFIED", "FINALIZED"})


class ContractsPort(Protocol):
    """What these acts ask of governance; each raises GovernanceRefused or GovernanceUnavailable."""

    def publish_offer(self, envelope: bytes) -> Registered:
        """A SignedOffer; in the space's log when it returns."""

    def negotiate(
        self, negotiation: str, act: str, *, envelope: bytes = b"", reason: str = ""
    ) -> Registered:
        """`open`, `offer`, `agree` or `terminate`; in the space's log when it returns."""

    def move_transfer(self, transfer: str, act: str, reason: str) -> Registered:
        """`start`, `suspend`, `complete` or `terminate`; in the space's log when it returns."""

    def list_documents(self, what: str) -> list[bytes]:
        """Documents of one sort that concern this node."""


class OwnerContracts:
    """The acts, for one node.

    Args:
        identity: the node.
        state: its database, possibly shared with the running node's process.
        clock: aware UTC now.
    """

    def __init__(
        self, *, identity: NodeIdentity, state: NodeState, governance: ContractsPort, clock: Clock
    ) -> None:
        self._identity = identity
        self._state = state
        self._governance = governance
        self._clock = clock
        self._offers = OwnOffers(identity=identity, state=state, clock=clock)

    def only_product(self) -> str:
        """The one product of this node; ClientError if it has none or several."""
        found = [one.id for one in self._state.products() if one.registered is not None]
        if len(found) != 1:
            raise ClientError(
                "product: expected one to be named (--product), this node has registered "
                f"{', '.join(found) or 'none'}"
            )
        return found[0]

    def publish_offer(self, document: bytes, *, product: str, auto_agree: bool) -> Registered:
        """List an offer for a product. A call that was cut off may be made again.

        Args:
            document: an ODRL Offer; its assigner may be left out, it is this node's owner.
            auto_agree: agree by itself to who accepts it word for word, while the node runs.

        Raises:
            ClientError: malformed, another's, or for a product that this node does not have.
            GovernanceError: not listed.
        """
        offer = self._offers.read(document, product)
        path = self._identity.paths.offer(offer.id)
        kept = self._offers.kept(path) if path.exists() else None
        wanted = self._offers.statement(offer, product=product, auto_agree=auto_agree)
        if kept is None:
            # Kept first: agreeing by itself needs both this file and the listing.
            path.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, self._offers.sign(wanted))
        elif kept.model_copy(update={"time": wanted.time}) != wanted:
            raise ClientError(
                f"offer {offer.id}: expected what was published under this id before, got "
                "something else; give a new offer a new id"
            )
        # Signed anew: the key may have been replaced since it was kept; the offer is the same.
        return self._governance.publish_offer(self._offers.sign(self._offers.kept(path)))

    def withdraw_offer(self, offer: str) -> Registered:
        """Take an offer back, for good; what was agreed under it stands. May be made again.

        Raises:
            ClientError: this node published no such offer.
            GovernanceError: no longer agreed to by this node, but still listed.
        """
        path = self._identity.paths.offer(offer)
        if not path.exists():
            raise ClientError(f"offer {offer}: expected one that this node published, got none")
        kept = self._offers.kept(path)
        if kept.document:
            replace_file(path, self._offers.sign(self._offers.end(kept)))
        return self._governance.publish_offer(self._offers.sign(self._offers.kept(path)))

    def agree(self, negotiation: str) -> Registered:
        """Sign the offer on the table of a negotiation, and keep the agreement. A call that was
        cut off may be made again: what was signed before is kept then.

        Raises:
            ClientError: no such negotiation, or not about a product of this node.
            GovernanceError: not agreed; nothing is kept.
        """
        return self._agree(self._find(negotiation))

    def open(self, document: bytes, *, product: str, consumer: str) -> Registered:
        """Open a negotiation with an offer to one consumer. A call that was cut off may be made
        again. Returns the negotiation's id.

        Raises:
            ClientError: as `publish_offer`.
            GovernanceError: not offered.
        """
        offer = self._offers.read(document, product)
        statement = self._offers.statement(offer, product=product, consumer=consumer)
        named = statement.model_copy(update={"negotiation": statement.opened_negotiation})
        return self._governance.negotiate("", "open", envelope=self._offers.sign(named))

    def offer(self, negotiation: str, document: bytes) -> Registered:
        """Answer a request with another offer, for this negotiation only.

        Raises:
            ClientError, GovernanceError: as `agree`.
        """
        product = str(self._find(negotiation)["product"])
        offer = self._offers.read(document, product)
        statement = self._offers.statement(offer, product=product, negotiation=negotiation)
        envelope = self._offers.sign(statement)
        return self._governance.negotiate(negotiation, "offer", envelope=envelope)

    def terminate(self, negotiation: str, reason: str) -> Registered:
        """End a negotiation; GovernanceError if that is not possible any more."""
        return self._governance.negotiate(negotiation, "terminate", reason=reason)

    def move_transfer(self, transfer: str, act: str, reason: str) -> Registered:
        """`start`, `suspend`, `complete` or `terminate` a transfer process."""
        return self._governance.move_transfer(transfer, act, reason)

    # -- by itself, while the node runs --------------------------------------------------------

    def agree_waiting(self) -> int:
        """Agree to every request that accepts an `auto_agree` offer of this node's word for word;
        returns to how many. What is not so is left to the owner, and so is whoever had an agreement
        on the same terms before: each new one would begin to count its uses anew.

        Raises:
            GovernanceError: governance did not say what waits.
        """
        if not self._identity.paths.offer("").parent.exists():
            return 0
        agreed = 0
        waiting = self._list("negotiations-waiting")
        if waiting:
            # One may be signed of which an answer that was lost never told.
            self.keep_signed()
        for one in waiting:
            try:
                if self._is_mine(one):
                    self._agree(one)
                    agreed += 1
            except (ClientError, PolicyError) as problem:
                LOGGER.warning("negotiation %s: not agreed: %s", one["negotiation"], problem)
        return agreed

    def keep_signed(self) -> None:
        """Keep every agreement that this node signed in a negotiation and does not have: a crash
        between governance's answer and the node's own copy leaves such ones."""
        for one in self._list("negotiations"):
            if one["state"] not in SIGNED or one["owner"] != self._identity.participant:
                continue
            try:
                self._keep(one)
            except (ClientError, PolicyError) as problem:
                LOGGER.warning("negotiation %s: not kept: %s", one["negotiation"], problem)

    def _is_mine(self, one: dict[str, Any]) -> bool:
        """Whether the node may sign this without its owner looking."""
        offer = parse_offer(str(one["document"]).encode())
        path = self._identity.paths.offer(offer.id)
        if not path.exists():
            return False
        kept = self._offers.kept(path)
        return (
            kept.auto_agree
            and not kept.negotiation
            and kept.product == one["product"]
            and kept.document == one["document"]
            and not self._agreed_before(offer, str(one["product"]), str(one["consumer"]))
        )

    def _agreed_before(self, offer: Offer, product: str, consumer: str) -> bool:
        """Whether this node keeps an agreement on these terms with the consumer, withdrawn or not;
        those it signed and could not keep are fetched by `keep_signed`."""
        for record in self._state.agreements():
            before = parse_agreement(record.document)
            if (before.target, before.assignee) != (product, consumer):
                continue
            same = agreement_from_offer(
                offer,
                id=before.id,
                target=product,
                assigner=before.assigner,
                assignee=consumer,
                timestamp=before.timestamp,
            )
            if same.digest == before.digest:
                return True
        return False

    def _agree(self, one: dict[str, Any]) -> Registered:
        if one["state"] in SIGNED:
            self._keep(one)
            return Registered(index=int(one["index"]), id=str(one["agreement"]))
        offer = self._offers.read(str(one["document"]).encode(), str(one["product"]))
        digest = sha256_hex(canonical_bytes([one["negotiation"], one["document"]]))
        agreement = agreement_from_offer(
            offer,
            id=f"urn:tdspace:agreement:{digest[:32]}",
            target=str(one["product"]),
            assigner=self._identity.participant,
            assignee=str(one["consumer"]),
            timestamp=self._clock(),
        )
        document = canonical_bytes(agreement.to_json())
        signed = SignedAgreement(
            version=1, participant=self._identity.participant, document=document.decode()
        )
        key = self._identity.keys.receipt
        envelope = sign_envelope(signed.to_json(), payload_type=AGREEMENT_TYPE, key=key)
        agreed = self._governance.negotiate(str(one["negotiation"]), "agree", envelope=envelope)
        # A crash from here on: the next `keep_signed` or `agree` keeps it.
        self._keep_document(document)
        return agreed

    def _keep(self, one: dict[str, Any]) -> None:
        """The agreement of a negotiation, if it is this node's signature that it bears."""
        envelope = base64.b64decode(str(one["envelope"]))
        payload = self._identity.open_own(envelope, payload_type=AGREEMENT_TYPE)
        self._keep_document(SignedAgreement.from_json(payload).document.encode())

    def _keep_document(self, document: bytes) -> None:
        agreement = parse_agreement(document)
        if self._state.agreement(agreement.id) is not None:
            return
        replace_file(self._identity.paths.agreements / f"{sha256_hex(document)}.json", document)
        self._state.add_agreement(
            agreement=agreement.id,
            digest=agreement.digest,
            product=agreement.target,
            document=document,
            time=instant(self._clock()),
        )

    def _find(self, negotiation: str) -> dict[str, Any]:
        for one in self._list("negotiations"):
            if one["negotiation"] == negotiation:
                return one
        raise ClientError(f"negotiation {negotiation}: expected one of this node, got none")

    def _list(self, what: str) -> list[dict[str, Any]]:
        found = []
        for data in self._governance.list_documents(what):
            value = parse_json(data, max_bytes=MAX_ENVELOPE_BYTES)
            if isinstance(value, dict):
                found.append(value)
        return found


@contextmanager
def open_contracts(folder: Path) -> Iterator[OwnerContracts]:
    """The acts for the command line.

    Raises:
        FileRefused, IdentityError, StateUnavailable: the folder.
    """
    identity = load_identity(folder)
    with ExitStack() as stack:
        state = NodeState.open(identity.paths.state)
        stack.callback(state.close)
        governance = stack.enter_context(governance_client(identity))
        yield OwnerContracts(
            identity=identity, state=state, governance=governance, clock=lambda: datetime.now(UTC)
        )
