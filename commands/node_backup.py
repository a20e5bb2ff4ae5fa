"""`tds node backup` and `tds node restore`: a node's folder in one file, made while the node runs.

Taken along is what a node cannot make anew or get again: who it is, its products and agreements,
the bundles it looked at, its database and its own log. Left out are the data, which lie elsewhere,
what apps said when they failed, which may hold rows, and built environments.

A restored node does not know which permits were used after the backup. It refuses every permit
that was issued before it was restored (clients.gate, 6.3).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from clients.files import replace_file
from clients.folder import NodePaths, load_config
from clients.identity import NodeIdentity, load_identity
from clients.state import NodeState
from commands.archive import finish_restore, unpacked
from commands.errors import BadInput
from commands.folder_backup import FolderBackup, write_backup
from commands.key_files import put_keys
from commands.log_backup import (
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
from policies.canonical import canonical_bytes
from policies.fields import instant

NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]
_TAKEN: Final = frozenset(
    {
        *("node.json", "ca.crt", "keys", "products", "readiness", "pending", "agreements"),
        *("offers", "apps", "witness-policy", "evidence"),
    }
)
_PUBLIC_KEYS: Final = (".crt", ".csr", ".former")
_REMEDY: Final = (
    "Restore a newer backup; or join the space anew (tds space invite, tds node new), and keep the "
    "old log for whoever audits you"
)


def backup(
    node: NodeFolder,
    out: OutOption,
    keys: KeysOption = False,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Back a node up into one file, also while it runs; its data are not in it.

    Example: tds node backup --node ./clinic --out ./backups
    """
    identity = load_identity(node)
    made = datetime.now(UTC)
    file = target_file(out, f"node-{made:%Y%m%dT%H%M%SZ}.tar")
    size = write_backup(
        of_node(identity), file, made=made, keys=keys, passphrase_file=passphrase_file
    )
    say(f"wrote {file}: {size} entries of {identity.participant}'s own log, verified as copied")
    if not keys:
        say("without keys: keep copies of them elsewhere, or back up with --keys")
    say("not in it: data, environments for apps (tds app env), what apps said when they failed")


def of_node(identity: NodeIdentity) -> FolderBackup:
    """A node's backup."""
    root = identity.paths.root

    def copy(work: Path) -> tuple[int, str]:
        copy_database(identity.paths.state, work / "state.db")
        return copy_log(root / "ledger.db", work, name="ledger.db", signer=identity.log_signer)

    return FolderBackup(
        kind="node",
        name=identity.log_signer.name,
        log_key=identity.log_signer.verifier_key,
        folder=root,
        copy=copy,
        leave_out=frozenset(one.name for one in root.iterdir()) - _TAKEN,
        is_secret=lambda one: one.path.startswith("keys/") and not one.path.endswith(_PUBLIC_KEYS),
        may_be_gone=("pending/",),
    )


def restore(
    backup: Annotated[Path, typer.Argument(help="A file that `tds node backup` made.")],
    node: Annotated[Path, typer.Option("--node", help="Folder to make; must not exist.")],
    seen: SeenOption = None,
    keys_from: KeysFromOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a node's folder from a backup, after verifying its files and its own log.

    Permits that were issued before are refused from then on: which were used, the backup cannot
    tell. End the old node first, for good: two with one key answer for each other.

    Example: tds node restore backups/node.tar --node ./restored --seen clinic/last-signed
    """
    into = node.absolute()
    now = datetime.now(UTC)
    with unpacked(backup, into, kind="node") as (work, manifest):
        put_keys(work, manifest, keys_from=keys_from, passphrase_file=passphrase_file)
        paths = NodePaths(work)
        config = load_config(paths).model_copy(update={"restored": instant(now)})
        replace_file(paths.config, canonical_bytes(config.to_json()))
        identity = load_identity(work)
        if identity.log_signer.verifier_key != manifest.log_key:
            raise BadInput(f"{backup}: expected one log key, got two; the file was put together")
        verified = verify_restored(
            work,
            log_key=manifest.log_key,
            seen=read_seen(seen or []),
            what=manifest.name,
            remedy=_REMEDY,
        )
        size = open_restored(
            work,
            database=work / "ledger.db",
            last_signed=work / "last-signed",
            signer=identity.log_signer,
        )
        NodeState.open(paths.state).close()  # of this version, or brought up to it
        finish_restore(work, into)
    say(f"restored {config.participant} as of {manifest.made} into {node}")
    say(f"{size} entries of its own log verified, root {verified.root_hex[:16]}…")
    for line in (
        f"permits issued before {config.restored} are refused: whether they were used is not known",
        "not in it, if from after the backup: withdrawals, revoked approvals, uses counted. "
        f"Compare with the space's log, and say it again: tds node reconcile --node {node}",
        "receipts from after the backup name entries of its own log that it has no more; auditors "
        "will ask: keep this sentence for them, and the backup's date",
    ):
        say(line)
