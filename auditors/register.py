"""What the log has said so far of participants, products, apps, agreements, laws and accounts.

The counterpart of governance's registry, built from the entries alone: for every place in the log
it answers what governance knew there. It checks nothing but what arithmetic refuses. Its memory
grows with what is registered, never with the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from policies.account import NOTHING, Account, Amounts
from policies.canonical import canonical_bytes
from policies.claim import Claim
from policies.errors import AccountError
from policies.fields import parse_instant
from policies.law import Baseline, baseline_digest, parse_baseline
from policies.odrl import Agreement, parse_agreement
from policies.permit import CohortMember, PermitBody

Body = Mapping[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Person:
    """An enrolled participant (`policies.claim.Recipient`); `entry` is a log index."""

    id: str
    sector: str
    region: str
    entry: int
    receipt_key: str
    fleet_key: str
    disclosure_key: str | None


@dataclass(slots=True)
class Certified:
    """A product's certificate; `revoked` is when it was taken back."""

    serial: str
    not_before: str
    not_after: str
    revoked: str | None = None


@dataclass(slots=True)
class Registered:
    """A product in its newest version, as `ProductRegistered` says."""

    entry: int
    body: Body
    certificate: Certified | None = None


@dataclass(slots=True)
class Filing:
    """An app's newest filing (`policies.claim.Filed`)."""

    id: str
    filing: str
    filing_revoked: str | None = None


@dataclass(slots=True)
class Concluded:
    """An agreement with its consent and its account.

    Attributes:
        withdrawn, withdrawn_entry: of the first withdrawal.
    """

    agreement: Agreement
    document: str
    assigner: str
    entry: int
    withdrawn: str | None = None
    withdrawn_entry: int | None = None
    account: Account = field(default_factory=Account)


class Unregistered(KeyError):
    """Something that no earlier entry says was asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


def _found(known: Mapping[str, Item], id: str, what: str) -> Item:
    found = known.get(id)
    if found is None:
        raise Unregistered(f"expected {what} {id!r:.120} in an earlier entry, got none")
    return found


class Register:
    """All of them; `take` takes an entry in."""

    def __init__(self) -> None:
        self.space = ""
        self.registrar_key = ""
        self.people: dict[str, Person] = {}
        self.former: dict[str, str] = {}  # whose a key was that no longer counts
        self.products: dict[str, Registered] = {}
        self.apps: dict[str, Filing] = {}
        self.agreements: dict[str, Concluded] = {}
        self.by_digest: dict[str, Agreement] = {}
        self.laws: tuple[Baseline, ...] = ()
        self.laws_digest = baseline_digest(())
        self.certificates: dict[str, Certified] = {}
        self._claims: dict[str, Claim] = {}
        self._given: dict[str, Amounts] = {}

    def take(self, kind: str, index: int, time: str, body: Body) -> None:
        """An entry of one of `KINDS`.

        Raises:
            KeyError, TypeError, ValueError, PolicyError: in another form than governance writes.
        """
        self._claims.clear()
        KINDS[kind](self, index, time, body)

    def claim(self, id: str) -> Claim:
        """What stands here of an agreement, its product and its owner; the same object until
        anything is registered.

        Raises:
            Unregistered: there is no such agreement, product or owner.
        """
        found = self._claims.get(id)
        if found is None:
            found = self._claims[id] = self._claim(id)
        return found

    def agreement(self, id: str) -> Concluded:
        """An agreement that stands here; Unregistered if there is none."""
        return _found(self.agreements, id, "agreement")

    def person(self, id: str) -> Person:
        """A participant who is enrolled here; Unregistered if there is none."""
        return _found(self.people, id, "participant")

    def _claim(self, id: str) -> Claim:
        concluded = self.agreement(id)
        product = _found(self.products, concluded.agreement.target, "product")
        owner = self.person(concluded.assigner)
        card, certificate = product.body, product.certificate
        return Claim(
            agreement=id,
            document=concluded.document,
            withdrawn=concluded.withdrawn,
            product=concluded.agreement.target,
            rows=card["rows"],
            classification=card["classification"],
            participant=owner.id,
            region=owner.region,
            active=True,
            receipt_key=owner.receipt_key,
            disclosure_key=owner.disclosure_key,
            fleet_key=owner.fleet_key,
            agreement_entry=concluded.entry,
            participant_entry=owner.entry,
            product_entry=product.entry,
            data_version=card["data_version"],
            jurisdiction=card["jurisdiction"],
            personal_information=card["personal_information"],
            subject_consent=card["subject_consent"],
            anonymization=card["anonymization"],
            filing_number=card["filing_number"],
            execution_environment=card["execution_environment"],
            serial=certificate.serial if certificate else None,
            not_before=certificate.not_before if certificate else None,
            not_after=certificate.not_after if certificate else None,
            revoked=certificate.revoked if certificate else None,
        )

    # -- accounts --------------------------------------------------------------------------------

    def given(self, product: str) -> Amounts:
        """All that was ever set aside of a product, under whatever agreement: of its losses nothing
        comes back, of its seconds some may have."""
        return self._given.get(product, NOTHING)

    def reserve(self, permit: PermitBody) -> None:
        """What a permit sets aside under each of the agreements that it names.

        Raises:
            Unregistered, AccountError: of the first for which it cannot: there is no such
                agreement, or something is reserved under this permit already.
        """
        at = parse_instant(permit.issued)

        def set_aside(one: Concluded, member: CohortMember) -> None:
            one.account = one.account.reserve(permit.id, permit.reserved(member), at=at)
            self._given[member.product] = self.given(member.product).plus(permit.reserved(member))

        self._for_each(permit, set_aside)

    def commit(self, permit: str, agreement: str, metered_s: int) -> None:
        """What a receipt proves of its reservation.

        Raises:
            AccountError: nothing is outstanding, or less than was used.
        """
        one = self.agreement(agreement)
        reserved = one.account.outstanding.get(permit, Amounts())
        one.account = one.account.commit(permit, replace(reserved, metered_s=metered_s))

    def keep(self, permit: PermitBody) -> None:
        """What is still outstanding under a permit counts as used.

        Raises:
            Unregistered: it names an agreement that there is not.
        """

        def settle(one: Concluded, _: CohortMember) -> None:
            if permit.id in one.account.outstanding:
                one.account = one.account.keep(permit.id)

        self._for_each(permit, settle)

    def _for_each(self, permit: PermitBody, act: Callable[[Concluded, CohortMember], None]) -> None:
        """For every member for whom it can be done; the first error is told in the end."""
        first: Unregistered | AccountError | None = None
        for member in permit.cohort:
            try:
                act(self.agreement(member.agreement), member)
            except (Unregistered, AccountError) as error:
                first = first or error
        if first is not None:
            raise first

    # -- entries ---------------------------------------------------------------------------------

    def _created(self, index: int, _time: str, body: Body) -> None:
        """The operator and the consumer."""
        self.space = body["space"]["name"]
        self.registrar_key = body["space"]["registrar_key"]
        for person in body["participants"]:
            self._enrolled(index, person)

    def _enrolled_one(self, index: int, _time: str, body: Body) -> None:
        """One of the others."""
        self._enrolled(index, body)

    def _rotated(self, _index: int, _time: str, body: Body) -> None:
        """The new key counts from here on; `former` keeps the old one."""
        person = self.person(body["participant"])
        self.former[person.receipt_key] = person.id
        self.people[person.id] = replace(person, receipt_key=body["receipt_key"])

    def _registered(self, index: int, _time: str, body: Body) -> None:
        """A newer version takes the place of the one before, without its certificate."""
        kept = {name: value for name, value in body.items() if name != "envelope"}
        self.products[body["product"]] = Registered(index, kept)

    def _certified(self, _index: int, _time: str, body: Body) -> None:
        """It counts if it is for the product's newest version."""
        made = Certified(body["serial"], body["not_before"], body["not_after"])
        self.certificates[made.serial] = made
        product = self.products.get(body["product"])
        if product is not None and product.body["digest"] == body["digest"]:
            product.certificate = made

    def _certificate_revoked(self, _index: int, time: str, body: Body) -> None:
        """The first revocation counts."""
        found = _found(self.certificates, body["serial"], "certificate")
        found.revoked = found.revoked or time

    def _app(self, _index: int, _time: str, body: Body) -> None:
        """A new filing takes the place of the one before."""
        self.apps[body["app"]] = Filing(body["app"], canonical_bytes(body["filing"]).decode())

    def _filing_revoked(self, _index: int, time: str, body: Body) -> None:
        """The first revocation of a filing counts."""
        found = _found(self.apps, body["app"], "app")
        found.filing_revoked = found.filing_revoked or time

    def _adopted(self, _index: int, _time: str, body: Body) -> None:
        """The laws from here on."""
        laws = [parse_baseline(one["document"].encode()) for one in body["documents"]]
        self.laws = tuple(sorted(laws, key=lambda law: law.name))
        self.laws_digest = baseline_digest(laws)

    def _concluded(self, index: int, _time: str, body: Body) -> None:
        """Its document, whatever else the entry says of it."""
        agreement = parse_agreement(body["document"].encode())
        self.agreements[body["agreement"]] = Concluded(
            agreement, body["document"], body["assigner"], index
        )
        self.by_digest[agreement.digest] = agreement

    def _withdrawn(self, index: int, time: str, body: Body) -> None:
        """The first withdrawal counts."""
        found = self.agreement(body["agreement"])
        if found.withdrawn is None:
            found.withdrawn, found.withdrawn_entry = time, index

    def _enrolled(self, index: int, body: Body) -> None:
        self.people[body["participant"]] = Person(
            id=body["participant"],
            sector=body["sector"],
            region=body["region"],
            entry=index,
            receipt_key=body.get("receipt_key") or "",
            fleet_key=body.get("fleet_key") or "",
            disclosure_key=body.get("disclosure_key"),
        )


_Take = Callable[[Register, int, str, Body], None]
KINDS: Final[Mapping[str, _Take]] = MappingProxyType(
    {
        "SpaceCreated": Register._created,
        "ParticipantEnrolled": Register._enrolled_one,
        "KeyRotated": Register._rotated,
        "ProductRegistered": Register._registered,
        "CertificateIssued": Register._certified,
        "CertificateRevoked": Register._certificate_revoked,
        "AppRegistered": Register._app,
        "AppFilingRevoked": Register._filing_revoked,
        "BaselineAdopted": Register._adopted,
        "AgreementConcluded": Register._concluded,
        "ConsentWithdrawn": Register._withdrawn,
    }
)
