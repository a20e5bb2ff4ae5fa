"""Who is dealt where, who is enough, and which sums tell too much of too few."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.errors import SignatureError
from policies.privacy import PermitSum, Privacy
from policies.release import (
    NO_SUMS,
    MaskRelease,
    cohorts,
    dealt,
    least_of,
    open_release,
    released,
    sign_release,
    told_apart,
    too_few,
)

NAMES = [f"hospital-{number}" for number in range(10)]


def permit(
    number: int = 1,
    *,
    groups: int = 1,
    privacy: dict[str, Any] | None = None,
    min_cohort: int = 2,
    mode: Literal["governance", "pairwise"] = "governance",
) -> Any:
    """As much of a permit as a deal looks at."""
    how = PermitSum(mode=mode, key="", word_bits=32, scale_bits=1, words=1, groups=groups)
    given: dict[str, Any] = {
        "unit": "record",
        "parts": 1,
        "sample": "1",
        "noise": "1",
        "by": "nodes",
        "tolerated": 1,
        "delta": "0.00001",
    }
    return SimpleNamespace(
        id=f"permit-{number:032x}",
        cohort=[SimpleNamespace(participant=name) for name in reversed(NAMES)],
        secure_sum=how,
        privacy=None if privacy is None else Privacy.from_json(given | privacy),
        min_cohort=min_cohort,
    )


@pytest.mark.parametrize("groups", [1, 2, 3, 10])
def test_a_deal_has_everybody_once_in_groups_of_like_size(groups: int) -> None:
    found = dealt(permit(groups=groups))
    assert sorted(name for group in found for name in group) == NAMES
    assert all(group == sorted(group) for group in found)
    sizes = Counter(map(len, found))
    assert max(sizes) - min(sizes) <= 1
    assert dealt(permit(groups=groups)) == found


def test_the_permit_s_id_deals() -> None:
    assert len({str(dealt(permit(number, groups=3))) for number in range(20)}) > 15
    # Written down, so that another implementation can be told by it.
    assert dealt(permit(1, groups=3)) == DEALT


DEALT = [
    ["hospital-0", "hospital-3", "hospital-6", "hospital-9"],
    ["hospital-2", "hospital-5", "hospital-7"],
    ["hospital-1", "hospital-4", "hospital-8"],
]


def test_a_release_is_what_stands_of_each_group() -> None:
    asked = permit(groups=2)
    standing = set(NAMES[:5])
    found = released(asked, standing)
    assert [set(group) for group in found] == [set(group) & standing for group in dealt(asked)]


@pytest.mark.parametrize(
    ("asked", "members", "least"),
    [
        (permit(), 10, 2),
        (permit(min_cohort=1), 10, 2),
        (permit(min_cohort=5), 10, 5),
        (permit(privacy={}), 10, 9),
        (permit(privacy={"tolerated": 9}), 10, 2),
        (permit(privacy={"by": "governance"}), 10, 2),
        (permit(privacy={}, groups=2), 5, 4),
        (permit(mode="pairwise"), 10, 7),
        (permit(mode="pairwise", privacy={}), 10, 9),
        (permit(mode="pairwise", privacy={"tolerated": 5}), 10, 7),
    ],
)
def test_how_many_are_enough(asked: Any, members: int, least: int) -> None:
    assert least_of(asked, members) == least


@pytest.mark.parametrize(
    ("asked", "taken", "says"),
    [
        (permit(), NAMES[:2], ""),
        (permit(), NAMES[:1], "expected at least 2 with standing consent, got 1"),
        (permit(), [], "got 0"),
        (permit(privacy={}), NAMES[:9], ""),
        (permit(privacy={}), NAMES[:8], "expected at least 9"),
        (permit(groups=2), NAMES, ""),
    ],
)
def test_too_few(asked: Any, taken: list[str], says: str) -> None:
    found = too_few(asked, released(asked, taken))
    assert (says in found) if says else not found


def test_each_group_needs_enough() -> None:
    asked = permit(groups=2)
    first, second = dealt(asked)
    assert "of group 2 with standing" in too_few(asked, [first, second[:1]])


@pytest.mark.parametrize(
    ("ours", "theirs", "few"),
    [
        ([{"a", "b"}], [{"a", "b"}], 0),
        ([{"a", "b"}], [{"c", "d"}], 0),
        ([{"a", "b", "c"}], [{"a", "b"}], 1),
        ([{"a", "b"}], [{"a", "b", "c"}], 1),
        ([{"a", "b", "c", "d"}], [{"a", "b"}], 0),
        # Groups beside whole cohorts: what two groups hold together is a sum as well.
        ([{"a", "b"}, {"c", "d"}], [{"a", "b", "c", "d", "e"}], 1),
        ([{"a", "b"}, {"c", "d"}], [{"a", "b", "c", "d"}], 0),
        ([{"a", "b"}, {"c", "d"}], [{"a", "c"}, {"b", "d"}], 1),
    ],
)
def test_what_two_sums_tell(ours: list[set[str]], theirs: list[set[str]], few: int) -> None:
    assert told_apart(cohorts(ours), cohorts(theirs), least=2) == few
    assert told_apart(cohorts(theirs), cohorts(ours), least=2) == few


def test_a_release_for_nodes_is_signed() -> None:
    release = MaskRelease(
        run="run-1",
        round=1,
        kind="train",
        attempt=1,
        permit="5" * 64,
        permit_id=permit().id,
        groups=[NAMES],
        words=1,
        sums=NO_SUMS,
    )
    key, other = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    assert open_release(sign_release(release, key), key.public_key()) == release
    with pytest.raises(SignatureError):
        open_release(sign_release(release, other), key.public_key())
