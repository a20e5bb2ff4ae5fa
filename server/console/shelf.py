"""The offers and agreements that a caller may see, parsed, with what an author should know of them.

What may be seen is what `server.views` lists: everybody's published offers, one's own agreements.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal

from policies.authoring import Finding, check, offer_warnings
from policies.canonical import parse_json
from policies.errors import DocumentError, PolicyError
from policies.facts import product_facts
from policies.law import Baseline
from policies.odrl import MAX_BYTES, Agreement, Offer, parse_agreement, parse_offer
from server.console.spaces import Object, listed
from server.errors import NotKnown
from server.governance import Governance
from server.pki import Identity

Kind = Literal["offer", "agreement"]
Policy = Offer | Agreement

RUN_LASTS: Final = timedelta(days=1)  # how long a run that starts now may take, where nobody says
MAX_BESIDE: Final = 8
"""Other open offers of its product that an offer is compared with, the newest."""


@dataclass(frozen=True, slots=True)
class Described:
    """A product as it is listed (`policies.facts.Described`)."""

    classification: str
    personal_information: bool
    subject_consent: str
    anonymization: str
    filing_number: str
    data_version: int

    @classmethod
    def of(cls, document: Object) -> Described:
        """From the list's document."""
        return cls(**{name: document[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Held:
    """One policy on the shelf.

    Attributes:
        consumer: "" for an offer, which is to everybody.
        ended: when it was taken back or its consent withdrawn; None while it stands.
        listed: the list's document.
    """

    kind: Kind
    id: str
    product: str
    owner: str
    consumer: str
    ended: str | None
    document: str
    listed: Mapping[str, Any]

    @property
    def policy(self) -> Policy:
        """The policy in it; it was strict when it was logged."""
        return _parsed(self.kind, self.document)


class Shelf:
    """Reads of policies."""

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    def offers(self, caller: Identity) -> list[Held]:
        """Published offers, the newest first."""
        return [_offer(one) for one in reversed(listed(self._governance, caller, "offers"))]

    def agreements(self, caller: Identity) -> list[Held]:
        """The caller's agreements, the newest first; operator and auditors see all."""
        found = listed(self._governance, caller, "agreements")
        return [_agreement(one) for one in reversed(found)]

    def one(self, caller: Identity, kind: str, id: str) -> Held:
        """The policy of this kind and id.

        Raises:
            NotKnown: none that the caller may see.
        """
        among = {"offer": self.offers, "agreement": self.agreements}.get(kind)
        for held in among(caller) if among is not None else ():
            if held.id == id:
                return held
        raise NotKnown(f"{kind:.20} {id!r:.140}: expected an offer, or an agreement of yours")

    def product(self, caller: Identity, id: str) -> Object:
        """A product as it is listed; NotKnown where it is not."""
        for one in listed(self._governance, caller, "products"):
            if one["product"] == id:
                return one
        raise NotKnown(f"product {id!r:.140}: expected a registered one")

    def findings(self, caller: Identity, held: Held, now: datetime) -> tuple[Finding, ...]:
        """As `tds policy check` and, for an open offer, `tds product offer` tell them."""
        if held.kind == "agreement" or held.ended:
            return _found(held.kind, held.document, (), None, (), _hour(now))
        beside = self.beside(caller, held.product, but=held.id)
        described = Described.of(self.product(caller, held.product))
        documents = tuple(one.document for one in beside)
        return _found(held.kind, held.document, documents, described, self.laws, _hour(now))

    def worst(self, held: Held, now: datetime) -> str:
        """The gravest severity of what is found in a policy by itself; "" where nothing is."""
        found = _found(held.kind, held.document, (), None, (), _hour(now))
        severities = {one.severity for one in found}
        return next((one for one in ("error", "warning", "note") if one in severities), "")

    def beside(self, caller: Identity, product: str, *, but: str) -> list[Held]:
        """The open offers of a product, the newest, at most `MAX_BESIDE`."""
        return [
            one
            for one in self.offers(caller)
            if one.product == product and not one.ended and one.id != but
        ][:MAX_BESIDE]

    @property
    def laws(self) -> tuple[Baseline, ...]:
        """The space's laws in force."""
        return self._governance.baseline.laws


def found_in(
    policy: Policy,
    now: datetime,
    *,
    beside: Sequence[Offer] = (),
    described: Described | None = None,
    laws: Sequence[Baseline] = (),
) -> tuple[Finding, ...]:
    """What an author should know of a policy, each finding once.

    Args:
        beside: other open offers of the product.
        described: the product; None asks neither it nor the laws.
    """
    found = list(check(policy, at=now, until=now + RUN_LASTS))
    if isinstance(policy, Offer) and described is not None:
        found += offer_warnings(
            policy,
            beside,
            now=now,
            ends=now + RUN_LASTS,
            baseline=laws,
            facts=product_facts(described, "the space's list"),
        )
    seen: dict[tuple[str, str, str], Finding] = {}
    for one in found:
        # `offer_warnings` says again what `check` says, with another advice where it stands alone.
        seen.setdefault((one.code, one.path, one.text), one)
    return tuple(seen.values())


def read_policy(text: str) -> Policy:
    """A policy as somebody wrote it, an Offer or an Agreement as its `@type` says.

    Raises:
        DocumentError: larger than `MAX_BYTES`, or anything that the profile does not know; with
            the JSON path.
    """
    data = text.encode("utf-8", "replace")
    document = parse_json(data, max_bytes=MAX_BYTES)
    kind = document.get("@type") if isinstance(document, dict) else None
    if kind == "Offer":
        return parse_offer(data)
    if kind == "Agreement":
        return parse_agreement(data)
    raise DocumentError("$.@type", "'Offer' or 'Agreement'", ascii(kind)[:60])


def pretty(policy: Policy) -> str:
    """The policy's normal form, to be read."""
    return json.dumps(policy.to_json(), indent=2, ensure_ascii=False)


@lru_cache(maxsize=512)
def _parsed(kind: Kind, document: str) -> Policy:
    try:
        return (parse_offer if kind == "offer" else parse_agreement)(document.encode())
    except PolicyError as error:
        raise NotKnown(f"{kind}: expected one of the profile: {error}") from error


@lru_cache(maxsize=1024)
def _found(
    kind: Kind,
    document: str,
    beside: tuple[str, ...],
    described: Described | None,
    laws: tuple[Baseline, ...],
    now: datetime,
) -> tuple[Finding, ...]:
    """`found_in`, thought about once an hour at most."""
    policies = [_parsed("offer", other) for other in beside]
    offers = [one for one in policies if isinstance(one, Offer)]
    return found_in(_parsed(kind, document), now, beside=offers, described=described, laws=laws)


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _offer(one: Object) -> Held:
    return Held(
        kind="offer",
        id=one["offer"],
        product=one["product"],
        owner=one["participant"],
        consumer="",
        ended=one["withdrawn"],
        document=one["document"],
        listed=one,
    )


def _agreement(one: Object) -> Held:
    return Held(
        kind="agreement",
        id=one["agreement"],
        product=one["product"],
        owner=one["assigner"],
        consumer=one["assignee"],
        ended=one["withdrawn"],
        document=one["document"],
        listed=one,
    )
