"""What the zygote imports ahead for an app: packages that the owner trusts, never the app's code.

An app that imports scikit-learn pays a second for it, each round anew, since each round has a fresh
process. So the sandbox has the app's sources read once, by a confined child without rows, and the
zygote imports what they name, if it is of these packages. Only the sources decide, never what an
app does with rows: otherwise a round could tell another something by what is imported already.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from clients.appreading import modules_named

MAX_MODULES: Final = 64
"""Of one app."""

OURS: Final = frozenset(
    ("torch", "torchvision", "sklearn", "scipy", "pandas", "numpy", "PIL", "soundfile")
)
"""Of the node's own packages; of an environment all that its owner built."""

ALWAYS: Final = frozenset({"torch", "numpy"})
"""Of these, imported for all apps: an app's own of that name is not what it gets."""

_NAME: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_]{0,63}(\.[A-Za-z][A-Za-z0-9_]{0,63}){0,5}", re.ASCII
)
_NEVER: Final = frozenset({"test", "tests", "testing", "conftest", "setup"})


def trusted_packages(folders: Iterable[Path]) -> frozenset[str]:
    """Names of the packages that may be imported ahead.

    Args:
        folders: of an environment that the owner built.
    """
    found = {place.name.partition(".")[0] for folder in folders for place in folder.iterdir()}
    return OURS | {name for name in found if name.isidentifier()}


def read_modules(app_dir: Path) -> list[str]:
    """The modules that an app's sources name, its own left out; the sources are only parsed."""
    files = {
        place.relative_to(app_dir).as_posix(): place.read_bytes()
        for place in sorted(app_dir.rglob("*.py"))
    }
    return [name for name in modules_named(files) if _NAME.fullmatch(name)]


def wanted(modules: Sequence[str], trusted: Collection[str]) -> list[str]:
    """Those of the modules that may be imported ahead, at most `MAX_MODULES`."""
    return [
        name
        for name in modules
        if _NAME.fullmatch(name)
        and name.partition(".")[0] in trusted
        and not _NEVER & set(name.split("."))
    ][:MAX_MODULES]


def import_ahead(modules: Sequence[str]) -> int:
    """Import what can be; returns how many threads this process has now (more than one is one too
    many: a fork of a process with threads can hang).

    What cannot be imported is left to the app, which then says so itself.
    """
    for name in modules:
        # A package may raise anything when it is imported.
        with contextlib.suppress(Exception, SystemExit):
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def forget_own(app_dir: Path, trusted: Collection[str]) -> None:
    """Where an app brings a package of the same name, its own is the one that it imports."""
    own = {place.stem for place in app_dir.iterdir()} & set(trusted) - ALWAYS
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
