"""Constraints as formulas over the values that matter, and points as states.

A constraint has three outcomes, so a formula says in which of four ways it is asked for: satisfied,
unsatisfied, and the complements of both, each of which takes in unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime
from enum import Enum
from itertools import combinations

from policies.algebra_axes import Axis, FlagAxis, NameAxis, OrderedAxis
from policies.algebra_search import TRUE, Box, Builder, Formula, Work
from policies.operands import ACTIONS, FULFILLED, OPERANDS, VIOLATED, Right
from policies.relations import Purposes
from policies.rows import Kind
from policies.rules import Constraint, Logic

Values = Mapping[str, Right]


class Asked(Enum):
    """In which way a constraint is asked for."""

    SATISFIED = 0
    UNSATISFIED = 1
    NOT_SATISFIED = 2
    NOT_UNSATISFIED = 3


_CONJOINED = frozenset({Asked.SATISFIED, Asked.NOT_UNSATISFIED})
# Who certainly takes part in a round's cohort, and who cannot be ruled out of it.
_SURE, _POSSIBLE = "togetherWith", "notTogetherWith"
_DEFINITE = frozenset({Asked.SATISFIED, Asked.UNSATISFIED})


class Constraints:
    """Makes formulas of constraints and duties that were named when it was made.

    Args:
        comparisons: every comparison that will be asked about.
        duties: every duty action that will be asked about.
        moments: instants that will be asked about besides.
        work: what making all this may cost.

    Attributes:
        build: combines formulas.
        full: the mask of all values of each axis.
        facts: what holds in every state that governance can give.
    """

    def __init__(
        self,
        comparisons: Iterable[Constraint],
        duties: Iterable[str],
        *,
        purposes: Purposes,
        moments: Iterable[datetime],
        work: Work,
    ) -> None:
        self._axes: list[Axis] = []
        self._indices: dict[tuple[str, str], int] = {}
        self._made: dict[tuple[int, Asked], tuple[Formula, Constraint | Logic]] = {}
        self._assumed: frozenset[str] = frozenset()
        rights: dict[str, list[Right]] = {"dateTime": list(moments)}
        for leaf in comparisons:
            rights.setdefault(leaf.operand, []).append(leaf.right)
        for operand, found in rights.items():
            row = OPERANDS[operand]
            if row.kind is Kind.NAME:
                self._add(operand, NameAxis(row, each_name(found), purposes, work))
            elif row.kind is Kind.NAMES:
                self._add(operand, FlagAxis())
                for name in each_name(found):
                    self._add(operand, FlagAxis(), name)
            else:
                self._add(operand, OrderedAxis(row, found))
        for action in dict.fromkeys(duties):
            self._add(action, FlagAxis())
        self.full = [axis.full for axis in self._axes]
        self.build = Builder(self.full, work)
        self.facts = list(self._facts())

    @property
    def terms(self) -> list[str]:
        """Every left operand and duty that can be asked about."""
        return list(dict.fromkeys(term for term, _ in self._indices))

    def assuming(self, terms: Iterable[str]) -> Constraints:
        """The same formulas, as if whatever is asked of these operands and duties were so."""
        other = copy(self)
        other._assumed = frozenset(terms)
        other._made = {}
        return other

    def part(self, part: Constraint | Logic, asked: Asked) -> Formula:
        """The formula of one constraint; it is kept with what it is about, so ids stay unique."""
        key = (id(part), asked)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = (self._formula(part, asked), part)
        return found[0]

    def all_of(self, parts: Iterable[Constraint | Logic], asked: Asked) -> Formula:
        """Every one of these is as asked for."""
        return self.build.all_of([self.part(part, asked) for part in parts])

    def any_of(self, parts: Iterable[Constraint | Logic], asked: Asked) -> Formula:
        """One of these is as asked for."""
        return self.build.any_of([self.part(part, asked) for part in parts])

    def done(self, action: str, done: bool = True) -> Formula:
        """A duty does not stand in the way of a permit, or it does.

        A pre-duty stands in the way unless it is fulfilled, a post-duty only where it is violated.
        """
        return self._flag(action, "", done)

    def from_on(self, moment: datetime) -> Formula:
        """The time is this moment, which must be one of the moments, or later."""
        index = self._indices["dateTime", ""]
        line = self._axes[index]
        assert isinstance(line, OrderedAxis)
        return self.build.literal(index, line.masks("gteq", moment)[0])

    def values(self, box: Box) -> Values:
        """A state in the box, with a value for all that can be asked about, where one will do."""
        found: dict[str, Right] = {}
        sets: dict[str, list[str]] = {}
        for (term, name), index in self._indices.items():
            axis, mask = self._axes[index], box[index]
            if not isinstance(axis, FlagAxis):
                value = axis.values[(mask & -mask).bit_length() - 1]
                if value is not None:
                    found[term] = value
            elif term in ACTIONS:
                is_pre = ACTIONS[term].duty == "pre"
                if mask & FlagAxis.yes and is_pre:
                    found[term] = FULFILLED
                elif not mask & FlagAxis.yes and not is_pre:
                    found[term] = VIOLATED
            elif not name:
                if mask & FlagAxis.yes:
                    sets[term] = []
            elif term in sets and not mask & FlagAxis.no:
                sets[term].append(name)
        if _POSSIBLE in sets:
            sets[_POSSIBLE] += sets.get(_SURE, [])
        return found | {term: tuple(sorted(set(names))) for term, names in sets.items()}

    def _add(self, term: str, axis: Axis, name: str = "") -> None:
        self._indices[term, name] = len(self._axes)
        self._axes.append(axis)

    def _flag(self, term: str, name: str, so: bool) -> Formula:
        if term in self._assumed:
            return TRUE
        mask = FlagAxis.yes if so else FlagAxis.no
        return self.build.literal(self._indices[term, name], mask)

    def _formula(self, part: Constraint | Logic, asked: Asked) -> Formula:
        if isinstance(part, Constraint):
            return self._comparison(part, asked)
        if part.operator == "xone":
            return self._exactly_one(part.parts, asked)
        conjoined = (part.operator != "or") == (asked in _CONJOINED)
        combine = self.build.all_of if conjoined else self.build.any_of
        return combine([self.part(inner, asked) for inner in part.parts])

    def _comparison(self, leaf: Constraint, asked: Asked) -> Formula:
        if leaf.operand in self._assumed:
            return TRUE
        index = self._indices[leaf.operand, ""]
        axis = self._axes[index]
        if isinstance(axis, FlagAxis):
            return self._set_comparison(leaf, asked)
        satisfied, unsatisfied = axis.masks(leaf.operator, leaf.right)
        if asked in _DEFINITE:
            mask = satisfied if asked is Asked.SATISFIED else unsatisfied
        else:
            mask = axis.full & ~(satisfied if asked is Asked.NOT_SATISFIED else unsatisfied)
        return self.build.literal(index, mask)

    def _set_comparison(self, leaf: Constraint, asked: Asked) -> Formula:
        """A set of names, by which of the names that occur are in it."""
        holds = asked in _CONJOINED
        within = holds == (leaf.operator != "isNoneOf")
        every = holds == (leaf.operator != "isAnyOf")
        named = [self._flag(leaf.operand, name, within) for name in each_name([leaf.right])]
        found = self.build.all_of(named) if every else self.build.any_of(named)
        known = self._flag(leaf.operand, "", asked in _DEFINITE)
        combine = self.build.all_of if asked in _DEFINITE else self.build.any_of
        return combine([known, found])

    def _exactly_one(self, parts: Sequence[Constraint | Logic], asked: Asked) -> Formula:
        """Exclusive or, as `policies.outcomes.one_of` decides it.

        Satisfied: one part is, and all others are unsatisfied. Unsatisfied: all parts are, or two
        are satisfied. The complements swap "and" with "or", and each outcome with its complement.
        """
        definite = asked in _DEFINITE
        yes, no = (
            (Asked.SATISFIED, Asked.UNSATISFIED)
            if definite
            else (Asked.NOT_SATISFIED, Asked.NOT_UNSATISFIED)
        )
        every, some = self.build.all_of, self.build.any_of
        if not definite:
            every, some = some, every
        held = [self.part(part, yes) for part in parts]
        failed = [self.part(part, no) for part in parts]
        if asked in (Asked.SATISFIED, Asked.NOT_SATISFIED):
            return some(
                every([one, *failed[:index], *failed[index + 1 :]])
                for index, one in enumerate(held)
            )
        return some([every(failed), *(every(pair) for pair in combinations(held, 2))])

    def _facts(self) -> Iterator[Formula]:
        """Who certainly takes part in a cohort can also not be ruled out of it."""
        for term, name in list(self._indices):
            if term == _SURE and name and (_POSSIBLE, name) in self._indices:
                yield self.build.any_of(
                    [
                        self._flag(_SURE, "", False),
                        self._flag(_POSSIBLE, "", False),
                        self._flag(_SURE, name, False),
                        self._flag(_POSSIBLE, name, True),
                    ]
                )


def each_name(rights: Iterable[Right]) -> list[str]:
    """Every name in right operands of which some are lists, once."""
    names = [right if isinstance(right, tuple) else (str(right),) for right in rights]
    return list(dict.fromkeys(name for several in names for name in several))
