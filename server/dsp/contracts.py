"""Everything of the Dataspace Protocol that governance does, by subject, wired in one place."""

from __future__ import annotations

from typing import Final

from policies.space import SpaceCard
from server.disclosing import Disclosing
from server.dsp.catalogue import DcatCatalogue
from server.dsp.documents import BASE
from server.dsp.listing import Laws
from server.dsp.negotiation_steps import Steps
from server.dsp.negotiations import Negotiations
from server.dsp.offers import Offers
from server.dsp.owner_negotiations import OwnerNegotiations
from server.dsp.tokens import Tokens
from server.dsp.transfers import Transfers
from server.edge import Edge
from server.journal import Journal

NOT_SERVED: Final = "not.served.invalid"


class Contracts:
    """The operations behind both doors: HTTP for consumers, gRPC for owners."""

    def __init__(
        self,
        *,
        journal: Journal,
        texts: Disclosing,
        card: SpaceCard,
        operator: str,
        laws: Laws,
        edge: Edge,
    ) -> None:
        url = f"https://{card.contracts or NOT_SERVED}{BASE}"
        self.tokens = Tokens(journal=journal, space=card.name, edge=edge)
        self.catalogue = DcatCatalogue(
            journal=journal,
            texts=texts,
            space=card.name,
            operator=operator,
            url=url,
            laws=laws,
            edge=edge,
        )
        self.offers = Offers(journal=journal, edge=edge)
        steps = Steps(journal=journal, texts=texts, edge=edge)
        self.negotiations = Negotiations(journal=journal, steps=steps, laws=laws, edge=edge)
        self.owners = OwnerNegotiations(journal=journal, steps=steps, offers=self.offers, laws=laws)
        self.transfers = Transfers(journal=journal, texts=texts, edge=edge)
