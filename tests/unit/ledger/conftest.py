"""A log's key and places."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_site import Site

from ledger.note import NoteSigner


@pytest.fixture
def signer() -> NoteSigner:
    return NoteSigner("logs.example/test", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


@pytest.fixture
def site(tmp_path: Path, signer: NoteSigner) -> Site:
    return Site(tmp_path, signer)
