"""Round trips of what travels: config, arrays, envelopes, entries, instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from policies.canonical import MAX_SAFE_INTEGER, Json, canonical_bytes
from policies.entries import ENTRY_TYPES, entry_bytes, parse_entry
from policies.envelope import open_envelope, sign_envelope
from policies.errors import DocumentError, PolicyError
from policies.fields import instant, parse_instant
from policies.runconfig import config_digest, config_from_json, config_to_json
from policies.tensors import DTYPES, pack_tensors, unpack_tensors

TYPE = "application/vnd.tdspace.test+json"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.text(st.characters(max_codepoint=0xD7FF), max_size=6)
INTEGERS = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(
    KEYS, st.booleans() | INTEGERS | TEXT | st.floats(allow_nan=False, allow_infinity=False)
)
MOMENTS = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=5, minutes=30))]
    ),
)
TENSORS = st.dictionaries(
    TEXT.filter(lambda name: name != "__metadata__"),
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    min_size=1,
    max_size=3,
)


@given(CONFIGS)
@settings(max_examples=60)
def test_a_config_reads_back_with_its_types(config: dict[str, Any]) -> None:
    written = config_to_json(config)
    read = config_from_json(written)
    assert read == config
    assert [type(value) for value in read.values()] == [type(value) for value in config.values()]
    assert config_digest(read) == config_digest(config)
    assert canonical_bytes(config_to_json(read)) == canonical_bytes(written)


@given(TENSORS)
@settings(max_examples=60, deadline=None)
def test_arrays_read_back_bit_for_bit(tensors: dict[str, Any]) -> None:
    data = pack_tensors(tensors)
    read = unpack_tensors(data)
    assert pack_tensors(read) == data
    assert read.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == np.asarray(array, order="C").tobytes()


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_any_bytes_are_arrays_or_refused_by_our_own_error(data: bytes) -> None:
    framed = len(data).to_bytes(8, "little") + data
    for one in (data, framed):
        with pytest.raises(DocumentError):
            unpack_tensors(one)


@given(VALUES, st.data())
@settings(max_examples=60)
def test_an_envelope_opens_unless_any_byte_differs(payload: Json, data: st.DataObject) -> None:
    signed = sign_envelope(payload, payload_type=TYPE, key=KEY)
    assert open_envelope(signed, payload_type=TYPE, key=KEY.public_key()) == payload
    place = data.draw(st.integers(0, len(signed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != signed[place]))
    changed = signed[:place] + bytes([byte]) + signed[place + 1 :]
    with pytest.raises(PolicyError):
        open_envelope(changed, payload_type=TYPE, key=KEY.public_key())


@given(st.sampled_from(sorted(ENTRY_TYPES)), MOMENTS, st.dictionaries(KEYS, VALUES, max_size=3))
@settings(max_examples=60)
def test_an_entry_reads_back(kind: Any, moment: datetime, body: dict[str, Json]) -> None:
    entry = parse_entry(entry_bytes(kind, time=instant(moment), body=body))
    assert (entry.type, entry.time, entry.body) == (kind, instant(moment), body)


@given(MOMENTS)
@settings(max_examples=60)
def test_a_moment_reads_back_to_the_millisecond(moment: datetime) -> None:
    read = parse_instant(instant(moment))
    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)
    assert instant(read) == instant(moment)
