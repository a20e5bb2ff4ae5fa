"""Certificates and filings on the command line, against governance in this process."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands_adder import adder_bundle
from commands_site import Tds, write_product

from clients.enrol import enrol
from clients.owner import open_owner
from commands.children import free_ports
from commands.errors import CommandFailed
from commands.inprocess import LocalSuperLink
from commands.node_wiring import now
from commands.product import _checked
from policies.canonical import sha256_hex
from policies.space import SpaceCard
from server.edge import Edge
from server.files import write_secret
from server.governance_client import GovernanceClient
from server.service import serve
from server.space import init_space, load_space


@dataclass(frozen=True, slots=True)
class Desk:
    """A running space and an enrolled node with a registered product."""

    space: str
    node: str
    product: str
    bundle: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("registration")
    ports = free_ports(2)
    space = init_space(
        root / "space",
        name="tests.example/space",
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address="127.0.0.1:3",
        hosts=["127.0.0.1"],
        now=now(),
        region="CN-GD",
        auto_certify=False,
    )
    edge = Edge(clock=now, random_bytes=secrets.token_bytes)
    running = serve(space, superlink=LocalSuperLink(), edge=edge)
    with GovernanceClient.open(space.operator_folder) as operator:
        join = operator.invite(
            participant="clinic", title="", sector="", region="CN-GD", valid_s=600
        )
    write_secret(root / "clinic.join", join)
    enrol(root / "clinic", root / "clinic.join", region="CN-GD", now=now())
    (root / "adder.fab").write_bytes(adder_bundle())
    product = write_product(root / "data")
    with open_owner(root / "clinic") as owner:
        owner.add_product(product)
    yield Desk(str(root / "space"), str(root / "clinic"), str(product), root / "adder.fab")
    running.stop(0)


def test_a_product_waits_is_certified_and_revoked(tds: Tds, desk: Desk) -> None:
    added = tds("product", "add", desk.product, "--node", desk.node)
    assert added.code == 0, added.err
    product = json.loads(Path(desk.product).read_text(encoding="utf-8"))["id"]
    show = ("product", "show", product, "--node", desk.node)
    listed = ("product", "list", "--node", desk.node, "--json")
    assert tds(*listed).json()[0]["certificate"] == "missing"
    assert tds(*show).json()["certificate"] == "missing"
    nothing = tds("product", "revoke", product, "--space", desk.space, "--reason", "x")
    assert (nothing.code, "it has none" in nothing.err) == (1, True)

    issued = tds("product", "certify", product, "--space", desk.space, "--days", "2")
    assert issued.code == 0, issued.err
    shown = tds(*show).json()
    assert shown["certificate"] == "valid"
    assert shown["certificate_document"]["serial"] in issued.out
    assert shown["card"]["id"] == product

    gone = tds("product", "revoke", product, "--space", desk.space, "--reason", "card was wrong")
    assert (gone.code, shown["certificate_serial"] in gone.out) == (0, True)
    shown = tds(*show).json()
    assert (shown["certificate"], shown["revocation_reason"]) == ("revoked", "card was wrong")
    assert "revoked" in tds("product", "list", "--node", desk.node).out


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("product certify none --space {space}", 1, "a registered one"),
        ("product certify none --space {space} --days 3651", 1, "days: expected 1 to 3650"),
        ("product certify none --space {space} --days -1", 2, "'--days': -1 is not in the range"),
        ("product revoke none --space {space} --reason x", 1, "a registered one"),
        ("product revoke none --space {space}", 2, "Missing option '--reason'"),
        ("product show none --node {node}", 1, "a registered one"),
        ("app unregister 00 --space {space} --reason x", 1, "a registered app"),
        ("app unregister 00 --space {space}", 2, "Missing option '--reason'"),
        ("app register {bundle} --space {space} --title x --expires noon", 2, "--expires"),
        (
            "app register {bundle} --space {space} --title x --expires 2020-01-01T00:00:00Z",
            1,
            "a moment to come",
        ),
        ("app register {bundle} --space {space} --title x --purpose |", 2, "$.purposes[0]"),
        ("app register {bundle} --space {space} --title x --filing-number a|b", 2, "filing_number"),
    ],
)
def test_what_is_refused(tds: Tds, desk: Desk, call: str, code: int, says: str) -> None:
    filled = call.format(space=desk.space, node=desk.node, bundle=desk.bundle)
    ran = tds(*(word.replace("|", " ") for word in filled.split()))
    assert ran.code == code
    assert says in ran.err


def test_an_app_is_filed_and_its_filing_revoked(tds: Tds, desk: Desk) -> None:
    app = sha256_hex(desk.bundle.read_bytes())
    said = ["--author", "Ada", "--purpose", "medical-research", "--purpose", "marketing"]
    said += ["--output", "weights", "--filing-number", "F-1", "--expires", "2099-01-01T00:00:00Z"]
    register = ("app", "register", str(desk.bundle), "--space", desk.space, "--title", "adds")
    listed = ("app", "list", "--node", desk.node, "--json")
    assert tds(*register, *said).code == 0
    (shown,) = tds(*listed).json()
    assert shown["filing"] == {
        "author": "Ada",
        "purposes": ["medical-research", "marketing"],
        "outputs": ["weights"],
        "filing_number": "F-1",
        "expires": "2099-01-01T00:00:00.000Z",
    }
    assert tds("app", "unregister", app, "--space", desk.space, "--reason", "too much").code == 0
    (shown,) = tds(*listed).json()
    assert (shown["filing_state"], shown["filing_revocation_reason"]) == ("revoked", "too much")
    assert tds(*register).code == 0
    assert "revoked" in tds("app", "list", "--node", desk.node).out
    assert tds(*register, "--filing-number", "F-2").code == 0
    assert tds(*listed).json()[0]["filing_state"] == "valid"


def test_a_certificate_of_another_space_or_card_is_not_shown(desk: Desk) -> None:
    space = load_space(Path(desk.space))
    with GovernanceClient.open(space.operator_folder) as operator:
        (product,) = [one["product"] for one in operator.list("products")]  # type: ignore[index, call-overload]
        operator.certify_product(str(product))
        document = operator.get_product(str(product))
    assert isinstance(document, dict)
    assert _checked(dict(document), space.card)["certificate_document"]
    changed = SpaceCard.from_json(space.card.to_json() | {"registrar_key": space.card.permit_key})
    for card, fault in (
        (changed, {}),
        (space.card, {"card": {**document["card"], "rows": 1}}),  # type: ignore[dict-item]
        (space.card, {"product": "clinic/other"}),
        (space.card, {"certificate_serial": "certificate-" + "0" * 32}),
        (space.card, {"certificate_envelope": base64.b64encode(b"{}").decode()}),
        (space.card, {"certificate_envelope": "not base64!"}),
    ):
        with pytest.raises(CommandFailed, match="do not rely on it"):
            _checked({**document, **fault}, card)  # type: ignore[dict-item]


def test_readiness_is_told_here_and_only_the_agreed_figures_are_listed(
    tds: Tds, desk: Desk
) -> None:
    call = ("product", "readiness", desk.product, "--node", desk.node)
    told = tds(*call)
    assert (told.code, told.err) == (0, "")
    assert "drift is against data version 1" in told.out
    assert "score 90 of 100: ready-with-reservations" in told.out
    report = tds(*call, "--json").json()
    assert (report["rows"], report["missing"]["total"], report["verdict"]) == (
        20,
        0,
        "ready-with-reservations",
    )
    (listed,) = tds("product", "list", "--node", desk.node, "--json").json()
    assert listed["readiness"] == {"rows": "20"}


def test_data_that_is_not_ready_ends_with_1(tds: Tds, desk: Desk, tmp_path: Path) -> None:
    path = write_product(tmp_path / "data")
    data = path.parent / "data.csv"
    data.write_text(data.read_text(encoding="utf-8").replace("3.5", ""), encoding="utf-8")
    call = ("product", "readiness", str(path), "--node", desk.node)
    told = tds(*call)
    assert told.code == 1
    assert "cells without a value: 1, in 'radius'" in told.out
    assert tds(*call, "--json").json()["verdict"] == "not-ready"
    data.write_text("radius,diagnosis\nSECRET,benign\n", encoding="utf-8")
    refused = tds(*call)
    assert (refused.code, "row 1: expected a finite float" in refused.err) == (1, True)
    assert "SECRET" not in refused.out + refused.err
