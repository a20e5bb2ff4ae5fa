"""A log that a real governance wrote, and Debian's Chromium."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "auditors"))

from chromium import CHROMIUM, FLAGS
from replay_log_site import read, space, tell, write

expect.set_options(timeout=20_000)  # milliseconds: other tests may run beside these


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("told")
    with space(root / "space") as site:
        tell(site)
        story = read(site)
    return write(root, story)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()
