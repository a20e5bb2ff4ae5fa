"""A project of docker-compose.yml under a name of its own, and what its containers say."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NODES = ("riverside", "northgate", "lakeview", "westpark", "hillcrest")
STAYING = ("superlink", "governance", "executor", "proxy", "console", *NODES)
NO_ENGINE = (
    "expected a Docker engine with Compose v2, got none; on Debian: apt-get install docker.io "
    "docker-compose-plugin, then start dockerd (as root)"
)


def free_port() -> int:
    """A port of loopback that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass(slots=True)
class Project:
    """The services of one project.

    Attributes:
        files: Compose files beside docker-compose.yml.
        port: where its console is published.
    """

    name: str
    files: list[Path] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def compose(self, *words: str, timeout_s: float = 900.0) -> str:
        """What `docker compose` printed; fails where it does."""
        done = self.attempt(*words, timeout_s=timeout_s)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *words: str, timeout_s: float = 900.0) -> subprocess.CompletedProcess[str]:
        """`docker compose`, to its end."""
        files = [
            word for file in (ROOT / "docker-compose.yml", *self.files) for word in ("-f", file)
        ]
        command = ["docker", "compose", "-p", self.name, *map(str, files), *words]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd=ROOT,
            env={**os.environ, "TDS_CONSOLE_PORT": str(self.port)},
        )

    @property
    def console(self) -> str:
        """Where a browser of this machine finds its console."""
        return f"http://localhost:{self.port}"

    def tds(self, service: str, *words: str) -> str:
        """`tds` in a running service's container."""
        return self.compose("exec", "-T", service, "tds", *words)

    def python(self, service: str, program: str) -> str:
        """A program of ours in a running service's container."""
        return self.compose("exec", "-T", service, "python", "-c", program)

    def states(self) -> dict[str, str]:
        """Health, or state, of each service's container."""
        lines = self.compose("ps", "-a", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {one["Service"]: one["Health"] or one["State"] for one in found}

    def wait_healthy(self, services: Sequence[str], *, timeout_s: float) -> None:
        """Returns once all are; else fails with the last words of those that are not."""
        end = time.monotonic() + timeout_s
        while True:
            states = self.states()
            missing = [name for name in services if states.get(name) != "healthy"]
            if not missing:
                return
            if time.monotonic() > end:
                words = self.attempt("logs", "--tail", "20", *missing).stdout
                raise AssertionError(f"not healthy after {timeout_s:g} s: {states}\n{words}")
            time.sleep(2)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine holds of a service's container."""
        id = self.compose("ps", "-a", "-q", service).strip()
        return inspect("container", id)


def inspect(kind: str, id: str) -> dict[str, Any]:
    """What the engine holds of a container or a network."""
    command = ["docker", kind, "inspect", id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)[0]
    assert isinstance(found, dict)
    return found


def require_engine() -> None:
    """Returns only where there is one to use; not a skip: who runs this wants it run."""
    if shutil.which("docker") is not None:
        version = ["docker", "compose", "version"], ["docker", "version"]
        done = [subprocess.run(one, capture_output=True, check=False) for one in version]
        if all(one.returncode == 0 for one in done):
            return
    raise AssertionError(NO_ENGINE)
