"""`tds product add DATA --accept`: drafts, registration and offer in one call.

Each step is kept before the next, and made again without harm: drafts that are there are taken as
their owner left them, a product that is registered stays so, an offer published once is the same.
What may be about persons is never taken unread.
"""

from __future__ import annotations

from pathlib import Path

from clients.contracts import open_contracts
from clients.identity import load_identity
from clients.owner import open_owner
from commands.errors import BadInput, CommandFailed
from commands.node import node_client
from commands.offer_check import say_offer_findings
from commands.output import say
from commands.policyfile import read_policy_bytes
from commands.product_data import Data
from commands.product_draft import draft_product, drafts_of, write_offer
from policies.odrl import parse_offer


def accept_drafts(
    data: Data | None, node: Path, purpose: str, participants: int, masks: bool | None
) -> None:
    """Register and offer data as its drafts say; first written where there are none.

    Args: as for `draft_product`.

    Raises:
        BadInput: no data, or no purpose.
        CommandFailed: a column may tell who somebody is, and nobody has read the draft yet.
        VaultError, ProductError, GovernanceError: as `tds product add` and `tds product offer`.
    """
    if data is None or not purpose:
        raise BadInput("--accept: expected a data file and --purpose PURPOSE with it, got less")
    product, offer = drafts_of(data.place)
    if product.exists():
        say(f"taking {product} as it is" + (f", and {offer}" if offer.exists() else ""))
        if not offer.exists():
            write_offer(offer, load_identity(node).participant, purpose, participants, masks)
    elif draft_product(data, node, purpose, participants, masks=masks, advise=False).personal:
        raise CommandFailed(
            f"{product}: expected data that tells of nobody, got a column whose name says it may; "
            "nothing was registered: read and correct both drafts, then give the same command again"
        )
    with open_owner(node) as owner:
        registered = owner.add_product(product)
    say(f"registered {registered.id} (entry {registered.index} of the space's log)")
    publish_offer(offer, node, registered.id, auto_agree=True)
    say(f"to take it back: tds product offer --withdraw {_id(offer)} --node {node}")
    say(f"next: tds node run --node {node}")


def publish_offer(file: Path, node: Path, product: str, *, auto_agree: bool) -> None:
    """Tell what is odd about an offer, and list it for a product.

    Args:
        product: its id; "" where the node has one only.
    """
    document = read_policy_bytes(file)
    with open_contracts(node) as contracts:
        target = product or contracts.only_product()
        with node_client(node) as governance:
            say_offer_findings(governance, parse_offer(document), target)
        done = contracts.publish_offer(document, product=target, auto_agree=auto_agree)
    say(f"offered {done.id} for {target} (entry {done.index} of the space's log)")


def _id(offer: Path) -> str:
    return parse_offer(read_policy_bytes(offer)).id
