"""A space with one enrolled node on disk, and what a call of `tds` left."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.enrol import enrol
from clients.sandbox import InProcessUnsafeRunner
from commands.inprocess import LocalGovernance, LocalSuperLink
from commands.localspace import draft_agreement
from commands.node_wiring import OpenNode, now, open_node
from commands.simulate import NOT_ISOLATED
from server.files import write_secret
from server.space import Space, init_space

SPACE = "tdspace.example/unit"
PRODUCT: dict[str, Any] = {
    "version": 1,
    "id": "clinic/biopsies",
    "title": "Biopsies",
    "path": "data.csv",
    "columns": [
        {"name": "radius", "type": "float", "role": "feature"},
        {"name": "diagnosis", "type": "string", "role": "label"},
    ],
    "classes": ["malignant", "benign"],
    "held_back": "0.2",
    "modality": "tabular",
    "classification": "general",
    "personal_information": False,
}


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit code and both outputs of one call."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


Tds = Callable[..., Ran]


def make_space(folder: Path) -> Space:
    """A space at addresses where nobody answers."""
    return init_space(
        folder,
        name=SPACE,
        governance_address="127.0.0.1:1",
        enrolment_address="127.0.0.1:2",
        superlink_address="127.0.0.1:3",
        hosts=[],
        now=now(),
        region="CN-GD",
    )


def write_product(folder: Path, *, rows: int = 20) -> Path:
    """A data file with two columns and the product file that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["radius", "diagnosis"])
        writer.writerows([f"{n}.5", PRODUCT["classes"][n % 2]] for n in range(rows))
    path = folder / "product.json"
    path.write_text(json.dumps(PRODUCT), encoding="utf-8")
    return path


def make_node(
    stack: ExitStack,
    operator: LocalGovernance,
    folder: Path,
    *,
    purpose: str = "medical-research",
    bundle: bytes = b"",
    rows: int = 20,
) -> OpenNode:
    """An enrolled node named after its folder, with a product and a concluded agreement."""
    join = folder.with_suffix(".join")
    write_secret(join, operator.invite(folder.name, "CN-GD"))
    identity = enrol(folder, join, region="CN-GD", now=now(), ask=operator.enrol)
    node = open_node(
        stack,
        identity,
        runner=InProcessUnsafeRunner(),
        confinement=NOT_ISOLATED,
        governance=operator.seen_by(identity.certificate_pem),
    )
    product_file = write_product(folder.parent / f"{folder.name}-data", rows=rows)
    text = {**PRODUCT, "id": f"{folder.name}/biopsies"}
    product_file.write_text(json.dumps(text), encoding="utf-8")
    product = node.owner.add_product(product_file).id
    agreement = draft_agreement(folder.name, product, purpose, consumer="consortium")
    node.owner.sign_agreement(agreement)
    if bundle:
        node.owner.approve_app(bundle)
    return node


def make_site(root: Path) -> None:
    """`root/space` and `root/clinic`, whose processes all ended."""
    space = make_space(root / "space")
    with ExitStack() as stack:
        operator = LocalGovernance.open(stack, space, LocalSuperLink())
        make_node(stack, operator, root / "clinic")
        write_secret(root / "next.join", operator.invite("next", "CN-GD"))
