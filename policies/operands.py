"""The profile as tables: actions, operators and left operands are rows, and nothing else is known.

An operand, operator or action without a row here is refused at intake (`policies.intake`), so that
no constraint is ever dropped silently. To extend the profile, add a row and a line to `profile.md`.

Every name that a user of the tables needs can be imported from here, wherever it is defined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.outcomes import LOGIC, Outcome, all_of, any_of, negate, one_of
from policies.relations import (
    ENVIRONMENTS,
    PURPOSES,
    Purposes,
    Relation,
    relate_environments,
    relate_places,
    relate_purposes,
)
from policies.rows import Action, Kind, Operand, Operator, Stage
from policies.values import (
    MAX_NAME,
    MAX_VALUES,
    XSD,
    Right,
    is_name,
    parse_datetime,
    parse_right,
    right_to_json,
)

__all__ = [
    "ACTIONS",
    "COVERS",
    "ENVIRONMENTS",
    "FULFILLED",
    "LOGIC",
    "MAX_NAME",
    "MAX_VALUES",
    "ODRL",
    "OPERANDS",
    "OPERATORS",
    "PENDING",
    "PROFILE",
    "PURPOSES",
    "VIOLATED",
    "XSD",
    "Action",
    "Kind",
    "Operand",
    "Operator",
    "Outcome",
    "Purposes",
    "Relation",
    "Right",
    "Stage",
    "all_of",
    "any_of",
    "is_name",
    "negate",
    "one_of",
    "parse_datetime",
    "parse_right",
    "right_to_json",
]

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


def _ours(term: str) -> str:
    return f"{PROFILE}#{term}"


# Which action lies inside which follows the ODRL 2.2 vocabulary: all of these belong to `use`.
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        row.term: row
        for row in (
            Action("use", f"{ODRL}use", None, asked=False),
            Action("train", _ours("train"), "use"),
            Action("evaluate", _ours("evaluate"), "use"),
            Action("infer", _ours("infer"), "use"),
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
            Action("report", _ours("report"), "use", duty="post", phrase="report the result"),
            Action("watermark", f"{ODRL}watermark", "use", duty="post", phrase="mark the model"),
            Action(
                "attribute", f"{ODRL}attribute", "use", duty="post", phrase="name the contributors"
            ),
            Action("list", _ours("list"), None),
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

_ORDER = ("lt", "lteq", "gt", "gteq", "eq")
_SETS = ("eq", "neq", "isAnyOf", "isNoneOf")


def _choice(term: str, code: str, subject: str, values: str, source: str) -> Operand:
    """A row whose value is one of a few words."""
    return Operand(
        term=term,
        iri=_ours(term),
        operators=_SETS,
        kind=Kind.NAME,
        unit=values,
        source=source,
        subject=subject,
        code=code,
        pattern=re.compile(values.replace(", ", "|")),
    )


OPERANDS: Mapping[str, Operand] = MappingProxyType(
    {
        row.term: row
        for row in (
            Operand(
                term="purpose",
                iri=f"{ODRL}purpose",
                operators=(*_SETS, "isA"),
                kind=Kind.NAME,
                unit="",
                source="the run's declared purpose",
                subject="the purpose",
                code="purpose-not-allowed",
                relate=relate_purposes,
            ),
            Operand(
                term="dateTime",
                iri=f"{ODRL}dateTime",
                operators=(*_ORDER, "neq"),
                kind=Kind.INSTANT,
                unit="UTC instant, milliseconds",
                source="the clock of whoever decides, once per round",
                subject="the time",
                code="time-not-allowed",
            ),
            Operand(
                term="count",
                iri=f"{ODRL}count",
                operators=_ORDER,
                kind=Kind.INTEGER,
                unit="uses",
                source="uses of the product under the agreement so far, plus the one being decided",
                subject="the number of uses",
                code="count-exhausted",
                least=1,
            ),
            Operand(
                term="meteredTime",
                iri=f"{ODRL}meteredTime",
                operators=_ORDER,
                kind=Kind.DURATION,
                unit="seconds of use",
                source="receipts under the agreement so far, plus what open permits and the use "
                "being decided may take",
                subject="the metered time",
                code="metered-time-exhausted",
            ),
            Operand(
                term="elapsedTime",
                iri=f"{ODRL}elapsedTime",
                operators=_ORDER,
                kind=Kind.DURATION,
                unit="seconds",
                source="the clock, since the first permit under the agreement",
                subject="the time since the first use",
                code="elapsed-time-exhausted",
            ),
            Operand(
                term="spatial",
                iri=f"{ODRL}spatial",
                operators=(*_SETS, "isPartOf"),
                kind=Kind.NAME,
                unit="ISO 3166 code",
                source="the node's registered place of processing",
                subject="the place of processing",
                code="place-not-allowed",
                relate=relate_places,
                # EU and UN are groups, inside which no country's code lies, and HK, MO and TW have
                # a second code under CN: a prohibition with one of these would not apply to places
                # that it means. So they are refused: countries are listed, each by its one code.
                pattern=re.compile(
                    r"(?!(?:EU|UN|CN-HK|CN-MO|CN-TW)(?:-|$))[A-Z]{2}(?:-[A-Z0-9]{1,8})*"
                ),
            ),
            Operand(
                term="recipient",
                iri=f"{ODRL}recipient",
                operators=_SETS,
                kind=Kind.NAME,
                unit="",
                source="the participant that receives the round's result",
                subject="the recipient",
                code="recipient-not-allowed",
            ),
            Operand(
                term="industry",
                iri=f"{ODRL}industry",
                operators=_SETS,
                kind=Kind.NAME,
                unit="",
                source="the recipient's registered sector",
                subject="the recipient's sector",
                code="industry-not-allowed",
            ),
            Operand(
                term="event",
                iri=f"{ODRL}event",
                operators=_SETS,
                kind=Kind.NAME,
                unit="training-round, evaluation-round, inference, derivation, distribution",
                source="what is being decided",
                subject="the event",
                code="event-not-allowed",
                pattern=re.compile(
                    "training-round|evaluation-round|inference|derivation|distribution"
                ),
            ),
            Operand(
                term="payAmount",
                iri=f"{ODRL}payAmount",
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="voucher units",
                source="what the run pays for one use of the product",
                subject="the pay for the use",
                code="pay-not-enough",
            ),
            Operand(
                term="version",
                iri=f"{ODRL}version",
                operators=_ORDER,
                kind=Kind.INTEGER,
                unit="number",
                source="the product's registration",
                subject="the product's data version",
                code="version-not-allowed",
                least=1,
            ),
            Operand(
                term="epsilon",
                iri=_ours("epsilon"),
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="ε of differential privacy",
                source="privacy loss under the agreement so far, plus what open permits and the "
                "use being decided may add",
                subject="the privacy loss ε",
                code="epsilon-exhausted",
            ),
            Operand(
                term="minParticipants",
                iri=_ours("minParticipants"),
                operators=("gteq",),
                kind=Kind.INTEGER,
                unit="participants",
                source="distinct participants in the round's cohort",
                subject="the number of participants",
                code="too-few-participants",
                cohort=True,
            ),
            Operand(
                term="rowShare",
                iri=_ours("rowShare"),
                operators=("lt", "lteq"),
                kind=Kind.DECIMAL,
                unit="share of the cohort's rows, from 0 to 1, rounded up at six digits",
                source="registered rows of the round's cohort",
                subject="the product's share of all rows",
                code="row-share-too-large",
                cohort=True,
            ),
            Operand(
                term="togetherWith",
                iri=_ours("togetherWith"),
                operators=("hasPart", "isAllOf", "isAnyOf"),
                kind=Kind.NAMES,
                unit="participant",
                source="which of the named participants are in the round's cohort",
                subject="the company of its partners",
                code="partner-missing",
                cohort=True,
                fact="of its partners, {} takes part",
            ),
            Operand(
                term="notTogetherWith",
                iri=_ours("notTogetherWith"),
                operators=("isNoneOf",),
                kind=Kind.NAMES,
                unit="participant",
                source="which of the named participants cannot be ruled out of the round's cohort",
                subject="the company of its competitors",
                code="competitor-present",
                cohort=True,
                fact="{} may take part",
                wish="asks that {} stay out",
            ),
            Operand(
                term="algorithm",
                iri=_ours("algorithm"),
                operators=_SETS,
                kind=Kind.NAME,
                unit="SHA-256 of an app bundle",
                source="the run's app",
                subject="the app",
                code="app-not-allowed",
                pattern=re.compile("[0-9a-f]{64}"),
            ),
            Operand(
                term="executionEnvironment",
                iri=_ours("executionEnvironment"),
                operators=(*_SETS, "isA"),
                kind=Kind.NAME,
                unit="process, confined, isolated",
                source="what confines the app at the node",
                subject="the execution environment",
                code="environment-not-allowed",
                relate=relate_environments,
                pattern=re.compile("process|confined|isolated"),
            ),
            _choice(
                "classification",
                "classification-not-allowed",
                "the product's classification",
                "general, important, core",
                "the product's registration",
            ),
            _choice(
                "personalInformation",
                "personal-information",
                "whether the product holds personal information",
                "yes, no",
                "the product's registration",
            ),
            _choice(
                "subjectConsent",
                "subject-consent-missing",
                "the record of data subjects' consent",
                "table, none",
                "the product's registration",
            ),
            _choice(
                "anonymization",
                "anonymization-not-agreed",
                "the duty to anonymise",
                "agreed, none",
                "the agreement",
            ),
            _choice(
                "crossBorder",
                "crossing-not-allowed",
                "whether the result crosses a jurisdiction",
                "yes, no",
                "the places of the product and of the recipient",
            ),
            _choice(
                "spatialPermission",
                "spatial-permission-missing",
                "the spatial permission for the recipient's jurisdiction",
                "explicit, none",
                "the agreement",
            ),
            Operand(
                term="filingNumber",
                iri=_ours("filingNumber"),
                operators=_SETS,
                kind=Kind.NAME,
                unit="",
                source="the product's registration; `none` where there is none",
                subject="the filing number",
                code="filing-number-missing",
            ),
        )
    }
)
