"""`tds policy explain`, on the log that a simulated run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.errors import AuditInputError, RuleViolated
from auditors.replay import replay_verdict
from ledger.log import Log
from ledger.note import NoteSigner
from policies.canonical import canonical_bytes, digest_of
from policies.entries import entry_bytes
from policies.evaluate import Request, Value, evaluate
from policies.odrl import PROFILE, parse_agreement
from policies.operands import Right

RUN = "run-0123456789abcdef"
TIME = "2026-06-01T00:00:00.000Z"
WORDS: dict[str, Right] = {"purpose": "marketing", "count": 3, "togetherWith": ("other",)}


def agreement(owner: str) -> dict[str, Any]:
    constraint = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": "medical-research"},
        {
            "leftOperand": "count",
            "operator": "lteq",
            "rightOperand": {"@value": "5", "@type": "xsd:integer"},
        },
        {"leftOperand": "togetherWith", "operator": "hasPart", "rightOperand": "other"},
        {"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "CN"},
    ]
    return {
        "@id": f"urn:agreement:{owner}",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": f"{owner}/p",
        "assigner": owner,
        "assignee": "consortium",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": [{"action": "train", "constraint": constraint}],
        "obligation": [{"action": "compensate"}],
    }


def decide(owner: str, words: dict[str, Right]) -> dict[str, Any]:
    parsed = parse_agreement(json.dumps(agreement(owner)).encode())
    state = {name: Value(value, f"test {name}") for name, value in words.items()}
    request = Request(f"{owner}/p", "consortium", "train")
    return evaluate(parsed, request, state).to_json()


def write_log(
    folder: Path,
    signer: NoteSigner,
    change: Callable[[list[dict[str, Any]]], object] = lambda reports: None,
) -> Path:
    """A log with one decision: clinic refused by policy, lab permitted, gone refused before it."""
    lawful: dict[str, Right] = WORDS | {
        "purpose": "drug-safety",
        "spatial": "CN-GD",
        "compensate": "fulfilled",
    }
    reports = [decide("clinic", WORDS | {"spatial": "no place"}), decide("lab", lawful)]
    verdicts = [
        {
            "participant": owner,
            "product": f"{owner}/p",
            "permitted": permitted,
            "reasons": [{"code": code, "text": "as decided"}],
            "report": digest,
        }
        for owner, permitted, code, digest in (
            ("clinic", False, "purpose-not-allowed", digest_of(reports[0])),
            ("lab", True, "permitted", digest_of(reports[1])),
            ("gone", False, "consent-withdrawn", None),
        )
    ]
    change(reports)
    where = {"run": RUN, "round": 2, "kind": "train", "attempt": 1}
    decided = {**where, "decision": {"minCohort": 1, "verdicts": verdicts}}
    with Log.open(
        folder=folder / "log",
        database=folder / "log.sqlite",
        last_signed=folder / "last",
        signer=signer,
    ) as log:
        for owner in ("clinic", "lab"):
            document = json.dumps(agreement(owner))
            log.append([entry_bytes("AgreementConcluded", time=TIME, body={"document": document})])
        log.append(
            [
                entry_bytes("ReportsMade", time=TIME, body={**where, "reports": reports}),
                entry_bytes("RoundDecided", time=TIME, body=decided),
            ]
        )
    return folder / "log"


@pytest.fixture
def signer() -> NoteSigner:
    return NoteSigner("logs.example/explain", Ed25519PrivateKey.generate())


@pytest.fixture
def log(tmp_path: Path, signer: NoteSigner) -> Path:
    return write_log(tmp_path, signer)


def test_a_refusal_is_explained_in_both_languages(tds: Tds, log: Path) -> None:
    ran = tds("policy", "explain", RUN, "2", "clinic", "--log", str(log))
    assert (ran.code, ran.err) == (0, "")
    assert "clinic was refused." in ran.out
    assert "the purpose is marketing (permission 1)" in ran.out
    assert "the place of processing is not known" in ran.out
    assert "the duty to pay for the use is not fulfilled" in ran.out
    assert "the purpose would have to be medical-research or what belongs to it" in ran.out
    chinese = tds("policy", "explain", "run-", "2", "clinic", "--log", str(log), "--lang", "zh")
    assert "clinic 未获准。（第 2 轮，日志第 3 号条目，" in chinese.out
    assert "使用目的为 marketing" in chinese.out
    assert "须先履行“支付使用费”的义务" in chinese.out


def test_a_permit_and_a_refusal_by_fact_are_explained(tds: Tds, log: Path) -> None:
    found = tds("policy", "explain", RUN, "2", "lab", "--log", str(log), "--json").json()
    assert found["permitted"] is True
    assert found["entry"] == 3
    assert found["digest"] == digest_of(found["report"])
    assert "of its partners, other takes part" in found["because"]
    fact = tds("policy", "explain", RUN, "2", "gone", "--log", str(log), "--json").json()
    assert (fact["permitted"], fact["report"], fact["because"]) == (False, None, ["as decided"])


@pytest.mark.parametrize(
    ("run", "round_", "who", "says"),
    [
        ("run-9", 2, "lab", "expected one run whose id begins so, got none"),
        (RUN, 3, "lab", "expected a decision on round 3"),
        (RUN, 2, "nobody", "one of clinic, gone, lab"),
    ],
)
def test_what_the_log_does_not_hold(
    tds: Tds, log: Path, run: str, round_: int, who: str, says: str
) -> None:
    with pytest.raises(AuditInputError, match=says):
        replay_verdict(log, run=run, round_=round_, participant=who)
    ran = tds("policy", "explain", run, str(round_), who, "--log", str(log))
    assert ran.code == 2
    assert says in ran.err


def lie(report: dict[str, Any]) -> None:
    report["rules"][0]["constraints"][0]["leftValue"] = "drug-safety"


@pytest.mark.parametrize(
    "change",
    [
        lambda reports: lie(reports[0]),
        lambda reports: reports[0].update(effect="permit"),
        lambda reports: reports.pop(0),
    ],
)
def test_a_report_that_is_not_the_one_decided_by_breaks_a_rule(
    tds: Tds, tmp_path: Path, signer: NoteSigner, change: Callable[[list[Any]], object]
) -> None:
    folder = write_log(tmp_path, signer, change)
    with pytest.raises(RuleViolated) as caught:
        replay_verdict(folder, run=RUN, round_=2, participant="clinic")
    assert caught.value.rule == "decision-replayed"
    assert tds("policy", "explain", RUN, "2", "clinic", "--log", str(folder)).code == 4


def test_a_report_that_evaluating_again_does_not_give_breaks_a_rule(
    tmp_path: Path, signer: NoteSigner
) -> None:
    honest = decide("clinic", WORDS)
    lying = json.loads(canonical_bytes(honest))
    lying["rules"][0]["outcome"] = "satisfied"
    where = {"run": RUN, "round": 1, "kind": "train", "attempt": 1}
    verdict = {
        "participant": "clinic",
        "product": "clinic/p",
        "permitted": True,
        "reasons": [],
        "report": digest_of(lying),
    }
    with Log.open(
        folder=tmp_path / "log", database=tmp_path / "db", last_signed=tmp_path / "l", signer=signer
    ) as log:
        body = {"document": json.dumps(agreement("clinic"))}
        log.append(
            [
                entry_bytes("AgreementConcluded", time=TIME, body=body),
                entry_bytes("ReportsMade", time=TIME, body={**where, "reports": [lying]}),
                entry_bytes(
                    "RoundDecided", time=TIME, body={**where, "decision": {"verdicts": [verdict]}}
                ),
            ]
        )
    with pytest.raises(RuleViolated, match="evaluating again"):
        replay_verdict(tmp_path / "log", run=RUN, round_=1, participant="clinic")
