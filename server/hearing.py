"""What a round is decided on (step 3), and what follows from the decision (step 4).

Everything is read once, under the journal's lock: the decision, its entries and the permit are made
of one state of the registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Connection

from policies.account import Account, Voucher
from policies.canonical import Json, digest_of, sha256_hex
from policies.claim import Claim
from policies.cohort import Candidate, RoundDecision, Verdict
from policies.errors import EncodingError, SecureSumError
from policies.evaluate import Reason, Request
from policies.fields import instant
from policies.left_values import decision_time, epsilon_after, left_values, room_of
from policies.odrl import Agreement
from policies.pairwise_round import PairwiseRound
from policies.permit import EXPIRY_GRACE, CohortMember, Kind, Limits, PermitBody
from policies.privacy import PermitSum
from policies.privacy_loss import NO_LOSSES, Losses
from policies.refusals import app_reasons, claim_reasons
from policies.release import large_enough
from policies.statements import RunSpec
from policies.sumterms import permit_sum
from policies.values import decimal_text
from server import accounts, queries
from server.agreements import Agreements
from server.errors import RuleBroken
from server.round_asks import RoundAsk
from server.rows import Participant, RunRow


@dataclass(frozen=True, slots=True)
class Hearing:
    """One round that is about to be decided.

    Attributes:
        online: node ids by digest of the fleet key.
        clock: what the clock says; `now` is the moment that policies are evaluated at.
        claims, agreements, spent: by id of the agreement.
        given: all losses of each product, under any agreement; empty for a run without privacy,
            which asks for none.
        app_facts: why the app may not run at all.
        recipient: who receives the round's result.
        attempt: which one at this round.
    """

    run: RunRow
    spec: RunSpec
    ask: RoundAsk
    online: Mapping[str, str]
    clock: datetime
    now: datetime
    claims: Mapping[str, Claim]
    agreements: Mapping[str, Agreement]
    spent: Mapping[str, Account]
    given: Mapping[str, Losses]
    voucher: Voucher | None
    app_facts: tuple[Reason, ...]
    recipient: Participant | None
    attempt: int

    @classmethod
    def read(
        cls,
        connection: Connection,
        parsed: Agreements,
        *,
        run: RunRow,
        spec: RunSpec,
        ask: RoundAsk,
        online: Mapping[str, str],
        clock: datetime,
    ) -> Self:
        """The registry as it stands."""
        now = decision_time(clock, queries.last_decided(connection))
        claims = queries.claims(connection, spec.agreements)
        app = queries.app(connection, spec.app)
        return cls(
            run=run,
            spec=spec,
            ask=ask,
            online=online,
            clock=clock,
            now=now,
            claims=claims,
            agreements={id: parsed.of(claim) for id, claim in claims.items()},
            spent=accounts.accounts(connection, spec.agreements),
            given=_given(connection, claims, spec),
            voucher=_voucher(connection, run, spec),
            app_facts=tuple(app_reasons(app, spec.app, spec.purpose, now)),
            recipient=queries.participant(connection, run.consumer),
            attempt=queries.attempts(connection, run.id, ask.kind, ask.round) + 1,
        )

    @property
    def time(self) -> str:
        """When it is decided, as entries say it."""
        return instant(self.clock)

    def candidates(self) -> list[Candidate]:
        """One for each agreement of the run, in its order."""
        return [self._candidate(id) for id in self.spec.agreements]

    def decided(self, decision: RoundDecision, baseline: str) -> dict[str, Json]:
        """The body of `RoundDecided`.

        Args:
            baseline: digest of the laws in force.
        """
        ask, report = self.ask, decision.to_json()
        return {
            "run": self.run.id,
            "flower_run": ask.flower_run,
            "round": ask.round,
            "attempt": self.attempt,
            "kind": ask.kind,
            "model": ask.model,
            "request_id": ask.request_id,
            "request": ask.digest,
            "nodes": {
                claim.participant: self.online[claim.fleet_key]
                for claim in self.claims.values()
                if claim.fleet_key in self.online
            },
            "baseline": baseline,
            "decision": report,
            "digest": digest_of(report),
        }

    def permit(
        self, decision: RoundDecision, *, id: str, space: str, mask_key: str = ""
    ) -> PermitBody:
        """The permit for whom the decision permits; there is somebody.

        Args:
            mask_key: governance's one-time public key, where the run's secure sum needs one.

        Raises:
            RuleBroken: no permit with the run's secure sum could be kept to.
        """
        run, spec, ask = self.run, self.spec, self.ask
        by_product = {claim.product: claim for claim in self.claims.values()}
        kind: Kind = "train" if ask.kind == "train" else "evaluate"
        cohort = [self._member(by_product[one.product], one) for one in decision.permitted]
        body = PermitBody(
            version=1,
            id=id,
            space=space,
            run=run.id,
            flower_run=ask.flower_run,
            round=ask.round,
            attempt=self.attempt,
            kind=kind,
            consumer=run.consumer,
            consumer_sector=self.recipient.sector if self.recipient else "",
            consumer_region=self.recipient.region if self.recipient else "",
            purpose=spec.purpose,
            app=spec.app,
            config=digest_of(json.loads(run.config)),
            model=ask.model,
            architecture=ask.architecture,
            metrics=list(spec.metrics),
            clip_norm=spec.clip_norm,
            secure_sum=self._secure_sum(kind, cohort, mask_key),
            privacy=spec.privacy,
            cohort=cohort,
            min_cohort=spec.min_cohort,
            voucher=spec.voucher if spec.pays != "0" else "",
            limits=Limits(
                wall_s=spec.deadline_s,
                memory_bytes=spec.memory_bytes,
                accelerator=spec.accelerator,
            ),
            decision=decision.digest,
            issued=self.time,
            expires=instant(self.clock + timedelta(seconds=spec.deadline_s) + EXPIRY_GRACE),
        )
        if spec.secure_sum == "pairwise":
            _check_pairwise(body)
        return body

    def _secure_sum(
        self, kind: Kind, cohort: Sequence[CohortMember], mask_key: str
    ) -> PermitSum | None:
        spec, id = self.spec, self.run.id
        if spec.secure_sum == "none":
            return None
        if not large_enough(len(cohort), spec.groups, spec.min_cohort):
            raise RuleBroken(
                f"groups-too-small: {id}: expected {spec.groups} groups of at least "
                f"{spec.min_cohort}, as min_cohort says, got {len(cohort)} permitted enterprises; "
                "ask again when more are online, or open a run with fewer groups"
            )
        if spec.secure_sum == "pairwise":
            for member in cohort:
                if not member.sealing:
                    raise RuleBroken(
                        f"sealing-key-missing: {id}: {member.participant}: expected an enrolled "
                        "key that its peers can seal to, got none; it has to enrol again"
                    )
        try:
            return permit_sum(
                mode=spec.secure_sum,
                key=mask_key,
                kind=kind,
                metrics=spec.metrics,
                floats=self.ask.floats,
                clip_norm=spec.clip_norm,
                privacy=spec.privacy,
                members=len(cohort),
                groups=spec.groups,
            )
        except EncodingError as error:
            raise RuleBroken(f"sum-too-large: {id}: {error}") from error

    def _candidate(self, id: str) -> Candidate:
        claim, agreement, run = self.claims[id], self.agreements[id], self.run
        given = self.given.get(claim.product, NO_LOSSES)
        online = claim.fleet_key in self.online
        return Candidate(
            participant=claim.participant,
            product=claim.product,
            agreement=agreement,
            facts=claim_reasons(claim, self.app_facts, online, self.now),
            state=left_values(
                claim,
                agreement,
                self.spent[id],
                given,
                self.spec,
                run.entry,
                run.consumer,
                self.ask.kind,
                self.now,
                self.recipient,
                self.voucher,
            ),
            request=Request(target=claim.product, assignee=run.consumer, action=self.ask.kind),
            rows=claim.rows,
            room=room_of(given, self.spec.privacy),
        )

    def _member(self, claim: Claim, verdict: Verdict) -> CohortMember:
        assert verdict.document is not None  # nobody is permitted without a report
        loss = epsilon_after(self.given.get(claim.product, NO_LOSSES), self.spec.privacy)
        return CohortMember(
            participant=claim.participant,
            product=claim.product,
            agreement=claim.agreement,
            key=queries.key_id_of(claim.receipt_key),
            report=sha256_hex(verdict.document),
            max_rows=claim.rows,
            metered_s=self.spec.deadline_s,
            epsilon="" if loss is None else decimal_text(loss),
            pays=self.spec.pays,
            duties=list(self.agreements[claim.agreement].post_duties),
            sealing=(claim.disclosure_key or "") if self.spec.secure_sum == "pairwise" else "",
        )


def _check_pairwise(body: PermitBody) -> None:
    """Returns only if nodes can mask in pairs under this permit."""
    try:
        PairwiseRound.of_permit(body)
    except SecureSumError as error:
        raise RuleBroken(
            f"pairwise-cohort: {body.run}: {error}; ask again without whom it names, or open a run "
            "with another secure_sum"
        ) from error


def _given(connection: Connection, claims: Mapping[str, Claim], spec: RunSpec) -> dict[str, Losses]:
    if spec.privacy is None:
        return {}
    products = {claim.product for claim in claims.values()}
    spent = accounts.of_products(connection, products)
    return {product: amounts.losses for product, amounts in spent.items()}


def _voucher(connection: Connection, run: RunRow, spec: RunSpec) -> Voucher | None:
    """The voucher that the run pays from; None where it pays nothing."""
    found = accounts.voucher(connection, spec.voucher) if spec.pays != "0" else None
    return found if found is not None and found.consumer == run.consumer else None
