"""The page that tries a run's next round: who would take part, and why others would not.

It is decided as a round is (`server.hearing`, `policies.cohort`), with what the registry holds now,
the run's plan or changes to it, and whoever is taken to be online. Nothing is asked for or logged.
An enterprise sees its own part of the plan as it is, and how many take part: what a change does to
others would tell it what stands in their agreements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection
from starlette.responses import Response

from policies.cohort import RoundDecision, Verdict, decide_round
from policies.cover import decide_covered
from policies.errors import DocumentError
from policies.explain import Explanation, explain_facts, explain_report
from policies.permit import EVENTS
from policies.phrases import Language
from policies.privacy_facts import fewest_opened
from policies.statements import RunSpec
from server import queries
from server.agreements import Agreements
from server.console.door import Visit
from server.console.facts_form import ASK
from server.console.facts_known import parsed_spec
from server.console.pages import Pages
from server.console.pondering import Pondering
from server.console.spaces import names_for
from server.dsp.transfer_steps import with_held
from server.errors import NotKnown, RuleBroken
from server.governance import Governance
from server.hearing import Hearing
from server.round_asks import RoundAsk
from server.rows import RunRow
from server.views import may_see_run

MAX_TRIED: Final = 500  # agreements of a run whose next round is tried
SUMS: Final = ("none", "governance", "pairwise")
_TEXTS: Final = ("purpose", "secure_sum", "clip_norm")


@dataclass(frozen=True, slots=True)
class Part:
    """One enterprise's part of the round.

    Attributes:
        place: of its agreement in the run's plan, which names its checkbox.
        online: it is taken to be.
        href: where its agreement alone is tried; "" where the reader may not see it.
    """

    place: int
    participant: str
    product: str
    online: bool
    permitted: bool
    explained: Explanation
    href: str


class RoundPages:
    """Works of trying a round."""

    def __init__(
        self,
        *,
        governance: Governance,
        pages: Pages,
        pondering: Pondering,
        clock: Callable[[], datetime],
    ) -> None:
        self._governance = governance
        self._pages = pages
        self._pondering = pondering
        self._clock = clock

    def page(self, visit: Visit) -> Response:
        """`GET /policies/round/RUN`: the next round, by the run's plan or by the form."""
        with self._governance.reading() as connection:
            row = _run(connection, visit)
            query = visit.query if visit.caller.role != "node" else {}
            plan, kind = parsed_spec(row), _kind(row, query)
            online = _online(plan, query)
            spec, wrong = plan, ""
            try:
                spec = _changed(plan, query)
            except DocumentError as error:
                wrong = str(error)
            with self._pondering.turn():
                decision, hearing = self._decide(connection, row, spec, kind, online)
        parts = _parts(visit, row.id, decision, hearing, online)
        caller = visit.caller
        shown = [
            one for one in parts if caller.role != "node" or one.participant == caller.participant
        ]
        return self._pages.show(
            visit,
            "policy_round.html",
            status=400 if wrong else 200,
            wrong=wrong,
            row=row,
            spec=spec,
            kind=kind,
            kinds=tuple(EVENTS),
            sums=SUMS,
            number=row.closed_rounds + 1,
            parts=shown,
            may_change=caller.role != "node",
            permitted=len(decision.permitted),
            asked=len(decision.verdicts),
            names=names_for(self._governance, visit.caller),
        )

    def _decide(
        self,
        connection: Connection,
        row: RunRow,
        spec: RunSpec,
        kind: str,
        online: frozenset[str],
    ) -> tuple[RoundDecision, Hearing]:
        """Step 3, without what makes it count."""
        keys = {
            claim.fleet_key: "tried"
            for id, claim in queries.claims(connection, spec.agreements).items()
            if id in online
        }
        ask = RoundAsk(
            run=row.id,
            flower_run=row.flower_run or "",
            round=row.closed_rounds + 1,
            kind=kind,
            model="",
            online=(),
            request_id="",
            architecture="",
            floats=0,
        )
        hearing = Hearing.read(
            connection,
            Agreements(),
            run=row,
            spec=spec,
            ask=ask,
            online=keys,
            clock=self._clock(),
        )
        decide = partial(
            decide_round,
            min_cohort=spec.min_cohort,
            opened=fewest_opened(spec.secure_sum, spec.min_cohort),
            baseline=self._governance.baseline.laws,
        )
        candidates = with_held(connection, row.id, hearing.candidates())
        pays, voucher = Decimal(spec.pays), hearing.voucher
        return decide_covered(candidates, decide, pays=pays, voucher=voucher), hearing


def _run(connection: Connection, visit: Visit) -> RunRow:
    """The run, for those who may see it.

    Raises:
        NotKnown: none such.
        RuleBroken: more than `MAX_TRIED` agreements.
    """
    row = queries.run(connection, visit.params["run"])
    if row is None or not may_see_run(connection, visit.caller, row):
        raise NotKnown(f"run {visit.params['run']!r:.80}: expected the id of a run")
    if len(parsed_spec(row).agreements) > MAX_TRIED:
        raise RuleBroken(f"{row.id}: expected at most {MAX_TRIED} agreements to try")
    return row


def _kind(row: RunRow, query: Mapping[str, str]) -> str:
    """What the form says, else what comes next."""
    asked = query.get("kind", "")
    if asked in EVENTS:
        return asked
    return "train" if row.closed_rounds < parsed_spec(row).rounds else "evaluate"


def _online(plan: RunSpec, query: Mapping[str, str]) -> frozenset[str]:
    """The agreements whose owners are taken to be online; all where nobody has said."""
    if ASK not in query:
        return frozenset(plan.agreements)
    return frozenset(id for place, id in enumerate(plan.agreements) if f"in-{place}" in query)


def _changed(plan: RunSpec, query: Mapping[str, str]) -> RunSpec:
    """The plan with what the form changes; DocumentError for one that no run could have."""
    if ASK not in query:
        return plan
    changes: dict[str, Any] = {name: query[name].strip() for name in _TEXTS if name in query}
    cohort = query.get("min_cohort", "").strip()
    if cohort:
        digits = cohort.isascii() and cohort.isdigit() and len(cohort) < 9
        changes["min_cohort"] = int(cohort) if digits else cohort
    return RunSpec.from_json(plan.to_json() | changes)


def _parts(
    visit: Visit, run: str, decision: RoundDecision, hearing: Hearing, online: frozenset[str]
) -> list[Part]:
    """Every enterprise's part, in the order of the plan."""
    verdicts = {(one.participant, one.product): one for one in decision.verdicts}
    found = []
    for place, id in enumerate(hearing.spec.agreements):
        claim = hearing.claims[id]
        verdict = verdicts[claim.participant, claim.product]
        query = f"run={quote(run)}&action={hearing.ask.kind}"
        found.append(
            Part(
                place=place,
                participant=claim.participant,
                product=claim.product,
                online=id in online,
                permitted=verdict.permitted,
                explained=_explained(verdict, visit.words.language),
                href=f"/policies/what-if/agreement/{quote(id, safe='/:')}?{query}",
            )
        )
    return found


def _explained(verdict: Verdict, language: Language) -> Explanation:
    if verdict.report is None:
        return explain_facts(verdict.participant, verdict.reasons, language)
    return explain_report(
        verdict.participant, verdict.report, language, permitted=verdict.permitted
    )
