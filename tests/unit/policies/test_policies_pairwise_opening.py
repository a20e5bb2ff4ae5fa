"""The aggregator's side: each fault of a node is refused by name, and liars are found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairwise_site import PairwiseSite, changed, flipped

from policies import pairwise_opening as opening
from policies.errors import (
    DocumentError,
    KeyRepeated,
    MaskKeyError,
    NotSigned,
    PolicyError,
    SecretMismatch,
    TooFew,
    UnknownPeer,
    WrongPermit,
)
from policies.pairwise_messages import Answer, OneTimeKeys
from policies.pairwise_secrets import keys_statement, seed_digest
from policies.shamir import join_shares, parse_share, weights_at_zero

ME, A, B, C = "node-00", "node-01", "node-02", "node-03"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def site() -> PairwiseSite:
    return PairwiseSite()


SHARED: dict[str, tuple[Change, type[PolicyError]]] = {
    "another permit": (lambda one: one.update(permit="11" * 32), WrongPermit),
    "another's name": (lambda one: one["keys"].update(participant=A), UnknownPeer),
    "an unsigned key": (lambda one: one["keys"].update(signature="00" * 64), NotSigned),
    "a peer without shares": (lambda one: one["shares"].pop(A), UnknownPeer),
    "a stranger's shares": (
        lambda one: one["shares"].update(stranger=one["shares"][A]),
        UnknownPeer,
    ),
    "its own shares": (lambda one: one["shares"].update({ME: one["shares"][A]}), UnknownPeer),
    "a short share": (lambda one: one["shares"].update({A: "00"}), DocumentError),
    "a name that is none": (
        lambda one: one["shares"].update({"Node 1": one["shares"][A]}),
        DocumentError,
    ),
}


@pytest.mark.parametrize("fault", SHARED)
def test_what_is_shared_with_a_fault_is_refused_by_name(site: PairwiseSite, fault: str) -> None:
    change, error = SHARED[fault]
    data = changed(site.nodes[ME].share(), change)
    with pytest.raises(error):
        opening.verify_shared(site.terms, ME, data)


@pytest.mark.parametrize("field", ["mask_key", "share_key"])
@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "ff" * 32])
def test_a_signed_key_of_low_order_is_refused(site: PairwiseSite, field: str, key: str) -> None:
    def change(one: dict[str, Any]) -> None:
        keys = OneTimeKeys.from_json(one["keys"] | {field: key})
        signature = site.receipt_keys[ME].sign(keys_statement(site.terms, keys)).hex()
        one["keys"] = keys.to_json() | {"signature": signature}

    data = changed(site.nodes[ME].share(), change)
    with pytest.raises(MaskKeyError):
        opening.verify_shared(site.terms, ME, data)


def test_a_message_under_another_name_is_refused(site: PairwiseSite) -> None:
    with pytest.raises(UnknownPeer):
        opening.verify_shared(site.terms, A, site.nodes[ME].share())


def test_too_few_shared(site: PairwiseSite) -> None:
    site.share([ME, A])
    with pytest.raises(TooFew, match="shared"):
        site.letters()


def test_a_key_in_common_is_refused(site: PairwiseSite) -> None:
    site.share()
    twin = site.shared[A].keys.model_copy(update={"mask_key": site.shared[ME].keys.mask_key})
    site.shared[A] = site.shared[A].model_copy(update={"keys": twin})
    with pytest.raises(KeyRepeated):
        site.letters()


def test_too_few_sent(site: PairwiseSite) -> None:
    site.share()
    site.mask([ME, A])
    with pytest.raises(TooFew, match="sent"):
        site.split()


def test_a_vector_of_who_shared_nothing_is_refused(site: PairwiseSite) -> None:
    site.share([ME, A, B])
    with pytest.raises(UnknownPeer):
        site.split([ME, A, B, C])


def test_agreements_with_a_fault_are_refused(site: PairwiseSite) -> None:
    site.share()
    site.mask([ME, A, B])
    split = site.split()
    data = site.nodes[ME].agree(split)
    cases: dict[type[PolicyError], tuple[str, bytes]] = {
        NotSigned: (ME, changed(data, lambda one: one.update(signature=flipped("00" * 64)))),
        WrongPermit: (ME, changed(data, lambda one: one.update(permit="11" * 32))),
        UnknownPeer: (A, data),
    }
    for error, (name, given) in cases.items():
        with pytest.raises(error):
            opening.verify_agreement(site.terms, site.shared, split, name, given)
    with pytest.raises(UnknownPeer, match="survivor"):
        dropped = changed(data, lambda one: one.update(participant=C))
        opening.verify_agreement(site.terms, site.shared, split, C, dropped)
    with pytest.raises(TooFew, match="agreed"):
        site.agree(split, [ME, A])


def test_answers_with_a_fault_are_refused(site: PairwiseSite) -> None:
    site.share()
    site.mask([ME, A, B])
    split = site.split()
    data = site.nodes[ME].unmask(site.agree(split))
    cases: list[tuple[type[PolicyError], str, Change]] = [
        (WrongPermit, ME, lambda one: one.update(permit="11" * 32)),
        (UnknownPeer, ME, lambda one: one.update(participant=A)),
        (UnknownPeer, C, lambda one: one.update(participant=C)),
        (UnknownPeer, ME, lambda one: one["seeds"].pop(A)),
        (UnknownPeer, ME, lambda one: one["seeds"].update({C: one["seeds"][A]})),
        (UnknownPeer, ME, lambda one: one["mask_keys"].update({A: one["seeds"][A]})),
        (DocumentError, ME, lambda one: one["seeds"].update({A: "00"})),
    ]
    for error, name, change in cases:
        with pytest.raises(error):
            opening.verify_answer(site.terms, split, name, changed(data, change))


def _lying(answer: Answer, owner: str) -> Answer:
    changed_share = {owner: flipped(answer.seeds[owner])}
    return answer.model_copy(update={"seeds": answer.seeds | changed_share})


@pytest.mark.parametrize("liar", [ME, A, B])
def test_one_who_lies_is_found_out_and_left_out(liar: str) -> None:
    site = PairwiseSite(members=5, threshold=3)
    site.share()
    site.mask([ME, A, B, C])
    split = site.split()
    answers = site.answers(split, site.agree(split))
    answers[liar] = _lying(answers[liar], C)
    secrets = opening.join(site.terms, site.shared, split, answers)
    assert secrets.liars == (liar,)
    total = site.total()
    opening.remove_masks(site.terms, site.shared, secrets, total)
    assert np.array_equal(total, site.expected([ME, A, B, C]))


@pytest.mark.parametrize("liars", [[ME], [ME, A]], ids=["no answer to spare", "two"])
def test_more_lies_open_nothing(site: PairwiseSite, liars: list[str]) -> None:
    site.share()
    site.mask()
    split = site.split()
    answers = site.answers(split, site.agree(split), [ME, A, B] if len(liars) == 1 else None)
    answers[ME] = _lying(answers[ME], C)
    if A in liars:
        # Another way than the first, or the two might make up for each other.
        share = answers[A].seeds[C]
        wrong = share[:9] + ("1" if share[9] == "0" else "0") + share[10:]
        answers[A] = answers[A].model_copy(update={"seeds": answers[A].seeds | {C: wrong}})
    with pytest.raises(SecretMismatch, match=C):
        opening.join(site.terms, site.shared, split, answers)


def test_shares_of_a_dropped_key_are_held_to_the_signed_one(site: PairwiseSite) -> None:
    site.share()
    site.mask([ME, A, B])
    split = site.split()
    answers = site.answers(split, site.agree(split))
    answers[ME] = answers[ME].model_copy(
        update={"mask_keys": {C: flipped(answers[ME].mask_keys[C])}}
    )
    with pytest.raises(SecretMismatch, match=C):
        opening.join(site.terms, site.shared, split, answers)


def test_shares_outside_the_field_count_as_lies(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    split = site.split()
    answers = site.answers(split, site.agree(split))
    outside = {**answers[ME].seeds, A: "ff" * 33}
    answers[ME] = answers[ME].model_copy(update={"seeds": outside})
    assert opening.join(site.terms, site.shared, split, answers).liars == (ME,)


def test_too_few_answered(site: PairwiseSite) -> None:
    site.share()
    site.mask()
    split = site.split()
    answers = site.answers(split, site.agree(split), [ME, A])
    with pytest.raises(TooFew, match="answered"):
        opening.join(site.terms, site.shared, split, answers)


def test_fewer_shares_than_the_threshold_give_no_secret(site: PairwiseSite) -> None:
    """Two of three, put together as if the threshold were two."""
    site.share()
    site.mask()
    split = site.split()
    answers = site.answers(split, site.agree(split), [ME, A])
    shares = {n: parse_share(bytes.fromhex(answers[who].seeds[C])) for n, who in ((1, ME), (2, A))}
    seed = join_shares(shares, weights_at_zero([1, 2]))
    assert seed_digest(site.terms, C, seed) != site.shared[C].keys.seed_digest
