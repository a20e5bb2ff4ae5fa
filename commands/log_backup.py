"""What backups of a space and of a node share: their log, and whether it is the newest.

A log restored from a backup goes on where the backup ends. If it signed anything after that, going
on signs a second history: a fork, and nodes and auditors rightly call it one. Whether it did, the
backup cannot tell. So a restored log is only let go on beside evidence, which is a newest signed
checkpoint from elsewhere, or on the operator's word.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from auditors.errors import IntegrityBroken
from auditors.verify import Verified, verify_folder
from commands.errors import BadInput, CommandFailed
from commands.reading import read_bounded
from ledger.durable import replace_file
from ledger.log import Log
from ledger.note import MAX_NOTE_BYTES, NoteSigner
from ledger.store_sqlite import SqliteStore

LOG: Final = "log"

OutOption = Annotated[
    Path, typer.Option(help="File to make (mode 0600), or a folder to make it in.")
]
KeysOption = Annotated[
    bool,
    typer.Option(
        "--keys", help="Take the keys along, under a passphrase that is asked on the terminal."
    ),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(help="Read the passphrase from this file (mode 0600) instead of asking."),
]
KeysFromOption = Annotated[
    Path | None,
    typer.Option(
        help="A folder with the keys, each at its path, where the backup has none: a copy of the "
        "old folder is one."
    ),
]
SeenOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="The newest signed checkpoint that somebody else holds: the last-signed record, an "
        "auditor's LOG/checkpoint, a node's (tds node seen). May be given several times."
    ),
]


def copy_database(source: Path, target: Path) -> None:
    """One moment of an SQLite database, whoever writes to it meanwhile (its online backup).

    Raises:
        CommandFailed: not to be read, or no database.
    """
    if not source.is_file():
        raise CommandFailed(f"{source}: expected a database, got no such file; did it ever run?")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(sqlite3.connect(source, timeout=5)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
    except sqlite3.Error as error:
        raise CommandFailed(f"{source}: expected to copy this database, got: {error}") from error


def copy_log(database: Path, into: Path, *, name: str, signer: NoteSigner) -> tuple[int, str]:
    """The log's database as of one moment at `into / name`, and the tiles and the checkpoint that
    belong to exactly that moment in `into / "log"`; the tree was computed again over all of it.

    Returns:
        Size and checkpoint.

    Raises:
        LogDamaged: the database does not hold what its key signed.
        CommandFailed: it cannot be read, or holds nothing yet.
    """
    copy = into / name
    copy_database(database, copy)
    with closing(SqliteStore.open(copy)) as store:
        head = store.head()
    if head is None:
        raise CommandFailed(f"{database}: expected a log that was started, got an empty database")
    record = into / "record"
    replace_file(record, head.note.encode("utf-8"))  # of this copy: it is the newest of itself
    with Log.open(folder=into / LOG, database=copy, last_signed=record, signer=signer) as log:
        size, note = log.size, log.checkpoint()
    record.unlink()
    return size, note


def read_seen(paths: Sequence[Path]) -> list[str]:
    """Signed checkpoints from elsewhere, unverified.

    Raises:
        BadInput: unreadable, too large, no text.
    """
    found = []
    for path in paths:
        try:
            found.append(read_bounded(path, MAX_NOTE_BYTES).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: expected a signed checkpoint, got no text") from error
    return found


def verify_restored(
    folder: Path, *, log_key: str, seen: Sequence[str], what: str, remedy: str
) -> Verified:
    """The folder's log, verified with its key, and that nothing newer was signed as far as is seen.

    Raises:
        IntegrityBroken: the log is not what its key signed.
        CommandFailed: a checkpoint in `seen` is newer, or of another history: a fork.
    """
    verified = verify_folder(folder / LOG, verifier_key=log_key)
    if seen:
        try:
            verify_folder(folder / LOG, verifier_key=log_key, seen=seen)
        except IntegrityBroken as error:
            raise CommandFailed(
                f"{what}: the backup ends at {verified.size} entries, and the log signed more or "
                f"something else after it ({error}). Going on from it would sign a second history, "
                f"which witnesses, nodes and auditors would call a fork; nothing was restored. "
                f"{remedy}"
            ) from error
    return verified


def open_restored(folder: Path, *, database: Path, last_signed: Path, signer: NoteSigner) -> int:
    """Open the log as whoever serves it will: database, folder and record must tell one story.

    Args:
        last_signed: written if it is not there.

    Returns:
        The number of its entries.

    Raises:
        LogDamaged: they do not.
    """
    if not last_signed.exists():
        last_signed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(last_signed, (folder / LOG / "checkpoint").read_bytes())
    with Log.open(
        folder=folder / LOG, database=database, last_signed=last_signed, signer=signer
    ) as log:
        return log.size


def target_file(out: Path, name: str) -> Path:
    """The file to make: `out`, or one of this name in it where that is a folder."""
    return out / name if out.is_dir() else out
