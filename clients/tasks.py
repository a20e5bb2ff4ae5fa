"""What a node is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.runconfig import ConfigValue
from policies.wire import Refusal, Step


@dataclass(frozen=True, slots=True)
class Task:
    """What a message asks for; nothing in it is believed before the gate.

    Attributes:
        flower_run: Flower's id of the run the message came in, decimal.
        fab_sha256: of the run's app bundle, as the node itself hashed it.
        run_config: the fused run config as Flower would hand it to the app.
        permit: the envelope; `model`: the incoming model, safetensors bytes.
        step: of pairwise masks; None where one message is the whole task.
        told: what comes with that step, by name (`policies.wire.TOLD`).
        trace: where it stands in the sender's trace (`policies.tracing`); "" where nowhere. It
            decides nothing.
    """

    flower_run: str
    fab_sha256: str
    run_config: Mapping[str, ConfigValue]
    permit: bytes
    model: bytes
    step: Step | None = None
    told: Mapping[str, bytes] = field(default_factory=dict)
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What may leave; the receipt is durable in the own log. An evaluation has an empty update."""

    receipt: bytes
    update: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What answers a step of pairwise masks in which nothing is used."""

    data: bytes


Reply = Done | Answered | Refusal
