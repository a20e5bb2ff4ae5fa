"""When a policy's time is over: by bound, operator and logic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from policies.canonical import canonical_bytes
from policies.odrl import CONTEXT, PROFILE, parse_offer
from server.dsp.expiry import expired_permission

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PAST, PRESENT, FUTURE = (f"2026-0{month}-01T00:00:00.000Z" for month in (5, 6, 7))


def at(operator: str, moment: str) -> dict[str, Any]:
    right = {"@value": moment, "@type": "xsd:dateTime"}
    return {"leftOperand": "dateTime", "operator": operator, "rightOperand": right}


PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "medical-research"}
DEAD, ALIVE = at("lteq", PAST), at("lteq", FUTURE)


@pytest.mark.parametrize(
    ("constraints", "over"),
    [
        ([], False),
        ([PURPOSE], False),
        ([at("lteq", PAST)], True),
        ([at("lteq", PRESENT)], False),
        ([at("lteq", FUTURE)], False),
        ([at("lt", PRESENT)], True),
        ([at("lt", FUTURE)], False),
        ([at("eq", PAST)], True),
        ([at("eq", PRESENT)], False),
        ([at("gt", PAST)], False),
        ([at("gteq", FUTURE)], False),
        ([PURPOSE, DEAD], True),
        ([{"and": [PURPOSE, DEAD]}], True),
        ([{"and": [PURPOSE, ALIVE]}], False),
        ([{"andSequence": [PURPOSE, DEAD]}], True),
        ([{"or": [DEAD, ALIVE]}], False),
        ([{"or": [DEAD, DEAD]}], True),
        ([{"or": [DEAD, PURPOSE]}], False),
        ([{"xone": [DEAD, ALIVE]}], False),
        ([{"xone": [DEAD, {"and": [DEAD, ALIVE]}]}], True),
    ],
)
def test_a_permission(constraints: list[dict[str, Any]], over: bool) -> None:
    rules = [{"action": "use", "constraint": constraints}] if constraints else [{"action": "use"}]
    offer = parse_offer(
        canonical_bytes(
            {
                "@context": [CONTEXT],
                "@id": "offer-1",
                "@type": "Offer",
                "profile": PROFILE,
                "conflict": "prohibit",
                "permission": [{"action": "evaluate"}, *rules],
                "prohibition": [{"action": "use", "constraint": [DEAD]}],
            }
        )
    )
    where = expired_permission(offer.permissions, NOW)
    assert (where is not None) is over
    if where is not None:
        assert where.startswith("$.permission[1].constraint[")
