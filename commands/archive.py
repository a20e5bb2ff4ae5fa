"""A backup's file: a plain tar of plain files, and last in it a manifest that names each of them.

    manifest.json    `Manifest`: what it is of, the log's checkpoint, SHA-256 and size of each file
    keys.sealed      the keys under a passphrase (commands.sealed_keys); optional
    …                every other file, under its path in the folder that was backed up

Writing streams: nothing has to fit into memory, and the file gets its name once it is whole and on
the disk. Reading believes nothing before the manifest: only plain files at plain paths are taken
out, into a new folder, hashed as they are written; what the manifest does not name, or names
otherwise, is refused, and the folder goes.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Final, Literal

from pydantic import Field

from commands.errors import BadInput, CommandFailed
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Document, Instant, Sha256, Version

MANIFEST: Final = "manifest.json"
KEYS: Final = "keys.sealed"
MAX_FILES: Final = 1_000_000
MAX_MANIFEST_BYTES: Final = 256 << 20
_CHUNK: Final = 1 << 20
_PATH = Annotated[str, Field(min_length=1, max_length=1000)]
Kind = Literal["space", "node"]


class FileRecord(Document):
    """One file: its path in the folder, bytes, SHA-256, and whether others may read it."""

    path: _PATH
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256
    public: bool


class Manifest(Document):
    """`manifest.json`.

    Attributes:
        name: of the space; a node's: of its own log.
        made: when the backup began.
        log_key: the log's public key (a C2SP verifier key), which the checkpoint is signed with.
        size, checkpoint: of the log in the backup.
        sealed: whether `keys.sealed` is there.
        secrets: paths of the secret files, which are in `keys.sealed` or were left out.
        folders: every folder, parents first, as some must be there though they are empty.
    """

    version: Version
    kind: Kind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    made: Instant
    log_key: Annotated[str, Field(max_length=500)]
    size: Annotated[int, Field(ge=0)]
    checkpoint: Annotated[str, Field(max_length=1_000_000)]
    sealed: bool
    secrets: Annotated[list[_PATH], Field(max_length=10_000)]
    folders: Annotated[list[_PATH], Field(max_length=MAX_FILES)]
    files: Annotated[list[FileRecord], Field(max_length=MAX_FILES)]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to back up: where it stands, and its path in the backup."""

    path: str
    file: Path


class ArchiveWriter:
    """A backup in the making; `archive_writer` opens it."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: list[FileRecord] = []

    def add(self, source: Source, *, may_be_gone: bool = False) -> None:
        """Take in a file as it stands now.

        Args:
            may_be_gone: what is erased meanwhile is left out.

        Raises:
            BadInput: no plain file.
        """
        try:
            descriptor = os.open(source.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if may_be_gone:
                return
            raise
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BadInput(f"{source.file}: expected a plain file, got something else")
            self._add(source.path, file, found.st_size, bool(found.st_mode & stat.S_IROTH))

    def add_bytes(self, path: str, data: bytes) -> None:
        """Take in a file that stands nowhere."""
        self._add(path, io.BytesIO(data), len(data), public=False)

    def finish(self, manifest: Manifest) -> None:
        """The last file of all."""
        data = canonical_bytes(manifest.to_json())
        self._tar.addfile(_info(MANIFEST, len(data)), io.BytesIO(data))

    def _add(self, path: str, file: IO[bytes], size: int, public: bool) -> None:
        hashed = _Hashed(file)
        self._tar.addfile(_info(path, size), hashed)
        self.files.append(
            FileRecord(path=path, size=size, sha256=hashed.digest.hexdigest(), public=public)
        )


@contextmanager
def archive_writer(out: Path) -> Iterator[ArchiveWriter]:
    """A new file (mode 0600), durable and under its name once the block has ended without an error.

    Raises:
        BadInput: there is one of that name; nothing is overwritten.
        CommandFailed: it cannot be written.
    """
    if out.exists():
        raise BadInput(f"{out}: expected no such file, got one; choose another --out")
    try:
        descriptor, fresh = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".new", dir=out.parent)
    except OSError as error:
        raise CommandFailed(
            f"{out}: expected to write a new file, got: {error.strerror}"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                yield ArchiveWriter(tar)
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, out)  # unlike a rename, it fails where the name is taken
        _sync(out.parent)
    except FileExistsError as error:
        raise BadInput(f"{out}: expected no such file, got one; choose another --out") from error
    except OSError as error:
        what = error.strerror or str(error)
        raise CommandFailed(f"{error.filename or out}: the backup was not made: {what}") from error
    finally:
        Path(fresh).unlink(missing_ok=True)


@contextmanager
def unpacked(archive: Path, into: Path, *, kind: Kind) -> Iterator[tuple[Path, Manifest]]:
    """The files of a backup in a new folder beside `into`, which goes when the block ends.

    What the block wants to keep it renames. Its files are what the manifest says, byte for byte.

    Raises:
        BadInput: `into` is in the way; not a whole backup, not of this kind, or changed since.
    """
    if into.exists() or into.is_symlink():
        raise BadInput(f"{into}: expected no such folder, got one; a backup overwrites nothing")
    if not into.parent.is_dir():
        raise BadInput(f"{into.parent}: expected a folder to restore into, got none")
    work = Path(tempfile.mkdtemp(prefix=f".{into.name}.new-", dir=into.parent))
    try:
        try:
            with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                manifest = _unpack(archive, tar, work, kind)
        except (tarfile.TarError, DocumentError) as error:
            raise BadInput(f"{archive}: expected a backup, got: {error}") from error
        except OSError as error:
            raise CommandFailed(f"{archive}: cannot be restored: {error}") from error
        yield work, manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def plain_files(folder: Path, *, leave_out: frozenset[str]) -> tuple[list[str], list[Source]]:
    """Folders and files below a folder, parents first, each by its path in it.

    Args:
        leave_out: paths of files and folders that are not gone into. Lock files, what is being
            written (`.NAME`) and what SQLite keeps beside a database are left out as well.

    Raises:
        BadInput: a link, or another thing that is no file: where it leads may not be there later.
    """
    folders: list[str] = []
    files: list[Source] = []
    for place, names, found in os.walk(folder):
        below = Path(place).relative_to(folder)
        kept = [one for one in sorted(names) if _wanted(str(below / one), leave_out)]
        names[:] = kept
        folders += [str(below / one) for one in kept]
        for one in sorted([*found, *kept]):
            path = below / one
            if one in found and not _wanted(str(path), leave_out):
                continue
            mode = (folder / path).lstat().st_mode
            if not (stat.S_ISREG(mode) if one in found else stat.S_ISDIR(mode)):
                raise BadInput(
                    f"{folder / path}: expected plain files and folders only, got a link or "
                    "something else; move it out of the folder"
                )
            if one in found:
                files.append(Source(str(path), folder / path))
    return folders, files


def finish_restore(work: Path, into: Path) -> None:
    """Give the folder its name, durably.

    Raises:
        BadInput: something has it meanwhile.
    """
    try:
        os.sync()  # thousands of files: once for all
        work.rename(into)
        _sync(into.parent)
    except OSError as error:
        raise BadInput(f"{into}: expected no such folder, got: {error.strerror}") from error


def _wanted(path: str, leave_out: frozenset[str]) -> bool:
    name = path.rpartition("/")[2]
    passing = (".lock", "-wal", "-shm", "-journal")
    return path not in leave_out and not name.startswith(".") and not name.endswith(passing)


def _unpack(archive: Path, tar: tarfile.TarFile, work: Path, kind: Kind) -> Manifest:
    found: dict[str, tuple[int, str]] = {}
    manifest: Manifest | None = None
    for info in tar:
        if manifest is not None or len(found) > MAX_FILES:
            raise BadInput(f"{archive}: expected the manifest to be last, got more after it")
        if info.type != tarfile.REGTYPE or info.issparse():
            raise BadInput(f"{archive}: expected plain files only, got {info.name[:200]!r}")
        content = tar.extractfile(info)
        assert content is not None  # it is a plain file
        if info.name == MANIFEST:
            manifest = _manifest(archive, content, kind)
        elif info.name in found:
            raise BadInput(f"{archive}: expected {info.name[:200]!r} once, got it twice")
        else:
            found[info.name] = _place(work / _checked(archive, info.name), content)
    if manifest is None:
        raise BadInput(f"{archive}: expected a manifest as its last file; the file was cut short")
    _compare(archive, found, manifest.files)
    for one in manifest.files:
        if one.public:
            (work / one.path).chmod(0o644)
    for name in manifest.folders:
        (work / _checked(archive, name)).mkdir(mode=0o700, parents=True, exist_ok=True)
    return manifest


def _manifest(archive: Path, content: IO[bytes], kind: Kind) -> Manifest:
    data = content.read(MAX_MANIFEST_BYTES + 1)
    manifest = Manifest.from_json(parse_json(data, max_bytes=MAX_MANIFEST_BYTES))
    if manifest.kind != kind:
        verb = {"space": "tds space restore", "node": "tds node restore"}[manifest.kind]
        raise BadInput(f"{archive}: expected a backup of a {kind}; this is for: {verb}")
    return manifest


def _compare(
    archive: Path, found: dict[str, tuple[int, str]], stated: Iterable[FileRecord]
) -> None:
    wanted = {one.path: (one.size, one.sha256) for one in stated}
    for path in sorted({*wanted, *found}):
        if found.get(path) != wanted.get(path):
            here = "no such file" if path not in found else "another file"
            named = "a file with the manifest's SHA-256" if path in wanted else "no such file"
            raise BadInput(
                f"{archive}: {path[:200]}: expected {named}, got {here}; the backup was changed "
                "or damaged, take another copy of it"
            )


def _checked(archive: Path, name: str) -> str:
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts) or not name.isprintable():
        raise BadInput(f"{archive}: expected paths inside of the backup, got {name[:200]!r}")
    return name


def _place(path: Path, content: IO[bytes]) -> tuple[int, str]:
    """Write a new file, mode 0600; its size and SHA-256. `finish_restore` makes it durable."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return size, digest.hexdigest()


def _info(path: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, 0o600
    return info


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data
