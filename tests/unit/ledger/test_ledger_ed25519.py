from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.ed25519 import load_public_key, public_bytes
from ledger.errors import KeyRefused

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
NEUTRAL = (0, 1)


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """The addition law of RFC 8032 section 5.1.4, affine."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P)
    return x % P, y % P


def times(n: int, point: tuple[int, int]) -> tuple[int, int]:
    result = NEUTRAL
    while n:
        result = add(result, point) if n & 1 else result
        point, n = add(point, point), n >> 1
    return result


def some_point(y: int) -> tuple[int, int] | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for root in (x, x * pow(2, (P - 1) // 4, P) % P):
        if root * root % P == square:
            return root, y
    return None


def low_order_points() -> set[tuple[int, int]]:
    """A point times the order of the base point has an order that divides 8; collect all eight."""
    order = 2**252 + 27742317777372353535851937790883648493
    found: set[tuple[int, int]] = set()
    y = 2
    while len(found) < 8:
        y += 1
        point = some_point(y)
        if point is not None:
            torsion = times(order, point)
            found |= {times(n, torsion) for n in range(8)}
    return found


def spellings() -> list[bytes]:
    ys = {y for _, y in low_order_points()}
    both = [y + P for y in ys if y + P < 2**255] + sorted(ys)
    return [(y | sign << 255).to_bytes(32, "little") for y in both for sign in (0, 1)]


def test_there_are_fourteen_spellings() -> None:
    assert len(set(spellings())) == 14


@pytest.mark.parametrize("raw", spellings(), ids=lambda raw: raw.hex()[:8] + raw.hex()[-2:])
def test_low_order_is_refused(raw: bytes) -> None:
    with pytest.raises(KeyRefused, match="low order"):
        load_public_key(raw)


def test_why_a_low_order_key_is_refused() -> None:
    neutral = (1).to_bytes(32, "little")
    careless = Ed25519PublicKey.from_public_bytes(neutral)
    for message in (b"I consent", b"I do not consent"):
        careless.verify(neutral + bytes(32), message)  # one signature, every message
    with pytest.raises(KeyRefused):
        load_public_key(neutral)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("above", range(2, 19))
def test_unreduced_y_is_refused(above: int, sign: int) -> None:
    with pytest.raises(KeyRefused, match="y below"):
        load_public_key((P + above | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", "got 0 bytes", id="empty"),
        pytest.param(bytes(31), "got 31 bytes", id="short"),
        pytest.param(bytes(33), "got 33 bytes", id="long"),
        pytest.param((2).to_bytes(32, "little"), "point of the curve", id="no-point"),
    ],
)
def test_malformed_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(KeyRefused, match=message):
        load_public_key(raw)


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_key_loads(seed: int) -> None:
    raw = public_bytes(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key())
    assert public_bytes(load_public_key(raw)) == raw
