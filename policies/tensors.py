"""Models and updates on the wire: safetensors bytes, so that a digest covers names, shapes, values.

safetensors holds a JSON header and raw little-endian numbers: nothing in it can execute. One model
travels as one byte string, since Flower moves every array chunk as an object of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policies.errors import DocumentError

MAX_MODEL_BYTES = 1 << 30
DTYPES = frozenset({"float16", "float32", "float64", "int32", "int64", "uint8", "bool"})
_METADATA = "__metadata__"  # the header's one key that is no array

Tensor = npt.NDArray[np.generic]
Tensors = dict[str, Tensor]


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The one spelling of named arrays: C order, sorted by type and then by name.

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
    return bytes(save({name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}))


def unpack_tensors(data: bytes, *, max_bytes: int = MAX_MODEL_BYTES) -> Tensors:
    """Named arrays from their bytes.

    Raises:
        DocumentError: too large, malformed, another type, or another spelling of the same arrays.
    """
    if len(data) > max_bytes:
        raise DocumentError("$", f"at most {max_bytes} bytes of model", f"{len(data)} bytes")
    try:
        tensors: Tensors = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DocumentError("$", "safetensors", str(error)[:200]) from error
    if pack_tensors(tensors) != data:
        raise DocumentError("$", "arrays in canonical order without metadata", "another spelling")
    return tensors
