"""Shamir's shares: which give the secret, what fewer tell, and what is refused."""

from __future__ import annotations

import contextlib

import pytest

from policies.errors import ShareMalformed
from policies.shamir import (
    MAX_SHARES,
    PRIME,
    SHARE_BYTES,
    join_shares,
    parse_share,
    split_secret,
    weights_at_zero,
)

SECRET = bytes(range(32))


def _shares(threshold: int, count: int, secret: bytes = SECRET) -> dict[int, int]:
    made = split_secret(secret, threshold=threshold, shares=count)
    return {holder: parse_share(share) for holder, share in enumerate(made, start=1)}


def test_the_field_is_that_of_the_smallest_prime_above_all_secrets() -> None:
    # Fermat, to bases that no number this small is known to pass by accident.
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13))
    smaller = range(2**256 + 1, PRIME, 2)
    assert not [one for one in smaller if pow(3, one - 1, one) == 1]


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, SECRET], ids=["zeros", "ones", "any"])
@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (7, 10), (34, 50)])
def test_any_threshold_of_them_give_the_secret(secret: bytes, threshold: int, count: int) -> None:
    shares = _shares(threshold, count, secret)
    for holders in (list(shares)[:threshold], list(shares)[-threshold:], list(shares)):
        assert join_shares(shares, weights_at_zero(holders)) == secret


def test_fewer_fit_every_secret() -> None:
    """One share less than the threshold, and any value at 0, lie on one polynomial: they tell
    nothing of the secret."""
    shares = _shares(3, 5)
    for secret in (0, 1, 2**256 - 1):
        # The polynomial through (0, secret), (1, share), (2, share), at 3; then 1, 2, 3 give it.
        third = (3 * shares[2] - 3 * shares[1] + secret) % PRIME
        forged = {1: shares[1], 2: shares[2], 3: third}
        assert join_shares(forged, weights_at_zero([1, 2, 3])) == secret.to_bytes(32)


def test_the_same_secret_is_never_shared_alike() -> None:
    assert _shares(2, 3) != _shares(2, 3)


def test_a_changed_share_gives_another_secret() -> None:
    shares = _shares(2, 3)
    shares[1] = (shares[1] + 1) % PRIME
    with contextlib.suppress(ShareMalformed):  # the few elements above 32 bytes
        assert join_shares(shares, weights_at_zero([1, 2])) != SECRET


@pytest.mark.parametrize(
    "data",
    [b"", bytes(SHARE_BYTES - 1), bytes(SHARE_BYTES + 1), PRIME.to_bytes(33), b"\xff" * 33],
    ids=["empty", "short", "long", "the prime", "above it"],
)
def test_malformed_shares_are_refused(data: bytes) -> None:
    with pytest.raises(ShareMalformed, match="33 bytes"):
        parse_share(data)


def test_shares_that_give_no_32_bytes_are_refused() -> None:
    with pytest.raises(ShareMalformed, match="32 bytes"):
        join_shares({1: PRIME - 1, 2: PRIME - 1}, weights_at_zero([1, 2]))


@pytest.mark.parametrize(
    ("secret", "threshold", "count"),
    [
        (bytes(31), 2, 3),
        (bytes(33), 2, 3),
        (SECRET, 1, 3),
        (SECRET, 0, 3),
        (SECRET, 4, 3),
        (SECRET, 2, MAX_SHARES + 1),
    ],
)
def test_what_cannot_be_shared(secret: bytes, threshold: int, count: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_secret(secret, threshold=threshold, shares=count)


@pytest.mark.parametrize("holders", [[], [1, 1], [0, 1], [-1, 2], [1, MAX_SHARES + 1]])
def test_holders_that_cannot_be(holders: list[int]) -> None:
    with pytest.raises(ValueError, match="holders"):
        weights_at_zero(holders)
