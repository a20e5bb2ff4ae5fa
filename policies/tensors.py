"""Models and updates on the wire: safetensors bytes, so that a digest covers names, shapes, values.

safetensors holds a JSON header and raw little-endian numbers: nothing in it can execute. One model
travels as one byte string, since Flower moves every array chunk as an object of its own. A model
may carry a note (`policies.provenance`); an update never does, or it could carry anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policies.errors import DocumentError

MAX_MODEL_BYTES = 1 << 30
DTYPES = frozenset({"float16", "float32", "float64", "int32", "int64", "uint8", "bool"})
MAX_NOTE_CHARS = 1 << 20
_METADATA = "__metadata__"  # the header's one key that is no array
_NOTE = "tdspace"  # the one entry of it: safetensors writes several in no fixed order

Tensor = npt.NDArray[np.generic]
Tensors = dict[str, Tensor]


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
    arrays = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    return bytes(save(arrays, metadata={_NOTE: note} if note else None))


def unpack_tensors(
    data: bytes, *, max_bytes: int = MAX_MODEL_BYTES, noted: bool = False
) -> Tensors:
    """Named arrays from their bytes.

    Args:
        noted: whether a note may stand beside them.

    Raises:
        DocumentError: too large, malformed, another type, or another spelling of the same arrays.
    """
    if len(data) > max_bytes:
        raise DocumentError("$", f"at most {max_bytes} bytes of model", f"{len(data)} bytes")
    try:
        tensors: Tensors = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DocumentError("$", "safetensors", str(error)[:200]) from error
    if pack_tensors(tensors, note=note_of(data) if noted else "") != data:
        expected = "arrays in canonical order " + ("with one note" if noted else "without metadata")
        raise DocumentError("$", expected, "another spelling")
    return tensors


def note_of(data: bytes) -> str:
    """The note in bytes that safetensors could read; "" where there is none of ours."""
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    if f'"{_METADATA}"'.encode() not in header:
        return ""
    note = json.loads(header).get(_METADATA, {}).get(_NOTE, "")
    return note if isinstance(note, str) and len(note) <= MAX_NOTE_CHARS else ""
