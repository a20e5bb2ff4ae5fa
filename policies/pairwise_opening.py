"""The aggregator's side of a pairwise secure sum (see `policies.pairwise`): check, carry, open.

A message that is refused is its sender's fault, or of whoever carried it: the caller leaves that
participant out and goes on with the others, as long as they are `threshold`. Who answers wrongly at
the end is found out by name where one answer more than the threshold came.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies.errors import SecretMismatch, ShareMalformed, UnknownPeer
from policies.fixedpoint import Words
from policies.masks import add_mask, parse_public_key, public_key, subtract_mask
from policies.pairwise_checks import check_distinct, check_enough
from policies.pairwise_messages import (
    Agreement,
    Agreements,
    Answer,
    Letter,
    Letters,
    Shared,
    Split,
)
from policies.pairwise_round import PairwiseRound
from policies.pairwise_secrets import (
    pair_mask_key,
    seed_digest,
    self_mask_key,
    verify_keys,
    verify_split,
)
from policies.shamir import join_shares, parse_share, weights_at_zero


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the answers gave, checked against what the owners signed.

    Attributes:
        seeds: of the survivors' self-masks.
        mask_keys: of the dropped.
        liars: who answered with shares that are not the owners'; left out.
    """

    seeds: Mapping[str, bytes]
    mask_keys: Mapping[str, X25519PrivateKey]
    liars: tuple[str, ...]


def verify_shared(terms: PairwiseRound, participant: str, data: bytes) -> Shared:
    """What a participant's node shared.

    Raises:
        DocumentError, WrongPermit, UnknownPeer, NotSigned, MaskKeyError: what is wrong with it.
            Keys of low order are found here, too: every peer would refuse them, and drop.
    """
    shared = Shared.parse(data, permit=terms.permit)
    _from(participant, shared.keys.participant)
    verify_keys(terms, shared.keys)
    for key in (shared.keys.mask_key, shared.keys.share_key):
        parse_public_key(key)
    if set(shared.shares) != set(terms.names) - {participant}:
        raise UnknownPeer(
            f"shares of {participant}: expected one for each of its peers in the cohort, got others"
        )
    return shared


def letters(terms: PairwiseRound, shared: Mapping[str, Shared]) -> dict[str, bytes]:
    """For each who shared, what the others shared with it.

    Raises:
        TooFew: fewer than the threshold shared.
        KeyRepeated: two of them have a key in common.
    """
    check_enough(terms, len(shared), "shared")
    check_distinct({name: one.keys for name, one in shared.items()})
    return {
        receiver: Letters(
            version=1,
            permit=terms.permit,
            receiver=receiver,
            letters=[
                Letter(keys=shared[name].keys, shares=shared[name].shares[receiver])
                for name in sorted(shared)
                if name != receiver
            ],
        ).to_bytes()
        for receiver in shared
    }


def split(terms: PairwiseRound, shared: Collection[str], sent: Collection[str]) -> bytes:
    """Who survived (sent a masked vector) and who dropped, of those who shared.

    Raises:
        TooFew: fewer than the threshold sent one.
        UnknownPeer: somebody sent one who shared nothing.
    """
    if others := set(sent) - set(shared):
        raise UnknownPeer(f"split: expected vectors of who shared, got one of {min(others)}")
    check_enough(terms, len(set(sent)), "sent a vector")
    return Split(
        version=1,
        permit=terms.permit,
        survivors=sorted(set(sent)),
        dropped=sorted(set(shared) - set(sent)),
    ).to_bytes()


def verify_agreement(
    terms: PairwiseRound, shared: Mapping[str, Shared], split: bytes, participant: str, data: bytes
) -> Agreement:
    """A survivor's agreement to the split.

    Raises:
        DocumentError, WrongPermit, UnknownPeer, NotSigned: what is wrong with it.
    """
    agreement = Agreement.parse(data, permit=terms.permit)
    _from(participant, agreement.participant)
    _survived(terms, split, participant)
    verify_split(terms, split, shared[participant].keys, agreement.signature)
    return agreement


def agreements(terms: PairwiseRound, given: Collection[Agreement]) -> bytes:
    """What survivors are told of one another, all the same.

    Raises:
        TooFew: fewer than the threshold agreed.
    """
    signatures = {one.participant: one.signature for one in given}
    check_enough(terms, len(signatures), "agreed to the split")
    return Agreements(version=1, permit=terms.permit, signatures=signatures).to_bytes()


def verify_answer(terms: PairwiseRound, split: bytes, participant: str, data: bytes) -> Answer:
    """A survivor's shares; whether they are the owners' shows when they are put together.

    Raises:
        DocumentError, WrongPermit, UnknownPeer: what is wrong with it.
    """
    answer = Answer.parse(data, permit=terms.permit)
    _from(participant, answer.participant)
    _survived(terms, split, participant)
    asked = _parsed(split, terms.permit)
    if [sorted(answer.seeds), sorted(answer.mask_keys)] != [asked.survivors, asked.dropped]:
        raise UnknownPeer(
            f"answer of {participant}: expected one share of each peer as the split says, got "
            "others"
        )
    return answer


def join(
    terms: PairwiseRound,
    shared: Mapping[str, Shared],
    split: bytes,
    answers: Mapping[str, Answer],
) -> Secrets:
    """The secrets that take the masks off.

    Args:
        answers: verified, of survivors.

    Raises:
        TooFew: fewer than the threshold answered, or are left once liars are.
        SecretMismatch: shares of a secret do not give what its owner signed, and no single one of
            those who answered is the cause: its owner shared wrongly, or several lied.
    """
    asked = _parsed(split, terms.permit)
    holders = {number: peer.participant for number, peer in terms.numbered()}
    left = [number for number, name in holders.items() if name in answers]
    check_enough(terms, len(left), "answered")
    seeds, mask_keys, liars = {}, {}, []
    survivors = set(asked.survivors)
    for owner in (*asked.survivors, *asked.dropped):
        survived = owner in survivors
        shares = {
            number: (answer.seeds if survived else answer.mask_keys)[owner]
            for number, answer in ((number, answers[holders[number]]) for number in left)
        }
        secret, liar = _secret(terms, shared[owner], shares, survived=survived)
        if liar is not None:
            left.remove(liar)
            liars.append(holders[liar])
        if survived:
            seeds[owner] = secret
        else:
            mask_keys[owner] = X25519PrivateKey.from_private_bytes(secret)
    return Secrets(seeds, mask_keys, tuple(sorted(liars)))


def remove_masks(
    terms: PairwiseRound, shared: Mapping[str, Shared], secrets: Secrets, total: Words
) -> None:
    """Take all masks off the sum of the survivors' masked vectors, in place.

    Those of two survivors have cancelled out; what is left are the self-masks, and each survivor's
    masks with the dropped.
    """
    pairs = [
        (
            survivor < dropped,
            pair_mask_key(terms, private, dropped, survivor, shared[survivor].keys.mask_key),
        )
        for dropped, private in secrets.mask_keys.items()
        for survivor in secrets.seeds
    ]
    for survivor, seed in secrets.seeds.items():
        subtract_mask(total, self_mask_key(terms, survivor, seed))
    for added, key in pairs:
        (subtract_mask if added else add_mask)(total, key)


def _secret(
    terms: PairwiseRound, owner: Shared, shares: Mapping[int, str], *, survived: bool
) -> tuple[bytes, int | None]:
    """An owner's secret, and whose share had to be left out for it, if anybody's."""
    if (secret := _tried(terms, owner, shares, survived=survived)) is not None:
        return secret, None
    for liar in list(shares) if len(shares) > terms.threshold else []:
        rest = {number: share for number, share in shares.items() if number != liar}
        if (secret := _tried(terms, owner, rest, survived=survived)) is not None:
            return secret, liar
    raise SecretMismatch(
        f"shares of {owner.keys.participant}: expected those of what it signed, got others of "
        f"{len(shares)} who answered; nothing is opened, start the round anew with a fresh permit"
    )


def _tried(
    terms: PairwiseRound, owner: Shared, shares: Mapping[int, str], *, survived: bool
) -> bytes | None:
    used = tuple(shares)[: terms.threshold]
    try:
        values = {number: parse_share(bytes.fromhex(shares[number])) for number in used}
        secret = join_shares(values, _weights(used))
    except ShareMalformed:
        return None
    if survived:
        found = seed_digest(terms, owner.keys.participant, secret)
        return secret if hmac.compare_digest(found, owner.keys.seed_digest) else None
    found = public_key(X25519PrivateKey.from_private_bytes(secret))
    return secret if hmac.compare_digest(found, owner.keys.mask_key) else None


@lru_cache(maxsize=64)  # the same holders answer for every secret of a round
def _weights(holders: tuple[int, ...]) -> Mapping[int, int]:
    return weights_at_zero(holders)


@lru_cache(maxsize=4)  # each survivor's messages are about the same one
def _parsed(split: bytes, permit: str) -> Split:
    return Split.parse(split, permit=permit)


def _from(expected: str, got: str) -> None:
    if got != expected:
        raise UnknownPeer(f"message: expected one of {expected}, got one of {got}")


def _survived(terms: PairwiseRound, split: bytes, participant: str) -> None:
    if participant not in _parsed(split, terms.permit).survivors:
        raise UnknownPeer(f"message of {participant}: expected one of a survivor, got another's")
