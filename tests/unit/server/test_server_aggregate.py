"""Federated averaging and the checks before it."""

from __future__ import annotations

import numpy as np
import pytest

from policies.receipt import Confinement, Receipt
from policies.tensors import Tensors
from server.aggregate import UpdateMalformed, average, average_metrics, check_shapes

MODEL: Tensors = {
    "weight": np.zeros((2, 3), np.float32),
    "steps": np.array(0, np.int64),
}


def test_average_is_weighted_by_rows() -> None:
    one: Tensors = {"weight": np.full((2, 3), 1.0, np.float32), "steps": np.array(1, np.int64)}
    four: Tensors = {"weight": np.full((2, 3), 4.0, np.float32), "steps": np.array(4, np.int64)}
    mean = average([(one, 200), (four, 100)], MODEL)
    np.testing.assert_allclose(mean["weight"], 2.0)
    assert mean["weight"].dtype == np.float32
    assert mean["steps"] == 2
    assert mean["steps"].dtype == np.int64


def test_average_of_one_is_itself() -> None:
    rng = np.random.default_rng(1)
    update: Tensors = {"weight": rng.normal(size=(2, 3)).astype(np.float32)}
    mean = average([(update, 7)], {"weight": MODEL["weight"]})
    np.testing.assert_array_equal(mean["weight"], update["weight"])


@pytest.mark.parametrize(
    ("update", "names"),
    [
        ({"weight": MODEL["weight"]}, "differing names: ['steps']"),
        ({**MODEL, "extra": MODEL["weight"]}, "differing names: ['extra']"),
        ({**MODEL, "weight": np.zeros((3, 2), np.float32)}, r"float32[2, 3], got float32[3, 2]"),
        ({**MODEL, "weight": np.zeros((2, 3), np.float64)}, "got float64[2, 3]"),
        ({**MODEL, "weight": np.full((2, 3), np.nan, np.float32)}, "NaN or infinity"),
        ({**MODEL, "weight": np.full((2, 3), np.inf, np.float32)}, "NaN or infinity"),
    ],
)
def test_malformed_updates_are_named(update: Tensors, names: str) -> None:
    with pytest.raises(UpdateMalformed) as caught:
        check_shapes(update, MODEL)
    assert names in str(caught.value)


def test_a_well_formed_update_passes() -> None:
    check_shapes({name: array.copy() for name, array in MODEL.items()}, MODEL)
    assert set(MODEL) == {"weight", "steps"}


def _receipt(*, used: int, held: int, metrics: dict[str, str]) -> Receipt:
    zero = "0" * 64
    return Receipt(
        version=1,
        permit=zero,
        permit_id="permit-" + "0" * 32,
        run="run-1",
        round=1,
        participant="clinic",
        product="clinic/p",
        product_commitment=zero,
        rows_commitment=zero,
        rows_used=used,
        rows_held_back=held,
        rows_without_consent=0,
        accelerator="none",
        update=zero,
        metrics=metrics,
        clip_norm="",
        mask_key="",
        noise="",
        confinement=Confinement.measured(
            network="none",
            user="nobody",
            files="own",
            no_new_privileges=True,
            memory_limit=True,
            scratch="bounded",
        ),
        started="2026-01-01T00:00:00.000Z",
        finished="2026-01-01T00:00:01.000Z",
        log_size=0,
        log_root=zero,
    )


def test_metrics_weigh_evaluation_by_held_back_rows() -> None:
    receipts = [
        _receipt(used=10, held=90, metrics={"train_loss": "1.0", "eval_accuracy": "1.0"}),
        _receipt(used=30, held=10, metrics={"train_loss": "2.0", "eval_accuracy": "0.0"}),
    ]
    assert average_metrics(receipts) == {"eval_accuracy": "0.9", "train_loss": "1.75"}


def test_metrics_without_rows_are_left_out() -> None:
    assert average_metrics([_receipt(used=0, held=5, metrics={"train_loss": "1.0"})]) == {}
