"""App bundles (Flower's FAB: a zip with pyproject.toml at its root): identity and default config.

Nothing is unpacked to disk and no code runs; only pyproject.toml is read, and only so much of it.
"""

from __future__ import annotations

import io
import os
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from policies.canonical import sha256_hex
from policies.errors import DocumentError
from policies.fields import Id
from policies.runconfig import ConfigValue, config_to_json
from server.errors import BadInput, Unavailable

MAX_BUNDLE_BYTES: Final = 10 * 1024 * 1024
MAX_FILES: Final = 10_000
MAX_PYPROJECT_BYTES: Final = 65_536
MAX_CONFIG_KEYS: Final = 256
_PYPROJECT: Final = "pyproject.toml"
_ID: Final = TypeAdapter(Id)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was looked at: `id` is its SHA-256."""

    id: str
    size: int
    config: Mapping[str, ConfigValue]


def parse_bundle(data: bytes) -> Bundle:
    """Identity and default run config of a bundle.

    Args:
        data: the FAB, at most 10 MiB as Flower allows.

    Raises:
        BadInput: no such zip, or a run config that is not flat.
    """
    if not 0 < len(data) <= MAX_BUNDLE_BYTES:
        raise BadInput(f"app: expected 1 to {MAX_BUNDLE_BYTES} bytes, got {len(data)}")
    try:
        project = tomllib.loads(_pyproject(data).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"app: expected {_PYPROJECT} in UTF-8, got another encoding") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"app: expected {_PYPROJECT} to be TOML: {error}") from error
    return Bundle(id=sha256_hex(data), size=len(data), config=_config(project))


def fuse_config(
    defaults: Mapping[str, ConfigValue], overrides: Mapping[str, ConfigValue]
) -> dict[str, ConfigValue]:
    """The run config that the app will see.

    Raises:
        BadInput: an override of a key that the app does not have, or of another type.
    """
    for key, value in overrides.items():
        if key not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise BadInput(f"config: expected keys of the app ({known}), got {key!r}")
        if type(value) is not type(defaults[key]):
            raise BadInput(
                f"config.{key}: expected {type(defaults[key]).__name__}, as in the app, "
                f"got {type(value).__name__}"
            )
    return {**defaults, **overrides}


def store_bundle(folder: Path, app: str, data: bytes) -> None:
    """Keep a bundle as `<folder>/<app>.fab`, durable on return; the same one again changes nothing.

    Raises:
        Unavailable: the disk did not take it.
    """
    path = folder / f"{app}.fab"
    try:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise Unavailable(f"app {app[:16]}…: expected to store it, got {error.strerror}") from error


def load_bundle(folder: Path, app: str) -> bytes:
    """A stored bundle, checked against its id.

    Raises:
        Unavailable: missing or changed on disk.
    """
    path = folder / f"{app}.fab"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: expected the app's bundle, got {error.strerror}") from error
    if sha256_hex(data) != app:
        raise Unavailable(f"{path}: expected SHA-256 {app}, got another; put the bundle back")
    return data


def _pyproject(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) > MAX_FILES or len(set(names)) != len(names):
                raise BadInput(f"app: expected at most {MAX_FILES} files, each name once")
            if _PYPROJECT not in names:
                raise BadInput(f"app: expected {_PYPROJECT} at the bundle's root, got none")
            with archive.open(_PYPROJECT) as file:
                # The size that the zip declares is not to be trusted: bound what is unpacked.
                text = file.read(MAX_PYPROJECT_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadInput(f"app: expected a Flower app bundle (zip), got {error}") from error
    if len(text) > MAX_PYPROJECT_BYTES:
        raise BadInput(f"app: expected {_PYPROJECT} of at most {MAX_PYPROJECT_BYTES} bytes")
    return text


def _config(project: Mapping[str, Any]) -> dict[str, ConfigValue]:
    table: Any = project
    where = ("tool", "flwr", "app", "config")
    for depth, name in enumerate(where):
        if not isinstance(table, dict):
            raise BadInput(f"app: expected a table [{'.'.join(where[:depth])}]")
        if name == "config" and name not in table and depth == len(where) - 1:
            return {}
        if name not in table:
            raise BadInput(f"app: expected [tool.flwr.app] in {_PYPROJECT}, got no {name}")
        table = table[name]
    if not isinstance(table, dict) or len(table) > MAX_CONFIG_KEYS:
        raise BadInput(f"app: expected a run config of at most {MAX_CONFIG_KEYS} keys")
    try:
        for key in table:
            _ID.validate_python(key)
        config_to_json(table)
    except ValidationError as error:
        raise BadInput(f"app: run config key {str(key)[:60]!r} is not allowed") from error
    except DocumentError as error:
        raise BadInput(f"app: run config must be flat: {error}") from error
    return dict(table)
