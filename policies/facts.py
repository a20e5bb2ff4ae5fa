"""What registrations and agreements say to the left operands that laws ask for.

Governance and node make these values in the same way, each from what it holds itself. What is not
known is left out: an operand without a value is unknown, and what depends on it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from policies.odrl import Agreement
from policies.operands import COVERS, FULFILLED, PENDING
from policies.places import crosses, within_jurisdiction
from policies.results import Value
from policies.rules import Duty, Rule, leaves

NONE = "none"
_NAMING = frozenset({"eq", "isAnyOf", "isPartOf"})


class Described(Protocol):
    """A product as it was registered: its card, or what a registry keeps of it."""

    @property
    def classification(self) -> str: ...

    @property
    def personal_information(self) -> bool: ...

    @property
    def subject_consent(self) -> str: ...

    @property
    def anonymization(self) -> str: ...

    @property
    def filing_number(self) -> str: ...

    @property
    def data_version(self) -> int: ...


def product_facts(product: Described, source: str) -> dict[str, Value]:
    """Left operands and pre-duties that a product's registration answers.

    The duty to anonymise is fulfilled by a product that names its method, the duty to obtain
    consent by one with a table of its subjects' consents; each on its owner's signed word.

    Args:
        source: where the registration stands, such as a log entry.
    """
    consents = product.subject_consent == "table"
    return {
        "classification": Value(product.classification, source),
        "personalInformation": Value("yes" if product.personal_information else "no", source),
        "subjectConsent": Value("table" if consents else NONE, source),
        "filingNumber": Value(product.filing_number or NONE, source),
        "version": Value(product.data_version, source),
        "anonymize": Value(FULFILLED if product.anonymization else PENDING, source),
        "obtainConsent": Value(FULFILLED if consents else PENDING, source),
    }


def agreement_facts(
    agreement: Agreement, action: str, recipient_region: str, source: str
) -> dict[str, Value]:
    """What an agreement says about one action; any permission that covers it may carry it, so
    each of them must say it.

    Args:
        recipient_region: ISO 3166 code; "" is unknown.
        source: where the agreement stands, such as a log entry.
    """
    rules = [rule for rule in agreement.permissions if action in COVERS[rule.action]]
    agreed = _anonymizes(agreement.obligations) or (
        bool(rules) and all(_anonymizes(rule.duties) for rule in rules)
    )
    facts = {"anonymization": Value("agreed" if agreed else NONE, source)}
    if recipient_region:
        explicit = bool(rules) and all(_names(rule, recipient_region) for rule in rules)
        facts["spatialPermission"] = Value("explicit" if explicit else NONE, source)
    return facts


def crossing_facts(
    jurisdiction: str, region: str, recipient_region: str, source: str
) -> dict[str, Value]:
    """Whether a result leaves the product's jurisdiction; empty where that is not known.

    Args:
        jurisdiction, region: of the product's place; "" is unknown.
        recipient_region: ISO 3166 code; "" is unknown.
    """
    found = crosses(jurisdiction, region, recipient_region)
    if found is None:
        return {}
    return {"crossBorder": Value("yes" if found else "no", source)}


def _anonymizes(duties: Iterable[Duty]) -> bool:
    return any(duty.action == "anonymize" for duty in duties)


def _names(rule: Rule, recipient_region: str) -> bool:
    """Whether the permission names a place inside the recipient's jurisdiction."""
    places = (
        place
        for leaf in leaves(rule.constraints)
        if leaf.operand == "spatial" and leaf.operator in _NAMING
        for place in (leaf.right if isinstance(leaf.right, tuple) else (str(leaf.right),))
    )
    return any(within_jurisdiction(place, recipient_region) for place in places)
