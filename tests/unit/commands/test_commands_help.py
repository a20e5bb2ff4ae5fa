"""Help texts: each verb has one, with an example, and the example is one that works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
import typer
from commands_site import Tds

from commands.main import build_cli

ROOT = typer.main.get_command(build_cli())


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all verbs that do something."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
        return
    for name, sub in inner.items():
        yield from leaves(sub, (*path, name))


def find(path: tuple[str, ...]) -> click.Command:
    command = ROOT
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return command


LEAVES = sorted(leaves(ROOT))
GROUPS = sorted({path[:-1] for path in LEAVES})


def example(path: tuple[str, ...]) -> list[str]:
    """The arguments of a verb's example, without `tds`."""
    text = " ".join((find(path).help or "").split())
    found = re.search(r"Example: tds (.+)$", text)
    assert found, f"tds {' '.join(path)}: no example at the end of its help"
    return shlex.split(found[1])


def test_the_verbs_were_found() -> None:
    assert {("demo",), ("node", "run"), ("audit", "verify"), ("policy", "check")} < set(LEAVES)
    assert len(LEAVES) > 20


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "tds")
def test_a_group_lists_its_verbs(tds: Tds, path: tuple[str, ...]) -> None:
    ran = tds(*path, "--help")
    assert (ran.code, ran.err) == (0, "")
    names = {leaf[len(path)] for leaf in LEAVES if leaf[: len(path)] == path}
    assert [name for name in names if name not in ran.out] == []


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_verb_shows_an_example(tds: Tds, path: tuple[str, ...]) -> None:
    ran = tds(*path, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"Example: tds {' '.join(path)}" in " ".join(ran.out.split())


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_example_can_be_typed(path: tuple[str, ...]) -> None:
    words = example(path)
    assert tuple(words[: len(path)]) == path
    context = find(path).make_context(" ".join(path), words[len(path) :])
    assert all(
        context.params.get(parameter.name or "") is not None
        for parameter in find(path).params
        if parameter.required
    )
