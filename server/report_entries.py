"""`ReportsMade`: the reports of a decision, in entries of bounded size before `RoundDecided`.

The decision names each report by its digest, so that a round over a thousand candidates still fits
into an entry, and every report stands in the log word for word.
"""

from __future__ import annotations

import json
from typing import Final

from policies.canonical import Json
from policies.cohort import RoundDecision
from policies.entries import entry_bytes

MAX_REPORTS_BYTES: Final = 48 * 1024
"""Of reports in one entry; one report that is larger has an entry of its own."""


def report_entries(
    decision: RoundDecision, *, run: str, round_: int, kind: str, attempt: int, time: str
) -> list[bytes]:
    """The entries, in the order of the decision's verdicts; each report once."""
    parts: list[list[bytes]] = []
    size = MAX_REPORTS_BYTES
    for verdict in decision.verdicts:
        if verdict.document is None:
            continue
        if size + len(verdict.document) > MAX_REPORTS_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(verdict.document)
        size += len(verdict.document)
    where: dict[str, Json] = {"run": run, "round": round_, "kind": kind, "attempt": attempt}
    return [
        entry_bytes(
            "ReportsMade", time=time, body={**where, "reports": [json.loads(one) for one in part]}
        )
        for part in parts
    ]
