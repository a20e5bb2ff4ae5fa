"""`tds node consent`, as an owner calls it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from commands_site import PRODUCT, Ran, Tds

from clients.records import ProductRecord
from clients.state import NodeState
from policies.canonical import sha256_hex

P = "medical-research"


@pytest.fixture
def table(desk: Path) -> Path:
    """The consent table of the product `clinic/people`."""
    folder = desk / "people"
    folder.mkdir()
    said = PRODUCT | {
        "id": "clinic/people",
        "columns": [*PRODUCT["columns"], {"name": "who", "type": "string", "role": "subject"}],
        "personal_information": True,
        "subject_consent": "table",
        "consent": "consents.csv",
    }
    file = folder / "product.json"
    file.write_text(json.dumps(said))
    path = folder / "consents.csv"
    path.write_text(f"subject,purpose,given,withdrawn,evidence\np1,{P},2026-01-31,,form 1\n")
    state = NodeState.open(desk / "clinic" / "state.db")
    digest = sha256_hex(file.read_bytes())
    state.add_product(ProductRecord("clinic/people", str(file), digest, 3, b"{}"))
    state.close()
    return path


def consent(tds: Tds, *words: str) -> Ran:
    return tds("node", "consent", *words, "--node", "clinic")


def stands(ran: Ran) -> dict[str, bool]:
    assert ran.code == 0, ran.err
    return {one["subject"]: one["stands"] for one in ran.json()["consents"]}


def test_giving_and_withdrawing(tds: Tds, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("give", "clinic/people", "p2", "--purpose", P, "--evidence", "form 2")
    ran = consent(tds, *given)
    assert (ran.code, "1 added; in force for the next use" in ran.out) == (0, True), ran.err
    ran = consent(tds, *given)
    assert (ran.code, "stands already" in ran.out) == (0, True)
    assert stands(consent(tds, "list", "clinic/people", "--json")) == {"p1": True, "p2": True}
    ran = consent(tds, "withdraw", "clinic/people", "p1", "--evidence", "call")
    assert (ran.code, "1 lines withdrawn, 0 added" in ran.out) == (0, True), ran.err
    assert stands(consent(tds, "list", "clinic/people", "--json")) == {"p1": False, "p2": True}
    assert stands(consent(tds, "list", "clinic/people", "p1", "--json")) == {"p1": False}
    shown = consent(tds, "list", "clinic/people", "--limit", "1").out
    assert "stands now" in shown
    assert "1 more lines are not shown" in shown
    monkeypatch.setattr("sys.stdin", io.StringIO("p2\n"))
    assert consent(tds, "withdraw", "clinic/people", "-").code == 0
    assert stands(consent(tds, "list", "clinic/people", "--json")) == {"p1": False, "p2": False}


def test_a_purpose_in_no_table_is_said(tds: Tds, table: Path) -> None:
    ran = consent(tds, "give", "clinic/people", "p2", "--purpose", "ours", "--evidence", "f")
    assert "covers no other" in ran.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("withdraw clinic/people p7", 1, "not withdrawn, got none"),
        (f"withdraw clinic/people p1 --purpose marketing --evidence {'x' * 9}", 1, "got none"),
        ("withdraw clinic/biopsies p1", 2, 'expected "subject_consent": "table"'),
        ("withdraw clinic/none p1", 2, "expected one of"),
        ("list clinic/people --limit 0", 2, "range"),
    ],
)
def test_what_cannot_be_done(tds: Tds, table: Path, words: str, code: int, said: str) -> None:
    before = table.read_bytes()
    ran = consent(tds, *words.split())
    assert ran.code == code
    assert said in " ".join(ran.err.split())
    assert table.read_bytes() == before
