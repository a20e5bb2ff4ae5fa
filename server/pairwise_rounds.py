"""A round under pairwise masks as the consumer's ServerApp carries it: four exchanges, one permit.

    5   share    permit and model to all; their one-time keys and shares come back, and are checked
        mask     to who shared what the others shared with it; receipt and masked vector come back
    9   release  governance judges the receipts, then logs and signs of whom the sum may be opened:
                 those accepted whose consent stands, and no fewer than have to help
        agree    to each of these: who survived and who dropped, with that release
        unmask   the agreements; shares come back, are put together, and the masks come off

Who fails in one step is not asked for the next, and stands in the log with its reason. As long as
the threshold is left, a dropout costs nothing but its own update; below it, nothing can be opened,
and the round is closed without a result. The aggregator's side of the protocol is
`policies.pairwise_opening`; what it learns and what not, says `policies.pairwise`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol, TypeVar

from policies import pairwise_opening as opening
from policies.envelope import unverified_payload
from policies.errors import DocumentError, MaskKeyError, SecureSumError
from policies.pairwise_messages import Shared
from policies.pairwise_round import PairwiseRound
from policies.permit import EXPIRY_GRACE
from policies.release import RELEASE_TYPE, MaskRelease
from policies.tensors import Tensors
from policies.wire import AGREEMENTS, LETTERS, MODEL, RELEASE, SPLIT, Step
from policies.words import Words
from server.errors import ServerError
from server.exchange import Reply, Told
from server.round_results import MaskedAdding, NothingReleased, only_released
from server.secure_sums import Group, MaskedRound, Rows

LOGGER = logging.getLogger(__name__)

_WRONG: Final = (DocumentError, MaskKeyError, SecureSumError)
_SHARE_LEAST_S: Final = 5.0
_LAST_STEP_S: Final = 0.4 * EXPIRY_GRACE.total_seconds()
"""For each of the last two, which come when the permit's time may be up but for its grace."""

T = TypeVar("T")
ReleaseCohort = Callable[[str], bytes]


class Send(Protocol):
    """`server.exchange.send_step` with everything that does not change within a round."""

    def __call__(
        self,
        step: Step,
        told: Mapping[int, Told],
        *,
        deadline_s: float,
        poll_s: float,
        first_look_s: float = 0.0,
    ) -> list[Reply]:
        """A reply of each."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where a round takes place.

    Attributes:
        nodes: node id by participant of the cohort.
        deadline_s: for sharing and masking together.
        first_look_s, mask_poll_s: when to look for masked vectors, which take a training.
        poll_s: how often to look for all other answers, which come at once.
    """

    send: Send
    nodes: Mapping[str, int]
    deadline_s: float
    poll_s: float = 0.02
    first_look_s: float = 0.0
    mask_poll_s: float = 0.02
    clock: Callable[[], float] = time.monotonic


class PairwiseExchange:
    """One permit's exchanges; `vectors`, then perhaps `unmasking`, each once.

    Raises:
        ServerError: the permit asks for no such sum.
    """

    def __init__(self, masked: MaskedRound, site: Site) -> None:
        try:
            self._terms = PairwiseRound.of_permit(masked.permit)
        except SecureSumError as error:
            raise ServerError(f"permit: expected one with pairwise masks: {error}") from error
        self._site = site
        self._names = {node: name for name, node in site.nodes.items()}
        self._shared: dict[str, Shared] = {}

    def vectors(self, model: bytes) -> list[Reply]:
        """Steps 1 and 2: one reply of each node, in order of node id: receipt and masked vector,
        or why there is none."""
        began, limit_s = self._site.clock(), self._site.deadline_s
        share_s = max(limit_s / 4, min(_SHARE_LEAST_S, limit_s / 2))
        told: Told = {MODEL: model}
        everybody = dict.fromkeys(self._site.nodes.values(), told)
        failed: dict[int, Reply] = {}
        verify = partial(opening.verify_shared, self._terms)
        self._shared = self._taken("share", everybody, verify, share_s, failed)
        try:
            letters = opening.letters(self._terms, self._shared)
        except SecureSumError as error:
            # Nobody is asked to use anything for a sum that could not be opened.
            LOGGER.warning("nothing was masked: %s", error)
            for name in self._shared:
                node = self._site.nodes[name]
                failed[node] = Reply(node_id=node, missing=f"nothing was masked: {error}"[:1000])
            return [failed[node] for node in sorted(failed)]
        masked = self._site.send(
            "mask",
            {self._site.nodes[name]: {LETTERS: letters[name]} for name in letters},
            deadline_s=max(limit_s - (self._site.clock() - began), 1.0),
            poll_s=self._site.mask_poll_s,
            first_look_s=self._site.first_look_s,
        )
        return sorted([*failed.values(), *masked], key=lambda reply: reply.node_id)

    def unmasking(self, release: MaskRelease, signed: bytes) -> Callable[[Words], None]:
        """Steps 3 and 4: what takes all masks off the sum of the released vectors.

        Raises:
            NothingReleased: too few helped, or what they gave opens nothing.
        """
        try:
            return self._unmasking(release, signed)
        except _WRONG as error:
            raise NothingReleased(f"the masks do not come off: {error}") from error

    def _unmasking(self, release: MaskRelease, signed: bytes) -> Callable[[Words], None]:
        terms, shared = self._terms, self._shared
        split = opening.split(terms, shared, release.participants)
        survivors = [self._site.nodes[name] for name in sorted(release.participants)]
        asked: Told = {SPLIT: split, RELEASE: signed}
        agreed = self._taken(
            "agree",
            dict.fromkeys(survivors, asked),
            partial(opening.verify_agreement, terms, shared, split),
            _LAST_STEP_S,
            {},
        )
        told = opening.agreements(terms, agreed.values())
        answers = self._taken(
            "unmask",
            {self._site.nodes[name]: {AGREEMENTS: told} for name in agreed},
            partial(opening.verify_answer, terms, split),
            _LAST_STEP_S,
            {},
        )
        secrets = opening.join(terms, shared, split, answers)
        if secrets.liars:
            LOGGER.warning("shares that are not the owners': of %s", ", ".join(secrets.liars))
        return partial(opening.remove_masks, terms, shared, secrets)

    def _taken(
        self,
        step: Step,
        told: Mapping[int, Told],
        verify: Callable[[str, bytes], T],
        deadline_s: float,
        failed: dict[int, Reply],
    ) -> dict[str, T]:
        """Verified answers by participant; of everybody else the reply with the reason."""
        found: dict[str, T] = {}
        poll_s = self._site.poll_s
        for reply in self._site.send(step, told, deadline_s=deadline_s, poll_s=poll_s):
            name, why = self._names[reply.node_id], reply.missing
            if reply.answer:
                try:
                    found[name] = verify(name, reply.answer)
                    continue
                except _WRONG as error:
                    why = f"step {step}: {error}"[:1000]
            elif reply.refusal is not None:
                why = reply.refusal.text
            failed[reply.node_id] = replace(reply, answer=b"", missing=why)
            LOGGER.warning(
                "%s dropped out in step %s: %s", name, step, why, extra={"participant": name}
            )
        return found


class PairwiseAdding(MaskedAdding):
    """Vectors under pairwise masks; see `MaskedAdding` for where there is no result.

    Args:
        release_cohort: as `server.loop.Governance` has it.
        exchange: whose vectors these are.
    """

    def __init__(
        self,
        masked: MaskedRound,
        release_cohort: ReleaseCohort,
        model: Tensors,
        *,
        exchange: PairwiseExchange,
        quorum: int,
    ) -> None:
        super().__init__(masked, _never, model, quorum=quorum)
        self._release_cohort = release_cohort
        self.exchange = exchange
        self._signed = b""

    def _released(self) -> MaskRelease:
        permit = self._masked.permit
        with only_released():
            self._signed = self._release_cohort(permit.id)
        try:
            payload = unverified_payload(self._signed, payload_type=RELEASE_TYPE)
            release = MaskRelease.from_json(payload)
        except DocumentError as error:
            raise ServerError(f"{permit.id}: the release of its cohort: {error}") from error
        if (release.permit_id, len(release.groups)) != (permit.id, 1):
            raise ServerError(
                f"{permit.id}: the release of its cohort: expected one of this permit in one "
                f"group, got {release.permit_id} in {len(release.groups)}"
            )
        return release

    def _groups(
        self, release: MaskRelease, vectors: Mapping[str, bytes], rows: Mapping[str, Rows]
    ) -> list[Group]:
        unmask = self.exchange.unmasking(release, self._signed)
        members: Sequence[str] = release.groups[0]
        return [self._masked.open_group(members, unmask, vectors, rows)]


def _never(*_: object) -> tuple[MaskRelease, list[bytes]]:
    raise ServerError("pairwise masks: governance has no sums to release")
