"""`tds serve` where a port is taken: a sentence, an exit code, and nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
from integration_space import cmdline

from commands.children import free_ports, python
from commands.node_wiring import now
from server.space import Space, init_space

pytestmark = pytest.mark.process


@pytest.mark.parametrize("which", ["superlink", "governance", "enrolment", "contracts"])
def test_serve_names_the_port_that_is_taken(tmp_path: Path, which: str) -> None:
    space = _space(tmp_path)
    address = str(getattr(space.card, which))
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        done = subprocess.run(
            python("-m", "commands", "serve", "--space", str(space.folder)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "COLUMNS": "1000"},  # messages are not wrapped
        )
    assert done.returncode == 1
    assert f"{address}: expected a free port" in done.stderr
    assert "Traceback" not in done.stderr
    assert "is up" not in done.stdout
    left = [c for p in psutil.process_iter() if str(tmp_path) in (c := cmdline(p))]
    assert left == []


def _space(folder: Path) -> Space:
    ports = free_ports(4)
    return init_space(
        folder / "space",
        name="tests/ports",
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
        contracts_address=f"127.0.0.1:{ports[3]}",
        hosts=["127.0.0.1"],
        now=now(),
    )
