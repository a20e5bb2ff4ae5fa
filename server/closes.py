"""What a close claims, and whether the receipts bear it out: step 10 of DESIGN.md."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from policies.canonical import Json
from policies.claim import Claim
from policies.derived import derived_from
from policies.fields import Decimal, Id, Sha256
from policies.permit import PermitBody
from policies.post_duties import unfulfilled
from policies.release import NO_REPLY, withdrawn_before_release
from policies.statements import RunSpec
from server import queries, released
from server.agreements import Agreements
from server.duties import check_declared
from server.errors import BadInput, RuleBroken
from server.receipt_checks import PermittedRound, permitted_round
from server.released import Released
from server.rows import ReceiptRow, RoundRow, RunRow

MAX_METRICS: Final = 64
_METRICS: Final = TypeAdapter(dict[Id, Decimal])
_DIGEST: Final = TypeAdapter(Sha256)


def check_close(model: str, metrics: Mapping[str, str], duties: Mapping[str, str]) -> None:
    """Returns only if a close is well-formed; BadInput otherwise."""
    check_declared(duties)
    try:
        _DIGEST.validate_python(model)
        _METRICS.validate_python(dict(metrics))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise BadInput(
            f"close: model and metrics: {first['msg']}: {first['input']!r:.60}"
        ) from error
    if len(metrics) > MAX_METRICS:
        raise BadInput(f"metrics: expected at most {MAX_METRICS}, got {len(metrics)}")


def in_result(rows: Sequence[ReceiptRow], opened: Released | None) -> list[ReceiptRow]:
    """The accepted receipts whose updates a round's result may hold, in the order of the log.

    Args:
        opened: the release of the round's masks: with it, exactly those whose masks are in it.
    """
    accepted = [row for row in rows if row.accepted]
    if opened is None:
        return accepted
    return [row for row in accepted if row.participant in opened.release.participants]


def check_borne_out(
    round_: PermittedRound, accepted: Collection[str], claim: Mapping[str, Any], *, opened: bool
) -> None:
    """Returns only if the receipts bear the claim out, and all that is owed is declared.

    Args:
        accepted: participants who are in the result (`in_result`).
        claim: model, metrics, quorum_met and duties, as the consumer's ServerApp says.
        opened: whether the round's masks were released.

    Raises:
        RuleBroken: what was expected, and what is missing.
    """
    permit, result = round_.permit, claim["quorum_met"]
    quorum = RunSpec.from_json(json.loads(round_.run.spec)).quorum
    if result and permit.secure_sum is not None and not opened:
        raise RuleBroken(
            f"not-released: {permit.id}: expected a result only after the release of the round's "
            "masks; without it nobody knows the sum"
        )
    if result and len(accepted) < quorum:
        raise RuleBroken(
            f"{permit.id}: expected {quorum} accepted receipts for a quorum, got {len(accepted)}"
        )
    owed = unfulfilled(
        permit, accepted, claim["duties"], metrics=claim["metrics"], model=claim["model"]
    )
    if result and owed:
        raise RuleBroken(f"{permit.id}: expected all duties declared: {'; '.join(owed)}")
    changed = claim["model"] != permit.model
    if changed and (permit.kind == "evaluate" or not result):
        raise RuleBroken(f"{permit.id}: expected the model unchanged, {permit.model}")


def close_body(
    round_: PermittedRound,
    rows: Sequence[ReceiptRow],
    claims: Mapping[str, Claim],
    claim: Mapping[str, Any],
    opened: Released | None,
    agreements: Agreements,
) -> dict[str, Json]:
    """The body of `RoundClosed`.

    Args:
        rows: outcomes under the round's permit.
        claims: the cohort's agreements, by id.
        claim: as for `check_borne_out`, which has to be asked before.
        opened: the release of the round's masks, if there was one.
    """
    run, permit = round_.run, round_.permit
    accepted = in_result(rows, opened)
    taking_part = {row.participant for row in accepted}
    used = taking_part if permit.kind == "train" and claim["quorum_met"] else ()
    return {
        "run": run.id,
        "round": permit.round,
        "kind": permit.kind,
        "attempt": permit.attempt,
        "permit": round_.digest,
        "permit_id": permit.id,
        "accepted": [
            {
                "participant": row.participant,
                "product": row.product,
                "rows": row.rows_used,
                "receipt": row.receipt,
            }
            for row in accepted
        ],
        "left_out": left_out(permit, rows, opened, claims),
        "model": claim["model"],
        "metrics": claim["metrics"],
        "quorum_met": claim["quorum_met"],
        "duties": claim["duties"],
        "derived": derived_after(round_, used, claims, agreements),
        "previous": run.last_close,
    }


def close_of_released(
    connection: Connection, run: RunRow, row: RoundRow, agreements: Agreements
) -> dict[str, Json] | None:
    """What closes an open training round without a result when its run ends: one whose masks were
    released is never tried again, so that giving it up would leave the run without a next round.

    None for any other round, which is given up.
    """
    opened = released.of_permit(connection, row.permit_id or "")
    if opened is None or row.kind != "train":
        return None
    round_ = permitted_round(row, run)
    claim = {"model": round_.permit.model, "metrics": {}, "quorum_met": False, "duties": {}}
    claims = queries.claims(connection, [one.agreement for one in round_.permit.cohort])
    rows = queries.receipts(connection, [round_.permit.id])
    return close_body(round_, rows, claims, claim, opened, agreements)


def derived_after(
    round_: PermittedRound,
    used: Collection[str],
    claims: Mapping[str, Claim],
    agreements: Agreements,
) -> dict[str, Json]:
    """What binds the model after a round (`policies.derived`).

    Args:
        used: participants whose updates are in it.
        claims: the cohort's agreements, by id.
    """
    found = []
    for member in round_.permit.cohort:
        if member.participant in used:
            claim = claims[member.agreement]
            policy = agreements.of(claim).next_policy
            found.append((claim.classification, None if policy is None else policy.digest))
    return derived_from(json.loads(round_.run.derived), found)


def left_out(
    permit: PermitBody,
    rows: Sequence[ReceiptRow],
    opened: Released | None,
    claims: Mapping[str, Claim],
) -> list[Json]:
    """Members of the cohort who are not in the result, each with the last reason.

    Args:
        opened: the release of the round's masks, if there was one.
        claims: the cohort's agreements, by id.
    """
    taken = {row.participant for row in in_result(rows, opened)}
    last = {row.participant: row for row in rows}
    # One that was accepted is out for no later reply's sake: its consent ended before the release.
    last |= {row.participant: row for row in rows if row.accepted}
    found: list[Json] = []
    for member in permit.cohort:
        if member.participant in taken:
            continue
        code, text = _why(last.get(member.participant), claims[member.agreement])
        found.append(
            {
                "participant": member.participant,
                "product": member.product,
                "code": code,
                "text": text,
            }
        )
    return found


def _why(row: ReceiptRow | None, claim: Claim) -> tuple[str, str]:
    """Why somebody is not in the result, in a word and in words.

    Args:
        row: the outcome that counts; None where nothing came.
    """
    if row is None:
        return NO_REPLY
    if not row.accepted:
        return row.code, row.text
    return withdrawn_before_release(claim.participant, claim.withdrawn)
