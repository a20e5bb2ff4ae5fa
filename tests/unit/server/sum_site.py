"""Masked rounds without a network: nodes that mask, and an aggregator that opens what it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from server_site import CONSUMER, Node, Site

from policies.canonical import parse_json, sha256_hex
from policies.fixedpoint import Layout, decode, encode
from policies.masks import add_mask, mask_key
from policies.permit import PermitBody
from policies.receipt import sign_receipt
from policies.release import MaskRelease
from policies.sumterms import layout_of
from policies.wide_integers import Head
from policies.words import Words, subtract_from, zeros
from server.pki import Identity
from server.receipt_checks import Arrived
from server.rounds import RoundAnswer

BLIND = bytes(16)


@dataclass(frozen=True, slots=True)
class Opened:
    """A release as its caller got it: the log's words, and each group's sum of masks."""

    release: MaskRelease
    sums: tuple[bytes, ...]


def masked_run(site: Site, request_id: str = "run-1", **changes: Any) -> str:
    """A run whose sums are gated by consent."""
    values: dict[str, Any] = {"secure_sum": "governance", "clip_norm": "1.5", "min_cohort": 2}
    return site.open_run(request_id, **(values | changes))


def vector(site: Site, permit: PermitBody, node: Node) -> Words:
    """The plain vector of a node: rows 80 and 20, and numbers that are its own."""
    layout = layout_of(permit)
    own = np.full(layout.floats, sum(node.name.encode()) / 10_000)
    head = Head(rows_used=80, rows_held_back=20, figures={"loss": (20, Decimal("0.5"))})
    return encode(layout, head, [own], bound=Decimal(1), blind=BLIND)


def masked(site: Site, permit: PermitBody, node: Node) -> Words:
    """What the node sends."""
    assert permit.secure_sum is not None
    site.mask_key(permit, node)
    key = mask_key(
        site.mask_keys[permit.id, node.name],
        permit.secure_sum.key,
        permit=permit.digest(),
        space=permit.space,
        participant=node.name,
        product=node.product,
    )
    words = vector(site, permit, node)
    add_mask(words, key)
    return words


def send(site: Site, answer: RoundAnswer, *names: str, **changes: Any) -> list[Any]:
    """Receipts for masked updates, submitted; all nodes' unless some are named."""
    permit = site.permit(answer).body
    arrived = []
    for name in names or sorted(site.nodes):
        node = site.nodes[name]
        update = sha256_hex(masked(site, permit, node).tobytes())
        receipt = site.receipt(answer, node, **({"update": update} | changes))
        arrived.append(Arrived(node.node_id, sign_receipt(receipt, node.receipt), update))
    return site.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, [])


def release(site: Site, answer: RoundAnswer, caller: Identity = CONSUMER) -> Opened:
    """The masks of a round, as the consumer gets them."""
    with site.governance.releases.release(caller, answer.permit_id) as found:
        pieces = list(found.pieces())
        document = MaskRelease.from_json(parse_json(found.document, max_bytes=1 << 20))
    groups = [b"".join(data for at, data in pieces if at == n) for n in range(len(found.sums))]
    return Opened(document, tuple(groups))


def open_sum(
    site: Site, answer: RoundAnswer, opened: Opened, number: int = 0
) -> tuple[Layout, Words]:
    """The sum of a released group's vectors, as an aggregator that has them all opens it."""
    permit = site.permit(answer).body
    layout = layout_of(permit)
    total = zeros(layout.words, layout.word_bits)
    for name in opened.release.groups[number]:
        total += masked(site, permit, site.nodes[name])
    subtract_from(total, np.frombuffer(opened.sums[number], total.dtype))
    return layout, total


def plain_sum(site: Site, answer: RoundAnswer, names: Sequence[str]) -> Words:
    """The same without any mask."""
    permit = site.permit(answer).body
    layout = layout_of(permit)
    total = zeros(layout.words, layout.word_bits)
    for name in names:
        total += vector(site, permit, site.nodes[name])
    return total


def rows_of(site: Site, answer: RoundAnswer, opened: Opened) -> int:
    """How many rows an opened sum tells of."""
    layout, total = open_sum(site, answer, opened)
    head, _ = decode(layout, total, len(opened.release.groups[0]))
    return head.rows_used
