"""One policy in four engines, each in the form that its own documentation shows.

May train on `p0`: `consortium`, for medical research or what belongs to it, before 2027, at most
100 times, in mainland China, with itself as the recipient. Policies are parsed once and outside the
measurement; a decision includes handing over the request's values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import casbin
import cedarpy
import regopy

from policies.evaluate import Effect, Request, State, Value, evaluate
from policies.odrl import CONTEXT, PROFILE, Agreement, parse_agreement
from policies.relations import PURPOSES

NOW = datetime(2026, 6, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
Decide = Callable[[str], bool]  # purpose -> permitted


def document(number: int) -> bytes:
    """The agreement about product `p{number}`, which differs from all others in its count too."""
    constraints = [
        ("purpose", "isA", "medical-research"),
        ("dateTime", "lt", "2027-01-01T00:00:00Z"),
        ("count", "lteq", {"@value": str(100 + number), "@type": "xsd:integer"}),
        ("spatial", "isPartOf", "CN"),
        ("recipient", "eq", "consortium"),
    ]
    permission = {
        "action": "use",
        "constraint": [
            {"leftOperand": left, "operator": operator, "rightOperand": right}
            for left, operator, right in constraints
        ],
    }
    policy = {
        "@context": [CONTEXT],
        "@id": f"urn:uuid:{number}",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": f"p{number}",
        "assigner": f"owner-{number}",
        "assignee": "consortium",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": [permission],
    }
    return json.dumps(policy).encode()


def agreement(number: int) -> Agreement:
    """The same, parsed."""
    return parse_agreement(document(number))


def state(purpose: str = "diagnosis-support") -> State:
    """The left values, as governance would know them."""
    return {
        "purpose": Value(purpose, "log entry 17"),
        "dateTime": Value(NOW, "clock of governance"),
        "count": Value(7, "permits so far, plus this one"),
        "spatial": Value("CN-GD", "enrolment of owner-0"),
        "recipient": Value("consortium", "log entry 17"),
    }


def ours() -> Decide:
    """Our evaluator, with its report."""
    agreed, request = agreement(0), Request("p0", "consortium", "train")

    def decide(purpose: str) -> bool:
        return evaluate(agreed, request, state(purpose)).effect is Effect.PERMIT

    return decide


CEDAR = """
permit (
    principal == Participant::"consortium",
    action in Action::"use",
    resource == Product::"p0"
) when {
    context.purpose in Purpose::"medical-research" &&
    context.now < %d &&
    context.count <= 100 &&
    (context.spatial == "CN" || context.spatial like "CN-*") &&
    context.recipient == "consortium"
};
"""


def cedar() -> Decide:
    """cedarpy with policies and entities parsed ahead."""
    policies = cedarpy.PolicySet.from_str(CEDAR % int(END.timestamp() * 1000))
    actions = [{"uid": uid("Action", "train"), "attrs": {}, "parents": [uid("Action", "use")]}]
    names = [
        {
            "uid": uid("Purpose", name),
            "attrs": {},
            "parents": [uid("Purpose", wider)] if wider else [],
        }
        for name, wider in PURPOSES.items()
    ]
    entities = cedarpy.Entities.from_json_str(json.dumps(actions + names))

    def decide(purpose: str) -> bool:
        request = {
            "principal": uid("Participant", "consortium"),
            "action": uid("Action", "train"),
            "resource": uid("Product", "p0"),
            "context": {
                "purpose": {"__entity": uid("Purpose", purpose)},
                "now": int(NOW.timestamp() * 1000),
                "count": 7,
                "spatial": "CN-GD",
                "recipient": "consortium",
            },
        }
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    return decide


def uid(kind: str, name: str) -> dict[str, str]:
    """A reference to an entity."""
    return {"type": kind, "id": name}


CASBIN = """
[request_definition]
r = sub, obj, act, env
[policy_definition]
p = sub, obj, act, purpose, until, uses, place, recipient
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act && belongs(r.env.purpose, p.purpose) && \
below(r.env.now, p.until) && atMost(r.env.count, p.uses) && inside(r.env.spatial, p.place) && \
r.env.recipient == p.recipient
"""


class Environment:
    """What casbin's matcher reads attributes of."""

    __slots__ = ("count", "now", "purpose", "recipient", "spatial")

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.now = int(NOW.timestamp() * 1000)
        self.count = 7
        self.spatial = "CN-GD"
        self.recipient = "consortium"


def casbins() -> Decide:
    """casbin with attributes in the request, and functions since a policy's fields are strings."""
    model = casbin.Model()
    model.load_model_from_text(CASBIN)
    enforcer = casbin.Enforcer(model)
    enforcer.add_function("belongs", belongs)
    enforcer.add_function("inside", lambda a, b: a == b or a.startswith(b + "-"))
    enforcer.add_function("below", lambda left, right: left < int(right))
    enforcer.add_function("atMost", lambda left, right: left <= int(right))
    until = str(int(END.timestamp() * 1000))
    enforcer.add_policy(
        "consortium", "p0", "train", "medical-research", until, "100", "CN", "consortium"
    )

    def decide(purpose: str) -> bool:
        return bool(enforcer.enforce("consortium", "p0", "train", Environment(purpose)))

    return decide


def belongs(name: str | None, wider: str) -> bool:
    """Whether a purpose is or belongs to another."""
    while name is not None and name != wider:
        name = PURPOSES.get(name)
    return name is not None


REGO = """
package space

default allow := false

belongs(name, wider) if name == wider
belongs(name, wider) if data.purposes[name] == wider

inside(place, around) if place == around
inside(place, around) if startswith(place, concat("", [around, "-"]))

allow if {
    input.assignee == "consortium"
    input.target == "p0"
    input.action == "train"
    belongs(input.purpose, "medical-research")
    input.now < %d
    input.count <= 100
    inside(input.spatial, "CN")
    input.recipient == "consortium"
}
"""


def rego() -> Decide:
    """regopy with a bundle compiled ahead."""
    interpreter = regopy.Interpreter()
    interpreter.add_module("space", REGO % int(END.timestamp() * 1000))
    interpreter.add_data({"purposes": {name: wider or "" for name, wider in PURPOSES.items()}})
    bundle = interpreter.build("data.space.allow")

    def decide(purpose: str) -> bool:
        asked = {
            "assignee": "consortium",
            "target": "p0",
            "action": "train",
            "purpose": purpose,
            "now": int(NOW.timestamp() * 1000),
            "count": 7,
            "spatial": "CN-GD",
            "recipient": "consortium",
        }
        interpreter.set_input(regopy.Input(asked))
        return interpreter.query_bundle(bundle)[0].expressions == [True]

    return decide


ENGINES: dict[str, Callable[[], Decide]] = {
    "tdspace": ours,
    "cedarpy": cedar,
    "casbin": casbins,
    "regopy": rego,
}
