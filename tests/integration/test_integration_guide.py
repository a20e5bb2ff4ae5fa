"""The researcher's guide, walked through: its commands, as they stand there, in an empty folder."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration_guide import ROOT, Terminal, commands_of, terminal, write_biopsies
from integration_space import read_log

from policies.space import SpaceCard
from server.space import load_space

pytestmark = pytest.mark.process

GUIDE = ROOT / "docs" / "researcher.md"
HERE, ELSEWHERE = "In five minutes, on this machine", "In a space elsewhere"
FIVE_MINUTES_S = 300.0
ROWS = 200
JOIN = ("--out", "clinic.join")
FOUND = re.compile(r"^(\d+)  \S+  ReceiptAccepted: (\S+) used (\d+) rows", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Walked:
    """The first section of the guide, done; its space and its node still run."""

    terminal: Terminal
    said: dict[str, str]
    seconds: float

    @property
    def card(self) -> SpaceCard:
        return load_space(self.terminal.folder / "tds-demo" / "space").card


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    root = tmp_path_factory.mktemp("guide")
    began = time.monotonic()
    with terminal(root / "empty", root / "logs", timeout_s=FIVE_MINUTES_S) as here:
        write_biopsies(here.folder, rows=ROWS, seed=1)
        said: dict[str, str] = {}
        for command in commands_of(GUIDE, HERE):
            out = here.run(command)
            said[" ".join(command[:2])] = out
            if command[:2] == ["audit", "find"]:
                here.words["ENTRY"] = FOUND.findall(out)[0][0]
        yield Walked(here, said, time.monotonic() - began)


def test_three_commands_join() -> None:
    for section in (HERE, ELSEWHERE):
        commands = commands_of(GUIDE, section)
        first = next(n for n, words in enumerate(commands) if words[:2] == ["node", "new"])
        joining = [words[:2] for words in commands[first : first + 3]]
        assert joining == [["node", "new"], ["product", "add"], ["node", "run"]]


def test_it_takes_less_than_five_minutes(walked: Walked) -> None:
    assert walked.seconds < FIVE_MINUTES_S


def test_the_run_used_the_csv_and_an_entry_proves_it(walked: Walked) -> None:
    folder = walked.terminal.folder
    receipts = [e for e in read_log(folder / "tds-demo/space/log") if e.type == "ReceiptAccepted"]
    node = json.loads((folder / "clinic/node.json").read_bytes())["participant"]
    assert [entry.body["participant"] for entry in receipts] == [node] * 3
    assert "COMPLETED" in walked.said["run start"]
    trained = [
        int(rows) for _, who, rows in FOUND.findall(walked.said["audit find"]) if who == node
    ]
    assert 0.7 * ROWS < trained[0] == trained[1] < 0.9 * ROWS  # a fifth is held back
    assert "was verified, so these are all there are" in walked.said["audit find"]
    explained = walked.said["audit explain"]
    assert f"{node}/biopsies" in explained
    assert str(trained[0]) in explained


def test_what_was_drafted_stays_for_its_owner_to_read(walked: Walked) -> None:
    drafts = {path.name for path in walked.terminal.folder.glob("biopsies.*.json")}
    assert drafts == {"biopsies.product.json", "biopsies.offer.json"}


def test_the_same_three_commands_join_a_space_elsewhere(walked: Walked, tmp_path: Path) -> None:
    operator, card = walked.terminal, walked.card
    operator.run(["space", "invite", "--space", "tds-demo/space", "--region", "CN-GD", *JOIN])
    with terminal(tmp_path / "empty", tmp_path / "logs", timeout_s=FIVE_MINUTES_S) as there:
        write_biopsies(there.folder, rows=ROWS, seed=2)
        (operator.folder / "clinic.join").rename(there.folder / "clinic.join")
        (there.folder / "log.key").write_text(card.log_key, encoding="utf-8")
        there.words["HOST:PORT"] = str(card.contracts)
        for command in commands_of(GUIDE, ELSEWHERE):
            if command[:2] == ["audit", "find"]:
                operator.run(_run_of_two(operator))
            out = there.run(command)
            if command[:2] == ["app", "list"]:
                there.words["SHA256"] = re.findall(r"\b[0-9a-f]{64}\b", out)[0]
        node = json.loads((there.folder / "clinic/node.json").read_bytes())["participant"]
        used = [int(rows) for _, who, rows in FOUND.findall(out) if who == node]
        assert 0.7 * ROWS < used[0] < 0.9 * ROWS


def _run_of_two(operator: Terminal) -> list[str]:
    """What the guide's consumer does, with the cohort of two, and the masks, that the offer asks
    for."""
    [command] = [words for words in commands_of(GUIDE, HERE) if words[:2] == ["run", "start"]]
    return [{"1": "2", "none": "governance"}.get(word, word) for word in command]
