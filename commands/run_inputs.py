"""What `tds run start` reads: an app by its bundle, run config, agreements to conclude first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from clients.appbundle import MAX_BUNDLE_BYTES
from clients.files import read_file
from commands.consumer_side import ConsumerSide
from commands.errors import BadInput, CommandFailed
from commands.output import say
from commands.reading import objects
from policies.canonical import Json, sha256_hex
from policies.runconfig import ConfigValue, config_to_json

OPEN: Final = frozenset({"REQUESTED", "AGREED"})
ANSWERS: Final = frozenset({"AGREED", "OFFERED", "TERMINATED"})


def app_of(text: str) -> str:
    """An app's SHA-256, given so or as its bundle's file."""
    path = Path(text)
    return sha256_hex(read_file(path, max_bytes=MAX_BUNDLE_BYTES)) if path.is_file() else text


def parse_config(items: Iterable[str]) -> dict[str, Json]:
    """`KEY=VALUE` each; a value that reads as a JSON number, true or false is one, else a text.

    Raises:
        BadInput: without a key, or a key twice.
        DocumentError: a number that is not finite.
    """
    found: dict[str, ConfigValue] = {}
    for item in items:
        key, sign, text = item.partition("=")
        if not sign or not key or key in found:
            raise BadInput(f"--config: expected KEY=VALUE, each key once, got {item!r:.80}")
        found[key] = _value(text)
    return config_to_json(found)


def _value(text: str) -> ConfigValue:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def conclude_offers(side: ConsumerSide, have: Iterable[str], *, wait_s: float) -> list[str]:
    """Ask for the first offer of each product on offer, word for word, and verify what comes back.

    All are asked first, then each answer is awaited, `wait_s` seconds for all of them together.
    Where an earlier call asked already, it goes on with that negotiation: an owner's node agrees to
    each offer once.

    Args:
        have: products that an agreement stands for; nothing is asked about these.

    Returns:
        The agreements concluded. Whoever did not agree in time is named on standard output.
    """
    known = set(have)
    open_ = _open_negotiations(side)
    asked = []
    for dataset in side.datasets():
        product, offers = str(dataset.get("@id")), dataset.get("hasPolicy") or []
        if product in known or not isinstance(offers, Sequence) or not offers:
            continue
        if product in open_:
            asked.append((product, side.contracts.negotiation(open_[product])))
        else:
            asked.append((product, side.request(product, str(offers[0].get("@id")))))
    end = time.monotonic() + wait_s
    concluded = []
    for product, negotiation in asked:
        found = side.wait(negotiation, set(ANSWERS), max(0.0, end - time.monotonic()))
        if found.state != "AGREED":
            say(f"{product}: not agreed yet, {found.provider_pid} is {found.state}")
            continue
        verified, agreement = side.verify(found.provider_pid)
        if verified.state != "FINALIZED":
            raise CommandFailed(
                f"{agreement.id}: expected FINALIZED once it was verified, got {verified.state}"
            )
        say(f"{product}: agreed, {agreement.id}")
        concluded.append(agreement.id)
    return concluded


def _open_negotiations(side: ConsumerSide) -> dict[str, str]:
    """The consumer's own negotiations that wait for the owner's yes or its own, by product."""
    return {
        str(one["product"]): str(one["negotiation"])
        for one in objects(side.governance.list("negotiations"))
        if one["state"] in OPEN and side.asked(str(one["negotiation"]))
    }
