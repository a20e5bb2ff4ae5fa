"""Reads a query's result batch by batch, over the Arrow C stream interface.

The engine hands its batches over as they are made; so memory is bounded by a batch, and no Arrow
library is needed. The structures and who frees what: the Arrow C data and C stream interfaces,
https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_BATCH_ROWS: Final = 131_072
"""What DuckDB puts into a batch at most; a longer one is refused."""

_TYPES: Final[dict[bytes, type[np.generic]]] = {
    b"f": np.float32,
    b"g": np.float64,
    b"i": np.int32,
    b"l": np.int64,
}
_BOOLEAN: Final = b"b"
_TEXT: Final = b"u"

Cells = npt.NDArray[Any]


class StreamError(Exception):
    """The query failed while it was read. The text may quote a cell: it must not travel."""


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
_Pointer: Final = ctypes.POINTER(_Stream)
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, _Pointer)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


def read_stream(source: Any) -> Iterator[list[Cells]]:
    """The columns of each batch, in the query's order; masked where there is no value.

    Numbers are views of the engine's memory: they are gone once the next batch is asked for. Texts
    are an array of `str`.

    Args:
        source: what has `__arrow_c_stream__`; it runs now.

    Raises:
        StreamError: the query failed; or a type or a batch is none that this reads.
    """
    capsule = source.__arrow_c_stream__()  # owns the stream, and frees it
    stream = ctypes.cast(_address(capsule), _Pointer)
    formats = _formats(stream)
    while True:
        array = _Array()
        _check(stream, stream.contents.get_next(stream, ctypes.byref(array)))
        if not array.release:
            return
        with _released(array):
            if array.length > MAX_BATCH_ROWS or array.offset or array.n_children != len(formats):
                raise StreamError(f"a batch of at most {MAX_BATCH_ROWS} rows was expected")
            children = [array.children[place].contents for place in range(len(formats))]
            yield [_cells(one, kind) for one, kind in zip(children, formats, strict=True)]


def _formats(stream: Any) -> list[bytes]:
    schema = _Schema()
    _check(stream, stream.contents.get_schema(stream, ctypes.byref(schema)))
    with _released(schema):
        found = [schema.children[place].contents.format for place in range(schema.n_children)]
    for kind in found:
        if kind not in (*_TYPES, _BOOLEAN, _TEXT):
            raise StreamError(f"a column of the Arrow type {kind!r} was not expected")
    return found


def _address(capsule: object) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(get(capsule, b"arrow_array_stream"))


def _check(stream: Any, code: int) -> None:
    if code != 0:
        text = stream.contents.get_last_error(stream) or b""
        raise StreamError(text.decode("utf-8", "replace"))


@contextmanager
def _released(structure: _Schema | _Array) -> Iterator[None]:
    """What the engine handed over is given back, exactly once."""
    try:
        yield
    finally:
        release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(structure.release)
        release(ctypes.addressof(structure))


def _cells(array: _Array, kind: bytes) -> Cells:
    first, count = array.offset, array.length
    if kind == _TEXT:
        values: Cells = _texts(array, first, count)
    elif kind == _BOOLEAN:
        values = _bits(array.buffers[1], first, count)
    else:
        values = _view(array.buffers[1], _TYPES[kind], first + count)[first:]
    if array.null_count == 0 or not array.buffers[0]:
        return values
    return np.ma.array(values, mask=~_bits(array.buffers[0], first, count))


def _texts(array: _Array, first: int, count: int) -> Cells:
    ends = _view(array.buffers[1], np.int32, first + count + 1)[first:]
    data = _view(array.buffers[2], np.uint8, int(ends[-1])).tobytes()
    found = np.empty(count, dtype=object)
    width = int(ends[1]) if count else 0
    if (ends == np.arange(count + 1) * width).all() and data == data[:width] * count:
        found[:] = data[:width].decode("utf-8")  # one text all through
    elif data.isascii():
        whole = data.decode("ascii")
        found[:] = [whole[start:end] for start, end in pairwise(ends.tolist())]
    else:
        found[:] = [data[start:end].decode("utf-8") for start, end in pairwise(ends.tolist())]
    return found


def _bits(address: int | None, first: int, count: int) -> npt.NDArray[np.bool_]:
    """One bit a value, the lowest of each byte first."""
    packed = _view(address, np.uint8, -(-(first + count) // 8))
    bits = np.unpackbits(packed, count=first + count, bitorder="little")
    return bits[first:].astype(np.bool_)


def _view(address: int | None, dtype: type[np.generic], count: int) -> Cells:
    if not address or not count:
        return np.zeros(count, dtype=dtype)
    size = count * np.dtype(dtype).itemsize
    memory = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
    view: Cells = np.frombuffer(memory, dtype=dtype)
    view.setflags(write=False)
    return view
