"""What an owner is told about an offer before it is published: never more than a warning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from commands.offer_check import say_offer_findings
from policies.odrl import PROFILE, parse_offer


class FakeLists:
    """A space that lists nothing but what it was made with."""

    def __init__(self, **listed: list[dict[str, Any]]) -> None:
        self._listed = listed

    def list_documents(self, what: str) -> list[bytes]:
        return [json.dumps(one).encode() for one in self._listed.get(what, [])]


def document(name: str, uses: int, more: list[dict[str, Any]] | None = None) -> str:
    limit = {"@value": str(uses), "@type": "xsd:integer"}
    count = {"leftOperand": "count", "operator": "lteq", "rightOperand": limit}
    return json.dumps(
        {
            "@id": name,
            "@type": "Offer",
            "profile": PROFILE,
            "conflict": "prohibit",
            "assigner": "clinic",
            "permission": [{"action": "use", "constraint": [count, *(more or [])]}],
        }
    )


def test_an_offer_that_can_never_be_met_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    limit = {"@value": "9", "@type": "xsd:integer"}
    never = [{"leftOperand": "count", "operator": "gt", "rightOperand": limit}]
    offer = parse_offer(document("never", 5, never).encode())
    say_offer_findings(FakeLists(), offer, "clinic/p")
    told = capsys.readouterr().out.splitlines()
    assert told
    assert all(line.startswith("warning: ") for line in told)
    assert "(" + "$)" not in "".join(told)
    assert "tds policy check" in "".join(told)


def test_an_offer_that_another_makes_needless_is_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wider = {"offer": "wider", "product": "clinic/p", "withdrawn": None}
    lists = FakeLists(offers=[wider | {"document": document("wider", 9)}])
    say_offer_findings(lists, parse_offer(document("narrow", 5).encode()), "clinic/p")
    told = capsys.readouterr().out
    assert told.startswith("note: the published offer wider permits all that this offer permits")
    say_offer_findings(lists, parse_offer(document("narrow", 5).encode()), "clinic/other")
    assert capsys.readouterr().out == ""
