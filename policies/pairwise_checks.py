"""What both sides of a pairwise secure sum check: who is in it, how many, and each one's keys once.

Nothing here changes a state; whoever calls it decides what follows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from policies.errors import BothSharesAsked, KeyRepeated, NotASurvivor, TooFew, UnknownPeer
from policies.pairwise_messages import Letters, OneTimeKeys, Split
from policies.pairwise_round import PairwiseRound
from policies.pairwise_secrets import open_shares, verify_keys
from policies.shamir import parse_share

SharePair = tuple[bytes, bytes]
"""Shares of a mask key and of a seed."""


def open_letters(
    terms: PairwiseRound,
    own: OneTimeKeys,
    own_shares: SharePair,
    data: bytes,
    *,
    sealing_key: X25519PrivateKey,
) -> tuple[dict[str, OneTimeKeys], dict[str, SharePair]]:
    """By everybody who shared, the receiver included: verified keys, and decrypted shares.

    Raises:
        TooFew: fewer than the threshold shared.
        DocumentError, WrongPermit, UnknownPeer, NotSigned, KeyRepeated, ShareNotOpened,
        ShareMalformed, MaskKeyError: what is wrong with them.
    """
    name = own.participant
    given = Letters.parse(data, permit=terms.permit)
    names = [one.keys.participant for one in given.letters]
    if given.receiver != name or name in names or names != sorted(set(names)):
        raise UnknownPeer(
            f"letters: expected those of {name}'s peers, each once and in ascending order, got "
            f"others, for {given.receiver}"
        )
    check_enough(terms, len(names) + 1, "shared")
    keys, shares = {name: own}, {name: own_shares}
    for letter in given.letters:
        verify_keys(terms, letter.keys)
        keys[letter.keys.participant] = letter.keys
    check_distinct(keys)
    for letter in given.letters:
        pair = open_shares(terms, letter.keys, name, letter.shares, sealing_key)
        for share in pair:
            parse_share(share)
        shares[letter.keys.participant] = pair
    return keys, shares


def check_split(
    terms: PairwiseRound, split: Split, participant: str, *, shared: Collection[str]
) -> None:
    """Returns only if a node may help to open this sum: its own vector is in it, too.

    Args:
        shared: whose shares the node has.

    Raises:
        BothSharesAsked, UnknownPeer, TooFew, NotASurvivor: what is wrong with it.
    """
    survivors, dropped = set(split.survivors), set(split.dropped)
    if both := survivors & dropped:
        raise BothSharesAsked(
            f"split: expected each peer to have survived or dropped, got {min(both)} in both "
            "lists; both of its shares would open its update"
        )
    if others := (survivors | dropped) ^ set(shared):
        raise UnknownPeer(
            f"split: expected everybody who shared and nobody else, got {min(others)} "
            + ("left out" if min(others) in shared else "in it")
        )
    check_enough(terms, len(survivors), "survived")
    if participant not in survivors:
        raise NotASurvivor(
            f"split: expected {participant} among the survivors, got it dropped; it sent its "
            "vector, and helps to open no sum without it"
        )


def check_enough(terms: PairwiseRound, count: int, what: str) -> None:
    """Returns only if they are the threshold.

    Raises:
        TooFew: they are fewer.
    """
    if count < terms.threshold:
        raise TooFew(
            f"permit {terms.permit[:16]}…: expected at least {terms.threshold} participants who "
            f"{what}, got {count}"
        )


def check_distinct(keys: Mapping[str, OneTimeKeys]) -> None:
    """Returns only if no one-time key stands in two places (CCS 2017, figure 4, round 1).

    Raises:
        KeyRepeated: one does.
    """
    seen: dict[str, str] = {}
    for name, one in keys.items():
        for key in (one.mask_key, one.share_key):
            if key in seen:
                raise KeyRepeated(
                    f"one-time keys: expected each in one place, got one of {name} and {seen[key]}"
                )
            seen[key] = name
