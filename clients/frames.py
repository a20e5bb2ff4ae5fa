"""What node, zygote and child say to each other, and in which form.

One job at a time over a SOCK_SEQPACKET socket, JSON with descriptors beside it:

    node → zygote    {"op": "run", …} + [model, rows, result, output]      {"op": "kill" | "close"}
    zygote → node    {"event": "ready"}      {"event": "ended", "status": wait status}

The child writes one frame to `result`: `FRAME` (magic, bytes of JSON, bytes of update), then both.
"""

from __future__ import annotations

import struct
from typing import Final

FRAME: Final = struct.Struct(">4sIQ")
MAGIC: Final = b"TDS1"
MAX_MESSAGE_BYTES: Final = 64 * 1024
