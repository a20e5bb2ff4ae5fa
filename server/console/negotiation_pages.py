"""The pages of negotiations: asking for an offer, following a negotiation, ending it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from policies.canonical import canonical_bytes
from policies.errors import PolicyError
from policies.odrl import Offer, parse_offer
from server.console.door import Door, Visit, see_other
from server.console.negotiating import PID, Turn, part_of, request_command, turn_of
from server.console.pages import Pages
from server.console.read_lines import told
from server.console.shelf import Held, Shelf
from server.console.spaces import Object, listed, names_for
from server.dsp import documents, store
from server.dsp.client import NO_CALLBACK
from server.dsp.documents import Out
from server.dsp.messages import ContractRequest, Message, NegotiationTermination, parse_message
from server.dsp.views import concerns
from server.errors import BadInput, NotAllowed, NotKnown
from server.governance import Governance

POLL_S: Final = 2
_STOP_POLLING: Final = 286  # htmx swaps this answer in and asks no more
Known = TypeVar("Known", bound=Message)
_END: Final = "ContractNegotiationTerminationMessage"


class NegotiationPages:
    """Works of negotiations' pages.

    Args:
        new_id: 32 hexadecimal digits that nobody can guess.
    """

    def __init__(
        self,
        *,
        governance: Governance,
        shelf: Shelf,
        pages: Pages,
        door: Door,
        new_id: Callable[[], str],
    ) -> None:
        self._governance = governance
        self._shelf = shelf
        self._pages = pages
        self._door = door
        self._new_id = new_id

    def page(self, visit: Visit) -> Response:
        """`GET /policies/negotiation/ID`"""
        one = self._one(visit)
        return self._pages.show(visit, "negotiation.html", **self._shown(visit, one))

    def state(self, visit: Visit) -> Response:
        """`GET /policies/negotiation-state/ID?entry=N`: what changed since entry N; nothing where
        nothing did."""
        with self._governance.reading() as connection:  # asked every `POLL_S` by each open page
            row = store.negotiation(connection, visit.params["id"])
        seen = row is not None and concerns(visit.caller, row) and str(row.entry)
        if seen and visit.query.get("entry") == seen:
            return Response(None, 204)
        one = self._one(visit)
        shown = self._shown(visit, one)
        text = self._pages.text("negotiation_state.html", visit.words, **shown)
        return HTMLResponse(text, _STOP_POLLING if shown["turn"].ended else 200)

    def ask(self, visit: Visit) -> Response:
        """`GET /policies/request/ID`: ask for this offer?"""
        held = self._open_offer(visit)
        return self._pages.show(
            visit,
            "offer_request.html",
            held=held,
            read=told(held.policy, visit.words.language),
            other=request_command(held.product, held.id),
        )

    def request(self, visit: Visit) -> Response:
        """`POST /policies/request/ID`: asks for the offer word for word."""
        self._door.check(visit.caller, "OpenRun")  # who may open runs may ask for what they need
        held = self._open_offer(visit)
        offer = held.policy
        assert isinstance(offer, Offer)
        message = documents.request_message(
            f"{PID}{self._new_id()}", offer.to_json(), held.product, callback=NO_CALLBACK
        )
        row = self._governance.contracts.negotiations.request(
            visit.caller, _parsed(ContractRequest, message)
        )
        return see_other(f"/policies/negotiation/{row.id}")

    def ask_end(self, visit: Visit) -> Response:
        """`GET /policies/negotiation-end/ID`: are you sure?"""
        one = self._endable(visit)
        return self._pages.show(visit, "negotiation_end.html", one=one)

    def end(self, visit: Visit) -> Response:
        """`POST /policies/negotiation-end/ID`"""
        one, reason = self._endable(visit), visit.value("reason")
        id = str(one["negotiation"])
        contracts = self._governance.contracts
        if part_of(visit.caller, one) == "provider":
            self._door.check(visit.caller, "Negotiate")
            contracts.owners.end(visit.caller, id, reason)
        else:
            self._door.check(visit.caller, "OpenRun")
            pid = one["consumer_pid"] or f"{PID}{self._new_id()}"
            message = documents.process_message(_END, id, pid, reason)
            contracts.negotiations.terminate(
                visit.caller, id, _parsed(NegotiationTermination, message)
            )
        return see_other(f"/policies/negotiation/{quote(id, safe='/:')}")

    def _one(self, visit: Visit) -> Object:
        """The negotiation, for those whom it concerns; NotKnown else."""
        id = visit.params["id"]
        for one in listed(self._governance, visit.caller, "negotiations"):
            if one["negotiation"] == id:
                return one
        raise NotKnown(f"negotiation {id!r:.140}: expected one of yours")

    def _shown(self, visit: Visit, one: Object) -> dict[str, Any]:
        offer = next((o for o in self._shelf.offers(visit.caller) if o.id == one["offer"]), None)
        turn = turn_of(visit.caller, one, auto=_is_auto(offer))
        return {
            "one": one,
            "turn": turn,
            "steps": _steps(turn, one),
            "read": told(parse_offer(str(one["document"]).encode()), visit.words.language),
            "names": names_for(self._governance, visit.caller),
            "poll_s": POLL_S,
        }

    def _open_offer(self, visit: Visit) -> Held:
        held = self._shelf.one(visit.caller, "offer", visit.params["id"])
        if visit.caller.role != "consumer":
            raise NotAllowed("request: expected a consumer; others only look at offers")
        if held.ended:
            raise NotKnown(f"offer {held.id:.140}: expected an open one, it was taken back")
        return held

    def _endable(self, visit: Visit) -> Object:
        one = self._one(visit)
        if not turn_of(visit.caller, one, auto=False).may_end:
            raise NotAllowed(
                f"{one['negotiation']}: expected one that you may end, it is {one['state']}"
            )
        return one


def _is_auto(offer: Held | None) -> bool:
    return offer is not None and bool(offer.listed["auto_agree"]) and not offer.ended


_ORDER: Final = ("REQUESTED", "AGREED", "VERIFIED", "FINALIZED")
_ORDER_OFFERED: Final = ("OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED")


def _steps(turn: Turn, one: Object) -> list[tuple[str, str]]:
    """The way to an agreement: each state with how it stands (done, now, to-come)."""
    state = str(one["state"])
    if state == "TERMINATED":
        return [(state, "now")]
    bargained = state in ("OFFERED", "ACCEPTED") or one["opened_by"] == "provider"
    order = _ORDER_OFFERED if bargained else _ORDER
    here = order.index(state) if state in order else 0
    return [
        (name, "done" if place < here or turn.ended else "now" if place == here else "to-come")
        for place, name in enumerate(order)
    ]


def _parsed(kind: type[Known], message: Out) -> Known:
    """A message as it would come over HTTP, with the same checks."""
    try:
        return parse_message(kind, canonical_bytes(message))
    except PolicyError as error:
        raise BadInput(str(error)) from error
