"""`tds demo --open`: a space on this machine that somebody joins with data of their own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from clients.appbundle import build_bundle
from clients.files import replace_file
from commands.console_link import ask_link
from commands.localspace import local_space
from commands.output import say
from server.files import write_public, write_secret

INVITED_S: Final = 24 * 3600
REGION: Final = "CN-GD"
GUEST: Final = "guest.join"
BUNDLE: Final = "tabular.fab"
LOG_KEY: Final = "log.key"


def keep_open(folder: Path, *, name: str, app: Path) -> None:
    """Run a space with one registered app and one invitation, until Ctrl-C.

    Once it says that it is open, `folder` holds the join file (0600), the app's bundle, and the key
    of the space's log; the space itself, with its consumer, is `folder/space`.

    Raises:
        CommandFailed: a process ended by itself.
        ServerError: governance refused.
    """
    say("starting Flower's SuperLink and governance ...")
    with local_space(folder, name=name) as local:
        local.start()
        bundle = build_bundle(app)
        replace_file(folder / BUNDLE, bundle, mode=0o644)
        write_public(folder / LOG_KEY, f"{local.space.card.log_key}\n".encode())
        registered = local.register_app(bundle, "Tabular classification")
        with local.operator() as operator:
            join = operator.invite(
                participant="", title="A guest", sector="", region=REGION, valid_s=INVITED_S
            )
        write_secret(folder / GUEST, join)
        say(f"app {registered} is registered; its bundle: {folder / BUNDLE}")
        say(f"there: tds node new ./clinic --join {folder / GUEST} --region {REGION}")
        say(f"the consumer of the space: {local.space.consumer_folder}")
        with local.operator() as operator, local.consumer() as consumer:
            say(f"in a browser, as its operator: {ask_link(operator).url}")
            say(f"in a browser, as its consumer: {ask_link(consumer).url}")
        say("each link works once, within ten minutes; for others: tds space console-link --help")
        say(f"space {name} is open, until Ctrl-C")
        while True:
            time.sleep(0.5)
            local.children.check()
