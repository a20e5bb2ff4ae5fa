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
from policies.statements import RunSpec
from server.agreements import Agreements
from server.duties import check_declared
from server.errors import BadInput, RuleBroken
from server.receipt_checks import PermittedRound
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


def check_borne_out(
    round_: PermittedRound, accepted: Collection[str], claim: Mapping[str, Any]
) -> None:
    """Returns only if the receipts bear the claim out, and all that is owed is declared.

    Args:
        accepted: participants whose receipts were accepted.
        claim: model, metrics, quorum_met and duties, as the consumer's ServerApp says.

    Raises:
        RuleBroken: what was expected, and what is missing.
    """
    permit, result = round_.permit, claim["quorum_met"]
    quorum = RunSpec.from_json(json.loads(round_.run.spec)).quorum
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


def left_out(permit: PermitBody, rows: Sequence[ReceiptRow]) -> list[Json]:
    """Members of the cohort whose receipt was not accepted, each with the last reason."""
    accepted = {row.participant for row in rows if row.accepted}
    last = {row.participant: row for row in rows}
    found: list[Json] = []
    for member in permit.cohort:
        if member.participant in accepted:
            continue
        row = last.get(member.participant)
        found.append(
            {
                "participant": member.participant,
                "product": member.product,
                "code": row.code if row else "no-reply",
                "text": row.text if row else "no receipt of this node reached governance",
            }
        )
    return found
