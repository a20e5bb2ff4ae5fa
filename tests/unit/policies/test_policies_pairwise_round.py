"""The cohort and the threshold of a pairwise round, and what of a permit gives them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pairwise_site import PairwiseSite

from policies.errors import SecureSumError, UnknownPeer
from policies.pairwise_messages import MAX_MESSAGE_BYTES, Letter, Letters, OneTimeKeys
from policies.pairwise_round import MAX_MEMBERS, PairwiseRound, Peer
from policies.permit import PermitBody
from policies.release import two_thirds

TERMS = PairwiseSite(members=4, threshold=3).terms
PEERS = TERMS.peers


def _many(count: int) -> tuple[Peer, ...]:
    return tuple(Peer(f"n{one:05}", f"{one:064x}", f"{one + 1:064x}") for one in range(count))


@pytest.mark.parametrize(
    ("peers", "threshold", "match"),
    [
        ((), 1, "cohort"),
        (PEERS[:1], 1, "that one's update"),
        (_many(MAX_MEMBERS + 1), MAX_MEMBERS, "cohort"),
        (PEERS, 2, "more than half"),
        (PEERS, 0, "more than half"),
        (PEERS, 5, "at most all"),
        (PEERS[::-1], 3, "ascending"),
        ((*PEERS[:3], PEERS[2]), 3, "each participant once"),
        ((*PEERS[:3], replace(PEERS[3], key=PEERS[0].key)), 3, "a key of each"),
        ((*PEERS[:3], replace(PEERS[3], sealing=PEERS[0].sealing)), 3, "a sealing of each"),
        ((*PEERS[:3], replace(PEERS[3], participant="x\0y")), 3, "zero byte"),
    ],
)
def test_cohorts_that_cannot_be(peers: tuple[Peer, ...], threshold: int, match: str) -> None:
    with pytest.raises(SecureSumError, match=match):
        replace(TERMS, peers=peers, threshold=threshold)


@pytest.mark.parametrize(
    ("members", "threshold"), [(2, 2), (3, 3), (4, 3), (7, 5), (10, 7), (50, 34)]
)
def test_more_than_two_thirds(members: int, threshold: int) -> None:
    assert two_thirds(members) == threshold
    assert 2 * threshold > members


def test_peers_are_found_by_name() -> None:
    assert [TERMS.peer(name) for name in TERMS.names] == list(PEERS)
    for stranger in ("", "node-0", "node-000", "zzz"):
        with pytest.raises(UnknownPeer, match="cohort"):
            TERMS.peer(stranger)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": "example.org/other"},
        {"run": "run-2"},
        {"round": 4},
        {"permit": "a5" * 32},
        {"threshold": 4},
    ],
)
def test_a_statement_is_of_one_round(changes: dict[str, object]) -> None:
    other = replace(TERMS, **changes)  # type: ignore[arg-type]
    assert other.statement(b"x", a="1") != TERMS.statement(b"x", a="1")
    assert TERMS.statement(b"x", a="1") != TERMS.statement(b"y", a="1")


def _permit(**changes: object) -> PermitBody:
    """A permit with pairwise masks of these four peers, its cohort in another order."""
    members = [
        {
            "participant": peer.participant,
            "product": "p",
            "agreement": "a",
            "key": peer.key,
            "report": "e" * 64,
            "max_rows": 10,
            "metered_s": 60,
            "epsilon": "0",
            "pays": "0",
            "duties": [],
            "sealing": peer.sealing,
        }
        for peer in reversed(PEERS)
    ]
    zeros = "0" * 64
    body = {
        "version": 1,
        "id": "permit-" + "0" * 32,
        "space": "example.org/space",
        "run": "run-1",
        "flower_run": "1",
        "round": 3,
        "attempt": 1,
        "kind": "train",
        "consumer": "consortium",
        "consumer_sector": "",
        "consumer_region": "",
        "purpose": "research",
        **dict.fromkeys(("app", "config", "model", "architecture", "decision"), zeros),
        "metrics": [],
        "clip_norm": "1",
        "secure_sum": SUM,
        "privacy": None,
        "cohort": members,
        "min_cohort": 2,
        "voucher": "",
        "limits": {"wall_s": 60, "memory_bytes": 1 << 30, "accelerator": "none"},
        "issued": "2026-01-31T08:00:00.000Z",
        "expires": "2026-01-31T08:05:00.000Z",
    }
    return PermitBody.from_json(body | changes)  # type: ignore[arg-type]


SUM = {
    "mode": "pairwise",
    "key": "",
    "word_bits": 32,
    "scale_bits": 20,
    "words": 100,
    "groups": 1,
}
PRIVACY = {
    "unit": "record",
    "parts": 4,
    "sample": "1",
    "noise": "2",
    "by": "nodes",
    "tolerated": 0,
    "delta": "0.00001",
}


def test_the_round_of_a_permit() -> None:
    body = _permit()
    found = PairwiseRound.of_permit(body)
    assert found.peers == PEERS
    assert (found.space, found.run, found.round) == (body.space, body.run, body.round)
    assert found.permit == body.digest()


@pytest.mark.parametrize(
    ("changes", "threshold"),
    [
        ({}, 3),
        ({"min_cohort": 4}, 4),
        ({"privacy": PRIVACY}, 4),
        ({"privacy": PRIVACY | {"tolerated": 2}}, 3),
    ],
)
def test_the_threshold_is_the_largest_that_anything_asks_for(
    changes: dict[str, object], threshold: int
) -> None:
    assert PairwiseRound.of_permit(_permit(**changes)).threshold == threshold


@pytest.mark.parametrize("secure_sum", [None, SUM | {"mode": "governance", "key": "9" * 64}])
def test_a_permit_with_other_masks_has_none(secure_sum: object) -> None:
    with pytest.raises(SecureSumError, match="pairwise"):
        PairwiseRound.of_permit(_permit(secure_sum=secure_sum))


def test_a_permit_that_needs_more_than_its_cohort_is_refused() -> None:
    with pytest.raises(SecureSumError, match="at most all"):
        PairwiseRound.of_permit(_permit(min_cohort=5))


def test_the_largest_cohort_fits_into_a_message() -> None:
    keys = OneTimeKeys(
        participant="a" * 63,
        **dict.fromkeys(("receipt_key", "mask_key", "share_key", "seed_digest"), "f" * 64),
        signature="f" * 128,
    )
    letter = Letter(keys=keys, shares="f" * 164)
    told = Letters(
        version=1, permit="f" * 64, receiver="a" * 63, letters=[letter] * (MAX_MEMBERS - 1)
    )
    data = told.to_bytes()
    assert len(data) <= MAX_MESSAGE_BYTES
    assert Letters.parse(data, permit="f" * 64) == told
