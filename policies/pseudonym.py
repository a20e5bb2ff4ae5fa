"""Pseudonyms: what a participant is called in one space, and nowhere else."""

from __future__ import annotations

import base64
import re
from typing import Final

PSEUDONYM_BYTES: Final = 10
_PSEUDONYM: Final = re.compile(r"^p-[a-z2-7]{16}$")


def pseudonym(randomness: bytes) -> str:
    """`p-` and 16 base32 characters.

    Args:
        randomness: `PSEUDONYM_BYTES` unguessable bytes, made for this one: a pseudonym derived from
            a name could be derived by others, too.
    """
    if len(randomness) != PSEUDONYM_BYTES:
        raise ValueError(f"randomness: expected {PSEUDONYM_BYTES} bytes, got {len(randomness)}")
    return "p-" + base64.b32encode(randomness).decode().lower()


def is_pseudonym(participant: str) -> bool:
    """Whether an id has the form of one; an id given by hand says what it says."""
    return _PSEUDONYM.fullmatch(participant) is not None
