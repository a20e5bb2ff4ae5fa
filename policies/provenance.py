"""What a model file says about its own making: who contributed, and which round made it.

    {"contributors": ["clinic-a", "clinic-b"], "marks": {"round": 3, "run": "run-1"}, "version": 1}

It stands as canonical JSON in the metadata of the safetensors file, under `tdspace`, so that the
model's digest covers it and every safetensors reader shows it. It fulfils two duties:

    attribute   contributors are named: those whose agreement asks for it, of this round and of all
                rounds before it, since the model derives from them all
    watermark   the run and the round that made the file

The watermark is a mark of provenance, not one that resists: whoever has the file can take the
metadata off, and the weights then carry no trace of it. What proves where a model comes from is
its digest in `RoundClosed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from policies.canonical import canonical_bytes, parse_canonical
from policies.errors import DocumentError
from policies.fields import Document, Id, ParticipantId, Version
from policies.tensors import (
    MAX_MODEL_BYTES,
    MAX_NOTE_CHARS,
    Tensor,
    Tensors,
    note_of,
    pack_tensors,
    unpack_tensors,
)


class Mark(Document):
    """The round that made the model."""

    run: Id
    round: Annotated[int, Field(ge=1, le=1_000_000)]


class Provenance(Document):
    """See the module; `contributors` ascend."""

    version: Version
    contributors: Annotated[list[ParticipantId], Field(max_length=10_000)]
    marks: Mark | None = None

    def joined(self, contributors: Iterable[str], mark: Mark | None) -> Provenance:
        """That of a model made from this one: contributors add up, a newer mark replaces it."""
        everybody = sorted({*self.contributors, *contributors})
        return Provenance(version=1, contributors=everybody, marks=mark or self.marks)


UNMARKED = Provenance(version=1, contributors=[])


def pack_model(tensors: Mapping[str, Tensor], provenance: Provenance) -> bytes:
    """A model's one spelling; without anything to say it is that of its arrays.

    Raises:
        DocumentError: as `pack_tensors`.
    """
    if provenance == UNMARKED:
        return pack_tensors(tensors)
    return pack_tensors(tensors, note=canonical_bytes(provenance.to_json()).decode())


def unpack_model(data: bytes, *, max_bytes: int = MAX_MODEL_BYTES) -> tuple[Tensors, Provenance]:
    """A model and what it says about its making.

    Raises:
        DocumentError: as `unpack_tensors`, or a note that is no provenance of ours.
    """
    tensors = unpack_tensors(data, max_bytes=max_bytes, noted=True)
    note = note_of(data)
    if not note:
        return tensors, UNMARKED
    found = Provenance.from_json(parse_canonical(note.encode(), max_bytes=4 * MAX_NOTE_CHARS))
    if found == UNMARKED or sorted(set(found.contributors)) != found.contributors:
        raise DocumentError("$", "a note that says something, contributors ascending", "another")
    return tensors, found
