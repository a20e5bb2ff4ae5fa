"""Which products may be in the catalogue: what is classified core, and what a law bars, is not."""

from __future__ import annotations

from sqlalchemy import Connection

from policies.baseline import Baseline
from policies.evaluate import barred
from policies.facts import product_facts
from server import queries
from server.errors import BadInput
from server.rows import Product

Laws = tuple[Baseline, ...]


def may_list(product: Product, laws: Laws) -> bool:
    """Whether a product may be offered, by the laws in force now."""
    if product.classification == "core":
        return False
    facts = product_facts(product, f"log entry {product.entry}")
    return not barred(laws, "list", facts)


def check_listed(connection: Connection, id: str, laws: Laws) -> None:
    """Returns only for a product that may be in the catalogue; BadInput else."""
    product = queries.product(connection, id)
    if product is None or not may_list(product, laws):
        raise BadInput(f"$.offer.target: expected a listed product, got {id!r:.140}")
