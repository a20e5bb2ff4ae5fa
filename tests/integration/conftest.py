from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration_faulty import Faulty, faulty_space
from integration_governed import Governed, governed_run
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    **dict.fromkeys(("canary", "logs", "node_status", "run", "telemetry"), "governed"),
    **dict.fromkeys(("faults", "identity", "secure_sum"), "faulty"),
}
"""Files that look at one space, which each worker would make anew: test_integration_NAME.py.

`life` has a faulty space of its own, else one worker would have half of all.
"""


class BySpace(LoadScopeScheduling):
    """A file's tests go to one worker, and so do those of files that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(Path(file).stem.removeprefix("test_integration_"), file)


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
