"""What entries about runs and rounds say, and those of a node's own log, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from auditors.explain_say import MAX_NAMED, Body, Say, digest, signed
from auditors.useloss import use_loss
from policies.release import NO_SUMS

# -- runs and rounds -------------------------------------------------------------------------------


def _opened(say: Say, body: Body) -> Iterator[str]:
    spec = body["spec"]
    yield say(
        "RunOpened",
        consumer=say.who(body["consumer"]),
        run=body["run"],
        purpose=spec["purpose"],
        rounds=spec["rounds"],
        agreements=len(spec["agreements"]),
    )
    yield say("run-app", app=digest(spec["app"]))
    terms = ("pays", "min_cohort", "quorum", "deadline_s")
    yield say("run-terms", **{name: spec[name] for name in terms})
    if spec["privacy"] is not None:
        names = ("unit", "parts", "sample", "noise", "by", "delta")
        epsilon = use_loss(spec["privacy"])
        yield say("run-privacy", epsilon=epsilon, **{name: spec["privacy"][name] for name in names})
    else:
        yield say("run-not-private")
    if spec.get("clip_norm"):
        yield say("run-clip", clip_norm=spec["clip_norm"])
    if spec["voucher"]:
        yield say("run-voucher", voucher=spec["voucher"])


def _resumed(say: Say, body: Body) -> Iterator[str]:
    yield say("RunResumed", run=body["run"])


def _ended(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("run", "closed_rounds", "state")}
    yield say("RunEnded", reason=body["reason"], **fields)
    if words := say.words(body.get("said")):
        yield say("step-why", reason=words)
    if body["model"]:
        yield say("ended-model", model=digest(body["model"]))


def _reports(say: Say, body: Body) -> Iterator[str]:
    yield say("ReportsMade", round=say.round(body), count=len(body["reports"]))
    for one in body["reports"][:MAX_NAMED]:
        names = ("target", "assignee", "action", "effect", "agreement")
        yield say("report-line", **{name: one[name] for name in names})


def _decided(say: Say, body: Body) -> Iterator[str]:
    verdicts = body["decision"]["verdicts"]
    permitted = [say.who(one["participant"]) for one in verdicts if one["permitted"]]
    refused = [
        f"{say.who(one['participant'])} ({one['reasons'][0]['code']})"
        for one in verdicts
        if not one["permitted"]
    ]
    counts = {"permitted": len(permitted), "count": len(verdicts)}
    yield say("RoundDecided", round=say.round(body), **counts)
    yield say("decided-permitted", names=say.several(permitted))
    yield say("decided-refused", names=say.several(refused))
    yield say("decided-few", min_cohort=body["decision"]["minCohort"])


def _permit(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("id", "purpose")}
    consumer = say.who(body["consumer"])
    yield say("PermitIssued", consumer=consumer, round=say.round(body), **fields)
    app, model = digest(body["app"]), digest(body["model"])
    yield say("permit-until", expires=body["expires"], app=app, model=model)
    for one in body["cohort"][:MAX_NAMED]:
        names = ("product", "agreement", "max_rows", "metered_s", "pays")
        figures = {name: one[name] for name in names}
        loss = said_loss(say, body, one)
        yield say("permit-member", participant=say.who(one["participant"]), loss=loss, **figures)
    if body["metrics"]:
        yield say("permit-figures", metrics=say.several(body["metrics"]))
    how = body.get("secure_sum")
    if how:
        yield say("permit-sum-governance" if how["key"] else "permit-sum-pairwise")


def said_loss(say: Say, permit: Body, member: Body) -> str:
    """ε of a member's product with its use, as the permit states it."""
    if not member["epsilon"]:
        return say("loss-unbounded")
    return say("loss", epsilon=member["epsilon"], delta=permit["privacy"]["delta"])


def _receipt(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("rows_used", "product")}
    who = say.who(body["participant"])
    yield say("ReceiptAccepted", participant=who, round=say.round(body), **fields)
    names = ("permit_id", "rows_held_back", "metered_s")
    yield say("receipt-permit", **{name: body[name] for name in names})
    told = signed(body["envelope"])
    yield from _left_out(say, told)
    confinement = told.get("confinement")
    if isinstance(confinement, dict) and "started" in told and "finished" in told:
        held = [f"{name} {_word(say, confinement[name])}" for name in sorted(confinement)]
        yield say(
            "receipt-time",
            started=told["started"],
            finished=told["finished"],
            environment=say.several(held),
        )
    if body["kind"] == "train":
        yield say("receipt-update", update=digest(body["update"]))


def _left_out(say: Say, receipt: Body) -> Iterator[str]:
    rows = receipt.get("rows_without_consent")
    if type(rows) is int and rows > 0:
        yield say("receipt-consent", rows=rows)


def _word(say: Say, value: object) -> str:
    return say("yes" if value else "no") if isinstance(value, bool) else str(value)


def _reply(say: Say, body: Body) -> Iterator[str]:
    fields = {"text": body["text"], "code": body["code"]}
    who = say.who(body["participant"] or "?")
    yield say("ReceiptRefused", participant=who, round=say.round(body), **fields)
    yield say("refused-reported" if body["reported"] else "refused-checked")
    yield say("refused-counts")


def _released(say: Say, body: Body) -> Iterator[str]:
    opened = [one for group in body["groups"] for one in group]
    pairwise = body["sums"] == NO_SUMS
    told = "released-pairwise" if pairwise else "MasksReleased"
    yield say(told, round=say.round(body), count=len(opened))
    for group in body["groups"][:MAX_NAMED]:
        yield say("released-group", names=say.several([say.who(one) for one in group]))
    yield say("released-once", permit_id=body["permit_id"])


def _closed(say: Say, body: Body) -> Iterator[str]:
    result = say("result" if body["quorum_met"] else "no-result")
    yield say("RoundClosed", round=say.round(body), result=result)
    used = [f"{say.who(one['participant'])} ({one['rows']})" for one in body["accepted"]]
    left = [f"{say.who(one['participant'])} ({one['code']})" for one in body["left_out"]]
    yield say("closed-used", names=say.several(used))
    if left:
        yield say("closed-left", names=say.several(left))
    classification = body["derived"]["classification"]
    yield say("closed-model", model=digest(body["model"]), classification=classification)
    if body["metrics"]:
        figures = [f"{name} {value}" for name, value in body["metrics"].items()]
        yield say("closed-figures", metrics=say.several(figures))
    if body["duties"]:
        done = [f"{name}: {value}" for name, value in body["duties"].items()]
        yield say("closed-duties", duties=say.several(done))
    if body["previous"] is None:
        yield say("closed-first")
    else:
        yield say("closed-previous", previous=body["previous"])


def _abandoned(say: Say, body: Body) -> Iterator[str]:
    yield say("RoundAbandoned", round=say.round(body), reason=body["reason"])
    yield say("abandoned-means", permit_id=body["permit_id"])


def _alarm(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("round", "run")}
    who = say.who(body["participant"])
    yield say("EnginesDisagreed", participant=who, kind=say(body["kind"]), **fields)
    for engine, decision in body["decisions"].items():
        yield say("engine-line", engine=engine, effect=decision["effect"])
    yield say("engines-means")


# -- a node's own log ------------------------------------------------------------------------------


def _node(say: Say, body: Body) -> Iterator[str]:
    yield say("NodeCreated", participant=say.who(body["participant"]), space=body["space"])


def _about(kind: str) -> Callable[[Say, Body], Iterator[str]]:
    def tell(say: Say, body: Body) -> Iterator[str]:
        yield say(kind, app=digest(body["app"]))

    return tell


def _started(say: Say, body: Body) -> Iterator[str]:
    fields = {name: body[name] for name in ("product", "permit_id")}
    yield say("UseStarted", round=say.round(body), **fields)
    names = ("purpose", "agreement", "use")
    more = {name: body[name] for name in names}
    yield say("use-for", consumer=say.who(body["consumer"]), **more)


def _use_refused(say: Say, body: Body) -> Iterator[str]:
    yield say("UseRefused", text=body["text"], code=body["code"])


def _use_failed(say: Say, body: Body) -> Iterator[str]:
    yield say("UseFailed", permit_id=body["permit_id"], text=body["text"])


def _use_receipted(say: Say, body: Body) -> Iterator[str]:
    receipt = body["receipt"]
    names = ("rows_used", "product", "round", "run")
    yield say("UseReceipted", **{name: receipt[name] for name in names})
    yield from _left_out(say, receipt)


def _owner_withdrew(say: Say, body: Body) -> Iterator[str]:
    yield say("Withdrawn", agreement=body["agreement"])
    if words := say.words(body.get("reason")):
        yield say("step-why", reason=words)


def _replaced(say: Say, body: Body) -> Iterator[str]:
    yield say("KeyReplaced", **{name: digest(body[name]) for name in ("previous", "receipt_key")})


def _fork(say: Say, body: Body) -> Iterator[str]:
    yield say("ForkSeen", fault=body["kind"])
    yield say("fork-sizes", seen=body["seen"]["size"], came=body["came"]["size"])
    yield say("fork-means")


ROUNDS: Final[Mapping[str, Callable[[Say, Body], Iterator[str]]]] = MappingProxyType(
    {
        "RunOpened": _opened,
        "RunResumed": _resumed,
        "RunEnded": _ended,
        "ReportsMade": _reports,
        "RoundDecided": _decided,
        "PermitIssued": _permit,
        "ReceiptAccepted": _receipt,
        "ReceiptRefused": _reply,
        "MasksReleased": _released,
        "RoundClosed": _closed,
        "RoundAbandoned": _abandoned,
        "EnginesDisagreed": _alarm,
        "NodeCreated": _node,
        "AppApproved": _about("AppApproved"),
        "AppRevoked": _about("AppRevoked"),
        "UseStarted": _started,
        "UseRefused": _use_refused,
        "UseFailed": _use_failed,
        "UseReceipted": _use_receipted,
        "Withdrawn": _owner_withdrew,
        "KeyReplaced": _replaced,
        "ForkSeen": _fork,
    }
)
