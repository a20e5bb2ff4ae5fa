"""Whether permits reserve what their runs state, and vouchers pay no more than they hold."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from auditors.ledgerbook import VoucherBook, voucher_book
from policies.account import Voucher
from policies.errors import AccountError
from policies.permit import PermitBody
from policies.privacy import Privacy
from policies.statements import RunSpec
from policies.values import decimal_text


class Spending:
    """What the log has said so far of runs and vouchers."""

    def __init__(self) -> None:
        self._specs: dict[str, RunSpec] = {}
        self._consumers: dict[str, str] = {}
        self._vouchers: dict[str, Voucher] = {}
        self._issued: dict[str, int] = {}

    def opened(self, body: dict[str, Any]) -> None:
        """`RunOpened`."""
        self._specs[body["run"]] = RunSpec.from_json(body["spec"])
        self._consumers[body["run"]] = body["consumer"]

    def issued(self, index: int, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """`VoucherIssued`; one that stands stays as it is."""
        id, amount = body["voucher"], Decimal(body["amount"])
        if id in self._issued:
            yield "voucher-new", f"{id}: expected a new id, it stands in entry {self._issued[id]}"
            return
        self._vouchers[id] = Voucher(id, body["consumer"], amount)
        self._issued[id] = index

    def books(self) -> dict[str, VoucherBook]:
        """Every voucher as it stands now."""
        return {id: voucher_book(one, self._issued[id]) for id, one in self._vouchers.items()}

    def voucher(self, id: str, consumer: str) -> Voucher | None:
        """A consumer's voucher, as far as it is spent by now."""
        found = self._vouchers.get(id)
        return found if found is not None and found.consumer == consumer else None

    def reserved(self, permit: PermitBody) -> Iterator[tuple[str, str]]:
        """`PermitIssued`: broken rules, each with what was expected and what stands there."""
        spec = self._specs.get(permit.run)
        if spec is None:
            yield "permit-reserves", f"{permit.id}: expected an opened run, got {permit.run}"
            return
        if permit.privacy != spec.privacy:
            text = f"expected the run's terms of privacy, {_terms(spec.privacy)}"
            yield "permit-reserves", f"{permit.id}: {text}, got {_terms(permit.privacy)}"
        expected = (spec.deadline_s, spec.pays)
        for member in permit.cohort:
            got = (member.metered_s, member.pays)
            if got != expected:
                yield (
                    "permit-reserves",
                    f"{permit.id}, {member.participant}: expected seconds and pay "
                    f"{expected} as the run states, got {got}",
                )
        yield from self._paid(permit, spec)

    def _paid(self, permit: PermitBody, spec: RunSpec) -> Iterator[tuple[str, str]]:
        if permit.voucher != (spec.voucher if spec.pays != "0" else ""):
            yield (
                "voucher-covers",
                f"{permit.id}: expected the voucher {spec.voucher!r} of the run, "
                f"got {permit.voucher!r}",
            )
        pays = sum((Decimal(member.pays) for member in permit.cohort), Decimal(0))
        if pays == 0:
            return
        voucher = self._vouchers.get(permit.voucher)
        if voucher is None or voucher.consumer != self._consumers[permit.run]:
            yield (
                "voucher-covers",
                f"{permit.id}: expected a voucher of {self._consumers[permit.run]}, got none",
            )
            return
        try:
            self._vouchers[voucher.id] = voucher.spend(pays)
        except AccountError:
            yield (
                "voucher-covers",
                f"{permit.id}: expected at most the {decimal_text(voucher.balance)} units that "
                f"{voucher.id} has left, got {decimal_text(pays)}",
            )


def _terms(privacy: Privacy | None) -> str:
    if privacy is None:
        return "none"
    return f"noise {privacy.noise}, sample {privacy.sample}, δ {privacy.delta} for a {privacy.unit}"
