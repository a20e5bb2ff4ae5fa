"""What an owner is told of an app's files: a table of sources, and what each is flagged for."""

from __future__ import annotations

import pytest

from clients.appreading import MAX_FLAGS, AppReading, read_app, source_lines
from clients.declared import UNDECLARED

PYPROJECT = b"""
[project]
dependencies = ["flwr", "numpy"]
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "mine.client:app"
[tool.tdspace]
metrics = ["loss", "accuracy"]
"""
APP = "ab" * 32


def reading(source: bytes, *, more: dict[str, bytes] | None = None) -> AppReading:
    files = {"pyproject.toml": PYPROJECT, "mine/client.py": source, **(more or {})}
    return read_app(APP, files, installed=lambda name: name in {"numpy", "flwr", "torch"})


def flags(found: AppReading) -> list[tuple[int, str]]:
    return [(flag.line, flag.what) for flag in found.flags]


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (b"import json", "standard library"),
        (b"import numpy as np", "third party"),
        (b"from torch.nn import Linear", "third party"),
        (b"import nowhere.known", "unknown"),
        (b"from clients.sdk import training_rows", "space"),
        (b"from mine.task import Net", "own"),
        (b"from . import task", "own"),
        (b"from .task import Net", "own"),
        (b"def f():\n    import json", "standard library"),
    ],
)
def test_where_an_import_comes_from(source: bytes, origin: str) -> None:
    (found,) = reading(source).imports
    assert (found.origin, found.file) == (origin, "mine/client.py")


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        (b"exec('1')", 1, "exec: code made at run time"),
        (b"\nrun = eval", 2, "eval: code made"),
        (b"__import__('os')", 1, "__import__"),
        (b"import ctypes", 1, "imports ctypes: raw memory"),
        (b"x = 1\nimport subprocess as s", 2, "imports subprocess: processes"),
        (b"from socket import *", 1, "imports socket: network"),
        (b"import os.path", 1, "imports os.path: files"),
        (b"import importlib", 1, "imports importlib: code loaded"),
        (b"import pickle", 1, "imports pickle: pickles"),
        (b"import clients.gate", 1, "imports clients.gate: of the space"),
        (b"from clients import gate", 1, "imports clients.gate: of the space"),
        (b"().__class__.__subclasses__()", 1, ".__subclasses__: the interpreter"),
        (b"getattr(a, b)", 1, "getattr or setattr with a name computed"),
        (b"open('/etc/passwd')", 1, "open: files"),
        (b"if (", 1, "cannot be parsed"),
        (b"x = " + b"(" * 5000, 1, "cannot be parsed"),
        (b"x = 1\0", 1, "invisible or control characters"),
        ("x = 1  # \u202e".encode(), 1, "invisible or control characters"),
        (b"\n# \x1b[2J", 2, "invisible or control characters"),
        (b"# coding: utf-7\nx = 1", 1, "declares the encoding 'utf-7'"),
        (b"x = '\xff'", 1, "is not UTF-8"),
        (b"x = 1;" + b" " * 500 + b"y = 2", 1, "a line of 511 characters"),
        (b"#" * (1 << 20) + b"#", 1, "cannot be parsed, or is too large"),
    ],
)
def test_what_is_flagged(source: bytes, line: int, words: str) -> None:
    found = flags(reading(source))
    assert any(at == line and words in what for at, what in found), found


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"from clients.sdk import training_rows\nrows = training_rows()\n",
        b"import math, numpy\ngetattr(math, 'pi')\n",
        b"r = '\\d'\n",
    ],
)
def test_what_is_not_flagged(source: bytes) -> None:
    assert flags(reading(source)) == []


@pytest.mark.parametrize("name", ["numpy", "json", "clients"])
def test_a_module_that_takes_anothers_place(name: str) -> None:
    found = reading(b"", more={f"{name}/__init__.py": b""})
    assert flags(found) == [(1, f"takes the place of the module '{name}' of this node")]


def test_all_that_is_said_of_an_app() -> None:
    found = reading(b"import json\n")
    assert [(f.path, f.size) for f in found.files] == [
        ("mine/client.py", 12),
        ("pyproject.toml", len(PYPROJECT)),
    ]
    assert found.total_bytes == 12 + len(PYPROJECT)
    assert found.declared.metrics == {"loss": None, "accuracy": None}
    assert found.components["clientapp"] == "mine.client:app"
    assert found.dependencies == ("flwr", "numpy")


def test_flags_are_bounded_and_counted() -> None:
    found = reading(b"eval\n" * (MAX_FLAGS + 7))
    assert (len(found.flags), found.flag_count) == (MAX_FLAGS, MAX_FLAGS + 7)


def test_nothing_is_declared_in_another_form() -> None:
    files = {"pyproject.toml": b'tool = 3\nproject = {dependencies = "flwr"}'}
    found = read_app(APP, files, installed=lambda _: False)
    assert (found.declared, dict(found.components), found.dependencies) == (UNDECLARED, {}, ())


def test_lines_are_counted_as_python_does() -> None:
    assert source_lines("a\r\nb\rc\nd\x0ce\u2028f") == ["a", "b", "c", "d\x0ce\u2028f"]
