"""A project of docker-compose.yml under a name of its own, and what its containers say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NODES = ("riverside", "northgate", "lakeview", "westpark", "hillcrest")
HEALTHY_S = 300.0  # on a machine that is loaded
STAYING = ("superlink", "governance", "executor", "proxy", "console", *NODES)
NO_ENGINE = (
    "expected a Docker engine with Compose v2, got none; on Debian, as root, .ci/engine installs "
    "and starts one"
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

    def audit(self, verb: str, *words: str, seen: Path | None = None) -> str:
        """`tds audit` of an outsider, over HTTPS.

        Args:
            seen: a checkpoint that somebody saw earlier.
        """
        brings = ["-v", f"{seen}:/seen:ro"] if seen else []
        shows = ["--seen", "/seen"] if seen else []
        run = ("run", "--rm", "-T", "--no-deps", *brings, "auditor")
        return self.compose(*run, verb, *shows, *words)

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
        return inspect("container", self.container(service))

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.name}-{service}-1"

    def addresses(self, service: str) -> list[str]:
        """Its container's, one in each of its networks."""
        found = self.inspect(service)["NetworkSettings"]["Networks"]
        return [one["IPAddress"] for one in found.values()]

    def bridges(self) -> list[str]:
        """The host's interfaces of the project's networks."""
        return [f"br-{id[:12]}" for id in self._remaining("network")]

    def volume(self, name: str) -> Path:
        """Where a volume of the project lies on the host; root may read there."""
        return Path(str(inspect("volume", f"{self.name}_{name}")["Mountpoint"]))

    def crash(self, *services: str) -> None:
        """End their processes as the kernel would for want of memory.

        `docker kill` is a person's word, and the engine takes it as one: it starts nothing again.
        """
        for service in services:
            os.kill(self.inspect(service)["State"]["Pid"], signal.SIGKILL)

    @contextmanager
    def paused(self, *services: str) -> Iterator[None]:
        """Every process of theirs is frozen, until the block is left."""
        containers = [self.container(service) for service in services]
        docker("pause", *containers)
        try:
            yield
        finally:
            docker("unpause", *containers)

    def restarts(self, service: str) -> int:
        """How often the engine started the service's container again."""
        return int(self.inspect(service)["RestartCount"])

    def remaining(self) -> dict[str, list[str]]:
        """Ids of what the engine still has of the project, by kind; of what there is none, none."""
        kinds = ("container", "network", "volume")
        return {kind: found for kind in kinds if (found := self._remaining(kind))}

    def _remaining(self, kind: str) -> list[str]:
        every = ["-a"] if kind == "container" else []
        label = f"label=com.docker.compose.project={self.name}"
        return docker(kind, "ls", "-q", *every, "--filter", label).split()


def docker(*words: str) -> str:
    """What `docker` printed; fails where it does."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {words}: {done.returncode}\n{done.stderr}"
    return done.stdout


def inspect(kind: str, id: str) -> dict[str, Any]:
    """What the engine holds of a container, a network or a volume."""
    found = json.loads(docker(kind, "inspect", id))[0]
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
