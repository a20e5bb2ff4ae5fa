"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# pytest-xdist sets it for its workers; a console made while it is there keeps that width.
os.environ.pop("COLUMNS", None)


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
