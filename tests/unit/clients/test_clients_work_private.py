"""Private uses through the worker: what leaves, what the receipt and the own log say of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_clients_gate import APP, NOW, agreement
from test_clients_masking import FLOATS, GOVERNANCE, egress, opened, receipt_of
from test_clients_work import CANARY, Node, code

from clients.declared import UNDECLARED, Declaration, Range
from clients.errors import AppFailed
from clients.jobs import JobResult
from clients.sdk import Rows
from clients.tasks import Done, Task
from policies import masks
from policies.fields import instant
from policies.privacy import Privacy
from policies.sumterms import permit_sum

METRIC = "eval_loss"
TERMS: dict[str, Any] = {
    "unit": "record",
    "parts": 16,
    "sample": "1",
    "noise": "2",
    "by": "governance",
    "tolerated": 0,
    "delta": "0.00001",
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.state.approve_app(APP, time=instant(NOW))
    node.consent(agreement(permission=[{"action": "train"}, {"action": "evaluate"}]))
    yield node
    node.close()


def private_sum_terms(kind: str = "train", **terms: Any) -> dict[str, Any]:
    """What a permit says of privacy, and of the secure sum that governance chooses for it."""
    privacy = Privacy.from_json(TERMS | terms)
    how = permit_sum(
        mode="governance",
        key=masks.public_key(GOVERNANCE),
        kind="train" if kind == "train" else "evaluate",
        metrics=[METRIC],
        floats=FLOATS,
        clip_norm="4",
        privacy=privacy,
        members=2,
        groups=1,
    )
    return {"secure_sum": how.to_json(), "privacy": privacy.to_json()}


def private_task(node: Node, number: int = 1, *, kind: str = "train", **terms: Any) -> Task:
    return node.task(
        number, kind=kind, clip_norm="4", metrics=[METRIC], **private_sum_terms(kind, **terms)
    )


def test_a_sum_of_clipped_parts_leaves_and_no_figure(node: Node) -> None:
    """Four rows to train on, each a part; the fake's update is one of norm sqrt(6), within 4."""
    task = private_task(node)
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    assert (head.rows_used, head.rows_held_back, head.means()) == (4, 1, {})
    assert numbers == pytest.approx(np.full(FLOATS, 4.0), abs=1e-4)
    assert [len(job.rows.labels) for job in node.runner.jobs] == [1] * 4
    assert [len(job.rows.held_out_labels) for job in node.runner.jobs] == [0] * 4
    receipt = receipt_of(done)
    assert (receipt.noise, receipt.clip_norm, receipt.metrics) == ("2", "4", {})
    assert (receipt.rows_used, receipt.rows_held_back) == (4, 1)
    assert egress(node) == {
        "clip_norm": "4",
        "noise": "2",
        "masked": True,
        "figures": {},
        "update_bytes": 4 * FLOATS,
        "metric_bits": 0,
        "metric_digits": 4,
    }


def test_a_nodes_share_of_the_noise_is_in_it(node: Node) -> None:
    """2 * 4 / sqrt(2) in each number."""
    found = []
    for number in range(1, 31):
        task = private_task(node, number, by="nodes")
        done = node.worker.handle(task)
        assert isinstance(done, Done)
        found.append(opened(task, done)[1])
    noise = np.array(found) - 4.0
    assert np.std(noise) == pytest.approx(8 / np.sqrt(2), rel=0.25)
    assert abs(noise.mean()) < 2


def test_an_app_keeps_nothing_between_private_uses(node: Node) -> None:
    node.runner.result = JobResult({"weight": np.ones((2, 3), dtype=np.float32)}, {}, "", b"")
    assert isinstance(node.worker.handle(private_task(node)), Done)
    assert [job.state for job in node.runner.jobs] == [None] * 4


def test_parts_that_fail_are_told_to_the_owner_alone(node: Node) -> None:
    """The answer is that of an app that returned the model as it came; it says nothing of rows."""
    node.runner.result = AppFailed("the app raised ValueError", detail=CANARY)
    task = private_task(node)
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    assert (head.rows_used, numbers.tolist()) == (4, [0.0] * FLOATS)
    assert "4 parts that count as zeros: 4 AppFailed" in node.details[0]
    assert CANARY in node.details[0]
    logged = b"\n".join(node.log.entries(0, node.log.size))
    assert CANARY.encode() not in logged + done.receipt
    assert b"AppFailed" not in logged
    assert node.types()[-1] == "UseReceipted"


def test_figures_of_an_evaluation_are_in_the_noisy_sum(node: Node) -> None:
    node.runner.result = JobResult(None, {METRIC: 1.5}, "")
    node.materials.declaration = lambda app: Declaration(  # type: ignore[method-assign]
        metrics={METRIC: Range(least=0, most=2)}
    )
    task = private_task(node, kind="evaluate")
    done = node.worker.handle(task)
    assert isinstance(done, Done)
    head, numbers = opened(task, done)
    # One row held back: half of the way from the middle 1 to 2, of a norm of 4.
    assert numbers.tolist() == pytest.approx([2.0], abs=1e-3)
    assert head.figures[METRIC] == (1024, Fraction(1024))
    assert receipt_of(done).metrics == {}


@pytest.mark.parametrize(
    ("terms", "kind", "words"),
    [
        ({"unit": "subject"}, "train", "a product with a column of subjects"),
        ({}, "evaluate", "metric 'eval_loss': expected an app that declares"),
    ],
)
def test_what_the_permit_or_the_product_lacks_is_refused_before_the_app_runs(
    node: Node, terms: dict[str, Any], kind: str, words: str
) -> None:
    reply = node.worker.handle(private_task(node, kind=kind, **terms))
    assert code(reply) in ("product-unreadable", "egress-refused")
    assert words in str(reply)
    assert node.runner.jobs == []
    assert node.materials.declaration(APP) is UNDECLARED


def test_who_withdraws_meanwhile_ends_the_use(node: Node) -> None:
    runs: list[Rows] = []

    def withdrawing(job: Any, *, cancelled: Any = None) -> JobResult:
        runs.append(job.rows)
        node.withdraw()
        return JobResult({"weight": np.ones((2, 3), dtype=np.float32)}, {}, "")

    node.runner.run = withdrawing  # type: ignore[method-assign]
    reply = node.worker.handle(private_task(node))
    assert code(reply) == "consent-withdrawn"


def test_how_long_parts_took_shows_in_half_octaves_only(node: Node) -> None:
    answer = node.runner.run

    def slow(job: Any, *, cancelled: Any = None) -> JobResult:
        node.now += timedelta(seconds=0.35)
        return answer(job, cancelled=cancelled)

    node.runner.run = slow  # type: ignore[method-assign]
    begun = time.monotonic()
    assert isinstance(node.worker.handle(private_task(node)), Done)
    assert time.monotonic() - begun > 0.1  # from 1.4 s to 1.5 s


def test_who_withdraws_while_a_use_is_held_ends_it(node: Node) -> None:
    answer = node.runner.run

    def slow(job: Any, *, cancelled: Any = None) -> JobResult:
        node.now += timedelta(seconds=8.5)
        if len(node.runner.jobs) == 3:
            threading.Timer(0.3, lambda: (node.withdraw(), node.worker.recheck())).start()
        return answer(job, cancelled=cancelled)

    node.runner.run = slow  # type: ignore[method-assign]
    begun = time.monotonic()
    assert code(node.worker.handle(private_task(node))) == "consent-withdrawn"
    assert time.monotonic() - begun < 10  # it would have been held from 34 s to 48 s
