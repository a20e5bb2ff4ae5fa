"""`tds` as people call it: bad input as a table, and the process itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands_site import Tds

from commands.children import python

REFUSED = [
    # what is called, how it ends, what it says
    ("bogus", 2, "No such command 'bogus'"),
    ("node bogus", 2, "No such command 'bogus'"),
    ("policy check", 2, "Missing argument 'FILE...'"),
    ("policy check gone.json", 2, "gone.json: expected a readable file"),
    ("policy check full", 2, "full: expected a readable file, got: Is a directory"),
    ("policy check huge.json", 2, "huge.json: expected at most 65536 bytes"),
    ("policy check no-json.json", 2, "$: expected JSON"),
    ("policy check a-list.json", 2, "$: expected an object"),
    ("policy check twice.json", 2, "$: expected each key once, got '@id' twice"),
    ("policy check float.json", 2, "expected integers only"),
    ("policy check unknown-key.json", 2, "$.permission[0].remedy: expected only keys"),
    ("policy check bad-operand.json", 2, "$.permission[0].constraint[2].leftOperand: expected"),
    ("policy check bare-integer.json", 2, "$.permission[0].constraint[2].rightOperand: expected"),
    ("policy check no-conflict.json", 2, 'no-conflict.json: $.conflict: expected "prohibit"'),
    ("policy check agreement.json gone.json", 2, "gone.json: expected a readable file"),
    ("policy check agreement.json --at soon", 2, "--at: expected a moment like"),
    (
        "policy check agreement.json --at 9999-12-31T23:59:59-14:00",
        2,
        "--at: expected a moment like",
    ),
    (
        "policy check agreement.json --until 0001-01-01T00:00:00+14:00",
        2,
        "--until: expected a moment like",
    ),
    ("policy check agreement.json --until 2026-01-01", 2, "--until: expected an offset"),
    ("policy compare agreement.json", 2, "Missing argument 'B'"),
    ("policy compare agreement.json gone.json", 2, "gone.json: expected a readable file"),
    ("policy compare a-list.json agreement.json", 2, "a-list.json: $: expected an object"),
    ("policy decide --policy agreement.json", 2, "Missing option '--request'"),
    (
        "policy decide --policy gone.json --request request.json",
        2,
        "gone.json: expected a readable",
    ),
    (
        "policy decide --policy agreement.json --request gone.json",
        2,
        "gone.json: expected a readab",
    ),
    ("policy decide --policy agreement.json --request a-list.json", 2, "$: expected a JSON object"),
    ("policy decide --policy agreement.json --request bad-operand.json", 2, "$."),
    (
        "policy decide --policy request.json --request request.json",
        2,
        "$.@type: expected 'Agreement'",
    ),
    (
        "policy decide --policy agreement.json --request request.json --lang fr",
        2,
        "--lang: expected en or zh",
    ),
    (
        "policy decide --policy agreement.json --request request.json --baseline full",
        2,
        "full: expected a folder with laws",
    ),
    ("policy explain run-1 1 clinic --log full", 2, "full: expected a log's folder"),
    ("policy explain run-1 0 clinic --log full", 2, "0 is not in the range"),
    ("contract accept gone.json --node clinic", 2, "gone.json: expected a readable file"),
    ("contract accept agreement.json --node clinic", 1, "expected the assigner clinic"),
    (
        "contract draft clinic/p --owner clinic --consumer c --purpose p --out agreement.json",
        2,
        "agreement.json: expected no such file, got one",
    ),
    (
        "contract draft clinic/p --owner no|name --consumer c|d --purpose p|q --out new.json",
        2,
        "$.assigner: expected a name",
    ),
    (
        "space init full --name x --region CN",
        1,
        "full: expected no such folder or an empty one",
    ),
    (
        "space init gone/space --name x --region CN",
        1,
        "gone: expected a folder to make the space",
    ),
    (
        "space init new --name x --region CN --port 0",
        2,
        "'--port': 0 is not in the range",
    ),
    (
        "space init new --name x --region CN --port 65534",
        2,
        "'--port': 65534 is not in the range",
    ),
    (
        "space init new --name two|words --region CN",
        1,
        "expected a key name of 1 to 255 characters",
    ),
    ("space init new --name example.org/x", 2, "Missing option '--region'"),
    ("space init new --name example.org/x --region china", 1, "$.region"),
    ("space init new --name x --region CN --baseline full", 1, "mine.txt: expected only files"),
    ("space init new --name x --region CN --baseline gone", 1, "gone: expected a folder with"),
    (
        "space init new --name x --region CN --log-database postgresql://u:pw@localhost/l",
        1,
        "log_database: database URL: expected no password in it",
    ),
    (
        "space init new --name x --region CN --log-database postgresql://db.example/l",
        1,
        "expected sslmode=verify-full",
    ),
    ("space show --space gone", 1, "gone/space.json: expected a readable file"),
    ("space show --space clinic", 1, "clinic/space.json: expected a readable file"),
    ("space invite --space space --out old.join", 2, "old.join: expected no such file, got one"),
    ("node status --node gone", 1, "gone: expected an enrolled node's folder"),
    ("node status --node space", 1, "space: expected an enrolled node's folder"),
    ("node new fresh --join gone.join --region CN-GD", 1, "gone.join: expected a readable file"),
    ("node new fresh --join old.join --region CN-GD", 1, "expired at 2020-01-01"),
    ("node new fresh --join bad.join --region CN-GD", 1, "bad.join: $."),
    ("node new clinic --join next.join --region CN-GD", 1, "got an enrolled node"),
    ("node withdraw a-1 --node clinic", 1, "a-1"),
    ("node seen --node clinic", 1, "clinic: expected a checkpoint, got none"),
    ("product add data/gone.json --node clinic", 2, "gone.json: "),
    ("product add data/unknown-field.json --node clinic", 2, "$.colour"),
    ("product add data/no-field.json --node clinic", 2, "$.classes"),
    ("product add data/core.json --node clinic", 2, "$.classification: expected general or"),
    ("product add data/elsewhere.json --node clinic", 2, "$.path: expected a path below"),
    ("product add data/no-data.json --node clinic", 1, "gone.csv: expected a data file"),
    ("product add data/no-column.json --node clinic", 1, "texture"),
    ("product add data/wrong-type.json --node clinic", 1, "radius"),
    ("product add data/one-class.json --node clinic", 1, "diagnosis"),
    ("app show nothing --node clinic", 2, "nothing: expected a bundle's file or 64 hexadecimal"),
    ("app show fake.fab --node clinic", 1, "bundle"),
    ("app approve fake.fab --node clinic", 1, "bundle"),
    ("app register gone.fab --space space --title x", 1, "gone.fab: expected a readable file"),
    ("run start xyz --consumer space/consumer --purpose p --agreement a", 2, "$.app: expected"),
    ("run list --consumer clinic", 1, "clinic"),
    ("run start xyz --consumer space/consumer", 2, "Missing option '--purpose'"),
    ("demo --folder full", 2, "full: expected no such folder or an earlier demo's"),
    ("demo --folder agreement.json", 2, "agreement.json: expected no such folder"),
    ("demo --rounds 3", 2, "'--rounds': 3 is not in the range"),
    ("simulate full --nodes 1", 2, "'--nodes': 1 is not in the range"),
    ("simulate full --folder full", 2, "full: expected no such folder, got one"),
    ("serve --space gone", 1, "gone/space.json: expected a readable file"),
]


@pytest.mark.parametrize(("call", "code", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_bad_input_ends_with_a_sentence(
    tds: Tds, inputs: Path, call: str, code: int, says: str
) -> None:
    before = sorted(inputs.rglob("*"))
    ran = tds(*(word.replace("|", " ") for word in call.split()))
    assert ran.code == code
    assert says in ran.err
    assert ran.err.strip().startswith(("error: ", "Usage: "))
    left = [path.name for path in sorted(inputs.rglob("*")) if path not in before]
    assert [name for name in left if not name.startswith(("state.db", "ledger.db"))] == []


def test_a_value_of_the_data_is_never_told(tds: Tds, inputs: Path) -> None:
    data = inputs / "data" / "data.csv"
    text = data.read_text(encoding="utf-8").replace("3.5", "tumour-of-Ada")
    data.write_text(text, encoding="utf-8")
    ran = tds("product", "add", "data/product.json", "--node", "clinic")
    assert ran.code == 1
    assert "row 4" in ran.err
    assert "Ada" not in ran.err


def test_a_folder_that_is_no_earlier_demo_is_left_alone(tds: Tds, inputs: Path) -> None:
    assert tds("demo", "--folder", "full").code == 2
    assert (inputs / "full" / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_nothing_asked_shows_the_help(tds: Tds) -> None:
    ran = tds()
    assert ran.code == 2
    assert "Commands" in ran.out + ran.err


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("--help", 0, "Exit codes: 0 done"),
        ("policy check gone.json", 2, "error: gone.json: expected a readable file"),
        ("space show --space gone", 1, "gone/space.json: expected a readable file"),
    ],
)
def test_the_process_itself(tmp_path: Path, call: str, code: int, says: str) -> None:
    done = subprocess.run(
        python("-m", "commands", *call.split()),
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert says in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr
