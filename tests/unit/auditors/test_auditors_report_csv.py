"""The CSV files: every single happening, and nothing that a spreadsheet would compute."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from replay_log_site import Line, Story, copied

from auditors.known import Known
from auditors.lines import log_lines
from auditors.report_csv import DECISIONS, FILES, USES, WITHDRAWALS, safe, write_csv
from auditors.report_facts import collect
from auditors.report_scope import Checked, Scope
from policies.entries import entry_bytes

KNOWN = Known({"alpha": "Alpha Hospital", "beta": "北方医院"})


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def written(log: Path, folder: Path, scope: Scope) -> dict[str, list[dict[str, str]]]:
    facts = collect(log_lines(log), Checked(verified=False), scope)
    paths = write_csv(folder, log_lines(log), scope, facts, KNOWN)
    assert [path.name for path in paths] == list(FILES)
    return {path.name: read(path) for path in paths}


def test_every_use_decision_and_withdrawal_stands_there(
    told: tuple[Path, Story], tmp_path: Path
) -> None:
    found = written(told[0], tmp_path / "new", Scope())
    uses = [
        (one["outcome"], one["participant"], one["name"], one["rows_used"], one["epsilon"])
        for one in found["uses.csv"]
    ]
    assert uses == [
        ("no receipt (abandoned)", "alpha", "Alpha Hospital", "", "no bound"),
        ("no receipt (abandoned)", "beta", "北方医院", "", "no bound"),
        ("no receipt (abandoned)", "gamma", "", "", "no bound"),
        ("receipt accepted", "alpha", "Alpha Hospital", "80", "no bound"),
        ("receipt accepted", "beta", "北方医院", "80", "no bound"),
        ("no receipt (closed)", "gamma", "", "", "no bound"),
        ("receipt accepted", "alpha", "Alpha Hospital", "80", "no bound"),
        ("receipt accepted", "gamma", "", "80", "no bound"),
        ("receipt accepted", "gamma", "", "0", "no bound"),
    ]
    decisions = found["decisions.csv"]
    assert [one["permitted"] for one in decisions].count("yes") == 9
    assert {one["codes"] for one in decisions if one["permitted"] == "no"} == {
        "consent-withdrawn",
        "count-exhausted",
        "offline",
    }
    (withdrawal,) = found["withdrawals.csv"]
    assert (withdrawal["participant"], withdrawal["first_decision_permitted"]) == ("beta", "no")
    assert int(withdrawal["last_use_entry"]) < int(withdrawal["entry"])
    for name, columns in zip(FILES, (USES, DECISIONS, WITHDRAWALS), strict=True):
        assert tuple(found[name][0]) == columns


def test_only_what_the_scope_names(told: tuple[Path, Story], tmp_path: Path) -> None:
    found = written(told[0], tmp_path, Scope(participant="gamma"))
    assert {one["participant"] for one in found["uses.csv"]} == {"gamma"}
    assert {one["participant"] for one in found["decisions.csv"]} == {"gamma"}
    assert found["withdrawals.csv"] == []


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("  =1+1", "'  =1+1"),
        ("riverside", "riverside"),
        ("a=b", "a=b"),
        ("", ""),
        (-1, "-1"),
        (12, "12"),
        (None, ""),
    ],
)
def test_no_cell_is_a_formula(value: str | int | None, cell: str) -> None:
    assert safe([value]) == [cell]


def test_a_hostile_reason_comes_out_as_text(told: tuple[Path, Story], tmp_path: Path) -> None:
    story = copied(told[1])
    hostile = '=HYPERLINK("http://example.org","x")'
    for one in story:
        if one.type == "RoundDecided":
            for verdict in one.body["decision"]["verdicts"]:
                verdict["reasons"] = [{"code": "offline", "text": hostile}]

    def lines(entries: list[Line]) -> list[tuple[int, bytes]]:
        return [
            (n, entry_bytes(one.type, time=one.time, body=one.body))
            for n, one in enumerate(entries)
        ]

    facts = collect(lines(story), Checked(verified=False), Scope())
    write_csv(tmp_path, lines(story), Scope(), facts, Known({"alpha": "=cmd|' /C calc'!A0"}))
    rows = read(tmp_path / "decisions.csv")
    assert {one["reasons"] for one in rows} == {f"'{hostile}"}
    assert rows[0]["name"] == "'=cmd|' /C calc'!A0"
