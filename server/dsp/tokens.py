"""Bearer tokens: who calls over HTTP, where there is no client certificate.

A token is handed out over mutual TLS to whom it is bound to, and kept here as its SHA-256 only. It
stands beside the log: a restored backup may have forgotten it, and a new one is a call away.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import timedelta
from typing import Final

from policies.canonical import sha256_hex
from policies.fields import instant, parse_instant
from server import queries
from server.dsp import store
from server.edge import Edge
from server.errors import NotKnown
from server.journal import Journal
from server.pki import Identity

VALID: Final = timedelta(hours=1)
MAX_TOKENS: Final = 8  # of one participant; a further one takes the place of the oldest
_TOKEN: Final = re.compile(r"Bearer ([A-Za-z0-9_-]{43})")


class Tokens:
    """Issuing and checking.

    Args:
        space: its name, which identities carry.
    """

    def __init__(self, *, journal: Journal, space: str, edge: Edge) -> None:
        self._journal = journal
        self._space = space
        self._edge = edge

    def issue(self, caller: Identity) -> tuple[str, str]:
        """A new token for the caller, and when it expires."""
        now = self._edge.clock()
        secret = self._edge.random_bytes(32)
        token = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        expires = instant(now + VALID)
        self._journal.side(
            lambda connection: store.put_token(
                connection,
                digest=sha256_hex(token.encode()),
                participant=caller.participant,
                now=instant(now),
                expires=expires,
                most=MAX_TOKENS,
            )
        )
        return token, expires

    def identity(self, authorization: str) -> Identity:
        """Whom an `Authorization` header names.

        Raises:
            NotKnown: no token of ours, an expired one, or its participant is not active. One text
                for all, so that a guess learns nothing.
        """
        refused = NotKnown("expected a bearer token of this space that has not expired")
        found = _TOKEN.fullmatch(authorization)
        if found is None:
            raise refused
        digest = sha256_hex(found[1].encode())
        with self._journal.reading() as connection:
            kept = store.token(connection, digest)
            person = queries.participant(connection, kept[1]) if kept is not None else None
        if kept is None or not hmac.compare_digest(kept[0], digest):
            raise refused
        if self._edge.clock() >= parse_instant(kept[2]):
            raise refused
        if person is None or not person.active:
            raise refused
        return Identity(space=self._space, role=person.role, participant=person.id)
