"""What a round's accepted updates come to: step 9, after governance has judged the receipts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from policies import governance_pb2 as pb
from policies.envelope import unverified_payload
from policies.errors import EncodingError
from policies.flattening import unflatten
from policies.privacy import PermitSum
from policies.receipt import RECEIPT_TYPE, Receipt
from policies.release import MaskRelease
from policies.statements import Aggregation
from policies.tensors import Tensors
from server.aggregate import average_metrics
from server.arrivals import read_updates, read_vectors
from server.errors import GovernanceRefused, ServerError
from server.exchange import Reply
from server.mask_sums import Opened
from server.robust import combine
from server.secure_sums import Group, MaskedRound, Rows, SumSpoiled

LOGGER = logging.getLogger(__name__)

ReleaseMasks = Callable[[str, PermitSum], Opened]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A node whose receipt governance accepted, with what the receipt states."""

    node: int
    participant: str
    rows: Rows

    @classmethod
    def of(cls, verdict: pb.SubmitReceiptsResponse) -> list[Accepted]:
        """All of a verdict, in the order of their nodes."""
        found = [
            cls(int(one.node_id), one.participant, Rows(one.rows_used, one.rows_held_back))
            for one in verdict.accepted
        ]
        return sorted(found, key=lambda one: one.node)


@dataclass(frozen=True, slots=True)
class Result:
    """What there is to close a round with.

    Attributes:
        nodes: whose updates are in it, or whose figures; none if the round has no result.
        arrays: of the new model; None where it stays as it is.
    """

    nodes: frozenset[int] = frozenset()
    arrays: Tensors | None = None
    metrics: dict[str, str] = field(default_factory=dict)


class Adding(Protocol):
    """One way to add a round's updates; one object for each round."""

    def read(self, replies: Sequence[Reply]) -> Mapping[int, str]:
        """Keep what the nodes sent; for each whose update cannot be added, why, in a sentence."""
        ...

    def result(self, accepted: Sequence[Accepted]) -> Result:
        """What the updates of those come to whose receipts governance accepted.

        Raises:
            ServerError: governance cannot be reached, or contradicts itself.
        """
        ...


class PlainAdding:
    """Updates that arrive as they are.

    Args:
        model: what updates must look like; empty for an evaluation, which has none.
        quorum: of how many there is a result.
        how: they are added.
    """

    def __init__(self, model: Tensors, *, quorum: int, how: Aggregation = "mean") -> None:
        self._model = model
        self._quorum = quorum
        self._how = how
        self._updates: dict[int, Tensors | str] = {}
        self._receipts: dict[int, bytes] = {}

    def read(self, replies: Sequence[Reply]) -> Mapping[int, str]:
        """See `Adding`."""
        self._updates = read_updates(replies, self._model)
        self._receipts = {reply.node_id: reply.receipt for reply in replies}
        return _problems(self._updates)

    def result(self, accepted: Sequence[Accepted]) -> Result:
        """See `Adding`."""
        metrics = average_metrics(_read_receipt(self._receipts[one.node]) for one in accepted)
        if len(accepted) < self._quorum:
            return Result(metrics=metrics)
        weighted = [(self._update(one.node), one.rows.used) for one in accepted]
        return Result(
            nodes=frozenset(one.node for one in accepted),
            arrays=combine(self._how, weighted, self._model) if self._model else None,
            metrics=metrics,
        )

    def _update(self, node: int) -> Tensors:
        update = self._updates[node]
        if isinstance(update, str):
            raise ServerError(f"governance accepted an update that could not be read: {update}")
        return update


class MaskedAdding:
    """Vectors under masks are added, and their sums opened with those of the masks.

    There is no result where too few are left to be released, or where a sum says something else
    than the receipts. Either costs the round, and a warning says so; the run goes on.

    Args:
        masked: of the round's permit.
        release_masks: as `server.loop.Governance` has it.
        model, quorum: as for `PlainAdding`.
        how: the sums of several groups are added.
    """

    def __init__(
        self,
        masked: MaskedRound,
        release_masks: ReleaseMasks,
        model: Tensors,
        *,
        quorum: int,
        how: Aggregation = "mean",
    ) -> None:
        self._how = how
        self._masked = masked
        self._release_masks = release_masks
        self._model = model
        self._quorum = quorum
        self._vectors: dict[int, bytes | str] = {}
        self._sums: list[bytes] = []

    def read(self, replies: Sequence[Reply]) -> Mapping[int, str]:
        """See `Adding`."""
        self._vectors = read_vectors(replies, self._masked.layout.size_bytes)
        return _problems(self._vectors)

    def result(self, accepted: Sequence[Accepted]) -> Result:
        """See `Adding`."""
        if len(accepted) < self._quorum:
            return Result()  # no masks are released for nothing
        try:
            return self._opened({one.participant: one for one in accepted})
        except (NothingReleased, SumSpoiled, EncodingError) as error:
            LOGGER.warning("%s: no result: %s", self._masked.permit.id, error)
            return Result()

    def _opened(self, accepted: Mapping[str, Accepted]) -> Result:
        release = self._released()
        unknown = release.participants - set(accepted)
        if unknown:
            raise ServerError(
                f"{release.permit_id}: the release of its masks: expected those whose receipts "
                f"were accepted, got {min(unknown)} as well"
            )
        if len(release.participants) < self._quorum:
            found = len(release.participants)
            raise NothingReleased(f"expected a quorum of {self._quorum} released, got {found}")
        held = [accepted[name] for name in sorted(release.participants)]
        groups = self._groups(
            release,
            {one.participant: self._vector(one.node) for one in held},
            {one.participant: one.rows for one in held},
        )
        model = self._model
        return Result(
            nodes=frozenset(one.node for one in held),
            arrays=unflatten(model, self._masked.mean(groups, self._how)) if model else None,
            metrics=self._masked.figures(groups),
        )

    def _released(self) -> MaskRelease:
        """Whose updates may be opened; asked for once in a round."""
        with only_released():
            release, self._sums = self._release_masks(self._masked.permit.id, self._masked.how)
        return release

    def _groups(
        self, release: MaskRelease, vectors: Mapping[str, bytes], rows: Mapping[str, Rows]
    ) -> list[Group]:
        """Their sums, opened."""
        return self._masked.open(release, self._sums, vectors, rows)

    def _vector(self, node: int) -> bytes:
        vector = self._vectors[node]
        if isinstance(vector, str):
            raise ServerError(f"governance accepted a vector that cannot be added: {vector}")
        return vector


class NothingReleased(ServerError):
    """No sum of this round may be opened, or it would be of too few."""


@contextmanager
def only_released() -> Iterator[None]:
    """Tells a release that governance refused from what else can go wrong with the call."""
    try:
        yield
    except GovernanceRefused as refusal:
        if refusal.code != "FAILED_PRECONDITION":
            raise
        # Too few are left, or beside another release this one would tell too much.
        raise NothingReleased(f"the masks are not released: {refusal.text}") from refusal


def _problems(read: Mapping[int, object]) -> dict[int, str]:
    return {node: what for node, what in read.items() if isinstance(what, str)}


def _read_receipt(envelope: bytes) -> Receipt:
    """A receipt that governance has just verified, for its figures."""
    return Receipt.from_json(unverified_payload(envelope, payload_type=RECEIPT_TYPE))
