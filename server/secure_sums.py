"""Masked vectors added up, and opened once governance has released the sum of their masks (step 9).

    add       the vectors of exactly those whom the release names, word by word modulo 2^word_bits
    open      less the sum of their masks, group by group; what is left is the exact sum of what
              the group's members encoded, and of no member alone. Pairwise masks are taken off as
              the nodes answered (`server.pairwise_rounds`)
    check     its head: the rows must be those that the members' receipts state. If they are not, a
              vector was not what its receipt says, and nothing of the sum is used. Whose it was
              cannot be told, nor whether the numbers below an honest head are: that a node's
              parent keeps to the bound is not checked here, but see `server.robust` for groups
    mean      of the differences from the incoming model:
                  body / (rows used / rows of the cohort)         without privacy
                  body / the parts that are expected to be taken  with it

The last divisor (`policies.dealing`) is made of what the permit and the receipts say, so it tells
nothing of which parts were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final, Self

from policies.dealing import expected_parts
from policies.envelope import unverified_payload
from policies.errors import DocumentError, EncodingError
from policies.fixedpoint import Floats, Layout, decode, vector_from_bytes
from policies.permit import PERMIT_TYPE, PermitBody
from policies.privacy import PermitSum
from policies.private_figures import means as private_means
from policies.release import MaskRelease
from policies.statements import Aggregation
from policies.sumterms import layout_of
from policies.wide_integers import HeadSum
from policies.words import Words, add_into, subtract_from, zeros
from server.errors import ServerError
from server.robust import combine_means

LARGEST_FIGURE: Final = Decimal(10**9)
"""As `clients.figures` lets out at most."""
MAX_FIGURE_CHARS: Final = 40
"""As the log takes a figure (`policies.fields.Decimal`)."""


class SumSpoiled(ServerError):
    """A vector is not what its receipt says; the sum is of no use, and nobody can tell whose."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What an accepted receipt states."""

    used: int
    held_back: int


@dataclass(frozen=True, slots=True)
class Group:
    """What a group's members say together."""

    rows: Mapping[str, Rows]
    head: HeadSum
    body: Floats


@dataclass(frozen=True, slots=True)
class MaskedRound:
    """How the vectors under one permit are added and opened."""

    permit: PermitBody
    how: PermitSum
    layout: Layout

    @classmethod
    def of(cls, envelope: bytes) -> Self:
        """From the permit that governance has just signed; its signature is for nodes to check.

        Raises:
            ServerError: it asks for no sum that can be opened.
        """
        try:
            payload = unverified_payload(envelope, payload_type=PERMIT_TYPE)
            permit = PermitBody.from_json(payload["body"] if isinstance(payload, dict) else None)
            layout = layout_of(permit)
        except (DocumentError, EncodingError, KeyError) as error:
            raise ServerError(
                f"permit: expected one with a secure sum, as its run asks for: {error}"
            ) from error
        assert permit.secure_sum is not None  # it has a layout
        return cls(permit, permit.secure_sum, layout)

    @property
    def cohort_rows(self) -> int:
        """What a node's rows are divided by to give its weight."""
        return sum(member.max_rows for member in self.permit.cohort)

    def open(
        self,
        release: MaskRelease,
        sums: Sequence[bytes],
        vectors: Mapping[str, bytes],
        rows: Mapping[str, Rows],
    ) -> list[Group]:
        """Each group's sum.

        Args:
            sums: of the masks of each group, as they came.
            vectors, rows: by participant; the released are among them. Others stay closed.

        Raises:
            SumSpoiled: the sum of a group is not that of what its receipts say.
        """
        return [
            self.open_group(group, partial(self._without, masks), vectors, rows)
            for group, masks in zip(release.groups, sums, strict=True)
        ]

    def mean(self, groups: Sequence[Group], how: Aggregation = "mean") -> Floats:
        """The mean difference from the incoming model over all groups together.

        Args:
            how: the groups' own means are combined (`server.robust`).
        """
        if how != "mean":
            means = [group.body / float(self.divisor(group)) for group in groups]
            return combine_means(how, means)
        total = _sum(groups)
        total /= float(sum(map(self.divisor, groups)))
        return total

    def figures(self, groups: Sequence[Group]) -> dict[str, str]:
        """Each figure's mean over all groups: weighted by the rows it was measured on, or, in a
        private evaluation, as its body and head say (`policies.private_figures`). No figure of a
        private training leaves a node.

        Raises:
            SumSpoiled: a figure, or its weight, that no node that keeps to its receipt lets out.
        """
        found = self._figures(groups)
        for name, text in found.items():
            # What could not be logged would end the run; one liar shall not.
            if len(text) > MAX_FIGURE_CHARS or abs(Decimal(text)) > LARGEST_FIGURE:
                raise SumSpoiled(
                    f"{self.permit.id}: figure {name}: expected one within {LARGEST_FIGURE}, got "
                    "another: a vector is not what its receipt says"
                )
        return found

    def _figures(self, groups: Sequence[Group]) -> dict[str, str]:
        totals: dict[str, tuple[int, Fraction]] = {}
        for group in groups:
            for name, (weight, total) in group.head.figures.items():
                self._check_weight(group, name, weight)
                before = totals.get(name, (0, Fraction(0)))
                totals[name] = (before[0] + weight, before[1] + total)
        if self.permit.privacy is None:
            return HeadSum(rows_used=0, rows_held_back=0, figures=totals).means()
        if self.permit.kind == "train":
            return {}
        return private_means(self.layout.metrics, _sum(groups), totals, self.permit.clip_norm)

    def _check_weight(self, group: Group, name: str, weight: int) -> None:
        """A figure weighs no more than the rows it can have been measured on."""
        most = group.head.rows_held_back if name.startswith("eval") else group.head.rows_used
        if self.permit.privacy is None and weight > most:
            raise SumSpoiled(
                f"{self.permit.id}: figure {name}: expected at most {most} rows, got more: a "
                "vector is not what its receipt says"
            )

    def divisor(self, group: Group) -> Fraction:
        """What a group's sum is divided by; see the module."""
        privacy = self.permit.privacy
        if privacy is None:
            used = sum(one.used for one in group.rows.values())
            return Fraction(used, self.cohort_rows)
        expected = (expected_parts(privacy, one.used) for one in group.rows.values())
        return sum(map(Fraction, expected), Fraction(0))

    def _without(self, masks: bytes, total: Words) -> None:
        subtract_from(total, vector_from_bytes(masks, self.layout))

    def open_group(
        self,
        members: Sequence[str],
        unmask: Callable[[Words], None],
        vectors: Mapping[str, bytes],
        rows: Mapping[str, Rows],
    ) -> Group:
        """The sum of one group.

        Args:
            members: whose vectors it is of.
            unmask: takes all masks off the sum of their vectors, in place.
            vectors, rows: as for `open`.

        Raises:
            SumSpoiled: it is not that of what the receipts say.
        """
        total = zeros(self.layout.words, self.layout.word_bits)
        for one in members:
            add_into(total, vector_from_bytes(vectors[one], self.layout))
        unmask(total)
        rows = {one: rows[one] for one in members}
        try:
            head, body = decode(self.layout, total, len(members))
        except EncodingError as error:
            raise SumSpoiled(f"{self.permit.id}: {error}") from error
        stated = (
            sum(one.used for one in rows.values()),
            sum(one.held_back for one in rows.values()),
        )
        if (head.rows_used, head.rows_held_back) != stated:
            raise SumSpoiled(
                f"{self.permit.id}: expected the sum of {stated[0]} rows used and {stated[1]} held "
                "back, as the receipts say, got another: a vector is not what its receipt says"
            )
        return Group(rows=rows, head=head, body=body)


def _sum(groups: Sequence[Group]) -> Floats:
    total = groups[0].body.copy()
    for group in groups[1:]:
        total += group.body
    return total
