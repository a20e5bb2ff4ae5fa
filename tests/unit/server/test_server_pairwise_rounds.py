"""The four exchanges as the ServerApp carries them, over nodes faked message by message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from masked_nodes import FakeMaskingGovernance, masked_spec

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.envelope import key_id
from policies.fixedpoint import add_into, word_type, zeros
from policies.masks import public_key
from policies.pairwise import PairwiseNode
from policies.pairwise_messages import Split
from policies.pairwise_round import PairwiseRound
from policies.permit import PermitBody
from policies.release import NO_SUMS, release_of, sign_release
from policies.sumterms import layout_of
from policies.wire import AGREEMENTS, LETTERS, MODEL, RELEASE, SPLIT, Refusal, Step
from policies.words import Words
from server.errors import ServerError
from server.exchange import Reply, Told
from server.pairwise_rounds import PairwiseAdding, PairwiseExchange, Site
from server.round_results import Accepted, NothingReleased
from server.secure_sums import MaskedRound, Rows

NODES = {f"clinic{number}": number for number in range(1, 5)}
PERMIT_KEY = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
MODEL_BYTES = b"the model"
RECEIPTS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for name, n in NODES.items()
}
SEALING = {name: X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for name, n in NODES.items()}

Change = Callable[[bytes], bytes | Refusal | None]


def permit() -> PermitBody:
    governance = FakeMaskingGovernance(permitted=set(NODES.values()), spec=masked_spec())
    request = pb.AuthorizeRoundRequest(
        run="run-1", round=1, kind="train", model="5a" * 32, architecture="5a" * 32, floats=9
    )
    body = governance._permit(request, f"permit-{1:032x}", X25519PrivateKey.generate())
    assert body.secure_sum is not None
    cohort = [
        one.model_copy(
            update={
                "key": key_id(RECEIPTS[one.participant].public_key()),
                "sealing": public_key(SEALING[one.participant]),
            }
        )
        for one in body.cohort
    ]
    how = body.secure_sum.model_copy(update={"mode": "pairwise", "key": ""})
    return body.model_copy(update={"cohort": cohort, "secure_sum": how})


@dataclass
class FakeNodes:
    """Four nodes that follow the protocol; `changes` says what becomes of an answer on its way."""

    body: PermitBody = field(default_factory=permit)
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    asked: list[tuple[str, dict[int, Told], float]] = field(default_factory=list)
    now: float = 0.0
    took_s: float = 0.0

    def __post_init__(self) -> None:
        terms = PairwiseRound.of_permit(self.body)
        self.nodes = {
            name: PairwiseNode(terms, name, receipt_key=RECEIPTS[name], sealing_key=SEALING[name])
            for name in NODES
        }
        layout = layout_of(self.body)
        generator = np.random.default_rng(1)
        self.layout = layout
        self.plain = {
            name: generator.integers(
                0, 2**layout.word_bits, layout.words, word_type(layout.word_bits)
            )
            for name in NODES
        }
        self.sent: dict[str, Words] = {}

    def __call__(
        self,
        step: Step,
        told: Mapping[int, Told],
        *,
        deadline_s: float,
        poll_s: float,
        first_look_s: float = 0.0,
    ) -> list[Reply]:
        self.asked.append((step, dict(told), deadline_s))
        self.now += self.took_s
        return [self._reply(step, node, one) for node, one in sorted(told.items())]

    def _reply(self, step: Step, node: int, told: Told) -> Reply:
        name = f"clinic{node}"
        data = self._answer(step, name, told)
        changed = self.changes.get((step, name), lambda data: data)(data)
        if changed is None:
            return Reply(node_id=node, missing="no reply within 1 s")
        if isinstance(changed, Refusal):
            return Reply(node_id=node, refusal=changed)
        if step == "mask":
            return Reply(node_id=node, receipt=b"r", update=changed)
        return Reply(node_id=node, answer=changed)

    def _answer(self, step: Step, name: str, told: Told) -> bytes:
        node = self.nodes[name]
        if step == "share":
            return node.share()
        if step == "mask":
            self.sent[name] = self.plain[name].copy()
            node.mask(told[LETTERS], self.sent[name])
            return self.sent[name].tobytes()
        return node.agree(told[SPLIT]) if step == "agree" else node.unmask(told[AGREEMENTS])

    def exchange(self, **site: Any) -> PairwiseExchange:
        how = self.body.secure_sum
        assert how is not None
        masked = MaskedRound(self.body, how, self.layout)
        fields: dict[str, Any] = {"deadline_s": 40.0, "clock": lambda: self.now}
        return PairwiseExchange(masked, Site(self, NODES, **(fields | site)))

    def total(self, names: list[str], vectors: Mapping[str, Words]) -> Words:
        total = zeros(self.layout.words, self.layout.word_bits)
        for name in names:
            add_into(total, vectors[name])
        return total

    def release(self, *names: str, **changes: Any) -> Any:
        body = self.body
        found = release_of(
            body, body.digest(), [sorted(names or NODES)], words=self.layout.words, sums=NO_SUMS
        )
        return found.model_copy(update=changes)

    def opens(self, exchange: PairwiseExchange, *names: str) -> bool:
        """Whether the sum of these comes out exactly."""
        release = self.release(*names)
        unmask = exchange.unmasking(release, sign_release(release, PERMIT_KEY))
        held = sorted(names or NODES)
        total = self.total(held, self.sent)
        unmask(total)
        return bool((total == self.total(held, self.plain)).all())


@pytest.fixture
def nodes() -> FakeNodes:
    return FakeNodes()


def gone(_data: bytes) -> None:
    return None


def refuses(_data: bytes) -> Refusal:
    return Refusal(code="consent-withdrawn", text="it withdrew")


def other_share(data: bytes) -> bytes:
    """An answer whose every share is another element of the field."""
    value = json.loads(data)
    for kind in ("seeds", "mask_keys"):
        value[kind] = dict.fromkeys(value[kind], "00" * 33)
    return canonical_bytes(value)


def test_everybody_is_told_what_its_step_needs_and_no_more(nodes: FakeNodes) -> None:
    exchange = nodes.exchange()
    replies = exchange.vectors(MODEL_BYTES)
    assert [reply.update for reply in replies] == [nodes.sent[name].tobytes() for name in NODES]
    assert nodes.opens(exchange)
    told = {step: list(one.values()) for step, one, _ in nodes.asked}
    assert list(told) == ["share", "mask", "agree", "unmask"]
    assert told["share"] == [{MODEL: MODEL_BYTES}] * 4
    assert [set(one) for one in told["mask"]] == [{LETTERS}] * 4
    assert len({one[LETTERS] for one in told["mask"]}) == 4
    assert told["agree"] == [told["agree"][0]] * 4
    assert set(told["agree"][0]) == {SPLIT, RELEASE}
    assert told["unmask"] == [told["unmask"][0]] * 4


@pytest.mark.parametrize("change", [gone, refuses, lambda _: b"{}", lambda data: data[:-2] + b"0}"])
@pytest.mark.parametrize("step", ["share", "agree", "unmask"])
def test_one_of_four_that_fails_in_a_step_is_not_missed(
    nodes: FakeNodes, step: str, change: Change
) -> None:
    nodes.changes[step, "clinic2"] = change
    exchange = nodes.exchange()
    replies = exchange.vectors(MODEL_BYTES)
    names = sorted(set(NODES) - ({"clinic2"} if step == "share" else set()))
    assert [reply.node_id for reply in replies if reply.receipt] == [NODES[n] for n in names]
    assert nodes.opens(exchange, *names)
    if step == "share":
        assert replies[1].missing or replies[1].refusal
        assert not replies[1].answer


def test_who_masked_and_is_not_released_is_dropped_in_the_split(nodes: FakeNodes) -> None:
    exchange = nodes.exchange()
    exchange.vectors(MODEL_BYTES)
    assert nodes.opens(exchange, "clinic1", "clinic3", "clinic4")
    step, told, _ = nodes.asked[2]
    split = Split.parse(told[1][SPLIT], permit=nodes.body.digest())
    assert (step, sorted(told), split.dropped) == ("agree", [1, 3, 4], ["clinic2"])


def test_too_few_that_shared_are_not_asked_to_mask(nodes: FakeNodes) -> None:
    nodes.changes = {("share", "clinic1"): gone, ("share", "clinic4"): refuses}
    replies = nodes.exchange().vectors(MODEL_BYTES)
    assert [step for step, _, _ in nodes.asked] == ["share"]
    assert [reply.node_id for reply in replies] == [1, 2, 3, 4]
    assert "expected at least 3 participants who shared, got 2" in replies[1].missing
    assert replies[3].refusal is not None


@pytest.mark.parametrize("step", ["agree", "unmask"])
def test_too_few_that_help_open_nothing(nodes: FakeNodes, step: str) -> None:
    nodes.changes = {(step, "clinic1"): gone, (step, "clinic4"): refuses}
    exchange = nodes.exchange()
    exchange.vectors(MODEL_BYTES)
    with pytest.raises(NothingReleased, match="expected at least 3"):
        nodes.opens(exchange)


def test_one_liar_is_found_and_two_open_nothing(
    nodes: FakeNodes, caplog: pytest.LogCaptureFixture
) -> None:
    nodes.changes["unmask", "clinic1"] = other_share
    exchange = nodes.exchange()
    exchange.vectors(MODEL_BYTES)
    assert nodes.opens(exchange)
    assert "of clinic1" in caplog.text
    nodes = FakeNodes()
    nodes.changes = {("unmask", name): other_share for name in ("clinic1", "clinic2")}
    exchange = nodes.exchange()
    exchange.vectors(MODEL_BYTES)
    with pytest.raises(NothingReleased, match="shares of"):
        nodes.opens(exchange)


@pytest.mark.parametrize(
    ("deadline_s", "took_s", "expected"),
    [(40.0, 0.0, [10, 40]), (40.0, 9.0, [10, 31]), (4.0, 0.0, [2, 4]), (2.0, 9.0, [1, 1])],
)
def test_sharing_and_masking_have_one_deadline(
    nodes: FakeNodes, deadline_s: float, took_s: float, expected: list[float]
) -> None:
    nodes.took_s = took_s
    exchange = nodes.exchange(deadline_s=deadline_s)
    exchange.vectors(MODEL_BYTES)
    nodes.opens(exchange)
    assert [limit for _, _, limit in nodes.asked] == [*expected, 4.0, 4.0]


# -- what governance released ----------------------------------------------------------------------


def adding(nodes: FakeNodes, signed: bytes) -> PairwiseAdding:
    exchange = nodes.exchange()
    how = nodes.body.secure_sum
    assert how is not None
    masked = MaskedRound(nodes.body, how, nodes.layout)
    made = PairwiseAdding(masked, lambda _: signed, {}, exchange=exchange, quorum=2)
    assert made.read(exchange.vectors(MODEL_BYTES)) == {}
    return made


ACCEPTED = [Accepted(node, name, Rows(10, 1)) for name, node in NODES.items()]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"permit_id": f"permit-{2:032x}"}, "one of this permit"),
        ({"groups": [["clinic1", "clinic2"], ["clinic3", "clinic4"]]}, "in one group"),
        ({"groups": [["clinic1", "clinic2", "clinic3", "somebody"]]}, "somebody"),
    ],
)
def test_a_release_of_something_else_opens_nothing(
    nodes: FakeNodes, changes: dict[str, Any], words: str
) -> None:
    signed = sign_release(nodes.release(**changes), PERMIT_KEY)
    with pytest.raises(ServerError, match=words):
        adding(nodes, signed).result(ACCEPTED)


def test_a_release_that_is_none(nodes: FakeNodes) -> None:
    with pytest.raises(ServerError, match="the release of its cohort"):
        adding(nodes, b"{}").result(ACCEPTED)


def test_a_sum_that_is_not_what_the_receipts_say_is_not_used(
    nodes: FakeNodes, caplog: pytest.LogCaptureFixture
) -> None:
    signed = sign_release(nodes.release(), PERMIT_KEY)
    assert not adding(nodes, signed).result(ACCEPTED).nodes
    assert "no result" in caplog.text


def test_without_a_quorum_nothing_is_asked_for(nodes: FakeNodes) -> None:
    assert not adding(nodes, b"never read").result(ACCEPTED[:1]).nodes


def test_a_permit_with_other_masks_is_refused(nodes: FakeNodes) -> None:
    how = nodes.body.secure_sum
    assert how is not None
    other = nodes.body.model_copy(
        update={"secure_sum": how.model_copy(update={"mode": "governance"})}
    )
    with pytest.raises(ServerError, match="pairwise masks"):
        PairwiseExchange(MaskedRound(other, how, nodes.layout), Site(nodes, NODES, 40.0))
