"""Appends to a database and is killed in the middle; a test starts it as a process.

Arguments: what `open_store` takes (a URL has "://" in it), and after how many statements to die;
`None`: when the append has returned.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine, event
from store_contract import batch

from ledger.stores import open_store


def main(database: str, after: str) -> None:
    store = open_store(database if "://" in database else Path(database))
    if after == "None":
        store.append(batch(0, [b"a"], [("k", 0, 1)]))
        store.append(batch(1, [b"x"] * 1001, [("killed", 1, 1001)]))
        die()
    left = int(after)

    def count() -> None:
        nonlocal left
        if left == 0:
            die()
        left -= 1

    def execute(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            count()

    event.listen(Engine, "before_cursor_execute", execute)
    event.listen(Engine, "commit", lambda _: count())
    store.append(batch(1, [b"x"] * 1001, [("killed", 1, 1001)]))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


main(*sys.argv[1:])
