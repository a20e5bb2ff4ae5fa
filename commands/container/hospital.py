"""An enterprise of docker-compose.yml: its made-up data, its product and offer, its node.

`python -m commands.container.hospital NAME`. Everything lies in the enterprise's own volume, and is
made there: keys, rows, drafts. Where it joined already it only runs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from clients.files import replace_file
from clients.identity import load_identity
from clients.owner import open_owner
from commands.container.apart import apart
from commands.container.node import become_node, enrolled
from commands.contract_draft import draft_offer
from commands.errors import BadInput
from commands.hospitals import HOSPITALS, Hospital, split_data, write_hospital
from commands.output import say
from commands.product_accept import publish_offer

ENTERPRISES: Final = tuple(one for one in HOSPITALS if not one.competitor and one.region != "HK")
"""Five: four that train, and one whose offer does not allow the demo's purpose."""

JOIN: Final = Path("/invited/node.join")
BUNDLE: Final = Path("/invited/tabular.fab")
READY: Final = "offered"


def prepare(node: Path, hospital: Hospital) -> None:
    """The node is enrolled, its product registered and offered, and the app approved."""
    enrolled(node, join=JOIN, region=hospital.region)
    participant = load_identity(node).participant
    data = node.parent / "data"
    product = write_hospital(data, hospital, split_data(), participant=participant)
    offer = data / "offer.json"
    if not offer.exists():
        drafted = draft_offer(
            owner=participant, purpose=hospital.purpose, uses=1000, participants=2
        )
        replace_file(offer, json.dumps(drafted).encode(), mode=0o644)
    with open_owner(node) as owner:
        registered = owner.add_product(product)
        app = owner.approve_app(BUNDLE.read_bytes())
    publish_offer(offer, node, registered.id, auto_agree=True)
    say(f"registered {registered.id}, approved app {app}")
    replace_file(node / READY, b"")


def main() -> None:
    """Entry point."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    found = [one for one in ENTERPRISES if one.name == name]
    if not found:
        known = ", ".join(one.name for one in ENTERPRISES)
        raise BadInput(f"{name!r}: expected one of {known}")
    node = Path(os.environ["TDS_NODE"])
    if not (node / READY).exists():
        apart(lambda: prepare(node, found[0]))
    become_node()


if __name__ == "__main__":
    main()
