"""A running space and a running node, backed up, restored elsewhere, and going on from there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from integration_space import (
    ALLOWED,
    ended,
    has,
    online,
    read_log,
    sign_anew,
    slow_bundle,
    spec,
    wait_for,
    write_product,
)

from commands.children import python
from commands.localspace import LocalSpace, local_space
from server.space import load_space

pytestmark = pytest.mark.process

ROWS = {"north": 60, "south": 50}
WORDS = "correct horse battery staple, said nobody"


def tds(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = python("-m", "commands", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def make(local: LocalSpace, root: Path) -> str:
    bundle = slow_bundle(root / "app")
    app = local.register_app(bundle, "Slow")
    for number, (name, rows) in enumerate(ROWS.items()):
        product, _ = write_product(root / "data" / name, name, rows=rows, seed=number)
        local.add_node(
            name, title=name, region="CN-GD", product_file=product, purpose=ALLOWED, app=bundle
        )
    local.start_nodes(local.nodes)
    return app


def a_run(local: LocalSpace, app: str, *, rounds: int, **config: int) -> str:
    consents = [sign_anew(local, name) for name in ROWS]
    return local.open_run(spec(app, consents, rounds=rounds, **config)).run


def test_a_space_goes_on_from_its_newest_backup_and_from_no_older_one(tmp_path: Path) -> None:
    words = tmp_path / "passphrase"
    words.touch(mode=0o600)
    words.write_text(WORDS, encoding="utf-8")
    sealed = ("--keys", "--passphrase-file", str(words))
    with local_space(tmp_path, name="tests/backup") as local:
        local.start()
        app = make(local, tmp_path)
        old = local.space.folder
        # In the middle of a run, with everything up.
        run = a_run(local, app, rounds=4, slow_ms=300, slow_rows=1)
        wait_for("a round to close", has(old / "log", run, "RoundClosed"), timeout_s=60)
        done = tds(
            "space", "backup", "--space", str(old), "--out", str(tmp_path / "a.tar"), *sealed
        )
        assert done.returncode == 0, done.stderr
        assert ended(local, run).state == "COMPLETED"
        after = a_run(local, app, rounds=1)  # however late that backup was made
        assert ended(local, after).state == "COMPLETED"
        node = local.nodes["north"].folder
        done = tds("node", "backup", "--node", str(node), "--out", str(tmp_path / "n.tar"), *sealed)
        assert done.returncode == 0, done.stderr

        # The log went on, as a node saw: nothing is restored from the older backup.
        words_from = ("--passphrase-file", str(words))
        note = tmp_path / "south.note"
        south = str(local.nodes["south"].folder)
        assert tds("node", "seen", "--node", south, "--out", str(note)).returncode == 0
        new = tmp_path / "restored"
        older = ("space", "restore", str(tmp_path / "a.tar"), "--space", str(new), *words_from)
        done = tds(*older, "--seen", str(note))
        assert done.returncode == 1
        assert "would sign a second history" in done.stderr
        assert not new.exists()

        # The machine is lost after a newer one; a node is lost with it.
        done = tds(
            "space", "backup", "--space", str(old), "--out", str(tmp_path / "b.tar"), *sealed
        )
        assert done.returncode == 0, done.stderr
        for name in ("serve", "north"):
            local.children.stop(local.processes[name])
        kept = tmp_path / "kept"
        shutil.copytree(old / "log", kept)
        newer = ("space", "restore", str(tmp_path / "b.tar"), "--space", str(new), *words_from)
        done = tds(*newer, "--seen", str(note), "--seen", str(old / "log" / "checkpoint"))
        assert done.returncode == 0, done.stderr
        old.rename(tmp_path / "lost")
        node.rename(tmp_path / "lost-node")
        done = tds(
            *("node", "restore", str(tmp_path / "n.tar"), "--node", str(node)),
            *("--passphrase-file", str(words), "--seen", str(tmp_path / "lost-node/last-signed")),
        )
        assert done.returncode == 0, done.stderr

        # Another round, in which the restored node takes part; nobody sees a fork.
        local.space = load_space(new)
        local.start()
        local.start_nodes(["north"])
        wait_for("the nodes", lambda: online(local) == set(ROWS), timeout_s=60)
        again = a_run(local, app, rounds=1)
        view = ended(local, again)
        assert view.state == "COMPLETED", view
        for name in ROWS:
            assert has(new / "log", again, "ReceiptAccepted", participant=name)()
        assert not [one for one in read_log(new / "log") if one.type == "ForkReported"]
        done = tds(
            *("audit", "verify", str(new / "log"), "--key", local.space.card.log_key),
            *("--seen", str(kept / "checkpoint")),
        )
        assert done.returncode == 0, done.stdout + done.stderr
