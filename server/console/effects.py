"""What a withdrawal changed: for each run under the agreement, what the log says since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, select

from server import queries
from server.rows import ENDED, AgreementRow
from server.tables import ROUNDS, TRANSFERS

MAX_RUNS: Final = 20
Under = Literal["", "at-work", "received", "left-out", "no-reply"]
Since = Literal["waits", "refused", "ended"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One run that had a use of the product.

    Attributes:
        under: what came of the use that was under way; "" where none was.
        under_text: why it was left out, if it was.
        since: the first decision after the withdrawal, if there was one.
        round, evaluation, index, code, text: of that decision, `index` its entry.
    """

    run: str
    under: Under = ""
    under_text: str = ""
    since: Since = "waits"
    round: int = 0
    evaluation: bool = False
    index: int = 0
    code: str = ""
    text: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be told."""
        return self.since != "waits" and self.under != "at-work"


def effects(connection: Connection, agreement: AgreementRow) -> list[Effect]:
    """Of a withdrawn agreement, the newest runs first; for its owner, whose product it is."""
    assert agreement.withdrawal_entry is not None
    runs = connection.execute(
        select(TRANSFERS.c.run)
        .where(TRANSFERS.c.agreement == agreement.id, TRANSFERS.c.run.is_not(None))
        .order_by(TRANSFERS.c.entry.desc())
    ).scalars()
    found: dict[str, Effect] = {}
    for id in runs:
        if len(found) == MAX_RUNS:
            break
        run = queries.run(connection, id)
        if run is None or id in found:
            continue
        one = _of_run(connection, id, agreement, ended=run.state in ENDED)
        if one is not None:
            found[id] = one
    return list(found.values())


def _of_run(
    connection: Connection, run: str, agreement: AgreementRow, *, ended: bool
) -> Effect | None:
    """None for a run that was over before."""
    at = agreement.withdrawal_entry
    of_run = select(ROUNDS).where(ROUNDS.c.run == run)
    before = connection.execute(
        of_run.where(ROUNDS.c.decision_entry < at).order_by(ROUNDS.c.id.desc()).limit(1)
    ).first()
    after = connection.execute(
        of_run.where(ROUNDS.c.decision_entry > at).order_by(ROUNDS.c.id).limit(1)
    ).first()
    under, why = _under(connection, before, agreement) if before is not None else ("", "")
    if after is None:
        if ended and not under:
            return None
        return Effect(run, under, why, since="ended" if ended else "waits")
    verdict = _verdict(after.verdicts, agreement)
    reason = verdict["reasons"][0] if verdict and not verdict["permitted"] else {}
    return Effect(
        run,
        under,
        why,
        since="refused",
        round=after.round,
        evaluation=after.kind == "evaluate",
        index=after.decision_entry,
        code=str(reason.get("code", "")),
        text=str(reason.get("text", "")),
    )


def _under(connection: Connection, row: Any, agreement: AgreementRow) -> tuple[Under, str]:
    """What came of the last use before the withdrawal, where its round was open then."""
    verdict = _verdict(row.verdicts, agreement)
    if verdict is None or not verdict["permitted"] or row.state not in ("AUTHORIZED", "CLOSED"):
        return "", ""
    if row.close_entry is not None and row.close_entry < (agreement.withdrawal_entry or 0):
        return "", ""
    close: dict[str, Any] = json.loads(row.close) if row.close else {}
    for out in close.get("left_out", []):
        if (out["participant"], out["product"]) == (agreement.assigner, agreement.product):
            return "left-out", str(out["text"])
    receipts = [
        one
        for one in queries.receipts(connection, [row.permit_id])
        if (one.participant, one.product) == (agreement.assigner, agreement.product)
    ]
    if any(one.accepted for one in receipts):
        return "received", ""
    if receipts:
        return "left-out", receipts[-1].text
    return ("at-work", "") if row.state == "AUTHORIZED" else ("no-reply", "")


def _verdict(verdicts: str, agreement: AgreementRow) -> Mapping[str, Any] | None:
    for one in json.loads(verdicts):
        if (one["participant"], one["product"]) == (agreement.assigner, agreement.product):
            found: Mapping[str, Any] = one
            return found
    return None
