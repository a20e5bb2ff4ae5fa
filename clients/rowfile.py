"""Rows in files without a name: as many as the disk holds, in memory that does not grow with them.

A `RowTable` has a product's rows in the data's order and is read chunk by chunk; a `RowFile` has
the rows of one use, as the sandbox's child maps them (`clients.appcall.map_rows`). Only this
process and whom it hands the descriptor to can open either. Up to `MEMORY_BYTES` a file lies in
memory (memfd); a larger one lies in a folder of the owner's, mode 0600, unlinked before anything is
written, so that a crash leaves nothing behind; the kernel may drop its pages from memory.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from clients.errors import VaultError
from clients.launcher import seal
from clients.sdk import Rows

MEMORY_BYTES: Final = 32 << 20
"""What a file may have and still lie in memory."""

CHUNK_BYTES: Final = 8 << 20
"""About how many bytes of features are in this process's memory at once."""

_PATCH_BYTES: Final = 256 << 10
_ALIGNED: Final = 64
_ORDER: Final = ("labels", "held_out_labels", "features", "held_out_features")

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Chunk = tuple[slice, Floats, Labels]


class Spool:
    """A file that only grows; the descriptor is closed with the object.

    Args:
        folder: where it lies once it is too large for memory; None is the system's for such files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._in_memory = True
        self.descriptor = os.memfd_create("tds", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = 0
        self._close = weakref.finalize(self, os.close, self.descriptor)

    def append(self, data: npt.NDArray[Any]) -> None:
        """Write an array's bytes, in C order, at the end."""
        view = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
        self.reserve(self.size + len(view))
        _write(self.descriptor, view, self.size)
        self.size += len(view)

    def reserve(self, size: int) -> None:
        """Where the file is going to have this many bytes, it lies where such a file may lie."""
        if not self._in_memory or size <= MEMORY_BYTES:
            return
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            fresh = os.dup(file.fileno())
        done = 0
        while done < self.size:
            done += os.sendfile(fresh, self.descriptor, done, self.size - done)
        self._close()
        self.descriptor, self._in_memory = fresh, False
        self._close = weakref.finalize(self, os.close, fresh)

    def read_only(self) -> int:
        """A descriptor of its own through which nobody can write; the caller closes it."""
        if self._in_memory:
            seal(self.descriptor)
        return os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)


class RowTable:
    """All rows of a product, in the data's order.

    Attributes:
        count: how many.
        shape: of the features of each.
        width: how many features that are.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.width = math.prod(shape)
        self.count = 0
        self._features = Spool(folder)
        self._labels = Spool(folder)

    def append(self, features: Floats, labels: npt.NDArray[Any]) -> None:
        """Add rows: features [n, *shape], labels [n]."""
        self._features.append(features)
        self._labels.append(labels.astype(np.int64, copy=False))
        self.count += len(labels)

    def append_columns(self, columns: Sequence[npt.NDArray[Any]], labels: Labels) -> None:
        """Add rows of a table: of each feature its values [n], and labels [n]."""
        matrix = np.empty((len(labels), self.width), dtype=np.float32)
        step = max(1, _PATCH_BYTES // (4 * self.width))  # what is written to stays in the cache
        for start in range(0, len(labels), step):
            part = slice(start, start + step)
            for place, values in enumerate(columns):
                matrix[part, place] = values[part]
        self.append(matrix, labels)

    def chunks(self) -> Iterator[Chunk]:
        """The rows, some at a time: which, features [n, width] and labels.

        They are gone once the next is asked for.
        """
        step = max(1, CHUNK_BYTES // (4 * self.width))
        matrix = np.empty((min(step, self.count), self.width), dtype=np.float32)
        labels = np.empty(len(matrix), dtype=np.int64)
        for start in range(0, self.count, step):
            stop = min(self.count, start + step)
            features, numbers = matrix[: stop - start], labels[: stop - start]
            _read(self._features.descriptor, features, start * self.width * 4)
            _read(self._labels.descriptor, numbers, start * 8)
            yield slice(start, stop), features, numbers


class RowFile:
    """A file of one use's rows that nobody can change; closed with the object.

    Attributes:
        descriptor: read-only.
        size_bytes: of all of it.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self.descriptor = descriptor
        self.size_bytes = size_bytes
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """With these rows."""
        arrays = {name: getattr(rows, name) for name in _ORDER}
        shapes = {name: array.shape for name, array in arrays.items()}
        head, places = _layout(shapes, rows.feature_names, rows.classes)
        spool = Spool(None)
        spool.reserve(places["end"])
        spool.append(np.frombuffer(head, dtype=np.uint8))
        for name, array in arrays.items():
            _put(spool.descriptor, np.asarray(array, order="C"), places[name])
        return cls(spool.read_only(), places["end"])


@dataclass(frozen=True, slots=True, eq=False)
class MappedRows(Rows):
    """Rows whose arrays are views of their file and cannot be written to."""

    file: RowFile = field(kw_only=True, repr=False)


def split(
    table: RowTable,
    *,
    chosen: Mask,
    held_back: Mask,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    folder: Path | None,
) -> MappedRows:
    """A file of the chosen rows of a table, and these rows.

    Args:
        chosen, held_back: bool [n]; of the chosen rows, those held back are for evaluation.
    """
    held = int(np.count_nonzero(chosen & held_back))
    training = int(np.count_nonzero(chosen)) - held
    shapes = {
        "labels": (training,),
        "held_out_labels": (held,),
        "features": (training, *table.shape),
        "held_out_features": (held, *table.shape),
    }
    head, places = _layout(shapes, names, classes)
    spool = Spool(folder)
    spool.reserve(places["end"])
    spool.append(np.frombuffer(head, dtype=np.uint8))
    at = dict(places)
    for part, features, labels in table.chunks():
        for mask, prefix in (
            (chosen[part] & ~held_back[part], ""),
            (chosen[part] & held_back[part], "held_out_"),
        ):
            for name, array in (("labels", labels), ("features", features)):
                at[prefix + name] += _put(spool.descriptor, array[mask], at[prefix + name])
    file = RowFile(spool.read_only(), places["end"])
    view = mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ)

    def mapped(name: str, dtype: type[np.generic]) -> Any:
        return np.ndarray(shapes[name], dtype=dtype, buffer=view, offset=places[name])

    return MappedRows(
        features=mapped("features", np.float32),
        labels=mapped("labels", np.int64),
        held_out_features=mapped("held_out_features", np.float32),
        held_out_labels=mapped("held_out_labels", np.int64),
        feature_names=names,
        classes=classes,
        file=file,
    )


def _layout(
    shapes: dict[str, tuple[int, ...]], names: Sequence[str], classes: Sequence[str]
) -> tuple[bytes, dict[str, int]]:
    """What stands before the arrays, and where each begins; "end" is where the file does.

    It is in the manner of safetensors: eight bytes of length, a JSON header, the arrays.
    """
    words = json.dumps([list(names), list(classes)]).encode()
    words += b" " * (-len(words) % _ALIGNED)
    header: dict[str, object] = {"names": _entry("U8", (len(words),), 0, len(words))}
    places, at = {}, len(words)
    for name in _ORDER:
        kind, width = ("F32", 4) if name.endswith("features") else ("I64", 8)
        places[name] = at
        end = at + width * math.prod(shapes[name])
        header[name] = _entry(kind, shapes[name], at, end)
        at = end
    places["end"] = at
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNED)
    head = len(text).to_bytes(8, "little") + text + words
    start = 8 + len(text)
    return head, {name: start + place for name, place in places.items()}


def _entry(kind: str, shape: tuple[int, ...], start: int, end: int) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def _put(descriptor: int, array: npt.NDArray[Any], offset: int) -> int:
    """Write an array in C order; returns how many bytes that were."""
    view = array.reshape(-1).view(np.uint8).data
    _write(descriptor, view, offset)
    return len(view)


def _write(descriptor: int, view: memoryview, offset: int) -> None:
    done = 0
    try:
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], offset + done)
    except OSError as error:
        raise VaultError(
            f"rows: expected room for a file of them, got: {error.strerror}; make room in the "
            "node's folder"
        ) from error


def _read(descriptor: int, array: npt.NDArray[Any], offset: int) -> None:
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise EOFError("a file of rows ended early")
        done += count
