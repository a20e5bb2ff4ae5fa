"""How long `docker compose up` takes, on built images: until the console is healthy, and until the
first round of a training is closed; and what all containers hold in memory then.

    docker compose build
    python bench/compose_up.py [--file docker/compose.postgres.yml]

Under a project of its own, whose containers and volumes are gone afterwards, on the console's port
of `--port`. The training is asked for as soon as the console is healthy. CPU seconds say what a
time on a busy machine cannot: what each part costs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSOLE_S, ROUND_S, MEMORY_GB = 25.0, 40.0, 3.0
SERVICE = "com.docker.compose.service"


class Engine(http.client.HTTPConnection):
    """The Docker engine's API over its socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect("/var/run/docker.sock")

    def ask(self, path: str) -> Any:
        """What a GET answers."""
        self.request("GET", path)
        return json.loads(self.getresponse().read())


class Space:
    """docker-compose.yml under a name of its own."""

    def __init__(self, project: str, files: list[str], port: int) -> None:
        named = [word for file in ["docker-compose.yml", *files] for word in ("-f", file)]
        self.project = project
        self._command = ["docker", "compose", "-p", project, *named]
        self._env = {**os.environ, "TDS_CONSOLE_PORT": str(port)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`docker compose`, going on."""
        return subprocess.Popen(
            [*self._command, *words],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> str:
        """`docker compose`, to its end; what it printed."""
        process = self.start(*words)
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"docker compose {words}: {process.returncode}\n{said}")
        return said

    def containers(self) -> list[Any]:
        """All of the project's that run."""
        filters = json.dumps({"label": [f"com.docker.compose.project={self.project}"]})
        return list(Engine("docker").ask(f"/containers/json?filters={filters}".replace(" ", "")))

    def healthy(self, service: str) -> bool:
        """Whether the engine calls it so."""
        found = [one for one in self.containers() if one["Labels"][SERVICE] == service]
        return any("(healthy)" in one["Status"] for one in found)

    def cost(self) -> tuple[Counter[str], Counter[str]]:
        """CPU seconds since its start, and bytes held (without cached files), of each service."""
        cpu: Counter[str] = Counter()
        memory: Counter[str] = Counter()
        for one in self.containers():
            name = one["Labels"][SERVICE]
            path = f"/containers/{one['Id']}/stats?stream=false&one-shot=true"
            stats = Engine("docker").ask(path)
            cpu[name] += stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
            held = stats["memory_stats"]
            parts = held.get("stats", {})  # none of one that just ended
            files = parts.get("total_inactive_file", parts.get("inactive_file", 0))
            memory[name] += held.get("usage", 0) - files
        return cpu, memory


def measure(space: Space) -> dict[str, Any]:
    """Bring it up, train, look."""
    began = time.time()
    up = space.start("up", "-d")
    while not space.healthy("console"):
        if up.poll() not in (None, 0):
            raise RuntimeError(f"docker compose up: {up.communicate()[0]}")
        time.sleep(0.1)
    console_s = time.time() - began
    said, _ = up.communicate()
    if up.returncode:
        raise RuntimeError(f"docker compose up: {said}")
    up_s = time.time() - began
    training = space.start("--profile", "train", "run", "--rm", "-T", "train")
    peak: Counter[str] = Counter()
    while training.poll() is None:
        _, memory = space.cost()
        peak = memory if memory.total() > peak.total() else peak
        time.sleep(1.0)
    if training.returncode:
        raise RuntimeError(f"the training failed:\n{training.communicate()[0]}")
    find = ("audit", "run", "--rm", "-T", "auditor", "find", "--type", "RoundClosed", "--json")
    closed = json.loads(_json(space.run("--profile", *find)))["entries"]
    cpu, memory = space.cost()
    return {
        "console_s": console_s,
        "up_s": up_s,
        "round_s": min(map(_seconds, closed)) - began,
        "peak": peak if peak.total() > memory.total() else memory,
        "cpu": cpu,
    }


def _json(text: str) -> str:
    return text[text.index("{") :]


def _seconds(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["time"]).timestamp()


def tell(found: dict[str, Any], loads: tuple[str, str]) -> None:
    """One line a figure, with its goal."""
    total = found["peak"].total() / 1e9
    rows = (
        ("console healthy", found["console_s"], CONSOLE_S, "s"),
        ("end of round 1", found["round_s"], ROUND_S, "s"),
        ("memory at most", total, MEMORY_GB, "GB"),
    )
    for name, value, goal, unit in rows:
        held = "held" if value <= goal else "missed"
        print(f"{name:16} {value:6.1f} {unit:2}  goal {goal:g} {unit}: {held} ({value / goal:.2f})")
    print(f"`up -d` returned {found['up_s']:6.1f} s; load {loads[0]} before, {loads[1]} after")
    print(f"{'service':12} {'CPU s':>6} {'MiB':>5}")
    for name, memory in found["peak"].most_common():
        print(f"{name:12} {found['cpu'][name]:6.1f} {memory / 2**20:5.0f}")
    print(f"{'all':12} {found['cpu'].total():6.1f} {found['peak'].total() / 2**20:5.0f}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", action="append", default=[], help="a further Compose file")
    parser.add_argument("--port", type=int, default=18080)
    asked = parser.parse_args()
    space = Space(f"tdspace-bench-{os.getpid()}", asked.file, asked.port)
    before = f"{os.getloadavg()[0]:.1f}"
    try:
        found = measure(space)
    finally:
        space.run("--profile", "*", "down", "-v", "--remove-orphans", "-t", "10")
    tell(found, (before, f"{os.getloadavg()[0]:.1f}"))


if __name__ == "__main__":
    main()
