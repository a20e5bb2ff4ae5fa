"""Step 2 of DESIGN.md: what a ServerApp asks before a round, and whether it is its turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from policies.canonical import digest_of
from policies.errors import EncodingError
from policies.permit import Kind, PermitBody
from policies.statements import RunSpec
from policies.sumterms import layout_of
from server.errors import BadInput, CertificateError, RuleBroken, Superseded
from server.keys import key_digest, parse_ec_public_key
from server.released import Released
from server.rows import ENDED, RoundRow, RunRow
from server.runs import check_request_id

MAX_NODES: Final = 20_000
MAX_FLOATS: Final = 1 << 28
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Final = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class OnlineNode:
    """A node that is online, as the consumer tells; its key decides whose it is."""

    node_id: str
    fleet_key_pem: bytes


@dataclass(frozen=True, slots=True)
class RoundAsk:
    """What the ServerApp asks before a round (step 2).

    Attributes:
        model: digest of the incoming model.
        architecture, floats: digest of what its arrays are, and how many numbers those of floats
            have (`policies.tensors`); each node checks the first.
    """

    run: str
    flower_run: str
    round: int
    kind: str
    model: str
    online: tuple[OnlineNode, ...]
    request_id: str
    architecture: str
    floats: int

    @property
    def digest(self) -> str:
        """Of what a request id stands for; who is online may differ when it is sent again."""
        return digest_of(
            [
                self.run,
                self.flower_run,
                self.round,
                self.kind,
                self.model,
                self.architecture,
                self.floats,
            ]
        )


def nodes_by_key(nodes: Sequence[OnlineNode]) -> dict[str, str]:
    """Node ids by digest of the fleet key; a key that cannot be read is nobody's."""
    found: dict[str, str] = {}
    for node in nodes:
        try:
            key = parse_ec_public_key(node.fleet_key_pem, "fleet key")
        except CertificateError:
            continue
        found.setdefault(key_digest(key), node.node_id)
    return found


def check_ask(ask: RoundAsk) -> None:
    """Returns only if the request is well-formed; BadInput otherwise."""
    check_request_id(ask.request_id)
    if ask.kind not in _KINDS:
        raise BadInput(f"kind: expected train or evaluate, got {ask.kind!r:.40}")
    if not _SHA256.fullmatch(ask.model):
        raise BadInput(f"model: expected a SHA-256 in hexadecimal, got {ask.model!r:.80}")
    if not _SHA256.fullmatch(ask.architecture):
        raise BadInput(
            f"architecture: expected a SHA-256 in hexadecimal, got {ask.architecture!r:.80}"
        )
    if not 0 <= ask.floats <= MAX_FLOATS:
        raise BadInput(f"floats: expected 0 to {MAX_FLOATS}, got {ask.floats}")
    if not 1 <= ask.round <= 1_000_000:
        raise BadInput(f"round: expected 1 to 1000000, got {ask.round}")
    if len(ask.online) > MAX_NODES or any(len(node.node_id) > 20 for node in ask.online):
        raise BadInput(f"online: expected at most {MAX_NODES} nodes with ids of up to 20 digits")
    if len({node.node_id for node in ask.online}) != len(ask.online):
        raise BadInput("online: expected each node id once")


def check_current(run: RunRow, ask: RoundAsk, before: RoundRow | None) -> None:
    """Returns only if it comes from the present Flower run and its place was not taken.

    Args:
        before: what the same request id stands for already.

    Raises:
        RuleBroken, Superseded
    """
    if not run.flower_run:
        raise RuleBroken(f"{run.id}: expected a run that Flower carries, is {run.state}; resume it")
    if ask.flower_run != run.flower_run:
        raise Superseded(
            f"{run.id}: expected its Flower run {run.flower_run}, got {ask.flower_run!r:.40}; "
            "this ServerApp was replaced and should end"
        )
    if before is None:
        return
    if before.request != ask.digest:
        raise RuleBroken(f"request {ask.request_id}: expected the round it was first used for")
    if before.state == "ABANDONED":
        raise Superseded(f"request {ask.request_id}: a newer request took its place")


def check_architecture(run: RunRow, ask: RoundAsk, first: PermitBody | None) -> None:
    """Returns only if the model has the arrays that the run's first permit was given for.

    A model of another form could hold an app to other code, and its update could tell more of few
    records than of many ("imprint" layers: Fowl et al., ICLR 2022).

    Args:
        first: the run's first permit, which is of a training round; None before it.

    Raises:
        RuleBroken: other arrays.
    """
    if first is None:
        return
    if first.architecture != ask.architecture:
        raise RuleBroken(
            f"architecture-changed: {run.id}: expected a model with the arrays of its first round, "
            f"{first.architecture}, got {ask.architecture}; open another run for another model"
        )
    try:
        floats = layout_of(first).floats if first.secure_sum is not None else ask.floats
    except EncodingError as error:
        raise RuleBroken(f"{run.id}: its first permit: {error}") from error
    if floats != ask.floats:
        raise RuleBroken(
            f"architecture-changed: {run.id}: expected a model of {floats} numbers, as in its "
            f"first round, got {ask.floats}"
        )


def check_released(run: RunRow, ask: RoundAsk, before: Released | None) -> None:
    """Returns only if the masks of this round were not released under an earlier permit.

    Args:
        before: the release of this round's masks.

    Raises:
        RuleBroken: they were; whatever was summed, it is not summed again.
    """
    if before is None:
        return
    raise RuleBroken(
        f"released-already: {run.id}: {ask.kind} round {ask.round}: expected a round whose masks "
        f"were not released, entry {before.entry} released those of {before.release.permit_id}; "
        "close that one, with a result or without; if it was abandoned, open another run"
    )


def check_next(run: RunRow, spec: RunSpec, ask: RoundAsk) -> None:
    """Returns only if this is the run's next round on its last model; RuleBroken otherwise."""
    if run.state in ENDED:
        raise RuleBroken(f"{run.id}: expected a run that goes on, is {run.state}: {run.reason}")
    kind = "train" if run.closed_rounds < spec.rounds else "evaluate"
    if (ask.kind, ask.round) != (kind, run.closed_rounds + 1):
        raise RuleBroken(
            f"{run.id}: expected round {run.closed_rounds + 1} ({kind}) next, "
            f"got {ask.round} ({ask.kind})"
        )
    if run.model and ask.model != run.model:
        raise RuleBroken(
            f"{run.id}: expected the model of the last closed round, {run.model}, got {ask.model}"
        )
