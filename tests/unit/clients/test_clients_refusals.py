"""What travels of a failure is a fixed sentence; what names the owner's files stays there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_clients_gate import NOW
from test_clients_identity import Authority
from test_clients_owner import FakeGovernance, bundle, product_file

from clients.errors import (
    AppFailed,
    AppTimeout,
    ClientError,
    EgressRefused,
    SandboxUnavailable,
    StateUnavailable,
    refused,
)
from clients.identity import NodeIdentity
from clients.materials import OwnMaterials
from clients.owner import Owner
from clients.refusals import explain
from clients.state import NodeState
from ledger.errors import LogUnavailable
from policies.canonical import sha256_hex

CANARY = "canary-4711"
PRODUCT = "clinic-a/cytology"
DATA = f"the data of product {PRODUCT}"
FILE = f"the product file of product {PRODUCT}"
APP = sha256_hex(bundle())


@dataclass
class Own:
    """A node with one product and one app; all that is its owner's lies below a canary."""

    identity: NodeIdentity
    data: Path
    materials: OwnMaterials

    def spoil(self, name: str, content: bytes | None) -> None:
        """Replace a file of the product or of the app, or remove it."""
        path = self.identity.paths.bundle(APP) if name == "app.fab" else self.data / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    home = tmp_path / CANARY
    data = home / "data"
    data.mkdir(parents=True)
    identity = Authority().enrolled(home)
    state = NodeState.open(identity.paths.state)
    owner = Owner(identity=identity, state=state, governance=FakeGovernance(), clock=lambda: NOW)
    owner.add_product(product_file(data))
    owner.approve_app(bundle())
    yield Own(identity, data, OwnMaterials(identity=identity, state=state))
    state.close()


def rows(own: Own) -> object:
    return own.materials.select(PRODUCT, purpose="marketing", now=NOW)


def app(own: Own) -> object:
    return own.materials.app_folder(APP)


@pytest.mark.parametrize(
    ("name", "content", "use", "code", "names"),
    [
        ("data.csv", None, rows, "product-unreadable", DATA),
        ("data.csv", b"", rows, "product-unreadable", DATA),
        ("data.csv", b"x,kind\n", rows, "product-unreadable", DATA),
        ("data.csv", b"x,kind\n?,a\n", rows, "product-unreadable", DATA),
        ("data.csv", b"x,kind\n1\n", rows, "product-unreadable", DATA),
        ("data.csv", b"x\n1\n", rows, "product-unreadable", DATA),
        (
            "product.json",
            None,
            rows,
            "product-unreadable",
            f"the product file of product {PRODUCT}",
        ),
        ("product.json", b"{}", rows, "product-unreadable", FILE),
        ("app.fab", None, app, "app-failed", f"the bundle of app {APP}"),
        ("app.fab", b"another", app, "app-failed", f"the bundle of app {APP}"),
    ],
)
def test_a_refusal_names_the_product_and_no_file_of_the_owners(
    own: Own,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes | None,
    use: Callable[[Own], object],
    code: str,
    names: str,
) -> None:
    own.spoil(name, content)
    with caplog.at_level(logging.ERROR), pytest.raises(ClientError) as caught:
        use(own)
    refusal = explain(caught.value, product=PRODUCT, app=APP)
    assert refusal.code == code
    assert names in refusal.text
    assert "its owner finds the reason on the node" in refusal.text
    assert CANARY not in refusal.text
    assert name not in refusal.text
    assert str(caught.value) in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "travels"),
    [
        (refused("consent-withdrawn", "withdrawn at noon"), "consent-withdrawn", True),
        (AppTimeout("took longer than 60 s"), "app-timeout", True),
        (AppFailed("raised ValueError", detail=CANARY), "app-failed", True),
        (EgressRefused("update: expected the array 'w', got none"), "egress-refused", True),
        (SandboxUnavailable(f"/{CANARY}: lost"), "node-unavailable", False),
        (StateUnavailable(f"/{CANARY}/state.db: locked"), "node-unavailable", False),
        (LogUnavailable(f"/{CANARY}/ledger.db: full"), "node-unavailable", False),
        (OSError(28, "No space", f"/{CANARY}"), "node-unavailable", False),
        (KeyError(CANARY), "node-unavailable", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_only_what_its_class_allows_travels(error: Exception, code: str, travels: bool) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    refusal = explain(caught.value)
    assert refusal.code == code
    assert (refusal.text in str(error)) is travels
    assert CANARY not in refusal.text
