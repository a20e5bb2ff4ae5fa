"""What node, zygote and child say to each other, and in which form.

One job at a time over a SOCK_SEQPACKET socket, JSON with descriptors beside it:

    node → zygote    {"op": "run", …} + [model, rows, state, result, output]
                     {"op": "kill" | "close"}      {"op": "warm", "modules": […]}
    zygote → node    {"event": "ready"}      {"event": "ended", "status": wait status,
                      "why": "" | "cpu" | "scratch"}
                     {"event": "warm", "threads": 1}

The child writes one frame to `result`: `FRAME` (magic; how many bytes of JSON, of update, of
state), then these three.
"""

from __future__ import annotations

import struct
from typing import Final

FRAME: Final = struct.Struct(">4sIQQ")
MAGIC: Final = b"TDS2"
DESCRIPTORS: Final = 5
MAX_MESSAGE_BYTES: Final = 64 * 1024
