"""Right operands and left values: their types, and the one JSON spelling of each.

A literal travels as text beside its XML Schema type, so that a decimal or a duration keeps its
exact value; `policies.rows.Kind` says how people write it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

from policies.canonical import MAX_SAFE_INTEGER, Json
from policies.errors import DocumentError
from policies.fields import instant, parse_instant
from policies.rows import Kind, Operand

XSD = "http://www.w3.org/2001/XMLSchema#"
MAX_NAME = 1024
MAX_VALUES = 256

Right = str | int | Decimal | datetime | tuple[str, ...]

LIST_OPERATORS = frozenset({"isAnyOf", "isAllOf", "isNoneOf"})

_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,3})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
# Days, hours, minutes and seconds have a length; years and months do not.
_DURATION = re.compile(
    r"P(?=[0-9T])(?:([0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,16})S)?)?"
)
_DURATION_UNITS = (86_400, 3_600, 60, 1)
_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NAME: "string",
        Kind.NAMES: "string",
        Kind.INTEGER: "integer",
        Kind.DECIMAL: "decimal",
        Kind.DURATION: "duration",
        Kind.INSTANT: "dateTime",
    }
)
_TYPED = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DURATION})
_NAMED = frozenset({Kind.NAME, Kind.NAMES})
_HAN = re.compile("[㐀-䶿一-鿿]*")


def is_name(text: str) -> bool:
    """A bounded, visible name that no other name can be mistaken for.

    ASCII without spaces and control characters, and Chinese characters: nothing that merely looks
    like a Latin letter, and nothing that Unicode normalisation would change.
    """
    if not 0 < len(text) <= MAX_NAME or " " in text or not text.isprintable():
        return False
    if text.isascii():
        return True
    rest = "".join(char for char in text if not char.isascii())
    return bool(_HAN.fullmatch(rest)) and unicodedata.normalize("NFKC", text) == text


def parse_right(row: Operand, operator: str, value: object, where: str) -> Right:
    """A right operand as its row's type.

    Raises:
        DocumentError: another type or shape than the row and operator ask for.
    """
    if operator not in LIST_OPERATORS:
        return _parse_one(row, value, where)
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MAX_VALUES:
        raise DocumentError(where, f"1 to {MAX_VALUES} values", str(len(values)))
    names = tuple(str(_parse_one(row, one, f"{where}[{i}]")) for i, one in enumerate(values))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentError(where, "each value once", f"{twice[:40]!r} twice")
    return names


def parse_datetime(text: str, where: str) -> datetime:
    """An xsd:dateTime with offset and at most milliseconds, as an aware UTC datetime."""
    if not _DATETIME.fullmatch(text):
        expected = "an xsd:dateTime with offset, like 2026-12-31T00:00:00Z"
        raise DocumentError(where, expected, repr(text[:40]))
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DocumentError(where, "a moment of the calendar", repr(text[:40])) from error


def parse_decimal(text: str, where: str) -> Decimal:
    """A decimal that is not negative, with at most 18 digits on each side of the point."""
    if not _DECIMAL.fullmatch(text):
        expected = "a decimal like 1.5, not negative, without exponent, 18 digits a side at most"
        raise DocumentError(where, expected, repr(text[:40]))
    return Decimal(text)


def parse_duration(text: str, where: str) -> int:
    """An xsd:duration of days, hours, minutes and seconds, in whole seconds."""
    found = _DURATION.fullmatch(text)
    if not found:
        expected = "an xsd:duration of days, hours, minutes and seconds, like PT2H30M"
        raise DocumentError(where, expected, repr(text[:40]))
    parts = zip(found.groups(), _DURATION_UNITS, strict=True)
    seconds = sum(int(part) * unit for part, unit in parts if part)
    if seconds > MAX_SAFE_INTEGER:
        raise DocumentError(where, "a duration of at most 2^53 - 1 seconds", repr(text[:40]))
    return seconds


def decimal_text(value: Decimal) -> str:
    """The one spelling of a decimal: no exponent, no zeros that say nothing."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration_text(seconds: int) -> str:
    """The one spelling of a duration: whole seconds."""
    return f"PT{seconds}S"


def right_to_json(row: Operand, right: Right) -> Json:
    """A right operand in normal form."""
    if isinstance(right, tuple):
        return list(right)
    if isinstance(right, str):
        return right
    return {"@value": _literal_text(row, right), "@type": f"xsd:{_TYPES[row.kind]}"}


def value_to_json(row: Operand, value: Right) -> Json:
    """A left value as reports show it; `value_from_json` reads it back."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str) or row.kind is Kind.INTEGER:
        assert isinstance(value, str | int)
        return value
    return _literal_text(row, value)


def value_from_json(row: Operand, value: Json, where: str = "$") -> Right:
    """The inverse of `value_to_json`.

    Raises:
        DocumentError: another type or spelling than the row's.
    """
    if row.kind is Kind.NAMES and isinstance(value, list):
        return tuple(str(name) for name in value)
    if row.kind is Kind.INTEGER and isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and row.kind in _READERS:
        return _READERS[row.kind](value, where)
    raise DocumentError(where, f"a value of {row.term}", repr(value)[:60])


def _literal_text(row: Operand, value: int | Decimal | datetime) -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return duration_text(value) if row.kind is Kind.DURATION else str(value)


def _parse_one(row: Operand, value: object, where: str) -> str | int | Decimal | datetime:
    text = _literal(row, value, where)
    if row.kind is Kind.INSTANT:
        return parse_datetime(text, where)
    if row.kind is Kind.DECIMAL:
        found = parse_decimal(text, where)
        if row.most is not None and not 0 < found <= row.most:
            expected = f"a number above 0 and at most {row.most} for {row.term}"
            raise DocumentError(where, expected, repr(text[:40]))
        return found
    if row.kind is Kind.DURATION:
        return parse_duration(text, where)
    if row.kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(text) or int(text) > MAX_SAFE_INTEGER:
            raise DocumentError(where, f"digits such as {row.kind.value}", repr(text[:40]))
        return int(text)
    if not (row.pattern.fullmatch(text) if row.pattern else is_name(text)):
        expected = f"{row.unit or 'a name without spaces'} for {row.term}"
        raise DocumentError(where, expected, ascii(text[:40]))
    return text


def _literal(row: Operand, value: object, where: str) -> str:
    """The text inside a right operand's spelling, its type checked against the row's."""
    if isinstance(value, str) and row.kind not in _TYPED:
        return value
    name = _TYPES[row.kind]
    if isinstance(value, dict):
        text = value.get("@value")
        typed = value.keys() == {"@value", "@type"}
        if typed and isinstance(text, str) and value["@type"] in (f"xsd:{name}", XSD + name):
            return text
        iri = value.get("@id")
        if row.kind in _NAMED and value.keys() == {"@id"} and isinstance(iri, str):
            return iri
    raise DocumentError(where, f"{row.kind.value} for {row.term}", repr(value)[:80])


def _instant_from_text(text: str, where: str) -> datetime:
    try:
        return parse_instant(text)
    except DocumentError as error:
        raise DocumentError(where, error.expected, error.got) from error


_READERS: Mapping[Kind, Callable[[str, str], Right]] = MappingProxyType(
    {
        Kind.NAME: lambda text, _where: text,
        Kind.INSTANT: _instant_from_text,
        Kind.DECIMAL: parse_decimal,
        Kind.DURATION: parse_duration,
    }
)
