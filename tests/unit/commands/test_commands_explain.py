"""`tds policy explain`, on the log that a simulated run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.errors import AuditInputError, RuleViolated
from auditors.replay import replay_verdict
from commands.localspace import run_spec
from ledger.log import Log
from ledger.note import NoteSigner
from policies.canonical import canonical_bytes, digest_of
from policies.entries import EntryType, entry_bytes
from policies.evaluate import Report, Request, Value, evaluate
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
    if owner == "other":
        constraint = constraint[:2]
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


def decide(owner: str, words: dict[str, Right]) -> Report:
    parsed = parse_agreement(json.dumps(agreement(owner)).encode())
    state = {name: Value(value, f"test {name}") for name, value in words.items()}
    request = Request(f"{owner}/p", "consortium", "train")
    return evaluate(parsed, request, state)


LAWFUL: dict[str, Right] = WORDS | {
    "purpose": "drug-safety",
    "spatial": "CN-GD",
    "compensate": "fulfilled",
}
WHERE = {"run": RUN, "round": 2, "kind": "train", "attempt": 1}
Change = Callable[[list[dict[str, Any]], list[dict[str, Any]]], object]


def keep(_reports: list[dict[str, Any]], _verdicts: list[dict[str, Any]]) -> None:
    """Change nothing."""


def write_log(folder: Path, signer: NoteSigner, change: Change = keep) -> Path:
    """A log with one decision: clinic refused by policy, lab and other permitted, gone refused
    before any policy was asked."""
    made = {
        "clinic": decide("clinic", WORDS | {"spatial": "no place"}),
        "lab": decide("lab", LAWFUL),
        "other": decide("other", LAWFUL),
    }
    reports = [json.loads(canonical_bytes(report.to_json())) for report in made.values()]
    verdicts: list[dict[str, Any]] = [
        {
            "participant": owner,
            "product": f"{owner}/p",
            "permitted": owner != "clinic",
            "reasons": [reason.to_json() for reason in report.reasons()],
            "report": report.digest,
        }
        for owner, report in made.items()
    ]
    verdicts.append(
        {
            "participant": "gone",
            "product": "gone/p",
            "permitted": False,
            "reasons": [{"code": "consent-withdrawn", "text": "as decided"}],
            "report": None,
        }
    )
    change(reports, verdicts)
    return append(folder, signer, made, reports, verdicts)


def append(
    folder: Path,
    signer: NoteSigner,
    owners: Iterable[str],
    reports: list[dict[str, Any]],
    verdicts: list[dict[str, Any]],
) -> Path:
    documents = [{"document": json.dumps(agreement(owner))} for owner in owners]
    spec = run_spec("a" * 64, ["x"], purpose="marketing", rounds=1, metrics=[]).to_json()
    decided = {**WHERE, "decision": {"minCohort": 1, "verdicts": verdicts}}
    bodies: list[tuple[EntryType, Any]] = [
        *(("AgreementConcluded", body) for body in documents),
        ("RunOpened", {"run": RUN, "consumer": "consortium", "spec": spec}),
        ("ReportsMade", {**WHERE, "reports": reports}),
        ("RoundDecided", decided),
    ]
    with Log.open(
        folder=folder / "log",
        database=folder / "log.sqlite",
        last_signed=folder / "last",
        signer=signer,
    ) as log:
        log.append([entry_bytes(kind, time=TIME, body=body) for kind, body in bodies])
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
    assert "clinic 未获准。（第 2 轮，日志第 5 号条目，" in chinese.out
    assert "使用目的为 marketing" in chinese.out
    assert "须先履行“支付使用费”的义务" in chinese.out


def test_a_permit_and_a_refusal_by_fact_are_explained(tds: Tds, log: Path) -> None:
    found = tds("policy", "explain", RUN, "2", "lab", "--log", str(log), "--json").json()
    assert found["permitted"] is True
    assert found["entry"] == 5
    assert found["digest"] == digest_of(found["report"])
    assert "of its partners, other takes part" in found["because"]
    fact = tds("policy", "explain", RUN, "2", "gone", "--log", str(log), "--json").json()
    assert (fact["permitted"], fact["report"], fact["because"]) == (False, None, ["as decided"])


@pytest.mark.parametrize(
    ("run", "round_", "who", "says"),
    [
        ("run-9", 2, "lab", "expected one run whose id begins so, got none"),
        (RUN, 3, "lab", "expected a decision on round 3"),
        (RUN, 2, "nobody", "one of clinic, gone, lab, other"),
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


def verdict(who: str, **changes: Any) -> Change:
    """Another verdict in the decision, over the same reports."""

    def change(_reports: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
        for one in verdicts:
            if one["participant"] == who:
                one.update(changes)

    return change


def made_otherwise(who: str, **changes: Any) -> Change:
    """An honest report on another request than the round's."""

    def change(reports: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
        parsed = parse_agreement(json.dumps(agreement(who)).encode())
        asked = {"target": f"{who}/p", "assignee": "consortium", "action": "train"} | changes
        state = {name: Value(value, f"test {name}") for name, value in LAWFUL.items()}
        report = evaluate(parsed, Request(**asked), state)
        reports.append(json.loads(canonical_bytes(report.to_json())))
        reasons = [reason.to_json() for reason in report.reasons()]
        verdict(who, permitted=False, reasons=reasons, report=report.digest)(reports, verdicts)

    return change


ALONE: Change = lambda _, verdicts: verdicts.__delitem__(2)  # noqa: E731


@pytest.mark.parametrize(
    ("who", "change", "says"),
    [
        ("clinic", lambda reports, _: lie(reports[0]), "expected report"),
        ("clinic", lambda reports, _: reports[0].update(effect="permit"), "expected report"),
        ("clinic", lambda reports, _: reports.pop(0), "expected report"),
        ("clinic", verdict("clinic", permitted=True), "expected a refusal, as its report says"),
        ("gone", verdict("gone", permitted=True), "expected a report of why it was permitted"),
        ("clinic", verdict("clinic", reasons=[]), "expected the reasons"),
        ("lab", verdict("lab", permitted=False, reasons=[{"code": "x", "text": ""}]), "reasons"),
        ("lab", verdict("lab", product="clinic/p"), "owner, product, consumer and action"),
        ("lab", made_otherwise("lab", action="evaluate"), "owner, product, consumer and action"),
        ("lab", made_otherwise("lab", assignee="another"), "owner, product, consumer and action"),
        ("lab", ALONE, "togetherWith: expected"),
        ("lab", verdict("other", permitted=False), "togetherWith: expected"),
    ],
)
def test_a_verdict_that_does_not_follow_breaks_a_rule(
    tds: Tds, tmp_path: Path, signer: NoteSigner, who: str, change: Change, says: str
) -> None:
    folder = write_log(tmp_path, signer, change)
    with pytest.raises(RuleViolated, match=says) as caught:
        replay_verdict(folder, run=RUN, round_=2, participant=who)
    assert caught.value.rule == "decision-replayed"
    assert tds("policy", "explain", RUN, "2", who, "--log", str(folder)).code == 4


def test_a_report_that_evaluating_again_does_not_give_breaks_a_rule(
    tmp_path: Path, signer: NoteSigner
) -> None:
    def change(reports: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
        reports[0]["rules"][0]["outcome"] = "satisfied"
        verdicts[0]["report"] = digest_of(reports[0])

    folder = write_log(tmp_path, signer, change)
    with pytest.raises(RuleViolated, match="evaluating again"):
        replay_verdict(folder, run=RUN, round_=2, participant="clinic")


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.update(rules=[[]]),
        lambda report: report.update(rules=["x"]),
        lambda report: report.update(duties=None),
        lambda report: report.update(agreementDigest=[]),
        lambda report: report.update(baseline="x"),
        lambda report: report["rules"][0]["constraints"].append([]),
        lambda report: report["rules"][0]["constraints"][0].update(leftValue=7),
        lambda report: report["rules"][0]["constraints"][0].update(leftOperand="x"),
        lambda report: report["rules"][0].update(duties=[None]),
    ],
)
def test_a_report_in_another_form_breaks_a_rule(
    tds: Tds, tmp_path: Path, signer: NoteSigner, change: Callable[[dict[str, Any]], object]
) -> None:
    def changed(reports: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> None:
        change(reports[0])
        verdicts[0]["report"] = digest_of(reports[0])

    folder = write_log(tmp_path, signer, changed)
    ran = tds("policy", "explain", RUN, "2", "clinic", "--log", str(folder))
    assert ran.code == 4
    assert "Traceback" not in ran.err
