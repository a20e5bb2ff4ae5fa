"""Whose rows: the table of consents, who stands at a moment, and what a receipt commits to."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.consent import Standing, Subjects, read_consents
from clients.errors import ConsentError
from clients.product import Product, load_product
from clients.rowset import RowTree, open_row, rows_commitment, use_salt
from clients.selection import Selector
from ledger.errors import ProofError
from ledger.tree import Tree

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HEADER = "subject,purpose,given,withdrawn,evidence\n"
SALT = b"s" * 32


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "consents.csv"
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def stands(path: Path, purpose: str = "diagnosis-support", *, at: datetime = NOW) -> bool:
    subjects = Subjects.of(np.array(["p1"], dtype=object))
    return bool(Standing(read_consents(path), subjects).rows(purpose, at)[0])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        (["p2,diagnosis-support,2026-01-01,,e"], False),
        (["P1,diagnosis-support,2026-01-01,,e"], False),
        (["p1,diagnosis-support,2026-01-01,,e"], True),
        (["p1,medical-research,2026-01-01,,e"], True),
        (["p1,drug-safety,2026-01-01,,e"], False),
        (["p1,marketing,2026-01-01,,e"], False),
        (["p1,diagnosis-support,2026-06-01T12:00:00.000Z,,e"], True),
        (["p1,diagnosis-support,2026-06-01T12:00:00.001Z,,e"], False),
        (["p1,diagnosis-support,2026-01-01,2026-06-01T12:00:00.000Z,e"], False),
        (["p1,diagnosis-support,2026-01-01,2026-06-01T12:00:00.001Z,e"], True),
        (["p1,diagnosis-support,2026-01-01,2026-06-01,e"], False),
        (["p1,diagnosis-support,2026-01-01,2027-01-01,e"], True),
        (["p1,diagnosis-support,2026-01-01,,e", "p1,diagnosis-support,2026-01-01,,e"], True),
        (["p1,diagnosis-support,2026-01-01,,e", "p1,diagnosis-support,2026-01-01,2026-02-01,e"], 0),
        (["p1,diagnosis-support,2026-01-01,2026-02-01,e", "p1,medical-research,2026-03-01,,e"], 1),
        (["p1,diagnosis-support,2026-01-01,2026-03-01,e", "p1,medical-research,2026-03-01,,e"], 0),
        (["p1,medical-research,2026-01-01,2026-04-01,e", "p1,diagnosis-support,2026-03-01,,e"], 0),
        (["p1,drug-safety,2026-01-01,2026-04-01,e", "p1,diagnosis-support,2026-03-01,,e"], True),
    ],
)
def test_the_last_word_counts(tmp_path: Path, lines: list[str], expected: bool) -> None:
    assert stands(table(tmp_path, *lines)) == bool(expected)


def test_a_narrower_withdrawal_counts_for_a_wider_purpose(tmp_path: Path) -> None:
    lines = ["p1,medical-research,2026-01-01,,e", "p1,drug-safety,2026-01-01,2026-02-01,e"]
    path = table(tmp_path, *lines)
    assert not stands(path, "medical-research")
    assert stands(path, "diagnosis-support")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (",p,2026-01-01,,e", "row 1: expected a subject"),
        ("s\tecret,p,2026-01-01,,e", "row 1: expected a subject"),
        (f"{'x' * 257},p,2026-01-01,,e", "row 1: expected a subject"),
        ("secret,,2026-01-01,,e", "name of a purpose"),
        ("secret,a purpose,2026-01-01,,e", "name of a purpose"),
        ("secret,p,,,e", "of giving"),
        ("secret,p,2026-02-30,,e", "of giving"),
        ("secret,p,01/02/2026,,e", "of giving"),
        ("secret,p,2026-01-01T08:00:00Z,,e", "of giving"),
        ("secret,p,2026-01-01T24:00:00.000Z,,e", "of giving"),
        ("secret,p,2026-01-01,soon,e", "of withdrawing"),
        ("secret,p,2026-01-01,2026-02-30,e", "of withdrawing"),
        ("secret,p,2026-01-02,2026-01-01,e", "no earlier"),
        ("secret,p,2026-01-01,,", "evidence"),
        ("secret,p,2026-01-01,", "line 2 is not one"),
        ("secret,p,2026-01-01,,e,f", "line 2 is not one"),
    ],
)
def test_a_malformed_table_is_refused_whole(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConsentError, match=words) as caught:
        read_consents(table(tmp_path, line))
    assert "secret" not in str(caught.value)


def test_another_header_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConsentError, match="expected the header"):
        read_consents(table(tmp_path, header="subject,purpose\n"))
    with pytest.raises(ConsentError, match="expected a table"):
        read_consents(tmp_path / "none.csv")


def product(folder: Path, subjects: list[str], *, held_back: str = "0.4") -> Product:
    """Row i has the value i."""
    lines = "".join(f"{place},{who},a\n" for place, who in enumerate(subjects))
    (folder / "data.csv").write_text("x,who,kind\n" + lines)
    said: dict[str, Any] = {
        "version": 1,
        "id": "clinic-a/rows",
        "title": "Rows",
        "path": "data.csv",
        "columns": [
            {"name": "x", "type": "float", "role": "feature"},
            {"name": "who", "type": "string", "role": "subject"},
            {"name": "kind", "type": "string", "role": "label"},
        ],
        "classes": ["a", "b"],
        "held_back": held_back,
        "modality": "tabular",
        "classification": "general",
        "personal_information": True,
        "subject_consent": "table",
        "consent": "consents.csv",
    }
    path = folder / "product.json"
    path.write_text(json.dumps(said))
    return load_product(path)


NAMES = ["p1", "p2", "p3", "p4"]
LINES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["medical-research", "diagnosis-support", "drug-safety", "marketing"]),
        st.integers(1, 9),
        st.none() | st.integers(1, 9),
    ),
    max_size=12,
)


def _day(month: int | None) -> str:
    return "" if month is None else f"2026-{month:02}-01"


def _standing(lines: list[tuple[str, str, int, int | None]], who: str) -> bool:
    """The rule of the module's docstring, once more and line by line; now is month 6."""
    covers = {"medical-research", "diagnosis-support"}
    own = [one for one in lines if one[0] == who and one[1] in covers]
    given_ = [g for _, _, g, w in own if g <= 6 and (w is None or w > 6)]
    ended = [w for _, _, _, w in own if w is not None and w <= 6]
    return bool(given_) and max(given_) > max(ended, default=0)


@settings(deadline=None)  # each example reads files
@given(lines=LINES, whose=st.lists(st.sampled_from(NAMES), min_size=1, max_size=12))
def test_no_row_without_a_standing_consent_reaches_an_app(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, str, int, int | None]],
    whose: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = [one for one in lines if one[3] is None or one[3] >= one[2]]
    texts = [f"{s},{p},2026-{g:02}-01,{_day(w)},e" for s, p, g, w in lines]
    table(folder, *texts)
    expected = {float(at) for at, who in enumerate(whose) if _standing(lines, who)}
    selector, one = Selector(salt=SALT), product(folder, whose)
    if not expected:
        with pytest.raises(ConsentError, match="no subject's consent"):
            selector.select(one, purpose="diagnosis-support", now=NOW)
        return
    found = selector.select(one, purpose="diagnosis-support", now=NOW)
    training, held_out = found.rows.features[:, 0], found.rows.held_out_features[:, 0]
    assert {*training.tolist(), *held_out.tolist()} == expected
    assert set(np.flatnonzero(found.states == 1).tolist()) == set(training.tolist())
    assert found.without_consent == len(whose) - len(expected)


def test_a_table_that_changed_is_read_anew_and_one_that_did_not_is_not(tmp_path: Path) -> None:
    one = product(tmp_path, ["p1", "p2", "p3"], held_back="0")
    lines = [f"{who},medical-research,2026-01-01,,e" for who in ("p1", "p2", "p3")]
    path, selector = table(tmp_path, *lines), Selector(salt=SALT)
    before = selector.select(one, purpose="medical-research", now=NOW)
    assert selector.select(one, purpose="medical-research", now=NOW) is before
    lines[1] = "p2,medical-research,2026-01-01,2026-05-01,e"
    table(tmp_path, *lines)
    after = selector.select(one, purpose="medical-research", now=NOW)
    assert (before.training, after.training, after.without_consent) == (3, 2, 1)
    assert before.commitment("a" * 64) != after.commitment("a" * 64)
    os.truncate(path, 10)
    with pytest.raises(ConsentError):
        selector.select(one, purpose="medical-research", now=NOW)
    path.unlink()
    with pytest.raises(ConsentError):
        selector.select(one, purpose="medical-research", now=NOW)


def test_uses_at_once_commit_each_to_their_own_states() -> None:
    sets = [((np.arange(3000) + n) % 3).astype(np.uint8) for n in range(3)]
    expected = [RowTree(b"k" * 32).root(one) for one in sets]
    tree = RowTree(b"k" * 32)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(tree.root, sets * 20))
        opened = list(pool.map(lambda one: open_row(tree, one, SALT, 1234), sets * 4))
    assert found == expected * 20
    for one, states in zip(opened, sets * 4, strict=True):
        one.verify(rows_commitment(RowTree(b"k" * 32), states, SALT))


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 700])
def test_each_row_opens_alone_and_the_tree_is_rfc_6962(rows: int) -> None:
    states = (np.arange(rows) % 3).astype(np.uint8)
    tree, salt = (
        RowTree.of(node_salt=SALT, product_commitment="c" * 64),
        use_salt(node_salt=SALT, permit="d" * 64),
    )
    leaves = [leaf for at in range(-(-rows // 256)) for leaf in tree._leaves(states, at)]
    assert tree.root(states) == Tree(leaves).root()
    commitment = rows_commitment(tree, states, salt)
    for row in {0, rows // 2, rows - 1}:
        opened = open_row(tree, states, salt, row)
        opened.verify(commitment)
        assert opened.state == states[row]
        changes = ({"state": (opened.state + 1) % 3}, {"rows": rows + 1}, {"use_salt": "0" * 64})
        for change in changes:
            with pytest.raises(ProofError):
                opened.model_copy(update=change).verify(commitment)
    changed = states.copy()
    changed[rows // 2] = (changed[rows // 2] + 1) % 3
    fresh = RowTree.of(node_salt=SALT, product_commitment="c" * 64)
    assert tree.root(changed) == fresh.root(changed) != Tree(leaves).root()


def test_states_are_hashed_by_one_thread_at_a_time() -> None:
    chance = np.random.default_rng(4)
    sets = [chance.integers(0, 3, 5000).astype(np.uint8) for _ in range(3)]
    expected = [RowTree(b"k" * 32).root(states) for states in sets]
    tree = RowTree(b"k" * 32)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(tree.root, sets * 6)) == expected * 6


def test_a_commitment_made_ahead_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Selector(salt=SALT).select(plain_product(tmp_path), purpose="x", now=NOW)
    expected = found.commitment("a" * 64)
    monkeypatch.setattr("clients.selection.AHEAD_ROWS", 1)
    fresh = Selector(salt=SALT).select(plain_product(tmp_path), purpose="x", now=NOW)
    fresh.commit_ahead()
    assert fresh.commitment("a" * 64) == expected


def plain_product(folder: Path) -> Product:
    """As `product`, without a table of consents."""
    made = product(folder, [f"p{place % 3}" for place in range(700)])
    return dataclasses.replace(made, consent=None, subject_consent="none")
