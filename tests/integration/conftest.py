from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration_faulty import Faulty, faulty_space
from integration_governed import Governed, governed_run
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
GOVERNED = "integration_governed"
"""The module of the governed run, which a file imports that looks at it."""


class BySpace(LoadScopeScheduling):
    """A file's tests go to one worker, as do all that look at the one governed run: else each
    worker would have a run of its own."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return GOVERNED if GOVERNED in (ROOT / file).read_text(encoding="utf-8") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BySpace:
    """Who runs what under pytest-xdist."""
    return BySpace(config, log)


@pytest.fixture(scope="session")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Governed:
    """A run with real processes, which have ended."""
    return governed_run(tmp_path_factory.mktemp("governed"))


@pytest.fixture(scope="session")
def faulty_space_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty_space(tmp_path_factory.mktemp("faulty")) as found:
        yield found


@pytest.fixture
def faulty(faulty_space_of_session: Faulty) -> Faulty:
    """A space to kill processes of; all of them run."""
    faulty_space_of_session.heal()
    return faulty_space_of_session
