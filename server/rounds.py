"""A round's decision and permit: steps 2, 3 and 4 of DESIGN.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from policies.canonical import Json
from policies.cohort import RoundDecision, decide_round
from policies.cover import decide_covered
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.permit import LogPlace, PermitBody, sign_permit
from policies.privacy_facts import fewest_opened
from policies.statements import RunSpec
from server import mask_keys, queries, registry, released
from server.agreements import Agreements
from server.cosigning import Cosigning, Witnessed
from server.dsp.transfer_steps import with_held
from server.edge import Edge
from server.errors import RuleBroken, Superseded
from server.hearing import Hearing
from server.journal import Journal
from server.laws import Adopted
from server.mask_keys import MaskKey
from server.pki import Identity
from server.report_entries import report_entries
from server.round_asks import (
    RoundAsk,
    check_architecture,
    check_ask,
    check_current,
    check_next,
    check_released,
    nodes_by_key,
)
from server.rows import RoundRow, RunRow
from server.runs import abandon_entry, own_run
from server.second_key import Disagreement, SecondKey, decide_with_two_keys


@dataclass(frozen=True, slots=True)
class RoundAnswer:
    """The decision; `permit` is empty when nobody is permitted.

    Attributes:
        verdicts: objects with participant, product, node_id, permitted, reasons and duties.
        decision_index: log index of `RoundDecided`.
    """

    permit: bytes
    permit_id: str
    verdicts: tuple[Mapping[str, Any], ...]
    decision_index: int


class Rounds:
    """Deciding rounds.

    Args:
        space: its name, which permits carry.
        baseline: the space's laws; each decision names their digest.
        permit_key: signs permits, and nothing before its entry is durable.
        cosigning: where a permit's checkpoint gets the cosignatures that the operator's policy
            asks for.
        second_key: an engine that has to permit as well; None where a space has one key.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        space: str,
        permit_key: Ed25519PrivateKey,
        baseline: Adopted,
        edge: Edge,
        cosigning: Cosigning,
        second_key: SecondKey | None = None,
    ) -> None:
        self._journal = journal
        self._cosigning = cosigning
        self._baseline = baseline
        self._space = space
        self._permit_key = permit_key
        self._edge = edge
        self._agreements = Agreements()
        self._second_key = second_key

    def authorize(self, caller: Identity, ask: RoundAsk) -> RoundAnswer:
        """Decide a round and, if anybody may take part, permit it. Safe to send again: the same
        request id gets the same answer. A new one while a permit is open abandons that permit.

        Raises:
            BadInput, NotKnown, NotAllowed: the request.
            RuleBroken: the run has ended, or this is not its next round, or not its model, or no
                secure sum of it can be released any more.
            Superseded: a newer request or a newer Flower run took this one's place.
            Unavailable: the log cannot be written, and nothing was decided; or too few witnesses
                cosigned in time, and the permit waits, logged, for this request to come again.
        """
        # 2. Ask.
        check_ask(ask)
        online = nodes_by_key(ask.online)
        with self._journal.writing():
            with self._journal.reading() as connection:
                run = own_run(connection, caller, ask.run)
                before = queries.round_by_request(connection, run.id, ask.request_id)
                check_current(run, ask, before)
                if before is None:
                    spec = RunSpec.from_json(json.loads(run.spec))
                    _check_turn(connection, run, spec, ask)
                    key = self._new_mask_key(spec)
                    entries = self._decide(connection, run, spec, ask, online, key)
            if before is None:
                if key is not None:
                    # Before the entry that names its public half: a permit in the log whose key
                    # was never kept could not be opened.
                    self._journal.side(partial(mask_keys.keep, key=key))
                # 4. Log, then permit: `_sign` runs once the entries are durable. A crash before
                # the append leaves nothing. A crash after it leaves a permit that is logged and
                # counted but not signed; this request, sent again, gets it.
                self._journal.commit(
                    entries,
                    key=f"round:{run.id}:{ask.request_id}",
                    beside=lambda connection, _: self._sign_now(connection, run.id, ask.request_id),
                )
        # Without the lock: waiting for witnesses holds up nobody else.
        return self._answer(run.id, ask.request_id)

    def _decide(
        self,
        connection: Connection,
        run: RunRow,
        spec: RunSpec,
        ask: RoundAsk,
        online: Mapping[str, str],
        key: MaskKey | None,
    ) -> list[bytes]:
        """Step 3: the entries that say what was decided; counters are theirs to move."""
        hearing = Hearing.read(
            connection,
            self._agreements,
            run=run,
            spec=spec,
            ask=ask,
            online=online,
            clock=self._edge.clock(),
        )
        decide = partial(
            decide_round,
            min_cohort=spec.min_cohort,
            opened=fewest_opened(spec.secure_sum, spec.min_cohort),
            baseline=self._baseline.laws,
        )
        covered = partial(
            decide_covered, decide=decide, pays=Decimal(spec.pays), voucher=hearing.voucher
        )
        decision, alarms = decide_with_two_keys(
            with_held(connection, run.id, hearing.candidates()), self._second_key, covered
        )
        reason = f"request {ask.request_id} took its place"
        still_open = queries.open_rounds(connection, run.id)
        try:
            return [
                *(abandon_entry(one, time=hearing.time, reason=reason) for one in still_open),
                *self._entries(connection, hearing, decision, alarms, key),
            ]
        except PolicyError as error:
            raise RuleBroken(
                f"{run.id}: expected a decision that fits into a log entry: {error}; ask for fewer "
                "agreements in one run"
            ) from error

    def _entries(
        self,
        connection: Connection,
        hearing: Hearing,
        decision: RoundDecision,
        alarms: Iterable[Disagreement],
        key: MaskKey | None,
    ) -> Iterator[bytes]:
        """Reports, alarms, the decision, and at once on it the permit if anybody is permitted."""
        run, ask, time = hearing.run.id, hearing.ask, hearing.time
        yield from report_entries(
            decision, run=run, round_=ask.round, kind=ask.kind, attempt=hearing.attempt, time=time
        )
        for one in alarms:
            yield _alarm(one, run=run, ask=ask, time=time)
        body = hearing.decided(decision, self._baseline.digest)
        yield entry_bytes("RoundDecided", time=time, body=body)
        if decision.permitted:
            id = self._edge.new_id("permit") if key is None else key.permit_id
            public = "" if key is None else key.public
            permit = hearing.permit(decision, id=id, space=self._space, mask_key=public)
            released.check_permitted(connection, permit)
            yield permit.entry()

    def _new_mask_key(self, spec: RunSpec) -> MaskKey | None:
        """What the round's masks are opened with, if governance is the one that opens them."""
        if spec.secure_sum != "governance":
            return None
        return MaskKey.new(self._edge.new_id("permit"), self._edge)

    def _sign_now(self, connection: Connection, run_id: str, request_id: str) -> None:
        """Sign at once the permit whose entry has become durable, unless witnesses come first."""
        if not self._cosigning.required:
            self._sign(connection, run_id, request_id)

    def _sign(
        self,
        connection: Connection,
        run_id: str,
        request_id: str,
        witnessed: Witnessed | None = None,
    ) -> None:
        """Sign the permit of an attempt whose entry is durable, and keep the envelope.

        Args:
            witnessed: a head over that entry; None takes the log's newest.
        """
        row = queries.round_by_request(connection, run_id, request_id)
        if row is None or row.permit_body is None or row.permit_entry is None or row.permit:
            return
        if row.state == "ABANDONED":
            raise Superseded(f"request {request_id}: a newer request took its place")
        log = self._journal.log
        head = witnessed or Witnessed(log.size, log.checkpoint())
        place = LogPlace(
            index=row.permit_entry,
            size=head.size,
            proof=[hash.hex() for hash in log.inclusion_proof(row.permit_entry, head.size)],
            checkpoint=head.checkpoint,
        )
        body = PermitBody.from_json(json.loads(row.permit_body))
        registry.keep_permit(connection, row.id, sign_permit(body, place, self._permit_key))

    def _answer(self, run_id: str, request_id: str) -> RoundAnswer:
        # The entry is there and the envelope is not: after a crash between append and registry, or
        # where the operator's policy lets a permit wait for witnesses.
        row = self._round(run_id, request_id)
        if row.permit_entry is not None and row.permit is None:
            required = self._cosigning.required
            witnessed = self._cosigning.witnessed(row.permit_entry) if required else None
            self._journal.side(
                lambda connection: self._sign(connection, run_id, request_id, witnessed)
            )
            row = self._round(run_id, request_id)
        return RoundAnswer(
            permit=row.permit or b"",
            permit_id=row.permit_id or "",
            verdicts=_with_duties(row),
            decision_index=row.decision_entry,
        )

    def _round(self, run_id: str, request_id: str) -> RoundRow:
        with self._journal.reading() as connection:
            row = queries.round_by_request(connection, run_id, request_id)
        assert row is not None  # rows are never deleted
        return row


def _check_turn(connection: Connection, run: RunRow, spec: RunSpec, ask: RoundAsk) -> None:
    """Returns only if this round, on this model, may be decided now; RuleBroken otherwise."""
    check_next(run, spec, ask)
    check_released(run, ask, released.of_round(connection, run.id, ask.kind, ask.round))
    first = queries.first_permit(connection, run.id)
    check_architecture(run, ask, PermitBody.from_json(json.loads(first)) if first else None)


def _alarm(one: Disagreement, *, run: str, ask: RoundAsk, time: str) -> bytes:
    """Two engines decided differently: somebody has to look which of them is wrong."""
    where: dict[str, Json] = {"run": run, "round": ask.round, "kind": ask.kind}
    body = where | {"request_id": ask.request_id} | one.to_json()
    return entry_bytes("EnginesDisagreed", time=time, body=body)


def _with_duties(row: RoundRow) -> tuple[Mapping[str, Any], ...]:
    """The verdicts, each with what is owed to it after the use."""
    cohort = json.loads(row.permit_body)["cohort"] if row.permit_body else []
    owed = {(member["participant"], member["product"]): member["duties"] for member in cohort}
    return tuple(
        one | {"duties": owed.get((one["participant"], one["product"]), [])}
        for one in json.loads(row.verdicts)
    )
