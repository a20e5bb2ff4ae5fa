"""What `tds run start` reads: app, config, and agreements to conclude first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands.errors import BadInput, CommandFailed
from commands.run_inputs import app_of, conclude_offers, parse_config
from policies.canonical import sha256_hex
from policies.errors import DocumentError
from server.dsp.consumer import Negotiation


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("k=4", 4),
        ("k=0.5", {"float": "0.5"}),
        ("k=true", True),
        ("k=a=b", "a=b"),
        ("k=", ""),
        ("k=[1]", "[1]"),
        ("k=null", "null"),
    ],
)
def test_config(item: str, value: object) -> None:
    assert parse_config([item]) == {"k": value}


@pytest.mark.parametrize("items", [["k"], ["=1"], ["k=1", "k=2"]])
def test_what_is_no_config(items: list[str]) -> None:
    with pytest.raises(BadInput, match="expected KEY=VALUE, each key once"):
        parse_config(items)


def test_a_number_that_is_not_finite_is_no_config() -> None:
    with pytest.raises(DocumentError):
        parse_config(["k=1e999"])


def test_an_app_is_named_by_its_hash_or_its_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "a.fab"
    bundle.write_bytes(b"bundle")
    assert app_of(str(bundle)) == sha256_hex(b"bundle")
    assert app_of("ab" * 32) == "ab" * 32


@dataclass
class Side:
    """A consumer's side in which each owner answers as `answers` says."""

    answers: dict[str, str]
    after: str = "FINALIZED"
    requested: list[tuple[str, str]] = field(default_factory=list)
    before: list[dict[str, Any]] = field(default_factory=list)

    @property
    def governance(self) -> Any:
        return SimpleNamespace(list=lambda _: self.before)

    @property
    def contracts(self) -> Any:
        return SimpleNamespace(
            negotiation=lambda pid: replace(_NEGOTIATION, provider_pid=pid, state="REQUESTED")
        )

    def asked(self, negotiation: str) -> bool:
        return not negotiation.endswith("-other")

    def datasets(self) -> list[dict[str, Any]]:
        return [
            *({"@id": name, "hasPolicy": [{"@id": f"{name}-1"}, {}]} for name in self.answers),
            {"@id": "without", "hasPolicy": []},
        ]

    def request(self, product: str, offer: str) -> Negotiation:
        self.requested.append((product, offer))
        return replace(_NEGOTIATION, provider_pid=product, state="REQUESTED")

    def wait(self, known: Negotiation, states: set[str], wait_s: float) -> Negotiation:
        return replace(known, state=self.answers[known.provider_pid])

    def verify(self, negotiation: str) -> tuple[Negotiation, Any]:
        agreed = SimpleNamespace(id=f"agreement-{negotiation}")
        return replace(_NEGOTIATION, provider_pid=negotiation, state=self.after), agreed


_NEGOTIATION = Negotiation(provider_pid="", consumer_pid="", state="REQUESTED")


def test_all_on_offer_are_asked_but_what_stands(capsys: pytest.CaptureFixture[str]) -> None:
    side: Any = Side({"a": "AGREED", "b": "REQUESTED", "c": "AGREED", "d": "TERMINATED"})
    assert conclude_offers(side, ["c"], wait_s=0) == ["agreement-a"]
    assert side.requested == [("a", "a-1"), ("b", "b-1"), ("d", "d-1")]
    told = capsys.readouterr().out
    assert "b: not agreed yet, b is REQUESTED" in told
    assert "d: not agreed yet, d is TERMINATED" in told


def test_what_was_asked_before_is_not_asked_again() -> None:
    before = [
        {"negotiation": "a", "product": "a", "state": "REQUESTED"},
        {"negotiation": "b", "product": "b", "state": "TERMINATED"},
        {"negotiation": "c-other", "product": "c", "state": "AGREED"},
    ]
    side: Any = Side({"a": "AGREED", "b": "AGREED", "c": "AGREED"}, before=before)
    concluded = conclude_offers(side, [], wait_s=0)
    assert concluded == ["agreement-a", "agreement-b", "agreement-c"]
    assert side.requested == [("b", "b-1"), ("c", "c-1")]


def test_what_does_not_hold_once_verified_is_said() -> None:
    side: Any = Side({"a": "AGREED"}, after="TERMINATED")
    with pytest.raises(CommandFailed, match="expected FINALIZED"):
        conclude_offers(side, [], wait_s=0)
