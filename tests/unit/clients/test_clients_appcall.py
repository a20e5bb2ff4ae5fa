"""Arrays between our packing and Flower's: the same bytes as Flower makes, with fewer copies."""

from __future__ import annotations

import mmap
import os
import pickle
from typing import Any

import numpy as np
import pytest
from flwr.app import Array

from clients.appcall import _array, _numbers
from clients.launcher import sealed_file
from policies.tensors import pack_tensors, unpack_tensors

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(3, dtype=np.int64),
    np.zeros((0, 2), dtype=np.float16),
    np.array([True, False]),
    np.zeros((1,) * 40, dtype=np.uint8),
]
OTHERS = [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(3, dtype=">i4")]


@pytest.mark.parametrize("tensor", ARRAYS)
def test_an_array_is_spelled_as_flower_spells_it(tensor: Any) -> None:
    ours, theirs = _array(tensor), Array(tensor)
    assert (ours.dtype, ours.shape, ours.stype) == (theirs.dtype, theirs.shape, theirs.stype)
    assert ours.data == theirs.data


@pytest.mark.parametrize("tensor", [*ARRAYS, *OTHERS])
def test_an_array_is_read_as_flower_reads_it(tensor: Any) -> None:
    array = Array(tensor)
    ours, theirs = _numbers(array), array.numpy()
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert (ours == theirs).all()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        Array(ARRAYS[0]).data[:-1],
        pickle.dumps([1]),
        Array(ARRAYS[0]).data.replace(b"<f4", b"|O8"),
    ],
)
def test_nothing_is_unpickled_and_no_cut_is_read(data: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        _numbers(Array("float32", (2, 3), "numpy.ndarray", data))


def test_a_model_is_read_from_a_mapped_file() -> None:
    packed = pack_tensors({"x": ARRAYS[0]})
    descriptor = sealed_file(packed)
    view = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    os.close(descriptor)
    found = unpack_tensors(view)["x"]
    assert found.tolist() == ARRAYS[0].tolist()
    assert not found.flags.writeable
