"""Which uses had rows of a subject: right whatever became of data and consents since."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_clients_gate import APP, NOW, OTHER_KEY, agreement, member
from test_clients_gate import RECEIPT_KEY as KEY_ID
from test_clients_selection import product, table
from test_clients_work import RECEIPT_KEY, Crash, Node

from clients.consent import NOT_GIVEN, STANDS, WITHDRAWN, Subjects
from clients.errors import StateUnavailable
from clients.jobs import JobResult
from clients.rolls import (
    Roll,
    codes_of,
    packed_states,
    roll_id,
    roll_of,
    states_from,
    subject_digest,
    subject_key,
)
from clients.schema import METADATA, UPGRADES
from clients.selection import Selector
from clients.state import NodeState
from clients.subject import SubjectAnswer, opened, uses_of
from clients.tasks import Done
from ledger.errors import ProofError
from policies.fields import instant
from policies.receipt import open_receipt

SALT = b"s" * 32
KEY = subject_key(SALT)
PURPOSE = "medical-research"
PRODUCT = "clinic-a/breast-cytology"


# -- numbering and states ------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["p1", "p2", "ärztin", "p1 ", "999"]), min_size=1, max_size=40))
def test_a_roll_gives_exactly_the_rows_of_each_subject(whose: list[str]) -> None:
    subjects = Subjects.of(np.array(whose, dtype=object))
    roll = roll_of(KEY, roll_id(KEY, subjects), subjects)
    for subject in {*whose, "absent"}:
        expected = [row for row, one in enumerate(whose) if one == subject]
        assert roll.rows_of(subject_digest(KEY, subject)).tolist() == expected


def test_a_digest_is_found_only_where_one_begins() -> None:
    digests = bytes(range(48))
    roll = Roll("x", 0, digests, b"")
    assert roll.rows_of(digests[8:24]).tolist() == []


def test_another_numbering_has_another_id() -> None:
    ids = {
        roll_id(key, Subjects.of(np.array(whose, dtype=object)))
        for key in (KEY, subject_key(b"t" * 32))
        for whose in (["a", "b"], ["b", "a"], ["a", "b", "a"], ["a", "b", "b"], ["ab"])
    }
    assert len(ids) == 10


@given(st.lists(st.integers(0, 3), max_size=30))
def test_states_come_back_as_they_were(values: list[int]) -> None:
    codes = np.array(values, dtype=np.uint8)
    packed = packed_states(KEY, codes)
    assert packed.unpacked().tolist() == values
    assert states_from(codes).tolist() == [0 if one == 3 else one for one in values]


def test_why_a_row_was_left_out_is_kept_beside_its_state() -> None:
    subjects = Subjects.of(np.array(["a", "b", "c", "a"], dtype=object))
    standings = np.array([STANDS, NOT_GIVEN, WITHDRAWN], dtype=np.uint8)
    states = np.array([1, 0, 0, 2], dtype=np.uint8)
    codes = codes_of(states, subjects, standings)
    assert codes.tolist() == [1, 0, 3, 2]
    assert states_from(codes).tolist() == states.tolist()
    assert codes_of(states, subjects, None).tolist() == states.tolist()


def test_a_use_takes_as_much_as_the_docstring_says() -> None:
    rows = 200_000
    rng = np.random.default_rng(0)
    states = np.where(rng.random(rows) < 0.2, 2, 1).astype(np.uint8)
    states[rng.random(rows) < 0.03] = 0
    subjects = Subjects.of(np.array([f"p{n // 2}" for n in range(rows)], dtype=object))
    roll = roll_of(KEY, roll_id(KEY, subjects), subjects)
    assert len(packed_states(KEY, states).states) * 8 < 1.2 * rows
    assert len(roll.digests) == 16 * rows // 2
    assert len(roll.numbers) < 4 * rows


@pytest.mark.parametrize("data", [b"", b"x", packed_states(KEY, np.ones(9, np.uint8)).states])
def test_what_is_damaged_is_no_answer(data: bytes) -> None:
    with pytest.raises(StateUnavailable, match="rows of a use"):
        Roll("x", 2, subject_digest(KEY, "p"), data).rows_of(subject_digest(KEY, "p"))


# -- whole uses ------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement())
    yield node
    node.close()


Edit = Callable[[dict[str, str]], object]
SET: dict[str, str] = {name: f"{name},{PURPOSE},2020-01-01,,e" for name in ("p1", "p2", "p3")}


def rounds(node: Node, folder: Path, *edits: Edit) -> list[Done]:
    """One use after each edit of the consents; then data and consents become others."""
    one = product(folder, ["p1", "p2", "p1", "p3", "p4"], held_back="0.4")
    selector = Selector(salt=SALT)
    node.materials.chosen = lambda purpose, now: selector.select(one, purpose=purpose, now=now)
    lines, done = dict(SET), []
    for number, edit in enumerate(edits, 1):
        edit(lines)
        table(folder, *lines.values())
        reply = node.worker.handle(node.task(number, purpose=PURPOSE, round=number))
        assert isinstance(reply, Done), reply
        done.append(reply)
    product(folder, ["q1", "p1"])
    table(folder, f"q1,{PURPOSE},2020-01-01,,e")
    node.restart()
    return done


def keep(_lines: dict[str, str]) -> None:
    pass


def withdraw_p1(lines: dict[str, str]) -> None:
    lines["p1"] = f"p1,{PURPOSE},2020-01-01,2021-01-01,e"


def ask(node: Node, subject: str, **rest: str) -> SubjectAnswer:
    return uses_of(node.state, node_salt=SALT, subject=subject, **rest)


def figures(answer: SubjectAnswer) -> list[tuple[int, int, int, str]]:
    return [
        (one.use.round, one.trained + one.evaluated, one.left_out, one.why) for one in answer.uses
    ]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("p1", [(1, 2, 0, ""), (2, 2, 0, ""), (3, 0, 2, "withdrawn")]),
        ("p2", [(1, 1, 0, ""), (2, 1, 0, ""), (3, 1, 0, "")]),
        ("p4", [(number, 0, 1, "not-given") for number in (1, 2, 3)]),
        ("q1", []),
        ("P1", []),
    ],
)
def test_the_answer_is_that_of_each_moment(
    node: Node, tmp_path: Path, subject: str, expected: list[tuple[int, int, int, str]]
) -> None:
    rounds(node, tmp_path, keep, keep, withdraw_p1)
    answer = ask(node, subject)
    assert figures(answer) == expected
    assert answer.without == (0 if expected else 3)
    assert (answer.idle, answer.unknown) == (0, {})
    assert ask(node, subject, product="clinic-b/other").uses == ()


def test_what_is_kept_names_nobody_and_is_kept_once(node: Node, tmp_path: Path) -> None:
    names = ["the-subject-4711", "the-subject-4712"]
    one = product(tmp_path, names, held_back="0")
    table(tmp_path, *(f"{name},{PURPOSE},2020-01-01,,e" for name in names))
    selector = Selector(salt=SALT)
    node.materials.chosen = lambda purpose, now: selector.select(one, purpose=purpose, now=now)
    for number in (1, 2, 3):
        assert isinstance(node.worker.handle(node.task(number, purpose=PURPOSE)), Done)
        node.restart()
    node.close()
    stored = b"".join(path.read_bytes() for path in node.folder.glob("state.db*"))
    assert b"the-subject" not in stored
    with closing(sqlite3.connect(node.folder / "state.db")) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("use_rows", "subject_rolls", "row_states")
        ]
    assert counts == [3, 1, 1]
    node.restart()
    assert [one.trained for one in ask(node, names[0]).uses] == [1, 1, 1]


def test_an_opened_row_fits_the_receipt_of_its_use_only(node: Node, tmp_path: Path) -> None:
    done = rounds(node, tmp_path, keep, withdraw_p1)
    receipts = [open_receipt(one.receipt, RECEIPT_KEY.public_key()) for one in done]
    found = list(opened(node.state, ask(node, "p1").uses, node_salt=SALT))
    assert [[row.row for row in one.rows] for one in found] == [[0, 2], [0, 2]]
    assert {row.state for row in found[0].rows} <= {1, 2}
    assert {row.state for row in found[1].rows} == {0}
    for one, receipt, other in zip(found, receipts, reversed(receipts), strict=True):
        assert one.commitment == receipt.rows_commitment
        for row in one.rows:
            row.verify(receipt.rows_commitment)
            with pytest.raises(ProofError):
                row.verify(other.rows_commitment)


def test_an_evaluation_has_no_rows_to_train_on(node: Node, tmp_path: Path) -> None:
    node.consent(
        agreement(permission=[{"action": "evaluate"}], **{"@id": "agreement-for-evaluation"})
    )
    own = product(tmp_path, ["p1"] * 5, held_back="0.4")
    table(tmp_path, f"p1,{PURPOSE},2020-01-01,,e")
    selector = Selector(salt=SALT)
    node.materials.chosen = lambda purpose, now: selector.select(own, purpose=purpose, now=now)
    node.runner.result = JobResult(None, {"loss": 0.25}, "")
    cohort = [
        member("clinic-a", KEY_ID, agreement="agreement-for-evaluation"),
        member("clinic-b", OTHER_KEY),
    ]
    reply = node.worker.handle(node.task(purpose=PURPOSE, kind="evaluate", cohort=cohort))
    assert isinstance(reply, Done)
    [found] = ask(node, "p1").uses
    held_back = int((selector.select(own, purpose=PURPOSE, now=NOW).states == 2).sum())
    assert (found.trained, found.evaluated, found.left_out) == (0, held_back, 0)


@pytest.mark.parametrize(
    ("step", "idle", "trained"), [("recorded", 1, []), ("started", 1, []), ("opened", 0, [2])]
)
def test_a_use_that_is_cut_off_counts_from_where_its_rows_were_kept(
    node: Node, tmp_path: Path, step: str, idle: int, trained: list[int]
) -> None:
    own = product(tmp_path, ["p1", "p2", "p1"], held_back="0")
    table(tmp_path, f"p1,{PURPOSE},2020-01-01,,e")
    selector = Selector(salt=SALT)
    node.materials.chosen = lambda purpose, now: selector.select(own, purpose=purpose, now=now)
    node.crash_at = step
    with pytest.raises(Crash):
        node.worker.handle(node.task(purpose=PURPOSE))
    node.restart()
    node.worker.recover()
    answer = ask(node, "p1")
    assert answer.idle == idle
    assert [(one.trained, one.use.outcome) for one in answer.uses] == [
        (rows, "stopped") for rows in trained
    ]


def test_what_is_not_known_is_said(node: Node) -> None:
    assert isinstance(node.worker.handle(node.task(1)), Done)  # of data without subjects
    node.materials.error = StateUnavailable("no rows")
    node.worker.handle(node.task(2))
    answer = ask(node, "p1")
    [use, failed] = node.state.uses(limit=9)
    assert answer.unknown == {(use.product, "no-subjects"): 1}
    assert (answer.uses, answer.without, answer.idle) == ((), 0, 1)
    assert failed.outcome in ("failed", "receipted")


def test_uses_from_before_are_not_known(node: Node) -> None:
    assert isinstance(node.worker.handle(node.task(1)), Done)
    path, names = node.state.path, ("use_rows", "subject_rolls", "row_states")
    with closing(sqlite3.connect(path)) as connection, connection:
        for name in names:
            connection.execute(f"DROP TABLE {name}")
        for statement in UPGRADES[3]:
            assert isinstance(statement, str)
            connection.execute(statement)
        for name in names:
            found = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            assert found == {one.name for one in METADATA.tables[name].columns}
    [use] = node.state.uses(limit=9)
    assert ask(node, "p1").unknown == {(use.product, "before-version-4"): 1}


def test_rows_that_cannot_be_kept_are_not_used(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_rest: object) -> None:
        raise StateUnavailable("disk full")

    monkeypatch.setattr(NodeState, "keep_rows", full)
    assert not isinstance(node.worker.handle(node.task()), Done)
    assert node.runner.jobs == []
    assert [use.outcome for use in node.state.uses(limit=9)] == ["failed"]
