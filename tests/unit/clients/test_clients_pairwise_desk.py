"""A node's four steps of a pairwise sum: what each needs, what ends it, and what never leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from test_clients_gate import APP, NOW, PERMIT_KEY, agreement, member
from test_clients_work import MODEL, RECEIPT_KEY, SEALING_KEY, Node, code

from clients.pairwise_desk import MAX_OPEN
from clients.tasks import Answered, Done, Reply, Task
from policies import pairwise_opening as opening
from policies.envelope import key_id
from policies.fields import instant
from policies.fixedpoint import add_into, decode, vector_from_bytes, zeros
from policies.masks import public_key
from policies.pairwise import PairwiseNode
from policies.pairwise_messages import Shared
from policies.pairwise_round import PairwiseRound
from policies.permit import PermitBody, open_permit
from policies.receipt import open_receipt
from policies.release import NO_SUMS, MaskRelease, sign_release
from policies.sumterms import layout_of, permit_sum
from policies.tensors import float_count, unpack_tensors
from policies.wire import AGREEMENTS, LETTERS, RELEASE, SPLIT, Refusal, Step
from policies.words import Words

OURS = "clinic-a"
PEERS = ("clinic-b", "clinic-c", "clinic-d")
FLOATS = float_count(unpack_tensors(MODEL))
RECEIPT_KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    for name in (OURS, *PEERS)
} | {OURS: RECEIPT_KEY}
SEALING_KEYS = {
    name: X25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    for name in (OURS, *PEERS)
} | {OURS: SEALING_KEY}


def sum_of(**changes: Any) -> dict[str, Any]:
    terms = permit_sum(
        mode="pairwise",
        key="",
        kind="train",
        metrics=["loss"],
        floats=FLOATS,
        clip_norm="4",
        privacy=None,
        members=4,
        groups=1,
    ).to_json()
    assert isinstance(terms, dict)
    return terms | changes


def members() -> list[dict[str, Any]]:
    return [
        member(
            name,
            key_id(RECEIPT_KEYS[name].public_key()),
            sealing=public_key(SEALING_KEYS[name]),
        )
        for name in RECEIPT_KEYS
    ]


def pairwise_task(node: Node, number: int = 1, **changes: Any) -> Task:
    """The first step's."""
    fields = {"clip_norm": "4", "secure_sum": sum_of(), "cohort": members()}
    return replace(node.task(number, **(fields | changes)), step="share")


def next_step(task: Task, step: Step, **told: bytes) -> Task:
    """A later step's, as it comes: without a model."""
    return replace(task, model=b"", step=step, told=told)


@dataclass
class FakeCohort:
    """Three peers and an aggregator, around the node's own first answer."""

    body: PermitBody
    task: Task
    peers: dict[str, PairwiseNode] = field(init=False)
    shared: dict[str, Shared] = field(init=False)
    sent: dict[str, Words] = field(default_factory=dict)

    @classmethod
    def around(cls, node: Node, task: Task) -> FakeCohort:
        body = open_permit(task.permit, PERMIT_KEY.public_key()).body
        cohort = cls(body, task)
        terms = cohort.terms
        cohort.peers = {
            name: PairwiseNode(
                terms, name, receipt_key=RECEIPT_KEYS[name], sealing_key=SEALING_KEYS[name]
            )
            for name in PEERS
        }
        sent = {name: one.share() for name, one in cohort.peers.items()}
        sent[OURS] = answer_of(node.worker.handle(task))
        cohort.shared = {
            name: opening.verify_shared(terms, name, data) for name, data in sent.items()
        }
        return cohort

    @property
    def terms(self) -> PairwiseRound:
        return PairwiseRound.of_permit(self.body)

    @property
    def mask_step(self) -> Task:
        letters = opening.letters(self.terms, self.shared)
        return next_step(self.task, "mask", **{LETTERS: letters[OURS]})

    def peers_masked(self) -> None:
        letters = opening.letters(self.terms, self.shared)
        layout = layout_of(self.body)
        for name, one in self.peers.items():
            words = zeros(layout.words, layout.word_bits)
            one.mask(letters[name], words)
            self.sent[name] = words

    def agree_step(
        self,
        *survivors: str,
        released: tuple[str, ...] = (),
        key: Ed25519PrivateKey = PERMIT_KEY,
        **changes: Any,
    ) -> Task:
        split = opening.split(self.terms, self.shared, survivors)
        body = self.body
        release = MaskRelease(
            run=body.run,
            round=body.round,
            kind=body.kind,
            attempt=1,
            permit=body.digest(),
            permit_id=body.id,
            groups=[sorted(released or survivors)],
            words=1,
            sums=NO_SUMS,
        ).model_copy(update=changes)
        return next_step(self.task, "agree", **{SPLIT: split, RELEASE: sign_release(release, key)})

    def agreements(self, split: bytes, *names: str, ours: bytes) -> bytes:
        given = [
            opening.verify_agreement(
                self.terms,
                self.shared,
                split,
                name,
                ours if name == OURS else self.peers[name].agree(split),
            )
            for name in names
        ]
        return opening.agreements(self.terms, given)


def answer_of(reply: Reply) -> bytes:
    assert isinstance(reply, Answered), reply
    return reply.data


def text(reply: Reply) -> str:
    assert isinstance(reply, Refusal), reply
    return reply.text


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement(permission=[{"action": "train"}, {"action": "evaluate"}]))
    yield node
    node.close()


def test_sharing_begins_no_use(node: Node) -> None:
    task = pairwise_task(node)
    FakeCohort.around(node, task)
    assert node.types() == []
    assert node.state.uses(limit=9) == []
    assert node.runner.jobs == []


def test_the_four_steps_open_the_sum_and_the_receipt_names_the_signed_key(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    done = node.worker.handle(cohort.mask_step)
    assert isinstance(done, Done)
    receipt = open_receipt(done.receipt, RECEIPT_KEY.public_key())
    assert receipt.mask_key == cohort.shared[OURS].keys.mask_key
    cohort.peers_masked()
    # One of the peers sent its vector to nobody; all others' are zeros under their masks.
    survivors = (OURS, *PEERS[:2])
    agree = cohort.agree_step(*survivors)
    split = agree.told[SPLIT]
    told = cohort.agreements(split, *survivors, ours=answer_of(node.worker.handle(agree)))
    data = answer_of(node.worker.handle(next_step(cohort.task, "unmask", **{AGREEMENTS: told})))
    terms, shared = cohort.terms, cohort.shared
    answers = {
        name: opening.verify_answer(
            terms, split, name, data if name == OURS else cohort.peers[name].unmask(told)
        )
        for name in survivors
    }
    layout = layout_of(cohort.body)
    total = zeros(layout.words, layout.word_bits)
    add_into(total, vector_from_bytes(done.update, layout))
    for name in PEERS[:2]:
        add_into(total, cohort.sent[name])
    opening.remove_masks(terms, shared, opening.join(terms, shared, split, answers), total)
    head, numbers = decode(layout, total, 3)
    assert (head.rows_used, head.rows_held_back) == (4, 1)
    assert numbers == pytest.approx(np.full(FLOATS, 4 / 400), abs=1e-8)
    assert node.types() == ["UseStarted", "UseReceipted"]


STEPS: list[tuple[str, Callable[[FakeCohort], Task], str]] = [
    ("mask before share", lambda c: replace(c.mask_step, permit=b"another"), "sum-refused"),
    ("letters of others", lambda c: _with(c.mask_step, LETTERS, b"{}"), "sum-refused"),
    ("agree before mask", lambda c: c.agree_step(OURS, *PEERS), "sum-refused"),
    ("another run", lambda c: replace(c.mask_step, flower_run="78"), "sum-refused"),
    ("shares again", lambda c: c.task, "sum-refused"),
]


def _with(task: Task, name: str, data: bytes) -> Task:
    return replace(task, told={**task.told, name: data})


@pytest.mark.parametrize(("what", "task", "expected"), STEPS, ids=[one[0] for one in STEPS])
def test_a_step_out_of_turn_is_refused_and_uses_nothing(
    node: Node, what: str, task: Callable[[FakeCohort], Task], expected: str
) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    assert code(node.worker.handle(task(cohort))) == expected
    assert node.types() == ["UseRefused"]
    # What was refused did not take the round away.
    assert isinstance(node.worker.handle(cohort.mask_step), Done)


def test_a_garbled_letter_is_found_before_the_app_runs(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    shares = cohort.shared["clinic-b"].shares
    cohort.shared["clinic-b"] = cohort.shared["clinic-b"].model_copy(
        update={"shares": shares | {OURS: "00" * 82}}
    )
    reply = node.worker.handle(cohort.mask_step)
    assert code(reply) == "sum-refused"
    assert "clinic-b" in text(reply)
    assert node.runner.jobs == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"released": (OURS, *PEERS)}, "no other sum"),
        ({"permit": "0" * 64}, "no other sum"),
        ({"groups": [[OURS], list(PEERS[:2])]}, "no other sum"),
        ({"key": RECEIPT_KEY}, "signature"),
    ],
    ids=["others", "another permit", "parts", "not by governance"],
)
def test_a_node_helps_to_open_only_what_governance_released(
    node: Node, changes: dict[str, Any], words: str
) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.worker.handle(cohort.mask_step)
    reply = node.worker.handle(cohort.agree_step(OURS, *PEERS[:2], **changes))
    assert code(reply) == "sum-refused"
    assert words in text(reply)


def test_a_withdrawal_keeps_all_shares_at_home(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.worker.handle(cohort.mask_step)
    agree = cohort.agree_step(OURS, *PEERS)
    node.worker.handle(agree)
    node.withdraw()
    assert code(node.worker.handle(agree)) == "consent-withdrawn"
    cohort.peers_masked()
    signed = cohort.agreements(agree.told[SPLIT], *PEERS, ours=b"")
    reply = node.worker.handle(next_step(cohort.task, "unmask", **{AGREEMENTS: signed}))
    assert code(reply) == "consent-withdrawn"


def test_a_withdrawal_that_the_node_saw_is_for_good(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.worker.handle(cohort.mask_step)
    node.withdraw()
    node.worker.recheck()
    node.worker._sums._allowed = lambda agreement, app: None  # as if it had never been
    reply = node.worker.handle(cohort.agree_step(OURS, *PEERS))
    assert (code(reply), "had left the round" in text(reply)) == ("sum-refused", True)


def test_a_use_that_failed_has_dropped_out_of_its_round(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.runner.result = RuntimeError("no")
    assert isinstance(node.worker.handle(cohort.mask_step), Refusal)
    assert code(node.worker.handle(cohort.agree_step(OURS, *PEERS))) == "sum-refused"
    assert code(node.worker.handle(cohort.mask_step)) == "sum-refused"


def test_a_node_that_restarts_has_dropped(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.worker.handle(cohort.mask_step)
    node.restart()
    assert code(node.worker.handle(cohort.agree_step(OURS, *PEERS))) == "sum-refused"
    assert code(node.worker.handle(cohort.task)) == "permit-replayed"


def test_nothing_is_answered_once_the_permit_expired(node: Node) -> None:
    cohort = FakeCohort.around(node, pairwise_task(node))
    node.worker.handle(cohort.mask_step)
    node.now = NOW + timedelta(minutes=5)
    assert code(node.worker.handle(cohort.agree_step(OURS, *PEERS))) == "permit-expired"


def test_a_new_round_of_a_run_takes_the_place_of_the_one_before(node: Node) -> None:
    first = FakeCohort.around(node, pairwise_task(node))
    FakeCohort.around(node, pairwise_task(node, 2, round=4))
    assert code(node.worker.handle(first.mask_step)) == "sum-refused"


def test_no_more_runs_are_held_than_there_is_room_for(node: Node) -> None:
    for number in range(MAX_OPEN):
        answer_of(node.worker.handle(pairwise_task(node, number + 1, run=f"run-{number}")))
    late = pairwise_task(node, 99, run="run-late")
    assert code(node.worker.handle(late)) == "node-busy"
    node.now = NOW + timedelta(minutes=5)
    later = instant(node.now + timedelta(minutes=5))
    fresh = pairwise_task(node, 100, run="run-late", issued=instant(node.now), expires=later)
    answer_of(node.worker.handle(fresh))


@pytest.mark.parametrize(
    "changes",
    [
        {"secure_sum": sum_of(key="5a" * 32)},
        {"secure_sum": sum_of(groups=2)},
        {"cohort": [one | {"sealing": "5a" * 32} for one in members()]},
    ],
    ids=["a key of governance's", "groups", "one sealing key for all"],
)
def test_a_permit_that_fits_no_pairwise_sum_is_refused(node: Node, changes: dict[str, Any]) -> None:
    assert code(node.worker.handle(pairwise_task(node, **changes))) == "permit-wrong-sum"


def test_another_sealing_key_than_the_permit_names_is_refused(node: Node) -> None:
    cohort = members()
    cohort[0]["sealing"] = "5a" * 32
    reply = node.worker.handle(pairwise_task(node, cohort=cohort))
    assert (code(reply), "enrolled keys of clinic-a" in text(reply)) == ("sum-refused", True)


def test_an_ordinary_message_does_not_mask_in_pairs(node: Node) -> None:
    task = replace(pairwise_task(node), step=None)
    assert code(node.worker.handle(task)) == "permit-wrong-sum"


def test_a_step_under_a_permit_without_pairs_is_refused(node: Node) -> None:
    task = replace(node.task(), step="share")
    assert code(node.worker.handle(task)) == "sum-refused"
