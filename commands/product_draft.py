"""`tds product add` of data: a product file and an offer to start from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from clients.draft import Draft
from clients.files import replace_file
from clients.identity import load_identity
from commands.contract_draft import asks_masks, draft_offer
from commands.errors import BadInput
from commands.output import print_table, say
from commands.product_data import Data

_SHOWN: Final = 40


def drafts_of(file: Path) -> tuple[Path, Path]:
    """Where the product file and the offer drafted from data at this place lie."""
    return file.with_name(f"{file.stem}.product.json"), file.with_name(f"{file.stem}.offer.json")


def draft_product(
    data: Data,
    node: Path,
    purpose: str,
    participants: int,
    *,
    masks: bool | None = None,
    advise: bool = True,
) -> Draft:
    """Write `NAME.product.json`, and with a purpose `NAME.offer.json`, beside the data.

    Args:
        participants: the smallest cohort that the offer allows.
        masks: whether it demands masks; see `commands.contract_draft.asks_masks`.
        advise: say what to do next.

    Raises:
        BadInput: a file of that name is there already.
        VaultError: the data cannot be read, or holds nothing to predict.
    """
    file = data.place
    product, offer = drafts_of(file)
    for path in (product, offer) if purpose else (product,):
        if path.exists():
            raise BadInput(f"{path}: expected no such file, got one; edit it, or move it away")
    owner = load_identity(node).participant
    drafted = data.draft()
    draft = drafted.draft
    id = f"{owner}/{_slug(file.stem)}"
    _write(product, draft.product(id=id, title=file.stem, where=drafted.where))
    if purpose:
        write_offer(offer, owner, purpose, participants, masks)
    told = "; nothing was registered, and nothing left" if advise else ""
    say(f"wrote {product}: {draft.rows} rows{told}")
    if drafted.more:
        say(f"looked at {drafted.more}")
    _tell(draft)
    if not advise:
        return draft
    say(f"read {product} and correct it; then: tds product add {product} --node {node}")
    if purpose:
        say(f"then read {offer}, and: tds product offer {offer} --node {node}")
    else:
        say("for an offer as well: give the same command with --purpose PURPOSE")
    return draft


def write_offer(
    path: Path, owner: str, purpose: str, participants: int, masks: bool | None
) -> None:
    """An offer to start from, for one purpose."""
    drafted = draft_offer(
        owner=owner,
        purpose=purpose,
        uses=1000,
        participants=participants,
        masks=asks_masks(masks, participants),
    )
    _write(path, drafted)


def _tell(draft: Draft) -> None:
    shown = draft.guesses[:_SHOWN]
    print_table(
        "what was guessed",
        ["column", "type", "role", "because"],
        [[one.column.name, one.column.type, one.column.role, one.why] for one in shown],
    )
    if len(draft.guesses) > _SHOWN:
        say(f"... and {len(draft.guesses) - _SHOWN} more columns, in the file")
    say(f"classes, in this order: {', '.join(draft.classes)}")
    if draft.personal:
        say("a column's name says that it may tell who somebody is: taken for personal information")


def _write(path: Path, value: object) -> None:
    data = json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
    replace_file(path, data, mode=0o644)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "data"
