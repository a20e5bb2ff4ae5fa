"""Signing in: one-time links, the sessions that they begin, and the pace at which one may try.

A link is made for whoever came over governance's own mutual TLS (`server.console.link_route`),
works once within ten minutes, and opens only a page with a button: a mail scanner that follows it
uses nothing up. The button's POST takes the link and sets the cookie; from then on no address holds
a secret. What a node signed in advance goes from the link to the session, and ends with it.
"""

from __future__ import annotations

import base64
import hmac
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from server.console.advance import NONE, InAdvance
from server.console.kept import Kept
from server.edge import Edge
from server.pki import Identity

LINK_VALID: Final = timedelta(minutes=10)
SESSION_VALID: Final = timedelta(hours=8)
SESSION_IDLE: Final = timedelta(minutes=30)
MAX_SESSIONS: Final = 1024
MAX_LINKS: Final = 1024
MAX_OF_ONE: Final = 16
TRIES: Final = 10
TRIES_WITHIN: Final = timedelta(minutes=1)
MAX_ADDRESSES: Final = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        csrf: what each of their forms carries.
        withdrawals: that they may file, signed by their node in advance.
        until: what let them in ends then; None ends with the session.
    """

    caller: Identity
    csrf: str
    withdrawals: InAdvance = field(default_factory=lambda: NONE, repr=False)
    until: datetime | None = None

    def sent_by_own_form(self, token: str) -> bool:
        """Whether a form carries this session's token; takes as long for any wrong one."""
        return hmac.compare_digest(self.csrf.encode(), token.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a link opens."""

    caller: Identity
    withdrawals: InAdvance = field(repr=False)


class Entrance:
    """Links, sessions and the pace of trying.

    Args:
        edge: clock and randomness.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._links: Kept[_Pass] = Kept(
            what="links",
            most=MAX_LINKS,
            most_of_one=MAX_OF_ONE,
            valid=LINK_VALID,
            clock=edge.clock,
            random_bytes=edge.random_bytes,
        )
        self._sessions: Kept[Session] = Kept(
            what="sessions",
            most=MAX_SESSIONS,
            most_of_one=MAX_OF_ONE,
            valid=SESSION_VALID,
            idle=SESSION_IDLE,
            clock=edge.clock,
            random_bytes=edge.random_bytes,
        )
        self._tries = Pace()

    def link(self, caller: Identity, withdrawals: InAdvance = NONE) -> tuple[str, datetime]:
        """A code that signs the caller in once, and until when; TooMany as `Kept.put`.

        Args:
            withdrawals: that the caller may file in the session, checked.
        """
        return self._links.put(caller.uri, _Pass(caller, withdrawals))

    def whose(self, code: str) -> Identity | None:
        """Whom a code would sign in; it is not used up."""
        found = self._links.get(code)
        return found.caller if found is not None else None

    def may_try(self, address: str) -> bool:
        """Whether somebody at this address may try a code; `TRIES` wrong ones within
        `TRIES_WITHIN` are enough."""
        return self._tries.left(address, self._edge.clock())

    def failed(self, address: str) -> None:
        """Count a wrong code."""
        self._tries.count(address, self._edge.clock())

    def sign_in(self, code: str) -> str | None:
        """The new session's secret for its cookie; None if the code opens nothing."""
        found = self._links.take(code)
        return None if found is None else self.admit(found.caller, found.withdrawals)

    def admit(
        self,
        caller: Identity,
        withdrawals: InAdvance = NONE,
        *,
        until: datetime | None = None,
    ) -> str:
        """A new session's secret for its cookie; TooMany as `Kept.put`.

        Args:
            caller: who was seen to be at the door.
            until: no longer than this.
        """
        csrf = base64.urlsafe_b64encode(self._edge.random_bytes(32)).rstrip(b"=").decode()
        secret, _ = self._sessions.put(caller.uri, Session(caller, csrf, withdrawals, until))
        return secret

    def session(self, secret: str) -> Session | None:
        """Who holds a cookie with this secret."""
        found = self._sessions.get(secret) if secret else None
        if found is not None and found.until is not None and self._edge.clock() >= found.until:
            return None
        return found

    @property
    def signed_in(self) -> int:
        """How many sessions there are, with those that ended since somebody last came."""
        return len(self._sessions)

    def sign_out(self, secret: str) -> None:
        """End a session; nothing happens without one."""
        self._sessions.take(secret)


class Pace:
    """What went wrong from each address of late; the addresses kept are bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, deque[datetime]] = {}

    def left(self, address: str, now: datetime) -> bool:
        """Whether fewer than `TRIES` went wrong within `TRIES_WITHIN`."""
        with self._lock:
            wrong = self._of.get(address) or deque()
            return len(wrong) < TRIES or now - wrong[0] >= TRIES_WITHIN

    def count(self, address: str, now: datetime) -> None:
        """One more went wrong."""
        with self._lock:
            wrong = self._of.pop(address, None) or deque(maxlen=TRIES)
            wrong.append(now)
            self._of[address] = wrong  # the newest last
            if len(self._of) > MAX_ADDRESSES:
                del self._of[next(iter(self._of))]
