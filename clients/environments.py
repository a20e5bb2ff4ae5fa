"""Environments of packages that the owner builds for apps: nothing is installed when an app runs.

    envs/<name>/lock.txt   what was asked for: name==version and its hashes, line by line
    envs/<name>/site/      what pip unpacked: wheels only, so that nothing of a package ran
    envs/<name>/env.json   what came of it, with a digest over every file; written last

The packages come behind this program's own on `sys.path`: an app sees both, and none of ours can be
hidden (clients.lockfile). Another interpreter for apps was the alternative: it would need a second
Flower and numpy, and what checks and calls an app would then be the environment's. `.pth` files do
nothing here. What an environment holds is read whole when the node first uses it after its start; a
changed file refuses it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from clients.errors import EnvironmentRefused, FileRefused
from clients.files import make_private_folder, read_file, replace_file
from clients.lockfile import check_beside_ours, check_lock
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Count, Document, Instant, Sha256, Version, instant

MAX_LOCK_BYTES: Final = 4 << 20
MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_FILES: Final = 200_000
MAX_BYTES: Final = 16 << 30
BUILD_TIMEOUT_S: Final = 1800.0
"""Of pip."""

_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
EnvironmentName = Annotated[str, Field(pattern=_NAME)]


class _Named(Document):
    name: EnvironmentName


class EnvironmentDocument(Document):
    """`env.json`.

    Attributes:
        digest: SHA-256 over path and content of every file in `site/`.
        python: version and platform of the interpreter that it was built for.
        packages: their versions by name.
        size: of all files, bytes.
    """

    version: Version
    name: EnvironmentName
    digest: Sha256
    python: Annotated[str, Field(max_length=200)]
    built: Instant
    size: Count
    packages: Annotated[dict[str, str], Field(min_length=1, max_length=2000)]


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment whose files were found to be those that were built.

    Attributes:
        digest: what the owner's log and approval name.
        site: the folder for `sys.path`.
    """

    name: str
    digest: str
    site: Path


def build_environment(folder: Path, name: str, lock: Path, *, now: datetime) -> EnvironmentDocument:
    """An environment in `folder/name` with exactly what the lock names.

    pip fetches the packages as it is configured on this machine, checks each hash, and takes
    wheels only: nothing of a package runs. A call that was cut off leaves a folder `.new-…`.

    Raises:
        EnvironmentRefused: the name is taken; a lock without hashes; pip refused; or packages that
            do not fit beside this program's own.
        FileRefused: the lock or the folder.
    """
    place = _place(folder, name)
    if place.exists():
        raise EnvironmentRefused(
            f"environment {name}: expected a new name, since what apps were approved with never "
            "changes, got one that is taken; choose another, or: tds app env remove"
        )
    text = read_file(lock, max_bytes=MAX_LOCK_BYTES)
    try:
        check_lock(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EnvironmentRefused(f"{lock}: expected UTF-8") from error
    make_private_folder(folder)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        replace_file(fresh / "lock.txt", text)
        _install(fresh / "lock.txt", fresh / "site")
        document = _described(fresh / "site", name, now)
        replace_file(fresh / "env.json", canonical_bytes(document.to_json()))
        fresh.rename(place)
    except BaseException:  # Ctrl-C, too
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return document


def read_environment(folder: Path, name: str) -> EnvironmentDocument:
    """What was built under this name; its files are not looked at.

    Raises:
        EnvironmentRefused: none of that name, or its document is damaged.
    """
    path = _place(folder, name) / "env.json"
    try:
        data = read_file(path, max_bytes=MAX_DOCUMENT_BYTES)
        return EnvironmentDocument.from_json(parse_json(data, max_bytes=MAX_DOCUMENT_BYTES))
    except (FileRefused, DocumentError) as error:
        raise EnvironmentRefused(
            f"environment {name}: {error}; build it: tds app env build"
        ) from error


def list_environments(folder: Path) -> list[EnvironmentDocument]:
    """Every environment, by name; errors as `read_environment`."""
    if not folder.is_dir():
        return []
    names = sorted(place.name for place in folder.iterdir() if not place.name.startswith("."))
    return [read_environment(folder, name) for name in names]


def open_environment(folder: Path, name: str, digest: str) -> Environment:
    """An environment for a run: every file is read, and is what was built.

    Args:
        digest: what the owner approved the app with.

    Raises:
        EnvironmentRefused: not there, for another Python, or changed.
    """
    document = read_environment(folder, name)
    site = _place(folder, name) / "site"
    if document.python != _python():
        raise EnvironmentRefused(
            f"environment {name}: expected one for {_python()}, got one for {document.python}; "
            "build it again under another name"
        )
    found, _ = _digest(site)
    if found != digest:
        raise EnvironmentRefused(
            f"environment {name}: expected digest {digest}, got {found}: its files were changed "
            "since the app was approved with it; build it again under another name"
        )
    return Environment(name=name, digest=digest, site=site)


def remove_environment(folder: Path, name: str) -> None:
    """Nothing of it is left.

    Raises:
        EnvironmentRefused: none of that name.
    """
    place = _place(folder, name)
    if not place.is_dir():
        raise EnvironmentRefused(f"environment {name}: expected one of that name, got none")
    gone = place.with_name(f".old-{name}")
    shutil.rmtree(gone, ignore_errors=True)
    place.rename(gone)
    shutil.rmtree(gone)


def _place(folder: Path, name: str) -> Path:
    try:
        return folder / _Named.from_json({"name": name}).name
    except DocumentError as error:
        raise EnvironmentRefused(
            f"environment {name!r:.80}: expected a name of small letters, digits, - and _"
        ) from error


def _install(lock: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--no-input"]
    command += ["--ignore-installed", "--target", str(site), "--requirement", str(lock)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PIP_USER": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentRefused(f"pip install: {error}") from error
    if done.returncode != 0 or not site.is_dir():
        words = (done.stderr or done.stdout)[-1500:]
        raise EnvironmentRefused(f"pip install: expected the packages of the lock, got: {words}")


def _described(site: Path, name: str, now: datetime) -> EnvironmentDocument:
    packages = check_beside_ours(site)
    for place in _files(site):
        place.chmod(0o444)
    digest, size = _digest(site)
    return EnvironmentDocument(
        version=1,
        name=name,
        digest=digest,
        python=_python(),
        built=instant(now),
        size=size,
        packages=packages,
    )


def _python() -> str:
    return f"{sys.implementation.cache_tag} {sys.platform} {os.uname().machine}"


def _digest(site: Path) -> tuple[str, int]:
    """SHA-256 over a line of path, size and SHA-256 a file, in the order of paths; and the size."""
    whole = hashlib.sha256()
    size = 0
    for place in _files(site):
        digest = hashlib.sha256()
        length = 0
        with place.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                length += len(chunk)
        size += length
        if size > MAX_BYTES:
            raise EnvironmentRefused(f"{site}: expected at most {MAX_BYTES} bytes, got more")
        line = [place.relative_to(site).as_posix(), length, digest.hexdigest()]
        whole.update(canonical_bytes(line) + b"\n")
    return whole.hexdigest(), size


def _files(site: Path) -> Iterator[Path]:
    """The plain files below, in the order of their paths; anything else is refused."""
    found: list[Path] = []
    for root, folders, files in os.walk(site):
        for place in (Path(root) / name for name in (*folders, *files)):
            if place.is_symlink() or not (place.is_file() or place.is_dir()):
                raise EnvironmentRefused(f"{place}: expected a plain file or folder")
        found += [Path(root) / name for name in files]
        if len(found) > MAX_FILES:
            raise EnvironmentRefused(f"{site}: expected at most {MAX_FILES} files, got more")
    return iter(sorted(found, key=lambda place: place.relative_to(site).as_posix()))
