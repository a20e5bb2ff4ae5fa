"""A folder with a log in it, as one backup: the part that a space and a node have in common."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from commands.archive import KEYS, Kind, Manifest, Source, archive_writer, plain_files
from commands.key_files import take_keys
from policies.fields import instant


@dataclass(frozen=True, slots=True)
class FolderBackup:
    """What of a folder is backed up, and how.

    Attributes:
        name: for people.
        log_key: the log's public key.
        copy: puts consistent copies of what changes all the time (databases, the log) into a new
            folder, each at its path; gives the log's size and checkpoint.
        leave_out: paths that are not taken from the folder, those of `copy` among them.
        is_secret: whether a file goes into the sealed keys only.
        may_be_gone: beginnings of paths that can go away while the others are copied.
    """

    kind: Kind
    name: str
    log_key: str
    folder: Path
    copy: Callable[[Path], tuple[int, str]]
    leave_out: frozenset[str]
    is_secret: Callable[[Source], bool]
    may_be_gone: tuple[str, ...] = ()


def write_backup(
    of: FolderBackup, out: Path, *, made: datetime, keys: bool, passphrase_file: Path | None
) -> int:
    """The backup's file (mode 0600); the number of the log's entries in it.

    What changes all the time is copied first; the rest was durable before the log spoke of it.

    Raises:
        BadInput, CommandFailed, LogDamaged: nothing was written.
    """
    with (
        archive_writer(out) as archive,
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary,
    ):
        work = Path(temporary)
        size, note = of.copy(work)
        copied_folders, copied = plain_files(work, leave_out=frozenset())
        folders, files = plain_files(of.folder, leave_out=of.leave_out)
        secret = [one for one in files if of.is_secret(one)]
        for one in [*copied, *files]:
            if one not in secret:
                archive.add(one, may_be_gone=one.path.startswith(of.may_be_gone))
        if keys:
            random = secrets.token_bytes(28)
            archive.add_bytes(
                KEYS, take_keys(secret, passphrase_file, about=of.log_key, random=random)
            )
        archive.finish(
            Manifest(
                version=1,
                kind=of.kind,
                name=of.name,
                made=instant(made),
                log_key=of.log_key,
                size=size,
                checkpoint=note,
                sealed=keys,
                secrets=[one.path for one in secret],
                folders=sorted({*folders, *copied_folders}),
                files=archive.files,
            )
        )
    return size
