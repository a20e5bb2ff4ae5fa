"""One project for all tests: built and started once, watched from its first packet, taken down."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from compose_canary import Canary
from compose_capture import Capture
from compose_project import HEALTHY_S, STAYING, Project, require_engine
from compose_watched import Watched

# First what is read from the first packet on; at last parts are killed, and the project ends.
ORDER = ("capture", "space", "isolation", "faults", "consent", "end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files; what ORDER does not name comes first."""

    def place(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_compose_")
        return ORDER.index(name) + 1 if name in ORDER else 0

    items.sort(key=place)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Up and healthy; nothing of it is left afterwards."""
    require_engine()
    folder = tmp_path_factory.mktemp("compose")
    canary = Canary("northgate", secrets.token_hex(16))
    project = Project(f"tdspace-test-{os.getpid()}", [canary.write_file(folder)])
    try:
        project.compose("build")
        project.compose("create")  # the networks are there, and nobody in them speaks yet
        with Capture(project.bridges()) as capture:
            project.compose("up", "-d")
            project.wait_healthy(STAYING, timeout_s=HEALTHY_S)
            yield Watched(project, capture, canary)
    finally:
        project.attempt("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10")
        assert project.remaining() == {}


@pytest.fixture(scope="session")
def space(watched: Watched) -> Project:
    """The project, up and healthy."""
    return watched.project


@pytest.fixture(scope="session")
def trained(space: Project) -> str:
    """What the first training said; the capture saw it from its beginning to its end."""
    return space.compose("run", "--rm", "train")
