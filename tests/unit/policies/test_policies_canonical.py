"""Canonical JSON: one spelling, and refusal of all that has more than one."""

from __future__ import annotations

import hashlib

import pytest
import rfc8785

from policies.canonical import (
    MAX_DEPTH,
    MAX_SAFE_INTEGER,
    canonical_bytes,
    digest_of,
    parse_canonical,
    parse_json,
    sha256_hex,
)
from policies.errors import DocumentError, PolicyError


def nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (True, b"true"),
        (-0, b"0"),
        (MAX_SAFE_INTEGER, b"9007199254740991"),
        (-MAX_SAFE_INTEGER, b"-9007199254740991"),
        ("", b'""'),
        ('"\\/\b\f\n\r\t\x01', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u0001"'),
        ("中文 é \u2028 😀", '"中文 é \u2028 😀"'.encode()),
        ([], b"[]"),
        ({"b": 1, "a": [1, "x"], "": {}}, b'{"":{},"a":[1,"x"],"b":1}'),
        ({"é": 1, "z": 2, "中": 3}, '{"z":2,"é":1,"中":3}'.encode()),
        (nested(MAX_DEPTH), b"[" * MAX_DEPTH + b"0" + b"]" * MAX_DEPTH),
    ],
)
def test_one_spelling_equal_to_rfc8785_and_read_back(value: object, expected: bytes) -> None:
    assert canonical_bytes(value) == expected == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert parse_canonical(expected, max_bytes=1000) == value


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (1.0, "$"),
        ({"a": [0, 0.5]}, "$.a[1]"),
        (MAX_SAFE_INTEGER + 1, "$"),
        (-MAX_SAFE_INTEGER - 1, "$"),
        ({"a": "\ud800"}, "$.a"),
        ({"\ud800": 1}, "$"),
        ({"😀": 1}, "$"),
        ({1: 1}, "$"),
        ((1, 2), "$"),
        (b"bytes", "$"),
        ({"a": object()}, "$.a"),
        (nested(MAX_DEPTH + 1), "$" + "[0]" * (MAX_DEPTH + 1)),
    ],
)
def test_outside_the_subset_is_refused_with_its_path(value: object, where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        canonical_bytes(value)
    assert caught.value.where == where
    assert isinstance(caught.value, PolicyError)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[1.0]", "integers only"),
        (b"1e2", "integers only"),
        (b"NaN", "integers only"),
        (b"-Infinity", "integers only"),
        (b"9007199254740992", "an integer within"),
        (b"1" * 5000, "JSON"),
        (b'{"a":1,"a":2}', "each key once"),
        (b'{"a":{"b":1,"b":1}}', "each key once"),
        (b'"\\ud800"', "Unicode text"),
        (b"\xff", "UTF-8"),
        (b"\xef\xbb\xbf1", "JSON"),
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"1 2", "JSON"),
        (b"[" * 5000, "levels"),
        (b"[" * 40 + b"]" * 40, "levels"),
        (b"[" * 300 + b"]" * 300, "levels"),
        (b" " * 6001, "at most 6000 bytes"),
    ],
)
def test_parse_refuses(data: bytes, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(data, max_bytes=6000)
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[1.5]", "integers only"),
        (b"1e2", "integers only"),
        (b"9007199254740992", "an integer within"),
        (b"18446744073709551616", "an integer within"),
        (b'{"a":1,"a":1}', "each key once"),
        ('{"\U0001f600":1}'.encode(), "plain strings"),
        (b"[" * 40 + b"]" * 40, "levels"),
        (b"[" * 300 + b"]" * 300, "levels"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b'"' + b"a" * 6000 + b'"', "at most 6000 bytes"),
    ],
)
def test_what_is_written_as_it_is_read_may_still_be_outside_the_subset(
    data: bytes, expected: str
) -> None:
    with pytest.raises(DocumentError, match=expected):
        parse_canonical(data, max_bytes=6000)


def test_keys_beyond_ascii_are_sorted_by_their_characters() -> None:
    value = {"\ud7ff": 1, "é": 2, "z": 3, "中": 4}
    data = canonical_bytes(value)
    assert data == rfc8785.dumps(value)
    assert parse_canonical(data, max_bytes=100) == value


@pytest.mark.parametrize(
    "data", [b" 1", b'{"b":1,"a":2}', b'"\\u00e9"', b"-0", b"[1, 2]", b'"\\/"']
)
def test_another_spelling_is_json_but_not_canonical(data: bytes) -> None:
    value = parse_json(data, max_bytes=100)
    assert canonical_bytes(value) != data
    with pytest.raises(DocumentError, match="canonical JSON"):
        parse_canonical(data, max_bytes=100)


def test_digest_is_sha256_of_the_canonical_bytes() -> None:
    assert digest_of({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    assert sha256_hex(b"") == hashlib.sha256(b"").hexdigest()
