"""What the owner decided: approved apps, products, agreements, withdrawals.

A change that the node's own log must tell of (approval, revocation, withdrawal) puts its entry into
the journal in the same transaction (clients.journal).
"""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from clients.accounts import agreement_records
from clients.database import Database
from clients.errors import ClientError
from clients.keptstates import drop_states
from clients.records import AgreementRecord, AppRecord, PendingWithdrawal, ProductRecord
from clients.schema import AGREEMENTS, APPS, JOURNAL, PRODUCTS, WITHDRAWALS
from policies.entries import EntryType, entry_bytes


class Holdings(Database):
    """The part of a node's database that its owner changes."""

    def approve_app(
        self, sha256: str, *, time: str, environment: str = "", environment_digest: str = ""
    ) -> bool:
        """The owner's yes to a bundle, also after a revocation; False if it stood already.

        Args:
            environment, environment_digest: the packages that it may use; a yes with others takes
                the place of the one before.
        """
        with self._transaction() as connection:
            query = select(APPS).where(APPS.c.sha256 == sha256)
            row = connection.execute(query).first()
            packages = {"environment": environment, "environment_digest": environment_digest}
            asked = AppRecord(sha256=sha256, approved=time, revoked=None, **packages)
            if row is not None and replace(AppRecord(**row._mapping), approved=time) == asked:
                return False
            values = asdict(asked)
            statement = insert(APPS).values(values)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["sha256"], set_=values)
            )
            body = {"app": sha256} | ({k: v for k, v in packages.items() if v})
            _enqueue(connection, "AppApproved", time, body)
            return True

    def revoke_app(self, sha256: str, *, time: str) -> bool:
        """Take the yes back, and drop what the app kept; False if there was none."""
        with self._transaction() as connection:
            if not is_approved(connection, sha256):
                return False
            connection.execute(update(APPS).where(APPS.c.sha256 == sha256).values(revoked=time))
            drop_states(connection, app=sha256)
            _enqueue(connection, "AppRevoked", time, {"app": sha256})
            return True

    def app(self, sha256: str) -> AppRecord | None:
        """The owner's word on a bundle, if there ever was one."""
        row = self._one(select(APPS).where(APPS.c.sha256 == sha256))
        return None if row is None else AppRecord(**row._mapping)

    def apps(self) -> list[AppRecord]:
        """Every bundle the owner ever approved."""
        rows = self._all(select(APPS).order_by(APPS.c.approved))
        return [AppRecord(**row._mapping) for row in rows]

    def add_product(self, product: ProductRecord) -> ProductRecord:
        """Keep a product until governance confirms it; returns what is kept.

        The same file again gives the record of the first time, with the card that was signed then;
        one that governance never confirmed is replaced.

        Raises:
            ClientError: another file was registered under this id.
        """
        with self._transaction() as connection:
            query = select(PRODUCTS).where(PRODUCTS.c.id == product.id)
            row = connection.execute(query).first()
            known = None if row is None else ProductRecord(**row._mapping)
            if known is not None and known.digest == product.digest:
                return known
            if known is not None and known.registered is not None:
                raise ClientError(
                    f"product {product.id}: expected the file that was registered (SHA-256 "
                    f"{known.digest}), got one with {product.digest}; a product version never "
                    "changes: give the new one a higher data_version, or a new id"
                )
            statement = insert(PRODUCTS).values(**asdict(product))
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_=asdict(product))
            )
            return product

    def confirm_product(self, product: str, *, index: int) -> None:
        """Governance logged the product at this index."""
        with self._transaction() as connection:
            connection.execute(
                update(PRODUCTS).where(PRODUCTS.c.id == product).values(registered=index)
            )

    def replace_product(self, product: ProductRecord, *, index: int) -> None:
        """A newer version that governance logged at this index, in the place of the last."""
        values = asdict(product) | {"registered": index}
        statement = insert(PRODUCTS).values(values)
        with self._transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))

    def product(self, product: str) -> ProductRecord | None:
        """A product of this node."""
        row = self._one(select(PRODUCTS).where(PRODUCTS.c.id == product))
        return None if row is None else ProductRecord(**row._mapping)

    def products(self) -> list[ProductRecord]:
        """Every product of this node."""
        rows = self._all(select(PRODUCTS).order_by(PRODUCTS.c.id))
        return [ProductRecord(**row._mapping) for row in rows]

    def add_agreement(
        self, *, agreement: str, digest: str, product: str, document: bytes, time: str
    ) -> None:
        """Keep the owner's copy; the same one again changes nothing, not even a withdrawal.

        Raises:
            ClientError: another document has this id already.
        """
        with self._transaction() as connection:
            query = select(AGREEMENTS.c.digest).where(AGREEMENTS.c.id == agreement)
            known = connection.execute(query).scalar_one_or_none()
            if known not in (None, digest):
                raise ClientError(
                    f"agreement {agreement}: expected the document with digest {known}, which this "
                    f"node signed before, got one with {digest}; give a new agreement a new id"
                )
            values = {"id": agreement, "digest": digest, "product": product, "document": document}
            statement = insert(AGREEMENTS).values(concluded=time, uses=0, **values)
            connection.execute(statement.on_conflict_do_nothing())

    def agreements(self) -> list[AgreementRecord]:
        """Every agreement this node keeps, withdrawn ones too."""
        with self._transaction(reading=True) as connection:
            return agreement_records(connection)

    def withdraw(
        self,
        agreement: str,
        *,
        withdrawal: str,
        envelope: bytes,
        reason: str,
        commitment: str,
        opening: bytes,
        time: str,
    ) -> bool:
        """Take consent back, with its entry and its message to governance, in one transaction.

        What apps kept under the agreement is dropped in it, too.

        Args:
            reason: the owner's words, for this database only.
            commitment: to them, for statement and log.
            opening: of the commitment.

        Returns:
            False if it was taken back before; then nothing changes.

        Raises:
            ClientError: this node keeps no such agreement.
        """
        with self._transaction() as connection:
            query = select(AGREEMENTS.c.withdrawn).where(AGREEMENTS.c.id == agreement)
            row = connection.execute(query).first()
            if row is None:
                raise ClientError(
                    f"agreement {agreement}: this node keeps none of that id; "
                    "see the ids with: tds node status"
                )
            if row.withdrawn is not None:
                return False
            connection.execute(
                update(AGREEMENTS)
                .where(AGREEMENTS.c.id == agreement)
                .values(withdrawn=time, reason=reason)
            )
            connection.execute(
                insert(WITHDRAWALS).values(
                    id=withdrawal, agreement=agreement, envelope=envelope, opening=opening
                )
            )
            drop_states(connection, agreement=agreement)
            body = {"withdrawal": withdrawal, "agreement": agreement, "reason": commitment}
            _enqueue(connection, "Withdrawn", time, body)
            return True

    def pending_withdrawals(self) -> list[PendingWithdrawal]:
        """Withdrawals that governance has not confirmed."""
        table = WITHDRAWALS.c
        query = select(table.id, table.agreement, table.envelope, table.opening).where(
            table.told.is_(None)
        )
        return [PendingWithdrawal(**row._mapping) for row in self._all(query)]

    def mark_told(self, withdrawal: str, *, time: str) -> None:
        """Governance confirmed this withdrawal."""
        with self._transaction() as connection:
            connection.execute(
                update(WITHDRAWALS).where(WITHDRAWALS.c.id == withdrawal).values(told=time)
            )


def is_approved(connection: Connection, sha256: str) -> bool:
    """Whether the owner approved this bundle and did not revoke it."""
    query = select(APPS.c.sha256).where(APPS.c.sha256 == sha256, APPS.c.revoked.is_(None))
    return connection.execute(query).first() is not None


def _enqueue(connection: Connection, kind: EntryType, time: str, body: object) -> None:
    connection.execute(insert(JOURNAL).values(entry=entry_bytes(kind, time=time, body=body)))
