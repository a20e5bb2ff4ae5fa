"""The zygotes of a sandbox: one for apps that need no more than this program's own packages, and
one for each environment that apps were approved with (clients.environments), started when needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clients.environments import Environment
from clients.launcher import Zygote

MAX_ENVIRONMENTS: Final = 2
"""How many zygotes with an environment wait for jobs: each holds its packages in memory."""


class Zygotes:
    """Running zygotes; not safe to share between threads.

    Args:
        base: the sandbox's folder.
        preload: modules that each imports where installed.

    Raises:
        SandboxUnavailable: here and in `of`: one did not start.
    """

    def __init__(self, base: Path, preload: Sequence[str]) -> None:
        self._base = base
        self._preload = preload
        self.plain = Zygote.start(base, preload)
        self._others: dict[Environment, Zygote] = {}
        self._warm: dict[int, set[str]] = {}
        self._cold: set[str] = set()

    def of(self, environment: Environment | None, modules: Sequence[str] = ()) -> Zygote:
        """One that can take a job of an app with this environment.

        Args:
            modules: what it should have imported ahead (clients.preloading); where that does not
                go well, another takes its place and they are left to the app.
        """
        zygote = self._running(environment)
        warm = self._warm.setdefault(zygote.process.pid, set())
        missing = [name for name in modules if name not in warm and name not in self._cold]
        if not missing:
            return zygote
        if zygote.warm(missing):
            warm.update(missing)
            return zygote
        zygote.close()
        self._cold.update(missing)
        return self._running(environment)

    def _running(self, environment: Environment | None) -> Zygote:
        if environment is None:
            if not self.plain.alive():
                self.plain.close()
                self.plain = Zygote.start(self._base, self._preload)
            return self.plain
        known = self._others.pop(environment, None)
        if known is not None and not known.alive():
            known.close()
            known = None
        if known is None:
            # The one that was not used for the longest goes first.
            for other in list(self._others)[: max(0, len(self._others) + 1 - MAX_ENVIRONMENTS)]:
                self._others.pop(other).close()
            known = Zygote.start(self._base, self._preload, site=environment.site)
        self._others[environment] = known
        return known

    def close(self) -> None:
        """All are gone, with their children."""
        self.plain.close()
        for zygote in self._others.values():
            zygote.close()
        self._others.clear()
