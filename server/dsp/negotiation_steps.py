"""The steps of negotiations as log entries: what the consumer's and the owner's acts share.

A step is logged, and only then is it a state; what it changes stands in its entry's body.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from policies.canonical import Json, digest_of
from policies.entries import entry_bytes
from policies.errors import PolicyError
from policies.fields import instant
from policies.odrl import Agreement, Offer
from server.disclosing import Disclosing
from server.dsp import store
from server.dsp.expiry import expired_permission
from server.dsp.machine import Party
from server.dsp.messages import Message, logged_digest
from server.dsp.negotiation_checks import check_step
from server.dsp.rows import NegotiationRow
from server.edge import Edge
from server.errors import BadInput, RuleBroken
from server.journal import Effect, Journal
from server.pki import Identity


class Steps:
    """Logging and reading back. All of it only within `Journal.writing`, but for `check_time`."""

    def __init__(self, *, journal: Journal, texts: Disclosing, edge: Edge) -> None:
        self._journal = journal
        self._texts = texts
        self._edge = edge

    def check_time(self, policy: Offer | Agreement) -> None:
        """Returns only for a policy whose time is not over; RuleBroken else."""
        where = expired_permission(policy.permissions, self._edge.clock())
        if where is not None:
            raise RuleBroken(f"{policy.id}: {where}: expected a time to come, it is over")

    def open(
        self,
        id: str,
        after: str,
        by: Party,
        caller: Identity,
        *,
        key: str,
        beside: Effect | None = None,
        **facts: Json,
    ) -> NegotiationRow:
        """The first step of a negotiation.

        Args:
            key: the log's idempotency key.
            beside: what stands beside the log.
            facts: parties, pids, product, offers, and the digest of the message.
        """
        body = {"negotiation": id, **_moved(None, after, by, caller), **facts}
        self._journal.commit([self._entry(body)], key=key, beside=beside)
        return self.now(id)

    def take(
        self,
        row: NegotiationRow,
        after: str,
        by: Party,
        caller: Identity,
        message: Message | None = None,
        **changes: Json,
    ) -> NegotiationRow:
        """One step; RuleBroken if the protocol does not have it."""
        return self.commit(row, [self.entry(row, after, by, caller, message, **changes)])

    def end(
        self,
        row: NegotiationRow,
        by: Party,
        caller: Identity,
        reason: str,
        message: Message | None = None,
    ) -> NegotiationRow:
        """The end, on a party's word; RuleBroken if the protocol does not have it here."""
        check_step(row, "TERMINATED", by)
        said = self._texts.commit_reason(reason, about=caller.participant)
        return self.take(row, "TERMINATED", by, caller, message, said=said)

    def commit(self, row: NegotiationRow, entries: Sequence[bytes]) -> NegotiationRow:
        """Several entries about one negotiation, all or none."""
        self._journal.commit(entries)
        return self.now(row.id)

    def entry(
        self,
        row: NegotiationRow,
        after: str,
        by: Party,
        caller: Identity,
        message: Message | None = None,
        **changes: Json,
    ) -> bytes:
        """The entry of one step; RuleBroken if the protocol does not have it."""
        check_step(row, after, by)
        body: dict[str, Any] = {
            "negotiation": row.id,
            "message": logged_digest(message) if message is not None else "",
            **_moved(row, after, by, caller),
            **changes,
        }
        if by == "consumer":
            # Where the owner opened the negotiation, this is where its consumer names it.
            body["consumer_pid"] = row.consumer_pid
        return self._entry(body)

    def concluded(self, row: NegotiationRow, agreement: Agreement, verification: str) -> bytes:
        """The entry of an agreement that both parties signed.

        Args:
            row: as it was AGREED.
            verification: the consumer's envelope in base64.
        """
        assert row.agreement_document is not None and row.envelope is not None  # AGREED has both
        signed = {"version": 1, "participant": row.owner, "document": row.agreement_document}
        body: dict[str, Json] = {
            "agreement": agreement.id,
            "product": agreement.target,
            "assigner": agreement.assigner,
            "assignee": agreement.assignee,
            "document": row.agreement_document,
            "digest": digest_of(signed),
            "envelope": base64.b64encode(row.envelope).decode(),
            "negotiation": row.id,
            "verification": verification,
        }
        return entry_bytes("AgreementConcluded", time=instant(self._edge.clock()), body=body)

    def now(self, id: str) -> NegotiationRow:
        """A negotiation that exists, as it is at present."""
        with self._journal.reading() as connection:
            row = store.negotiation(connection, id)
        assert row is not None  # rows are never deleted
        return row

    def _entry(self, body: dict[str, Any]) -> bytes:
        try:
            return entry_bytes("NegotiationStep", time=instant(self._edge.clock()), body=body)
        except PolicyError as error:
            raise BadInput(f"negotiation: {error}") from error


def _moved(row: NegotiationRow | None, after: str, by: Party, caller: Identity) -> dict[str, Json]:
    """What every entry says about its step; `row` is None for the first."""
    return {
        "number": row.number + 1 if row is not None else 1,
        "before": row.state if row is not None else None,
        "state": after,
        "by": by,
        "participant": caller.participant,
    }
