"""What an app keeps between rounds, as bytes: all of it back, and no other form."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from clients import appstate
from clients.appstate import MAX_STATE_BYTES, pack_state, unpack_state
from policies.errors import DocumentError
from policies.tensors import pack_tensors


def full() -> RecordDict:
    """A record of each kind and a value of each type; names that sort otherwise than they came."""
    return RecordDict(
        {
            "optimizer": ArrayRecord(
                {
                    "z": Array(np.array([[1.5, -2.0]], dtype=np.float32)),
                    "a": Array(np.array(7, dtype=np.int64)),
                    "empty": Array(np.zeros((0, 3), dtype=np.float64)),
                }
            ),
            "figures": MetricRecord({"loss": 1 / 3, "steps": 2**60, "curve": [1.0, math.inf]}),
            "settings": ConfigRecord(
                {
                    "name": "ü\n",
                    "flag": False,
                    "rate": 1e-300,
                    "count": -3,
                    "raw": b"\x00\xff",
                    "nothing": b"",
                    "words": ["a", ""],
                    "flags": [True, False],
                    "raws": [b"1", b"2"],
                    "none": [],
                }
            ),
        }
    )


def plain(state: RecordDict) -> list[Any]:
    """Names, order, types and values."""
    return [
        (
            name,
            type(record).__name__,
            [
                (key, (value.dtype, value.shape, value.numpy().tolist()))
                if isinstance(value, Array)
                else (key, type(value).__name__, value)
                for key, value in record.items()
            ],
        )
        for name, record in state.items()
    ]


def test_a_state_comes_back_as_it_was_in_names_order_types_and_values() -> None:
    assert plain(unpack_state(pack_state(full()))) == plain(full())


def test_an_empty_state_is_no_bytes() -> None:
    assert pack_state(RecordDict()) == b""
    assert plain(unpack_state(b"")) == []


def packed(head: object, body: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + body


ONE = pack_tensors({"0": np.zeros(1, dtype=np.float32)})


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        packed(b"{}") + b"\x00",
        packed(b"["),
        packed(b"[" * 10_000),
        packed({"r": 1}),
        packed([["r", "metrics"]]),
        packed([["r", "pickles", []]]),
        packed([[1, "metrics", []]]),
        packed([["r", "metrics", []], ["r", "metrics", []]]),
        packed([["r", "metrics", [["k", ["int", "1"]], ["k", ["int", "2"]]]]]),
        packed([["r", "metrics", [["k", ["str", "x"]]]]]),
        packed([["r", "metrics", [["k", ["int", "9" * 5000]]]]]),
        packed([["r", "configs", [["k", ["int", 1]]]]]),
        packed([["r", "configs", [["k", ["object", "x"]]]]]),
        packed([["r", "configs", [["k", ["bytes", "0"]]]]], ONE),
        packed([["r", "arrays", [["k", "1"]]]], ONE),
        packed([["r", "arrays", [["k", "0"], ["l", "0"]]]], ONE),
        packed([], ONE),
        packed([["r", "arrays", [["k", "0"]]]], ONE + b"\x00"),
        packed([["r", "arrays", [["k", "0"]]]], b"\x80\x04pickle"),
        (MAX_STATE_BYTES * 2).to_bytes(8, "little") + b"[]",
    ],
)
def test_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        unpack_state(data)


@pytest.mark.parametrize(
    "state",
    [
        RecordDict({"r": ArrayRecord({"k": Array(np.zeros((MAX_STATE_BYTES >> 3) + 1))})}),
        RecordDict({"r": ArrayRecord({"k": Array(np.zeros(MAX_STATE_BYTES >> 3))})}),
        RecordDict({"r": ConfigRecord({"k": "x" * (appstate.MAX_HEAD_BYTES + 1)})}),
        RecordDict({"r": ArrayRecord({"k": Array(np.zeros(2, dtype=np.complex128))})}),
        RecordDict({str(n): MetricRecord() for n in range(appstate.MAX_RECORDS + 1)}),
    ],
    ids=["arrays", "with-head", "settings", "type", "records"],
)
def test_what_is_too_large_or_cannot_be_kept_is_refused(state: RecordDict) -> None:
    with pytest.raises(DocumentError):
        pack_state(state)


def test_more_bytes_than_may_be_kept_are_not_even_read() -> None:
    with pytest.raises(DocumentError, match="at most"):
        unpack_state(bytes(MAX_STATE_BYTES + 1))
