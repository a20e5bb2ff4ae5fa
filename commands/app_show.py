"""`tds app show`: an app for its owner to read, before it may run."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Final

import typer

from clients.appbundle import MAX_BUNDLE_BYTES, bundle_config, verify_bundle
from clients.appreading import AppReading, read_app, source_lines
from clients.declared import UNDECLARED, Declaration
from clients.environments import open_environment, read_environment
from clients.figures import metric_bits
from clients.files import read_file
from clients.identity import load_identity
from clients.owner import open_owner
from commands.errors import BadInput
from commands.output import JsonFlag, print_json, print_table, say
from policies.canonical import sha256_hex
from policies.runconfig import ConfigValue

Bundle = Annotated[str, typer.Argument(help="A bundle's file, or the SHA-256 of a registered app.")]
ReadingNode = Annotated[
    Path | None,
    typer.Option("--node", envvar="TDS_NODE", help="The node's folder; not needed for a file."),
]

MAX_SHOWN_LINES: Final = 20_000
MAX_SHOWN_CHARACTERS: Final = 2_000
"""In one line."""

MAX_SHOWN_FLAGS: Final = 60
MAX_SHOWN_NAME: Final = 200


def show(
    bundle: Bundle,
    node: ReadingNode = None,
    env: Annotated[str, typer.Option(help="Look with the packages of this environment.")] = "",
    source: Annotated[str, typer.Option(help="Print this file of the app instead.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show what is in an app before approving it: files, imports, what to look at, its source.

    Nothing of the app is run. Example: tds app show 3b2f… --node ./clinic --source myapp/task.py
    """
    data = read_bundle(bundle, node)
    files = verify_bundle(data, expected_sha256=sha256_hex(data))
    if source:
        _print_source(files, source, as_json=as_json)
        return
    site = _site(env, node) if env else None
    reading = read_app(sha256_hex(data), files, installed=lambda name: _installed(name, site))
    config = bundle_config(data)
    if as_json:
        found = asdict(reading)
        found["declared"] = reading.declared.to_json()
        print_json({**found, "total_bytes": reading.total_bytes, "config": config})
        return
    _print_reading(reading, config)


def read_bundle(bundle: str, node: Path | None) -> bytes:
    """The bundle from a file, or from governance by its SHA-256."""
    path = Path(bundle)
    if path.is_file():
        return read_file(path, max_bytes=MAX_BUNDLE_BYTES)
    if len(bundle) != 64 or not all(char in "0123456789abcdef" for char in bundle):
        raise BadInput(
            f"{bundle}: expected a bundle's file or 64 hexadecimal digits of a SHA-256, got neither"
        )
    if node is None:
        raise BadInput("--node: expected the node that shall fetch this app, got none")
    with open_owner(node) as owner:
        return owner.fetch_app(bundle)


def _print_source(files: dict[str, bytes], source: str, *, as_json: bool) -> None:
    content = files.get(source)
    if content is None:
        raise BadInput(f"--source: expected a file of the app, got {source!r}")
    lines = source_lines(content.decode("utf-8", "backslashreplace"))
    if as_json:
        print_json({"file": source, "sha256": sha256_hex(content), "lines": lines})
        return
    for number, line in enumerate(lines[:MAX_SHOWN_LINES], start=1):
        cut = "" if len(line) <= MAX_SHOWN_CHARACTERS else f" … {len(line)} characters"
        say(f"{number:>5}  {line[:MAX_SHOWN_CHARACTERS].expandtabs(4)}{cut}")
    if len(lines) > MAX_SHOWN_LINES:
        say(f"… {len(lines)} lines; the rest: --json")


def _print_reading(reading: AppReading, config: dict[str, ConfigValue]) -> None:
    say(f"app {reading.app}: {len(reading.files)} files, {reading.total_bytes} bytes unpacked")
    print_table(
        "files",
        ["file", "bytes", "SHA-256"],
        [[file.path, str(file.size), file.sha256] for file in reading.files],
    )
    print_table(
        "imports",
        ["module", "from", "first in"],
        [[one.module, one.origin, f"{one.file}:{one.line}"] for one in reading.imports],
    )
    shown = reading.flags[:MAX_SHOWN_FLAGS]
    print_table(
        f"look at this ({len(shown)} of {reading.flag_count})",
        ["place", "why"],
        [[f"{flag.file}:{flag.line}", flag.what] for flag in shown],
    )
    print_table(
        "run config",
        ["key", "value"],
        [[key, str(value)[:200]] for key, value in sorted(config.items())],
    )
    for part, reference in sorted(reading.components.items()):
        say(f"{part}: {reference}")
    say(f"asks for: {', '.join(reading.dependencies) or 'nothing'} (nothing is installed)")
    _print_declared(reading.declared)
    say(f"read a file: tds app show {reading.app} --source FILE")


def _print_declared(declared: Declaration) -> None:
    if declared == UNDECLARED:
        say(
            "declares nothing of what it returns: arrays leave in the names, shapes and types of "
            "the run's incoming model, figures by the names in the run's permit"
        )
        return
    if declared.arrays is None:
        say("declares no arrays: they leave in the names, shapes and types of the incoming model")
    else:
        print_table(
            "declares these arrays, no others",
            ["array", "type", "shape"],
            [
                [name[:MAX_SHOWN_NAME], form.type, " x ".join(map(str, form.shape)) or "one number"]
                for name, form in sorted(declared.arrays.items())
            ],
        )
    if declared.metrics is None:
        say("declares no figures: they leave by the names in the run's permit")
    else:
        print_table(
            "declares to return these figures, no others",
            ["figure", "range", "bits"],
            [
                [
                    name,
                    "any" if one is None else f"{one.least} to {one.most}",
                    str(metric_bits([declared.choices(name)])),
                ]
                for name, one in sorted(declared.metrics.items())
            ],
        )
    if declared.max_bytes is not None:
        say(f"declares to return at most {declared.max_bytes} bytes of arrays")


def _site(env: str, node: Path | None) -> str:
    if node is None:
        raise BadInput("--env: expected the node that has it (--node), got none")
    folder = load_identity(node).paths.environments
    return str(open_environment(folder, env, read_environment(folder, env).digest).site)


def _installed(module: str, site: str | None) -> bool:
    """Whether there is this top-level module for apps; looking imports nothing of it."""
    try:
        if site is not None and PathFinder.find_spec(module, [site]) is not None:
            return True
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
