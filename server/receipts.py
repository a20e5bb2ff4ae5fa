"""What came back and what became of it: steps 9 and 10 of DESIGN.md.

The consumer's ServerApp is not believed: each receipt is checked here against the enrolled key, the
permit and the digest of what arrived, and only what was checked can be closed into a round.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from policies.account import metered_seconds
from policies.canonical import Json, digest_of, sha256_hex
from policies.claim import Claim
from policies.entries import entry_bytes
from policies.evaluate import Reason
from policies.fields import Sha256, instant, parse_instant
from server import queries, released
from server.agreements import Agreements
from server.closes import check_borne_out, check_close, close_body, in_result
from server.dsp.transfer_steps import on_run_ended
from server.edge import Edge
from server.errors import BadInput, RuleBroken
from server.journal import Journal
from server.pki import Identity
from server.receipt_checks import Arrived, Missing, PermittedRound, check_receipt, load_round
from server.released import Released
from server.rows import ReceiptRow, RetiredKey
from server.runs import end_entry
from server.views import RunView, round_document

MAX_REPLIES: Final = 20_000
_DIGEST: Final = TypeAdapter(Sha256)


@dataclass(frozen=True, slots=True)
class _Judging:
    """One submission being judged; `accepted` grows as receipts are accepted."""

    round_: PermittedRound
    claims: Mapping[str, Claim]
    retired: Mapping[str, RetiredKey]
    submission: str
    accepted: set[str]
    time: str

    def judge(self, one: Arrived) -> bytes:
        """The entry for one reply."""
        body = self._body(one.node_id)
        result = check_receipt(self.round_, self.claims, one, self.accepted, self.retired)
        if isinstance(result, Reason):
            body |= result.to_json() | {"receipt": sha256_hex(one.receipt), "reported": False}
            return entry_bytes("ReceiptRefused", time=self.time, body=body)
        self.accepted.add(result.participant)
        reserved = self.round_.members[one.node_id].metered_s
        started, finished = parse_instant(result.started), parse_instant(result.finished)
        body |= {
            "metered_s": metered_seconds(started, finished, reserved),
            "rows_used": result.rows_used,
            "rows_held_back": result.rows_held_back,
            "update": result.update,
            "receipt": digest_of(result.to_json()),
            "envelope": base64.b64encode(one.receipt).decode(),
        }
        return entry_bytes("ReceiptAccepted", time=self.time, body=body)

    def report(self, one: Missing) -> bytes:
        """The entry for a reply that never came; its reason is the consumer's word."""
        body = self._body(one.node_id)
        body |= {"code": one.code, "text": one.text, "receipt": "", "reported": True}
        return entry_bytes("ReceiptRefused", time=self.time, body=body)

    def has_accepted(self, one: Missing) -> bool:
        """Whether a receipt of this node was accepted, whatever the consumer says now."""
        member = self.round_.members.get(one.node_id)
        return member is not None and member.participant in self.accepted

    def _body(self, node_id: str) -> dict[str, Json]:
        permit, member = self.round_.permit, self.round_.members.get(node_id)
        return {
            "run": permit.run,
            "round": permit.round,
            "kind": permit.kind,
            "attempt": permit.attempt,
            "permit": self.round_.digest,
            "permit_id": permit.id,
            "submission": self.submission,
            "node_id": node_id,
            "participant": member.participant if member else "",
            "product": member.product if member else "",
        }


class Receipts:
    """Checking receipts and closing rounds."""

    def __init__(self, *, journal: Journal, edge: Edge) -> None:
        self._journal = journal
        self._edge = edge
        self._agreements = Agreements()

    def submit(
        self,
        caller: Identity,
        permit_id: str,
        arrived: Sequence[Arrived],
        missing: Sequence[Missing],
    ) -> list[ReceiptRow]:
        """Step 9: check and log each reply; the outcomes, in the order given. The same submission
        again gets the same outcomes.

        Raises:
            BadInput, NotKnown, NotAllowed: the request.
            RuleBroken: the round is closed, or its masks are released.
            Superseded: its permit was abandoned.
            Unavailable: nothing was accepted; send it again.
        """
        _check_submission(arrived, missing)
        submission = _submission_digest(permit_id, arrived, missing)
        with self._journal.writing():
            with self._journal.reading() as connection:
                round_ = load_round(connection, caller, permit_id)
                known = queries.receipts(connection, [permit_id])
                opened = released.of_permit(connection, permit_id)
                agreements = [member.agreement for member in round_.permit.cohort]
                claims = queries.claims(connection, agreements)
                keys = [member.key for member in round_.permit.cohort]
                retired = queries.retired_keys(connection, keys)
            again = [row for row in known if row.submission == submission]
            if again or not (arrived or missing):
                return again
            if round_.row.state == "CLOSED":
                raise RuleBroken(f"{permit_id}: expected an open round, is closed")
            if opened is not None:
                raise RuleBroken(
                    f"released-already: {permit_id}: expected receipts before the release of the "
                    f"round's masks in entry {opened.entry}; what comes after it is in no sum"
                )
            judging = _Judging(
                round_=round_,
                claims=claims,
                retired=retired,
                submission=submission,
                accepted={row.participant for row in known if row.accepted},
                time=instant(self._edge.clock()),
            )
            entries = [judging.judge(one) for one in arrived]
            entries += [judging.report(one) for one in missing if not judging.has_accepted(one)]
            if entries:
                self._journal.commit(entries, key=f"receipts:{submission}")
            with self._journal.reading() as connection:
                rows = queries.receipts(connection, [permit_id])
        return [row for row in rows if row.submission == submission]

    def close(
        self,
        caller: Identity,
        permit_id: str,
        model: str,
        metrics: Mapping[str, str],
        quorum_met: bool,
        duties: Mapping[str, str],
    ) -> RunView:
        """Step 10: close a round; after the evaluation round the run is completed. The same again
        changes nothing. The view holds this round's document only.

        Args:
            model: digest of the new model; the old one's without a quorum or after an evaluation.
            duties: evidence by post-duty (`server.duties`).

        Raises:
            BadInput, NotKnown, NotAllowed: the request.
            RuleBroken: closed otherwise already, the receipts (with a secure sum the release) do
                not bear out the claim, or what is owed after the uses is not declared.
            Superseded: its permit was abandoned.
            Unavailable: nothing was closed; send it again.
        """
        check_close(model, metrics, duties)
        with self._journal.writing():
            with self._journal.reading() as connection:
                round_ = load_round(connection, caller, permit_id)
                rows = queries.receipts(connection, [permit_id])
                agreements = [member.agreement for member in round_.permit.cohort]
                claims = queries.claims(connection, agreements)
                opened = released.of_permit(connection, permit_id)
            claim = {
                "model": model,
                "metrics": dict(metrics),
                "quorum_met": quorum_met,
                "duties": dict(duties),
            }
            if round_.row.close is None:
                self._journal.commit(
                    self._close_entries(round_, rows, claims, claim, opened),
                    key=f"close:{permit_id}",
                )
                if round_.permit.secure_sum is not None:
                    self._journal.overwrite()
            else:
                before = json.loads(round_.row.close)
                if any(before[name] != value for name, value in claim.items()):
                    raise RuleBroken(f"{permit_id}: expected an open round, was closed otherwise")
            with self._journal.reading() as connection:
                row = queries.round_by_permit(connection, permit_id)
                run = queries.run(connection, round_.run.id)
        assert row is not None and run is not None  # rows are never deleted
        return RunView(row=run, rounds=(round_document(row, rows, opened),))

    def _close_entries(
        self,
        round_: PermittedRound,
        rows: Sequence[ReceiptRow],
        claims: Mapping[str, Claim],
        claim: Mapping[str, Any],
        opened: Released | None,
    ) -> list[bytes]:
        run, permit = round_.run, round_.permit
        taking_part = {row.participant for row in in_result(rows, opened)}
        check_borne_out(round_, taking_part, claim, opened=opened is not None)
        time = instant(self._edge.clock())
        body = close_body(round_, rows, claims, claim, opened, self._agreements)
        entries = [entry_bytes("RoundClosed", time=time, body=body)]
        if permit.kind == "evaluate":
            reason = "all rounds are closed"
            if not claim["quorum_met"]:
                reason = "all training rounds are closed; the evaluation had no quorum"
            # The journal's lock is held and the log is settled: the next index is its size.
            close_index = self._journal.log.size
            entries.append(
                end_entry(run, state="COMPLETED", reason=reason, time=time, last_close=close_index)
            )
            with self._journal.reading() as connection:
                entries += on_run_ended(connection, run=run.id, state="COMPLETED", time=time)
        return entries


def _check_submission(arrived: Sequence[Arrived], missing: Sequence[Missing]) -> None:
    nodes = [reply.node_id for reply in arrived] + [one.node_id for one in missing]
    if len(nodes) > MAX_REPLIES or any(len(node) > 20 for node in nodes):
        raise BadInput(f"replies: expected at most {MAX_REPLIES} with ids of up to 20 digits")
    if len(set(nodes)) != len(nodes):
        raise BadInput("replies: expected each node once")
    for one in missing:
        if not 0 < len(one.code) <= 64 or len(one.text) > 1000:
            raise BadInput("missing: expected a code of 1 to 64, a text of up to 1000 characters")
    for reply in arrived:
        try:
            _DIGEST.validate_python(reply.update)
        except ValidationError as error:
            raise BadInput(
                f"update: expected a SHA-256 in hexadecimal, got {reply.update!r:.80}"
            ) from error


def _submission_digest(
    permit_id: str, arrived: Sequence[Arrived], missing: Sequence[Missing]
) -> str:
    return digest_of(
        [
            permit_id,
            [[one.node_id, sha256_hex(one.receipt), one.update] for one in arrived],
            [[one.node_id, one.code, one.text] for one in missing],
        ]
    )
