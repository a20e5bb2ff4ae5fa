"""What a run tells of one unit of a product that it uses in every round, so far and in all.

This is the run's own part: an owner's limit counts the uses by other runs as well, and the page of
consent shows that sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from policies.canonical import Json
from policies.errors import DocumentError, PrivacyError
from policies.privacy import Privacy
from policies.privacy_budget import epsilon, noise_for
from policies.privacy_loss import Event, loss_of
from policies.values import decimal_text
from server.errors import BadInput

DELTA: Final = "0.00001"
PARTS: Final = 16
UNITS: Final = ("record", "subject")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Loss:
    """ε as decimal text, "" without a bound; at `delta`."""

    spent: str
    all: str
    delta: str


def loss(spec: Mapping[str, Any], permits: int) -> Loss | None:
    """The loss of a run with so many permits; None where it states no privacy.

    Args:
        spec: of the run, as it was logged.
    """
    stated = spec.get("privacy")
    if not stated:
        return None
    privacy = Privacy.from_json(stated)
    return Loss(
        spent=_spent(privacy.noise, privacy.sample, privacy.delta, permits),
        all=_spent(privacy.noise, privacy.sample, privacy.delta, int(spec["rounds"]) + 1),
        delta=privacy.delta,
    )


def spent_after(spec: Mapping[str, Any]) -> Callable[[int], str | None]:
    """What tells ε after so many permits of a run; it tells None where the run states no privacy.

    Args:
        spec: of the run, as it was logged.
    """
    stated = spec.get("privacy")
    if not stated:
        return lambda _permits: None
    privacy = Privacy.from_json(stated)
    return lambda permits: _spent(privacy.noise, privacy.sample, privacy.delta, permits)


@lru_cache(maxsize=4096)  # each picture of a run asks for all its rounds again
def _spent(noise: str, sample: str, delta: str, uses: int) -> str:
    """ε as decimal text; "" without a bound."""
    found = epsilon(loss_of(Event(Decimal(noise), Decimal(sample)), uses), Decimal(delta))
    return "" if found is None else decimal_text(found)


def planned(limit: str, unit: str, rounds: int) -> dict[str, Json] | None:
    """The terms with which so many training rounds and an evaluation stay within ε = `limit`; None
    for "": no noise.

    Raises:
        BadInput: no such number, or no noise keeps it.
    """
    if not limit:
        return None
    if not _NUMBER.fullmatch(limit):
        raise BadInput(f"epsilon: expected a number such as 3, got {limit!r:.40}")
    try:
        noise = noise_for(Decimal(limit), Decimal(DELTA), rounds + 1)
    except PrivacyError as error:
        raise BadInput(f"epsilon: {error}") from error
    if noise is None:
        raise BadInput(
            f"epsilon: expected one that some noise keeps over {rounds + 1} uses, got {limit}; ask "
            "for fewer rounds, or for a larger one"
        )
    terms: dict[str, Json] = {
        "unit": unit,
        "parts": PARTS,
        "sample": "1",
        "noise": decimal_text(noise),
        "by": "nodes",
        "tolerated": 0,
        "delta": DELTA,
    }
    try:
        return Privacy.from_json(terms).to_json()
    except DocumentError as error:
        raise BadInput(f"privacy: {error}") from error
