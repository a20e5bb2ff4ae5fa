"""Releases of masks as the registry holds them: what was opened, and what may be beside it.

They are kept for ever: a model that was sent out once may be asked about again years later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from policies.permit import PermitBody
from policies.release import Cohort, MaskRelease, cohorts, dealt, told_apart, too_alike
from server.errors import RuleBroken
from server.tables import RELEASES, ROUNDS


@dataclass(frozen=True, slots=True)
class Released:
    """One release; `entry` is its log index."""

    release: MaskRelease
    entry: int


@dataclass(frozen=True, slots=True)
class Beside:
    """Cohorts that were released about some model, once or often.

    Attributes:
        least: the largest `min_cohort` that they were released under.
        entry: log index of the first such release.
    """

    cohorts: frozenset[Cohort]
    least: int
    entry: int


def put(connection: Connection, index: int, body: Mapping[str, Any]) -> None:
    """What `MasksReleased` means for the registry."""
    of = ROUNDS.c.permit_id == body["permit_id"]
    permit = json.loads(connection.execute(select(ROUNDS.c.permit_body).where(of)).scalar_one())
    values = {
        "permit_id": body["permit_id"],
        "run": body["run"],
        "kind": body["kind"],
        "round": body["round"],
        "model": permit["model"],
        "app": permit["app"],
        "least": permit["min_cohort"],
        "private": permit["privacy"] is not None,
        "body": json.dumps(body),
        "entry": index,
    }
    connection.execute(insert(RELEASES), values)


def of_permit(connection: Connection, permit_id: str) -> Released | None:
    """The release of this permit's masks."""
    return next(_found(connection, RELEASES.c.permit_id == permit_id), None)


def of_permits(connection: Connection, permit_ids: Sequence[str]) -> dict[str, Released]:
    """The releases under these permits, by permit id."""
    found = _found(connection, RELEASES.c.permit_id.in_(permit_ids))
    return {one.release.permit_id: one for one in found}


def of_round(connection: Connection, run: str, kind: str, number: int) -> Released | None:
    """The release of this round's masks, under whichever of its permits."""
    place = (RELEASES.c.run == run) & (RELEASES.c.kind == kind) & (RELEASES.c.round == number)
    return next(_found(connection, place), None)


def beside(connection: Connection, permit: PermitBody) -> list[Beside]:
    """What was released about the same model, kind and app without noise, by whatever run."""
    same = (
        (RELEASES.c.model == permit.model)
        & (RELEASES.c.kind == permit.kind)
        & (RELEASES.c.app == permit.app)
        & RELEASES.c.private.is_(False)
    )
    # The same cohort about the same model again and again is read once.
    groups = func.json_extract(RELEASES.c.body, "$.groups")
    query = select(groups, func.max(RELEASES.c.least), func.min(RELEASES.c.entry))
    rows = connection.execute(query.where(same).group_by(groups))
    return [Beside(cohorts(json.loads(text)), least, entry) for text, least, entry in rows]


def check_permitted(connection: Connection, permit: PermitBody) -> None:
    """Returns only if the whole cohort's masks could be released, as far as can be told now: a use
    that counts, and that nobody can open, is of use to nobody.

    Raises:
        RuleBroken: the cohort is too like one that was released for the same model.
    """
    if permit.secure_sum is None:
        return
    if text := differencing(permit, dealt(permit), beside(connection, permit)):
        raise RuleBroken(
            f"cohorts-too-alike: {permit.run}: {text}; ask for the same enterprises as then, or "
            "begin a run with another first model, such as one of another seed"
        )


def differencing(
    permit: PermitBody, groups: Iterable[Iterable[str]], before: Iterable[Beside]
) -> str:
    """Why these groups must not be opened beside what was, in words; "" if they may.

    Sums with noise may: what all of them tell together is counted (`policies.privacy_budget`). See
    `policies.release.told_apart` for what this does not stop.
    """
    if permit.privacy is not None:
        return ""
    ours = cohorts(groups)
    for one in before:
        least = max(permit.min_cohort, one.least)
        few = told_apart(ours, one.cohorts, least)
        if few:
            return too_alike(one.entry, least, few)
    return ""


def _found(connection: Connection, where: Any) -> Iterator[Released]:
    query = select(RELEASES).where(where).order_by(RELEASES.c.entry)
    for row in connection.execute(query):
        release = MaskRelease.from_json(json.loads(row.body))
        yield Released(release=release, entry=row.entry)
