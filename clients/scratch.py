"""A job's scratch folder: so many files and so many bytes at most, and nothing left when it ends.

As root the zygote has a mount namespace of its own and in it one tmpfs, whose size and number of
files the kernel bounds; no other process sees what is in it, and it is gone with the zygote. Where
the kernel does not allow that the folder lies beside the zygote's own files, and is looked at while
the job runs: `over` then says too late by what an app writes in between, and does not see files
that were unlinked while open. Which of the two it is stands in `Confinement.scratch`.
Sources: mount(2), umount(2), unshare(2), tmpfs(5).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clients.kernel import libc

SCRATCH_BYTES: Final = 1 << 28
SCRATCH_FILES: Final = 4096
"""Folders count as files."""

_CLONE_NEWNS: Final = 0x00020000
_MS_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_MNT_DETACH: Final = 2


@dataclass(frozen=True, slots=True)
class ScratchSpace:
    """Where a zygote's jobs get their folders, one after another.

    Attributes:
        place: the tmpfs, or the folder that jobs' folders lie in.
        bounded: whether the kernel bounds it.
    """

    place: Path
    bounded: bool

    @classmethod
    def make(cls, base: Path) -> ScratchSpace:
        """Ready for jobs; moves this single-threaded process into a mount namespace of its own
        where that is allowed."""
        place = Path(tempfile.mkdtemp(prefix="scratch-", dir=base))
        place.chmod(0o711)
        library = libc()
        bounded = (
            os.geteuid() == 0
            and library.unshare(_CLONE_NEWNS) == 0
            and library.mount(b"none", b"/", None, _MS_REC_PRIVATE, None) == 0
            and _mount(place)
        )
        return cls(place, bounded)

    def folder(self) -> Path:
        """An empty folder for one job."""
        return Path(tempfile.mkdtemp(prefix="job-", dir=self.place))

    def over(self, folder: Path) -> bool:
        """Whether a job's folder holds more than it may; never where the kernel sees to that."""
        return not self.bounded and _over(folder)

    def remove(self, folder: Path) -> None:
        """Nothing of a job is left for the next one."""
        # An app may nest folders deeper than can be walked: then the whole file system goes.
        with contextlib.suppress(RecursionError):
            shutil.rmtree(folder, ignore_errors=True)
        if self.bounded and os.path.lexists(folder):
            self.close()
            _mount(self.place)

    def close(self) -> None:
        """A plain folder again, which can be removed."""
        if self.bounded:
            libc().umount2(os.fsencode(self.place), _MNT_DETACH)


def _mount(place: Path) -> bool:
    options = f"size={SCRATCH_BYTES},nr_inodes={SCRATCH_FILES},mode=0711".encode()
    target = os.fsencode(place)
    return bool(libc().mount(b"tmpfs", target, b"tmpfs", _MS_NOSUID_NODEV_NOEXEC, options) == 0)


def _over(folder: Path) -> bool:
    pending, files, size = [folder], 0, 0
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                files += 1
                if files > SCRATCH_FILES:
                    return True
                with contextlib.suppress(OSError):  # gone meanwhile
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry))
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size > SCRATCH_BYTES
