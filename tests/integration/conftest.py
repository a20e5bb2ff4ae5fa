from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration_faulty import Faulty, faulty_space
from integration_governed import Governed, governed_run


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
