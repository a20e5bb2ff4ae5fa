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


def numbered(count: int, held_out: int) -> Rows:
    """Row i has the feature i and the label i."""
    labels = np.arange(count + held_out)
    features = labels.astype(np.float32)[:, None]
    parts = features[:count], labels[:count], features[count:], labels[count:]
    return Rows(*parts, ("x",), ("a", "b"))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(0, 3, []), (1, 3, [1]), (7, 3, [3, 3, 1]), (6, 3, [3, 3]), (300, 200, [200, 100])],
)
def test_batches_hold_each_row_once(
    monkeypatch: pytest.MonkeyPatch, shuffled: bool, count: int, size: int, sizes: list[int]
) -> None:
    monkeypatch.setattr("clients.sdk.WINDOW_BYTES", 4 * 128)
    rng = np.random.default_rng(1) if shuffled else None
    found = list(numbered(count, 5).batches(size, rng=rng))
    assert [len(labels) for _, labels in found] == sizes
    seen = [int(label) for _, labels in found for label in labels]
    assert sorted(seen) == list(range(count))
    assert (seen != list(range(count))) == (shuffled and count > 1)
    assert all((features[:, 0] == labels).all() for features, labels in found)


def test_batches_of_held_out_rows_in_order_are_no_copies() -> None:
    rows = numbered(3, 4)
    ((features, labels),) = rows.batches(9, held_out=True)
    assert labels.tolist() == [3, 4, 5, 6]
    assert np.shares_memory(features, rows.held_out_features)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        next(rows.batches(0))


def test_a_window_of_ordered_rows_is_a_fair_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.sdk.WINDOW_BYTES", 1 << 18)
    rows = numbered(1_000_000, 0)
    means = [labels.mean() for _, labels in rows.batches(50_000, rng=np.random.default_rng(3))]
    assert len(means) == 20
    assert max(abs(mean - 500_000) for mean in means) < 50_000


def test_the_sdk_needs_numpy_only() -> None:
    script = "import sys, clients.sdk; print({'pydantic', 'flwr', 'torch'} & set(sys.modules))"
    root = Path(clients.__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
