"""Vouchers: prepaid units of a consumer; whom they pay for says `policies.cover`."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter, ValidationError

from policies.canonical import Json
from policies.entries import entry_bytes
from policies.fields import Amount, instant
from policies.values import decimal_text
from server import accounts, queries
from server.edge import Edge
from server.errors import BadInput, NotKnown, RuleBroken
from server.journal import Journal
from server.runs import check_request_id

_AMOUNT: Final = TypeAdapter(Amount)


class Vouchers:
    """Issuing."""

    def __init__(self, *, journal: Journal, edge: Edge) -> None:
        self._journal = journal
        self._edge = edge

    def issue(self, consumer: str, amount: str, request_id: str) -> tuple[int, str]:
        """Log a voucher over prepaid units; its log index and id. The same request again gets the
        same answer.

        Raises:
            BadInput: no amount above 0, or no request id.
            NotKnown: no enrolled consumer.
            RuleBroken: the request id was used for another voucher.
            Unavailable: nothing was issued; send it again.
        """
        check_request_id(request_id)
        _check_amount(amount)
        with self._journal.writing():
            with self._journal.reading() as connection:
                before = accounts.voucher_by_request(connection, request_id)
                person = queries.participant(connection, consumer)
            if before is not None:
                index, found = before
                if (found.consumer, decimal_text(found.amount)) != (consumer, amount):
                    raise RuleBroken(f"request {request_id}: expected the voucher it was used for")
                return index, found.id
            if person is None or person.role != "consumer" or not person.active:
                raise NotKnown(f"consumer {consumer!r:.80}: expected an enrolled, active consumer")
            id = self._edge.new_id("voucher")
            body: dict[str, Json] = {
                "voucher": id,
                "consumer": consumer,
                "amount": amount,
                "request_id": request_id,
            }
            entry = entry_bytes("VoucherIssued", time=instant(self._edge.clock()), body=body)
            return self._journal.commit([entry], key=f"voucher:{request_id}").first_index, id


def _check_amount(amount: str) -> None:
    try:
        _AMOUNT.validate_python(amount)
    except ValidationError as error:
        raise BadInput(
            f"amount: expected units like 100 or 2.5, without trailing zeros, got {amount!r:.40}"
        ) from error
    if amount == "0":
        raise BadInput("amount: expected more than 0 units, got 0")
