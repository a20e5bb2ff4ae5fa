"""One round of each of our secure sums, message by message, with a clock for each party."""

from __future__ import annotations

import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.consent_sum import ConsentRound, MaskHolder, mask_once
from policies import pairwise_opening as opening
from policies.envelope import key_id
from policies.fixedpoint import (
    Layout,
    Words,
    add_into,
    choose_scale,
    decode,
    encode,
    subtract_from,
    vector_bytes,
    vector_from_bytes,
    zeros,
)
from policies.flattening import flatten
from policies.masks import public_key
from policies.pairwise import PairwiseNode
from policies.pairwise_round import PairwiseRound, Peer
from policies.release import two_thirds
from policies.wide_integers import BLIND_BYTES, Head

PERMIT = "5a" * 32
Update = npt.NDArray[np.float32]


class Clock:
    """CPU seconds by whom, message bytes by client, and the clients that did not drop."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.carried: Counter[str] = Counter()
        self.finished: list[str] = []

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Counts what is done inside as theirs."""
        started = time.process_time()
        yield
        self.spent[who] += time.process_time() - started


class Round:
    """The updates of one round and how they are encoded; the same for both of ours."""

    def __init__(self, nodes: int, parameters: int) -> None:
        self.names = [f"node-{number:03}" for number in range(nodes)]
        self.parameters = parameters
        bound = Decimal(1)
        self.share = bound / nodes
        scale = choose_scale(bound=bound, members=nodes, word_bits=32)
        self.layout = Layout(("accuracy",), parameters, 32, scale)
        self.incoming = {"w": np.random.default_rng(1).normal(0, 0.1, parameters).astype("f4")}

    def update(self, name: str) -> Update:
        """A model after training; made anew each time, since fifty do not have to lie in memory."""
        generator = np.random.default_rng(self.names.index(name))
        step = generator.standard_normal(self.parameters, np.float32)
        step *= np.float32(1 / np.linalg.norm(step))
        return self.incoming["w"] + step

    def encoded(self, update: Update) -> Words:
        """Its vector, as a node's egress makes it."""
        head = Head(100, 10, {"accuracy": (10, Decimal("0.5"))})
        weight = float(self.share)
        body = flatten({"w": update}, self.incoming, weight)
        blind = secrets.token_bytes(BLIND_BYTES)
        return encode(self.layout, head, body, bound=self.share, blind=blind)

    def check(self, total: Words, names: list[str]) -> None:
        """The opened sum is that of the fixed-point vectors, as far as float64 tells."""
        expected = np.zeros(self.parameters)
        for name in names:
            expected += (self.update(name).astype("f8") - self.incoming["w"]) * float(self.share)
        head, body = decode(self.layout, total, len(names))
        worst = float(np.abs(body - expected).max())
        if head.rows_used != 100 * len(names) or worst > len(names) * 2.0**-self.layout.scale_bits:
            raise SystemExit(f"opened sum: expected the plain one, got one that is off by {worst}")


def consent_gated(of: Round, clock: Clock) -> None:
    """One round: each client masks, governance gives the sum of the masks, the server opens."""
    layout = of.layout
    terms = ConsentRound(
        space="example.org/bench",
        permit=PERMIT,
        products={name: f"urn:{name}" for name in of.names},
        least=2,
        words=layout.words,
        word_bits=32,
    )
    with clock.of("governance"):
        holder = MaskHolder(terms)
        key = holder.key
    total = zeros(layout.words, 32)
    for name in of.names:
        update = of.update(name)
        with clock.of(name):
            words = of.encoded(update)
            mask_key = mask_once(terms, name, key, words)
            sent = vector_bytes(words)
        with clock.of("governance"):
            holder.accept(name, mask_key)
        with clock.of("server"):
            add_into(total, vector_from_bytes(sent, layout))
        clock.carried[name] += len(sent) + len(mask_key)
        clock.finished.append(name)
    with clock.of("governance"):
        released = vector_bytes(holder.release(of.names))
    with clock.of("server"):
        subtract_from(total, vector_from_bytes(released, layout))
        decode(layout, total, len(of.names))
    of.check(total, of.names)


def pairwise(of: Round, clock: Clock, *, dropped: int) -> None:
    """One round; the last `dropped` share and then send nothing."""
    layout = of.layout
    terms, nodes = _nodes(of)
    shared = {}
    for name in of.names:
        with clock.of(name):
            message = nodes[name].share()
        with clock.of("server"):
            shared[name] = opening.verify_shared(terms, name, message)
        clock.carried[name] += len(message)
    with clock.of("server"):
        letters = opening.letters(terms, shared)
    total = zeros(layout.words, 32)
    here = of.names[: len(of.names) - dropped]
    for name in here:
        update = of.update(name)
        with clock.of(name):
            words = of.encoded(update)
            nodes[name].mask(letters[name], words)
            sent = vector_bytes(words)
        with clock.of("server"):
            add_into(total, vector_from_bytes(sent, layout))
        clock.carried[name] += len(letters[name]) + len(sent)
    with clock.of("server"):
        split = opening.split(terms, shared, here)
    agreed = []
    for name in here:
        with clock.of(name):
            message = nodes[name].agree(split)
        with clock.of("server"):
            agreed.append(opening.verify_agreement(terms, shared, split, name, message))
        clock.carried[name] += len(split) + len(message)
    with clock.of("server"):
        told = opening.agreements(terms, agreed)
    answers = {}
    for name in here:
        with clock.of(name):
            message = nodes[name].unmask(told)
        with clock.of("server"):
            answers[name] = opening.verify_answer(terms, split, name, message)
        clock.carried[name] += len(told) + len(message)
        clock.finished.append(name)
    with clock.of("server"):
        found = opening.join(terms, shared, split, answers)
        opening.remove_masks(terms, shared, found, total)
        decode(layout, total, len(here))
    of.check(total, here)


def _nodes(of: Round) -> tuple[PairwiseRound, dict[str, PairwiseNode]]:
    receipt_keys = {name: Ed25519PrivateKey.generate() for name in of.names}
    sealing_keys = {name: X25519PrivateKey.generate() for name in of.names}
    peers = tuple(
        Peer(name, key_id(receipt_keys[name].public_key()), public_key(sealing_keys[name]))
        for name in of.names
    )
    terms = PairwiseRound("example.org/bench", "run-1", 1, PERMIT, peers, two_thirds(len(peers)))
    nodes = {
        name: PairwiseNode(
            terms, name, receipt_key=receipt_keys[name], sealing_key=sealing_keys[name]
        )
        for name in of.names
    }
    return terms, nodes
