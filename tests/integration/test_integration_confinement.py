"""A policy that demands a level of confinement, and a node whose host cannot give it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import integration_weak_host as weak
import pytest
from integration_space import (
    ALLOWED,
    ended,
    of_run,
    read_log,
    sign_anew,
    slow_bundle,
    spec,
    write_product,
)

from commands.children import python
from commands.localspace import LocalSpace, local_space
from policies.envelope import unverified_payload
from policies.receipt import RECEIPT_TYPE

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can stand for two different hosts"),
]

ISOLATED = {
    "leftOperand": "executionEnvironment",
    "operator": "isA",
    "rightOperand": "isolated",
}


def start_on_a_weak_host(local: LocalSpace, name: str) -> None:
    folder = local.nodes[name].folder
    for place in (folder, *folder.rglob("*")):
        os.chown(place, weak.NOBODY, weak.NOBODY)
    command = python(weak.__file__, "node", "run", "--node", str(folder))
    local.processes[name] = local.children.start(f"node-{name}", command, env=local._env)
    local._wait_for(local.processes[name], "connected to the SuperLink", f"node {name}")


def confinements(local: LocalSpace, run: str) -> dict[str, Any]:
    """What each accepted receipt of the run says of its sandbox, by participant."""
    found = {}
    for entry in of_run(read_log(local.space.log_folder), run, "ReceiptAccepted"):
        payload: Any = unverified_payload(
            base64.b64decode(str(entry.body["envelope"])), payload_type=RECEIPT_TYPE
        )
        found[str(entry.body["participant"])] = payload["confinement"]
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user may enter; pytest's own is closed again by each new session."""
    with tempfile.TemporaryDirectory(prefix="tds-confinement-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_node_that_cannot_give_the_level_that_is_demanded_refuses(place: Path) -> None:
    """South's card promises isolation, and governance permits; south's node measures, and refuses.

    Under an agreement that demands nothing of the kind it works, and its receipt says what held.
    """
    with local_space(place, name="tests/confinement") as local:
        local.start()
        bundle = slow_bundle(place / "app")
        app = local.register_app(bundle, "Slow")
        for number, name in enumerate(("north", "south")):
            file, _ = write_product(place / "data" / name, name, rows=40, seed=number)
            stated = json.loads(file.read_text()) | {"execution_environment": "isolated"}
            file.write_text(json.dumps(stated), encoding="utf-8")
            local.add_node(
                name,
                title=name.title(),
                region="CN-GD",
                product_file=file,
                purpose=ALLOWED,
                app=bundle,
                constraints=[ISOLATED],
            )
        lenient = [sign_anew(local, name) for name in local.nodes]
        local.start_nodes(["north"])
        start_on_a_weak_host(local, "south")
        assert ": confined" in local.processes["south"].output()

        strict = [node.agreement for node in local.nodes.values()]
        one = spec(app, strict, rounds=1, deadline_s=20).model_copy(update={"quorum": 1})
        run = local.open_run(one).run
        assert ended(local, run).state == "COMPLETED"
        assert {who: held["level"] for who, held in confinements(local, run).items()} == {
            "north": "isolated"
        }
        refused = of_run(
            read_log(local.space.log_folder), run, "ReceiptRefused", participant="south"
        )
        assert {one.body["code"] for one in refused} == {"agreement-denies"}
        own = read_log(local.nodes["south"].folder / "log")
        texts = [str(e.body["text"]) for e in own if e.type == "UseRefused"]
        assert texts
        assert all("the execution environment" in text and "confined" in text for text in texts)
        assert not any(entry.type == "UseStarted" for entry in own)

        status = python("-m", "commands", "node", "status", "--json", "--node")
        folder = str(local.nodes["south"].folder)
        told = json.loads(subprocess.check_output([*status, folder], timeout=60))["attempts"]
        assert [one["text"] for one in reversed(told)] == texts
        assert {(one["kind"], one["code"]) for one in told} == {("refused", "agreement-denies")}

        run = local.open_run(spec(app, lenient, rounds=1)).run
        assert ended(local, run).state == "COMPLETED"
        held = confinements(local, run)
        assert held["north"]["level"] == "isolated"
        south = {name: held["south"][name] for name in ("network", "user", "files", "level")}
        assert south == {"network": "none", "user": "same", "files": "host", "level": "confined"}
