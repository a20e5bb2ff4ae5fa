"""The transfer process's states (DSP 2025-1, section "Transfer Process Protocol").

none      -> REQUESTED   consumer        REQUESTED -> STARTED     provider
STARTED   -> SUSPENDED   either          SUSPENDED -> STARTED     either
STARTED   -> COMPLETED   either
TERMINATED from REQUESTED, STARTED and SUSPENDED by either
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from server.dsp.machine import Machine, Party

_C: Final[frozenset[Party]] = frozenset({"consumer"})
_P: Final[frozenset[Party]] = frozenset({"provider"})

TRANSFER: Final = Machine(
    name="transfer",
    states=frozenset({"REQUESTED", "STARTED", "SUSPENDED", "COMPLETED", "TERMINATED"}),
    final=frozenset({"COMPLETED", "TERMINATED"}),
    steps=MappingProxyType(
        {
            (None, "REQUESTED"): _C,
            ("REQUESTED", "STARTED"): _P,
            ("REQUESTED", "TERMINATED"): _C | _P,
            ("STARTED", "SUSPENDED"): _C | _P,
            ("STARTED", "COMPLETED"): _C | _P,
            ("STARTED", "TERMINATED"): _C | _P,
            ("SUSPENDED", "STARTED"): _C | _P,
            ("SUSPENDED", "TERMINATED"): _C | _P,
        }
    ),
)
