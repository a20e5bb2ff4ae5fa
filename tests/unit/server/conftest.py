from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dsp_site import Bed, serving
from server_site import Site

from auditors.shares import replay_log


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A space with three enterprises, made once; tests get copies."""
    site = Site.make(tmp_path_factory.mktemp("server") / "space")
    site.populate()
    site.close()
    return site


@pytest.fixture
def site(populated: Site, tmp_path: Path) -> Iterator[Site]:
    """A space in which alpha, beta and gamma are enrolled and agreed to everything.

    Whatever a test does, an auditor can replay what governance logged.
    """
    shutil.copytree(populated.folder, tmp_path / "space")
    mine = Site(tmp_path / "space", populated.now)
    mine.superlink = copy.deepcopy(populated.superlink)
    mine.nodes = dict(populated.nodes)
    mine.tick(1)
    mine.open()
    yield mine
    mine.close()
    if mine.replays:
        assert replay_log(mine.space.log_folder, jobs=1).violations == ()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Site]:
    """A new space."""
    mine = Site.make(tmp_path / "space")
    yield mine
    mine.close()


@pytest.fixture(scope="module")
def bed(populated: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A populated space whose contracts are served over HTTPS."""
    with serving(populated, tmp_path_factory.mktemp("contracts") / "space") as made:
        yield made
