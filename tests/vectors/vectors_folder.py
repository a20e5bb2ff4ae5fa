"""Where the vectors of others lie; they are no part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def vectors(name: str) -> Path:
    """The folder of one set of vectors: below `TDS_VECTORS`, or beside the checkout."""
    return Path(os.environ.get("TDS_VECTORS", ROOT.parent / "shared" / "vectors")) / name


def needs(name: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where that folder is missing."""
    folder = vectors(name)
    reason = f"{folder} is missing; TDS_VECTORS may name the folder that holds {name}"
    return pytest.mark.skipif(not folder.is_dir(), reason=reason)
