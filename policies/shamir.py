"""Shamir's secret sharing over a prime field: `threshold` shares give the secret, fewer nothing.

Shamir, "How to share a secret", CACM 22(11), 1979. The secret is the value at 0 of a polynomial of
degree `threshold - 1` whose other coefficients are uniform in the field; the share of holder i
(from 1) is its value at i. The field is that of the smallest prime above 2^256, so that each string
of 32 bytes is an element as it stands: nothing is cut, padded or reduced. A share is 33 bytes,
big-endian; another spelling of an element does not exist.

Python's integers take time that depends on their size. Whoever could time single multiplications
inside a node's process has more of it than that already.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from policies.errors import ShareMalformed

PRIME: Final = 2**256 + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33
MAX_SHARES: Final = 10_000


def split_secret(secret: bytes, *, threshold: int, shares: int) -> list[bytes]:
    """Shares of a secret for holders 1 to `shares`, with coefficients from the system's randomness.

    Args:
        secret: 32 bytes.
        threshold: how many shares give the secret; at least 2, since a share is the secret at 1.

    Raises:
        ValueError: a secret of another length, or a threshold that cannot be.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"secret: expected {SECRET_BYTES} bytes, got {len(secret)}")
    if not 2 <= threshold <= shares <= MAX_SHARES:
        raise ValueError(
            f"threshold: expected 2 to the number of shares, and at most {MAX_SHARES} of these, "
            f"got {threshold} of {shares}"
        )
    # The highest first, as Horner's rule takes them.
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret))
    return [
        _value_at(holder, coefficients).to_bytes(SHARE_BYTES) for holder in range(1, shares + 1)
    ]


def parse_share(data: bytes) -> int:
    """The field's element in a share.

    Raises:
        ShareMalformed: not 33 bytes, or not below the prime.
    """
    value = int.from_bytes(data) if len(data) == SHARE_BYTES else PRIME
    if value >= PRIME:
        raise ShareMalformed(
            f"share: expected {SHARE_BYTES} bytes below the field's prime, got {len(data)} bytes"
            " that are none"
        )
    return value


def weights_at_zero(holders: Sequence[int]) -> dict[int, int]:
    """Lagrange's coefficients: the secret is the sum of each holder's share times its weight.

    They depend on nothing but who the holders are, so that one set serves many secrets.

    Raises:
        ValueError: no holder, a holder twice, or one outside 1 to `MAX_SHARES`.
    """
    if not holders or len(set(holders)) != len(holders):
        raise ValueError("holders: expected each once, and one at least")
    if not all(1 <= holder <= MAX_SHARES for holder in holders):
        raise ValueError(f"holders: expected 1 to {MAX_SHARES}")
    found = {}
    for one in holders:
        over = under = 1
        for other in holders:
            if other != one:
                over = over * other % PRIME
                under = under * (other - one) % PRIME
        found[one] = over * pow(under, -1, PRIME) % PRIME
    return found


def join_shares(shares: Mapping[int, int], weights: Mapping[int, int]) -> bytes:
    """The secret that these shares give, whether or not it is the one that was split.

    Args:
        shares: by holder, from `parse_share`; those of all holders that `weights` names are used.
        weights: `weights_at_zero` of as many holders as the threshold says.

    Raises:
        ShareMalformed: what they give is no 32 bytes, so that one of them is not as it was made.
    """
    secret = sum(shares[holder] * weight for holder, weight in weights.items()) % PRIME
    if secret >= 1 << (8 * SECRET_BYTES):
        raise ShareMalformed(
            f"shares: expected those of a secret of {SECRET_BYTES} bytes, got others"
        )
    return secret.to_bytes(SECRET_BYTES)


def _value_at(point: int, coefficients: Sequence[int]) -> int:
    value = 0
    for coefficient in coefficients:
        value = (value * point + coefficient) % PRIME
    return value
