"""What is checked as a product or an app is registered, beyond what its document says of itself."""

from __future__ import annotations

from datetime import datetime

from policies.errors import PolicyError
from policies.fields import parse_instant
from policies.places import jurisdiction_of
from policies.statements import AppFiling, ProductCard
from server.errors import BadInput, RuleBroken
from server.rows import Product


def check_filing(filing: AppFiling, now: datetime) -> None:
    """Returns only for a filing that holds now; BadInput otherwise."""
    if filing.expires is None:
        return
    try:
        expires = parse_instant(filing.expires)
    except PolicyError as error:
        raise BadInput(f"filing: expires: {error}") from error
    if expires <= now:
        raise BadInput(f"filing: expires: expected a moment to come, got {filing.expires}")


def require_newer(card: ProductCard, before: Product) -> None:
    """Returns only for a newer version by the same owner; RuleBroken otherwise."""
    if before.participant != card.participant or card.data_version <= before.data_version:
        raise RuleBroken(
            f"product {card.id}: expected a new id for other contents, or a data_version above "
            f"{before.data_version} by its owner; this id is registered already"
        )


def jurisdiction(card: ProductCard, region: str) -> str:
    """What the card states, which must be the region's own; "" if neither is known.

    Raises:
        RuleBroken: the card contradicts the region.
    """
    known = jurisdiction_of(region) if region else ""
    stated = card.jurisdiction or known
    if known and stated != known:
        raise RuleBroken(
            f"product {card.id}: expected {known}, the jurisdiction of its owner's registered "
            f"region {region}, got {stated}; leave it out, or enrol the node that processes it"
        )
    return stated
