"""`tds audit report`: its formats and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_site import Tds
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.lines import log_lines
from ledger.log import Log
from ledger.note import NoteSigner
from policies.entries import entry_bytes

SIGNER = NoteSigner("logs.example/report", Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))


TITLE = {"title": "Biopsies", "columns": [{"name": "radius", "type": "float"}]}


@pytest.fixture
def key(desk: Path) -> str:
    _, first = next(log_lines(desk / "space" / "log"))
    return str(json.loads(first)["body"]["space"]["log_key"])


def test_a_page_for_people(tds: Tds, desk: Path, key: str) -> None:
    ran = tds("audit", "report", "space/log", "--key", key, "--out", "report.html")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "report.html: 0 uses, 0 refusals, 0 missing\n"
    page = (desk / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "Verified and replayed" in page
    again = tds("audit", "report", "space/log", "--key", key, "--out", "again.html")
    assert again.code == 0
    assert (desk / "again.html").read_text(encoding="utf-8") == page, "byte for byte"
    tds("audit", "report", "space/log", "--out", "zh.html", "--lang", "zh")
    assert "已重放，未验证" in (desk / "zh.html").read_text(encoding="utf-8")


def test_json_for_programs_and_csv_for_spreadsheets(tds: Tds, desk: Path, key: str) -> None:
    (desk / "names.json").write_text('{"clinic": "The Clinic"}', encoding="utf-8")
    call = ("audit", "report", "space/log", "--key", key, "--names", "names.json")
    ran = tds(*call, "--format", "json", "--out", "report.json", "--participant", "The Clinic")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads((desk / "report.json").read_bytes())
    assert found["checked"]["verified"] is True
    assert found["scope"]["participant"] == "clinic"
    assert found["names"] == {"clinic": "The Clinic"}
    assert (desk / "report.json").stat().st_mode & 0o777 == 0o600
    card = found["products"][0]["description"]
    whole = {"names": {"clinic": "C"}, "commitments": [{"commitment": card, "value": TITLE}]}
    (desk / "all.json").write_text(json.dumps(whole), encoding="utf-8")
    tds(*call[:-1], "all.json", "--format", "json", "--out", "report.json")
    product = json.loads((desk / "report.json").read_bytes())["products"][0]
    assert (product["title"], product["columns"]) == ("Biopsies", ["radius"])
    ran = tds(*call, "--format", "csv", "--out", "tables")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(path.name for path in (desk / "tables").iterdir()) == [
        "decisions.csv",
        "uses.csv",
        "withdrawals.csv",
    ]
    assert {path.stat().st_mode & 0o777 for path in (desk / "tables").iterdir()} == {0o600}


@pytest.mark.parametrize("template", ["gdpr-30", "ai-act-12", "pipl"])
def test_a_record_that_a_law_asks_for(tds: Tds, desk: Path, key: str, template: str) -> None:
    call = ("audit", "report", "space/log", "--key", key, "--template", template)
    ran = tds(*call, "--out", "record.html")
    assert (ran.code, ran.err) == (0, "")
    assert "Not legal advice" in (desk / "record.html").read_text(encoding="utf-8")
    ran = tds(*call, "--format", "json", "--out", "record.json")
    found = json.loads((desk / "record.json").read_bytes())
    assert (ran.code, found["template"]) == (0, template)
    assert found["checked"]["verified"] is True


def test_a_broken_rule_stands_in_the_report_and_ends_with_4(
    tds: Tds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    close = {"run": "run-1", "permit": "0" * 64, "accepted": [], "previous": 7}
    with Log.open(
        folder=tmp_path / "log",
        database=tmp_path / "ledger.db",
        last_signed=tmp_path / "last-signed",
        signer=SIGNER,
    ) as log:
        log.append([entry_bytes("RoundClosed", time="2026-01-01T00:00:00.000Z", body=close)])
    ran = tds("audit", "report", "log", "--key", SIGNER.verifier_key, "--out", "report.html")
    assert ran.code == 4
    assert "entry 0 breaks a rule (close-chained)" in ran.out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'class="verdict bad"' in page
    assert "close-chained" in page


def test_broken_integrity_ends_with_3_and_without_a_report(tds: Tds, desk: Path, key: str) -> None:
    bundles = (desk / "space" / "log" / "tile" / "entries").rglob("*.p/*")
    path = max(bundles, key=lambda one: int(one.name))
    path.write_bytes(path.read_bytes().replace(b"biopsies", b"biopsieS", 1))
    ran = tds("audit", "report", "space/log", "--key", key, "--out", "report.html")
    assert ran.code == 3
    assert "entry" in ran.err
    assert not (desk / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gone", "--out", "r.html"), "got none"),
        (("space/log", "--out", "r.html", "--key", "gone.txt"), "gone.txt: expected a readable"),
        (("space/log", "--out", "space"), "expected a file to write, got a folder"),
        (("space/log", "--out", "file", "--format", "csv"), "expected a folder for the CSV files"),
        (("space/log", "--out", "r", "--format", "pdf"), "pdf"),
        (("space/log", "--out", "r", "--template", "hipaa"), "hipaa"),
        (("space/log", "--out", "r", "--template", "pipl", "--format", "csv"), "html or json"),
        (("space/log", "--out", "r.html", "--template", "gdpr-30", "--lang", "zh"), "in English"),
        (("space/log", "--out", "r", "--lang", "fr"), "--lang: expected en or zh"),
        (("space/log", "--out", "r", "--since", "now"), "--since: expected an xsd:dateTime"),
        (("space/log", "--out", "r", "--participant", "nobody"), "expected a participant in the"),
        (("space/log", "--out", "r", "--run", "run-1"), "expected a run in the log"),
        (("space/log", "--out", "r", "--names", "list"), "expected a JSON object"),
        (("space/log", "--out", "r", "--names", "number"), "expected a name of 1 to 200"),
        (("space/log", "--out", "r", "--names", "gone"), "gone: expected a readable file"),
        (("space/log", "--out", "r", "--names", "half"), "expected names by pseudonym, got none"),
        (("space/log", "--out", "r", "--names", "odd"), "expected commitments as `tds audit"),
        (("space/log", "--out", "r", "--names", "twice", "--participant", "A"), "one participant"),
    ],
)
def test_what_cannot_be_reported(
    tds: Tds, desk: Path, arguments: tuple[str, ...], says: str
) -> None:
    (desk / "file").write_text("x", encoding="utf-8")
    (desk / "half").write_text('{"commitments": []}', encoding="utf-8")
    (desk / "odd").write_text('{"commitments": [3], "names": {}}', encoding="utf-8")
    (desk / "list").write_text("[]", encoding="utf-8")
    (desk / "number").write_text('{"clinic": 3}', encoding="utf-8")
    (desk / "twice").write_text('{"a": "A", "b": "A"}', encoding="utf-8")
    ran = tds("audit", "report", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in " ".join(ran.err.split())
    assert not (desk / "r.html").exists()
