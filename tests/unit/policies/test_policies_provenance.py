"""Models that say how they were made: one spelling, under the digest, and no arrays lost."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from policies.errors import DocumentError
from policies.provenance import UNMARKED, Mark, Provenance, pack_model, unpack_model
from policies.tensors import Tensors, note_of, pack_tensors, unpack_tensors

TENSORS: Tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.int64)}
MARK = Mark(run="run-1", round=3)
MADE = UNMARKED.joined(["clinic-b", "clinic-a"], MARK)


def spelled(note: str, **more: str) -> bytes:
    return bytes(save(dict(sorted(TENSORS.items())), metadata={"tdspace": note, **more}))


def test_a_model_and_its_provenance_read_back() -> None:
    data = pack_model(TENSORS, MADE)
    tensors, made = unpack_model(data)
    assert made == MADE
    assert made.contributors == ["clinic-a", "clinic-b"]
    assert all((tensors[name] == TENSORS[name]).all() for name in TENSORS)
    assert pack_model(tensors, made) == data == spelled(note_of(data))
    assert data != pack_tensors(TENSORS)


def test_without_anything_to_say_it_is_the_plain_spelling() -> None:
    assert pack_model(TENSORS, UNMARKED) == pack_tensors(TENSORS)
    assert unpack_model(pack_tensors(TENSORS))[1] == UNMARKED


def test_contributors_add_up_and_the_newest_mark_stays() -> None:
    later = MADE.joined(["clinic-c", "clinic-a"], None)
    assert later.contributors == ["clinic-a", "clinic-b", "clinic-c"]
    assert later.marks == MARK
    newest = Mark(run="run-1", round=4)
    assert later.joined([], newest) == Provenance(
        version=1, contributors=later.contributors, marks=newest
    )


def test_an_update_carries_no_note() -> None:
    with pytest.raises(DocumentError, match="without metadata"):
        unpack_tensors(pack_model(TENSORS, MADE))


@pytest.mark.parametrize(
    "data",
    [
        spelled("hello"),
        spelled("{}"),
        spelled('{"contributors":[],"marks":null,"version":1}'),
        spelled('{"contributors":["b","a"],"marks":null,"version":1}'),
        spelled('{"contributors":["a","a"],"marks":null,"version":1}'),
        spelled('{"contributors": ["a"],"marks":null,"version":1}'),
        spelled('{"contributors":["a"],"marks":null,"version":1}', other="x"),
        spelled("x" * ((1 << 20) + 1)),
        bytes(save(dict(sorted(TENSORS.items())), metadata={"other": "x"})),
    ],
)
def test_another_note_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError):
        unpack_model(data)
