"""Makes the space of docker-compose.yml, and hands each service its part: `provision`, once.

The space (with all its keys) stays in the volume of governance. The others get copies of what they
need and no more, each in a volume of its own:

    /superlink   its certificate and key, what it asks of executors, the CA
    /front       a certificate and key for the proxy, the CA
    /consumer    the space's consumer, what the SuperLink asks of executors, the CA
    /public      the CA, the key of the log

Each part ends with a file `ready`: what was cut off is made again, what is ready stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from commands.node_wiring import now
from commands.output import say
from server.files import write_public, write_secret
from server.pki import issue_server
from server.space import Space, init_space, load_space

NAMES: Final = ("proxy", "superlink", "governance")
SECRET: Final = "superexec.secret"  # noqa: S105 a file's name


def provide(root: Path, *, name: str, region: str, log_database: str = "") -> Space:
    """The space in `root/space/space`, made if it is not there, and all parts of it.

    Args:
        log_database: as `tds space init` takes it; counts only where the space is made.

    Raises:
        SpaceError: it cannot be made, or what is there is not whole.
    """
    folder = root / "space" / "space"
    if (folder / "space.json").exists():
        space = load_space(folder)
    else:
        space = init_space(
            folder,
            name=name,
            governance_address="proxy:9443",
            enrolment_address="proxy:9444",
            superlink_address="proxy:9445",
            contracts_address="proxy:9446",
            hosts=NAMES,
            now=now(),
            region=region,
            sector="health",
            log_database=log_database,
        )
    front = issue_server(space.authority(), ["proxy"], now=now())
    own = space.superlink_folder
    ca = space.card.ca_pem.encode()
    _part(
        root / "superlink",
        public={"ca.crt": ca, "tls.crt": (own / "tls.crt").read_bytes()},
        secret={name: (own / name).read_bytes() for name in ("tls.key", SECRET)},
    )
    _part(
        root / "front",
        public={"ca.crt": ca, "tls.crt": front.certificate},
        secret={"tls.key": front.key},
    )
    _part(root / "public", public={"ca.crt": ca, "log.key": space.card.log_key.encode()}, secret={})
    consumer = root / "consumer" / "home"
    if not (root / "consumer" / "ready").exists():
        shutil.rmtree(consumer, ignore_errors=True)
        shutil.copytree(space.consumer_folder, consumer)
    _part(root / "consumer", public={"ca.crt": ca}, secret={SECRET: (own / SECRET).read_bytes()})
    return space


def _part(folder: Path, *, public: Mapping[str, bytes], secret: Mapping[str, bytes]) -> None:
    """Files of one service, all of them or, after a crash, all of them anew."""
    if (folder / "ready").exists():
        return
    for name in (*public, *secret):
        (folder / name).unlink(missing_ok=True)
    for name, data in public.items():
        write_public(folder / name, data)
    for name, data in secret.items():
        write_secret(folder / name, data)
    write_public(folder / "ready", b"")


def main() -> None:
    """Entry point."""
    name = os.environ.get("TDS_SPACE_NAME", "tdspace.example/oncology")
    space = provide(
        Path("/"),
        name=name,
        region=os.environ.get("TDS_REGION", "CN-GD"),
        log_database=os.environ.get("TDS_LOG_DATABASE", ""),
    )
    say(f"space {space.card.name}; the key of its log: {space.card.log_key}")


if __name__ == "__main__":
    main()
