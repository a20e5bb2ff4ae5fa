"""The catalogue (DCAT): each listed product with its standing offers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from policies.odrl import parse_offer
from server import queries
from server.disclosing import Disclosing
from server.dsp import documents, store
from server.dsp.documents import Out
from server.dsp.expiry import expired_permission
from server.dsp.listing import Laws, may_list
from server.dsp.rows import OfferRow
from server.edge import Edge
from server.errors import NotKnown
from server.journal import Journal
from server.register_views import product_title
from server.rows import Product

PAGE: Final = 200  # datasets on a page


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the catalogue; `more` says whether another one follows."""

    document: Out
    more: bool


class DcatCatalogue:
    """What is offered at present; whoever is enrolled may look.

    Args:
        texts: what products are called.
        space: its name; the service's and the catalogue's ids are made of it.
        operator: the participant that serves it.
        url: of the protocol's root as others reach it.
        laws: in force; what they bar from listing is not here.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        texts: Disclosing,
        space: str,
        operator: str,
        url: str,
        laws: Laws,
        edge: Edge,
    ) -> None:
        self._journal = journal
        self._texts = texts
        self._operator = operator
        self._laws = laws
        self._edge = edge
        self._id = f"urn:tdspace:catalog:{space}"
        self.url = url
        self._service = documents.data_service(f"urn:tdspace:service:{space}", url)

    @property
    def service_id(self) -> str:
        """Id of the one DataService."""
        return str(self._service["@id"])

    def page(self, number: int = 0) -> Page:
        """`PAGE` datasets at most, in the order of registration.

        Args:
            number: from 0; beyond the last one there is an empty catalogue.
        """
        with self._journal.reading() as connection:
            products = queries.products(connection)
            offers: dict[str, list[OfferRow]] = {}
            for offer in store.offers(connection):
                if offer.withdrawn is None:
                    offers.setdefault(offer.product, []).append(offer)
        first = number * PAGE
        found = list(islice(self._datasets(products, offers), first, first + PAGE + 1))
        document = documents.catalog(
            self._id,
            participant=self._operator,
            service=self._service,
            datasets=found[:PAGE],
        )
        return Page(document, more=len(found) > PAGE)

    def dataset(self, id: str) -> Out:
        """One dataset; NotKnown where it is not listed."""
        with self._journal.reading() as connection:
            product = queries.product(connection, id)
            offers = store.standing_offers(connection, id)
        found = [] if product is None else list(self._datasets([product], {id: offers}, whole=True))
        if not found:
            raise NotKnown(f"dataset {id!r:.140}: expected a listed one")
        return documents.root(found[0])

    def _datasets(
        self,
        products: list[Product],
        offers: dict[str, list[OfferRow]],
        *,
        whole: bool = False,
    ) -> Iterator[Out]:
        """The listed ones; `whole` puts the service in, where no root lists it."""
        for product in products:
            standing = [one for one in offers.get(product.id, []) if self._stands(one)]
            if not standing or not may_list(product, self._laws):
                continue
            yield documents.dataset(
                product.id,
                title=product_title(product, self._texts),
                offers=[json.loads(one.document) for one in standing],
                service=self._service if whole else self.service_id,
            )

    def _stands(self, offer: OfferRow) -> bool:
        permissions = parse_offer(offer.document.encode()).permissions
        return expired_permission(permissions, self._edge.clock()) is None
