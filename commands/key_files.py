"""The secret files of a backup: into it under a passphrase, and back into the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from commands.archive import KEYS, Manifest, Source
from commands.errors import BadInput
from commands.private_file import read_private, write_private
from commands.reading import read_bounded
from commands.sealed_keys import MAX_SEALED_BYTES, open_keys, read_passphrase, seal_keys

MAX_SECRET_FILE_BYTES = 1 << 20


def take_keys(
    files: Sequence[Source], passphrase_file: Path | None, *, about: str, random: bytes
) -> bytes:
    """These files, sealed under a passphrase; errors as `read_passphrase` and `seal_keys`."""
    passphrase = read_passphrase(passphrase_file, again=True)
    found = {one.path: read_private(one.file, MAX_SECRET_FILE_BYTES) for one in files}
    return seal_keys(found, passphrase, about=about, random=random)


def put_keys(
    work: Path, manifest: Manifest, *, keys_from: Path | None, passphrase_file: Path | None
) -> None:
    """Every secret file of the manifest is in its place (mode 0600), and no other.

    Args:
        keys_from: a folder with them, where the backup has none.

    Raises:
        BadInput: none in the backup and no folder given, or not the files that the manifest names.
        CommandFailed: as `open_keys`.
    """
    if manifest.sealed:
        sealed = read_bounded(work / KEYS, MAX_SEALED_BYTES)
        passphrase = read_passphrase(passphrase_file, again=False)
        found = open_keys(sealed, passphrase, about=manifest.log_key)
        (work / KEYS).unlink()
    elif keys_from is None:
        raise BadInput(
            f"the backup has no keys: give --keys-from a folder that has them "
            f"({len(manifest.secrets)} files, such as {', '.join(manifest.secrets[:3])})"
        )
    else:
        found = {
            path: read_private(keys_from / path, MAX_SECRET_FILE_BYTES) for path in manifest.secrets
        }
    if sorted(found) != sorted(manifest.secrets):
        raise BadInput("the backup's keys: expected the files that its manifest names, got others")
    for path, data in found.items():
        target = work / path
        if Path(path).is_absolute() or ".." in Path(path).parts or target.exists():
            raise BadInput(f"the backup's keys: expected new files in it, got {path[:200]!r}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(target, data)
