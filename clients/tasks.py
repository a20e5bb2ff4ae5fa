"""What a node is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.runconfig import ConfigValue
from policies.wire import Refusal


@dataclass(frozen=True, slots=True)
class Task:
    """What a message asks for; nothing in it is believed before the gate.

    Attributes:
        flower_run: Flower's id of the run the message came in, decimal.
        fab_sha256: of the run's app bundle, as the node itself hashed it.
        run_config: the fused run config as Flower would hand it to the app.
        permit: the envelope; `model`: the incoming model, safetensors bytes.
    """

    flower_run: str
    fab_sha256: str
    run_config: Mapping[str, ConfigValue]
    permit: bytes
    model: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """What may leave; the receipt is durable in the own log. An evaluation has an empty update."""

    receipt: bytes
    update: bytes


Reply = Done | Refusal
