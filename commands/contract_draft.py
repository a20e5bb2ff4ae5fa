"""`tds contract draft`: an agreement, or an offer, to start from."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.files import replace_file
from commands.errors import BadInput
from commands.output import say
from policies.odrl import CONTEXT, PROFILE, agreement_from_offer, parse_offer

MasksOption = Annotated[
    bool | None,
    typer.Option(
        "--masks/--no-masks",
        help="Whether updates leave only in masked sums; they do if left out, but for a cohort of "
        "one.",
        show_default=False,
    ),
]


def draft(
    product: Annotated[str, typer.Argument(help="The product it shall allow the use of.")],
    owner: Annotated[str, typer.Option(help="The data owner's participant id.")],
    consumer: Annotated[str, typer.Option(help="The participant that may use it.")],
    purpose: Annotated[str, typer.Option(help="The only purpose allowed.")],
    out: Annotated[Path, typer.Option(help="Where to write it.")],
    uses: Annotated[int, typer.Option(help="At most so many rounds.", min=1)] = 1000,
    participants: Annotated[int, typer.Option(help="Never in a smaller cohort.", min=1)] = 2,
    masks: MasksOption = None,
) -> None:
    """Write an agreement to start from; edit it, then `tds contract accept`.

    Example: tds contract draft clinic/biopsies --owner clinic --consumer consortium
    --purpose medical-research --out agreement.json
    """
    if out.exists():
        raise BadInput(f"{out}: expected no such file, got one; choose another --out")
    offer = draft_offer(
        owner=owner,
        purpose=purpose,
        uses=uses,
        participants=participants,
        masks=asks_masks(masks, participants),
    )
    agreement = agreement_from_offer(
        parse_offer(_json(offer)),
        id=f"urn:tdspace:agreement:{secrets.token_hex(8)}",
        target=product,
        assigner=owner,
        assignee=consumer,
        timestamp=datetime.now(UTC),
    )
    replace_file(out, _json(agreement.to_json()) + b"\n", mode=0o644)
    say(f"wrote {out}; read it, edit it, then: tds contract accept {out} --node FOLDER")


def asks_masks(said: bool | None, participants: int) -> bool:
    """Whether a draft demands masks: it does if nothing was said, but for a cohort of one, since
    a sum of one hides nothing, and no run masks it."""
    return participants > 1 if said is None else said


def draft_offer(
    *,
    owner: str,
    purpose: str,
    uses: int,
    participants: int,
    masks: bool = False,
    more: Iterable[Mapping[str, object]] = (),
) -> dict[str, object]:
    """An ODRL Offer: train and evaluate for one purpose, a bounded number of times, in company.

    Args:
        masks: whether updates may leave under masks only, whichever.
        more: further constraints of the permission.
    """
    masked = {
        "leftOperand": "secureAggregation",
        "operator": "isAnyOf",
        "rightOperand": ["governance", "pairwise"],
    }
    constraint = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": purpose},
        {"leftOperand": "count", "operator": "lteq", "rightOperand": _integer(uses)},
        {
            "leftOperand": "minParticipants",
            "operator": "gteq",
            "rightOperand": _integer(participants),
        },
        *([masked] if masks else []),
        *more,
    ]
    return {
        "@context": [CONTEXT],
        "@id": f"urn:tdspace:offer:{secrets.token_hex(8)}",
        "@type": "Offer",
        "profile": PROFILE,
        "conflict": "prohibit",
        "assigner": owner,
        "permission": [{"action": "use", "constraint": constraint}],
        "prohibition": [],
        "obligation": [],
    }


def _integer(value: int) -> dict[str, str]:
    return {"@value": str(value), "@type": "xsd:integer"}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
