"""What a close claims, and whether the receipts bear it out: step 10 of DESIGN.md."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from policies.canonical import Json
from policies.claim import Claim
from policies.derived import derived_from
from policies.fields import Decimal, Id, Sha256
from policies.permit import PermitBody
from policies.post_duties import unfulfilled
from policies.release import NO_REPLY, withdrawn_before_release
from policies.statements import RunSpec
from server.agreements import Agreements
from server.duties import check_declared
from server.errors import BadInput, RuleBroken
from server.receipt_checks import PermittedRound
from server.released import Released
from server.rows import ReceiptRow

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
    masked = permit.secure_sum is not None and permit.secure_sum.mode == "governance"
    if result and masked and not opened:
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
