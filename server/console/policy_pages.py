"""The pages of policies: all of them, one read out, two side by side, and one that is pasted.

What is pasted is read and checked as governance would, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from policies.authoring import Comparison, compare
from policies.errors import PolicyError
from policies.evaluate import Request, evaluate
from policies.findings import Finding
from policies.odrl import MAX_BYTES, Agreement, Offer
from policies.operands import OPERANDS
from policies.phrases import Language
from policies.reading import shown
from policies.relations import PURPOSES
from policies.results import Value
from policies.sides import Side, Witness
from server.console.door import Visit
from server.console.negotiating import turn_of
from server.console.pages import Pages
from server.console.pondering import Pondering
from server.console.read_lines import told
from server.console.shelf import Described, Held, Policy, Shelf, found_in, pretty, read_policy
from server.console.spaces import listed, names_for
from server.console.verdict import decided
from server.console.whatif_pages import labels
from server.errors import NotKnown
from server.governance import Governance

MAX_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list; `worst` is the gravest finding's severity, "" without one."""

    held: Held
    worst: str


class PolicyPages:
    """Works of policies' pages."""

    def __init__(
        self,
        *,
        governance: Governance,
        shelf: Shelf,
        pages: Pages,
        pondering: Pondering,
        clock: Callable[[], datetime],
    ) -> None:
        self._governance = governance
        self._shelf = shelf
        self._pages = pages
        self._pondering = pondering
        self._clock = clock

    def all(self, visit: Visit) -> Response:
        """`GET /policies`: the newest first."""
        caller, now = visit.caller, self._clock()
        offers, agreements = self._shelf.offers(caller), self._shelf.agreements(caller)
        with self._pondering.turn():
            shown = [
                [self._line(one, now) for one in some[:MAX_LISTED]] for some in (offers, agreements)
            ]
        autos = {one.id for one in offers if one.listed["auto_agree"] and not one.ended}
        negotiations = listed(self._governance, caller, "negotiations")[: -MAX_LISTED - 1 : -1]
        return self._pages.show(
            visit,
            "policies.html",
            offers=shown[0],
            agreements=shown[1],
            negotiations=[
                (one, turn_of(caller, one, auto=one["offer"] in autos)) for one in negotiations
            ],
            more=max(len(offers), len(agreements), len(negotiations)) > MAX_LISTED,
            most=MAX_LISTED,
            names=names_for(self._governance, caller),
        )

    def one(self, visit: Visit) -> Response:
        """`GET /policies/read/KIND/ID`: in sentences, with what was found, and as ODRL."""
        held = self._shelf.one(visit.caller, visit.params["kind"], visit.params["id"])
        with self._pondering.turn():
            findings = self._shelf.findings(visit.caller, held, self._clock())
        return self._pages.show(
            visit,
            "policy.html",
            held=held,
            read=told(held.policy, visit.words.language, findings),
            odrl=pretty(held.policy),
            names=names_for(self._governance, visit.caller),
        )

    def compare(self, visit: Visit) -> Response:
        """`GET /policies/compare?a=KIND:ID&b=KIND:ID`: two side by side, once both are chosen."""
        caller, language = visit.caller, visit.words.language
        choices = [*self._shelf.agreements(caller), *self._shelf.offers(caller)]
        by_key = {f"{one.kind}:{one.id}": one for one in choices}
        chosen = {side: visit.query.get(side, "") for side in ("a", "b")}
        for side, key in chosen.items():
            if key and key not in by_key:
                raise NotKnown(f"{side}: expected an offer, or an agreement of yours")
        both = [by_key[key] for key in chosen.values() if key]
        first = both[0] if both else None
        shown: dict[str, Any] = {}
        if len(both) == 2:
            with self._pondering.turn():
                shown = _compared(both[0], both[1], language)
        # Those of the same product first: they are what one compares with.
        ordered = sorted(
            by_key.items(), key=lambda pair: first is None or pair[1].product != first.product
        )
        return self._pages.show(
            visit, "policy_compare.html", choices=ordered[: 2 * MAX_LISTED], chosen=chosen, **shown
        )

    def blank(self, visit: Visit) -> Response:
        """`GET /policies/check`: where a policy is pasted."""
        return self._pasted(visit, "", "")

    def check(self, visit: Visit) -> Response:
        """`POST /policies/check`: reads and checks what was pasted; nothing is kept."""
        text, product = visit.value("document"), visit.value("product")
        try:
            policy = read_policy(text)
        except PolicyError as error:
            return self._pasted(visit, text, product, wrong=str(error))
        findings = self._found(visit, policy, product)
        return self._pasted(
            visit,
            text,
            product,
            read=told(policy, visit.words.language, findings),
            odrl=pretty(policy),
            kind="agreement" if isinstance(policy, Agreement) else "offer",
            clean=not findings,
        )

    def _found(self, visit: Visit, policy: Policy, product: str) -> tuple[Finding, ...]:
        """What is found about a pasted policy; beside the others of its product, if one is
        named."""
        with self._pondering.turn():
            if not product:
                return found_in(policy, self._clock())
            described = Described.of(self._shelf.product(visit.caller, product))
            others = self._shelf.beside(visit.caller, product, but=policy.id)
            return found_in(
                policy,
                self._clock(),
                beside=[one for one in (held.policy for held in others) if isinstance(one, Offer)],
                described=described,
                laws=self._shelf.laws,
            )

    def _pasted(
        self, visit: Visit, text: str, product: str, *, wrong: str = "", **shown: Any
    ) -> Response:
        products = [one["product"] for one in listed(self._governance, visit.caller, "products")]
        return self._pages.show(
            visit,
            "policy_check.html",
            status=400 if wrong else 200,
            text=text,
            product=product,
            products=products,
            wrong=wrong,
            most=MAX_BYTES,
            **shown,
        )

    def _line(self, held: Held, now: datetime) -> Listed:
        return Listed(held, "" if held.ended else self._shelf.worst(held, now))


def _compared(a: Held, b: Held, language: Language) -> dict[str, Any]:
    """What the page says about two policies."""
    found: Comparison = compare(a.policy, b.policy)
    sides = []
    for name, held, other in (("A", a, b), ("B", b, a)):
        deciding: frozenset[str] = frozenset()
        if found.witness is not None:
            deciding = _deciding(held.policy, other.policy, found.witness, language)
        sides.append((name, held, told(held.policy, language, deciding=deciding)))
    return {
        "found": found,
        "sides": sides,
        "witness": _facts(found.witness, language) if found.witness else [],
    }


def _deciding(
    policy: Policy, other: Policy, witness: Witness, language: Language
) -> frozenset[str]:
    """The rules that decide the request which proves a comparison."""
    side = Side.of("A", policy, other, PURPOSES)
    request = Request(side.agreement.target, side.agreement.assignee, witness.action)
    state = {term: Value(value, "witness") for term, value in witness.values.items()}
    return decided(evaluate(side.agreement, request, state), language).paths


def _facts(witness: Witness, language: Language) -> list[tuple[str, str]]:
    """The request that proves a comparison, as facts."""
    known: Mapping[str, Any] = witness.values
    names = labels(language)
    return [
        (names[term], shown(term, value, language) if term in OPERANDS else str(value))
        for term, value in known.items()
    ]
