"""Reports stand in the log word for word, in entries that stay small."""

from __future__ import annotations

import json
from typing import Any

from server_site import Site, constraint

from policies.canonical import digest_of
from policies.cohort import Candidate, decide_round
from policies.entries import parse_entry
from policies.evaluate import Request, Value
from policies.odrl import PROFILE, parse_agreement
from server.report_entries import MAX_REPORTS_BYTES, report_entries


def agreement(owner: str, constraints: int) -> Any:
    part = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "medical-research"}
    document = {
        "@id": f"urn:agreement:{owner}",
        "@type": "Agreement",
        "profile": PROFILE,
        "conflict": "prohibit",
        "target": f"{owner}/p",
        "assigner": owner,
        "assignee": "consortium",
        "timestamp": "2026-01-01T00:00:00Z",
        "permission": [{"action": "train", "constraint": [part] * constraints}] * 4,
    }
    return parse_agreement(json.dumps(document).encode())


def test_many_reports_are_spread_over_bounded_entries() -> None:
    state = {"purpose": Value("drug-safety", "run")}
    candidates = [
        Candidate(
            participant=f"p{n:03}",
            product=f"p{n:03}/p",
            agreement=agreement(f"p{n:03}", 64 if n == 7 else 1),
            facts=(),
            state=state,
            request=Request(f"p{n:03}/p", "consortium", "train"),
        )
        for n in range(120)
    ]
    decision = decide_round(candidates)
    time = "2026-01-01T00:00:00.000Z"
    entries = report_entries(decision, run="run-1", round_=3, kind="train", attempt=1, time=time)
    bodies: list[Any] = [parse_entry(entry).body for entry in entries]
    reports = [report for body in bodies for report in body["reports"]]
    assert [digest_of(report) for report in reports] == [
        verdict["report"]
        for verdict in decision.to_json()["verdicts"]  # type: ignore[union-attr,index,call-overload]
    ]
    assert len(entries) > 2
    for entry, body in zip(entries, bodies, strict=True):
        assert len(entry) < MAX_REPORTS_BYTES + 1024 or len(body["reports"]) == 1
        assert (body["run"], body["round"], body["kind"], body["attempt"]) == (
            "run-1",
            3,
            "train",
            1,
        )


def test_a_round_logs_its_reports_before_its_decision(site: Site) -> None:
    site.agree(site.nodes["beta"], constraint("purpose", "eq", "marketing"), **{"@id": "strict"})
    site.authorize(site.open_run(agreements=["agreement-alpha", "strict"]))
    assert site.kinds()[-3:] == ["ReportsMade", "RoundDecided", "PermitIssued"]
    made, decided = (site.entries()[-3], site.entries()[-2])
    reports: list[Any] = made.body["reports"]  # type: ignore[assignment]
    verdicts: list[Any] = decided.body["decision"]["verdicts"]  # type: ignore[index,call-overload,assignment]
    assert [verdict["report"] for verdict in verdicts] == [digest_of(one) for one in reports]
    assert [report["effect"] for report in reports] == ["permit", "deny"]
    permit: Any = site.entries()[-1].body
    assert [one["report"] for one in permit["cohort"]] == [digest_of(reports[0])]
