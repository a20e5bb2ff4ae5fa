"""Uses of products: what the gate reads before one, and how one begins and ends.

A use begins and ends in a transaction that looks at consent and approval under the write lock.
Withdrawing and revoking take the same lock (clients.holdings): nothing comes between looking and
recording.

The node keeps its own account of each agreement, as governance does (`policies.account`): what the
permit reserves is counted when the use begins, and of the seconds those that were not needed are
free again once the receipt is in the node's log. A use that failed, or was cut off, stays counted
in full.
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from clients.accounts import agreement_record
from clients.database import Database
from clients.errors import refused
from clients.holdings import is_approved
from clients.keptstates import replace_state
from clients.records import AgreementRecord, KeptState, SeenCheckpoint, Use
from clients.schema import AGREEMENTS, SEEN, USES
from policies.account import Amounts
from policies.privacy_loss import Losses
from policies.values import decimal_text


class Uses(Database):
    """The part of a node's database that the gate and the worker use."""

    def permit_used(self, permit_id: str) -> bool:
        """Whether a use under this permit was ever begun."""
        return self._one(select(USES.c.permit_id).where(USES.c.permit_id == permit_id)) is not None

    def last_seen(self) -> SeenCheckpoint | None:
        """The largest checkpoint accepted so far."""
        row = self._one(select(SEEN.c.size, SEEN.c.root, SEEN.c.note))
        return None if row is None else SeenCheckpoint(**row._mapping)

    def app_approved(self, sha256: str) -> bool:
        """Whether the owner approved this bundle and did not revoke it."""
        with self._transaction(reading=True) as connection:
            return is_approved(connection, sha256)

    def agreement(self, agreement: str) -> AgreementRecord | None:
        """The node's own copy, with its counter and consent."""
        with self._transaction(reading=True) as connection:
            return agreement_record(connection, agreement)

    def begin_use(
        self,
        use: Use,
        *,
        reserved: Amounts,
        expected_uses: int,
        expected_losses: Losses,
        seen: SeenCheckpoint,
    ) -> None:
        """Record nonce, account and checkpoint in one transaction; durable when it returns.

        What the gate checked is checked again under the write lock, so that two tasks cannot both
        take the last use, and a withdrawal made meanwhile wins.

        Args:
            reserved: what the permit sets aside for it.
            expected_uses: uses under the agreement when the gate looked; each begin moves it.
            expected_losses: of the product, under any agreement, when the gate looked; a use
                without privacy, which was held to no limit of them, does not insist on it.

        Raises:
            GateRefused: permit used, consent withdrawn, approval revoked, or counter moved.
        """
        with self._transaction() as connection:
            found = select(USES.c.permit_id).where(USES.c.permit_id == use.permit_id)
            if connection.execute(found).first() is not None:
                raise refused("permit-replayed", f"permit {use.permit_id} was used before")
            _check_allowed(connection, agreement=use.agreement, app=use.app)
            _reserve(connection, use, reserved, expected_uses, expected_losses)
            connection.execute(insert(USES).values(**asdict(use)))
            _keep_seen(connection, seen)

    def keep_seen(self, seen: SeenCheckpoint) -> None:
        """Remember a checkpoint that was found consistent with the last one, if it is larger."""
        with self._transaction() as connection:
            _keep_seen(connection, seen)

    def finish_use(
        self,
        permit_id: str,
        outcome: str,
        *,
        used_s: int | None = None,
        state: KeptState | None = None,
    ) -> None:
        """Record how a use ended. `receipted` only if it is still allowed in that very moment.

        Withdrawing and revoking take the same write lock: they come before, and the result stays
        here, or after, and the use was over.

        Args:
            used_s: the seconds that its receipt states, at most those reserved; None where there
                is no receipt, and all of them stay counted.
            state: what the app keeps; once receipted it takes the place of what it kept before,
                None too. A use that ends otherwise leaves that as it was.

        Raises:
            GateRefused: `receipted`, but consent or approval was taken back; nothing is recorded.
        """
        with self._transaction() as connection:
            this = USES.c.permit_id == permit_id
            use = Use(**connection.execute(select(USES).where(this)).one()._mapping)
            if outcome == "receipted":
                _check_allowed(connection, agreement=use.agreement, app=use.app)
                replace_state(connection, use, state)
            spent_s = use.metered_s if used_s is None else used_s
            of = AGREEMENTS.c.id == use.agreement
            left_s = AGREEMENTS.c.metered_s - (use.metered_s - spent_s)
            connection.execute(update(AGREEMENTS).where(of).values(metered_s=left_s))
            ended = {"outcome": outcome, "metered_s": spent_s}
            connection.execute(update(USES).where(this).values(ended))

    def require_allowed(self, *, agreement: str, app: str) -> None:
        """Returns only while consent and approval stand.

        Raises:
            GateRefused: one was taken back.
        """
        with self._transaction(reading=True) as connection:
            _check_allowed(connection, agreement=agreement, app=app)

    def unfinished(self) -> list[Use]:
        """Uses without an outcome: in progress, or cut off when the node stopped."""
        query = select(USES).where(USES.c.outcome.is_(None)).order_by(USES.c.started)
        return [Use(**row._mapping) for row in self._all(query)]

    def uses(self, *, limit: int) -> list[Use]:
        """The newest uses, newest first."""
        query = select(USES).order_by(USES.c.started.desc()).limit(limit)
        return [Use(**row._mapping) for row in self._all(query)]


def _keep_seen(connection: Connection, seen: SeenCheckpoint) -> None:
    row = {"id": 1, "size": seen.size, "root": seen.root, "note": seen.note}
    statement = insert(SEEN).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_=row, where=SEEN.c.size < seen.size
        )
    )


def _reserve(
    connection: Connection,
    use: Use,
    reserved: Amounts,
    expected_uses: int,
    expected_losses: Losses,
) -> None:
    before = agreement_record(connection, use.agreement)
    assert before is not None  # `_check_allowed` found it in this transaction
    private = not reserved.losses.unbounded
    if before.uses != expected_uses or (private and before.given.losses != expected_losses):
        raise refused(
            "agreement-denies",
            f"another use under agreement {use.agreement}, or of its product, was counted while "
            "this one was being decided; ask for a fresh permit",
        )
    left = before.left(reserved)
    values = {
        "uses": left.uses,
        "metered_s": left.metered_s,
        "losses": str(left.losses),
        "delta": "" if left.delta is None else decimal_text(left.delta),
        "paid": decimal_text(left.paid),
        "first_use": before.first_use or use.started,
    }
    connection.execute(update(AGREEMENTS).where(AGREEMENTS.c.id == use.agreement).values(values))


def _check_allowed(connection: Connection, *, agreement: str, app: str) -> None:
    if not is_approved(connection, app):
        raise refused("app-not-approved", f"the owner does not approve app {app}")
    query = select(AGREEMENTS.c.withdrawn).where(AGREEMENTS.c.id == agreement)
    row = connection.execute(query).first()
    if row is None:
        raise refused("agreement-unknown", f"this node keeps no agreement {agreement}")
    if row.withdrawn is not None:
        raise refused(
            "consent-withdrawn",
            f"consent to agreement {agreement} was withdrawn at {row.withdrawn}",
        )
