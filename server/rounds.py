"""A round's decision and permit: steps 2, 3 and 4 of DESIGN.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from policies.canonical import Json, digest_of
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.evaluate import Reason, Request, Value
from policies.fields import instant
from policies.odrl import Agreement, parse_agreement
from policies.permit import CohortMember, Limits, LogPlace, PermitBody, sign_permit
from policies.statements import RunSpec
from server import queries, registry
from server.edge import Edge
from server.errors import RuleBroken
from server.journal import Journal
from server.laws import Adopted
from server.pki import Identity
from server.queries import Claim
from server.round_asks import RoundAsk, check_ask, check_current, check_next, nodes_by_key
from server.rows import Participant, RunRow
from server.runs import abandon_entry, own_run
from server.second_key import Disagreement, SecondKey, decide_with_two_keys
from server.standing import certificate_reasons, filing_reasons, law_facts

EXPIRY_GRACE: Final = timedelta(seconds=10)  # beyond the deadline, for clocks that differ
MAX_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class RoundAnswer:
    """The decision; `permit` is empty when nobody is permitted.

    Attributes:
        verdicts: objects with participant, product, node_id, permitted and reasons.
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
        second_key: SecondKey | None = None,
    ) -> None:
        self._journal = journal
        self._baseline = baseline
        self._space = space
        self._permit_key = permit_key
        self._edge = edge
        self._second_key = second_key
        self._agreements: dict[str, Agreement] = {}  # they never change once concluded

    def authorize(self, caller: Identity, ask: RoundAsk) -> RoundAnswer:
        """Decide a round and, if anybody may take part, permit it. Safe to send again: the same
        request id gets the same answer. A new one while a permit is open abandons that permit.

        Raises:
            BadInput, NotKnown, NotAllowed: the request.
            RuleBroken: the run has ended, or this is not its next round, or not its model.
            Superseded: a newer request or a newer Flower run took this one's place.
            Unavailable: the log cannot be written; nothing was decided.
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
                    check_next(run, spec, ask)
                    entries = self._decide(connection, run, spec, ask, online)
            if before is None:
                # 4. Log, then permit: `_sign` runs once the entries are durable. A crash before
                # the append leaves nothing. A crash after it leaves a permit that is logged and
                # counted but not signed; this request, sent again, gets it.
                self._journal.commit(
                    entries,
                    key=f"round:{run.id}:{ask.request_id}",
                    beside=lambda connection, _: self._sign(connection, run.id, ask.request_id),
                )
            return self._answer(run.id, ask.request_id)

    def _decide(
        self,
        connection: Connection,
        run: RunRow,
        spec: RunSpec,
        ask: RoundAsk,
        online: Mapping[str, str],
    ) -> list[bytes]:
        """Step 3: the entries that say what was decided; counters are theirs to move."""
        now = self._edge.clock()
        time = instant(now)
        claims = queries.claims(connection, spec.agreements)
        app = queries.app(connection, spec.app)
        app_facts = (
            [Reason("app-unregistered", f"app {spec.app} is not registered")]
            if app is None
            else filing_reasons(app, spec.purpose, now)
        )
        recipient = queries.participant(connection, run.consumer)
        candidates = [
            self._candidate(claims[id], run, spec, ask.kind, online, app_facts, recipient, now)
            for id in spec.agreements
        ]
        decide = partial(decide_round, min_cohort=spec.min_cohort, baseline=self._baseline.laws)
        decision, alarms = decide_with_two_keys(candidates, self._second_key, decide)
        report = decision.to_json()
        attempt = queries.attempts(connection, run.id, ask.kind, ask.round) + 1
        body: dict[str, Json] = {
            "run": run.id,
            "flower_run": ask.flower_run,
            "round": ask.round,
            "attempt": attempt,
            "kind": ask.kind,
            "model": ask.model,
            "request_id": ask.request_id,
            "request": ask.digest,
            "nodes": {
                claim.participant: online[claim.fleet_key]
                for claim in claims.values()
                if claim.fleet_key in online
            },
            "baseline": self._baseline.digest,
            "decision": report,
            "digest": digest_of(report),
        }
        reason = f"request {ask.request_id} took its place"
        entries = [
            abandon_entry(one, time=time, reason=reason)
            for one in queries.open_rounds(connection, run.id)
        ]
        try:
            entries += [_alarm(one, run=run.id, ask=ask, time=time) for one in alarms]
            entries.append(entry_bytes("RoundDecided", time=time, body=body))
            if decision.permitted:
                permit = self._permit(run, spec, ask, attempt, decision, claims, now)
                entries.append(permit.entry())
        except PolicyError as error:
            raise RuleBroken(
                f"{run.id}: expected a decision that fits into a log entry: {error}; ask for fewer "
                "agreements in one run"
            ) from error
        return entries

    def _candidate(
        self,
        claim: Claim,
        run: RunRow,
        spec: RunSpec,
        kind: str,
        online: Mapping[str, str],
        app_facts: Sequence[Reason],
        recipient: Participant | None,
        now: datetime,
    ) -> Candidate:
        facts: list[Reason] = []
        if not claim.active:
            facts.append(Reason("participant-inactive", f"{claim.participant} is not active"))
        if claim.classification == "core":
            facts.append(Reason("product-core", "data classified core is never used"))
        facts += certificate_reasons(claim, now)
        facts += app_facts
        if claim.withdrawn is not None:
            text = f"{claim.participant} withdrew its consent at {claim.withdrawn}"
            facts.append(Reason("consent-withdrawn", text))
        if claim.fleet_key not in online:
            facts.append(Reason("offline", f"the node of {claim.participant} is not online"))
        declared = f"log entry {run.entry}"
        state = {
            "purpose": Value(spec.purpose, declared),
            "dateTime": Value(now, "clock of governance"),
            "count": Value(claim.uses + 1, "permits so far, plus this one"),
            "recipient": Value(run.consumer, declared),
        }
        if claim.region:
            state["spatial"] = Value(claim.region, f"enrolment of {claim.participant}")
        agreement = self._agreement(claim)
        state |= law_facts(claim, agreement, kind, recipient)
        return Candidate(
            participant=claim.participant,
            product=claim.product,
            agreement=agreement,
            facts=facts,
            state=state,
            request=Request(target=claim.product, assignee=run.consumer, action=kind),
        )

    def _agreement(self, claim: Claim) -> Agreement:
        found = self._agreements.get(claim.agreement)
        if found is None:
            if len(self._agreements) >= MAX_CACHED:
                self._agreements.clear()
            found = parse_agreement(claim.document.encode())
            self._agreements[claim.agreement] = found
        return found

    def _permit(
        self,
        run: RunRow,
        spec: RunSpec,
        ask: RoundAsk,
        attempt: int,
        decision: RoundDecision,
        claims: Mapping[str, Claim],
        now: datetime,
    ) -> PermitBody:
        by_product = {claim.product: claim for claim in claims.values()}
        kind: Literal["train", "evaluate"] = "train" if ask.kind == "train" else "evaluate"
        return PermitBody(
            version=1,
            id=self._edge.new_id("permit"),
            space=self._space,
            run=run.id,
            flower_run=ask.flower_run,
            round=ask.round,
            attempt=attempt,
            kind=kind,
            consumer=run.consumer,
            purpose=spec.purpose,
            app=spec.app,
            config=digest_of(json.loads(run.config)),
            model=ask.model,
            metrics=list(spec.metrics),
            cohort=[_member(by_product[verdict.product]) for verdict in decision.permitted],
            min_cohort=spec.min_cohort,
            limits=Limits(wall_s=spec.deadline_s, memory_bytes=spec.memory_bytes),
            decision=decision.digest,
            issued=instant(now),
            expires=instant(now + timedelta(seconds=spec.deadline_s) + EXPIRY_GRACE),
        )

    def _sign(self, connection: Connection, run_id: str, request_id: str) -> None:
        """Sign the permit of an attempt whose entry is durable, and keep the envelope."""
        row = queries.round_by_request(connection, run_id, request_id)
        if row is None or row.permit_body is None or row.permit_entry is None or row.permit:
            return
        log = self._journal.log
        size = log.size
        place = LogPlace(
            index=row.permit_entry,
            size=size,
            proof=[hash.hex() for hash in log.inclusion_proof(row.permit_entry, size)],
            checkpoint=log.checkpoint(),
        )
        body = PermitBody.from_json(json.loads(row.permit_body))
        registry.keep_permit(connection, row.id, sign_permit(body, place, self._permit_key))

    def _answer(self, run_id: str, request_id: str) -> RoundAnswer:
        # After a crash between append and registry the entry is there and the envelope is not.
        with self._journal.reading() as connection:
            row = queries.round_by_request(connection, run_id, request_id)
        assert row is not None
        if row.permit_id is not None and row.permit is None:
            self._journal.side(lambda connection: self._sign(connection, run_id, request_id))
            with self._journal.reading() as connection:
                row = queries.round_by_request(connection, run_id, request_id)
            assert row is not None
        return RoundAnswer(
            permit=row.permit or b"",
            permit_id=row.permit_id or "",
            verdicts=tuple(json.loads(row.verdicts)),
            decision_index=row.decision_entry,
        )


def _alarm(one: Disagreement, *, run: str, ask: RoundAsk, time: str) -> bytes:
    """Two engines decided differently: somebody has to look which of them is wrong."""
    where: dict[str, Json] = {"run": run, "round": ask.round, "kind": ask.kind}
    body = where | {"request_id": ask.request_id} | one.to_json()
    return entry_bytes("EnginesDisagreed", time=time, body=body)


def _member(claim: Claim) -> CohortMember:
    return CohortMember(
        participant=claim.participant,
        product=claim.product,
        agreement=claim.agreement,
        key=queries.key_id_of(claim.receipt_key),
        max_rows=claim.rows,
    )
