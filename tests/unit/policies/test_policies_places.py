"""Places and their jurisdictions: a table."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from policies.comparison import compare
from policies.operands import OPERANDS, Outcome
from policies.places import Region, crosses, jurisdiction_of, within_jurisdiction


@pytest.mark.parametrize(
    ("region", "jurisdiction"),
    [
        ("CN", "mainland"),
        ("CN-GD", "mainland"),
        ("CN-HKX", "mainland"),
        ("CN-HK", "hong-kong"),
        ("CN-HK-1", "hong-kong"),
        ("HK", "hong-kong"),
        ("HK-KLN", "hong-kong"),
        ("CN-MO", "macao"),
        ("MO", "macao"),
        ("TW", "other"),
        ("CN-TW", "other"),
        ("DE", "other"),
        ("DE-HK", "other"),
        ("MOZ", "other"),
    ],
)
def test_a_place_has_one_jurisdiction(region: str, jurisdiction: str) -> None:
    assert jurisdiction_of(region) == jurisdiction


@pytest.mark.parametrize(
    ("jurisdiction", "region", "recipient", "expected"),
    [
        ("mainland", "CN-GD", "CN-SH", False),
        ("mainland", "", "CN-SH", False),
        ("mainland", "CN-GD", "HK", True),
        ("hong-kong", "HK", "CN-HK", False),
        ("hong-kong", "HK", "MO", True),
        ("mainland", "CN", "DE", True),
        ("mainland", "CN-FJ", "CN-TW", True),
        ("other", "DE", "DE-BY", False),
        ("other", "DE", "US", True),
        ("other", "", "US", None),
        ("mainland", "CN", "", None),
        ("", "", "CN", None),
    ],
)
def test_crossing(jurisdiction: str, region: str, recipient: str, expected: bool | None) -> None:
    assert crosses(jurisdiction, region, recipient) is expected


@pytest.mark.parametrize(
    ("place", "recipient", "expected"),
    [
        ("HK", "CN-HK", True),
        ("CN", "HK", False),
        ("CN-SH", "CN-GD", True),
        ("DE", "DE-BY", True),
        ("DE", "US", False),
    ],
)
def test_a_named_place_lies_in_the_recipients_jurisdiction(
    place: str, recipient: str, expected: bool
) -> None:
    assert within_jurisdiction(place, recipient) is expected


def test_a_region_is_a_code_of_a_place() -> None:
    region = TypeAdapter(Region)
    assert region.validate_python("CN-GD") == "CN-GD"
    for text in ("", "china", "EU", "CN-", "cn", "CN-HK", "CN-MO-1", "CN-TW"):
        with pytest.raises(ValidationError, match="ISO 3166"):
            region.validate_python(text)


@pytest.mark.parametrize("region", ["CN-HK", "CN-MO", "CN-TW", "CN-HK-1"])
def test_a_second_spelling_of_a_place_is_no_left_value(region: str) -> None:
    """A prohibition for `HK` would not see it, so whatever depends on it is not known."""
    row = OPERANDS["spatial"]
    assert compare(row, "isPartOf", region, region[3:5]) is Outcome.UNKNOWN
    assert compare(row, "isNoneOf", region, ("DE",)) is Outcome.UNKNOWN
