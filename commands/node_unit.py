"""A systemd unit for a node: `tds node new FOLDER ... --emit systemd`.

What the unit takes away, the node does not use. Two things stay that hardening guides take away:
writable and executable memory, which torch needs, and the system calls with which the node confines
its apps (seccomp, Landlock), which no set of systemd 252 holds.
Sources: systemd.exec(5), systemd.unit(5) for quoting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from commands.errors import BadInput

SYSTEM_USER: Final = "tds-node"
"""Whom a unit written by root names: a root without capabilities cannot become nobody, and that is
how a node of root's confines its apps."""

_UNIT: Final = """\
# Runs {what}; written by `tds node new --emit systemd`.
#   id {user} || sudo useradd --system --no-create-home {user}
#   sudo chown -R {user}: {folder}
#   sudo cp {file} /etc/systemd/system/ && sudo systemctl enable --now {file}
[Unit]
Description={what}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
ExecStart={program} -P -m commands node run --node {folder}
Restart=on-failure
RestartSec=5
# Ended by SIGTERM it says 130; its apps' child ends with it.
SuccessExitStatus=130
KillMode=mixed
TimeoutStopSec=30
OOMPolicy=continue
UMask=0077
LimitCORE=0
MemoryMax=4G
TasksMax=512
Environment=OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1

# It writes in its folder and nowhere else. Data is read where it lies; a product file and an offer
# are yours to write.
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writes}
PrivateTmp=yes
# A GPU needs its devices: then take the next line out.
PrivateDevices=yes

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
# No MemoryDenyWriteExecute: torch makes code as it runs. The names after the set are what confines
# apps.
SystemCallFilter=@system-service
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def systemd_unit(folder: Path, *, participant: str, space: str, user: str, python: Path) -> str:
    """The text of the unit that runs the node in `folder`.

    Args:
        user: whose keys these are, not root; apps are confined as the same user ("confined").
        python: the interpreter that has tdspace.

    Raises:
        BadInput: a path that no unit can name, or root.
    """
    if user == "root":
        raise BadInput(f"expected another user than root for the unit, such as {SYSTEM_USER}")
    place = folder.absolute()
    return _UNIT.format(
        what=_plain(f"the tdspace node {participant} of space {space}"),
        file=f"{place.name}.service",
        user=_plain(user),
        program=quoted(python, command=True),
        folder=quoted(place, command=True),
        writes=quoted(place, command=False),
    )


def quoted(path: Path, *, command: bool) -> str:
    """A path as one word of a unit, with nothing in it that systemd would expand.

    Args:
        command: in a command line, where systemd expands variables, too.

    Raises:
        BadInput: control characters.
    """
    text = str(path)
    if not text.isprintable():
        raise BadInput(f"{text!r}: expected a path without control characters for a systemd unit")
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    plain = plain.replace("$", "$$") if command else plain
    return f'"{plain}"' if plain != text or " " in text or "'" in text or ";" in text else text


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).replace("%", "%%")
