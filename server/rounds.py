"""A round's decision and permit: steps 2, 3 and 4 of DESIGN.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from policies.account import Voucher
from policies.canonical import Json, digest_of, sha256_hex
from policies.claim import Claim
from policies.cohort import Candidate, RoundDecision, Verdict, decide_round
from policies.cover import decide_covered
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.evaluate import Reason, Request, Value
from policies.fields import instant
from policies.left_values import decision_time, left_values
from policies.odrl import Agreement
from policies.permit import (
    EXPIRY_GRACE,
    CohortMember,
    Limits,
    LogPlace,
    PermitBody,
    sign_permit,
)
from policies.refusals import app_reasons, claim_reasons
from policies.statements import RunSpec
from server import accounts, queries, registry
from server.agreements import Agreements
from server.dsp.transfer_steps import with_held
from server.edge import Edge
from server.errors import RuleBroken
from server.journal import Journal
from server.laws import Adopted
from server.pki import Identity
from server.report_entries import report_entries
from server.round_asks import RoundAsk, check_ask, check_current, check_next, nodes_by_key
from server.rows import Participant, RoundRow, RunRow
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
        self._agreements = Agreements()
        self._second_key = second_key

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
        clock = self._edge.clock()
        now, time = decision_time(clock, queries.last_decided(connection)), instant(clock)
        claims = queries.claims(connection, spec.agreements)
        spent = accounts.accounts(connection, spec.agreements)
        voucher = _voucher(connection, run, spec)
        app_facts = app_reasons(queries.app(connection, spec.app), spec.app, spec.purpose, now)
        recipient = queries.participant(connection, run.consumer)
        candidates = []
        for id in spec.agreements:
            claim, agreement = claims[id], self._agreements.of(claims[id])
            state = left_values(
                claim,
                agreement,
                spent[id],
                spec,
                run.entry,
                run.consumer,
                ask.kind,
                now,
                recipient,
                voucher,
            )
            candidates.append(
                self._candidate(claim, agreement, run, ask.kind, online, app_facts, state, now)
            )
        decide = partial(decide_round, min_cohort=spec.min_cohort, baseline=self._baseline.laws)
        covered = partial(decide_covered, decide=decide, pays=Decimal(spec.pays), voucher=voucher)
        decision, alarms = decide_with_two_keys(
            with_held(connection, run.id, candidates), self._second_key, covered
        )
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
            entries += report_entries(
                decision, run=run.id, round_=ask.round, kind=ask.kind, attempt=attempt, time=time
            )
            entries += [_alarm(one, run=run.id, ask=ask, time=time) for one in alarms]
            entries.append(entry_bytes("RoundDecided", time=time, body=body))
            if decision.permitted:
                permit = self._permit(run, spec, ask, attempt, decision, claims, recipient, clock)
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
        agreement: Agreement,
        run: RunRow,
        kind: str,
        online: Mapping[str, str],
        app_facts: Sequence[Reason],
        state: Mapping[str, Value],
        now: datetime,
    ) -> Candidate:
        return Candidate(
            participant=claim.participant,
            product=claim.product,
            agreement=agreement,
            facts=claim_reasons(claim, app_facts, claim.fleet_key in online, now),
            state=state,
            request=Request(target=claim.product, assignee=run.consumer, action=kind),
            rows=claim.rows,
        )

    def _permit(
        self,
        run: RunRow,
        spec: RunSpec,
        ask: RoundAsk,
        attempt: int,
        decision: RoundDecision,
        claims: Mapping[str, Claim],
        recipient: Participant | None,
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
            consumer_sector=recipient.sector if recipient else "",
            consumer_region=recipient.region if recipient else "",
            purpose=spec.purpose,
            app=spec.app,
            config=digest_of(json.loads(run.config)),
            model=ask.model,
            metrics=list(spec.metrics),
            cohort=[self._member(by_product[one.product], one, spec) for one in decision.permitted],
            min_cohort=spec.min_cohort,
            voucher=spec.voucher if spec.pays != "0" else "",
            limits=Limits(wall_s=spec.deadline_s, memory_bytes=spec.memory_bytes),
            decision=decision.digest,
            issued=instant(now),
            expires=instant(now + timedelta(seconds=spec.deadline_s) + EXPIRY_GRACE),
        )

    def _member(self, claim: Claim, verdict: Verdict, spec: RunSpec) -> CohortMember:
        assert verdict.document is not None  # nobody is permitted without a report
        return CohortMember(
            participant=claim.participant,
            product=claim.product,
            agreement=claim.agreement,
            key=queries.key_id_of(claim.receipt_key),
            report=sha256_hex(verdict.document),
            max_rows=claim.rows,
            metered_s=spec.deadline_s,
            epsilon=spec.epsilon,
            pays=spec.pays,
            duties=list(self._agreements.of(claim).post_duties),
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
            verdicts=_with_duties(row),
            decision_index=row.decision_entry,
        )


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


def _voucher(connection: Connection, run: RunRow, spec: RunSpec) -> Voucher | None:
    """The voucher that the run pays from; None where it pays nothing."""
    found = accounts.voucher(connection, spec.voucher) if spec.pays != "0" else None
    return found if found is not None and found.consumer == run.consumer else None
