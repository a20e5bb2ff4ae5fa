"""Actions and operators of the profile as tables; left operands: `policies.left_operands`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.rows import Action, Operator

ODRL = "http://www.w3.org/ns/odrl/2/"
PROFILE = "https://w3id.org/tdspace/odrl/1"

# What a state may say of a duty; anything else, and nothing at all, is not known.
FULFILLED: Final = "fulfilled"
PENDING: Final = "pending"
VIOLATED: Final = "violated"

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        row.term: row
        for row in (
            Operator("eq", "only {}", "exactly {}"),
            Operator("neq", "anything but {}", "any time but {}"),
            Operator("lt", "less than {}", "times before {}"),
            Operator("lteq", "at most {}", "times up to {}"),
            Operator("gt", "more than {}", "times after {}"),
            Operator("gteq", "at least {}", "times from {} on"),
            Operator("isA", "only {} and what belongs to it"),
            Operator("isPartOf", "only {} and its regions"),
            Operator("hasPart", "only together with {}"),
            Operator("isAnyOf", "only {}"),
            Operator("isAllOf", "only together with all of {}"),
            Operator("isNoneOf", "anything but {}"),
        )
    }
)


def our_iri(term: str) -> str:
    """The IRI of a term that ODRL does not have."""
    return f"{PROFILE}#{term}"


# Which action lies inside which follows the ODRL 2.2 vocabulary: all of these belong to `use`.
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        row.term: row
        for row in (
            Action("use", f"{ODRL}use", None, asked=False),
            Action("train", our_iri("train"), "use"),
            Action("evaluate", our_iri("evaluate"), "use"),
            Action("infer", our_iri("infer"), "use"),
            Action("aggregate", f"{ODRL}aggregate", "use"),
            Action("derive", f"{ODRL}derive", "use"),
            Action("distribute", f"{ODRL}distribute", "use"),
            Action("anonymize", f"{ODRL}anonymize", "use", duty="pre", phrase="anonymise the data"),
            Action("compensate", f"{ODRL}compensate", "use", duty="pre", phrase="pay for the use"),
            Action(
                "obtainConsent",
                f"{ODRL}obtainConsent",
                "use",
                duty="pre",
                phrase="obtain the data subjects' consent",
            ),
            Action("inform", f"{ODRL}inform", "use", duty="pre", phrase="inform the owner"),
            Action(
                "delete",
                f"{ODRL}delete",
                "use",
                duty="post",
                phrase="delete what was received once it is aggregated",
            ),
            Action("report", our_iri("report"), "use", duty="post", phrase="report the result"),
            Action("watermark", f"{ODRL}watermark", "use", duty="post", phrase="mark the model"),
            Action(
                "attribute", f"{ODRL}attribute", "use", duty="post", phrase="name the contributors"
            ),
            Action("list", our_iri("list"), None),
        )
    }
)

# Rule action -> the requests it speaks about. `use` itself cannot be requested: a request names
# what will be done, or a prohibition of a narrower action would not be seen.
COVERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        rule: frozenset(
            row.term
            for row in ACTIONS.values()
            if row.asked and rule in (row.term, row.included_in)
        )
        for rule in ACTIONS
    }
)
