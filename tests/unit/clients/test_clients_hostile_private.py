"""An app that cheats in a private use, by a real worker in the real sandbox: what a row moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hostile_node import SECRET, HostileNode, hostile_node
from test_clients_masking import opened
from test_clients_work_private import METRIC, TERMS, private_sum_terms

from clients.selection import Selection
from clients.tasks import Done
from policies.fixedpoint import Floats

CLIP = "4"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileNode]:
    with hostile_node(tmp_path_factory.mktemp("private")) as node:
        yield node


def terms_of(**terms: Any) -> dict[str, Any]:
    return private_sum_terms(**terms) | {"metrics": [METRIC]}


def summed(node: HostileNode, do: str, **terms: Any) -> Floats:
    """What governance can open of an attack's vector; there is no noise in it yet."""
    task = node.task(do, clip_norm=CLIP, terms=terms_of(**terms))
    done = node.outcome(task)
    assert isinstance(done, Done), done
    return opened(task, done)[1]


def without_one_row(node: HostileNode, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = node.materials.select("", purpose="", now=datetime.min)
    rows = replace(whole.rows, features=whole.rows.features[1:], labels=whole.rows.labels[1:])
    states = whole.states.copy()
    states[0] = 0
    left = replace(whole, rows=rows, states=states)

    def select(product: str, *, purpose: str, now: datetime) -> Selection:
        return left

    monkeypatch.setattr(node.materials, "select", select)


@pytest.mark.parametrize("parts", [4, 2])
def test_a_rows_raw_values_in_every_parts_update_move_the_sum_by_clip_norm(
    node: HostileNode, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """Each row holds 47.1108; the app returns it as every weight. With several rows in a part the
    app could do more than leave it out, and each part is held to half."""
    whole = summed(node, "rows-as-weights", parts=parts)
    if parts == 4:
        assert np.linalg.norm(whole) == pytest.approx(float(CLIP) * 4, rel=1e-3)
    assert np.float32(SECRET) not in whole.astype(np.float32)
    without_one_row(node, monkeypatch)
    less = summed(node, "rows-as-weights", parts=parts)
    assert np.linalg.norm(whole - less) <= float(CLIP)
    if parts == 4:
        assert np.linalg.norm(whole - less) == pytest.approx(float(CLIP), rel=1e-3)


@pytest.mark.parametrize(
    "do",
    [
        "nan",
        "shape",
        "more-layers",
        "segfault",
        "noise",
        "forged-refusal",
        "forged-frame",
        "gigabyte",
    ],
)
def test_whatever_an_app_does_instead_of_answering_is_a_zero(node: HostileNode, do: str) -> None:
    assert summed(node, do).tolist() == [0.0] * 6


def test_an_app_that_never_ends_takes_no_more_than_its_slots(node: HostileNode) -> None:
    task = node.task("spin", wall_s=4, clip_norm=CLIP, terms=terms_of())
    done = node.outcome(task)
    assert isinstance(done, Done), done
    assert opened(task, done)[1].tolist() == [0.0] * 6


def test_parts_keep_nothing_for_each_other(node: HostileNode) -> None:
    """An update of ones from each of the four parts; what `remember` finds stays, as its figure."""
    found = summed(node, "remember")
    assert found == pytest.approx(np.full(6, 4.0), abs=1e-3)
    assert TERMS["by"] == "governance"
