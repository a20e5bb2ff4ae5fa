"""What a use is made of: the product's rows and the approved app, from the owner's side."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Protocol

from clients.appbundle import MAX_BUNDLE_BYTES, install_bundle, installed_declaration
from clients.declared import Declaration
from clients.environments import Environment, open_environment
from clients.errors import BundleError, FileRefused, ProductError, refused
from clients.files import read_file
from clients.identity import NodeIdentity
from clients.product import MAX_PRODUCT_BYTES, Product, load_product
from clients.selection import Selection, Selector
from clients.state import NodeState
from policies.canonical import sha256_hex


class Materials(Protocol):
    """The owner's side of a use; `OwnMaterials` is one, tests have another."""

    def select(self, product: str, *, purpose: str, now: datetime) -> Selection:
        """The product's rows whose subjects consent to this purpose now.

        Raises:
            GateRefused, ProductError, VaultError, ConsentError: unknown, changed since, not
                readable, or nobody consents.
        """

    def app_folder(self, app: str) -> Path:
        """The approved bundle, unpacked.

        Raises:
            BundleError: absent, or changed.
        """

    def declaration(self, app: str) -> Declaration:
        """What the approved bundle declares to return.

        Raises:
            BundleError: as `app_folder`.
        """


class OwnMaterials:
    """Products as registered, read where they lie; bundles as the owner approved them.

    Safe to share between threads: one reads at a time.
    """

    def __init__(self, *, identity: NodeIdentity, state: NodeState) -> None:
        self._identity = identity
        self._state = state
        self._selector = Selector(salt=identity.keys.salt, spool=identity.paths.root)
        self._installed: dict[str, Path] = {}
        self._environments: dict[tuple[str, str], Environment] = {}
        self._products: dict[str, Product] = {}
        self._turn = threading.RLock()

    def select(self, product: str, *, purpose: str, now: datetime) -> Selection:
        """See `Materials`."""
        record = self._state.product(product)
        if record is None:
            raise refused("product-unknown", f"this node has no product {product}")
        path = Path(record.file)
        try:
            found = sha256_hex(read_file(path, max_bytes=MAX_PRODUCT_BYTES))
        except FileRefused as error:
            raise ProductError(f"product {product}: {error}") from error
        if found != record.digest:
            raise ProductError(
                f"product {product}: its product file was changed since it was registered; "
                "register the new version: tds product add, with a higher data_version"
            )
        known = self._products.get(found)
        if known is None:
            known = self._products[found] = load_product(path)
        with self._turn:
            return self._selector.select(known, purpose=purpose, now=now)

    def app_folder(self, app: str) -> Path:
        """See `Materials`."""
        with self._turn:
            return self._unpacked(app)

    def _unpacked(self, app: str) -> Path:
        known = self._installed.get(app)
        if known is None:
            try:
                bundle = read_file(self._identity.paths.bundle(app), max_bytes=MAX_BUNDLE_BYTES)
            except FileRefused as error:
                raise BundleError(f"app {app}: {error}; approve it again") from error
            known = install_bundle(bundle, expected_sha256=app, into=self._identity.paths.apps)
            self._installed[app] = known
        return known

    def declaration(self, app: str) -> Declaration:
        """See `Materials`."""
        return installed_declaration(self.app_folder(app))

    def app_environment(self, app: str) -> Environment | None:
        """The packages that the owner approved this app with; None for this program's own only.

        Raises:
            EnvironmentRefused: they are not there, or were changed since this node started.
        """
        record = self._state.app(app)
        if record is None or not record.environment:
            return None
        key = (record.environment, record.environment_digest)
        known = self._environments.get(key)
        if known is None:
            known = open_environment(self._identity.paths.environments, *key)
            self._environments[key] = known
        return known
