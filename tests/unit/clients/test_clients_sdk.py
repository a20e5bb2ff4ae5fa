"""The SDK: rows exist inside `provide` only, per thread."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import clients
from clients.sdk import Rows, SdkError, provide, training_rows


def rows(count: int) -> Rows:
    features = np.zeros((count, 1), dtype=np.float32)
    labels = np.zeros(count, dtype=np.int64)
    return Rows(features, labels, features[:0], labels[:0], ("x",), ("a", "b"))


def test_outside_a_sandbox_the_error_says_what_to_do() -> None:
    with pytest.raises(SdkError, match="tds node"):
        training_rows()


def test_rows_are_there_inside_the_block_only() -> None:
    with provide(rows(3)):
        with provide(rows(1)):
            assert len(training_rows().labels) == 1
        assert len(training_rows().labels) == 3
    with pytest.raises(SdkError):
        training_rows()


def test_threads_do_not_see_each_other() -> None:
    def seen(count: int) -> int:
        with provide(rows(count)):
            return len(training_rows().labels)

    with provide(rows(99)), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(seen, range(1, 20))) == list(range(1, 20))


def test_the_sdk_needs_numpy_only() -> None:
    script = "import sys, clients.sdk; print({'pydantic', 'flwr', 'torch'} & set(sys.modules))"
    root = Path(clients.__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
