"""The left operands of the profile: a row each, with where its value comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from policies.actions import ODRL, our_iri
from policies.relations import (
    relate_environments,
    relate_places,
    relate_purposes,
    relate_units,
)
from policies.rows import Kind, Operand

_ORDER = ("lt", "lteq", "gt", "gteq", "eq")
_SETS = ("eq", "neq", "isAnyOf", "isNoneOf")


def _choice(
    term: str, code: str, subject: str, values: str, source: str, advice: str = ""
) -> Operand:
    """A row whose value is one of a few words."""
    return Operand(
        term=term,
        iri=our_iri(term),
        operators=_SETS,
        kind=Kind.NAME,
        unit=values,
        source=source,
        subject=subject,
        code=code,
        pattern=re.compile(values.replace(", ", "|")),
        advice=advice,
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
                iri=our_iri("epsilon"),
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="ε of differential privacy",
                source="all uses of the product so far, under any agreement, those of open permits "
                "and the one being decided; unknown where one of them has no bound",
                subject="the privacy loss ε",
                code="epsilon-exhausted",
                most=Decimal(1_000_000),
            ),
            Operand(
                term="delta",
                iri=our_iri("delta"),
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="δ of differential privacy",
                source="the run's plan; unknown where it states none",
                subject="the δ that ε is stated at",
                code="delta-not-allowed",
                advice="start the run with --noise and --delta",
                most=Decimal(1),
            ),
            Operand(
                term="clipNorm",
                iri=our_iri("clipNorm"),
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="L2 norm of an update's difference from the round's model",
                source="the run's plan; unknown where it states none",
                subject="the clipping norm",
                code="clip-norm-not-allowed",
                advice="start the run with --clip-norm",
            ),
            _choice(
                "secureAggregation",
                "secure-sum-not-allowed",
                "the secure sum",
                "none, governance, pairwise",
                "the run's plan",
                "start the run with --secure-sum",
            ),
            Operand(
                term="noise",
                iri=our_iri("noise"),
                operators=_ORDER,
                kind=Kind.DECIMAL,
                unit="standard deviation of the noise in a released sum, in clipping norms",
                source="the run's plan; 0 where it states none",
                subject="the noise",
                code="noise-not-allowed",
                advice="start the run with --noise",
            ),
            _choice(
                "noiseBy",
                "noise-by-not-allowed",
                "who adds the noise",
                "none, nodes, governance",
                "the run's plan",
                "start the run with --noise and --noise-by",
            ),
            Operand(
                term="privacyUnit",
                iri=our_iri("privacyUnit"),
                operators=(*_SETS, "isA"),
                kind=Kind.NAME,
                unit="none, record, subject",
                source="the run's plan",
                subject="the unit of privacy",
                code="privacy-unit-not-allowed",
                relate=relate_units,
                pattern=re.compile("none|record|subject"),
                advice="start the run with --noise and --unit",
            ),
            Operand(
                term="minParticipants",
                iri=our_iri("minParticipants"),
                operators=("gteq",),
                kind=Kind.INTEGER,
                unit="participants",
                source="distinct participants in the round's cohort; with secure sums at most as "
                "many as the smallest sum that the run may open",
                subject="the number of participants",
                code="too-few-participants",
                cohort=True,
            ),
            Operand(
                term="rowShare",
                iri=our_iri("rowShare"),
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
                iri=our_iri("togetherWith"),
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
                iri=our_iri("notTogetherWith"),
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
                iri=our_iri("algorithm"),
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
                iri=our_iri("executionEnvironment"),
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
                iri=our_iri("filingNumber"),
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
