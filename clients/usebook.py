"""What the node's own log tells of uses: started, receipted, refused, failed.

Each entry has an idempotency key, so that a use has one start and one outcome whatever crashes. The
database's word on a use (clients.uses) follows the log's: a crash between the two leaves a use
without an outcome, and `recover` finds it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from clients.egress import Carried
from clients.errors import ClientError
from clients.gate import Admission
from clients.state import Journal, NodeState
from clients.tasks import Task
from ledger.errors import LedgerError, LogDamaged, LogUnavailable
from policies.canonical import Json, sha256_hex
from policies.entries import EntryType
from policies.envelope import unverified_payload
from policies.errors import DocumentError, PolicyError
from policies.fields import instant
from policies.permit import PERMIT_TYPE, PermitBody
from policies.receipt import Receipt
from policies.wire import Refusal

LOGGER = logging.getLogger(__name__)

_PERMIT_ID: Final = re.compile(r"permit-[0-9a-f]{32}", re.ASCII)


class UseBook:
    """Writes of uses, in log and database.

    Args:
        state, journal: the node's database and its own log.
        clock: aware UTC now.
    """

    def __init__(
        self, *, state: NodeState, journal: Journal, clock: Callable[[], datetime]
    ) -> None:
        self._state = state
        self._journal = journal
        self._clock = clock

    def started(self, admission: Admission) -> None:
        """From here on the log tells of the use.

        Raises:
            LedgerError: not logged; the use must not go on.
        """
        key = f"{admission.permit.body.id}:started"
        self._log("UseStarted", _started_facts(admission), key=key)

    def receipted(
        self, body: PermitBody, receipt: Receipt, envelope: bytes, carried: Carried
    ) -> None:
        """The receipt is durable; its envelope may leave after a last look.

        Args:
            carried: how much the app could have put into what leaves.

        Raises:
            LedgerError: not logged; nothing may leave.
        """
        facts: dict[str, Json] = {"envelope": sha256_hex(envelope), "receipt": receipt.to_json()}
        facts["egress"] = carried.to_json()
        self._log("UseReceipted", facts, key=f"{body.id}:outcome")

    def refused(self, task: Task, refusal: Refusal) -> None:
        """Nothing was used. What cannot be logged is not held back: the refusal travels anyway."""
        body = {
            "flower_run": task.flower_run[:20],
            "app": task.fab_sha256[:64],
            "permit_envelope": sha256_hex(task.permit),
            "permit_id": _claimed_id(task.permit),
            **refusal.to_json(),
        }
        try:
            self._log("UseRefused", body)
        except (LedgerError, ClientError, PolicyError) as error:
            LOGGER.error("a refusal could not be logged: %s", error)

    def failed(self, body: PermitBody, refusal: Refusal, *, receipted: bool) -> None:
        """The use began; nothing of it leaves. Where that cannot be logged now, `recover` will.

        Args:
            receipted: its receipt is in the log already, and is withheld.
        """
        facts = {"permit": body.digest(), "permit_id": body.id, **refusal.to_json()}
        key = f"{body.id}:{'withheld' if receipted else 'outcome'}"
        outcome = "withdrawn" if refusal.code == "consent-withdrawn" else "failed"
        try:
            self._log("UseFailed", facts, key=key)
            self._state.finish_use(body.id, outcome)
        except (LedgerError, ClientError, PolicyError) as error:
            LOGGER.error("the end of use %s could not be logged: %s", body.id, error)

    def recover(self, *, running: Collection[str] = ()) -> int:
        """Log the end of uses that were cut off; returns how many. No use may begin meanwhile.

        Args:
            running: permits of those that are in work.

        Raises:
            LedgerError, StateUnavailable: they stay as they are, for the next call.
        """
        unfinished = self._state.unfinished()
        cut_off = [use for use in unfinished if use.permit_id not in running]
        for use in cut_off:
            text = "the node stopped during this use; nothing of it left"
            body = {"permit": use.permit, "permit_id": use.permit_id, "text": text}
            try:
                self._log("UseFailed", body, key=f"{use.permit_id}:outcome")
            except (LogUnavailable, LogDamaged):
                raise
            except LedgerError:
                LOGGER.info("use %s: its outcome is in the log already", use.permit_id)
            self._state.finish_use(use.permit_id, "stopped")
        return len(cut_off)

    def _log(self, kind: EntryType, body: object, *, key: str | None = None) -> None:
        self._journal.write(kind, time=instant(self._clock()), body=body, idempotency_key=key)


def _claimed_id(envelope: bytes) -> str:
    """The id in a permit that may be anybody's; "" where there is none."""
    try:
        payload = unverified_payload(envelope, payload_type=PERMIT_TYPE)
    except DocumentError:
        return ""
    body = payload.get("body") if isinstance(payload, dict) else None
    claimed = body.get("id") if isinstance(body, dict) else None
    return claimed if isinstance(claimed, str) and _PERMIT_ID.fullmatch(claimed) else ""


def _started_facts(admission: Admission) -> dict[str, Json]:
    """The body of `UseStarted`: who uses what, under which permit, and what this node saw."""
    body, member = admission.permit.body, admission.member
    return {
        "permit": body.digest(),
        "permit_id": body.id,
        "run": body.run,
        "flower_run": body.flower_run,
        "round": body.round,
        "attempt": body.attempt,
        "kind": body.kind,
        "consumer": body.consumer,
        "purpose": body.purpose,
        "app": body.app,
        "config": body.config,
        "model": body.model,
        "product": member.product,
        "agreement": member.agreement,
        "agreement_digest": admission.agreement.digest,
        "use": admission.uses + 1,
        "report": admission.report.digest,
        "space_log_size": admission.seen.size,
        "space_log_root": admission.seen.root.hex(),
    }
