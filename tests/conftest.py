"""What holds for all tests: where their folders lie, and which files go first."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GIB = 1 << 30
MEMORY = Path("/dev/shm")
FREE_THERE = 4 * GIB
"""A whole run leaves less than 2 GiB of files at a time."""
FREE_AT_ALL = 8 * GIB

SECONDS: dict[str, float] = json.loads(Path(__file__).with_name("seconds.json").read_bytes())
"""How long a file's tests take, where that is long; only their order depends on it."""

# How long an example takes is the machine's affair: a busy one fails no test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# pytest-xdist sets it for its workers; a console made while it is there keeps that width.
os.environ.pop("COLUMNS", None)


def pytest_configure(config: pytest.Config) -> None:
    """`tmp_path` lies in memory where there is enough of it: most tests write logs and databases,
    and a disk's fsync takes them longer than what they are about.

    No test cuts the power. What a killed process leaves is the same there, and that programs ask
    for durability (fsync, `synchronous`) is asserted where they do. A Docker engine that lends a
    container such a folder (tests/compose) may not see this machine's memory.
    """
    if any("compose" in Path(one).parts for one in config.args):
        return
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _holds_the_files(MEMORY):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def _holds_the_files(folder: Path) -> bool:
    """Whether it is in memory, lets programs lie there, and both have room."""
    try:
        if os.statvfs(folder).f_flag & os.ST_NOEXEC or not os.access(folder, os.W_OK | os.X_OK):
            return False
        found = dict(
            line.split(":", 1) for line in Path("/proc/meminfo").read_text("ascii").splitlines()
        )
        available = int(found["MemAvailable"].split()[0]) << 10
        return shutil.disk_usage(folder).free >= FREE_THERE and available >= FREE_AT_ALL
    except (OSError, KeyError):
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files go first, so that no worker is left with one at the end; pytest-xdist
    hands them out in this order under --no-loadscope-reorder."""

    def seconds(item: pytest.Item) -> float:
        return SECONDS.get(item.path.relative_to(config.rootpath).as_posix(), 0.0)

    items.sort(key=seconds, reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed is spelled in characters that pytest-xdist can send: a name of a file
    that is no UTF-8 stands in a Python text as a lone surrogate."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
