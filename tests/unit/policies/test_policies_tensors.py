"""Arrays on the wire: exact round trips, one spelling, and nothing that could execute."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from policies.errors import DocumentError
from policies.tensors import DTYPES, Tensors, pack_tensors, unpack_tensors

TENSORS: Tensors = {
    "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer.bias": np.array([0.5, -0.5], dtype=np.float32),
}
PACKED = pack_tensors(TENSORS)
HEADER_BYTES = int.from_bytes(PACKED[:8], "little")
NUMBERS = PACKED[8 + HEADER_BYTES :]


def spelled(header: object, numbers: bytes = NUMBERS, *, pad: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"))
    data = text if isinstance(text, bytes) else text.encode()
    data += b" " * (-len(data) % 8) + pad
    return len(data).to_bytes(8, "little") + data + numbers


def header(change: Callable[[dict[str, Any]], object] = lambda fields: None) -> dict[str, Any]:
    """The header of `PACKED` with one change."""
    fields: dict[str, Any] = json.loads(PACKED[8 : 8 + HEADER_BYTES])
    change(fields)
    return fields


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def test_the_spelling_that_the_faults_start_from_is_accepted() -> None:
    assert spelled(header()) == PACKED
    assert same(unpack_tensors(PACKED), TENSORS)
    assert unpack_tensors(PACKED, max_bytes=len(PACKED)).keys() == TENSORS.keys()


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_type_reads_back(dtype: str) -> None:
    tensors: Tensors = {"x": np.array([[0, 1], [1, 0]], dtype=dtype)}
    assert same(unpack_tensors(pack_tensors(tensors)), tensors)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3, dtype=np.int64),
        np.zeros(0, dtype=np.float32),
        np.zeros((0, 3), dtype=np.float32),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6)[::-2],
        np.array([np.nan, np.inf, -0.0]),
    ],
)
def test_shape_and_values_survive(array: Any) -> None:
    assert same(unpack_tensors(pack_tensors({"x": array})), {"x": array})


def test_byte_order_does_not_change_the_spelling() -> None:
    little = np.arange(3, dtype="<f4")
    assert pack_tensors({"x": little.astype(">f4")}) == pack_tensors({"x": little})


def test_the_order_of_names_does_not_change_the_spelling() -> None:
    assert pack_tensors(dict(reversed(TENSORS.items()))) == PACKED


@pytest.mark.parametrize(
    ("tensors", "where"),
    [
        ({}, "$"),
        ({"x": np.zeros(1, dtype=np.complex64)}, "$.x"),
        ({"x": np.zeros(1, dtype=np.int16)}, "$.x"),
        ({"x": np.array([object()])}, "$.x"),
        ({"x": np.array(["text"])}, "$.x"),
        ({"x": np.zeros(1, dtype="datetime64[s]")}, "$.x"),
        ({"x": np.zeros(1, dtype=[("a", "f4")])}, "$.x"),
        ({"__metadata__": np.zeros(1)}, "$"),
        ({"\ud800": np.zeros(1)}, "$"),
    ],
)
def test_what_cannot_travel(tensors: Any, where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        pack_tensors(tensors)
    assert caught.value.where == where


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@given(
    arrays=st.dictionaries(NAMES, st.tuples(st.sampled_from(sorted(DTYPES)), SHAPES), min_size=1),
    note=NAMES,
)
def test_the_spelling_is_that_of_the_library(
    arrays: dict[str, tuple[str, tuple[int, ...]]], note: str
) -> None:
    arrays.pop("__metadata__", None)
    tensors: Tensors = {
        name: np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
        for name, (dtype, shape) in arrays.items()
    }
    if not tensors:
        return
    metadata = {"tdspace": note} if note else None
    packed = pack_tensors(tensors, note=note)
    assert packed == save({name: tensors[name] for name in sorted(tensors)}, metadata=metadata)
    assert same(unpack_tensors(packed, noted=True), tensors)


def test_what_is_read_are_views_that_cannot_be_written_to() -> None:
    read = unpack_tensors(PACKED)["layer.weight"]
    assert not read.flags.writeable
    assert np.shares_memory(read, np.frombuffer(PACKED, np.uint8))


def swap(fields: dict[str, Any]) -> None:
    """The arrays in another order, each still with its own numbers."""
    items = list(reversed(fields.items()))
    fields.clear()
    fields.update(items)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "safetensors"),
        (b"\x00" * 8, "safetensors"),
        (b"\xff" * 8 + b"{}", "safetensors"),
        (PACKED[:-1], "safetensors"),
        (PACKED + b"\x00", "safetensors"),
        (PACKED[:8], "safetensors"),
        (spelled(b"\xff" * 8), "safetensors"),
        (spelled([]), "safetensors"),
        (spelled({}, b""), "at least one array"),
        (spelled(header(lambda f: f["layer.bias"].update(dtype="F8_E4M3"))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(dtype="O"))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(dtype="U32"))), "one of"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[3]))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[-2]))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[2**63, 2]))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[True, 2]))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[2.0]))), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(shape=[1] * 99 + [2]))), "s"),
        (spelled(b"[" * 100_000), "safetensors"),
        (spelled(header(lambda f: f["layer.bias"].update(data_offsets=[4, 12]))), "safetensors"),
        (spelled(header(lambda f: f.pop("layer.bias"))), "safetensors"),
        (spelled(header(lambda f: f.update(__metadata__={"format": "pt"}))), "canonical order"),
        (spelled(header(swap)), "canonical order"),
        (spelled(header(), pad=b" " * 8), "canonical order"),
        (spelled(json.dumps(header()).encode()), "canonical order"),
        (save(TENSORS, metadata={"author": "x"}), "canonical order"),
        (pickle.dumps(TENSORS), "safetensors"),
        (b"PK\x03\x04" + bytes(64), "safetensors"),
        (b"\x93NUMPY\x01\x00" + bytes(64), "safetensors"),
    ],
)
def test_one_fault(data: bytes, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        unpack_tensors(data)
    assert expected in caught.value.expected


def test_too_large_is_refused_before_parsing() -> None:
    with pytest.raises(DocumentError, match="bytes of model"):
        unpack_tensors(PACKED, max_bytes=len(PACKED) - 1)


def test_any_cut_is_refused() -> None:
    for size in range(len(PACKED)):
        with pytest.raises(DocumentError):
            unpack_tensors(PACKED[:size])


def test_a_flipped_bit_in_the_header_never_passes_as_the_same_arrays() -> None:
    for place in range(8 + HEADER_BYTES):
        data = bytearray(PACKED)
        data[place] ^= 1
        try:
            read = unpack_tensors(bytes(data))
        except DocumentError:
            continue
        assert not same(read, TENSORS), f"byte {place}"
