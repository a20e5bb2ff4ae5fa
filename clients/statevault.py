"""Seals what an app keeps between rounds: AES-256-GCM under a key of its own run.

    key      HKDF-SHA256 of the node's secret, over participant, run, product, agreement and app
    sealed   12 random bytes of nonce, then the ciphertext with its tag
    bound    round, the rows that had been used, size and time

so that no state opens in another run, product, agreement or app than its own. Under one key as many
states are sealed as the run has rounds, far below the 2^32 that random nonces allow (NIST SP
800-38D, 8.3). What was changed on the disk is an error, not a fresh start: an app that began anew
without a word would train another model than its owner believes.

A state is the app's own: never believed, and never sent anywhere.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clients.appstate import MAX_STATE_BYTES
from clients.errors import AppStateRefused, IdentityError
from clients.files import read_secret, write_secret
from clients.keptstates import KeptStates
from clients.records import KeptState
from clients.selection import Selection
from policies.canonical import canonical_bytes
from policies.fields import instant
from policies.permit import CohortMember, PermitBody

LOGGER = logging.getLogger(__name__)

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
MAX_KEPT_BYTES: Final = 16 * MAX_STATE_BYTES
"""Of all apps in all runs."""

_LABEL: Final = "tds app state 1"


@dataclass(frozen=True, slots=True)
class StateOf:
    """Whose state."""

    run: str
    product: str
    agreement: str
    app: str


@dataclass(frozen=True, slots=True)
class UseState:
    """The state of one use.

    Attributes:
        data: what the app kept after the last use of its run, empty at first; None where the
            product's owner lets no app keep anything.
        round, rows: of this use.
    """

    of: StateOf
    round: int
    rows: str
    data: bytes | None


class StateVault:
    """Seals and opens, for one node.

    Args:
        key: the node's secret for this, 32 bytes.
        participant: whose node.
        states: where sealed states lie.
    """

    def __init__(self, *, key: bytes, participant: str, states: KeptStates) -> None:
        self._key = key
        self._participant = participant
        self._states = states

    def begin(self, body: PermitBody, member: CohortMember, selected: Selection) -> UseState:
        """The state that a use begins with, as the product's owner allows (clients.product).

        Raises:
            AppStateRefused: it is not what this node sealed.
        """
        of = StateOf(body.run, member.product, member.agreement, body.app)
        rows = _rows_digest(selected)
        if selected.app_state == "none":
            return UseState(of, body.round, rows, None)
        kept = self._states.app_state(**asdict(of))
        if kept is None:
            return UseState(of, body.round, rows, b"")
        if selected.app_state == "same-rows" and kept.rows != rows:
            LOGGER.info("run %s: its rows changed, so that the app begins without state", of.run)
            return UseState(of, body.round, rows, b"")
        return UseState(of, body.round, rows, self._opened(of, kept))

    def seal(self, use: UseState, data: bytes, *, now: datetime) -> KeptState | None:
        """What is to be kept after a use that left `data`; nothing of nothing.

        Raises:
            AppStateRefused: more than this node keeps of all apps.
        """
        if use.data is None or not data:
            return None
        before = self._states.app_state(**asdict(use.of))
        others = self._states.app_state_bytes() - (0 if before is None else before.size)
        if len(data) > MAX_STATE_BYTES or others + len(data) > MAX_KEPT_BYTES:
            raise AppStateRefused(
                f"run {use.of.run}: expected at most {MAX_STATE_BYTES} bytes of state, and "
                f"{MAX_KEPT_BYTES} of all apps, got {len(data)} beside {others}; see what is "
                "kept: tds app states"
            )
        kept = KeptState(
            **asdict(use.of),
            round=use.round,
            rows=use.rows,
            size=len(data),
            kept=instant(now),
            sealed=b"",
        )
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._derived(use.of)).encrypt(nonce, data, _bound(kept))
        return replace(kept, sealed=nonce + sealed)

    def _opened(self, of: StateOf, kept: KeptState) -> bytes:
        nonce, sealed = kept.sealed[:NONCE_BYTES], kept.sealed[NONCE_BYTES:]
        try:
            return AESGCM(self._derived(of)).decrypt(nonce, sealed, _bound(kept))
        except (InvalidTag, ValueError) as error:
            raise AppStateRefused(
                f"run {of.run}: what app {of.app} kept after round {kept.round} is not what this "
                f"node sealed; let it begin without: tds app forget {of.run}"
            ) from error

    def _derived(self, of: StateOf) -> bytes:
        info = canonical_bytes(
            [_LABEL, self._participant, of.run, of.product, of.agreement, of.app]
        )
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._key)


def state_key(path: Path) -> bytes:
    """The node's secret for this, in a file that is made if there is none.

    Raises:
        FileRefused: it cannot be read or written, or is open to other users.
        IdentityError: it holds something else.
    """
    if not path.exists():
        write_secret(path, secrets.token_bytes(KEY_BYTES))
    key = read_secret(path)
    if len(key) != KEY_BYTES:
        raise IdentityError(f"{path}: expected {KEY_BYTES} bytes, got {len(key)}")
    return key


def _bound(kept: KeptState) -> bytes:
    return canonical_bytes([_LABEL, kept.round, kept.rows, kept.size, kept.kept])


def _rows_digest(selected: Selection) -> str:
    """Which rows of which data an app sees; of the data only its salted commitment goes in."""
    digest = hashlib.sha256(selected.product_commitment.encode())
    digest.update(selected.states.tobytes())
    return digest.hexdigest()
