"""Whatever nodes send under masks, what a ServerApp opens is their average, or it says that it is
not: the node's half (clients.masking) and the ServerApp's (server.secure_sums) against each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clients_gate import OTHER_KEY, body, member

from clients.clipping import clip
from clients.masking import GovernanceMask, Masked, Masking, head_of
from policies import masks
from policies.flattening import flatten, unflatten
from policies.permit import PermitBody
from policies.release import MaskRelease, released
from policies.sumterms import layout_of, permit_sum
from policies.tensors import Tensors, float_count
from server.secure_sums import MaskedRound, Rows, SumSpoiled

GOVERNANCE = X25519PrivateKey.from_private_bytes(b"g" * 32)
FIGURE = "loss"


@dataclass(frozen=True)
class Enterprise:
    """Rows that it registered and used, how far its app goes, and its figure."""

    max_rows: int
    used: int
    seed: int
    reach: float
    figure: str

    def update(self, model: Tensors) -> Tensors:
        """As its app returns it."""
        dice = np.random.default_rng(self.seed)
        return {
            name: (array + self.reach * dice.normal(size=array.shape)).astype(array.dtype)
            for name, array in model.items()
        }


@st.composite
def enterprises(draw: st.DrawFn) -> Enterprise:
    max_rows = draw(st.integers(1, 10**6))
    return Enterprise(
        max_rows=max_rows,
        used=draw(st.integers(1, max_rows)),
        seed=draw(st.integers(0, 2**32 - 1)),
        reach=draw(st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e4])),
        figure=draw(st.sampled_from(["0", "0.5", "-0.000001", "1000000000", "-1000000000"])),
    )


@dataclass(frozen=True)
class Case:
    """A permit, who sent, and who is released."""

    all: tuple[Enterprise, ...]
    standing: frozenset[int]
    groups: int
    clip: str
    types: tuple[str, ...]

    @property
    def model(self) -> Tensors:
        dice = np.random.default_rng(5)
        return {
            f"w{n}": dice.normal(size=(2, n + 1)).astype(type_)
            for n, type_ in enumerate(self.types)
        }

    def permit(self) -> PermitBody:
        cohort = [
            member(f"clinic-{n}", OTHER_KEY, max_rows=one.max_rows)
            for n, one in enumerate(self.all)
        ]
        how = permit_sum(
            mode="governance",
            key=masks.public_key(GOVERNANCE),
            kind="train",
            metrics=[FIGURE],
            floats=float_count(self.model),
            clip_norm=self.clip,
            privacy=None,
            members=len(cohort),
            groups=self.groups,
        )
        changes = {"cohort": cohort, "clip_norm": self.clip, "min_cohort": 1}
        return body(secure_sum=how.to_json(), metrics=[FIGURE], **changes)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    every = tuple(draw(st.lists(enterprises(), min_size=2, max_size=6)))
    groups = draw(st.integers(1, len(every) // 2))
    standing = draw(st.frozensets(st.integers(0, len(every) - 1), min_size=1))
    return Case(
        all=every,
        standing=standing,
        groups=groups,
        clip=draw(st.sampled_from(["0.001", "1", "10", "12345.678"])),
        types=tuple(
            draw(
                st.lists(st.sampled_from(["float16", "float32", "float64"]), min_size=1, max_size=3)
            )
        ),
    )


def sent(case: Case, permit: PermitBody, number: int) -> tuple[Masked, Tensors]:
    """What a node's parent makes of its app's update, and what that was clipped to."""
    one = case.all[number]
    held, _ = clip(one.update(case.model), case.model, case.clip)
    how = permit.secure_sum
    assert how is not None
    masking = Masking(
        body=permit,
        layout=layout_of(permit),
        masker=GovernanceMask(
            key=how.key,
            permit=permit.digest(),
            space=permit.space,
            participant=f"clinic-{number}",
            product=f"clinic-{number}/cytology",
        ),
        cohort_rows=sum(each.max_rows for each in case.all),
    )
    head = head_of(permit, one.used, 0, {FIGURE: one.figure})
    return masking.mask_update(head, held, case.model), held


def release_of(
    permit: PermitBody, keys: dict[str, str], groups: list[list[str]]
) -> tuple[MaskRelease, list[bytes]]:
    how: Any = permit.secure_sum
    sums = []
    for group in groups:
        each = [
            masks.mask_key(
                GOVERNANCE,
                keys[name],
                permit=permit.digest(),
                space=permit.space,
                participant=name,
                product=f"{name}/cytology",
            )
            for name in group
        ]
        sums.append(masks.sum_masks(each, how.words, how.word_bits).tobytes())
    release = MaskRelease(
        run=permit.run,
        round=permit.round,
        kind=permit.kind,
        attempt=1,
        permit=permit.digest(),
        permit_id=permit.id,
        groups=groups,
        words=how.words,
        sums=hashlib.sha256(b"".join(sums)).hexdigest(),
    )
    return release, sums


def numbers_of(update: Tensors, model: Tensors) -> np.ndarray[Any, Any]:
    return np.concatenate([part.copy() for part in flatten(update, model)])


def played(case: Case, *, lie: int = 0) -> tuple[MaskedRound, Any, list[int]]:
    """The round, its opened groups, and whose sums they are; the first of those lies by so many
    rows in its receipt."""
    permit = case.permit()
    vectors = {n: sent(case, permit, n)[0] for n in range(len(case.all))}
    groups = [group for group in released(permit, {f"clinic-{n}" for n in case.standing}) if group]
    keys = {f"clinic-{n}": one.key for n, one in vectors.items()}
    release, sums = release_of(permit, keys, groups)
    taken = sorted(int(name.removeprefix("clinic-")) for group in groups for name in group)
    rows = {f"clinic-{n}": Rows(case.all[n].used, 0) for n in taken}
    first = f"clinic-{taken[0]}"
    rows[first] = Rows(rows[first].used + lie, 0)
    assert permit.secure_sum is not None
    round_ = MaskedRound(permit, permit.secure_sum, layout_of(permit))
    data = {f"clinic-{n}": one.data for n, one in vectors.items()}
    return round_, round_.open(release, sums, data, rows), taken


@settings(max_examples=60, deadline=None)
@given(cases())
def test_what_is_opened_is_the_average_of_the_released(case: Case) -> None:
    round_, groups, taken = played(case)
    model, how = case.model, round_.how
    rows = sum(case.all[n].used for n in taken)
    expected = sum(
        numbers_of(clip(case.all[n].update(model), model, case.clip)[0], model)
        * (case.all[n].used / rows)
        for n in taken
    )
    cohort_rows = sum(one.max_rows for one in case.all)
    off = 0.5 * len(taken) * 2.0**-how.scale_bits * cohort_rows / rows
    mean = round_.mean(groups)
    assert np.all(np.abs(mean - expected) <= off * 1.001 + 1e-12 * (1 + np.abs(expected)))
    after = unflatten(model, mean)
    assert {name: array.dtype for name, array in after.items()} == {
        name: array.dtype for name, array in model.items()
    }
    weighted = [Decimal(case.all[n].figure) * case.all[n].used for n in taken]
    figure = sum(weighted, Decimal(0)) / rows
    told = Decimal(round_.figures(groups)[FIGURE])
    assert abs(told - figure) <= Decimal(2) ** -20 * len(taken) + abs(figure) * Decimal("1e-11")


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(1, 10**9))
def test_a_vector_that_says_other_rows_than_its_receipt_opens_nothing(case: Case, lie: int) -> None:
    with pytest.raises(SumSpoiled, match="a vector is not what its receipt says"):
        played(case, lie=lie)
