"""Transfer processes: what the two parties may do with one; runs move them by `transfer_steps`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from policies.canonical import sha256_hex
from policies.fields import instant
from policies.odrl import parse_agreement
from server import queries
from server.disclosing import Disclosing
from server.dsp import store
from server.dsp.documents import FORMAT
from server.dsp.expiry import expired_permission
from server.dsp.machine import Party
from server.dsp.messages import (
    InTransfer,
    TransferRequest,
    TransferSuspension,
    TransferTermination,
    logged_digest,
)
from server.dsp.negotiation_checks import MAX_REASON, reason_text
from server.dsp.rows import TransferRow
from server.dsp.transfer import TRANSFER
from server.dsp.transfer_steps import Step, new_transfer, step_entry
from server.edge import Edge
from server.errors import BadInput, NotKnown, RuleBroken, TooMany
from server.journal import Journal
from server.pki import Identity

MAX_WAITING: Final = 256  # transfers of one consumer that wait for a run
AFTER: Final[dict[str, str]] = {
    "start": "STARTED",
    "suspend": "SUSPENDED",
    "complete": "COMPLETED",
    "terminate": "TERMINATED",
}
_BY_MESSAGE: Final[dict[str, str]] = {
    "TransferStartMessage": "STARTED",
    "TransferSuspensionMessage": "SUSPENDED",
    "TransferCompletionMessage": "COMPLETED",
    "TransferTerminationMessage": "TERMINATED",
}


class Transfers:
    """The provider's side. Errors as `server.dsp.negotiations.Negotiations`."""

    def __init__(self, *, journal: Journal, texts: Disclosing, edge: Edge) -> None:
        self._journal = journal
        self._texts = texts
        self._edge = edge

    def get(self, caller: Identity, id: str) -> TransferRow:
        """A transfer, for its two parties."""
        with self._journal.reading() as connection:
            return _of_party(connection, caller, id)

    def request(self, caller: Identity, message: TransferRequest) -> TransferRow:
        """Ask for a transfer under an agreement; the run that is opened next under it starts it."""
        request = logged_digest(message)
        with self._journal.writing():
            with self._journal.reading() as connection:
                if caller.role != "consumer":
                    raise NotKnown("transfers: expected a consumer")
                before = store.transfer_of(connection, caller.participant, message.consumer_pid)
                if before is not None:
                    return _same_request(before, request)
                owner = self._owner(connection, caller, message.agreement)
                if store.waiting_transfers(connection, caller.participant) >= MAX_WAITING:
                    raise TooMany(f"transfers: expected at most {MAX_WAITING} waiting for a run")
            if message.format != FORMAT:
                raise BadInput(f"$.format: expected {FORMAT}, got {message.format!r:.80}")
            row = new_transfer(
                id=f"urn:tdspace:transfer:{self._edge.random_bytes(16).hex()}",
                consumer_pid=message.consumer_pid,
                agreement=message.agreement,
                consumer=caller.participant,
                owner=owner,
            )
            step = Step("REQUESTED", "consumer", caller.participant, message=request)
            self._journal.commit(
                [step_entry(row, step, time=instant(self._edge.clock()))],
                key=f"transfer:{caller.participant}:{sha256_hex(message.consumer_pid.encode())}",
                beside=lambda connection, _: store.set_transfer_callback(
                    connection, row.id, message.callback
                ),
            )
            return self.get(caller, row.id)

    def message(self, caller: Identity, id: str, message: InTransfer) -> TransferRow:
        """The consumer's word on a transfer that exists."""
        reason = ""
        if isinstance(message, TransferSuspension | TransferTermination):
            reason = reason_text(message.code, message.reason)
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = _of_party(connection, caller, id)
            if row.consumer != caller.participant:
                raise NotKnown(f"transfer {id!r:.140}: expected its consumer")
            for name, expected, got in (
                ("providerPid", row.id, message.provider_pid),
                ("consumerPid", row.consumer_pid, message.consumer_pid),
            ):
                if expected != got:
                    raise BadInput(f"$.{name}: expected {expected}, got {got!r:.140}")
            step = Step(
                after=_BY_MESSAGE[message.type],
                by="consumer",
                participant=caller.participant,
                said=self._say(caller, row, reason),
                message=logged_digest(message),
            )
            return self._move(caller, row, step)

    def act(self, caller: Identity, id: str, act: str, reason: str) -> TransferRow:
        """The owner's or the consumer's word, by another way than HTTP."""
        if act not in AFTER:
            raise BadInput(f"act: expected one of {', '.join(AFTER)}, got {act!r:.40}")
        if len(reason) > MAX_REASON:
            raise BadInput(f"reason: expected at most {MAX_REASON} characters, got {len(reason)}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                row = _of_party(connection, caller, id)
            by: Party = "provider" if row.owner == caller.participant else "consumer"
            said = self._say(caller, row, reason)
            step = Step(AFTER[act], by, caller.participant, said=said)
            return self._move(caller, row, step)

    def _say(self, caller: Identity, row: TransferRow, reason: str) -> str:
        """The commitment to a party's words, if the protocol may have its step at all."""
        if row.state in TRANSFER.final:
            return ""
        return self._texts.commit_reason(reason, about=caller.participant)

    def _move(self, caller: Identity, row: TransferRow, step: Step) -> TransferRow:
        with self._journal.reading() as connection:
            _check_start(connection, row, step)
        self._journal.commit([step_entry(row, step, time=instant(self._edge.clock()))])
        return self.get(caller, row.id)

    def _owner(self, connection: Connection, caller: Identity, id: str) -> str:
        agreement = queries.agreement(connection, id)
        if agreement is None or agreement.assignee != caller.participant:
            raise BadInput(
                f"$.agreementId: expected one concluded with {caller.participant}, got {id!r:.140}"
            )
        if agreement.withdrawn is not None:
            raise RuleBroken(f"{id}: expected a standing consent, it was withdrawn")
        policy = parse_agreement(agreement.document.encode())
        if (where := expired_permission(policy.permissions, self._edge.clock())) is not None:
            raise RuleBroken(f"{id}: {where}: expected a time to come, it is over")
        return agreement.assigner


def _of_party(connection: Connection, caller: Identity, id: str) -> TransferRow:
    row = store.transfer(connection, id)
    if row is None or caller.participant not in (row.consumer, row.owner):
        raise NotKnown(f"transfer {id!r:.140}: expected one of {caller.participant}")
    return row


def _same_request(row: TransferRow, request: str) -> TransferRow:
    if row.request != request:
        raise RuleBroken(f"{row.consumer_pid}: expected a new consumerPid, this one was used")
    if row.state in TRANSFER.final:
        raise RuleBroken(f"{row.consumer_pid}: expected a new consumerPid, this one is {row.state}")
    return row


def _check_start(connection: Connection, row: TransferRow, step: Step) -> None:
    """Who suspended a transfer may start it again, unless consent ended."""
    if step.after != "STARTED":
        return
    if row.state == "REQUESTED":
        raise RuleBroken(
            f"{row.id}: expected a run to be opened under {row.agreement}; it starts it"
        )
    agreement = queries.agreement(connection, row.agreement)
    if agreement is None or agreement.withdrawn is not None:
        raise RuleBroken(f"{row.id}: expected a standing consent, it was withdrawn")
    if row.state == "SUSPENDED" and row.by != step.by:
        raise RuleBroken(f"{row.id}: expected the {row.by}, who suspended it, to start it again")
