"""Formulas over finite axes, and an exact search for a point that satisfies one.

An axis is a coordinate with finitely many values; its values are bits of an integer, so that a set
of values is a mask. A box holds one mask for each axis. Formulas are built from literals ("on this
axis, one of these values") with conjunction and disjunction only: the negation of a constraint is
made where its meaning is known (`policies.algebra`).

The search is DPLL over many-valued literals: narrow the box by every clause of which only one
alternative is left, then branch on the shortest clause. It ends with a box all of whose points
satisfy the formula, with None when there is none, or with `Undecided` when the work it was given is
spent; it never guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.errors import PolicyError

# Steps of about a microsecond. Two policies of 20 rules take some thousands.
MAX_WORK = 500_000

Box = list[int]
Clause = Sequence["AllOf"]


class Undecided(PolicyError):
    """A question has no answer; the text says why, for people, and `kind` for programs."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(slots=True)
class Work:
    """What a question may still cost, in steps; bounds what a hostile document can ask of us."""

    left: int = MAX_WORK

    def spend(self, steps: int) -> None:
        """Take this many steps.

        Raises:
            Undecided: they are not left.
        """
        self.left -= steps
        if self.left < 0:
            raise Undecided(
                "too-complex",
                "the rules combine in too many ways to decide; use fewer alternatives (or, xone) "
                "and shorter lists",
            )


@dataclass(frozen=True, slots=True, eq=False)
class AllOf:
    """Every literal (an axis and a mask, each axis once) and every part holds; empty is true."""

    literals: tuple[tuple[int, int], ...]
    parts: tuple[AnyOf, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf:
    """One of these holds; empty is false."""

    alternatives: tuple[AllOf, ...]


Formula = AllOf | AnyOf

TRUE = AllOf(())
FALSE = AnyOf(())


class Builder:
    """Makes formulas in a normal form: no constant inside, literals of an axis merged.

    Args:
        full: the mask of all values of each axis.
        work: what is taken for every formula that is made.
    """

    def __init__(self, full: Sequence[int], work: Work) -> None:
        self._full = full
        self._work = work

    def literal(self, axis: int, mask: int) -> Formula:
        """On this axis, one of these values."""
        if mask == 0:
            return FALSE
        return TRUE if mask == self._full[axis] else AllOf(((axis, mask),))

    def all_of(self, formulas: Iterable[Formula]) -> Formula:
        """The conjunction; of nothing it is true."""
        literals: dict[int, int] = {}
        parts: list[AnyOf] = []
        for formula in formulas:
            self._work.spend(1)
            if isinstance(formula, AnyOf):
                if not formula.alternatives:
                    return FALSE
                parts.append(formula)
                continue
            parts += formula.parts
            for axis, mask in formula.literals:
                both = literals.get(axis, -1) & mask
                if not both:
                    return FALSE
                literals[axis] = both
        self._work.spend(len(literals) + len(parts))
        if len(parts) == 1 and not literals:
            return parts[0]
        return AllOf(tuple(literals.items()), tuple(parts)) if literals or parts else TRUE

    def any_of(self, formulas: Iterable[Formula]) -> Formula:
        """The disjunction; of nothing it is false."""
        literals: dict[int, int] = {}
        parts: list[AllOf] = []
        for formula in formulas:
            self._work.spend(1)
            for one in formula.alternatives if isinstance(formula, AnyOf) else (formula,):
                if one.parts or len(one.literals) > 1:
                    parts.append(one)
                    continue
                if not one.literals:
                    return TRUE
                axis, mask = one.literals[0]
                either = literals.get(axis, 0) | mask
                if either == self._full[axis]:
                    return TRUE
                literals[axis] = either
        self._work.spend(len(literals) + len(parts))
        parts[:0] = [AllOf((literal,)) for literal in literals.items()]
        if len(parts) == 1:
            return parts[0]
        return AnyOf(tuple(parts)) if parts else FALSE


def find_box(
    full: Sequence[int], formulas: Iterable[Formula], goal: Formula, work: Work
) -> Box | None:
    """A box all of whose points satisfy every formula and the goal; None when no point does.

    Args:
        full: the mask of all values of each axis.
        goal: where it is a disjunction, its alternatives are tried one after the other, which is
            fast where each of them settles most of the rest.

    Raises:
        Undecided: the work is spent.
    """
    box: Box = list(full)
    clauses: list[Clause] = []
    if not all(_assert(formula, box, clauses) for formula in formulas):
        return None
    left = _propagate(box, clauses, work)
    if left is None:
        return None
    aims = _open(goal.alternatives if isinstance(goal, AnyOf) else (goal,), box)
    if aims is None:
        return _search(box, left, work)
    for aim in aims:
        inner, more = box.copy(), left.copy()
        if _assert(aim, inner, more):
            found = _search(inner, more, work)
            if found is not None:
                return found
    return None


def _search(box: Box, clauses: list[Clause], work: Work) -> Box | None:
    waiting = [(box, clauses)]
    while waiting:
        box, clauses = waiting.pop()
        left = _propagate(box, clauses, work)
        if left is None:
            continue
        if not left:
            return box
        waiting += reversed(_branches(box, left))
    return None


def _branches(box: Box, clauses: list[Clause]) -> list[tuple[Box, list[Clause]]]:
    """One smaller question for each alternative of the tightest clause."""
    tightest = min(clauses, key=_width)
    rest = [clause for clause in clauses if clause is not tightest]
    found = []
    outside = box
    for alternative in tightest:
        inner, more = outside.copy(), rest.copy()
        if _assert(alternative, inner, more):
            found.append((inner, more))
        if not alternative.parts and len(alternative.literals) == 1:
            # Where this alternative holds is searched by then: the next ones leave it out.
            axis, mask = alternative.literals[0]
            outside = outside.copy()
            outside[axis] &= ~mask
    return found


def _width(clause: Clause) -> int:
    """How much a clause leaves open: few alternatives that ask for much leave little."""
    return sum(1024 >> len(one.literals) + len(one.parts) for one in clause)


def _assert(formula: Formula, box: Box, clauses: list[Clause]) -> bool:
    """Narrow the box and add clauses so that the formula holds; False when it cannot."""
    if isinstance(formula, AnyOf):
        clauses.append(formula.alternatives)
        return bool(formula.alternatives)
    for axis, mask in formula.literals:
        box[axis] &= mask
        if not box[axis]:
            return False
    clauses += [part.alternatives for part in formula.parts]
    return True


def _propagate(box: Box, clauses: list[Clause], work: Work) -> list[Clause] | None:
    """Narrow the box until every clause left has two open alternatives; None when one has none."""
    while True:
        left: list[Clause] = []
        added: list[Clause] = []
        narrowed = False
        for clause in clauses:
            work.spend(1 + len(clause))
            alternatives = _open(clause, box)
            if alternatives is None:
                continue
            if len(alternatives) > 1:
                left.append(alternatives)
            elif alternatives and _assert(alternatives[0], box, added):
                narrowed = True
            else:
                return None
        if not narrowed:
            return left
        clauses = left + added


def _open(clause: Clause, box: Box) -> Clause | None:
    """The alternatives that can still hold in the box; None when the clause holds in all of it."""
    found: list[AllOf] = []
    for alternative in clause:
        holds = not alternative.parts
        for axis, mask in alternative.literals:
            here = box[axis]
            common = here & mask
            if not common:
                break
            if common != here:
                holds = False
        else:
            if holds:
                return None
            found.append(alternative)
    return found
