"""Runs: step 1 of DESIGN.md ("Open"), and how they are resumed, stopped and ended.

States: OPEN (decided, not yet with Flower), RUNNING, and COMPLETED, FAILED or STOPPED. Which Flower
run carries a run is not in an entry of its own: permits name it, and a Flower run that is not the
present one gets no permit.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from policies.canonical import Json, canonical_bytes, parse_canonical
from policies.entries import MAX_ENTRY_BYTES, entry_bytes
from policies.errors import PolicyError
from policies.fields import instant
from policies.parts import log_lines
from policies.refusals import filing_reasons
from policies.release import large_enough
from policies.runconfig import ConfigValue, config_from_json, config_to_json
from policies.statements import RunSpec
from server import accounts, queries, registry, released
from server.agreements import Agreements
from server.bundles import fuse_config, load_bundle
from server.closes import close_of_released
from server.disclosing import Disclosing
from server.dsp.transfer_steps import on_run_ended, on_run_opened, on_run_resumed
from server.edge import Edge
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken, SuperLinkUnavailable
from server.journal import Journal
from server.pki import Identity
from server.rows import ENDED, RoundRow, RunRow
from server.superlink import SuperLink
from server.views import RunView, may_see_run, run_view

MAX_REASON: Final = 1000
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LOGGER = logging.getLogger(__name__)


class Runs:
    """Opening and ending.

    Args:
        disclosing: keeps what is said of a run's end.
        apps_folder: where bundles are kept.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        disclosing: Disclosing,
        superlink: SuperLink,
        apps_folder: Path,
        edge: Edge,
    ) -> None:
        self._journal = journal
        self._disclosing = disclosing
        self._superlink = superlink
        self._apps_folder = apps_folder
        self._edge = edge
        self._agreements = Agreements()
        # Held while Flower gets a run and it is bound: the ServerApp, which starts at once and
        # asks `find`, must not come before the binding. Permits of other runs do not wait for it.
        self._submitting = threading.Lock()

    def open(self, caller: Identity, spec_json: bytes, request_id: str) -> RunView:
        """Decide on a run, log it, then hand it to Flower. The same request again goes on where
        the first one was cut off.

        Raises:
            BadInput, NotKnown, NotAllowed, RuleBroken: the spec, by the checks in `_check`.
            SuperLinkUnavailable: the run is open and logged; send the request again.
            Unavailable: nothing was decided.
        """
        check_request_id(request_id)
        spec = _parse_spec(spec_json)
        with self._submitting:
            with self._journal.writing():
                with self._journal.reading() as connection:
                    row = queries.run_by_request(connection, caller.participant, request_id)
                    now = self._edge.clock()
                    config = {} if row else _check(connection, caller, spec, now)
                if row is None:
                    row = self._log_open(caller, spec, config, request_id)
                elif row.spec.encode() != canonical_bytes(spec.to_json()):
                    raise RuleBroken(f"request {request_id}: expected the spec it was used with")
            if row.state == "OPEN" and not row.flower_run:
                self._submit(row)
        return self.get(caller, row.id)

    def resume(self, caller: Identity, run_id: str) -> RunView:
        """Give a run that was cut off a new Flower run; closed rounds stay closed.

        Raises:
            NotKnown, NotAllowed: no such run of the caller's.
            RuleBroken: it is completed, or its next round was released and given up.
            SuperLinkUnavailable: it is open again and logged; send the request again.
        """
        with self._submitting:
            with self._journal.writing():
                with self._journal.reading() as connection:
                    row = own_run(connection, caller, run_id)
                if row.state == "COMPLETED":
                    raise RuleBroken(f"{run_id}: expected a run that is cut off, is completed")
                self._check_next_round(row)
                if row.state != "OPEN" or row.flower_run:
                    self._log_resume(row)
            # From here on the old Flower run gets no permit, whether it ends or not.
            self._stop_flower(row.flower_run)
            self._submit(row)
        return self.get(caller, run_id)

    def stop(
        self, caller: Identity, run_id: str, reason: str = "", *, failed: bool = False
    ) -> RunView:
        """End a run on its consumer's or the operator's word; an ended one stays as it is.

        Args:
            reason: for people; the log commits to it.
            failed: it could not go on by itself; its ServerApp says so.

        Raises:
            NotKnown, NotAllowed: no such run of the caller's.
        """
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = own_run(connection, caller, run_id)
            self._log_end(caller, row, reason[:MAX_REASON], failed=failed)
        self._stop_flower(row.flower_run)
        return self.get(caller, run_id)

    def end_cut_off(self) -> list[str]:
        """End, as FAILED, every run that Flower gave up while rounds of it were left; their ids.

        A ServerApp says itself why it cannot go on; one that was killed, with its machine or
        without, or that lost its patience with a governance that was away, says nothing. Whoever
        waits for its run is told here, and may resume it.

        Raises:
            SuperLinkUnavailable: whether any did is not known.
            Unavailable: the log cannot be written.
        """
        with self._journal.reading() as connection:
            carried = {
                row.flower_run: row.id
                for row in queries.runs(connection)
                if row.state not in ENDED and row.flower_run
            }
        given_up = self._superlink.ended(carried) if carried else {}
        ended = []
        for flower_run, why in given_up.items():
            with self._submitting, self._journal.writing():
                with self._journal.reading() as connection:
                    row = queries.run_by_flower(connection, flower_run)
                # It may have been closed, stopped or resumed since Flower was asked.
                if row is None or row.state in ENDED:
                    continue
                reason = f"its ServerApp ended before its last round ({why[:MAX_REASON]})"
                self._log_state(row, "FAILED", reason=reason)
                ended.append(row.id)
        return ended

    def find(self, caller: Identity, flower_run: str) -> RunView:
        """The run that this Flower run carries at present.

        Raises:
            NotKnown: none of the caller's. A ServerApp that gets this should end.
        """
        with self._submitting, self._journal.reading() as connection:
            row = queries.run_by_flower(connection, flower_run) if flower_run else None
            if row is None or row.consumer != caller.participant:
                raise NotKnown(f"Flower run {flower_run!r:.40}: expected one that carries a run")
            return run_view(connection, row, self._disclosing)

    def get(self, caller: Identity, run_id: str) -> RunView:
        """A run; NotKnown also where the caller may not see it."""
        with self._journal.reading() as connection:
            row = queries.run(connection, run_id)
            if row is None or not may_see_run(connection, caller, row):
                raise NotKnown(f"run {run_id!r:.80}: expected the id of a run")
            return run_view(connection, row, self._disclosing)

    def _log_open(
        self, caller: Identity, spec: RunSpec, config: Mapping[str, Any], request_id: str
    ) -> RunRow:
        run_id = self._edge.new_id("run")
        body = {
            "run": run_id,
            "consumer": caller.participant,
            "request_id": request_id,
            "spec": spec.to_json(),
            "config": config,
        }
        try:
            entry = entry_bytes("RunOpened", time=instant(self._edge.clock()), body=body)
        except PolicyError as error:
            raise BadInput(f"run: {error}") from error
        with self._journal.reading() as connection:
            transfers = on_run_opened(
                connection,
                run=run_id,
                consumer=caller.participant,
                agreements=spec.agreements,
                edge=self._edge,
            )
        self._journal.commit([entry, *transfers], key=f"run:{caller.participant}:{request_id}")
        with self._journal.reading() as connection:
            row = queries.run(connection, run_id)
        assert row is not None
        return row

    def _check_next_round(self, row: RunRow) -> None:
        """Returns only if the run's next round can still be decided."""
        number = row.closed_rounds + 1
        train = row.closed_rounds < json.loads(row.spec)["rounds"]
        with self._journal.reading() as connection:
            opened = released.of_round(connection, row.id, "train" if train else "evaluate", number)
            still = queries.open_rounds(connection, row.id)
        if opened is not None and opened.release.permit_id not in [one.permit_id for one in still]:
            raise RuleBroken(
                f"released-already: {row.id}: expected a next round whose masks were not released, "
                f"entry {opened.entry} released those of round {number}, which was given up; open "
                "another run"
            )

    def _log_resume(self, row: RunRow) -> None:
        body = {"run": row.id, "closed_rounds": row.closed_rounds}
        entry = entry_bytes("RunResumed", time=instant(self._edge.clock()), body=body)
        with self._journal.reading() as connection:
            transfers = on_run_resumed(
                connection,
                run=row.id,
                consumer=row.consumer,
                agreements=json.loads(row.spec)["agreements"],
                edge=self._edge,
            )
        self._journal.commit([entry, *transfers])

    def _submit(self, row: RunRow) -> None:
        spec = RunSpec.from_json(json.loads(row.spec))
        fab = load_bundle(self._apps_folder, spec.app)
        flower_run = self._superlink.start_run(fab, spec_overrides(spec))
        # A crash here leaves a Flower run that is bound to nothing: `find` does not know it, it
        # gets no permit, and its ServerApp ends. The request, sent again, submits another.
        bound = self._journal.side(
            lambda connection: registry.bind_flower_run(connection, row.id, flower_run)
        )
        if not bound:  # it was stopped meanwhile
            self._stop_flower(flower_run)

    def _stop_flower(self, flower_run: str | None) -> None:
        if not flower_run:
            return
        try:
            self._superlink.stop_run(flower_run)
        except SuperLinkUnavailable as error:
            # Not needed for safety: governance gives this Flower run nothing any more.
            _LOGGER.warning("Flower run %s was not told to stop: %s", flower_run, error)

    def _log_end(self, caller: Identity, row: RunRow, said: str, *, failed: bool) -> None:
        if row.state in ENDED:
            return
        by = caller.participant
        state, reason = ("FAILED", "its app failed") if failed else ("STOPPED", f"stopped by {by}")
        self._log_state(row, state, reason=reason, by=by, said=said)

    def _log_state(
        self, row: RunRow, state: str, *, reason: str, by: str = "", said: str = ""
    ) -> None:
        """The run's end, as `end_entry`; the journal's lock is held."""
        moment = instant(self._edge.clock())
        entries: list[bytes] = []
        with self._journal.reading() as connection:
            transfers = on_run_ended(connection, run=row.id, state=state, time=moment)
            for one in queries.open_rounds(connection, row.id):
                body = close_of_released(connection, row, one, self._agreements)
                if body is None:
                    entries.append(abandon_entry(one, time=moment, reason="the run ended"))
                    continue
                entries.append(entry_bytes("RoundClosed", time=moment, body=body))
                # The journal's lock is held and the log is settled: the next line is its size.
                last = self._journal.log.size + len(log_lines(entries[-1])) - 1
                model = str(body["model"])
                row = replace(row, closed_rounds=one.round, model=model, last_close=last)
        commitment = self._disclosing.commit_reason(said, about=by)
        entries.append(
            end_entry(row, state=state, reason=reason, time=moment, by=by, said=commitment)
        )
        self._journal.commit([*entries, *transfers])


def own_run(connection: Connection, caller: Identity, run_id: str) -> RunRow:
    """The caller's run; for the operator, any.

    Raises:
        NotKnown: no such run.
        NotAllowed: another consumer's.
    """
    row = queries.run(connection, run_id)
    if row is None:
        raise NotKnown(f"run {run_id!r:.80}: expected the id of a run")
    if caller.role != "operator" and row.consumer != caller.participant:
        raise NotAllowed(f"{run_id}: expected a run of {caller.participant}, is another's")
    return row


def abandon_entry(row: RoundRow, *, time: str, reason: str) -> bytes:
    """`RoundAbandoned`: the permit is void, and its uses stay counted."""
    body = {
        "run": row.run,
        "round": row.round,
        "kind": row.kind,
        "attempt": row.attempt,
        "permit_id": row.permit_id,
        "reason": reason,
    }
    return entry_bytes("RoundAbandoned", time=time, body=body)


def end_entry(
    row: RunRow,
    *,
    state: str,
    reason: str,
    time: str,
    last_close: int | None = None,
    by: str = "",
    said: str = "",
) -> bytes:
    """`RunEnded`, with what the run came to.

    Args:
        reason: in governance's own words.
        by: who ended it; "" where it ended by itself.
        said: commitment to what that participant said; "" for nothing.
        last_close: index of the last `RoundClosed` where the registry does not show it yet.
    """
    body = {
        "run": row.id,
        "state": state,
        "reason": reason,
        "participant": by,
        "said": said,
        "closed_rounds": row.closed_rounds,
        "model": row.model,
        "last_close": row.last_close if last_close is None else last_close,
    }
    return entry_bytes("RunEnded", time=time, body=body)


def check_request_id(request_id: str) -> None:
    """Returns only if it can be a request id: 1 to 64 letters, digits and . _ : -"""
    if not _REQUEST_ID.fullmatch(request_id):
        raise BadInput(
            f"request_id: expected 1 to 64 letters, digits and . _ : -, got {request_id!r:.80}"
        )


def _check_sum(spec: RunSpec, owners: int) -> None:
    """Returns only if a secure sum of all the run's owners could be opened; RuleBroken otherwise.

    Each permit decides anew, for those who are there.
    """
    if not large_enough(owners, spec.groups, spec.min_cohort):
        raise RuleBroken(
            f"groups: expected at most {owners // spec.min_cohort}, so that {owners} agreements "
            f"make groups of at least {spec.min_cohort}, got {spec.groups}"
        )


def spec_overrides(spec: RunSpec) -> dict[str, ConfigValue]:
    """The overrides of the app's run config that a spec asks for; DocumentError if malformed."""
    overrides: dict[str, Json] = {}
    for key, value in spec.config.items():
        overrides[key] = {"float": value["float"]} if isinstance(value, dict) else value
    return config_from_json(overrides)


def _parse_spec(data: bytes) -> RunSpec:
    try:
        return RunSpec.from_json(parse_canonical(data, max_bytes=MAX_ENTRY_BYTES))
    except PolicyError as error:
        raise BadInput(f"run spec: {error}") from error


def _check(
    connection: Connection, caller: Identity, spec: RunSpec, now: datetime
) -> Mapping[str, Any]:
    """What is decided when a run is opened; returns the fused run config as JSON.

    Each round is decided anew, so nothing here stands in for the checks of step 3.
    """
    app = queries.app(connection, spec.app)
    if app is None:
        raise NotKnown(f"app {spec.app[:16]}…: expected a registered app; register it first")
    for reason in filing_reasons(app, spec.purpose, now):
        raise RuleBroken(f"{reason.code}: {reason.text}; file it anew: tds app register")
    claims = queries.claims(connection, spec.agreements)
    owners: dict[str, str] = {}
    for id in spec.agreements:
        agreement = queries.agreement(connection, id)
        if agreement is None or agreement.assignee != caller.participant:
            raise NotKnown(f"agreement {id!r}: expected one with {caller.participant}")
        owner = claims[id].participant
        if owner in owners:
            raise RuleBroken(
                f"agreements: expected one a participant, got {owners[owner]} and {id} of {owner}"
            )
        owners[owner] = id
    for name, needed in (("quorum", spec.quorum), ("min_cohort", spec.min_cohort)):
        if needed > len(owners):
            raise RuleBroken(
                f"{name}: expected at most {len(owners)}, the number of agreements, got {needed}"
            )
    if spec.secure_sum != "none":
        _check_sum(spec, len(owners))
    if spec.pays != "0":
        voucher = accounts.voucher(connection, spec.voucher)
        if voucher is None or voucher.consumer != caller.participant:
            raise NotKnown(
                f"voucher {spec.voucher!r}: expected one of {caller.participant}, since each use "
                f"pays {spec.pays} units; the operator issues them with: tds voucher issue"
            )
    try:
        fused = fuse_config(config_from_json(json.loads(app.config)), spec_overrides(spec))
        return config_to_json(fused)
    except PolicyError as error:
        raise BadInput(f"run spec: config: {error}") from error
