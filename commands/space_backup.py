"""`tds space backup` and `tds space restore`: a space in one file, made while governance runs.

Each part is copied as of one moment, in an order that makes them fit: the registry first, then the
log, which therefore holds at least what the registry has applied; then disclosures and bundles,
which are durable before the log speaks of them. Left out are the mask keys of rounds that are open
(`server.mask_keys`), Flower's own state, and the last-signed record, which is what tells an old
backup from the truth.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from commands.archive import Source, finish_restore, unpacked
from commands.errors import BadInput, CommandFailed
from commands.folder_backup import FolderBackup, write_backup
from commands.key_files import put_keys
from commands.log_backup import (
    LOG,
    KeysFromOption,
    KeysOption,
    OutOption,
    PassphraseOption,
    SeenOption,
    copy_database,
    copy_log,
    open_restored,
    read_seen,
    target_file,
    verify_restored,
)
from commands.output import say
from commands.space_people import SpaceFolder
from server.space import Space, load_space

SECRET_ENDINGS: Final = (".key", ".secret", ".join")
MAX_SMALL_BYTES: Final = 65_536
_DOCUMENTS: Final = (
    "disclosures/",
    "apps/",
    "baseline/",
    "consumer/models/",
    "consumer/contracts/",
)
_LEFT_OUT: Final = frozenset(
    {
        *(LOG, "logs", "superlink/home", "superlink/flower.db", "consumer/flwr"),
        *("governance/governance.db", "governance/ledger.db", "governance/last-signed"),
    }
)
_NEW_SPACE: Final = (
    "Restore a newer backup. If what was signed since is lost for good, end this log, keep it for "
    "its auditors, and begin a space under a new name (tds space init)"
)


def backup(
    space: SpaceFolder,
    out: OutOption,
    keys: KeysOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Back a space up into one file, also while `tds serve` runs.

    Example: tds space backup --space ./space --out ./backups
    """
    loaded = load_space(space)
    database = loaded.log_database
    if not isinstance(database, Path):
        raise BadInput(
            f"{space}: its log is on a PostgreSQL server, which this command does not reach: copy "
            "governance/governance.db first (sqlite3 FILE '.backup COPY'), then dump the log "
            "(pg_dump --schema=tdspace), then copy the rest of the folder; docs/operator.md"
        )
    made = datetime.now(UTC)
    file = target_file(out, f"space-{made:%Y%m%dT%H%M%SZ}.tar")
    size = write_backup(
        of_space(loaded, database), file, made=made, keys=keys, passphrase_file=passphrase_file
    )
    say(f"wrote {file}: {size} entries of {loaded.card.name}, verified as they were copied")
    if not keys:
        say("without keys: keep copies of them elsewhere, or back up with --keys")
    say(
        "what is erased from the space later stays in this file: keep it no longer than needed, "
        "and from whoever must not read the space"
    )


def of_space(space: Space, database: Path) -> FolderBackup:
    """A space's backup; `database` is its log's."""

    def copy(work: Path) -> tuple[int, str]:
        copy_registry(space.database, work / "governance" / "governance.db")
        (work / "superlink" / "home").mkdir(mode=0o700, parents=True)
        name = "governance/ledger.db"
        return copy_log(database, work, name=name, signer=space.log_signer())

    return FolderBackup(
        kind="space",
        name=space.card.name,
        log_key=space.card.log_key,
        folder=space.folder,
        copy=copy,
        leave_out=_LEFT_OUT,
        is_secret=is_secret,
        may_be_gone=("disclosures/", "consumer/models/", "consumer/contracts/"),
    )


def is_secret(source: Source) -> bool:
    """A key by its name; or a small file that only its owner may read, as `server.files` makes
    secrets, in a place where no documents lie."""
    if source.path.endswith(SECRET_ENDINGS):
        return True
    if source.path.startswith(_DOCUMENTS):
        return False
    found = source.file.lstat()
    return found.st_mode & 0o077 == 0 and found.st_size <= MAX_SMALL_BYTES


def copy_registry(source: Path, target: Path) -> None:
    """The registry as of one moment, without the mask keys of rounds that are open: together with
    the masked updates they would open each of these. After a restore such a round is closed without
    a result."""
    copy_database(source, target)
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA secure_delete=ON")
            copy.execute("DELETE FROM node_mask_keys")
            copy.execute("DELETE FROM mask_keys")
            copy.execute("VACUUM")
    except sqlite3.Error as error:
        raise CommandFailed(f"{source}: expected a registry, got: {error}") from error


def restore(
    backup: Annotated[Path, typer.Argument(help="A file that `tds space backup` made.")],
    space: Annotated[Path, typer.Option("--space", help="Folder to make; must not exist.")],
    seen: SeenOption = None,
    newest: Annotated[
        bool,
        typer.Option(
            "--newest",
            help="Your word that the log signed nothing after this backup, where no checkpoint "
            "from elsewhere can show it.",
        ),
    ] = False,
    keys_from: KeysFromOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a space's folder from a backup, after verifying its files and its log.

    Entries that were logged after the backup are not in it. If there were any, nothing is restored:
    to go on without them would fork the log. End the old `tds serve` first; its addresses are those
    of the new one.

    Example: tds space restore backups/space.tar --space ./restored --seen auditor/log/checkpoint
    """
    into = space.absolute()
    with unpacked(backup, into, kind="space") as (work, manifest):
        put_keys(work, manifest, keys_from=keys_from, passphrase_file=passphrase_file)
        loaded = load_space(work)
        if loaded.card.log_key != manifest.log_key:
            raise BadInput(f"{backup}: expected one log key, got two; the file was put together")
        known = _known_heads(loaded, seen or [], newest=newest)
        verified = verify_restored(
            work,
            log_key=loaded.card.log_key,
            seen=read_seen(known),
            what=loaded.card.name,
            remedy=_NEW_SPACE,
        )
        size = open_restored(
            work,
            database=work / "governance" / "ledger.db",
            last_signed=loaded.last_signed,
            signer=loaded.log_signer(),
        )
        finish_restore(work, into)
    say(f"restored {manifest.name} as of {manifest.made} into {space}: {size} entries verified")
    say(f"checkpoint {verified.root_hex[:16]}…; compared with {len(known)} from elsewhere")
    tell_what_to_consider(known=bool(known))


def _known_heads(space: Space, seen: Sequence[Path], *, newest: bool) -> list[Path]:
    """The newest checkpoints that are known of from outside of the backup.

    Raises:
        CommandFailed: none, and nobody's word instead.
    """
    outside = [space.last_signed] if space.config.last_signed else []
    known = [*(one for one in outside if one.exists()), *seen]
    if not known and not newest:
        raise CommandFailed(
            "expected evidence that the log signed nothing after it: --seen FILE with the newest "
            "checkpoint that anybody holds (the last-signed record, log/checkpoint of the old "
            "folder or of an auditor's copy, a node's: tds node seen), or your own word: "
            "--newest. A log that goes on from an older state than it signed is a fork"
        )
    return known


def tell_what_to_consider(*, known: bool) -> None:
    """What no file can tell."""
    if not known:
        say(
            "nobody's checkpoint was compared: if a node or a witness saw more than this, it "
            "refuses the log's heads and governance says so at level CRITICAL; stop it then"
        )
    for line in (
        "what was erased after the backup (tds space erase) is in disclosures/ again: erase it",
        "open invitations made after it are void; runs that were open: tds run resume, or stop",
        "Flower's own state starts anew: tds serve tells the SuperLink the nodes it knows",
    ):
        say(line)
