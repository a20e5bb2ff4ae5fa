"""The pages of runs: all of them, one of them live, starting and stopping."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from policies.canonical import canonical_bytes, sha256_hex
from policies.runconfig import with_seed
from policies.statements import RunSpec
from server import queries
from server.console.door import Door, Endpoint, Visit, see_other
from server.console.following import streamed
from server.console.live import Live
from server.console.pages import Pages
from server.console.privacy import UNITS
from server.console.run_form import NUMBERS, TEXTS, purposes, spec_of
from server.console.spaces import listed
from server.errors import BadInput, NotKnown, RequestError
from server.governance import Governance

MAX_LISTED: Final = 200
_SUMS: Final = ("governance", "none")


class RunPages:
    """Works of the runs' pages.

    Args:
        request_id: makes the id under which a form's run is opened once, however often it is sent.
    """

    def __init__(
        self,
        *,
        governance: Governance,
        live: Live,
        pages: Pages,
        door: Door,
        request_id: Callable[[], str],
    ) -> None:
        self._governance = governance
        self._live = live
        self._pages = pages
        self._door = door
        self._request_id = request_id

    def all(self, visit: Visit) -> Response:
        """`GET /runs`: the newest first."""
        runs = listed(self._governance, visit.caller, "runs")[: -MAX_LISTED - 1 : -1]
        return self._pages.show(visit, "runs.html", runs=runs)

    def one(self, visit: Visit) -> Response:
        """`GET /runs/RUN`"""
        row = self._live.reading.row(visit.caller, visit.params["run"])
        live = self._live.drawing(visit.caller, row.id, visit.words)
        return self._pages.show(
            visit,
            "run.html",
            row=row,
            spec=json.loads(row.spec),
            live=live,
            may_stop=self._may_stop(visit, row.consumer) and not live.ended,
        )

    def events(self) -> Endpoint:
        """`GET /runs/RUN/events`: server-sent events."""

        async def endpoint(request: Request) -> Response:
            run = request.path_params["run"]
            return await streamed(
                self._door,
                request,
                lambda reader, words: self._live.events(reader, run, words),
                lambda caller: self._live.reading.check(caller, run),
            )

        return endpoint

    def ask_stop(self, visit: Visit) -> Response:
        """`GET /runs/RUN/stop`: are you sure?"""
        row = self._stoppable(visit)
        return self._pages.show(visit, "run_stop.html", run=row.id)

    def stop(self, visit: Visit) -> Response:
        """`POST /runs/RUN/stop`"""
        row = self._stoppable(visit)
        self._governance.runs.stop(visit.caller, row.id, visit.value("reason"))
        return see_other(f"/runs/{row.id}")

    def form(self, visit: Visit) -> Response:
        """`GET /runs/new`"""
        values = {**TEXTS, **{name: str(value) for name, value in NUMBERS.items()}}
        return self._form(visit, values, chosen=None, request_id=self._request_id())

    def start(self, visit: Visit) -> Response:
        """`POST /runs/new`: step 1; the form again, with what is wrong, if nothing was started."""
        self._door.check(visit.caller, "OpenRun")
        request_id = visit.value("request_id")
        try:
            spec = self._seeded(spec_of(visit.fields), request_id)
            opened = self._governance.runs.open(
                visit.caller, canonical_bytes(spec.to_json()), request_id
            )
        except RequestError as error:
            values = {name: visit.value(name) for name in (*TEXTS, *NUMBERS)}
            return self._form(
                visit,
                values,
                chosen=frozenset(visit.fields.get("agreement", ())),
                request_id=self._request_id() if isinstance(error, BadInput) else request_id,
                wrong=str(error),
            )
        return see_other(f"/runs/{opened.row.id}")

    def _seeded(self, spec: RunSpec, request_id: str) -> RunSpec:
        """With a seed of the run's own; the same request has the same one."""
        with self._governance.reading() as connection:
            app = queries.app(connection, spec.app)
        if app is None:
            return spec  # which governance refuses
        seed = int(sha256_hex(request_id.encode())[:16], 16)
        defaults = json.loads(app.config)
        return spec.model_copy(update={"config": with_seed(spec.config, defaults, seed)})

    def _form(
        self,
        visit: Visit,
        values: Mapping[str, str],
        *,
        chosen: frozenset[str] | None,
        request_id: str,
        wrong: str = "",
    ) -> Response:
        agreements: list[dict[str, Any]] = []
        apps: list[dict[str, Any]] = []
        named: list[str] = []
        if visit.caller.role == "consumer":
            agreements = [
                one
                for one in listed(self._governance, visit.caller, "agreements")
                if not one["withdrawn"]
            ]
            apps = listed(self._governance, visit.caller, "apps")
        named = purposes(one["document"] for one in agreements)
        if chosen is None and named:
            values = {**values, "purpose": named[0]}
        return self._pages.show(
            visit,
            "run_new.html",
            status=400 if wrong else 200,
            values=values,
            agreements=agreements,
            chosen=frozenset(one["agreement"] for one in agreements) if chosen is None else chosen,
            apps=apps,
            purposes=named,
            numbers=tuple(NUMBERS),
            sums=_SUMS,
            units=UNITS,
            request_id=request_id,
            wrong=wrong,
        )

    def _may_stop(self, visit: Visit, consumer: str) -> bool:
        return visit.caller.role == "operator" or visit.caller.participant == consumer

    def _stoppable(self, visit: Visit) -> Any:
        """The row of a run that the caller may stop."""
        row = self._governance.runs.get(visit.caller, visit.params["run"]).row
        self._door.check(visit.caller, "StopRun")
        if not self._may_stop(visit, row.consumer):
            raise NotKnown(f"{row.id}: expected a run of yours")
        return replace(row)
