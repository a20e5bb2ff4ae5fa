"""A lock of packages with their hashes, and whether they fit beside this program's own packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions, packages_distributions
from pathlib import Path
from typing import Final

from clients.appreading import SPACE_PACKAGES
from clients.errors import EnvironmentRefused

MAX_REQUIREMENTS: Final = 2000
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9._, -]*\])?==[A-Za-z0-9.!+_-]+"
    r"(?:\s*;[^#\\]*?)?(?:\s+--hash=sha256:[0-9a-f]{64})+",
    re.ASCII,
)


def check_lock(text: str) -> int:
    """Returns how many packages a lock names, each with one version and its hashes.

    `pip-compile --generate-hashes` and `uv pip compile --generate-hashes` write such files. Options
    of pip are refused: where packages come from is for pip's own configuration on this machine.

    Raises:
        EnvironmentRefused: the line, and what was expected.
    """
    count = 0
    for number, line in _logical_lines(text):
        if _REQUIREMENT.fullmatch(line) is None:
            raise EnvironmentRefused(
                f"lock, line {number}: expected name==version --hash=sha256:…, got {line[:80]!r}; "
                "make it with: pip-compile --generate-hashes --no-emit-index-url"
            )
        count += 1
    if not 1 <= count <= MAX_REQUIREMENTS:
        raise EnvironmentRefused(
            f"lock: expected 1 to {MAX_REQUIREMENTS} packages with hashes, got {count}"
        )
    return count


def check_beside_ours(site: Path) -> dict[str, str]:
    """The packages in a folder by name, with their versions, if they fit beside our own.

    Ours come first on `sys.path`. So one that both have must be of one version; a module must come
    from one package; and none may be named like a module of Python's own or of the space.

    Raises:
        EnvironmentRefused: which package or module, and what is here.
    """
    theirs = _versions(distributions(path=[str(site)]))
    ours = _versions(distributions())
    for name, version in theirs.items():
        if ours.get(name, version) != version:
            raise EnvironmentRefused(
                f"package {name}: expected version {ours[name]}, which this node runs with, got "
                f"{version}; lock against its own packages: tds app env pins"
            )
    known = packages_distributions()
    for module in _modules(site):
        if module in SPACE_PACKAGES or module in sys.stdlib_module_names:
            raise EnvironmentRefused(f"module {module}: expected no name of ours or of Python's")
        here = {_normal(name) for name in known.get(module, ())}
        if here - set(theirs):
            raise EnvironmentRefused(
                f"module {module}: expected it from one package, got it also from "
                f"{', '.join(sorted(here - set(theirs)))}, which this node has"
            )
    return theirs


def own_pins() -> list[str]:
    """`name==version` of this program's own packages, to lock an environment against."""
    found = _versions(distributions())
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name != "tdspace"]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where one ends in a backslash, each with its first number."""
    parts: list[str] = []
    start = 1
    for number, line in enumerate(text.splitlines(), start=1):
        plain = "" if line.lstrip().startswith("#") else re.sub(r"\s#.*$", "", line).strip()
        if not parts:
            start = number
        goes_on = plain.endswith("\\")
        parts.append(plain.removesuffix("\\").strip())
        if not goes_on:
            joined = " ".join(part for part in parts if part)
            parts = []
            if joined:
                yield start, joined
    if parts:
        yield start, " ".join(parts)


def _versions(found: Iterable[Distribution]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for one in found:
        name = one.metadata["Name"]
        if name:
            versions.setdefault(_normal(name), one.version)
    return versions


def _normal(name: str) -> str:
    """As PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _modules(site: Path) -> Iterator[str]:
    """Top-level modules and packages that would hide, or be hidden; parts of namespaces are not."""
    for place in sorted(site.iterdir()):
        name = place.name.partition(".")[0]
        if name.isidentifier():
            spec = PathFinder.find_spec(name, [str(site)])
            if spec is not None and spec.origin is not None:
                yield name
