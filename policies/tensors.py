"""Models and updates on the wire: safetensors bytes, so that a digest covers names, shapes, values.

safetensors holds a JSON header and raw little-endian numbers: nothing in it can execute. One model
travels as one byte string, since Flower moves every array chunk as an object of its own. A model
may carry a note (`policies.provenance`); an update never does, or it could carry anything.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from policies.canonical import digest_of
from policies.errors import DocumentError

MAX_MODEL_BYTES = 1 << 30
_CODES = {
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "int32": "I32",
    "float16": "F16",
    "uint8": "U8",
    "bool": "BOOL",
}
_NAMES = {code: name for name, code in _CODES.items()}
_RANKS = {name: rank for rank, name in enumerate(_CODES)}  # safetensors' order of the numbers
DTYPES = frozenset(_CODES)
MAX_NOTE_CHARS = 1 << 20
_METADATA = "__metadata__"  # the header's one key that is no array
_NOTE = "tdspace"  # the one entry of it: safetensors writes several in no fixed order

Tensor = npt.NDArray[np.generic]
Tensors = dict[str, Tensor]
Buffer = bytes | mmap.mmap


def pack_tensors(tensors: Mapping[str, Tensor], *, note: str = "") -> bytes:
    """The one spelling of named arrays: C order, sorted by type and then by name.

    Args:
        note: text that stands beside them; "" is none.

    Raises:
        DocumentError: no array, a type outside `DTYPES`, or a name that the format cannot hold.
    """
    if not tensors:
        raise DocumentError("$", "at least one array", "none")
    for name, array in tensors.items():
        if array.dtype.name not in DTYPES:
            raise DocumentError(f"$.{name}", f"one of {sorted(DTYPES)}", array.dtype.name)
        if name == _METADATA or any("\ud800" <= char <= "\udfff" for char in name):
            raise DocumentError("$", f"Unicode names other than {_METADATA}", ascii(name)[:80])
    # Not ascontiguousarray, which gives an array without dimensions one.
    little = {
        name: np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        for name, array in tensors.items()
    }
    order = sorted(little, key=lambda name: (_RANKS[little[name].dtype.name], name))
    head = _header([(name, little[name].dtype.name, little[name].shape) for name in order], note)
    # One copy, which counts for models of many megabytes.
    return b"".join([head, *(little[name].reshape(-1).view(np.uint8).data for name in order)])


def unpack_tensors(
    data: Buffer, *, max_bytes: int = MAX_MODEL_BYTES, noted: bool = False
) -> Tensors:
    """Named arrays from their bytes: views of them that cannot be written to.

    Args:
        noted: whether a note may stand beside them.

    Raises:
        DocumentError: too large, malformed, another type, or another spelling of the same arrays.
    """
    if len(data) > max_bytes:
        raise DocumentError("$", f"at most {max_bytes} bytes of model", f"{len(data)} bytes")
    tensors = _canonical(data, noted)
    if tensors is not None:
        return tensors
    # What it is instead; accepted it is not.
    try:
        pack_tensors(load(bytes(data)))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DocumentError("$", "safetensors", str(error)[:200]) from error
    expected = "arrays in canonical order " + ("with one note" if noted else "without metadata")
    raise DocumentError("$", expected, "another spelling")


def architecture_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of what a model's arrays are, whatever their numbers: names, types and shapes."""
    return digest_of(
        [[name, tensors[name].dtype.name, list(tensors[name].shape)] for name in sorted(tensors)]
    )


def float_count(tensors: Mapping[str, Tensor]) -> int:
    """How many numbers the float arrays have together."""
    return sum(array.size for array in tensors.values() if array.dtype.kind == "f")


def _canonical(data: Buffer, noted: bool) -> Tensors | None:
    """The arrays of the one spelling; None for any other bytes.

    What the header says is written anew and compared: nothing of it is believed but names, types
    and shapes, and the numbers have one place only.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        fields = json.loads(data[8:start])
        note = note_of(data) if noted else ""
        fields.pop(_METADATA, None)
        arrays = [
            (name, _NAMES[entry["dtype"]], tuple(entry["shape"])) for name, entry in fields.items()
        ]
        if not all(type(size) is int and size >= 0 for _, _, shape in arrays for size in shape):
            return None
        arrays.sort(key=lambda one: (_RANKS[one[1]], one[0]))
        if not arrays or _header(arrays, note) != data[:start]:
            return None
        tensors: Tensors = {}
        for name, dtype, shape in arrays:
            count = math.prod(shape)
            array = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), count, start)
            tensors[name] = array.reshape(shape)
            start += array.nbytes
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return tensors if start == len(data) else None


def _header(arrays: Sequence[tuple[str, str, tuple[int, ...]]], note: str) -> bytes:
    """The bytes before the numbers, as safetensors spells them.

    Args:
        arrays: name, type and shape, in the order of the numbers.
    """
    fields: dict[str, object] = {_METADATA: {_NOTE: note}} if note else {}
    at = 0
    for name, dtype, shape in arrays:
        end = at + math.prod(shape) * np.dtype(dtype).itemsize
        fields[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def note_of(data: Buffer) -> str:
    """The note in bytes that safetensors could read; "" where there is none of ours."""
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    if f'"{_METADATA}"'.encode() not in header:
        return ""
    note = json.loads(header).get(_METADATA, {}).get(_NOTE, "")
    return note if isinstance(note, str) and len(note) <= MAX_NOTE_CHARS else ""
