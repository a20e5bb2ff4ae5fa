"""The logs of the processes of a whole run, as JSON: what they say, and what they must not.

That no row and no secret stands in them: test_integration_canary.py, which reads every file.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from integration_governed import REFUSED, ROUNDS, ROWS, Governed
from integration_space import of_run, read_log

from commands.logs import FIELDS

pytestmark = pytest.mark.process

PERMITTED = sorted(set(ROWS) - {REFUSED})


def lines(governed: Governed, process: str) -> list[dict[str, Any]]:
    path = governed.root / "logs" / f"{process}.log"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("owner", sorted(ROWS))
def test_each_line_of_a_node_is_one_record_with_known_fields(
    governed: Governed, owner: str
) -> None:
    found = lines(governed, f"node-{owner}")
    assert any("connected to the SuperLink" in line["text"] for line in found)
    allowed = {"time", "level", "logger", "text", *FIELDS}
    assert [line for line in found if not set(line) <= allowed] == []
    assert [line for line in found if line["level"] in {"ERROR", "CRITICAL"}] == []


@pytest.mark.parametrize("owner", PERMITTED)
def test_each_use_has_a_line_that_the_log_agrees_with(governed: Governed, owner: str) -> None:
    done = [line for line in lines(governed, f"node-{owner}") if line["text"].startswith("done")]
    assert {line["run"] for line in done} == {governed.run.run}
    assert [line["round"] for line in done] == list(range(1, ROUNDS + 2))
    entries = read_log(governed.local.space.log_folder)
    accepted = of_run(entries, governed.run.run, "ReceiptAccepted", participant=owner)
    assert [(line["permit"], line["rows_training"]) for line in done] == [
        (entry.body["permit_id"], entry.body["rows_used"]) for entry in accepted
    ]
    assert all(line["product"] == f"{owner}/rows" for line in done)


def test_each_round_has_lines_of_governance_and_serverapp_with_its_ids(governed: Governed) -> None:
    run = governed.run.run
    for process, logger, text, kinds in (
        ("serve", "server.entry_log", "round closed", 2),
        ("executor", "server.app", "round ", 2),
    ):
        folder = governed.root if process == "serve" else governed.local.space.folder
        path = folder / "logs" / f"{process}.log"
        found = [
            json.loads(line) for line in path.read_text("utf-8").splitlines() if line[:1] == "{"
        ]
        of_rounds = [
            line for line in found if line["logger"] == logger and line["text"].startswith(text)
        ]
        assert [line["round"] for line in of_rounds] == list(range(1, ROUNDS + 2)), process
        assert {line["run"] for line in of_rounds} == {run}
        assert len({line["kind"] for line in of_rounds}) == kinds
        assert all(line["permit"].startswith("permit-") for line in of_rounds)


def test_governance_says_that_it_is_up(governed: Governed) -> None:
    path = governed.root / "logs" / "serve.log"
    assert '"text": "space tests/governed is up' in path.read_text(encoding="utf-8")
