"""A node in a pairwise round: what opens, and each fault refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pairwise_site import PairwiseSite, changed, flipped

from policies import pairwise_opening as opening
from policies.canonical import canonical_bytes
from policies.errors import (
    BothSharesAsked,
    DocumentError,
    KeyRepeated,
    MaskKeyError,
    NotASurvivor,
    NotSigned,
    OutOfTurn,
    PolicyError,
    SecondOpening,
    SecureSumError,
    ShareMalformed,
    ShareNotOpened,
    TooFew,
    UnknownPeer,
    WrongPermit,
)
from policies.masks import public_key
from policies.pairwise_messages import OneTimeKeys
from policies.pairwise_secrets import keys_statement, seal_shares
from policies.privacy import WordBits
from policies.shamir import PRIME

ME, A, B, C = "node-00", "node-01", "node-02", "node-03"
LOW_ORDER = "01" + "00" * 31


@pytest.fixture
def site() -> PairwiseSite:
    return PairwiseSite()


@pytest.mark.parametrize("word_bits", [32, 64])
@pytest.mark.parametrize(
    ("shared", "sent", "answering"),
    [
        ("0123", "0123", "0123"),
        ("0123", "0123", "123"),
        ("0123", "012", "012"),
        ("0123", "123", "123"),
        ("012", "012", "012"),
        ("123", "123", "123"),
    ],
)
def test_the_sum_of_those_who_sent_opens(
    word_bits: WordBits, shared: str, sent: str, answering: str
) -> None:
    site = PairwiseSite(word_bits=word_bits)
    who = {digit: f"node-0{digit}" for digit in "0123"}
    site.share(who[one] for one in shared)
    site.mask(who[one] for one in sent)
    opened = site.opened(who[one] for one in answering)
    assert np.array_equal(opened, site.expected(who[one] for one in sent))


def test_a_masked_vector_is_not_the_plain_one(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    for name in site.names:
        assert np.mean(site.sent[name] == site.plain[name]) < 0.02


def test_without_answers_the_sum_stays_masked(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    assert np.mean(site.total() == site.expected(site.names)) < 0.02


@pytest.mark.parametrize("members", [2, 3, 7, 20])
def test_cohorts_of_any_size(members: int) -> None:
    site = PairwiseSite(members=members, threshold=2 * members // 3 + 1)
    site.share()
    site.mask(site.names[-site.threshold :])
    assert np.array_equal(site.opened(), site.expected(site.names[-site.threshold :]))


def test_two_permits_have_no_mask_in_common() -> None:
    one = PairwiseSite()
    other = PairwiseSite(
        permit="a5" * 32, receipt_keys=one.receipt_keys, sealing_keys=one.sealing_keys
    )
    for site in (one, other):
        site.share()
        site.mask()
    assert np.mean(one.sent[ME] == other.sent[ME]) < 0.02


Change = Callable[[dict[str, Any]], object]


def _keys(number: int = 0) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: told["letters"][number]["keys"]


def _set(field: str, value: str | Callable[[str], str]) -> Change:
    def change(told: dict[str, Any]) -> None:
        keys = told["letters"][0]["keys"]
        keys[field] = value if isinstance(value, str) else value(keys[field])

    return change


LETTERS: dict[str, tuple[Change, type[PolicyError]]] = {
    "another permit": (lambda told: told.update(permit="11" * 32), WrongPermit),
    "another receiver": (lambda told: told.update(receiver=A), UnknownPeer),
    "fewer than the threshold": (lambda told: told["letters"].__delitem__(slice(1, 3)), TooFew),
    "nobody": (lambda told: told["letters"].clear(), TooFew),
    "one twice": (lambda told: told["letters"].append(told["letters"][-1]), UnknownPeer),
    "another order": (lambda told: told["letters"].reverse(), UnknownPeer),
    "a stranger": (_set("participant", "node-0"), UnknownPeer),
    "a stranger's receipt key": (
        _set("receipt_key", Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()),
        NotSigned,
    ),
    "a signature that does not hold": (_set("signature", flipped), NotSigned),
    "another mask key": (_set("mask_key", public_key(X25519PrivateKey.generate())), NotSigned),
    "another share key": (_set("share_key", public_key(X25519PrivateKey.generate())), NotSigned),
    "another seed": (_set("seed_digest", flipped), NotSigned),
    "another's keys": (
        lambda told: told["letters"][0].update(keys=dict(told["letters"][1]["keys"])),
        UnknownPeer,
    ),
    "a share that was altered": (
        lambda told: told["letters"][0].update(shares=flipped(told["letters"][0]["shares"])),
        ShareNotOpened,
    ),
    "another's share": (
        lambda told: told["letters"][0].update(shares=told["letters"][1]["shares"]),
        ShareNotOpened,
    ),
    "a field more": (lambda told: told.update(more=1), DocumentError),
    "a short share": (lambda told: told["letters"][0].update(shares="00"), DocumentError),
    "another version": (lambda told: told.update(version=2), DocumentError),
}


@pytest.mark.parametrize("fault", LETTERS)
def test_letters_with_a_fault_are_refused_by_name(site: PairwiseSite, fault: str) -> None:
    change, error = LETTERS[fault]
    site.share()
    good = site.letters()[ME]
    words = site.plain[ME].copy()
    with pytest.raises(error):
        site.nodes[ME].mask(changed(good, change), words)
    assert np.array_equal(words, site.plain[ME])
    site.mask()  # its state is as before: the right letters are still taken
    assert np.array_equal(site.opened(), site.expected(site.names))


def test_letters_can_be_looked_at_before_anything_is_masked(site: PairwiseSite) -> None:
    site.share()
    told, node = site.letters(), site.nodes["node-00"]
    with pytest.raises(UnknownPeer):
        node.check(told["node-01"])
    for _ in range(2):  # nothing changes by it
        node.check(told["node-00"])
    site.mask()
    with pytest.raises(OutOfTurn):
        node.check(told["node-00"])
    assert (site.opened() == site.expected(site.names)).all()


def test_letters_must_be_canonical_and_bounded(site: PairwiseSite) -> None:
    site.share()
    good = site.letters()[ME]
    for data in (b"", good + b" ", b" " * (2 << 20), b"[]"):
        with pytest.raises(DocumentError):
            site.nodes[ME].mask(data, site.plain[ME].copy())


def _signed(site: PairwiseSite, name: str, told: dict[str, Any], **fields: str) -> None:
    """A peer's letter, as a peer would sign it that does not follow the protocol."""
    number = [one["keys"]["participant"] for one in told["letters"]].index(name)
    keys = OneTimeKeys.from_json(told["letters"][number]["keys"] | fields)
    signature = site.receipt_keys[name].sign(keys_statement(site.terms, keys)).hex()
    told["letters"][number]["keys"] = keys.to_json() | {"signature": signature}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"mask_key": LOW_ORDER}, MaskKeyError),
        ({"mask_key": "00" * 32}, MaskKeyError),
        ({"mask_key": "ff" * 32}, MaskKeyError),
        ({"share_key": LOW_ORDER}, MaskKeyError),
    ],
)
def test_a_signed_key_of_low_order_is_refused(
    site: PairwiseSite, fields: dict[str, str], error: type[PolicyError]
) -> None:
    site.share()
    once = X25519PrivateKey.generate()

    def change(told: dict[str, Any]) -> None:
        if "mask_key" in fields:
            fields["share_key"] = public_key(once)
        _signed(site, A, told, **fields)
        keys = OneTimeKeys.from_json(told["letters"][0]["keys"])
        told["letters"][0]["shares"] = seal_shares(
            site.terms, keys, ME, bytes(66), once=once, enrolled=site.sealing_keys[A]
        )

    with pytest.raises(error, match=f"key of {A}"):
        site.nodes[ME].mask(changed(site.letters()[ME], change), site.plain[ME].copy())


@pytest.mark.parametrize("shares", [b"\xff" * 66, bytes(33) + PRIME.to_bytes(33)])
def test_a_share_outside_the_field_is_refused(site: PairwiseSite, shares: bytes) -> None:
    site.share()
    once = X25519PrivateKey.generate()

    def change(told: dict[str, Any]) -> None:
        _signed(site, A, told, share_key=public_key(once))
        keys = OneTimeKeys.from_json(told["letters"][0]["keys"])
        told["letters"][0]["shares"] = seal_shares(
            site.terms, keys, ME, shares, once=once, enrolled=site.sealing_keys[A]
        )

    with pytest.raises(ShareMalformed):
        site.nodes[ME].mask(changed(site.letters()[ME], change), site.plain[ME].copy())


def test_a_key_that_stands_twice_is_refused(site: PairwiseSite) -> None:
    site.share()
    other = site.shared[B].keys.mask_key

    def change(told: dict[str, Any]) -> None:
        _signed(site, A, told, mask_key=other)

    with pytest.raises(KeyRepeated):
        site.nodes[ME].mask(changed(site.letters()[ME], change), site.plain[ME].copy())


def test_shares_of_another_round_do_not_decrypt(site: PairwiseSite) -> None:
    """The letter of one permit, its keys signed anew for another."""
    other = PairwiseSite(
        permit="a5" * 32, receipt_keys=site.receipt_keys, sealing_keys=site.sealing_keys
    )
    site.share()
    other.share()
    old = other.shared[A]

    def change(told: dict[str, Any]) -> None:
        old_keys = old.keys.to_json()
        _signed(site, A, told, **{key: str(old_keys[key]) for key in ("mask_key", "share_key")})
        told["letters"][0]["shares"] = old.shares[ME]

    with pytest.raises(ShareNotOpened):
        site.nodes[ME].mask(changed(site.letters()[ME], change), site.plain[ME].copy())


SPLITS: dict[str, tuple[list[str], list[str], type[PolicyError]]] = {
    "a peer in both lists": ([ME, A, B, C], [C], BothSharesAsked),
    "itself in both lists": ([ME, A, B], [ME, C], BothSharesAsked),
    "everybody in both lists": ([ME, A, B, C], [ME, A, B, C], BothSharesAsked),
    "a peer in neither": ([ME, A, B], [], UnknownPeer),
    "a stranger survived": ([ME, A, B, "stranger"], [C], UnknownPeer),
    "a stranger dropped": ([ME, A, B, C], ["stranger"], UnknownPeer),
    "too few survived": ([ME, A], [B, C], TooFew),
    "one survived": ([ME], [A, B, C], TooFew),
    "nobody survived": ([], [ME, A, B, C], TooFew),
    "it dropped itself": ([A, B, C], [ME], NotASurvivor),
    "another order": ([A, ME, B, C], [], DocumentError),
    "one twice": ([ME, ME, A, B, C], [], DocumentError),
}


def _split(survivors: list[str], dropped: list[str], permit: str) -> bytes:
    return canonical_bytes(
        {"version": 1, "permit": permit, "survivors": survivors, "dropped": dropped}
    )


@pytest.mark.parametrize("fault", SPLITS)
def test_a_split_with_a_fault_is_refused_by_name(site: PairwiseSite, fault: str) -> None:
    survivors, dropped, error = SPLITS[fault]
    site.share()
    site.mask()
    with pytest.raises(error):
        site.nodes[ME].agree(_split(survivors, dropped, site.permit))
    assert np.array_equal(site.opened(), site.expected(site.names))


def test_a_split_of_another_permit_is_refused(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    with pytest.raises(WrongPermit):
        site.nodes[ME].agree(_split([ME, A, B, C], [], "11" * 32))


def test_a_second_split_is_refused_for_ever(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    first = site.split()
    agreements = site.agree(first)
    for survivors in ([ME, A, B], [ME, B, C], [A, B, C]):
        with pytest.raises(SecondOpening):
            site.nodes[ME].agree(site.split(survivors))
    answer = site.nodes[ME].unmask(agreements)
    with pytest.raises(SecondOpening):
        site.nodes[ME].agree(site.split([ME, A, B]))
    assert site.nodes[ME].agree(first) == site.nodes[ME].agree(first)
    assert site.nodes[ME].unmask(agreements) == answer


def test_a_dropout_that_did_not_happen_opens_nothing_of_it(site: PairwiseSite) -> None:
    """The aggregator has C's vector and says it had dropped: it gets C's mask key, not its seed."""
    site.share()
    site.mask()
    split = site.split([ME, A, B])
    here = [ME, A, B]
    answers = site.answers(split, site.agree(split, here), here)
    secrets = opening.join(site.terms, site.shared, split, answers)
    assert set(secrets.seeds) == {ME, A, B}
    assert all(C not in answer.seeds for answer in answers.values())
    stolen = site.sent[C].copy()
    late = opening.Secrets(seeds={}, mask_keys=secrets.mask_keys, liars=())
    opening.remove_masks(site.terms, site.shared, late, stolen)
    assert np.mean(stolen == site.plain[C]) < 0.02


def test_different_splits_for_different_nodes_open_nothing(site: PairwiseSite) -> None:
    """Neither gets the threshold of agreements, so no share is given at all."""
    site.share()
    site.mask()
    one, other = site.split([ME, A, B]), site.split([ME, A, C])
    of_one = [site.nodes[name].agree(one) for name in (ME, A)]
    of_other = [site.nodes[name].agree(other) for name in (C,)]
    with pytest.raises(UnknownPeer):
        site.nodes[C].unmask(_joined([*of_other, site.nodes[B].agree(one)]))
    with pytest.raises(NotSigned):
        site.nodes[ME].unmask(_joined([*of_one, _as(B, of_other[0])]))
    with pytest.raises(TooFew):
        site.nodes[ME].unmask(_joined(of_one))


def _joined(agreements: list[bytes]) -> bytes:
    given = [json.loads(one) for one in agreements]
    return canonical_bytes(
        {
            "version": 1,
            "permit": given[0]["permit"],
            "signatures": {one["participant"]: one["signature"] for one in given},
        }
    )


def _as(name: str, agreement: bytes) -> bytes:
    return changed(agreement, lambda one: one.update(participant=name))


STEPS: dict[str, Callable[[PairwiseSite], object]] = {
    "share": lambda site: site.nodes[ME].share(),
    "mask": lambda site: site.nodes[ME].mask(b"", site.plain[ME].copy()),
    "agree": lambda site: site.nodes[ME].agree(b""),
    "unmask": lambda site: site.nodes[ME].unmask(b""),
}


@pytest.mark.parametrize(
    ("done", "refused"),
    [
        ("nothing", ["mask", "agree", "unmask"]),
        ("share", ["share", "agree", "unmask"]),
        ("mask", ["share", "mask", "unmask"]),
        ("agree", ["share", "mask"]),
    ],
)
def test_steps_out_of_turn_are_refused(site: PairwiseSite, done: str, refused: list[str]) -> None:
    if done != "nothing":
        site.share()
    if done in ("mask", "agree"):
        site.mask()
    if done == "agree":
        site.agree(site.split())
    for step in refused:
        with pytest.raises(OutOfTurn, match=ME):
            STEPS[step](site)


def test_a_node_that_left_answers_nothing(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    split = site.split()
    site.nodes[ME].forget()
    with pytest.raises(OutOfTurn, match="left the round"):
        site.nodes[ME].agree(split)
    here = [A, B, C]
    answers = site.answers(split, site.agree(split, here), here)
    total = site.total()
    secrets = opening.join(site.terms, site.shared, split, answers)
    opening.remove_masks(site.terms, site.shared, secrets, total)
    assert np.array_equal(total, site.expected(site.names))


def test_a_restarted_node_cannot_answer(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    site.nodes[ME] = site.node(ME)
    with pytest.raises(OutOfTurn, match="had shared nothing"):
        site.nodes[ME].agree(site.split())


def test_a_vector_that_cannot_be_masked_drops_the_node(site: PairwiseSite) -> None:
    site.share()
    with pytest.raises(PolicyError):
        site.nodes[ME].mask(site.letters()[ME], np.zeros(3))
    with pytest.raises(OutOfTurn):
        site.nodes[ME].mask(site.letters()[ME], site.plain[ME].copy())


def test_a_node_needs_the_keys_that_the_permit_names(site: PairwiseSite) -> None:
    site.receipt_keys[ME] = Ed25519PrivateKey.generate()
    with pytest.raises(SecureSumError, match="enrolled keys"):
        site.node(ME)
    with pytest.raises(UnknownPeer):
        site.sealing_keys["stranger"], site.receipt_keys["stranger"] = (
            X25519PrivateKey.generate(),
            Ed25519PrivateKey.generate(),
        )
        site.node("stranger")


def test_no_secret_stands_in_a_text(site: PairwiseSite) -> None:
    site.share()
    state = site.nodes[ME]._state
    assert "seed" not in repr(state)
    site.mask()
    split = site.split()
    answer = site.answers(split, site.agree(split))[ME]
    assert all(share not in repr(answer) for share in answer.seeds.values())
