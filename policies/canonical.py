"""Canonical JSON: one value, one spelling, so that hashes and signatures are over bytes.

The subset of RFC 8785 (JSON Canonicalization Scheme) that needs no number formatting: objects with
string keys, arrays, strings, booleans, null and integers within ±(2^53 − 1). No floats: decimals
travel as strings. Within this subset `json.dumps` with sorted keys equals RFC 8785, except that
RFC 8785 sorts keys by UTF-16 code units; keys are therefore restricted to characters below the
surrogates (U+D7FF), where both orders agree.

`orjson` reads and writes plain values, several times as fast as `json`, with the same bytes in the
end. Whatever it refuses, or reads otherwise, `json` looks at once more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import orjson

from policies.errors import DocumentError

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 32
_SURROGATE = re.compile("[\ud800-\udfff]")

_UNREAD: Final = object()

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def canonical_bytes(value: object) -> bytes:
    """The one spelling of a value, as UTF-8 bytes.

    Raises:
        DocumentError: a float, a large integer, a lone surrogate, a key above U+D7FF, or
            nesting deeper than `MAX_DEPTH`; the error names the JSON path.
    """
    if _fits(value):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    _check(value, "$", 0)
    return _encoded(value)


def parse_json(data: bytes, *, max_bytes: int) -> Json:
    """JSON as people write it: any spacing and key order, but otherwise inside our subset.

    Raises:
        DocumentError: more than `max_bytes`, not UTF-8 JSON, a duplicate key, a float, NaN, or
            anything `canonical_bytes` refuses.
    """
    if len(data) > max_bytes:
        raise DocumentError("$", f"at most {max_bytes} bytes", f"{len(data)} bytes")
    try:
        value: Json = json.loads(
            data.decode("utf-8"),
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_unique,
        )
    except RecursionError as error:
        raise DocumentError("$", f"at most {MAX_DEPTH} levels", "more") from error
    except UnicodeDecodeError as error:
        raise DocumentError("$", "UTF-8", f"byte {error.start} that is not") from error
    except ValueError as error:
        raise DocumentError("$", "JSON", str(error)[:200]) from error
    if not _fits(value):
        _check(value, "$", 0)
    return value


def parse_canonical(data: bytes, *, max_bytes: int) -> Json:
    """A value from its one spelling; parse, re-encode, compare.

    Raises:
        DocumentError: as `parse_json`, or the bytes are not the canonical spelling.
    """
    if len(data) <= max_bytes:
        found = _read_canonical(data)
        if found is not _UNREAD:
            return found  # type: ignore[no-any-return]
    value = parse_json(data, max_bytes=max_bytes)
    if _encoded(value) != data:
        raise DocumentError("$", "canonical JSON (RFC 8785)", "another spelling of the value")
    return value


def _read_canonical(data: bytes) -> Any:
    """The value if the bytes are canonical, `_UNREAD` if they may not be.

    What is written again as it was read has no key twice, and no lone surrogate.
    """
    try:
        value = orjson.loads(data)
        if orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == data and _fits(value):
            return value
    except (ValueError, TypeError):  # orjson: no JSON; deeper than it writes
        pass
    return _UNREAD


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lowercase hexadecimal digits: how every digest is written in our documents."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """`sha256_hex` of the canonical bytes of a value."""
    return sha256_hex(canonical_bytes(value))


def _encoded(value: object) -> bytes:
    """`canonical_bytes` of a value that `_check` accepted."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def _fits(value: object) -> bool:
    """Whether `_check` would accept the value, for sure; quicker, since it needs no paths.

    Looks level by level, and only at the types that JSON is read as.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                if not item.isascii() and _SURROGATE.search(item):
                    return False
            elif kind is dict:
                if not _plain(item):
                    return False
                deeper += item.values()
            elif kind is list:
                deeper += item
            elif kind is int:
                if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                    return False
            elif item is not None and kind is not bool:
                return False
        if not deeper:
            return True
        level = deeper
    return False


def _plain(keys: Iterable[Any]) -> bool:
    """Whether all keys are ASCII strings."""
    try:
        return "".join(keys).isascii()
    except TypeError:
        return False


def _check(value: object, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DocumentError(where, f"at most {MAX_DEPTH} levels", "more")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise DocumentError(where, "an integer within 2^53 - 1", f"{str(value)[:24]}")
    elif isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise DocumentError(where, "Unicode text", "a lone surrogate")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or any(char > "\ud7ff" for char in key):
                raise DocumentError(where, "keys that are plain strings", repr(key)[:60])
            _check(item, f"{where}.{key}", depth + 1)
    else:
        raise DocumentError(where, "a JSON value without floats", type(value).__name__)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise DocumentError("$", "each key once", f"{key[:60]!r} twice")
        result[key] = value
    return result


def _refuse_number(text: str) -> NoReturn:
    raise DocumentError("$", "integers only (decimals travel as strings)", text[:24])
