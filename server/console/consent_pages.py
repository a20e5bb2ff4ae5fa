"""The pages of consent: each agreement with its uses, and the owner's word on a run that uses it.

What an owner may do here is what its session can stand for: suspending a transfer process, and
letting it go on, are acts over an authenticated connection (DSP 2025-1, 4.1), and the log records
them as such. A withdrawal is a statement that the owner's own key signs, and that key never leaves
the node: `server.console.withdraw_pages` files one that the node signed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

from server import queries
from server.console.door import Door, Visit, see_other
from server.console.pages import Pages
from server.console.spaces import listed, names_for
from server.console.uses import MAX_USES, Use, uses
from server.console.withdraw_pages import WithdrawPages
from server.errors import NotKnown
from server.governance import Governance

MAX_TRANSFERS: Final = 20  # shown under an agreement, the newest
_ACTS: Final[Mapping[str, str]] = MappingProxyType({"stop": "suspend", "start": "start"})


class ConsentPages:
    """Works of consent's pages."""

    def __init__(
        self, *, governance: Governance, pages: Pages, door: Door, withdraw: WithdrawPages
    ) -> None:
        self._withdraw = withdraw
        self._governance = governance
        self._pages = pages
        self._door = door

    def page(self, visit: Visit) -> Response:
        """`GET /consent`"""
        caller = visit.caller
        with self._governance.reading() as connection:
            found = uses(connection, caller)
            entries = {one.id: one.withdrawal_entry for one in queries.agreements(connection)}
        by_agreement: dict[str, list[Use]] = {}
        for use in found:
            by_agreement.setdefault(use.agreement, []).append(use)
        transfers: dict[str, list[dict[str, Any]]] = {}
        moved = ""
        for one in reversed(listed(self._governance, caller, "transfers")):
            under = transfers.setdefault(one["agreement"], [])
            if len(under) < MAX_TRANSFERS:
                under.append(one)
            if one["by"] == "provider" and str(one["index"]) == visit.query.get("entry"):
                moved = str(one["index"])
        effect, settled = "", True
        if row := self._withdraw.withdrawn(visit, visit.query.get("withdrawn", "")):
            effect, settled = self._withdraw.shown(visit, row)
        return self._pages.show(
            visit,
            "consent.html",
            agreements=list(reversed(listed(self._governance, caller, "agreements"))),
            uses=by_agreement,
            transfers=transfers,
            most=MAX_USES if len(found) == MAX_USES else 0,
            owner=caller.role == "node",
            moved=moved,
            entries=entries,
            ended=visit.query.get("withdrawn", "") if effect else "",
            effect=effect,
            settled=settled,
            names=names_for(self._governance, caller),
        )

    def ask(self, visit: Visit) -> Response:
        """`GET /consent/TRANSFER/ACT`: are you sure?"""
        return self._pages.show(
            visit, "consent_act.html", act=visit.params["act"], one=self._own(visit)
        )

    def act(self, visit: Visit) -> Response:
        """`POST /consent/TRANSFER/ACT`: the owner's word, logged."""
        self._door.check(visit.caller, "MoveTransfer")
        one, act = self._own(visit), _ACTS[visit.params["act"]]
        moved = self._governance.contracts.transfers.act(
            visit.caller, one["transfer"], act, visit.value("reason")
        )
        return see_other(f"/consent?entry={moved.entry}")

    def _own(self, visit: Visit) -> dict[str, Any]:
        """A transfer under one of the caller's own agreements, with its product.

        Raises:
            NotKnown: another's, or another word for what to do.
        """
        caller, id = visit.caller, visit.params["transfer"]
        if visit.params["act"] not in _ACTS:
            raise NotKnown("expected stop or start")
        products = {
            one["agreement"]: one["product"]
            for one in listed(self._governance, caller, "agreements")
        }
        for one in listed(self._governance, caller, "transfers"):
            if one["transfer"] == id and one["owner"] == caller.participant:
                return {**one, "product": products.get(one["agreement"], "")}
        raise NotKnown(f"transfer {id!r:.140}: expected one of your products'")
