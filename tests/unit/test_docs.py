"""The commands that README and docs show exist, with the options they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from commands.main import build_cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGET = re.compile(r"^make ([a-z]+)", re.MULTILINE)
BLOCK = re.compile(r"^```[a-z]*(?: [a-z]+)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`((?:\.venv/bin/)?tds [a-z][^`]*)`")


def _shown() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
        for line in [*lines, *SPAN.findall(text)]:
            command = line.strip().removeprefix(".venv/bin/")
            if command.startswith("tds "):
                yield name, command.split("   ")[0]


@pytest.mark.parametrize(("page", "command"), sorted(set(_shown())))
def test_a_shown_command_exists(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    node: click.Command = typer.main.get_command(build_cli())
    while isinstance(node, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in node.commands, f"{page}: no such verb: {command}"
        node = node.commands[words.pop(0)]
    known = {name for parameter in node.params for name in (*parameter.opts, "--help")}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in known, f"{page}: no option {word}: {command}"


def test_enough_commands_are_shown() -> None:
    assert len(set(_shown())) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shown_make_targets_and_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in TARGET.findall(text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), f"{page.name}: no file {link}"
