"""A Compose file for a node: `tds node new NAME --join FILE --region CODE --emit compose`.

Nothing is enrolled by writing it: the container makes the node's keys in a volume of its own when
it first starts. In a space that runs from this project's docker-compose.yml, the node gets a
network that holds nothing but itself and the space's proxy; elsewhere, one that reaches out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from commands.errors import BadInput
from policies.space import JoinFile

PROXY: Final = "proxy"
"""The name under which docker-compose.yml has the space's proxy."""

USER: Final = 10001
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

_CHECK: Final = (
    "for _ in {1..100}; do exec 3<>/dev/tcp/127.0.0.1/9464 "
    "&& printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 ' && exit; "
    "sleep 0.25; done 2>/dev/null; exit 1"
)
_FILE: Final = """\
# A node of space {space}, written by `tds node new --emit compose`.
#   sudo chown {user} {join}; mkdir -p {name}-data and put your data there, readable and the folder
#   writable for user {user}; then
#   docker compose {files} up -d {name}
#   docker compose {files} exec {name} tds product add /data/YOURS.csv --purpose PURPOSE --accept
services:
  {name}:
    image: ${{TDS_IMAGE:-tdspace:local}}
    entrypoint: ["python", "-m", "commands.container.node"]
    command: ["--join", "/run/secrets/{name}-join", "--region", {region}]
    environment: {{TDS_NODE: /node/home, TDS_HEALTH: "127.0.0.1:9464"}}
    user: "{user}:{user}"
    init: true
    read_only: true
    cap_drop: ["ALL"]
    security_opt: ["no-new-privileges:true"]
    tmpfs: ["/tmp:size=512m,mode=1777"]
    mem_limit: 3g
    pids_limit: 512
    restart: unless-stopped
    stop_grace_period: 30s
    logging: {{driver: local}}
    volumes: ["{name}:/node", "./{name}-data:/data"]
    secrets: ["{name}-join"]
    networks: ["{name}"]
{depends}    dns_opt: ["timeout:1", "attempts:1"]
    healthcheck:
      # `tds node health` without the cost of starting Python.
      test:
        - CMD
        - bash
        - -c
        - {check}
      interval: 10s
      timeout: 30s
      retries: 4
{proxy}
secrets:
  {name}-join:
    file: {join}

volumes:
  {name}: {{}}

networks:
  {name}:
{network}"""

_INTERNAL: Final = """\
    internal: true
    driver_opts: {com.docker.network.bridge.inhibit_ipv4: "true"}
"""
_OUTWARD: Final = """\
    driver: bridge
"""


def compose_file(folder: Path, *, join: Path, found: JoinFile, region: str) -> str:
    """The text of NAME.yml for the node that `folder` would be; `join` is named as it was given.

    Raises:
        BadInput: a name that no service can have.
    """
    name = folder.name
    if not NAME.fullmatch(name) or name == PROXY:
        raise BadInput(
            f"{name!r}: expected a name of a-z, 0-9, - and _ (at most 40, not {PROXY}) for the "
            "service, got another"
        )
    local = found.space.governance.rpartition(":")[0] == PROXY
    base = "-f docker-compose.yml " if local else ""
    depends = f"    depends_on: [{PROXY}]\n" if local else ""
    place = str(join) if join.is_absolute() else f"./{join}"
    return _FILE.format(
        space=found.space.name,
        name=name,
        user=USER,
        files=f"{base}-f {name}.yml",
        join=_text(place),
        region=_text(region),
        depends=depends,
        check=_CHECK,
        proxy=f"\n  {PROXY}:\n    networks: [{name}]\n" if local else "",
        network=_INTERNAL if local else _OUTWARD,
    )


def _text(value: str) -> str:
    """A YAML string in which Compose expands nothing."""
    return json.dumps(value, ensure_ascii=True).replace("$", "$$")
