"""Where the log of a test lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.log import Log
from ledger.note import NoteSigner


@dataclass(frozen=True, slots=True)
class Site:
    """Where one log lives."""

    root: Path
    signer: NoteSigner

    @property
    def folder(self) -> Path:
        return self.root / "folder"

    @property
    def database(self) -> Path:
        return self.root / "state" / "log.sqlite"

    @property
    def last_signed(self) -> Path:
        return self.root / "apart" / "last-signed"

    def open(self, on_step: Callable[[str], None] | None = None) -> Log:
        return Log.open(
            folder=self.folder,
            database=self.database,
            last_signed=self.last_signed,
            signer=self.signer,
            on_step=on_step,
        )
