"""The folder of `tds demo`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from commands.errors import BadInput

MARKER: Final = "tds-demo.txt"


def fresh_folder(folder: Path) -> Path:
    """An empty folder of our own; an earlier demo's is replaced, anything else is left alone."""
    folder = folder.absolute()
    if folder.exists():
        if not (folder / MARKER).is_file():
            raise BadInput(
                f"{folder}: expected no such folder or an earlier demo's, got something else; "
                "choose another --folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("made by `tds demo`, which replaces it\n", encoding="utf-8")
    return folder
