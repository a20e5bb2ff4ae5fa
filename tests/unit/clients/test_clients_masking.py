"""Leaving under a mask: what a permit may ask for, what the vector says, and that it is once only.

The permits are those of a governance whose private half the tests hold: `opened` takes the mask off
as only it could.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from test_clients_gate import APP, NOW, PERMIT_KEY, agreement, body
from test_clients_work import CANARY, MODEL, RECEIPT_KEY, UPDATE, Crash, Node, code

from clients.jobs import JobResult
from clients.tasks import Done, Task
from policies import masks
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.fixedpoint import decode, vector_from_bytes
from policies.permit import PermitBody, open_permit
from policies.receipt import Receipt, open_receipt
from policies.sumterms import layout_of, permit_sum
from policies.tensors import float_count, unpack_tensors
from policies.wide_integers import HeadSum

GOVERNANCE = X25519PrivateKey.from_private_bytes(b"g" * 32)
FLOATS = float_count(unpack_tensors(MODEL))
COHORT: list[Any] = [member.to_json() for member in body().cohort]
LOW_ORDER = "01" + "00" * 31


def sum_of(**changes: Any) -> dict[str, Any]:
    """What a permit of two members says, as governance chooses it."""
    terms = permit_sum(
        mode="governance",
        key=masks.public_key(GOVERNANCE),
        kind="train",
        metrics=["loss"],
        floats=FLOATS,
        clip_norm="4",
        privacy=None,
        members=2,
        groups=1,
    ).to_json()
    assert isinstance(terms, dict)
    return terms | changes


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement(permission=[{"action": "train"}, {"action": "evaluate"}]))
    yield node
    node.close()


def masked_task(node: Node, number: int = 1, **changes: Any) -> Task:
    return node.task(number, **({"clip_norm": "4", "secure_sum": sum_of()} | changes))


def permit_of(task: Task) -> PermitBody:
    return open_permit(task.permit, PERMIT_KEY.public_key()).body


def opened(task: Task, done: Done) -> tuple[HeadSum, np.ndarray[Any, Any]]:
    """What the vector says, for whoever has governance's private half."""
    permit, receipt = permit_of(task), receipt_of(done)
    layout = layout_of(permit)
    words = vector_from_bytes(done.update, layout).copy()
    key = masks.mask_key(
        GOVERNANCE,
        receipt.mask_key,
        permit=permit.digest(),
        space=permit.space,
        participant=receipt.participant,
        product=receipt.product,
    )
    masks.subtract_mask(words, key)
    return decode(layout, words, 1)


def egress(node: Node) -> dict[str, Any]:
    said: Any = node.entries()[-1].body["egress"]
    assert isinstance(said, dict)
    return said


def receipt_of(done: Done) -> Receipt:
    return open_receipt(done.receipt, RECEIPT_KEY.public_key())


def test_an_update_leaves_as_words_that_governance_alone_can_read(node: Node) -> None:
    task = masked_task(node)
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    assert (head.rows_used, head.rows_held_back) == (4, 1)
    assert head.means() == {"loss": "0.5"}
    # 4 of the cohort's 200 registered rows, and an update of ones, within the norm of 4.
    assert numbers == pytest.approx(np.full(FLOATS, 4 / 200), abs=1e-8)


def test_the_receipt_has_the_vectors_digest_and_key_and_no_figure(node: Node) -> None:
    done = node.worker.handle(masked_task(node))
    assert isinstance(done, Done)
    receipt = receipt_of(done)
    assert receipt.update == sha256_hex(done.update)
    assert receipt.metrics == {}
    assert (receipt.clip_norm, receipt.noise) == ("4", "")
    masks.parse_public_key(receipt.mask_key)


def test_the_own_log_says_that_it_left_masked_and_what_the_app_could_choose(node: Node) -> None:
    assert isinstance(node.worker.handle(masked_task(node)), Done)
    assert egress(node) == {
        "clip_norm": "4",
        "clipped": False,
        "masked": True,
        "figures": {"loss": "0.5"},
        "update_bytes": 4 * FLOATS,
        "metric_bits": 19,
        "metric_digits": 4,
    }


def test_an_update_is_clipped_before_it_is_encoded(node: Node) -> None:
    node.runner.result = JobResult({"weight": 100 * UPDATE["weight"]}, {}, "")
    task = masked_task(node)
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    assert np.linalg.norm(numbers) == pytest.approx(4 * 4 / 200, abs=1e-6)
    assert head.figures["loss"] == (0, Fraction(0))
    assert egress(node)["clipped"] is True


def test_an_evaluation_sends_the_head_only(node: Node) -> None:
    node.runner.result = JobResult(None, {"loss": 1.0, "eval_loss": 0.25}, "")
    terms = permit_sum(
        mode="governance",
        key=masks.public_key(GOVERNANCE),
        kind="evaluate",
        metrics=["loss", "eval_loss"],
        floats=FLOATS,
        clip_norm="4",
        privacy=None,
        members=2,
        groups=1,
    ).to_json()
    names = ["loss", "eval_loss"]
    task = masked_task(node, kind="evaluate", metrics=names, secure_sum=terms)
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    assert (head.rows_used, head.rows_held_back, numbers.size) == (0, 1, 0)
    # Nothing was trained on, so a figure of the training has no rows to stand for.
    assert head.means() == {"eval_loss": "0.25"}
    assert receipt_of(done).metrics == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secure_sum": sum_of(key=LOW_ORDER)}, "one of low order"),
        ({"secure_sum": sum_of(key="0" * 64)}, "one of low order"),
        ({"secure_sum": sum_of(key="f" * 64)}, "a number below 2"),
        ({"secure_sum": sum_of(key="")}, "expected 64 digits"),
        ({"secure_sum": sum_of(words=sum_of()["words"] + 1)}, "for this model"),
        ({"secure_sum": sum_of(words=sum_of()["words"] - 1)}, "for this model"),
        ({"secure_sum": sum_of(words=1)}, "expected 0 to"),
        ({"secure_sum": sum_of(scale_bits=sum_of()["scale_bits"] + 1)}, "can overflow"),
        ({"secure_sum": sum_of(), "clip_norm": "8"}, "can overflow"),
        ({"secure_sum": sum_of(), "clip_norm": ""}, "clip_norm: expected a bound"),
        ({"secure_sum": sum_of(), "metrics": []}, "for this model"),
        ({"secure_sum": sum_of(), "metrics": ["a", "loss"]}, "expected 0 to"),
        ({"secure_sum": sum_of(), "kind": "evaluate"}, "for this model"),
        ({"secure_sum": sum_of(groups=2)}, "a sum of one hides nothing"),
        ({"secure_sum": sum_of(groups=3)}, "a sum of one hides nothing"),
        ({"secure_sum": sum_of(), "cohort": COHORT[:1]}, "a sum of one hides nothing"),
        ({"secure_sum": sum_of(), "min_cohort": 1}, "a sum of one hides nothing"),
        ({"secure_sum": sum_of(mode="pairwise", key="")}, "a sealing of each one's own"),
    ],
)
def test_a_permit_that_would_give_an_update_away_is_refused_before_anything_runs(
    node: Node, changes: dict[str, Any], words: str
) -> None:
    reply = node.worker.handle(masked_task(node, **changes))
    assert code(reply) == "permit-wrong-sum"
    assert words in reply.text  # type: ignore[union-attr]
    assert node.runner.jobs == []
    assert node.types() == ["UseRefused"]
    assert node.state.uses(limit=9) == []


def test_a_coarser_scale_than_the_finest_is_as_good(node: Node) -> None:
    """64-bit words, or fewer bits of scale, are governance's choice: no sum overflows."""
    for number, changes in enumerate([{"scale_bits": 8}, {"word_bits": 64}], 1):
        task = masked_task(node, number, secure_sum=sum_of(**changes))
        done = node.worker.handle(task)
        assert isinstance(done, Done)
        assert opened(task, done)[1] == pytest.approx(np.full(FLOATS, 0.02), abs=1 / 256)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The public halves of all keys that masks are made with."""
    keys: list[str] = []
    fresh = masks.new_private_key

    def counted() -> X25519PrivateKey:
        private = fresh()
        keys.append(masks.public_key(private))
        return private

    monkeypatch.setattr(masks, "new_private_key", counted)
    return keys


@pytest.mark.parametrize(
    ("step", "once"),
    [("recorded", 0), ("ran", 0), ("checked", 1), ("receipted", 1), ("finished", 1), ("", 1)],
)
def test_one_permit_is_for_one_mask_whatever_crashes(
    node: Node, made: list[str], step: str, once: int
) -> None:
    task = masked_task(node)
    node.crash_at = step
    if step:
        with pytest.raises(Crash):
            node.worker.handle(task)
    else:
        assert isinstance(node.worker.handle(task), Done)
    for _ in range(3):
        node.restart()
        node.worker.recover()
        assert code(node.worker.handle(task)) == "permit-replayed"
    assert len(made) == once


def test_two_uses_have_no_mask_in_common(node: Node, made: list[str]) -> None:
    """The same update leaves as other words each time, none like the encoding."""
    tasks = [masked_task(node, number) for number in (1, 2)]
    first, second = (node.worker.handle(task) for task in tasks)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert len(set(made)) == 2
    layout = layout_of(permit_of(tasks[0]))
    words = [vector_from_bytes(done.update, layout) for done in (first, second)]
    assert np.count_nonzero(words[0] == words[1]) == 0
    for task, done in zip(tasks, (first, second), strict=True):
        assert opened(task, done)[1] == pytest.approx(np.full(FLOATS, 0.02), abs=1e-8)


def test_neither_key_nor_mask_nor_update_is_left_on_the_disk(
    node: Node, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[bytes] = []
    real = masks.mask_key

    def watched(private: X25519PrivateKey, public: str, **names: str) -> bytes:
        key = real(private, public, **names)
        derived.extend([key, private.private_bytes_raw()])
        return key

    monkeypatch.setattr(masks, "mask_key", watched)
    done = node.worker.handle(masked_task(node))
    assert isinstance(done, Done)
    assert len(derived) == 2
    stored = b"".join(p.read_bytes() for p in node.folder.rglob("*") if p.is_file())
    for secret in [*derived, done.update[:64]]:
        assert secret not in stored
        assert secret.hex().encode() not in stored
    assert made[0].encode() in stored  # the public half, in the receipt


def test_who_withdraws_after_the_mask_was_made_sends_nothing(node: Node) -> None:
    node.at["receipted"] = node.withdraw
    assert code(node.worker.handle(masked_task(node))) == "consent-withdrawn"
    assert [use.outcome for use in node.state.uses(limit=9)] == ["withdrawn"]


def test_a_figure_too_large_for_the_sum_is_refused_without_its_value(node: Node) -> None:
    node.runner.result = JobResult(dict(UPDATE), {"loss": 1e12}, CANARY)
    reply = node.worker.handle(masked_task(node))
    assert code(reply) == "egress-refused"
    assert Decimal("1e12").to_eng_string() not in reply.text  # type: ignore[union-attr]
