"""What may be used, and under which terms: products, apps, agreements and withdrawals.

Statements of owners are DSSE envelopes; the log holds them as they were signed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from policies.baseline import Baseline, barred
from policies.canonical import Json, digest_of
from policies.disclosure import AppText
from policies.entries import EntryType, entry_bytes
from policies.errors import PolicyError
from policies.facts import product_facts
from policies.fields import Id, instant
from policies.odrl import Agreement, parse_agreement
from policies.refusals import filing_of
from policies.runconfig import config_to_json
from policies.statements import (
    AGREEMENT_TYPE,
    PRODUCT_TYPE,
    WITHDRAWAL_TYPE,
    AppFiling,
    ProductCard,
    SignedAgreement,
    Withdrawal,
)
from server import queries
from server.bundles import load_bundle, parse_bundle, store_bundle
from server.disclosing import Disclosing
from server.dsp.transfer_steps import on_withdrawn
from server.edge import Edge
from server.errors import BadInput, NotKnown, RuleBroken
from server.journal import Journal
from server.pki import Identity
from server.registrar import Registrar
from server.registration_checks import check_filing, jurisdiction, require_newer
from server.rows import App
from server.signed import open_payload, open_signed, read_statement, require_own

MAX_TITLE: Final = 200
_ID: Final = TypeAdapter(Id)


class Catalogue:
    """Registrations. Each returns (log index, id), and for the same statement again the same.

    Args:
        disclosing: keeps what the entries commit to.
        apps_folder: where bundles are kept.
        registrar: certifies what is registered.
        laws: what may be listed at all.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        disclosing: Disclosing,
        apps_folder: Path,
        registrar: Registrar,
        laws: tuple[Baseline, ...],
        edge: Edge,
    ) -> None:
        self._journal = journal
        self._disclosing = disclosing
        self._registrar = registrar
        self._laws = laws
        self._apps_folder = apps_folder
        self._edge = edge

    def register_product(
        self, caller: Identity, envelope: bytes, openings: Sequence[bytes] = ()
    ) -> tuple[int, str]:
        """Register one version of an owner's data set; its certificate follows in the same append
        unless the space has its registrar decide. A version above the registered one takes its
        place, under the same id and agreements.

        Args:
            openings: of the card's description, at most one.

        Raises:
            BadInput: malformed, not signed with the caller's enrolled key, or an opening of
                something else.
            NotAllowed: another participant's.
            RuleBroken: classified `core`, not to be listed by the space's laws, the id is taken by
                another card, or its jurisdiction is not that of the owner's registered region.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                payload = open_payload(
                    connection, caller.participant, envelope, payload_type=PRODUCT_TYPE
                )
                card = read_statement(ProductCard, payload)
                before = queries.product(connection, card.id)
                owner = queries.participant(connection, card.participant)
            digest = digest_of(payload)
            if before is not None and before.digest == digest:
                return before.entry, card.id
            if before is not None:
                require_newer(card, before)
            if card.classification == "core":
                raise RuleBroken(f"product {card.id}: data classified core is never listed")
            for reason in barred(self._laws, "list", product_facts(card, "the product's card")):
                raise RuleBroken(
                    f"product {card.id}: {reason.code}: {reason.text}; say in the product file "
                    "what the law asks for, and register it again"
                )
            self._keep(openings, card.description, caller)
            body: dict[str, Json] = {
                "product": card.id,
                "participant": card.participant,
                "description": card.description,
                "rows": card.rows,
                "classification": card.classification,
                "digest": digest,
                "envelope": base64.b64encode(envelope).decode(),
                "data_version": card.data_version,
                "jurisdiction": jurisdiction(card, owner.region if owner else ""),
                "personal_information": card.personal_information,
                "subject_consent": card.subject_consent,
                "anonymization": card.anonymization,
                "filing_number": card.filing_number,
                "execution_environment": card.execution_environment,
                "readiness": {str(name): figure for name, figure in card.readiness.items()},
            }
            now = self._edge.clock()
            entries = [
                entry_bytes("ProductRegistered", time=instant(now), body=body),
                *self._registrar.at_registration(
                    product=card.id, owner=card.participant, digest=digest, now=now
                ),
            ]
            return self._journal.commit(entries, key=f"product:{digest}").first_index, card.id

    def register_app(
        self, fab: bytes, title: str, filing: AppFiling | None = None
    ) -> tuple[int, str]:
        """Register an app bundle; its SHA-256 is its id. The first title stays, unless it was
        erased. Title, author and outputs are for people: the entry commits to them.

        Args:
            filing: what it is filed for. For an app that is registered, another filing than its
                present one takes that one's place, also where it expired or was revoked; the same
                one, or None, changes nothing.

        Raises:
            BadInput: no Flower app bundle, or a filing that has expired already.
        """
        if not 0 < len(title) <= MAX_TITLE:
            raise BadInput(f"title: expected 1 to {MAX_TITLE} characters, got {len(title)}")
        bundle = parse_bundle(fab)
        if filing is not None:
            check_filing(filing, self._edge.clock())
        words = AppText(
            title=title,
            author=filing.author if filing else "",
            outputs=filing.outputs if filing else [],
        )
        bare = (filing or AppFiling()).model_copy(update={"author": "", "outputs": []})
        with self._journal.writing():
            with self._journal.reading() as connection:
                before = queries.app(connection, bundle.id)
            # A crash after this leaves a file that no entry names; registering again writes it
            # anew. It also mends a bundle that was lost from the disk.
            store_bundle(self._apps_folder, bundle.id, fab)
            if before is not None:
                known = self._disclosing.value(before.description)
                if isinstance(known, AppText):
                    words = words.model_copy(update={"title": known.title})
                if filing is None or (bare == filing_of(before) and words == known):
                    return before.filing_entry, bundle.id
            body: dict[str, Json] = {
                "app": bundle.id,
                "description": self._disclosing.commit(words, about=""),
                "size": bundle.size,
                "config": config_to_json(bundle.config),
                "filing": bare.to_json(),
            }
            # The key names the filing before: one may come back after another.
            key = f"app:{bundle.id}" + (f":{before.filing_entry}" if before else "")
            return self._log("AppRegistered", body, key=key), bundle.id

    def app(self, id: str) -> tuple[App, bytes]:
        """A registered app with its bundle; NotKnown, or Unavailable if the file is gone."""
        with self._journal.reading() as connection:
            found = queries.app(connection, id)
        if found is None:
            raise NotKnown(f"app {id[:64]!r}: expected the SHA-256 of a registered app")
        return found, load_bundle(self._apps_folder, id)

    def conclude_agreement(self, caller: Identity, envelope: bytes) -> tuple[int, str]:
        """Record an agreement that the owner of its product signed.

        Raises:
            BadInput: malformed, outside the profile, or not signed with the caller's key.
            NotAllowed: assigned by, or about the product of, somebody else.
            NotKnown: the product is not registered, or the assignee no enrolled consumer.
            RuleBroken: the id is taken by another agreement.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                signed = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=AGREEMENT_TYPE,
                    kind=SignedAgreement,
                )
                agreement = _parse_agreement(signed.document)
                _check_parties(connection, caller, agreement)
                before = queries.agreement(connection, agreement.id)
            digest = digest_of(signed.to_json())
            if before is not None:
                _require_same(f"agreement {agreement.id}", before.digest, digest)
                return before.entry, agreement.id
            body: dict[str, Json] = {
                "agreement": agreement.id,
                "product": agreement.target,
                "assigner": agreement.assigner,
                "assignee": agreement.assignee,
                "document": signed.document,
                "digest": digest,
                "envelope": base64.b64encode(envelope).decode(),
                "negotiation": None,  # by its owner's word alone (server.dsp has the other way)
                "verification": None,
            }
            return self._log("AgreementConcluded", body, key=f"agreement:{digest}"), agreement.id

    def withdraw(
        self, caller: Identity, envelope: bytes, openings: Sequence[bytes] = ()
    ) -> tuple[int, str]:
        """End the owner's consent; whoever watches is told before this returns.

        The first withdrawal of an agreement counts: later ones get its index and id.

        Args:
            openings: of the statement's reason, at most one.

        Raises:
            BadInput: malformed, not signed with the caller's key, or an opening of something else.
            NotAllowed: another participant's agreement.
            NotKnown: no such agreement.
            RuleBroken: the withdrawal's id was used for another agreement.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                wish = open_signed(
                    connection,
                    caller.participant,
                    envelope,
                    payload_type=WITHDRAWAL_TYPE,
                    kind=Withdrawal,
                )
                agreement = queries.agreement(connection, wish.agreement)
                if agreement is None:
                    raise NotKnown(f"agreement {wish.agreement!r}: expected a concluded one")
                require_own(caller, agreement.assigner)
                used = queries.withdrawal(connection, wish.id)
            if used is not None and used.id != agreement.id:
                raise RuleBroken(f"{wish.id}: expected a new id, was used for {used.id}")
            if agreement.withdrawal is not None and agreement.withdrawal_entry is not None:
                return agreement.withdrawal_entry, agreement.withdrawal
            self._keep(openings, wish.reason, caller)
            body: dict[str, Json] = {
                "agreement": agreement.id,
                "participant": agreement.assigner,
                "product": agreement.product,
                "consumer": agreement.assignee,
                "withdrawal": wish.id,
                "reason": wish.reason,
                "envelope": base64.b64encode(envelope).decode(),
            }
            with self._journal.reading() as connection:
                transfers = on_withdrawn(
                    connection, agreement=agreement.id, time=instant(self._edge.clock())
                )
            return self._log("ConsentWithdrawn", body, key=wish.id, more=transfers), wish.id

    def _keep(self, openings: Sequence[bytes], expected: str, caller: Identity) -> None:
        """What a statement's author sent along, before its entry; nothing is not a fault: what is
        disclosed is the author's to say."""
        if len(openings) > 1:
            raise BadInput(f"openings: expected one at most, got {len(openings)}")
        for data in openings:
            self._disclosing.keep(data, expected=expected, about=caller.participant)

    def _log(
        self, kind: EntryType, body: dict[str, Json], *, key: str, more: Sequence[bytes] = ()
    ) -> int:
        entry = entry_bytes(kind, time=instant(self._edge.clock()), body=body)
        return self._journal.commit([entry, *more], key=key).first_index


def _parse_agreement(text: str) -> Agreement:
    try:
        agreement = parse_agreement(text.encode("utf-8"))
    except PolicyError as error:
        raise BadInput(f"agreement: {error}") from error
    try:
        _ID.validate_python(agreement.id)
    except ValidationError as error:
        raise BadInput(
            "agreement: $.@id: expected at most 128 letters, digits and . _ : / -, "
            f"got {agreement.id!r:.80}"
        ) from error
    return agreement


def _check_parties(connection: Connection, caller: Identity, agreement: Agreement) -> None:
    require_own(caller, agreement.assigner)
    product = queries.product(connection, agreement.target)
    if product is None:
        raise NotKnown(f"product {agreement.target!r:.140}: expected a registered one")
    require_own(caller, product.participant)
    assignee = queries.participant(connection, agreement.assignee)
    if assignee is None or assignee.role != "consumer":
        raise NotKnown(f"assignee {agreement.assignee!r:.140}: expected an enrolled consumer")


def _require_same(what: str, before: str, now: str) -> None:
    if before != now:
        raise RuleBroken(
            f"{what}: expected a new id for other contents, got one that is registered already"
        )
