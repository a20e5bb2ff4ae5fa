"""The page that tries a policy: facts of a round that could be, and what would be decided.

Nothing is asked of a run here and nothing is logged. The decision is made by the code that decides
rounds, with the space's laws; what it does not know of are the other enterprises of a round, whose
refusals can make a cohort too small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.responses import Response

from policies.asking import Asking, agreement_for
from policies.errors import DocumentError
from policies.evaluate import Request, evaluate
from policies.explain import Explanation, explain_report
from policies.nearest import Change, Way, nearest_permits
from policies.operands import OPERANDS
from policies.phrases import WORDS, Language
from policies.reading import shown
from policies.results import Value
from policies.values import is_name
from server import queries
from server.console.door import Visit
from server.console.facts_form import ASK, ASKED, Field, asking_of, fields_of, query_of
from server.console.facts_known import Scene, known_state, parsed_spec
from server.console.pages import Pages
from server.console.pondering import Pondering
from server.console.read_lines import told
from server.console.shelf import Held, Shelf
from server.console.spaces import listed
from server.console.verdict import decided
from server.errors import BadInput
from server.governance import Governance
from server.rows import RunRow
from server.views import may_see_run

MAX_RUNS: Final = 20  # that the form can be filled in from, the newest
TRIED: Final = "the form"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a way out, in words."""

    label: str
    before: str
    after: str
    grows_only: bool


@dataclass(frozen=True, slots=True)
class Out:
    """A way out; `href` is the page with its values filled in."""

    steps: tuple[Step, ...]
    href: str


class WhatIfPages:
    """Works of `what if`."""

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
        self._pondering = pondering
        self._shelf = shelf
        self._pages = pages
        self._clock = clock

    def page(self, visit: Visit) -> Response:
        """`GET /policies/what-if/KIND/ID`: the form, and the decision on what it says."""
        held = self._shelf.one(visit.caller, visit.params["kind"], visit.params["id"])
        scene = self._scene(visit, held)
        with self._governance.reading() as connection:
            state = known_state(connection, scene)
        asking = Asking(
            Request(held.product, scene.consumer or "-", scene.action), scene.now, state
        )
        wrong = ""
        if ASK in visit.query:
            try:
                asking = asking_of(
                    visit.query,
                    held.policy,
                    self._shelf.laws,
                    target=held.product,
                    now=scene.now,
                )
            except DocumentError as error:
                wrong = str(error)
        fields = fields_of(held.policy, self._shelf.laws, asking.state)
        if wrong:
            fields = {group: _as_sent(some, visit.query) for group, some in fields.items()}
        return self._pages.show(
            visit,
            "what_if.html",
            status=400 if wrong else 200,
            held=held,
            wrong=wrong,
            fields=fields,
            labels=labels(visit.words.language),
            actions=ASKED,
            scene=scene,
            runs=self._runs(visit, held),
            consumers=self._consumers(visit),
            before=self._before(visit, held),
            here=_here(held),
            **({} if wrong else self._decision(visit, held, scene, asking)),
        )

    def _decision(self, visit: Visit, held: Held, scene: Scene, asking: Asking) -> dict[str, Any]:
        """What the page says about a request that can be decided."""
        laws, language = self._shelf.laws, visit.words.language
        try:
            agreement = agreement_for(held.policy, asking)
        except DocumentError as error:
            raise BadInput(str(error)) from error
        report = evaluate(agreement, asking.request, asking.state, baseline=laws)
        verdict = decided(report, language)
        with self._pondering.turn():
            ways = nearest_permits(agreement, asking.request, asking.state, baseline=laws)
        explained: Explanation = explain_report(asking.request.assignee, report, language)
        return {
            "verdict": verdict,
            "explained": explained,
            "ways": ways,
            "outs": [self._out(held, scene, asking, way, language) for way in ways.ways],
            "read": told(held.policy, language, deciding=verdict.paths),
        }

    def _scene(self, visit: Visit, held: Held) -> Scene:
        caller, query = visit.caller, visit.query
        action = query.get("action", "")
        own = caller.participant if caller.role == "consumer" else ""
        consumer = query.get("consumer", "").strip() or held.consumer or own
        if consumer and not is_name(consumer):
            raise BadInput(f"consumer: expected a participant's id, got {consumer!r:.80}")
        return Scene(
            held=held,
            run=self._run(visit, held, query.get("run", "")),
            consumer=consumer,
            action=action if action in ASKED else "train",
            now=self._clock(),
        )

    def _run(self, visit: Visit, held: Held, id: str) -> RunRow | None:
        """The run that the form is filled in from: one under this agreement that the caller may
        see; None else."""
        if not id:
            return None
        with self._governance.reading() as connection:
            row = queries.run(connection, id)
            if row is None or not may_see_run(connection, visit.caller, row):
                return None
        return row if held.id in parsed_spec(row).agreements else None

    def _runs(self, visit: Visit, held: Held) -> list[str]:
        if held.kind != "agreement":
            return []
        found = [
            str(one["run"])
            for one in listed(self._governance, visit.caller, "runs")
            if held.id in one["spec"]["agreements"]
        ]
        return found[: -MAX_RUNS - 1 : -1]

    def _consumers(self, visit: Visit) -> list[str]:
        people = listed(self._governance, visit.caller, "participants")
        return [one["participant"] for one in people if one["role"] == "consumer"]

    def _before(self, visit: Visit, held: Held) -> list[str]:
        """Codes of what refuses a round before any policy is asked."""
        found = []
        if held.ended:
            found.append("consent-withdrawn" if held.kind == "agreement" else "offer-ended")
        certificate = self._shelf.product(visit.caller, held.product)["certificate"]
        if certificate != "valid":
            found.append(f"certificate-{certificate}")
        return found

    def _out(self, held: Held, scene: Scene, asking: Asking, way: Way, language: Language) -> Out:
        state = dict(asking.state)
        for change in way:
            state.pop(change.term, None)
            if change.after is not None:
                state[change.term] = Value(change.after, TRIED)
        query = {ASK: "1", "action": asking.request.action, "consumer": scene.consumer}
        query |= {"run": scene.run.id} if scene.run else {}
        query |= query_of(state, held.policy, self._shelf.laws)
        steps = tuple(_step(change, language) for change in way)
        return Out(steps, f"{_here(held)}?{urlencode(query)}")


def labels(language: Language) -> dict[str, str]:
    """What each term's field is called."""
    words = WORDS[language]
    found = {**words.duties, **words.subjects}
    return {term: text[:1].upper() + text[1:].rstrip(",") for term, text in found.items()}


def _step(change: Change, language: Language) -> Step:
    return Step(
        label=labels(language)[change.term],
        before=_told(change.term, change.before, language),
        after=_told(change.term, change.after, language),
        grows_only=change.grows_only,
    )


def _told(term: str, value: Any, language: Language) -> str:
    """A value in words; "" where it is not known."""
    if value is None:
        return ""
    return shown(term, value, language) if term in OPERANDS else str(value)


def _as_sent(fields: Sequence[Field], query: Mapping[str, str]) -> list[Field]:
    """The fields as they were filled in, right or wrong."""
    return [
        one if one.kind == "set" else replace(one, value=query.get(one.name, "")[:1024])
        for one in fields
    ]


def _here(held: Held) -> str:
    return f"/policies/what-if/{held.kind}/{quote(held.id, safe='/:')}"
