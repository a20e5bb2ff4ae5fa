"""The ODRL test suite's Turtle as our values: each case's agreement, request, state, expectation.

Nothing is evaluated here. What is mapped, and the same for all cases:

- An action of the suite to one of ours that stands in the same place of the hierarchy (`odrl:sell`
  is not included in `odrl:use`, nor is `list`). A rule without an action speaks about every
  action, so it becomes one rule for each action that is included in no other.
- A collection to its members: an agreement names one party and one target, so a policy for a
  collection is offered to each member that the state of the world names. A rule without a party
  or a target speaks about whoever and whatever a request names.
- A permission's duty to one that is due after the use: in the suite a permission is active as long
  as its duty is not violated ("given that eventually the duty is fulfilled").
- The order of `odrl:and` and `odrl:or`, which RDF does not keep, to that of the parts' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import rdflib
from rdflib import RDF, Graph, Namespace, URIRef
from rdflib.term import Node
from vectors_folder import vectors

from policies.evaluate import Request, State, Value
from policies.odrl import Agreement, parse_datetime
from policies.operands import ACTIONS, OPERANDS, parse_right
from policies.rules import Constraint, Duty, Logic, Rule

rdflib.NORMALIZE_LITERALS = False  # our intake reads times as they are written

FOLDER = "odrl-test-suite"
ODRL = Namespace("http://www.w3.org/ns/odrl/2/")
REPORT = Namespace("https://w3id.org/force/compliance-report#")
EXAMPLE = Namespace("http://example.org/")
DCT = Namespace("http://purl.org/dc/terms/")
NOW = URIRef("http://example.com/request/currentTime")

ACTION_OF = {ODRL.use: "use", ODRL.read: "train", ODRL.write: "evaluate", ODRL.sell: "list"}
DUTY_OF = {ODRL.compensate: "report"}
KINDS: Mapping[Literal["permission", "prohibition"], URIRef] = {
    "permission": ODRL.permission,
    "prohibition": ODRL.prohibition,
}
LOGIC = {"and": ODRL["and"], "or": ODRL["or"], "xone": ODRL.xone}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the suite says of the case's one rule.

    Attributes:
        premises: `target`, `party` and `action`, where reported, by whether they are satisfied.
        constraints: every reported constraint by whether it is satisfied.
    """

    kind: str
    active: bool
    premises: Mapping[str, bool]
    constraints: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `agreement`'s constraints carry the suite's names as their paths."""

    title: str
    agreement: Agreement
    request: Request
    state: State
    expected: Expected


def case_files() -> list[Path]:
    """The suite's cases."""
    return sorted((vectors(FOLDER) / "data" / "test_cases").glob("*.ttl"))


def read_case(path: Path) -> Case:
    """One case with the files it names; every file is parsed alone, for names recur across them."""
    graph = _graph(path)
    case = _one(graph, RDF.type, EXAMPLE.TestCase)
    world = _named(graph.value(case, EXAMPLE.sotw), "sotw")
    asked = _named(graph.value(case, EXAMPLE.request), "requests")
    policy = _named(graph.value(case, EXAMPLE.policy), "policies")
    request = _request(asked)
    return Case(
        title=str(graph.value(case, DCT.title)),
        agreement=_agreement(policy, world, request),
        request=request,
        state=_state(policy, world),
        expected=_expected(graph),
    )


def _request(graph: Graph) -> Request:
    [rule] = graph.objects(None, ODRL.permission)
    action = ACTION_OF[URIRef(str(graph.value(rule, ODRL.action)))]
    target, assignee = graph.value(rule, ODRL.target), graph.value(rule, ODRL.assignee)
    return Request(target=str(target), assignee=str(assignee), action=action)


def _agreement(graph: Graph, world: Graph, request: Request) -> Agreement:
    rules: dict[str, list[Rule]] = {"permission": [], "prohibition": []}
    for kind, predicate in KINDS.items():
        for node in sorted(graph.objects(None, predicate)):
            for action in _actions(graph, node):
                index = len(rules[kind])
                parts = tuple(
                    _part(graph, one) for one in sorted(graph.objects(node, ODRL.constraint))
                )
                duties = tuple(
                    Duty(str(one), DUTY_OF[URIRef(str(graph.value(one, ODRL.action)))])
                    for one in sorted(graph.objects(node, ODRL.duty))
                )
                rules[kind].append(Rule(kind, index, action, parts, duties))
    return Agreement(
        id=str(_one(graph, RDF.type, ODRL.Set)),
        target=_resolved(graph, world, ODRL.target, request.target),
        assigner="urn:uuid:assigner",
        assignee=_resolved(graph, world, ODRL.assignee, request.assignee),
        timestamp=parse_datetime("2017-01-01T00:00:00Z", "$"),
        permissions=tuple(rules["permission"]),
        prohibitions=tuple(rules["prohibition"]),
    )


def _actions(graph: Graph, rule: Node) -> list[str]:
    action = graph.value(rule, ODRL.action)
    if action is not None:
        return [ACTION_OF[URIRef(str(action))]]
    return [term for term, row in ACTIONS.items() if row.included_in is None]


def _resolved(graph: Graph, world: Graph, predicate: URIRef, asked: str) -> str:
    """The one party or target of an agreement with whoever asks."""
    named = set(graph.objects(None, predicate))
    if not named:
        return asked
    [node] = named
    member = (URIRef(asked), ODRL.partOf, node) in world
    return asked if member else str(node)


def _part(graph: Graph, node: Node) -> Constraint | Logic:
    for operator, predicate in LOGIC.items():
        parts = sorted(graph.objects(node, predicate))
        if parts:
            return Logic(str(node), operator, tuple(_part(graph, part) for part in parts))
    term = _term(graph.value(node, ODRL.leftOperand))
    operator = _term(graph.value(node, ODRL.operator))
    text = str(graph.value(node, ODRL.rightOperand))
    return Constraint(str(node), term, operator, parse_right(OPERANDS[term], operator, text, "$"))


def _term(node: Node | None) -> str:
    return str(node).removeprefix(str(ODRL))


def _state(policy: Graph, world: Graph) -> State:
    source = "the suite's state of the world"
    now = parse_datetime(str(world.value(NOW, DCT.issued)), "$")
    state = {"dateTime": Value(now, source)}
    for report in world.subjects(RDF.type, REPORT.DutyReport):
        action = policy.value(world.value(report, REPORT.rule), ODRL.action)
        if action is not None:  # otherwise a report about a duty of another policy
            said = str(world.value(report, REPORT.deonticState)).removeprefix(str(REPORT))
            state[DUTY_OF[URIRef(str(action))]] = Value(said.lower(), source)
    return state


def _expected(graph: Graph) -> Expected:
    [report] = graph.objects(None, REPORT.ruleReport)
    premises = {
        name: _satisfied(graph, premise)
        for premise in graph.objects(report, REPORT.premiseReport)
        for name in ("target", "party", "action")
        if (premise, RDF.type, REPORT[f"{name.title()}Report"]) in graph
    }
    constraints = {
        str(graph.value(one, REPORT.constraint)): _satisfied(graph, one)
        for one in graph.subjects(RDF.type, REPORT.ConstraintReport)
    }
    prohibits = (report, RDF.type, REPORT.ProhibitionReport) in graph
    return Expected(
        kind="prohibition" if prohibits else "permission",
        active=(report, REPORT.activationState, REPORT.Active) in graph,
        premises=premises,
        constraints=constraints,
    )


def _satisfied(graph: Graph, report: Node) -> bool:
    return (report, REPORT.satisfactionState, REPORT.Satisfied) in graph


def _one(graph: Graph, predicate: URIRef, object: URIRef) -> Node:
    [found] = graph.subjects(predicate, object)
    return found


def _graph(path: Path) -> Graph:
    return Graph().parse(path, format="turtle")


_parsed: dict[str, dict[str, Graph]] = {}


def _named(name: Node | None, folder: str) -> Graph:
    """The file of this folder that describes this policy, request or state of the world."""
    if folder not in _parsed:
        found: dict[str, Graph] = {}
        for path in sorted((vectors(FOLDER) / "data" / folder).glob("*.ttl")):
            graph = _graph(path)
            kinds = (ODRL.Set, ODRL.Request, EXAMPLE.Sotw)
            found |= {str(one): graph for kind in kinds for one in graph.subjects(RDF.type, kind)}
        _parsed[folder] = found
    return _parsed[folder][str(name)]
