"""NVIDIA devices for an app: which files a child opens to reach them, and what bounds it then.

An app reaches a device through the driver's files only, so that whoever may not open them has none,
and `torch.cuda.is_available()` says so. With them it talks to the driver in the kernel, which is a
large surface and shared with whatever else uses the device: a node whose owner opens them calls its
environment "confined" at most, whatever else holds. The driver maps more address space than any
machine has memory, so that private data instead of address space is limited (RLIMIT_DATA); shared
memory does not count in that, and the zygote ends a child that holds more than the limit. What the
library asks for besides was found by trying (tests/device): a Unix socket to bind, its threads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

HIDDEN: Final = {"CUDA_VISIBLE_DEVICES": ""}
"""In the environment of whoever shall see no device."""

READABLE: Final = (Path("/proc/self"),)
"""What NVIDIA's library reads of the system besides."""

OWN_THREADS: Final = Path("/proc/self/task")
"""What the library writes to, to name its threads; without it there is no device."""

_NAMES: Final = re.compile(r"nvidia(ctl|-uvm|-uvm-tools|[0-9]{1,3})")


def cuda_devices(folder: Path = Path("/dev")) -> tuple[Path, ...]:
    """The driver's files, or none where there is no device or not the whole driver."""
    found = {place.name: place for place in folder.iterdir() if _NAMES.fullmatch(place.name)}
    whole = {"nvidiactl", "nvidia-uvm"} <= set(found)
    if not whole or not any(name[len("nvidia") :].isdigit() for name in found):
        return ()
    return tuple(found[name] for name in sorted(found))


def held_bytes(pid: int) -> int:
    """Memory of its own that the process holds now, shared memory counted; 0 once it is gone.

    Source: proc(5), /proc/pid/status, in units of 1,024 bytes.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    fields = dict(line.partition(":")[::2] for line in lines)
    return sum(int(fields.get(name, "0 kB").split()[0]) << 10 for name in ("RssAnon", "RssShmem"))
