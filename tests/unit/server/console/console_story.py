"""A space with a run under way, as a console shows it: for looking at, and for measuring.

Governance, its log and its pages are real; the enterprises are keys without machines, and what they
send is made up.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server_site import SPACE, Node, Site, constraint, count_at_most, make_fab, private

from ledger.cosignature import Cosigner
from server.cosigning import Offered
from server.errors import RuleBroken

PEOPLE: Final = (
    ("lakeview", "Lakeview Oncology Centre", "CN-ZJ"),
    ("northgate", "Northgate Clinic", "CN-GD"),
    ("riverside", "Riverside University Hospital", "CN-GD"),
    ("westpark", "Westpark Community Hospital", "CN-SH"),
    ("hillcrest", "Hillcrest Hospital", "CN-GD"),
    ("harbour", "Harbour Medical Centre", "CN-SH"),
    ("eastgate", "Eastgate Hospital", "CN-ZJ"),
    ("meadow", "Meadow Clinic", "CN-GD"),
    ("summit", "Summit Heart Institute", "CN-SH"),
    ("orchard", "Orchard Women's Hospital", "CN-ZJ"),
    ("quayside", "Quayside General", "CN-SH"),
    ("stonebridge", "Stonebridge Children's Hospital", "CN-GD"),
)


@dataclass
class Story:
    """The run, and the steps that take it on."""

    site: Site
    run: str
    asked: int = 0

    def round(self, *, until: str = "close", pause: Callable[[], None] = lambda: None) -> None:
        """One round; `until` stops it sooner, at `permit` or `receipts`.

        Args:
            pause: while the nodes work.
        """
        site = self.site
        self.asked += 1
        answer = site.authorize(self.run, f"ask-{self.asked}")
        permitted = {one["participant"] for one in answer.verdicts if one["permitted"]}
        if until == "permit" or not permitted:
            return
        site.tick(2.4)
        pause()
        taking = [node for name, node in site.nodes.items() if name in permitted]
        site.submit(answer, *(taking[:-1] if until == "receipts" else taking))
        if until == "receipts":
            return
        site.open_masks(answer)
        site.tick(0.6)
        done = 1 - math.exp(-self.asked / 5)
        figures = {
            "eval_loss": f"{0.68 - 0.47 * done:.4f}",
            "eval_accuracy": f"{0.61 + 0.35 * done:.4f}",
        }
        site.close_round(answer, metrics=figures)


def begin(folder: Path, *, enterprises: int, rounds: int, noise: str = "4") -> Story:
    """A space with so many enterprises and a run that all of them agreed to."""
    site = Site.make(folder)
    for name, title, region in PEOPLE[:enterprises]:
        node = site.enrol(name, title=title, region=region)
        site.add_product(node)
        site.agree(node, constraint("purpose", "isA", "medical-research"), count_at_most(5000))
    site.governance.catalogue.register_app(make_fab(), "tabular 1.0: a network for tables")
    plan = {**private(noise), "rounds": rounds, "metrics": ["eval_loss", "eval_accuracy"]}
    return Story(site, site.open_run(**plan))


def connect(site: Site, *names: str) -> None:
    """These nodes watch the log from now on, and cosign each head that they are offered."""
    for name in names:
        heads = site.governance.witnesses.watch(site.nodes[name].identity, 0)
        watching = threading.Thread(target=_cosign, args=(site, site.nodes[name], heads))
        watching.daemon = True
        watching.start()


def _cosign(site: Site, node: Node, heads: Iterable[Offered]) -> None:
    signer = Cosigner(f"{SPACE}/{node.name}", node.receipt)
    for offered in heads:
        line = signer.cosign(offered.note, time=int(site.now.timestamp()))
        with suppress(RuleBroken):  # newer heads came meanwhile
            site.governance.witnesses.cosign(node.identity, offered.size, line.encode())
