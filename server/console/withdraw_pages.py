"""Withdrawing consent at a click, and seeing it take effect.

The statement that is filed was signed by the owner's node before (`server.console.advance`): no
signature is made here, and without such a statement nothing is filed.
"""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response

from policies.canonical import sha256_hex
from server import queries
from server.console.door import Door, Visit, see_other
from server.console.effects import effects
from server.console.pages import Pages
from server.console.spaces import names_for
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken
from server.governance import Governance
from server.rows import AgreementRow

_STOP_POLLING = 286  # htmx: swap this in, and ask no more


class WithdrawPages:
    """Works of a withdrawal's pages."""

    def __init__(self, *, governance: Governance, pages: Pages, door: Door) -> None:
        self._governance = governance
        self._pages = pages
        self._door = door

    def ask(self, visit: Visit) -> Response:
        """`GET /consent/withdraw?agreement=ID`: are you sure?"""
        row = self._own(visit, visit.query.get("agreement", ""))
        if row.withdrawal_entry is not None:
            return see_other(f"/consent?withdrawn={row.withdrawal_entry}")
        assert visit.session is not None
        return self._pages.show(
            visit,
            "consent_withdraw.html",
            one=row,
            signed=row.id in visit.session.withdrawals,
            names=names_for(self._governance, visit.caller),
        )

    def act(self, visit: Visit) -> Response:
        """`POST /consent/withdraw`: the owner's statement, filed as its node would."""
        self._door.check(visit.caller, "Withdraw")
        row = self._own(visit, visit.value("agreement"))
        assert visit.session is not None
        envelope = visit.session.withdrawals.get(row.id)
        if envelope is None:
            raise RuleBroken(visit.words("withdraw-unsigned"))
        try:
            index, _ = self._governance.catalogue.withdraw(visit.caller, envelope)
        except (BadInput, NotAllowed) as error:  # its key was changed since
            raise RuleBroken(visit.words("withdraw-stale")) from error
        return see_other(f"/consent?withdrawn={index}")

    def effect(self, visit: Visit) -> Response:
        """`GET /consent/effect?entry=N`: what came of it so far, for the page that shows it."""
        row = self.withdrawn(visit, visit.query.get("entry", ""))
        if row is None:
            raise NotKnown("entry: expected one of a withdrawal of yours")
        text, settled = self.shown(visit, row)
        if not settled and f'value="{visit.query.get("seen", "")}"' in text:
            return Response(None, 204)  # as before: a screen reader need not say it again
        return HTMLResponse(text, _STOP_POLLING if settled else 200)

    def shown(self, visit: Visit, row: AgreementRow) -> tuple[str, bool]:
        """What came of a withdrawal, as HTML with its own mark, and whether that is all."""
        with self._governance.reading() as connection:
            found = effects(connection, row)
        text = self._pages.text("consent_effect.html", visit.words, one=row, effects=found)
        mark = sha256_hex(text.encode())[:16]
        text += f'<input type="hidden" name="seen" value="{mark}">'
        return text, all(one.settled for one in found)

    def withdrawn(self, visit: Visit, entry: str) -> AgreementRow | None:
        """The caller's own agreement that was withdrawn in this entry of the log."""
        if not entry.isdecimal():
            return None
        with self._governance.reading() as connection:
            rows = queries.agreements(connection)
        for row in rows:
            if row.assigner == visit.caller.participant and str(row.withdrawal_entry) == entry:
                return row
        return None

    def _own(self, visit: Visit, id: str) -> AgreementRow:
        with self._governance.reading() as connection:
            row = queries.agreement(connection, id)
        if row is None or row.assigner != visit.caller.participant:
            raise NotKnown(f"agreement {id!r:.140}: expected one about a product of yours")
        return row
