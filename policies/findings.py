"""Rules against the other rules of their policy: what can never hold, and what is needless.

`policies.authoring` says what the findings are for. Each holds for all requests at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from policies.algebra import Algebra, RuleSet, Undecided, distinct_actions, unlisted_purposes
from policies.canonical import Json
from policies.operands import COVERS
from policies.relations import Purposes
from policies.rules import Constraint, Duty, Logic, Rule

Severity = Literal["error", "warning", "note"]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something an author should know.

    Attributes:
        severity: an error makes a rule or the whole policy useless; a warning is hardly meant; a
            note may well be meant.
        code: for programs.
        path: where in the document, such as `$.permission[0]`.
        text: what is so, in a sentence.
        fix: what to do about it.
    """

    severity: Severity
    code: str
    path: str
    text: str
    fix: str

    def to_json(self) -> dict[str, Json]:
        """The finding as JSON."""
        return {
            "severity": self.severity,
            "code": self.code,
            "path": self.path,
            "text": self.text,
            "fix": self.fix,
        }


class RuleCheck:
    """The rules of one policy, or of its `nextPolicy`.

    Args:
        algebra: made of at least these rules.
        path: of the object that holds them, such as `$`.
    """

    def __init__(self, algebra: Algebra, rules: RuleSet, path: str, purposes: Purposes) -> None:
        self._algebra = algebra
        self._rules = rules
        self._path = path
        self._purposes = purposes
        self._actions = distinct_actions([rules])
        self._needed = list(rules.permissions)

    def findings(self) -> Iterator[Finding]:
        """Everything there is to say, permissions first, in the document's order."""
        for rule in reversed(self._rules.permissions):
            yield from decided(self._path_of(rule), self._permission(rule))
        for rule in self._rules.prohibitions:
            yield from decided(self._path_of(rule), self._prohibition(rule))
        for leaf in unlisted_purposes(self._rules.comparisons(), self._purposes):
            text = (
                f"the table of purposes lacks {leaf.right}: only {leaf.right} itself is known to "
                "belong to it; of any other purpose it is unknown, which never permits"
            )
            fix = "use a purpose of the table, or eq instead of isA"
            yield Finding("warning", "unlisted-purpose", leaf.path, text, fix)

    def _permission(self, rule: Rule) -> Iterator[Finding]:
        path, name = self._path_of(rule), f"permission {rule.index + 1}"
        if self._algebra.find(self._algebra.granted(self._rules, rule)) is None:
            self._needed.remove(rule)
            items = (*rule.constraints, *self._rules.duties(rule))
            text = f"{name} can never be met: {self._exclusion(rule, items)}"
            fix = "loosen what excludes it, or remove the permission"
            yield Finding("error", "never-met", path, text, fix)
        elif self._is_forbidden(rule, self._rules.prohibitions):
            self._needed.remove(rule)
            barring = smallest(
                self._rules.prohibitions, lambda some: self._is_forbidden(rule, some)
            )
            text = f"whatever {name} permits is forbidden by {_numbered('prohibition', barring)}"
            fix = "narrow the prohibition, or remove the permission"
            yield Finding("error", "forbidden", path, text, fix)
        else:
            yield from self._redundant(rule)
            yield from self._alternatives(rule, rule.constraints)
            yield from self._forbidden_duties(rule)

    def _redundant(self, rule: Rule) -> Iterator[Finding]:
        others = [one for one in self._needed if one is not rule]
        after = {duty.action for one in others for duty in self._rules.duties(one)}
        if any(not duty.is_pre and duty.action not in after for duty in rule.duties):
            return
        if self._is_covered(rule, others):
            self._needed.remove(rule)
            covering = smallest(others, lambda some: self._is_covered(rule, some))
            text = (
                f"permission {rule.index + 1} permits nothing that "
                f"{_numbered('permission', covering)} does not permit"
            )
            fix = "remove it, or loosen what it asks for beyond the other"
            yield Finding("warning", "redundant", self._path_of(rule), text, fix)

    def _alternatives(self, rule: Rule, parts: Sequence[Constraint | Logic]) -> Iterator[Finding]:
        """Alternatives of a permission that is met only by others of its alternatives."""
        granted = self._algebra.granted(self._rules, rule)
        for part in parts:
            if not isinstance(part, Logic) or part.operator == "xone":
                continue
            if part.operator == "or":
                for inner in part.parts:
                    if self._algebra.find(granted, self._algebra.holds(inner)) is None:
                        text = "this alternative can never hold together with the rest of the rule"
                        fix = "remove it, or loosen it"
                        yield Finding("warning", "idle-alternative", inner.path, text, fix)
            yield from self._alternatives(rule, part.parts)

    def _forbidden_duties(self, rule: Rule) -> Iterator[Finding]:
        for duty in self._rules.duties(rule):
            prohibitions = self._rules.prohibiting(duty.action)
            met = self._algebra.any_met(prohibitions)
            granted = self._algebra.granted(self._rules, rule)
            for action in self._covered(rule) if prohibitions else ():
                allowed = self._algebra.allowed(self._rules, action)
                if self._algebra.find(granted, allowed, goal=met) is not None:
                    text = (
                        f"permission {rule.index + 1} comes with the duty to {duty.action}, which "
                        f"{_numbered('prohibition', prohibitions)} can forbid at the same time"
                    )
                    fix = "remove the duty, or narrow the prohibition"
                    yield Finding("warning", "duty-prohibited", duty.path, text, fix)
                    break

    def _prohibition(self, rule: Rule) -> Iterator[Finding]:
        path, name = self._path_of(rule), f"prohibition {rule.index + 1}"
        if self._algebra.find(self._algebra.met(rule)) is None:
            text = f"{name} can never apply: {self._exclusion(rule, rule.constraints)}"
            fix = "loosen what excludes it, or remove the prohibition"
            yield Finding("warning", "never-applies", path, text, fix)
        elif self._rules.permissions and not self._changes_anything(rule):
            text = f"{name} changes nothing: what it forbids is not permitted without it either"
            yield Finding("note", "no-effect", path, text, "keep it for clarity, or remove it")

    def _changes_anything(self, prohibition: Rule) -> bool:
        others = [one for one in self._rules.prohibitions if one is not prohibition]
        without = RuleSet(self._rules.permissions, tuple(others), self._rules.obligations)
        barred = self._algebra.barred(prohibition)
        return any(
            self._algebra.find(self._algebra.permits(without, action), barred) is not None
            for action in self._covered(prohibition)
        )

    def _is_forbidden(self, rule: Rule, prohibitions: Sequence[Rule]) -> bool:
        """Whether these prohibitions leave nothing of a permission, whatever is asked for."""
        granted = self._algebra.granted(self._rules, rule)
        return all(
            self._algebra.find(
                granted,
                *(self._algebra.clear(one) for one in prohibitions if action in COVERS[one.action]),
            )
            is None
            for action in self._covered(rule)
        )

    def _is_covered(self, rule: Rule, others: Sequence[Rule]) -> bool:
        """Whether whatever a permission permits is permitted by one of these as well."""
        granted = self._algebra.granted(self._rules, rule)
        return all(
            self._algebra.find(
                granted,
                self._algebra.allowed(self._rules, action),
                *(
                    self._algebra.withheld(self._rules, one)
                    for one in others
                    if action in COVERS[one.action]
                ),
            )
            is None
            for action in self._covered(rule)
        )

    def _exclusion(self, rule: Rule, items: Sequence[Constraint | Logic | Duty]) -> str:
        """Which of these cannot hold together, as few as possible."""
        excluding = smallest(
            items,
            lambda some: self._algebra.find(*(self._algebra.holds(one) for one in some)) is None,
        )
        named = [
            f"the duty to {one.action}"
            if isinstance(one, Duty)
            else f"constraint {rule.constraints.index(one) + 1}"
            for one in excluding
        ]
        return f"{_joined(named)} {'exclude each other' if named[1:] else 'can never hold'}"

    def _covered(self, rule: Rule) -> list[str]:
        return [action for action in self._actions if action in COVERS[rule.action]]

    def _path_of(self, rule: Rule) -> str:
        return f"{self._path}.{rule.kind}[{rule.index}]"


def decided(path: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """These findings; where a question is too large, one that says so in place of the rest."""
    try:
        yield from findings
    except Undecided as error:
        text = f"not everything could be checked here: {error}"
        yield Finding("warning", "undecided", path, text, "simplify the rule")


def smallest(items: Sequence[_Item], enough: Callable[[Sequence[_Item]], bool]) -> list[_Item]:
    """A part of these that is enough and of which nothing can be left out."""
    kept = list(items)
    for item in items:
        fewer = [one for one in kept if one is not item]
        if enough(fewer):
            kept = fewer
    return kept


def _numbered(kind: str, rules: Sequence[Rule]) -> str:
    numbers = _joined([str(rule.index + 1) for rule in rules])
    return f"{kind}s {numbers} together" if len(rules) > 1 else f"{kind} {numbers}"


def _joined(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if words[1:] else words[0]
