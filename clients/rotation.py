"""A new key for receipts and statements, in steps of which each is durable before the next:

1. keys/receipt.next: the new key.     A crash after it: nobody heard of it; the next call takes it.
2. keys/rotation.json: the change, signed by the old key and proven by the new one. From here on it
   is under way: the node's next start, or the next call, finishes it.
3. governance logs it.                 A crash before the answer is known: the same change is sent
   again, and has the same answer.
4. keys/receipt.former: the old public key, by which this node knows its own earlier statements.
5. keys/receipt.key is the new key; the old private key is gone.
6. `KeyReplaced` in the node's own log, under an idempotency key.
7. rotation.json goes.

It takes the node's own log, so that no node runs meanwhile: a task in hand ends under the key that
its permit names. A permit that names the old key and comes later is refused by the gate.

What does not change here: the key of the node's own log, since whoever verifies that log or counts
this node as a witness knows the log by it (a new one is a new log: enrol anew); the Flower key,
which lets the node in at the SuperLink and signs nothing that is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from clients.errors import ClientError, FileRefused, GovernanceRefused, IdentityError
from clients.files import read_file, replace_file, sync_folder
from clients.folder import NodePaths
from clients.governance import Registered
from clients.identity import NodeIdentity
from clients.journal import Journal
from clients.keys import load_former, load_signing_key, signing_key
from clients.state import NodeState
from policies.canonical import canonical_bytes
from policies.envelope import open_envelope, unverified_payload
from policies.errors import PolicyError
from policies.fields import instant
from policies.keychange import KEY_CHANGE_TYPE, KeyChange, sign_key_change

MAX_CHANGE_BYTES: Final = 16 * 1024
# Governance's word on this very change, and that it is not in the log.
_FINAL: Final = frozenset({"invalid_argument", "failed_precondition"})


class RotatePort(Protocol):
    """What a rotation asks of governance; `clients.governance.GovernanceClient` is one."""

    def rotate_key(self, envelope: bytes) -> Registered:
        """A signed KeyChange; in the space's log when it returns. GovernanceError."""
        ...


@dataclass(frozen=True, slots=True)
class Rotated:
    """A change that is done: raw public keys, hexadecimal, and the entry of the space's log."""

    previous: str
    receipt_key: str
    index: int


def under_way(paths: NodePaths) -> bool:
    """Whether a change was begun and has to be finished before the node can run."""
    return _statement(paths).exists()


def begin(identity: NodeIdentity, state: NodeState, *, now: datetime) -> None:
    """Steps 1 and 2, unless a change is under way already.

    Raises:
        ClientError: statements under the old key still wait for governance.
        FileRefused, IdentityError: the folder.
    """
    paths = identity.paths
    if under_way(paths):
        return
    _require_nothing_waits(identity, state)
    new = signing_key(paths.key("receipt.next"))
    envelope = sign_key_change(
        space=identity.config.space.name,
        participant=identity.participant,
        time=instant(now),
        old=identity.keys.receipt,
        new=new,
    )
    replace_file(_statement(paths), envelope)


def finish(folder: Path, governance: RotatePort, journal: Journal) -> Rotated:
    """Steps 3 to 7 of a change that is under way, wherever an earlier call stopped.

    Args:
        journal: of the node's own log, held by this process.

    Raises:
        GovernanceRefused: with code invalid_argument or failed_precondition the change is given up
            and the old key stands; with any other it stays under way.
        GovernanceUnavailable, LedgerError, FileRefused: it stays under way; call again.
        IdentityError: the folder's parts do not belong together.
    """
    paths = NodePaths(folder.absolute())
    envelope = read_file(_statement(paths), max_bytes=MAX_CHANGE_BYTES)
    change = _read(paths, envelope)
    held = load_signing_key(paths.key("receipt.key")).public_key().public_bytes_raw().hex()
    if held not in (change.previous, change.receipt_key):
        raise IdentityError(
            f"{_statement(paths)}: expected a change of the key in keys/receipt.key, got one of "
            "another; restore the folder from one backup, not from several"
        )
    # 3. The same change again has the same answer.
    try:
        registered = governance.rotate_key(envelope)
    except GovernanceRefused as error:
        if error.code in _FINAL and held == change.previous:
            _give_up(paths)
        raise
    if held == change.previous:
        # 4. and 5. A crash between: the old key is listed and still held; both are done again.
        _remember(paths, change.previous)
        _take_next(paths, change.receipt_key)
    # 6. A crash after it: the entry is found under its key.
    _note(journal, change, registered.index)
    # 7.
    _statement(paths).unlink()
    sync_folder(paths.keys)
    return Rotated(change.previous, change.receipt_key, registered.index)


def _statement(paths: NodePaths) -> Path:
    return paths.key("rotation.json")


def _require_nothing_waits(identity: NodeIdentity, state: NodeState) -> None:
    pending = identity.paths.root / "pending"
    waiting = [one.id for one in state.products() if one.registered is None]
    waiting += [path.stem for path in sorted(pending.glob("*.json"))]
    if waiting:
        raise ClientError(
            "key: expected no product that waits to be registered, got "
            f"{', '.join(waiting)[:300]}, signed with the old key; register it first: "
            "tds product add FILE"
        )
    if state.pending_withdrawals():
        raise ClientError(
            "key: expected no withdrawal that governance has not confirmed, got some, signed with "
            "the old key; let the node tell it first (tds node run), then rotate"
        )


def _read(paths: NodePaths, envelope: bytes) -> KeyChange:
    """The change, once it is seen that its old key signed it."""
    try:
        payload = unverified_payload(envelope, payload_type=KEY_CHANGE_TYPE)
        change = KeyChange.from_json(payload)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(change.previous))
        open_envelope(envelope, payload_type=KEY_CHANGE_TYPE, key=key)
        change.check_proof()
    except PolicyError as error:
        raise IdentityError(f"{_statement(paths)}: {error}") from error
    return change


def _remember(paths: NodePaths, previous: str) -> None:
    former = load_former(paths)
    if previous not in former:
        replace_file(paths.key("receipt.former"), canonical_bytes([*former, previous]))


def _take_next(paths: NodePaths, expected: str) -> None:
    path = paths.key("receipt.next")
    key = load_signing_key(path)
    if key.public_key().public_bytes_raw().hex() != expected:
        raise IdentityError(f"{path}: expected the key that the space's log has, got another")
    try:
        path.replace(paths.key("receipt.key"))
    except OSError as error:
        raise FileRefused(f"{path}: cannot be renamed: {error.strerror}") from error
    sync_folder(paths.keys)


def _give_up(paths: NodePaths) -> None:
    """Without the statement first: a key alone is taken by the next rotation."""
    _statement(paths).unlink()
    sync_folder(paths.keys)
    paths.key("receipt.next").unlink(missing_ok=True)
    sync_folder(paths.keys)


def _note(journal: Journal, change: KeyChange, index: int) -> None:
    body = {"previous": change.previous, "receipt_key": change.receipt_key, "entry": index}
    key = f"key:{change.receipt_key}"
    journal.write("KeyReplaced", time=change.time, body=body, idempotency_key=key)
