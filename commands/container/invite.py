"""Registers the app of docker-compose.yml and invites its five enterprises: `invite`, once.

Each join file goes into a volume that this service shares with that enterprise alone; beside it the
bundle of the registered app, for the enterprise to look at. What is there already is left alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from clients.appbundle import build_bundle
from clients.files import replace_file
from commands.container.hospital import ENTERPRISES
from commands.demo import APP
from commands.output import say
from policies.canonical import sha256_hex
from server.errors import GovernanceUnavailable
from server.files import write_secret
from server.governance_client import GovernanceClient
from server.space import load_space

VALID_S = 30 * 24 * 3600
WAIT_S: Final = 300.0
RETRY_S: Final = 0.3


def invite(root: Path) -> None:
    """Every enterprise has a join file, and the app is registered.

    Raises:
        ServerError: governance refused, or did not answer.
    """
    space = load_space(root / "space" / "space")
    bundle = build_bundle(APP)
    with GovernanceClient.open(space.operator_folder) as governance:
        app = governance.register_app(bundle, "Tabular classification").app
        say(f"registered app {app}")
        replace_file(root / "public" / "tabular.fab", bundle, mode=0o644)
        for hospital in ENTERPRISES:
            folder = root / "join" / hospital.name
            if (folder / "node.join").exists():
                continue
            replace_file(folder / "tabular.fab", bundle, mode=0o644)
            join = governance.invite(
                participant="",
                title=hospital.title,
                sector="health",
                region=hospital.region,
                valid_s=VALID_S,
            )
            write_secret(folder / "node.join", join)
            say(f"invited {hospital.title}")
    assert app == sha256_hex(bundle)


def main() -> None:
    """Entry point: waits for governance, which starts beside it."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            invite(Path("/"))
            return
        except GovernanceUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
