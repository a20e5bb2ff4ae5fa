"""How a cohort is settled: the fixed points that `policies.cohort` promises, in little time.

A candidate is looked at again only when something changed that its agreement asks about: a
participant that it names came or went, the number of participants passed one of its thresholds, or
the cohort's rows passed what one of its limits of share needs. So a chain of dependence through ten
thousand candidates costs each of them a few evaluations, not ten thousand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Final

from policies.company import Company
from policies.contenders import Standing

LOOKS: Final = 64
"""How often, on average over the candidates, the search for cohorts that support each other may
look at one. Beyond it, whoever is still undecided is refused: see `settle`."""


def settle(standing: Sequence[Standing], opened: int | None = None) -> int:
    """Settle the cohort; returns its number of participants, and leaves each its last report.

    Permitted is whoever's report says so. The cohort is the one that `policies.cohort` describes.
    Where finding it takes more than `LOOKS` a candidate it may be a smaller one: who is undecided
    then is refused. In any case each member is permitted when exactly this cohort takes part.

    Args:
        opened: see `Company`.
    """
    watch = _Watch(standing)
    members = _Members(standing, opened)
    possible: Set[str] = frozenset(members.participants)
    if any(one.agreement.rivals for one in standing):
        possible = _Rivals(standing, watch, opened).possible()
    staying = set(range(len(standing)))
    _descend(standing, watch, members, staying, possible, Standing.evaluated_in)
    company = members.company(possible)
    for place in staying:
        standing[place].refresh(company)
    return len(members.participants)


class _Members:
    """Whose products are in: counted, since a participant may bring several."""

    def __init__(self, standing: Iterable[Standing], opened: int | None) -> None:
        self._opened = opened
        self.participants = Counter(one.participant for one in standing)
        self.rows = sum(one.rows for one in standing)

    def join(self, one: Standing) -> bool:
        """Whether its participant was not in before."""
        self.rows += one.rows
        self.participants[one.participant] += 1
        return self.participants[one.participant] == 1

    def leave(self, one: Standing) -> bool:
        """Whether its participant is not in any more."""
        self.rows -= one.rows
        self.participants[one.participant] -= 1
        if self.participants[one.participant]:
            return False
        del self.participants[one.participant]
        return True

    def company(self, possible: Set[str]) -> Company:
        return Company(self.participants, self.rows, possible, self._opened)


class _Watch:
    """Who has to be looked at when something changes; candidates by their place.

    Attributes:
        partners, rivals: whose agreement names a participant.
        numbers, totals: thresholds of participants and of rows, with whose they are, ascending.
    """

    def __init__(self, standing: Sequence[Standing]) -> None:
        self.partners: dict[str, list[int]] = defaultdict(list)
        self.rivals: dict[str, list[int]] = defaultdict(list)
        self.numbers: list[tuple[int, int]] = []
        self.totals: list[tuple[int, int]] = []
        for place, one in enumerate(standing):
            for name in one.agreement.partners:
                self.partners[name].append(place)
            for name in one.agreement.rivals:
                self.rivals[name].append(place)
            self.numbers += [(number, place) for number in one.agreement.thresholds]
            self.totals += [(total, place) for total in one.totals]
        self.numbers.sort()
        self.totals.sort()

    def counting(self) -> set[int]:
        """Who asks how many take part, or with how many rows."""
        return {place for _, place in (*self.numbers, *self.totals)}


class _Falling:
    """Thresholds that a falling value passes, each told once."""

    def __init__(self, ascending: Sequence[tuple[int, int]]) -> None:
        self._steps = ascending
        self._end = len(ascending)

    def below(self, value: int) -> Iterator[int]:
        """Whose thresholds lie above the value."""
        while self._end and self._steps[self._end - 1][0] > value:
            self._end -= 1
            yield self._steps[self._end][1]


class _Rising:
    """Thresholds that a rising value reaches, each told once."""

    def __init__(self, steps: Iterable[tuple[int, int]]) -> None:
        self._steps = sorted(steps, reverse=True)

    def to(self, value: int) -> Iterator[int]:
        """Whose thresholds the value reaches."""
        while self._steps and self._steps[-1][0] <= value:
            yield self._steps.pop()[1]


def _descend(
    standing: Sequence[Standing],
    watch: _Watch,
    members: _Members,
    staying: set[int],
    possible: Set[str],
    permitted: Callable[[Standing, Company], bool],
) -> None:
    """Let go of whoever is not permitted, turn by turn, until everybody who stays is.

    Args:
        members: what is left of them after the call; others than those who are looked at may be
            among them, and stay.
        staying: who is looked at, and after the call who of them stays.
    """
    numbers, totals = _Falling(watch.numbers), _Falling(watch.totals)
    look = set(staying)
    company = members.company(possible)
    while leaving := [place for place in sorted(look) if not permitted(standing[place], company)]:
        staying.difference_update(leaving)
        look = set()
        for place in leaving:
            if members.leave(standing[place]):
                look.update(watch.partners.get(standing[place].participant, ()))
        look.update(numbers.below(len(members.participants)))
        look.update(totals.below(members.rows))
        look &= staying
        company = members.company(possible)


class _Rivals:
    """The alternating fixed point: who is possible in the end, where some exclude others.

    Candidates are ruled out of the possible set, and admitted to the certain one, as soon as that
    follows from what both sets are by then. What is left undecided may hold groups that are
    certain only together; they are searched for among those for whom something changed since the
    last search, and whoever depends on these.
    """

    def __init__(
        self, standing: Sequence[Standing], watch: _Watch, opened: int | None = None
    ) -> None:
        self._standing = standing
        self._watch = watch
        self._possible = _Members(standing, opened)
        self._certain = _Members((), opened)
        self._undecided = set(range(len(standing)))
        self._doubted = set(self._undecided)
        self._hoped = set(self._undecided)
        self._changed: set[int] = set()
        self._counting = watch.counting()
        self._looks = LOOKS * len(standing)
        self._fewer, self._less = _Falling(watch.numbers), _Falling(watch.totals)
        # A candidate counts itself in, unless another product of its participant is in already.
        self._more = _Rising((n - own, at) for n, at in watch.numbers for own in (0, 1))
        self._greater = _Rising((total - standing[at].rows, at) for total, at in watch.totals)

    def possible(self) -> frozenset[str]:
        """Participants who cannot be ruled out."""
        self._follow()
        while self._found_group():
            self._follow()
        return frozenset(self._possible.participants)

    def _follow(self) -> None:
        """Rule out and admit whatever follows, one by one."""
        while self._doubted or self._hoped:
            if self._doubted:
                self._doubt(self._doubted.pop())
            else:
                self._hope(self._hoped.pop())

    def _doubt(self, place: int) -> None:
        """Rule out one that is not permitted even where all that are possible take part."""
        one = self._standing[place]
        company = self._possible.company(self._certain.participants.keys())
        if place not in self._undecided or one.permitted_in(company):
            return
        self._undecided.discard(place)
        if self._possible.leave(one):
            self._doubted.update(self._watch.partners.get(one.participant, ()))
            self._hoped.update(self._watch.rivals.get(one.participant, ()))
        self._doubted.update(self._fewer.below(len(self._possible.participants)))
        self._doubted.update(self._less.below(self._possible.rows))

    def _hope(self, place: int) -> None:
        """Admit one that is permitted beside those that are certain already."""
        if place not in self._undecided:
            return
        one = self._standing[place]
        self._changed.add(place)
        self._certain.join(one)
        if one.permitted_in(self._certain.company(self._possible.participants.keys())):
            self._admit(place)
        else:
            self._certain.leave(one)

    def _admit(self, place: int) -> None:
        """Let one that is in the certain set be so for good."""
        self._undecided.discard(place)
        name = self._standing[place].participant
        self._hoped.update(self._watch.partners.get(name, ()))
        self._doubted.update(self._watch.rivals.get(name, ()))
        self._hoped.update(self._more.to(len(self._certain.participants)))
        self._hoped.update(self._greater.to(self._certain.rows))

    def _found_group(self) -> bool:
        """Admit the largest group that is certain together; False where there is none."""
        group = self._depending(self._changed & self._undecided)
        self._changed = set()
        if not group or self._looks <= 0:
            return False
        for place in group:
            self._certain.join(self._standing[place])
        possible = self._possible.participants.keys()
        _descend(self._standing, self._watch, self._certain, group, possible, self._looked)
        for place in group:
            self._admit(place)
        return bool(group)

    def _looked(self, one: Standing, company: Company) -> bool:
        self._looks -= 1
        return one.permitted_in(company)

    def _depending(self, changed: set[int]) -> set[int]:
        """These, and who is undecided and depends on any of them."""
        group = changed | (self._counting & self._undecided if changed else set())
        reached = list(group)
        while reached:
            name = self._standing[reached.pop()].participant
            more = self._undecided.intersection(self._watch.partners.get(name, ())) - group
            group |= more
            reached += more
        return group
