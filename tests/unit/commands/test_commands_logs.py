"""The program's log: one record one line, known fields only, no exception's own words."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.observing import TaskEnd, TaskFacts
from clients.tasklog import TaskLog, task_fields
from commands.logs import FIELDS, LogFormat, configure_logs
from policies.entries import entry_bytes
from server.entry_log import EntryLog
from server.observing import Fact, about, admitted

CANARY = "canary-4711"
FACTS = TaskFacts(
    run="run-1",
    flower_run="77",
    round=3,
    kind="train",
    permit="permit-0",
    product="clinic/rows",
    agreement="urn:a",
    app="ab" * 32,
)


class Log:
    """The process's log, caught."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def start(self, form: LogFormat, level: int = logging.INFO) -> None:
        configure_logs(form, level=level, stream=self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Iterator[Log]:
    """As a process of its own would have it; all is put back."""
    named = [logging.getLogger(name) for name in ("", "flwr", "httpx", "httpcore")]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in named]
    hook = threading.excepthook
    yield Log()
    logging.captureWarnings(False)
    threading.excepthook = hook
    for one, handlers, level, propagate in before:
        one.handlers[:] = handlers
        one.setLevel(level)
        one.propagate = propagate


def test_a_record_is_one_json_object(log: Log) -> None:
    log.start(LogFormat.JSON)
    logging.getLogger("clients.work").warning("it is %s", "so", extra={"code": "node-busy"})
    (record,) = log.records
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "WARNING",
        "logger": "clients.work",
        "text": "it is so",
        "code": "node-busy",
    }


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize(
    "came", ["a\n2026-01-01 INFO forged", "a\r\nb", "a\x1b[2J", "a\u2028b", "a\x85b", "x" * 99_999]
)
def test_what_others_wrote_begins_no_line_and_moves_no_terminal(
    log: Log, form: LogFormat, came: str
) -> None:
    log.start(form)
    logging.getLogger("clients.node").warning("refused a %s message", came)
    assert len(log.lines) == 1
    assert log.lines[0].isprintable()
    assert len(log.lines[0]) < 5000


@pytest.mark.parametrize("form", list(LogFormat))
def test_an_exception_tells_type_and_place_only(log: Log, form: LogFormat) -> None:
    log.start(form)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("server.guarded").exception("Cosign failed")
    (line,) = log.lines
    assert "Cosign failed (ValueError at test_commands_logs.py:" in line
    assert CANARY not in line


def test_only_known_fields_are_written(log: Log) -> None:
    log.start(LogFormat.JSON)
    extra: dict[str, object] = {"subject": CANARY, "rows": [CANARY], "run": {"x": CANARY}}
    logging.getLogger("clients").warning("x", extra=extra)
    (record,) = log.records
    assert set(record) == {"time", "level", "logger", "text"}


def test_flower_and_warnings_come_out_the_same_way(log: Log) -> None:
    log.start(LogFormat.JSON)
    logging.getLogger("flwr").warning("of Flower")
    logging.getLogger("httpx").info("a line for each look")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("of Python", stacklevel=1)
    assert [record["logger"] for record in log.records] == ["flwr", "py.warnings"]


def test_a_thread_that_ends_says_so_without_its_exceptions_words(log: Log) -> None:
    log.start(LogFormat.JSON)

    def fail() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=fail, name="teller")
    thread.start()
    thread.join()
    (record,) = log.records
    assert record["text"].startswith("thread teller ended (ValueError at ")
    assert CANARY not in log.lines[0]


def test_lines_of_a_task_carry_its_ids_and_its_last_tells_the_rest(log: Log) -> None:
    log.start(LogFormat.JSON)
    now = iter([10.0, 10.25])
    told = TaskLog(participant="clinic", clock=lambda: next(now))
    told.begun("77")
    logging.getLogger("clients.gate").info("before the gate")
    told.admitted(FACTS)
    logging.getLogger("clients.vault").info("in the use")
    told.ended(TaskEnd(rows_training=90, rows_evaluation=10, rows_without_consent=4, uses=8))
    logging.getLogger("clients.node").info("after")
    before, during, last, after = log.records
    assert (before["flower_run"], "run" in before) == ("77", False)
    ids = {name: getattr(FACTS, name) for name in FACTS.__slots__}
    assert {name: during[name] for name in ids} == ids
    assert [one["participant"] for one in (before, during, last)] == ["clinic"] * 3
    assert {name: last[name] for name in ids} == ids
    assert (last["seconds"], last["rows_training"], last["rows_without_consent"]) == (0.25, 90, 4)
    assert not set(FIELDS) & set(after)
    assert task_fields() == {}


def test_lines_of_a_call_or_a_round_carry_its_ids(log: Log) -> None:
    log.start(LogFormat.JSON)
    facts: dict[str, Fact] = {"run": "run-1", "round": 3, "kind": "train"}
    with about(facts):
        admitted("consortium")
        logging.getLogger("server.guarded").info("refused")
        facts["permit"] = "permit-1"
        logging.getLogger("server.app").info("closed", extra={"seconds": 1.5})
    logging.getLogger("server.service").info("after")
    first, second, after = log.records
    assert {name: first[name] for name in ("run", "round", "kind", "participant")} == {
        **{"run": "run-1", "round": 3, "kind": "train"},
        "participant": "consortium",
    }
    assert (second["permit"], second["seconds"]) == ("permit-1", 1.5)
    assert not set(FIELDS) & set(after)


def test_a_line_for_an_entry_about_a_run_has_its_ids_and_nobodys_text(log: Log) -> None:
    log.start(LogFormat.JSON)
    body = {"run": "run-1", "round": 2, "kind": "train", "permit_id": "permit-1", "attempt": 1}
    body |= {"participant": "p-1", "code": "node-busy", "text": CANARY}
    for kind in ("ReceiptRefused", "OfferPublished"):
        entry = entry_bytes(kind, time="2026-06-01T08:00:00.000Z", body=body)
        EntryLog().on_applied(7, kind, entry)
    (line,) = log.records
    assert line["text"] == "receipt refused (entry 7)"
    expected = {"run": "run-1", "round": 2, "permit": "permit-1", "code": "node-busy"}
    assert {name: line[name] for name in expected} == expected
    assert CANARY not in log.lines[0]


def test_a_refusal_has_its_code(log: Log) -> None:
    log.start(LogFormat.TEXT)
    now = iter([1.0, 1.5])
    told = TaskLog(clock=lambda: next(now))
    told.begun("77")
    told.ended(TaskEnd(code="permit-expired", text="the permit expired"))
    (line,) = log.lines
    assert "refused: permit-expired: the permit expired flower_run=77 code=permit-expired" in line


def test_a_process_that_cannot_start_says_so_in_the_same_form(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "commands", "node", "run", "--node", str(tmp_path)]
    ran = subprocess.run(
        [*command, "--log-format", "json"], check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    record = json.loads(ran.stderr.splitlines()[-1])
    assert record["level"] == "ERROR"
    assert "expected an enrolled node's folder" in record["text"]


def test_what_fails_where_nobody_can_be_told_is_one_record(log: Log) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("a cell's value")

    log.start(LogFormat.JSON)
    thing = Failing()
    del thing
    (record,) = log.records
    assert record["text"].startswith("ignored (ValueError at test_commands_logs.py:")
    assert "cell" not in record["text"]
