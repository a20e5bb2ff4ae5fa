"""Ed25519 public keys (RFC 8032), and the ones that must not be enrolled.

Under a key of low order a signature verifies for many messages at once, so that a signed statement
proves nothing. RFC 8032 section 5.1.3 decodes 32 bytes as a little-endian y of 255 bits and, in the
top bit, the sign of x. A key is refused if y is not reduced (y >= p = 2^255 - 19), if the point's
order divides 8, or if no point of the curve has that y.

The eight points of low order, from RFC 7748 section 4.1's curve (cofactor 8), have the five values
of y in `_LOW_ORDER_Y`; `tests/unit/ledger/test_ledger_ed25519.py` derives them again by adding
points.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.errors import KeyRefused

KEY_BYTES = 32

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT = 1 << 255

_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER_Y = (
    1,  # the neutral element
    _P - 1,  # order 2
    0,  # order 4, both signs of x
    # order 8, both signs of x
    _ORDER_8_Y,
    _P - _ORDER_8_Y,
)
# y = p and y = p + 1 spell 0 and 1 once more; both signs of each.
_LOW_ORDER_ENCODINGS = frozenset(
    (y | sign).to_bytes(KEY_BYTES, "little")
    for y in (*_LOW_ORDER_Y, _P, _P + 1)
    for sign in (0, _SIGN_BIT)
)


def load_public_key(raw: bytes) -> Ed25519PublicKey:
    """A public key that is safe to enrol.

    Args:
        raw: 32 bytes, the encoding of RFC 8032 section 5.1.2.

    Raises:
        KeyRefused: another length, a y that is not reduced, a point of low order, or no point.
    """
    if len(raw) != KEY_BYTES:
        raise KeyRefused(f"expected an Ed25519 key of {KEY_BYTES} bytes, got {len(raw)} bytes")
    if raw in _LOW_ORDER_ENCODINGS:
        raise KeyRefused(
            f"expected an Ed25519 key of full order, got {raw.hex()}, a point of low order: "
            "signatures under it prove nothing; have its owner make a new key"
        )
    y = int.from_bytes(raw, "little") & ~_SIGN_BIT
    if y >= _P:
        raise KeyRefused(f"expected an Ed25519 key with y below 2^255 - 19, got {raw.hex()}")
    if not _on_curve(y):
        raise KeyRefused(f"expected a point of the curve Ed25519, got {raw.hex()}")
    return Ed25519PublicKey.from_public_bytes(raw)


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """The key's 32 bytes (RFC 8032 section 5.1.2)."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _on_curve(y: int) -> bool:
    """Whether x^2 = (y^2 - 1) / (d y^2 + 1) has a root (RFC 8032 section 5.1.3, step 2)."""
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    # d is no square, so v is never 0; u/v is a square exactly if u*v is one (Euler's criterion).
    return pow(u * v, (_P - 1) // 2, _P) == 1
