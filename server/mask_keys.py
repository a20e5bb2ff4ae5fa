"""Governance's one-time mask keys: one for each permit with a secure sum, kept while it is open.

A key is durable before the entry of its permit is logged, and forgotten in the transaction that
shows the round closed or abandoned. So:

- **forward secrecy**: whoever takes governance's machine later finds the keys of rounds that are
  open then. With what a node sent in an earlier round nothing can be done any more: the node, too,
  forgot its half (`policies.masks`), and the seed of governance's noise is gone as well. SQLite
  overwrites what it deletes (`secure_delete`), and its write-ahead log is begun anew after each
  close; what a disk keeps of blocks that were written over is for its encryption.
- **a backup** of the registry that was taken while a round was open holds that round's key:
  together with the masked updates, which only the consumer has, it opens each of them. Keep
  backups from whoever runs ServerApps, or leave the registry out of them: all else in it comes from
  the log.
- **a registry made again from the log** has no keys: rounds that were open then cannot be opened,
  and are to be closed without a result.

A crash before the permit's entry leaves a key of no permit, which the next one's transaction
removes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, delete, insert, select

from policies.envelope import unverified_payload
from policies.masks import public_key
from policies.receipt import RECEIPT_TYPE
from server.edge import Edge
from server.tables import MASK_KEYS, NODE_MASK_KEYS, ROUNDS

SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class MaskKey:
    """The secrets of one permit: they stand in no log and leave governance in no message.

    Attributes:
        key: the private half, raw.
        seed: of the noise that governance adds, where it is the one that does.
    """

    permit_id: str
    key: bytes = field(repr=False)
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls, permit_id: str, edge: Edge) -> Self:
        """Fresh ones."""
        return cls(permit_id, edge.random_bytes(32), edge.random_bytes(SEED_BYTES))

    @property
    def private(self) -> X25519PrivateKey:
        """The private half."""
        return X25519PrivateKey.from_private_bytes(self.key)

    @property
    def public(self) -> str:
        """The public half, as the permit holds it."""
        return public_key(self.private)


def keep(connection: Connection, key: MaskKey) -> None:
    """Keep a permit's key, and drop those whose permits were never logged.

    Within the journal's `writing`, so that the registry shows every permit there is.
    """
    logged = select(ROUNDS.c.permit_id).where(ROUNDS.c.permit_id.is_not(None))
    connection.execute(delete(MASK_KEYS).where(MASK_KEYS.c.permit_id.not_in(logged)))
    values = {"permit_id": key.permit_id, "private": key.key, "seed": key.seed}
    connection.execute(insert(MASK_KEYS), values)


def find(connection: Connection, permit_id: str) -> MaskKey | None:
    """The key of a permit; None once it is forgotten."""
    query = select(MASK_KEYS).where(MASK_KEYS.c.permit_id == permit_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else MaskKey(row.permit_id, row.private, row.seed)


def forget(connection: Connection, permit_id: str) -> None:
    """Part of what `RoundClosed` and `RoundAbandoned` mean for the registry."""
    connection.execute(delete(MASK_KEYS).where(MASK_KEYS.c.permit_id == permit_id))


def used(connection: Connection, body: Mapping[str, Any]) -> None:
    """Part of what `ReceiptAccepted` means: the node's public half, which its receipt states."""
    receipt = unverified_payload(base64.b64decode(body["envelope"]), payload_type=RECEIPT_TYPE)
    stated = receipt.get("mask_key") if isinstance(receipt, dict) else None
    if stated:
        values = {
            "permit_id": body["permit_id"],
            "participant": body["participant"],
            "mask_key": stated,
        }
        connection.execute(insert(NODE_MASK_KEYS), values)


def of_nodes(connection: Connection, permit_id: str) -> dict[str, str]:
    """The public halves of those whose receipts were accepted, by participant."""
    query = select(NODE_MASK_KEYS).where(NODE_MASK_KEYS.c.permit_id == permit_id)
    return {row.participant: row.mask_key for row in connection.execute(query)}
