"""Calling a Flower app's ClientApp on rows: the same for a sandbox child and for a simulation.

Arrays cross the border as safetensors and figures as decimal strings; nothing here unpickles.
"""

from __future__ import annotations

import builtins
import importlib
import json
import math
import mmap
import struct
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict

from clients.appstate import pack_state, unpack_state
from clients.sdk import Rows, SdkError, provide
from policies.errors import DocumentError
from policies.permit import Kind
from policies.runconfig import ConfigValue
from policies.tensors import Buffer, Tensor, pack_tensors, unpack_tensors

NUMPY: Final = "numpy.ndarray"
"""How Flower names arrays in numpy's file format."""

APP_NODE_ID: Final = 1
"""What an app sees as its node's and run's id: the real ones are none of its business."""


_MAP_NORESERVE: Final = 0x4000  # linux/mman.h; Python names it from 3.13 on


class AppResultError(Exception):
    """The app returned something else than a Flower reply should hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an app.

    Attributes:
        model: incoming model, safetensors bytes; or a file of them, mapped.
        run_config: the fused run config.
        round: the round's number; the app finds it as `config["server-round"]`.
        state: what the app kept after the last round of this run (clients.appstate), empty at
            first; None where it may keep nothing: then it finds nothing, and what it puts there
            is gone.
    """

    app_dir: Path
    kind: Kind
    model: Buffer
    run_config: Mapping[str, ConfigValue]
    round: int
    state: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the app returned.

    Attributes:
        update: safetensors bytes, empty for an evaluation.
        metrics: single numbers as decimal strings; lists of numbers are left out.
        state: what it keeps for the next round; it stays in the node.
    """

    update: bytes
    metrics: dict[str, str]
    state: bytes = b""


def client_app_ref(pyproject: bytes) -> tuple[str, str]:
    """Module and attribute path of the ClientApp that an app's pyproject.toml names.

    Raises:
        AppResultError: none, or no object reference.
    """
    try:
        app = tomllib.loads(pyproject.decode("utf-8"))["tool"]["flwr"]["app"]
        module, _, attribute = app["components"]["clientapp"].partition(":")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as e:
        raise AppResultError("pyproject.toml: expected [tool.flwr.app.components] clientapp") from e
    if not module or not attribute:
        raise AppResultError("pyproject.toml: expected clientapp = 'module:attribute'")
    return module, attribute


def call_app(call: Call, rows: Rows) -> Reply:
    """Import the app (its folder must be on `sys.path`), call it, and take its reply apart.

    For an evaluation the app sees no training rows.

    Raises:
        Exception: whatever the app raises.
        AppResultError: the reply is no Flower reply of the expected shape.
    """
    module, attribute = client_app_ref((call.app_dir / "pyproject.toml").read_bytes())
    app: Any = importlib.import_module(module)
    for name in attribute.split("."):
        app = getattr(app, name)
    return answer(app, call, rows)


def answer(app: Any, call: Call, rows: Rows) -> Reply:
    """Call a ClientApp as `call_app` does, and take its reply apart; the same errors."""
    seen = rows if call.kind == "train" else without_training_rows(rows)
    with provide(seen):
        context = _context(call)
        reply = app(_message(call), context)
    if not isinstance(reply, Message) or not reply.has_content():
        raise AppResultError(f"expected a Message with content, got {type(reply).__name__}")
    update = _update(reply.content) if call.kind == "train" else b""
    kept = b"" if call.state is None else _state(context)
    return Reply(update=update, metrics=_metrics(reply.content), state=kept)


def without_training_rows(rows: Rows) -> Rows:
    """The held-out rows alone."""
    return Rows(
        features=rows.features[:0],
        labels=rows.labels[:0],
        held_out_features=rows.held_out_features,
        held_out_labels=rows.held_out_labels,
        feature_names=rows.feature_names,
        classes=rows.classes,
    )


def _message(call: Call) -> Message:
    tensors = unpack_tensors(call.model, noted=True)
    # Flower names plain lists of arrays "0", "1" and so on: their order is the number's.
    numbered = all(name.isdecimal() for name in tensors)
    names = sorted(tensors, key=int) if numbered else sorted(tensors)
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: _array(tensors[name]) for name in names}),
            "config": ConfigRecord({"server-round": call.round}),
        }
    )
    metadata = Metadata(
        run_id=APP_NODE_ID,
        message_id="",
        src_node_id=APP_NODE_ID,
        dst_node_id=APP_NODE_ID,
        reply_to_message_id="",
        group_id=str(call.round),
        created_at=time.time(),
        ttl=86_400.0,
        message_type=call.kind,
    )
    # Flower's stubs leave `metadata` out: without it Message reads a task's global identity.
    message: Message = Message(content=content, metadata=metadata)  # type: ignore[call-overload]
    return message


def _array(tensor: Tensor) -> Array:
    """As `Array(tensor)`, but copied once: numpy's header, and the numbers."""
    head = BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(tensor))
    data = b"".join([head.getvalue(), tensor.reshape(-1).view(np.uint8).data])
    return Array(str(tensor.dtype), tensor.shape, NUMPY, data)


def _context(call: Call) -> Context:
    return Context(
        run_id=APP_NODE_ID,
        node_id=APP_NODE_ID,
        node_config={},
        state=unpack_state(call.state or b""),
        run_config=dict(call.run_config),
    )


def _state(context: Context) -> bytes:
    if not isinstance(context.state, RecordDict):
        raise AppResultError("context.state: expected a RecordDict, got something else")
    try:
        return pack_state(context.state)
    except DocumentError as error:
        raise AppResultError(f"context.state: {error}") from error


def _update(content: RecordDict) -> bytes:
    records = list(content.array_records.values())
    if len(records) != 1:
        raise AppResultError(f"expected one ArrayRecord in the reply, got {len(records)}")
    return pack_tensors({name: _numbers(array) for name, array in records[0].items()})


def _numbers(array: Array) -> Tensor:
    """As `array.numpy()`; of the common spelling a view instead of a copy."""
    file = BytesIO(array.data)
    if array.stype == NUMPY and np.lib.format.read_magic(file) == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if not fortran and not dtype.hasobject:
            count = math.prod(shape)
            return np.frombuffer(array.data, dtype, count, file.tell()).reshape(shape)
    return array.numpy()


def _metrics(content: RecordDict) -> dict[str, str]:
    records = list(content.metric_records.values())
    if len(records) > 1:
        raise AppResultError(f"expected one MetricRecord in the reply, got {len(records)}")
    figures = records[0].items() if records else ()
    return {
        name: repr(float(value)) if isinstance(value, float) else str(int(value))
        for name, value in figures
        if isinstance(value, int | float)
    }


def parse_metric(text: str) -> float | int:
    """The number of a decimal string as `Reply.metrics` holds it.

    Raises:
        ValueError: no number.
    """
    if text.removeprefix("-").isdecimal():
        return int(text)
    return float(text) if len(text) <= 40 else math.nan


def map_rows(descriptor: int) -> Rows:
    """Rows from a file that `clients.rowfile` wrote, without a copy; writing to them stays private.

    The bytes come from the node, over a file that only it could write: they are trusted.
    """
    # A page is copied once the app writes to it; no memory is set aside for that beforehand.
    flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
    view = mmap.mmap(descriptor, 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    (length,) = struct.unpack_from("<Q", view)
    header = json.loads(view[8 : 8 + length])

    def array(name: str, dtype: type[np.generic]) -> np.ndarray[Any, Any]:
        entry = header[name]
        start = 8 + length + entry["data_offsets"][0]
        return np.ndarray(tuple(entry["shape"]), dtype=dtype, buffer=view, offset=start)

    feature_names, classes = json.loads(array("names", np.uint8).tobytes())
    return Rows(
        features=array("features", np.float32),
        labels=array("labels", np.int64),
        held_out_features=array("held_out_features", np.float32),
        held_out_labels=array("held_out_labels", np.int64),
        feature_names=tuple(feature_names),
        classes=tuple(classes),
    )


def failure_place(error: BaseException, app_dir: Path) -> tuple[str, int]:
    """File (relative to the app) and line of the innermost frame that is the app's, else "", 0."""
    place = ("", 0)
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(app_dir):
            place = (str(file.relative_to(app_dir)), trace.tb_lineno)
        trace = trace.tb_next
    return place


def public_type(error: BaseException) -> str:
    """The nearest of Python's own exception types: a name that an app cannot fill with data."""
    ours = AppResultError, SdkError
    return next(
        kind.__name__
        for kind in type(error).__mro__
        if kind in ours or getattr(builtins, kind.__name__, None) is kind
    )
