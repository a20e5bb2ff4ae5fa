"""Requests to try a policy with: strict, and typed by the operand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from policies.asking import MAX_REQUEST_BYTES, agreement_for, parse_asking
from policies.errors import DocumentError
from policies.evaluate import Effect, evaluate
from policies.odrl import PROFILE, parse_offer

AT = "2026-06-01T08:00:00+08:00"


def asking(context: dict[str, Any] | None = None, **changes: Any) -> bytes:
    document = {"assignee": "a", "action": "train", "target": "t", "at": AT, **changes}
    if context is not None:
        document["context"] = context
    return json.dumps({k: v for k, v in document.items() if v != "ABSENT"}).encode()


def test_everything_is_read_with_its_type() -> None:
    found = parse_asking(
        asking(
            {
                "purpose": "marketing",
                "count": 3,
                "epsilon": "1.50",
                "payAmount": 12,
                "meteredTime": "PT20M",
                "elapsedTime": 60,
                "togetherWith": ["b", "a"],
                "notTogetherWith": "c",
                "version": {"@value": "2", "@type": "xsd:integer"},
                "rowShare": {"@value": "0.2", "@type": "xsd:decimal"},
                "dateTime": "2026-06-01T00:00:00Z",
                "spatial": None,
                "anonymize": True,
                "inform": "pending",
                "delete": "violated",
            }
        )
    )
    assert found.at == datetime(2026, 6, 1, tzinfo=UTC)
    assert {name: value.value for name, value in found.state.items()} == {
        "dateTime": found.at,
        "purpose": "marketing",
        "count": 3,
        "epsilon": Decimal("1.5"),
        "payAmount": Decimal(12),
        "meteredTime": 1200,
        "elapsedTime": 60,
        "togetherWith": ("a", "b"),
        "notTogetherWith": ("c",),
        "version": 2,
        "rowShare": Decimal("0.2"),
        "anonymize": "fulfilled",
        "inform": "pending",
        "delete": "violated",
    }


def test_an_offer_is_decided_for_whoever_asks() -> None:
    offer = parse_offer(
        json.dumps(
            {
                "@id": "urn:uuid:1",
                "@type": "Offer",
                "profile": PROFILE,
                "conflict": "prohibit",
                "permission": [{"action": "train", "duty": [{"action": "anonymize"}]}],
            }
        ).encode()
    )
    for done, effect in ((True, Effect.PERMIT), (False, Effect.DENY), (None, Effect.DENY)):
        asked = parse_asking(asking({"anonymize": done}))
        report = evaluate(agreement_for(offer, asked), asked.request, asked.state)
        assert report.effect is effect
    assert agreement_for(agreement_for(offer, asked), asked).assignee == "a"


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"[]", "$"),
        (b"{", "$"),
        (b" " * (MAX_REQUEST_BYTES + 1), "$"),
        (asking(assignee="ABSENT"), "$.assignee"),
        (asking(action="ABSENT"), "$.action"),
        (asking(target="ABSENT"), "$.target"),
        (asking(at="ABSENT"), "$.at"),
        (asking(at="noon"), "$.at"),
        (asking(at="2026-06-01"), "$.at"),
        (asking(action="use"), "$.action"),
        (asking(action="fly"), "$.action"),
        (asking(extra=1), "$.extra"),
        (asking({"colour": "red"}), "$.context.colour"),
        (asking({"train": True}), "$.context.train"),
        (asking({"count": "3"}), "$.context.count"),
        (asking({"count": True}), "$.context.count"),
        (asking({"count": 0}), "$.context.count"),
        (asking({"count": 2**60}), "$.context.count"),
        (asking({"epsilon": "-1"}), "$.context.epsilon"),
        (asking({"epsilon": "1e3"}), "$.context.epsilon"),
        (asking({"epsilon": 0.5}), "$"),
        (asking({"meteredTime": "P1Y"}), "$.context.meteredTime"),
        (asking({"meteredTime": -1}), "$.context.meteredTime"),
        (asking({"purpose": ["a"]}), "$.context.purpose"),
        (asking({"purpose": "two words"}), "$.context.purpose"),
        (asking({"spatial": "cn"}), "$.context.spatial"),
        (asking({"togetherWith": [1]}), "$.context.togetherWith"),
        (asking({"dateTime": "2026-06-02T00:00:00Z"}), "$.context.dateTime"),
        (asking({"dateTime": "x"}), "$.context.dateTime"),
        (asking({"anonymize": "yes"}), "$.context.anonymize"),
        (asking({"count": {"@value": "3", "@type": "xsd:decimal"}}), "$.context.count"),
    ],
)
def test_one_fault_in_a_request(data: bytes, where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_asking(data)
    assert caught.value.where == where
