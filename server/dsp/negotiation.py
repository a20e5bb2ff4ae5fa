"""The contract negotiation's states (DSP 2025-1, section "Contract Negotiation Protocol").

none      -> REQUESTED   consumer        none     -> OFFERED      provider
REQUESTED -> OFFERED     provider        REQUESTED -> AGREED      provider
OFFERED   -> REQUESTED   consumer        OFFERED  -> ACCEPTED     consumer
ACCEPTED  -> AGREED      provider        AGREED   -> VERIFIED     consumer
VERIFIED  -> FINALIZED   provider
TERMINATED from REQUESTED and OFFERED by either, from ACCEPTED and VERIFIED by the provider,
from AGREED by the consumer
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from server.dsp.machine import Machine, Party

_C: Final[frozenset[Party]] = frozenset({"consumer"})
_P: Final[frozenset[Party]] = frozenset({"provider"})

NEGOTIATION: Final = Machine(
    name="negotiation",
    states=frozenset(
        {"REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"}
    ),
    final=frozenset({"FINALIZED", "TERMINATED"}),
    steps=MappingProxyType(
        {
            (None, "REQUESTED"): _C,
            (None, "OFFERED"): _P,
            ("REQUESTED", "OFFERED"): _P,
            ("REQUESTED", "AGREED"): _P,
            ("REQUESTED", "TERMINATED"): _C | _P,
            ("OFFERED", "REQUESTED"): _C,
            ("OFFERED", "ACCEPTED"): _C,
            ("OFFERED", "TERMINATED"): _C | _P,
            ("ACCEPTED", "AGREED"): _P,
            ("ACCEPTED", "TERMINATED"): _P,
            ("AGREED", "VERIFIED"): _C,
            ("AGREED", "TERMINATED"): _C,
            ("VERIFIED", "FINALIZED"): _P,
            ("VERIFIED", "TERMINATED"): _P,
        }
    ),
)
