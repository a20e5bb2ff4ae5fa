"""What the owner withdrew elsewhere: in the console, with a statement that this node had signed.

Governance tells of each ended consent, at every connection anew and then as it happens, so that a
node that was away catches up. It is believed for its owner's signature alone: a notice without a
withdrawal that this node signed changes nothing here, and its owner reads a warning.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Final, Protocol

from pydantic import Field

from clients.backoff import Backoff
from clients.errors import ClientError, GovernanceError
from clients.identity import NodeIdentity
from clients.state import NodeState
from policies.canonical import parse_json
from policies.envelope import MAX_ENVELOPE_BYTES
from policies.errors import DocumentError, PolicyError
from policies.fields import Count, Document, Id, Instant, ParticipantId, instant
from policies.statements import WITHDRAWAL_TYPE, Withdrawal

LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.5
_MAX_NOTICE_BYTES: Final = 2 * MAX_ENVELOPE_BYTES


class Notice(Document):
    """One ended consent, as governance tells of it.

    Attributes:
        envelope: base64 of the signed withdrawal; "" from a governance that sends none.
        index: in the space's log.
    """

    agreement: Id
    participant: ParticipantId
    product: Id
    consumer: ParticipantId
    withdrawal: Annotated[str, Field(max_length=64)]
    time: Instant
    index: Count
    envelope: Annotated[str, Field(max_length=_MAX_NOTICE_BYTES)] = ""


class WatchPort(Protocol):
    """What is asked of governance; `clients.governance.GovernanceClient` is one."""

    def watch_withdrawals(self) -> Iterator[bytes]:
        """Notices, past ones first; GovernanceError when the stream breaks."""
        ...


class EndedConsents:
    """Takes up what ended elsewhere.

    Args:
        state: shared with the worker; a change of it ends what runs under the agreement
            (`clients.watcher`).
        clock: aware UTC now.
        tell: the owner.
    """

    def __init__(
        self,
        *,
        identity: NodeIdentity,
        state: NodeState,
        governance: WatchPort,
        clock: Callable[[], datetime],
        tell: Callable[[str], None] = LOGGER.info,
    ) -> None:
        self._identity = identity
        self._state = state
        self._governance = governance
        self._clock = clock
        self._tell = tell
        self._warned: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Watch until stopped; a broken stream is opened again, and tells everything again."""
        backoff = Backoff(first_s=_FIRST_PAUSE_S)
        while not stop.is_set():
            try:
                for data in self._governance.watch_withdrawals():
                    backoff.reset()
                    self.take(data)
                    if stop.is_set():
                        return
            except GovernanceError as problem:
                LOGGER.debug("withdrawals cannot be watched at present: %s", problem)
            except ClientError as problem:
                LOGGER.warning("a withdrawal was not taken up, it will be: %s", problem)
            stop.wait(backoff.next())

    def take(self, data: bytes) -> bool:
        """Let a consent end that ended elsewhere; False if nothing changed here.

        Raises:
            StateUnavailable: not taken up.
        """
        try:
            notice = Notice.from_json(parse_json(data, max_bytes=_MAX_NOTICE_BYTES))
        except DocumentError as problem:
            LOGGER.warning("governance's word of a withdrawal cannot be read: %s", problem)
            return False
        if notice.participant != self._identity.participant:
            return False
        record = self._state.agreement(notice.agreement)
        if record is None or record.withdrawn is not None:
            return False
        try:
            envelope = base64.b64decode(notice.envelope, validate=True)
            statement = self._own(envelope, notice)
        except (ValueError, PolicyError) as problem:
            self._warn(notice, str(problem))
            return False
        now = instant(self._clock())
        fresh = self._state.withdraw(
            notice.agreement,
            withdrawal=statement.id,
            envelope=envelope,
            reason="",
            commitment=statement.reason,
            opening=b"",
            time=now,
        )
        # A crash before the mark sends it once more; governance knows it by its id.
        self._state.mark_told(statement.id, time=now)
        if fresh:
            self._tell(
                f"consent to {notice.agreement} was withdrawn with a statement that this node "
                f"signed: entry {notice.index} of the space's log, at {notice.time}"
            )
        return fresh

    def _own(self, envelope: bytes, notice: Notice) -> Withdrawal:
        """The statement, if this node signed it and it is about this agreement."""
        payload = self._identity.open_own(envelope, payload_type=WITHDRAWAL_TYPE)
        statement = Withdrawal.from_json(payload)
        said = (statement.agreement, statement.participant, statement.id)
        if said != (notice.agreement, notice.participant, notice.withdrawal):
            raise DocumentError("$", "the withdrawal that the notice names", "another")
        return statement

    def _warn(self, notice: Notice, why: str) -> None:
        if notice.agreement in self._warned:
            return
        self._warned.add(notice.agreement)
        LOGGER.warning(
            "governance says that consent to %s was withdrawn (entry %d), and shows no statement "
            "of this node's: %s; the agreement stands here. Compare the logs: tds node reconcile",
            notice.agreement,
            notice.index,
            why,
        )
