"""Whether a permit says what was decided, and a close what came of it (steps 4, 9 and 10).

    permit-follows      a permit says what its decision, run and agreements say, in every field
    permit-sums         the terms of its secure sum are those that its cohort and model lead to
    architecture-kept   its model has the arrays of the run's first one
    close-follows       a close is of an open permit, and says of it what the log says
    close-complete      it lists every accepted receipt, and everybody who was left out, with why
    close-released      with masks of governance's it has a result only after their release, and
                        names exactly those whose masks were released
    close-quorum        it has a result only with a quorum of receipts
    model-chain         only a training round with a result changes the model
    close-derived       what binds the model is the strictest of all that is in it
    run-follows         a run is opened once, on agreements with its consumer, and ends as it stands

What is wrong with a receipt, and with what is owed after a use, `auditors.rules` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from auditors.reading import Read
from auditors.register import Register
from auditors.runs import Open, Run, Runs
from policies.canonical import Json, sha256_hex
from policies.derived import derived_from
from policies.errors import MaskKeyError
from policies.fields import instant, parse_instant
from policies.left_values import epsilon_after
from policies.masks import parse_public_key
from policies.permit import EXPIRY_GRACE, PermitBody
from policies.release import NO_REPLY, large_enough, withdrawn_before_release
from policies.sumterms import permit_sum
from policies.values import decimal_text

Fault = tuple[str, str]
Body = Mapping[str, Any]


def check_permit(register: Register, run: Run, decided: Read, read: Read) -> Iterator[Fault]:
    """Every field of `PermitIssued` that differs from what follows from its decision."""
    entry, body = read.entry, read.body
    if entry.time != body["issued"]:
        yield "permit-follows", f"issued: expected the entry's time, got {body['issued']}"
    expected = _permit(register, run, decided)
    yield from _sums(run, read.permit)
    for name in sorted(expected.keys() - {"cohort"}):
        if body[name] != expected[name]:
            text = f"{name}: expected {expected[name]!r:.200}, got {body[name]!r:.200}"
            yield "permit-follows", f"{body['id']}: {text}"
    members, cohort = expected["cohort"], body["cohort"]
    assert isinstance(members, list)
    ours, theirs = ([(one["participant"], one["product"]) for one in x] for x in (members, cohort))
    if ours != theirs:
        names = [", ".join(name for name, _ in one) or "nobody" for one in (ours, theirs)]
        yield "permit-follows", f"{body['id']}: cohort: expected {names[0]}, got {names[1]}"
        return
    for member, got in zip(members, cohort, strict=True):
        for name in member:
            if member[name] != got[name]:
                text = f"{name}: expected {member[name]!r:.200}, got {got[name]!r:.200}"
                yield "permit-follows", f"{body['id']}, {member['participant']}: {text}"


def _sums(run: Run, permit: PermitBody) -> Iterator[Fault]:
    """What is wrong with a permit's secure sum, and whether its model is of the run's form."""
    how, spec = permit.secure_sum, run.spec
    if permit.architecture != run.architecture:
        text = f"architecture: expected {run.architecture[:16]}…, as in the run's first permit"
        yield "architecture-kept", f"{permit.id}: {text}, got {permit.architecture[:16]}…"
    if how is None or spec.secure_sum == "none":
        if (how is None) != (spec.secure_sum == "none"):
            text = f"expected a secure sum as the run says, {spec.secure_sum}"
            yield "permit-sums", f"{permit.id}: {text}, got {'none' if how is None else how.mode}"
        return
    floats = run.floats if run.floats is not None else 0
    expected = permit_sum(
        mode=spec.secure_sum,
        key=how.key if spec.secure_sum == "governance" else "",
        kind=permit.kind,
        metrics=spec.metrics,
        floats=floats,
        clip_norm=spec.clip_norm,
        privacy=spec.privacy,
        members=len(permit.cohort),
        groups=spec.groups,
    )
    if how != expected:
        text = f"expected {expected.to_json()}, got {how.to_json()}"
        yield "permit-sums", f"{permit.id}: {text}"[:500]
    if not large_enough(len(permit.cohort), spec.groups, spec.min_cohort):
        text = f"expected {spec.groups} groups of at least {spec.min_cohort}"
        yield "permit-sums", f"{permit.id}: {text}, got {len(permit.cohort)} enterprises"
    if spec.secure_sum == "governance":
        try:
            parse_public_key(how.key)
        except MaskKeyError as error:
            yield "permit-sums", f"{permit.id}: {error}"


def _permit(register: Register, run: Run, decided: Read) -> dict[str, Any]:
    """The body that follows from a decision, but for its id."""
    body: Body = decided.body
    spec, recipient = run.spec, register.people.get(run.consumer)
    limit = timedelta(seconds=spec.deadline_s) + EXPIRY_GRACE
    return {
        "version": 1,
        "space": register.space,
        "run": run.id,
        "flower_run": body["flower_run"],
        "round": body["round"],
        "attempt": body["attempt"],
        "kind": body["kind"],
        "consumer": run.consumer,
        "consumer_sector": recipient.sector if recipient else "",
        "consumer_region": recipient.region if recipient else "",
        "purpose": spec.purpose,
        "app": spec.app,
        "config": run.config,
        "model": body["model"],
        "metrics": list(spec.metrics),
        "clip_norm": spec.clip_norm,
        "privacy": None if spec.privacy is None else spec.privacy.to_json(),
        "cohort": _members(register, run, body),
        "min_cohort": spec.min_cohort,
        "voucher": spec.voucher if spec.pays != "0" else "",
        "limits": {
            "wall_s": spec.deadline_s,
            "memory_bytes": spec.memory_bytes,
            "accelerator": spec.accelerator,
        },
        "decision": decided.decision_digest,
        "issued": decided.entry.time,
        "expires": instant(parse_instant(decided.entry.time) + limit),
    }


def _members(register: Register, run: Run, decided: Body) -> list[dict[str, Json]]:
    claims = {claim.product: claim for claim in map(register.claim, run.spec.agreements)}
    members, sealed = [], run.spec.secure_sum == "pairwise"
    for verdict in decided["decision"]["verdicts"]:
        if not verdict["permitted"]:
            continue
        claim = claims[verdict["product"]]
        duties = register.agreement(claim.agreement).agreement.post_duties
        loss = epsilon_after(register.given(claim.product).losses, run.spec.privacy)
        member: dict[str, Json] = {
            "participant": claim.participant,
            "product": claim.product,
            "agreement": claim.agreement,
            "key": sha256_hex(bytes.fromhex(claim.receipt_key)),
            "report": verdict["report"],
            "max_rows": claim.rows,
            "metered_s": run.spec.deadline_s,
            "epsilon": "" if loss is None else decimal_text(loss),
            "pays": run.spec.pays,
            "duties": list(duties),
            "sealing": (claim.disclosure_key or "") if sealed else "",
        }
        members.append(member)
    return members


def check_close(register: Register, run: Run, open_: Open, body: Body) -> Iterator[Fault]:
    """Every fault of `RoundClosed` that is not one of `auditors.rules`."""
    permit = open_.body
    for name in ("run", "round", "kind", "attempt"):
        if body[name] != getattr(permit, name):
            yield "close-follows", f"{name}: expected {getattr(permit, name)}, got {body[name]}"
    if body["accepted"] != open_.in_result:
        names = [
            ", ".join(item["participant"] for item in one) or "nobody"
            for one in (open_.in_result, body["accepted"])
        ]
        text = f"expected the accepted receipts of {names[0]}, got those of {names[1]}"
        rule = "close-complete" if open_.released is None else "close-released"
        yield rule, f"{permit.id}: {text}"
    if open_.masked and open_.released is None and body["quorum_met"]:
        text = "expected a result only after the release of its masks, got one without"
        yield "close-released", f"{permit.id}: {text}"
    missing = _left_out(register, open_)
    if body["left_out"] != missing:
        text = f"expected {_codes(missing)}, got {_codes(body['left_out'])}"
        yield "close-complete", f"{permit.id}: left out: {text}"
    yield from _result(run, open_, body)
    used = [item["participant"] for item in open_.in_result] if body["quorum_met"] else []
    derived = _derived(register, run, permit, used if permit.kind == "train" else [])
    if body["derived"] != derived:
        yield "close-derived", f"{permit.id}: expected {derived}, got {body['derived']}"


def _result(run: Run, open_: Open, body: Body) -> Iterator[Fault]:
    permit, result = open_.body, body["quorum_met"]
    if result and len(open_.in_result) < run.spec.quorum:
        text = f"expected {run.spec.quorum} accepted receipts for a result"
        yield "close-quorum", f"{permit.id}: {text}, got {len(open_.in_result)}"
    changes = permit.kind == "train" and result
    if body["model"] != permit.model and not changes:
        text = f"expected the model unchanged, {permit.model[:16]}…, got {body['model'][:16]}…"
        yield "model-chain", f"{permit.id}: {text}"


def _left_out(register: Register, open_: Open) -> list[Json]:
    accepted = {item["participant"] for item in open_.accepted}
    taken = {item["participant"] for item in open_.in_result}
    found: list[Json] = []
    for member in open_.body.cohort:
        if member.participant not in taken:
            code, text = open_.last.get(member.participant, NO_REPLY)
            if member.participant in accepted:
                withdrawn = register.agreement(member.agreement).withdrawn
                code, text = withdrawn_before_release(member.participant, withdrawn)
            found.append(
                {
                    "participant": member.participant,
                    "product": member.product,
                    "code": code,
                    "text": text,
                }
            )
    return found


def _codes(items: list[Any]) -> str:
    return ", ".join(f"{item['participant']} ({item['code']})" for item in items) or "nobody"


def _derived(register: Register, run: Run, permit: PermitBody, used: list[str]) -> Body:
    found = []
    for member in permit.cohort:
        if member.participant in used:
            claim = register.claim(member.agreement)
            policy = register.agreement(member.agreement).agreement.next_policy
            found.append((claim.classification, policy.digest if policy is not None else None))
    return derived_from(run.derived, found)


def check_opened(register: Register, runs: Runs, body: Body) -> Iterator[Fault]:
    """Whether a run is a new one, about agreements with its consumer, one of each owner."""
    if body["run"] in runs.courses:
        yield "run-follows", f"{body['run']}: expected a new id, got one of an earlier run"
    owners: set[str] = set()
    for id in body["spec"]["agreements"]:
        concluded = register.agreements.get(id)
        if concluded is None or concluded.agreement.assignee != body["consumer"]:
            yield "run-follows", f"{id}: expected a concluded agreement with {body['consumer']}"
        elif concluded.assigner in owners:
            text = f"expected one agreement of {concluded.assigner} in a run, got two"
            yield "run-follows", f"{body['run']}: {text}"
        else:
            owners.add(concluded.assigner)


def check_ended(run: Run, body: Body) -> Iterator[Fault]:
    """Whether a run ends as it stands, with no permit left open."""
    if run.permit is not None:
        text = f"expected {run.permit.body.id} closed or abandoned before the end"
        yield "run-follows", f"{run.id}: {text}"
    for name in ("closed_rounds", "model", "last_close"):
        if body[name] != getattr(run, name):
            text = f"{name}: expected {getattr(run, name)}, got {body[name]}"
            yield "run-follows", f"{run.id}: {text}"
    if (body["state"] == "COMPLETED") != run.evaluated:
        text = f"expected it completed once its evaluation is closed, got {body['state']}"
        yield "run-follows", f"{run.id}: {text}"
