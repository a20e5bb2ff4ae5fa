"""What an app keeps between a run's rounds (`context.state`), as bytes: arrays, figures, settings.

    8 bytes    length of the head, little endian
    head       JSON: [[record, kind, [[key, value], …]], …], kind one of arrays, metrics, configs
    the rest   the arrays and byte strings, as safetensors; nothing where there are none

A value of the head is `[type, spelling]`, or `[type, [spellings]]` for a list. Of an array and of a
byte string it is the name in the safetensors. Nothing in it can execute, and nothing unpickles.
Whoever reads believes no more than this form: all of it is the app's own doing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from policies.errors import DocumentError
from policies.tensors import Tensors, pack_tensors, unpack_tensors

MAX_STATE_BYTES: Final = 64 << 20
"""Of one app in one run: head, arrays and all."""

MAX_HEAD_BYTES: Final = 4 << 20
MAX_RECORDS: Final = 1000
MAX_NUMBER_CHARS: Final = 40
_LENGTH_BYTES: Final = 8

_KINDS: Final = MappingProxyType(
    {"arrays": ArrayRecord, "metrics": MetricRecord, "configs": ConfigRecord}
)
_TYPES: Final[Mapping[type, str]] = MappingProxyType(
    {bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes"}
)
_READERS: Final[Mapping[str, Callable[[str], Any]]] = MappingProxyType(
    {"bool": lambda text: text == "True", "int": int, "float": float, "str": str}
)


def pack_state(state: RecordDict) -> bytes:
    """The bytes of a state; none at all for an empty one.

    Raises:
        DocumentError: too large, too many records, or an array of a type that cannot be kept.
    """
    if len(state) > MAX_RECORDS:
        raise DocumentError("$", f"at most {MAX_RECORDS} records of state", f"{len(state)}")
    if not len(state):
        return b""
    tensors: Tensors = {}
    head = json.dumps([_packed_record(name, state[name], tensors) for name in state]).encode()
    if len(head) > MAX_HEAD_BYTES:
        raise DocumentError(
            "$", f"at most {MAX_HEAD_BYTES} bytes of figures and settings", f"{len(head)} bytes"
        )
    size = sum(tensor.nbytes for tensor in tensors.values())
    if size > MAX_STATE_BYTES:
        raise DocumentError("$", f"at most {MAX_STATE_BYTES} bytes of state", f"{size} bytes")
    body = pack_tensors(tensors) if tensors else b""
    data = len(head).to_bytes(_LENGTH_BYTES, "little") + head + body
    _check_size(data)
    return data


def unpack_state(data: bytes) -> RecordDict:
    """The state that `pack_state` gave these bytes for.

    Raises:
        DocumentError: larger than it gives, or of another form.
    """
    if not data:
        return RecordDict()
    _check_size(data)
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if length > MAX_HEAD_BYTES or start > len(data):
        raise DocumentError("$", f"a head of at most {MAX_HEAD_BYTES} bytes", "another length")
    tensors = unpack_tensors(data[start:], max_bytes=MAX_STATE_BYTES) if data[start:] else {}
    try:
        records = json.loads(data[_LENGTH_BYTES:start])
        state = RecordDict()
        for name, kind, items in records:
            if not isinstance(name, str) or name in state or len(state) >= MAX_RECORDS:
                raise DocumentError("$", f"at most {MAX_RECORDS} records, each name once", "others")
            state[name] = _unpacked_record(kind, items, tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DocumentError("$", "records of state", "another form") from error
    if tensors:
        raise DocumentError("$", "arrays that a record names", f"{len(tensors)} others")
    return state


def _check_size(data: bytes) -> None:
    if len(data) > MAX_STATE_BYTES:
        raise DocumentError("$", f"at most {MAX_STATE_BYTES} bytes of state", f"{len(data)} bytes")


def _packed_record(name: str, record: object, tensors: Tensors) -> list[object]:
    kind = next((kind for kind, known in _KINDS.items() if isinstance(record, known)), None)
    if kind is None or not isinstance(name, str):
        raise DocumentError("$", "records of arrays, metrics or configs", type(record).__name__)
    items: Any = record
    if kind == "arrays":
        return [name, kind, [[key, _put(items[key].numpy(), tensors)] for key in items]]
    return [name, kind, [[key, _packed(items[key], tensors)] for key in items]]


def _put(tensor: np.ndarray[Any, Any], tensors: Tensors) -> str:
    key = str(len(tensors))
    tensors[key] = tensor
    return key


def _packed(value: object, tensors: Tensors) -> list[object]:
    if isinstance(value, list):
        spelled = [_spelled(one, tensors) for one in value]
        return [spelled[0][0] if spelled else "str", [text for _, text in spelled]]
    return [*_spelled(value, tensors)]


def _spelled(value: object, tensors: Tensors) -> tuple[str, str]:
    kind = next((name for known, name in _TYPES.items() if isinstance(value, known)), None)
    if kind is None:
        raise DocumentError("$", f"values of type {', '.join(_TYPES.values())}", "another")
    if isinstance(value, bytes):
        return kind, _put(np.frombuffer(value, dtype=np.uint8), tensors)
    return kind, repr(float(value)) if isinstance(value, float) else str(value)


def _unpacked_record(
    kind: str, items: list[Any], tensors: Tensors
) -> ArrayRecord | MetricRecord | ConfigRecord:
    if len({key for key, _ in items}) != len(items):
        raise DocumentError("$", "each key of a record once", "one twice")
    if kind == "arrays":
        # Taken out, so that each is named once and none is left over.
        return ArrayRecord({key: Array(np.array(tensors.pop(name))) for key, name in items})
    if kind not in _KINDS:
        raise DocumentError("$", f"one of {', '.join(_KINDS)}", "another kind of record")
    values = {key: _unpacked(value, tensors) for key, value in items}
    return MetricRecord(values) if kind == "metrics" else ConfigRecord(values)


def _unpacked(value: list[Any], tensors: Tensors) -> Any:
    kind, spelled = value
    if isinstance(spelled, list):
        return [_read(kind, text, tensors) for text in spelled]
    return _read(kind, spelled, tensors)


def _read(kind: str, text: str, tensors: Tensors) -> Any:
    if kind == "bytes":
        return tensors.pop(text).astype(np.uint8, casting="no").tobytes()
    if not isinstance(text, str) or (kind != "str" and len(text) > MAX_NUMBER_CHARS):
        raise DocumentError("$", f"a value of at most {MAX_NUMBER_CHARS} characters", "another")
    return _READERS[kind](text)
