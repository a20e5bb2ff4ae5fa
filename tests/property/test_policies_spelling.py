"""Canonical JSON against an independent implementation of RFC 8785."""

from __future__ import annotations

import json

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.canonical import MAX_SAFE_INTEGER, Json, canonical_bytes, parse_canonical, parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.text(st.characters(max_codepoint=0xD7FF), max_size=6)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=100)
def test_the_spelling_is_rfc8785_and_reads_back(value: Json) -> None:
    data = canonical_bytes(value)
    assert data == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert parse_canonical(data, max_bytes=len(data)) == value


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=50)
def test_any_other_spelling_gives_the_same_bytes(
    value: Json, indent: int | None, ascii_only: bool
) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert canonical_bytes(parse_json(written, max_bytes=100_000)) == canonical_bytes(value)
