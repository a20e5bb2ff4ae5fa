"""Jurisdictions of places: four bodies of law that data may not pass between unnoticed.

Places are ISO 3166 codes as everywhere (`CN-GD`, `HK`, `DE`). Hong Kong, Macao and Taiwan have a
code of their own and a subdivision code of China each. Documents spell the first only
(`policies.operands`); here both spellings are the same jurisdiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator

from policies.operands import OPERANDS

Jurisdiction = Literal["mainland", "hong-kong", "macao", "other"]

_SPECIAL: Mapping[str, Jurisdiction] = MappingProxyType(
    {
        "CN-HK": "hong-kong",
        "HK": "hong-kong",
        "CN-MO": "macao",
        "MO": "macao",
        "CN-TW": "other",
        "TW": "other",
    }
)


def _region(text: str) -> str:
    pattern = OPERANDS["spatial"].pattern
    if pattern is None or not pattern.fullmatch(text):
        raise ValueError("an ISO 3166 code of a country or its region, such as CN or CN-SH")
    return text


Region = Annotated[str, AfterValidator(_region)]


def jurisdiction_of(region: str) -> Jurisdiction:
    """The jurisdiction of a place.

    Args:
        region: an ISO 3166 code, as `policies.operands` accepts it for `spatial`; never empty: an
            unknown place has no jurisdiction, and the caller says so.
    """
    for prefix, special in _SPECIAL.items():
        if region == prefix or region.startswith(prefix + "-"):
            return special
    return "mainland" if _country(region) == "CN" else "other"


def crosses(jurisdiction: str, region: str, recipient: str) -> bool | None:
    """Whether data of a jurisdiction passes into another with a result that the recipient gets.

    `other` is many jurisdictions: two places of it are one only within one country.

    Args:
        jurisdiction: the product's; "" is unknown.
        region: the place where the product is processed; "" is unknown.
        recipient: the recipient's place; "" is unknown.

    Returns:
        None where it cannot be known.
    """
    if not jurisdiction or not recipient:
        return None
    if jurisdiction != jurisdiction_of(recipient):
        return True
    if jurisdiction != "other":
        return False
    return _country(region) != _country(recipient) if region else None


def within_jurisdiction(place: str, recipient: str) -> bool:
    """Whether a place that somebody named lies inside the recipient's jurisdiction.

    Args:
        place, recipient: ISO 3166 codes.
    """
    mine = jurisdiction_of(recipient)
    if jurisdiction_of(place) != mine:
        return False
    return mine != "other" or _country(place) == _country(recipient)


def _country(region: str) -> str:
    return region.partition("-")[0]
