"""Edits of a table of consents: what they change, what they leave, and when they change nothing."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clients_selection import HEADER, table

from clients.consent import Consents, Standing, Subjects, read_consents
from clients.consent_edit import Edit, give, list_consents, withdraw
from clients.errors import ConsentError, FileRefused

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPELLED = "2026-06-01T12:00:00.000Z"
P, Q, R, OTHER = "medical-research", "diagnosis-support", "drug-safety", "marketing"


def stands(path: Path, subject: str, purpose: str, at: datetime = NOW) -> bool:
    subjects = Subjects.of(np.array([subject], dtype=object))
    return bool(Standing(read_consents(path), subjects).rows(purpose, at)[0])


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize(
    ("before", "purpose", "after"),
    [
        ([], P, [f"p1,{P},{SPELLED},,form 1"]),
        ([f"p1,{Q},2026-01-01,,e"], P, [f"p1,{Q},2026-01-01,,e", f"p1,{P},{SPELLED},,form 1"]),
        ([f"p1,{P},2026-01-01,,e"], Q, [f"p1,{P},2026-01-01,,e"]),
        (
            [f"p1,{P},2026-01-01,2026-02-01,e"],
            P,
            [f"p1,{P},2026-01-01,2026-02-01,e", f"p1,{P},{SPELLED},,form 1"],
        ),
        (["p10,x,2026-01-01,,p1"], P, ["p10,x,2026-01-01,,p1", f"p1,{P},{SPELLED},,form 1"]),
    ],
)
def test_giving_adds_a_line_unless_it_stands(
    tmp_path: Path, before: list[str], purpose: str, after: list[str]
) -> None:
    path = table(tmp_path, *before)
    done = give(path, subject="p1", purpose=purpose, evidence="form 1", now=NOW)
    assert lines(path) == after
    assert (done.changed, len(done.added)) == ({}, len(after) - len(before))
    assert stands(path, "p1", purpose)


@pytest.mark.parametrize(
    ("before", "purpose", "after", "left"),
    [
        ([f"p1,{P},2026-01-01,,e"], None, [f"p1,{P},2026-01-01,{SPELLED},e"], []),
        ([f"p1,{P},2026-01-01,,e"], P, [f"p1,{P},2026-01-01,{SPELLED},e"], []),
        (
            [f"p1,{P},2026-01-01,,e", f"p1,{OTHER},2026-01-01,,e", f"p2,{P},2026-01-01,,e"],
            P,
            [
                f"p1,{P},2026-01-01,{SPELLED},e",
                f"p1,{OTHER},2026-01-01,,e",
                f"p2,{P},2026-01-01,,e",
            ],
            [OTHER],
        ),
        (
            [f"p1,{P},2026-01-01,2026-02-01,e", f"p1,{P},2026-03-01,2027-01-01,f"],
            None,
            [f"p1,{P},2026-01-01,2026-02-01,e", f"p1,{P},2026-03-01,{SPELLED},f"],
            [],
        ),
        (
            [f"p1,{P},2026-01-01,,e"],
            Q,
            [
                f"p1,{P},2026-01-01,,e",
                f"p1,{Q},{SPELLED},{SPELLED},withdrawn with tds node consent",
            ],
            [R],
        ),
        ([f"p1,{P},2027-01-01,,e"], None, [f"p1,{P},2027-01-01,2027-01-01,e"], []),
    ],
)
def test_withdrawing_keeps_the_history(
    tmp_path: Path, before: list[str], purpose: str | None, after: list[str], left: list[str]
) -> None:
    path = table(tmp_path, *before)
    withdraw(path, subject="p1", purpose=purpose, evidence="", now=NOW)
    assert lines(path) == after
    far = NOW + timedelta(days=3650)
    still = [one for one in (P, Q, R, OTHER) for at in (NOW, far) if stands(path, "p1", one, at)]
    assert sorted(set(still)) == sorted(left)


def test_what_shows_the_withdrawal_is_kept_beside_what_showed_the_consent(tmp_path: Path) -> None:
    path = table(tmp_path, f"p1,{P},2026-01-01,,form 17")
    withdraw(path, subject="p1", purpose=None, evidence='call of "1 June"', now=NOW)
    [found], _ = list_consents(path, subject="p1", now=NOW, limit=9)
    assert found.line.evidence == 'form 17; withdrawn: call of "1 June"'
    assert not found.stands


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_other_lines_stay_byte_for_byte(tmp_path: Path, end: str, last: bool) -> None:
    others = [
        "\ufeffsubject,purpose,given,withdrawn,evidence",
        f'"p0",{P},2026-01-01,,"said ""yes"", twice"',
        f'p2,"{P}",2026-01-01,,"two{end}lines"',
    ]
    own = f'"p1",{P},2026-01-01,,"a, b"'
    path = tmp_path / "consents.csv"
    path.write_bytes((end.join([*others, own]) + (end if last else "")).encode())
    withdraw(path, subject="p1", purpose=None, evidence="", now=NOW)
    give(path, subject="p3", purpose=P, evidence="x, y", now=NOW)
    expected = [*others, f'p1,{P},2026-01-01,{SPELLED},"a, b"', f'p3,{P},{SPELLED},,"x, y"', ""]
    assert path.read_bytes().decode() == end.join(expected)
    assert path.stat().st_mode & 0o777 == 0o600


@settings(deadline=None, max_examples=40)
@given(
    subject=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
    ),
    evidence=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
    ),
)
def test_any_subject_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, subject: str, evidence: str
) -> None:
    path = table(tmp_path_factory.mktemp("any"), f"p1,{P},2026-01-01,,e")
    if subject == "p1":
        return
    give(path, subject=subject, purpose=P, evidence=evidence, now=NOW)
    [found], _ = list_consents(path, subject=subject, now=NOW, limit=9)
    assert (found.line.subject, found.line.evidence, found.stands) == (subject, evidence, True)
    withdraw(path, subject=subject, purpose=None, evidence="", now=NOW + timedelta(seconds=1))
    assert not stands(path, subject, P, NOW + timedelta(seconds=2))
    assert stands(path, "p1", P)


Act = Callable[[Path], Edit]


def _give(path: Path, **changes: str) -> Edit:
    said = {"subject": "secret", "purpose": P, "evidence": "e"} | changes
    return give(path, **said, now=NOW)


def _withdraw(path: Path, **changes: str) -> Edit:
    said = {"subject": "secret", "purpose": P, "evidence": ""} | changes
    return withdraw(path, **said, now=NOW)


@pytest.mark.parametrize(
    ("before", "act", "words"),
    [
        ([], _withdraw, "not withdrawn, got none"),
        ([f"secret,{P},2026-01-01,2026-02-01,e"], _withdraw, "not withdrawn, got none"),
        ([f"secret,{OTHER},2026-01-01,,e"], _withdraw, "not withdrawn, got none"),
        (["secret,p,soon,,e"], _give, "row 1: expected a day or moment of giving"),
        ([], lambda path: _give(path, subject=""), "plain characters"),
        ([], lambda path: _give(path, subject="a\nsecret"), "plain characters"),
        ([], lambda path: _give(path, subject="secret" * 50), "plain characters"),
        ([], lambda path: _give(path, purpose="a secret"), "purpose: expected a name"),
        ([], lambda path: _give(path, evidence=""), "got nothing"),
        ([], lambda path: _give(path, evidence="secret\n"), "plain characters"),
        ([f"secret,{P},2026-01-01,{SPELLED},e"], _give, "the same or a later moment"),
        (
            [f"secret,{Q},2026-01-01,,e", f"secret,{P},2027-01-01,,e"],
            lambda path: _withdraw(path, purpose=Q),
            "begins after now",
        ),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_names_nobody(
    tmp_path: Path, before: list[str], act: Act, words: str
) -> None:
    path = table(tmp_path, *before)
    kept = path.read_bytes()
    with pytest.raises(ConsentError, match=words) as caught:
        act(path)
    assert "secret" not in str(caught.value)
    assert path.read_bytes() == kept
    assert {one.name for one in tmp_path.iterdir()} <= {path.name, f".{path.name}.lock"}


def test_no_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="expected a table of consents"):
        _give(tmp_path / "none.csv")


def test_a_table_that_somebody_else_writes_meanwhile_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path)

    def meanwhile(which: Path) -> Consents:
        found = read_consents(which)
        if which != path:
            table(tmp_path, f"p9,{P},2026-01-01,,theirs")
        return found

    monkeypatch.setattr("clients.consent_edit.read_consents", meanwhile)
    with pytest.raises(ConsentError, match="written by something else"):
        _give(path)
    assert lines(path) == [f"p9,{P},2026-01-01,,theirs"]


def test_a_full_disk_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, f"p1,{P},2026-01-01,,e")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileRefused, match="No space"):
        _give(path)
    assert lines(path) == [f"p1,{P},2026-01-01,,e"]
    assert list(tmp_path.glob("*.new")) == list(tmp_path.glob(".*.new")) == []


def _give_many(path: Path, first: int) -> None:
    for number in range(first, first + 8):
        while True:
            try:
                give(path, subject=f"p{number}", purpose=P, evidence="e", now=NOW)
                break
            except ConsentError as error:
                assert "somebody else edits" in str(error)


def test_two_editors_lose_no_line(tmp_path: Path) -> None:
    path = table(tmp_path)
    context = multiprocessing.get_context("fork")
    editors = [context.Process(target=_give_many, args=(path, first)) for first in (100, 200)]
    for one in editors:
        one.start()
    for one in editors:
        one.join(60)
    assert [one.exitcode for one in editors] == [0, 0]
    assert len(lines(path)) == 16


def test_a_list_is_bounded_and_says_how_many_there_are(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"p{n},{P},2026-01-01,,e" for n in range(20)))
    found, count = list_consents(path, subject=None, now=NOW, limit=3)
    assert ([one.line.subject for one in found], count) == (["p0", "p1", "p2"], 20)
    assert list_consents(path, subject="none", now=NOW, limit=3) == ([], 0)
    assert HEADER in path.read_text()
