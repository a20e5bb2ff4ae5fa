"""Names of what travels in a Flower message between the round loop and a governed node.

A message holds one ConfigRecord, because every object of Flower's costs an HTTP round trip: permit
and model, which are the same for the whole cohort, so that Flower stores them once. A reply holds
one too: receipt and update. The payloads are bytes in our own formats.

Under pairwise masks one permit has four messages (policies.pairwise), each with its `step`: the
first is the same for the whole cohort again and carries the model, which the node keeps until the
second; receipt and update answer the second, an `answer` each of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from policies.canonical import canonical_bytes, parse_canonical
from policies.fields import Document

ROUND_RECORD: Final = "tds.round"
REPLY_RECORD: Final = "tds.reply"
PERMIT: Final = "permit"
MODEL: Final = "model"
TRACE: Final = "trace"
"""Optional, and no part of what is asked: the sender's `traceparent` (policies.tracing)."""

RECEIPT: Final = "receipt"
UPDATE: Final = "update"

Step = Literal["share", "mask", "agree", "unmask"]
STEP: Final = "step"
LETTERS: Final = "letters"
SPLIT: Final = "split"
RELEASE: Final = "release"
AGREEMENTS: Final = "agreements"
ANSWER: Final = "answer"
TOLD: Final[Mapping[Step, tuple[str, ...]]] = MappingProxyType(
    {"share": (), "mask": (LETTERS,), "agree": (SPLIT, RELEASE), "unmask": (AGREEMENTS,)}
)
"""What a message of each step carries beside permit and step; the first carries the model, too."""

REFUSED_CODE: Final = 6
"""Flower's ErrorCode for a failed precondition; our refusals use it."""

RefusalCode = Literal[
    "permit-malformed",
    "permit-signature",
    "permit-wrong-space",
    "permit-wrong-run",
    "permit-wrong-node",
    "permit-wrong-app",
    "permit-wrong-config",
    "permit-wrong-model",
    "permit-wrong-sum",
    "permit-expired",
    "permit-not-yet-valid",
    "permit-replayed",
    "permit-not-logged",
    "log-forked",
    "checkpoint-not-witnessed",
    "app-not-approved",
    "agreement-unknown",
    "agreement-denies",
    "consent-withdrawn",
    "product-unknown",
    "product-unreadable",
    "app-failed",
    "app-timeout",
    "egress-refused",
    "sum-refused",
    "node-busy",
    "node-unavailable",
]


class Refusal(Document):
    """Why a node did not do what it was asked; travels as the reason of a Flower Error."""

    code: RefusalCode
    text: Annotated[str, Field(max_length=1000)]

    def encode(self) -> str:
        """The reason string of the Flower Error."""
        return canonical_bytes(self.to_json()).decode()

    @classmethod
    def decode(cls, reason: str) -> Refusal:
        """The inverse.

        Raises:
            DocumentError: not one of ours (a Flower error of its own, for example).
        """
        # A lone surrogate becomes bytes that are not UTF-8, which intake refuses by its own error.
        data = reason.encode("utf-8", "surrogatepass")
        return cls.from_json(parse_canonical(data, max_bytes=8192))
