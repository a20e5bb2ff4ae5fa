"""Intake and any bytes: a policy that reads back as itself, or our own error with its place."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import policies_generator as generate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_check import PARSERS, SEEDS, bent, check

from policies.errors import DocumentError

FILES = sorted(SEEDS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_seed_is_read_or_refused_as_its_name_says(path: Path) -> None:
    good = path.name.startswith("good-")
    assert good or path.name.startswith("bad-")
    assert len(check(path.read_bytes())) == (1 if good else 0)


def test_two_spellings_of_one_agreement_are_one_agreement() -> None:
    document = generate.document(Random(7))
    plain, escaped = json.dumps(document, ensure_ascii=False), json.dumps(document, indent=3)
    backwards = json.dumps(dict(reversed(document.items())))
    assert check(plain.encode()) == check(escaped.encode()) == check(backwards.encode())


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes(data: bytes) -> None:
    assert check(data) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["@id", "@type", "permission"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=300)
def test_any_json(value: object) -> None:
    check(json.dumps(value).encode())


@given(st.integers(0, 2**64))
@settings(max_examples=1_000, deadline=None)
def test_valid_documents_that_were_bent(seed: int) -> None:
    check(bent(Random(seed)))


DEEP = 10_000
LARGE = 10 * 1024 * 1024


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"permission":[{"constraint":[' + b'{"and":[' * DEEP + b"]}" * DEEP + b"]}]}",
        b"[" * 30_000 + b"]" * 30_000,
        b" " * LARGE,
        b'{"@id":"' + b"a" * LARGE + b'"}',
        b"[" + b"1," * (LARGE // 2) + b"1]",
        b"[" * LARGE,
        b'{"@id":' + b"9" * 60_000 + b"}",
        b'{"@id":"' + b"\\ud800" * 10_000 + b'"}',
        b'{"' + b"k" * 60_000 + b'":1}',
        b"[" + b"{}," * 20_000 + b"{}]",
        b'{"permission":[' + b'{"action":"use"},' * 3_000 + b'{"action":"use"}]}',
    ],
    ids=lambda data: f"{data[:12].decode()}...{len(data)}",
)
def test_large_and_deep_documents_are_refused_soon(data: bytes) -> None:
    for parse in PARSERS:
        started = time.process_time()
        with pytest.raises(DocumentError):
            parse(data)
        assert time.process_time() - started < 1.0
