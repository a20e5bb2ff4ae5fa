"""`tds run start`'s options of differential privacy: read strictly, planned, and said in words.

The noise is given (`--noise`), or found for an ε that the whole run shall stay within
(`--epsilon`). Either way the command says what the run would tell of one unit of a product that is
used in every round: governance and nodes count each use, and an owner's limit counts other runs as
well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final, Literal

from commands.errors import BadInput
from policies.canonical import Json
from policies.errors import DocumentError, PrivacyError
from policies.privacy import Privacy
from policies.privacy_loss import Event, loss_of
from policies.statements import RunSpec
from policies.values import decimal_text

Unit = Literal["record", "subject"]
NoiseBy = Literal["nodes", "governance"]

DELTA: Final = "0.00001"
PARTS: Final = 16
_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


@dataclass(frozen=True, slots=True)
class PrivacyOptions:
    """As given; None where left out. `RunSpec.privacy` says what each means."""

    noise: str | None = None
    epsilon: str | None = None
    delta: str | None = None
    parts: int | None = None
    sample: str | None = None
    unit: Unit | None = None
    noise_by: NoiseBy | None = None
    tolerated: int | None = None


def privacy_terms(given: PrivacyOptions, rounds: int) -> tuple[dict[str, Json] | None, str]:
    """What the run states of privacy, and what that amounts to in words; None and "" without noise.

    Args:
        rounds: of training; the evaluation at the end is one more use.

    Raises:
        BadInput: by name, an option that is no number that a run can have, or one without sense
            beside the others; an ε that no noise keeps.
    """
    if given.noise is None and given.epsilon is None:
        others = (field.name for field in fields(given) if getattr(given, field.name) is not None)
        if (name := next(others, None)) is not None:
            raise BadInput(
                f"--{name.replace('_', '-')}: expected --noise or --epsilon beside it, got "
                "neither; without noise nothing is protected"
            )
        return None, ""
    if given.noise is not None and given.epsilon is not None:
        raise BadInput("--noise, --epsilon: expected one of them, got both; ε follows from noise")
    try:
        return _terms(given, rounds + 1)
    except PrivacyError as error:
        raise BadInput(f"--{error}") from error


def _terms(given: PrivacyOptions, uses: int) -> tuple[dict[str, Json], str]:
    delta = _number("delta", given.delta or DELTA)
    sample = _number("sample", given.sample or "1")
    if given.epsilon is None:
        noise = _number("noise", given.noise or "")
    else:
        noise = _planned(_number("epsilon", given.epsilon), delta, uses, sample)
    terms: dict[str, Json] = {
        "unit": given.unit or "record",
        "parts": given.parts or PARTS,
        "sample": decimal_text(sample),
        "noise": decimal_text(noise),
        "by": given.noise_by or "nodes",
        "tolerated": given.tolerated or 0,
        "delta": decimal_text(delta),
    }
    try:
        stated = Privacy.from_json(terms).to_json()
    except DocumentError as error:
        raise BadInput(f"--{str(error).removeprefix('$.')}") from error
    return stated, _amounts_to(noise, sample, delta, uses)


def terms_told(spec: RunSpec) -> list[str]:
    """How a run adds updates and what noise covers in their sum, in sentences."""
    clipped = f", clipped to {spec.clip_norm}" if spec.clip_norm else ""
    if spec.secure_sum == "none":
        added = "" if spec.aggregation == "mean" else f"; their {spec.aggregation} is taken"
        return [f"updates leave as they are{clipped}: without masks, without noise{added}"]
    sums = "one sum" if spec.groups == 1 else f"{spec.groups} sums"
    by = "governance alone opens" if spec.secure_sum == "governance" else "nodes open together"
    found = [
        f"updates leave under masks{clipped}: {by} {sums} a round, each of at least "
        f"{spec.min_cohort} enterprises"
    ]
    if spec.aggregation != "mean":
        found.append(f"of the groups' sums the {spec.aggregation} is taken")
    privacy = spec.privacy
    if privacy is None:
        return [*found, "no noise is added"]
    who = "the nodes add" if privacy.by == "nodes" else "governance adds"
    some = "" if privacy.sample == "1" else f", each used with probability {privacy.sample}"
    amounts = _amounts_to(
        Decimal(privacy.noise), Decimal(privacy.sample), Decimal(privacy.delta), spec.rounds + 1
    )
    told = f"{who} noise for each {privacy.unit}, in {privacy.parts} parts{some}: {amounts}"
    return [*found, told]


def _amounts_to(noise: Decimal, sample: Decimal, delta: Decimal, uses: int) -> str:
    from policies.privacy_budget import epsilon  # noqa: PLC0415  numpy: not for every verb

    spent = epsilon(loss_of(Event(noise, sample), uses), delta)
    said = "no bound of ε" if spent is None else f"ε {decimal_text(spent)}"
    return (
        f"noise {decimal_text(noise)} gives {said} at δ {decimal_text(delta)} over {uses} uses "
        "of a product"
    )


def _planned(limit: Decimal, delta: Decimal, uses: int, sample: Decimal) -> Decimal:
    from policies.privacy_budget import noise_for  # noqa: PLC0415  as above

    found = noise_for(limit, delta, uses, sample)
    if found is None:
        raise BadInput(
            f"--epsilon: expected one that some noise keeps over {uses} uses, got "
            f"{decimal_text(limit)}; ask for fewer rounds, or for a larger ε"
        )
    return found


def _number(name: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"--{name}: expected a number such as 0.5, got {text!r:.40}")
    return Decimal(text)
