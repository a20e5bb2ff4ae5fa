"""Flower app bundles (FAB): verified in memory, installed under their full SHA-256, built.

A FAB is a zip whose `.info/CONTENT` lists every file as `path,sha256,size in bits` (written by
`flwr build` 1.41). It is refused unless that list is complete and right: Flower itself lets files
pass that are not listed, and installs under eight hexadecimal digits of the hash.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from clients.declared import Declaration, declaration_of
from clients.errors import BundleError
from policies.runconfig import ConfigValue

MAX_BUNDLE_BYTES: Final = 10 * 1024 * 1024
MAX_FILES: Final = 2000
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 16
MAX_PATH: Final = 240
MAX_PYPROJECT_BYTES: Final = 64 * 1024
MAX_DOTS: Final = 200
"""In one line of pyproject.toml: the parser takes quadratic time for a key of many parts."""

MAX_CONFIG_DEPTH: Final = 8
CONTENT: Final = ".info/CONTENT"
PYPROJECT: Final = "pyproject.toml"
SUFFIXES: Final = frozenset({".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl"})
"""What `flwr build` takes in, besides LICENSE; above all no compiled code."""

BUILD_TIMEOUT_S: Final = 120.0

# What zipfile lets through when bytes are not what they claim to be.
_NO_ZIP: Final = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError),
    *(OverflowError, zlib.error, lzma.LZMAError, struct.error),
)


def verify_bundle(fab: bytes, *, expected_sha256: str) -> dict[str, bytes]:
    """The files of a bundle by path, after every check.

    Args:
        expected_sha256: 64 lowercase hexadecimal digits, as registered and approved.

    Raises:
        BundleError: another hash, too large, unsafe to unpack, no app with a ClientApp, or one
            whose declaration of what it returns cannot be read.
    """
    if len(fab) > MAX_BUNDLE_BYTES:
        raise BundleError(f"bundle: expected at most {MAX_BUNDLE_BYTES} bytes, got {len(fab)}")
    found = hashlib.sha256(fab).hexdigest()
    if found != expected_sha256:
        raise BundleError(f"bundle: expected SHA-256 {expected_sha256}, got {found}")
    files = _unzip(fab)
    manifest = files.pop(CONTENT, None)
    if manifest is None:
        raise BundleError(f"bundle: expected {CONTENT}, got none; build it with `tds app build`")
    _check_manifest(manifest, files)
    _components(files)
    declaration_of(read_pyproject(files))
    return files


def bundle_config(fab: bytes) -> dict[str, ConfigValue]:
    """The app's default run config, nested tables joined by dots as Flower does.

    Raises:
        BundleError: no readable pyproject.toml, or a value that Flower does not allow.
    """
    config: dict[str, ConfigValue] = {}
    app = _app_table(_unzip(fab))
    pending: list[tuple[str, object]] = [("", app.get("config", {}))]
    while pending:
        prefix, value = pending.pop(0)
        if isinstance(value, dict) and prefix.count(".") < MAX_CONFIG_DEPTH:
            start = f"{prefix}." if prefix else ""
            pending += [(f"{start}{key}", item) for key, item in value.items()]
        elif isinstance(value, bool | int | float | str) and prefix:
            config[prefix] = value
        else:
            raise BundleError(
                f"bundle: run config {prefix[:100] or 'table'!r}: expected a boolean, integer, "
                f"float or string, at most {MAX_CONFIG_DEPTH} tables deep, got "
                f"{type(value).__name__}"
            )
    return config


def install_bundle(fab: bytes, *, expected_sha256: str, into: Path) -> Path:
    """The bundle's files lie in `into/<sha256>`, read-only and as the bundle holds them.

    A crash leaves a folder `.new-…` behind, never half an app. Installing twice is the same as
    once; an installed app that somebody changed is refused.

    Raises:
        BundleError: as `verify_bundle`, or what lies there differs or cannot be written.
    """
    files = verify_bundle(fab, expected_sha256=expected_sha256)
    target = into / expected_sha256
    try:
        if not target.exists():
            into.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=into))
            try:
                _write(files, fresh)
                fresh.rename(target)
            except OSError:
                shutil.rmtree(fresh, ignore_errors=True)
                if not target.is_dir():  # another process was first: its result is checked below
                    raise
        for path, content in files.items():
            if (target / path).read_bytes() != content:
                raise BundleError(f"{target / path}: differs from the bundle; remove {target}")
    except OSError as error:
        raise BundleError(f"{target}: cannot be installed: {error}") from error
    return target


def build_bundle(app_dir: Path) -> bytes:
    """What `flwr build` makes of an app's folder; the same bytes for the same files.

    Raises:
        BundleError: the CLI is missing or refuses the app; the text holds its words.
    """
    if not (app_dir / "pyproject.toml").is_file():
        raise BundleError(f"{app_dir}: expected an app's folder with pyproject.toml, got none")
    flwr = Path(sys.executable).parent / "flwr"
    if not flwr.is_file():
        raise BundleError(f"{flwr}: expected Flower's command line there; install flwr")
    with tempfile.TemporaryDirectory(prefix="tds-build-") as folder:
        environment = {
            **os.environ,
            "FLWR_HOME": folder,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            # `flwr build` looks for the ServerApp's module, which an app may take from the space.
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        try:
            done = subprocess.run(
                [flwr, "build", "--app", app_dir.resolve()],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BundleError(f"flwr build {app_dir}: {error}") from error
        built = list(Path(folder).glob("*.fab"))
        if done.returncode != 0 or len(built) != 1:
            words = (done.stderr or done.stdout)[-1000:]
            raise BundleError(f"flwr build {app_dir}: expected one bundle, got: {words}")
        return built[0].read_bytes()


def _unzip(fab: bytes) -> dict[str, bytes]:
    """Every file of the zip, within the bounds; nothing touches the disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(fab)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES:
                raise BundleError(f"bundle: expected at most {MAX_FILES} files, got {len(entries)}")
            if sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
                raise BundleError(f"bundle: expected at most {MAX_TOTAL_BYTES} bytes unpacked")
            files: dict[str, bytes] = {}
            for entry in entries:
                _check_entry(entry)
                if entry.filename in files:
                    raise BundleError(f"bundle: {entry.filename!r}: expected once, got twice")
                # Not more is read than was declared, whatever the compressed stream holds.
                with archive.open(entry) as stream:
                    files[entry.filename] = stream.read(entry.file_size)
                if len(files[entry.filename]) != entry.file_size:
                    raise BundleError(f"bundle: {entry.filename!r}: expected its declared size")
            return files
    except _NO_ZIP as error:
        raise BundleError(f"bundle: expected a zip archive: {error}") from error


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    path = PurePosixPath(name)
    where = f"bundle: {name[:100]!r}"
    plain = str(path) == name and not path.is_absolute() and ".." not in path.parts
    if not plain or "\\" in name or not name.isprintable() or ":" in name:
        raise BundleError(f"{where}: expected a plain relative path")
    if len(name) > MAX_PATH or len(path.parts) > MAX_DEPTH:
        raise BundleError(f"{where}: expected at most {MAX_PATH} characters, {MAX_DEPTH} levels")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir():
        raise BundleError(f"{where}: expected a plain file, got a link, folder or device")
    if entry.flag_bits & 1:
        raise BundleError(f"{where}: expected no encryption")
    if name != CONTENT and (path.suffix not in SUFFIXES and name != "LICENSE"):
        raise BundleError(f"{where}: expected one of {sorted(SUFFIXES)} or LICENSE")
    if name != CONTENT and (path.parts[0].startswith(".") or "__pycache__" in path.parts):
        raise BundleError(f"{where}: expected no hidden or cache folder")


def _check_manifest(manifest: bytes, files: dict[str, bytes]) -> None:
    listed: dict[str, tuple[str, str]] = {}
    try:
        for line in manifest.decode("utf-8").split("\n"):
            path, digest, bits = line.rsplit(",", 2)
            listed[path] = (digest, bits)
    except ValueError as error:
        raise BundleError(f"bundle: {CONTENT}: expected lines path,sha256,bits") from error
    if set(listed) != set(files):
        odd = sorted(set(listed) ^ set(files))[0]
        raise BundleError(f"bundle: {CONTENT}: expected every file listed once, got {odd!r}")
    for path, content in files.items():
        if listed[path] != (hashlib.sha256(content).hexdigest(), str(len(content) * 8)):
            raise BundleError(f"bundle: {path!r}: expected the hash and size listed in {CONTENT}")


def installed_declaration(folder: Path) -> Declaration:
    """What an installed app declares to return.

    Raises:
        BundleError: its pyproject.toml cannot be read.
    """
    try:
        content = (folder / PYPROJECT).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder}: expected {PYPROJECT}: {error}") from error
    return declaration_of(read_pyproject({PYPROJECT: content}))


def read_pyproject(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The tables of the app's pyproject.toml, within bounds of size and depth.

    Raises:
        BundleError: none, or none that can be read.
    """
    content = files.get(PYPROJECT, b"")
    if len(content) > MAX_PYPROJECT_BYTES:
        raise BundleError(
            f"bundle: {PYPROJECT}: expected at most {MAX_PYPROJECT_BYTES} bytes, got {len(content)}"
        )
    if any(line.count(b".") > MAX_DOTS for line in content.splitlines()):
        raise BundleError(f"bundle: {PYPROJECT}: expected at most {MAX_DOTS} dots in a line")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"bundle: {PYPROJECT}: expected [tool.flwr.app]: {error}") from error


def _app_table(files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        table = read_pyproject(files)["tool"]["flwr"]["app"]
    except (KeyError, TypeError) as error:
        raise BundleError(f"bundle: {PYPROJECT}: expected [tool.flwr.app]: {error}") from error
    if not isinstance(table, dict):
        raise BundleError(f"bundle: {PYPROJECT}: expected a table [tool.flwr.app]")
    return table


def _components(files: dict[str, bytes]) -> None:
    components = _app_table(files).get("components")
    if not isinstance(components, dict) or "agentapp" in components:
        raise BundleError("bundle: expected components serverapp and clientapp, and no agentapp")
    reference = components.get("clientapp")
    module, _, attribute = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise BundleError("bundle: expected clientapp = 'module:attribute'")


def _write(files: dict[str, bytes], folder: Path) -> None:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o444)
    for place in sorted(folder.rglob("*"), reverse=True):
        if place.is_dir():
            place.chmod(0o555)
    folder.chmod(0o755)
