"""Field types, instants and the base document: what each refuses, and what an error may show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from policies.canonical import Json
from policies.errors import DocumentError
from policies.fields import (
    Amount,
    Count,
    Decimal,
    Document,
    Id,
    Instant,
    ParticipantId,
    Sha256,
    Text,
    Version,
    instant,
    json_path,
    parse_instant,
)


class Inner(Document):
    count: Count


class Sample(Document):
    name: Id
    inner: list[Inner] = Field(default=[])
    secret: Annotated[str, Field(max_length=9, repr=False)] = ""


SECRET = "correct horse battery staple"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Version, 1),
        (Sha256, "0" * 64),
        (Id, "a"),
        (Id, "urn:tds:product/clinic-a.ecg_1"),
        (Id, "x" * 128),
        (ParticipantId, "clinic-a"),
        (ParticipantId, "0" * 63),
        (Instant, "2026-01-31T08:00:00.000Z"),
        (Text, ""),
        (Text, "中" * 1000),
        (Count, 0),
        (Count, 2**53 - 1),
        (Decimal, "0"),
        (Decimal, "-0.5"),
        (Decimal, "1e-05"),
        (Decimal, "12.50e+3"),
    ],
)
def test_accepted(kind: Any, value: object) -> None:
    assert TypeAdapter(kind).validate_python(value, strict=True) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Version, 0),
        (Version, 2),
        (Version, True),
        (Sha256, "0" * 63),
        (Sha256, "0" * 65),
        (Sha256, "A" * 64),
        (Sha256, "0" * 64 + "\n"),
        (Id, ""),
        (Id, "-a"),
        (Id, "a b"),
        (Id, "é"),
        (Id, "a\n"),
        (Id, "x" * 129),
        (ParticipantId, ""),
        (ParticipantId, "Clinic"),
        (ParticipantId, "-clinic"),
        (ParticipantId, "a.b"),
        (ParticipantId, "0" * 64),
        (Instant, "2026-01-31T08:00:00Z"),
        (Instant, "2026-01-31T08:00:00.000+00:00"),
        (Instant, "2026-01-31 08:00:00.000Z"),
        (Instant, "2026-01-31T08:00:00.000z"),
        (Instant, "２026-01-31T08:00:00.000Z"),
        (Text, "x" * 1001),
        (Text, "\ud800"),
        (Count, -1),
        (Count, 2**53),
        (Count, True),
        (Count, "1"),
        (Count, 1.0),
        (Decimal, ""),
        (Decimal, "nan"),
        (Decimal, "inf"),
        (Decimal, "01"),
        (Decimal, "+1"),
        (Decimal, "1."),
        (Decimal, ".5"),
        (Decimal, "1E5"),
        (Decimal, "0.٣"),
        (Decimal, "1" * 41),
        (Decimal, 0.5),
    ],
)
def test_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value, strict=True)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00.000Z"),
        (
            datetime(2026, 1, 31, 16, tzinfo=timezone(timedelta(hours=8))),
            "2026-01-31T08:00:00.000Z",
        ),
        (datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC), "2024-02-29T23:59:59.999Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_one_spelling_of_a_moment(moment: datetime, text: str) -> None:
    assert instant(moment) == text
    read = parse_instant(text)
    assert read == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert read.utcoffset() == timedelta(0)


def test_a_naive_moment_has_no_spelling() -> None:
    with pytest.raises(ValueError, match="aware"):
        instant(datetime(2026, 1, 31))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01T00:00:00.000Z",
        "2026-00-01T00:00:00.000Z",
        "2026-02-29T00:00:00.000Z",
        "2026-01-31T24:00:00.000Z",
        "2026-01-31T08:60:00.000Z",
        "2026-12-31T23:59:60.000Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.000+14:00",
        "2026-01-31",
        "2026-01-31T08:00:00.000",
        "2026-01-31T08:00:00Z",
        "2026-01-31T08:00:00.000000Z",
        "2026-01-31T08:00:00.000+00:00",
        "2026-01-31T16:00:00.000+08:00",
        "20260131T080000.000Z",
        "2026-W05-6T08:00:00.000Z",
        "2026-01-31 08:00:00.000Z",
        "２026-01-31T08:00:00.000Z",
    ],
)
def test_no_moment_or_another_spelling(text: str) -> None:
    with pytest.raises(DocumentError, match="a moment like") as caught:
        parse_instant(text)
    assert caught.value.got == repr(text)


def test_a_document_reads_back_equal() -> None:
    sample = Sample.from_json({"name": "a", "inner": [{"count": 1}], "secret": "s"})
    assert Sample.from_json(sample.to_json()) == sample
    with pytest.raises(ValidationError, match="frozen"):
        sample.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "where", "got"),
    [
        ([1], "$", "a list"),
        ("x", "$", "'x'"),
        (None, "$", "None"),
        ({}, "$.name", "nothing"),
        ({"name": 1}, "$.name", "1"),
        ({"name": {"a": 1}}, "$.name", "an object"),
        ({"name": "x" * 200}, "$.name", "'" + "x" * 79),
        ({"name": "a", "inner": [{"count": 1}, {"count": -1}]}, "$.inner[1].count", "-1"),
        ({"name": "a", "inner": [{}]}, "$.inner[0].count", "nothing"),
        ({"name": "a", "inner": {}}, "$.inner", "an object"),
        ({"name": "a", "other": SECRET}, "$.other", "this key"),
        ({"name": "a", "y" * 99: 1}, "$." + "y" * 60, "this key"),
        ({"name": "a", "secret": SECRET}, "$.secret", "a value that is not shown"),
    ],
)
def test_the_first_fault_with_its_place(value: Any, where: str, got: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Sample.from_json(value)
    assert (caught.value.where, caught.value.got) == (where, got)
    assert caught.value.expected
    assert "Sample" not in caught.value.expected
    assert not caught.value.expected.startswith(("Input", "Value error", "String"))
    assert SECRET not in f"{caught.value}{caught.value.__cause__}"


def test_a_secret_is_not_in_repr() -> None:
    assert "hidden" not in repr(Sample(name="a", secret="hidden"))


def test_a_path_names_keys_and_positions() -> None:
    assert json_path(()) == "$"
    assert json_path(("cohort", 0, "key")) == "$.cohort[0].key"
    assert json_path(("region", "function-after[_region(), str]")) == "$.region"
    assert json_path(("region", "literal['']")) == "$.region"
    assert json_path(("an[unknown]", "key")) == "$.an[unknown].key"


class Priced(Document):
    pays: Amount
    app: Sha256


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("pays", "ten", "a number such as 0.5 or 12"),
        ("pays", "1e3", "without sign, exponent and trailing zeros"),
        ("app", "abc", "a SHA-256: 64 digits of 0-9 and a-f"),
    ],
)
def test_a_pattern_is_told_in_words(field: str, text: str, expected: str) -> None:
    values: dict[str, Json] = {"pays": "1", "app": "0" * 64}
    with pytest.raises(DocumentError) as caught:
        Priced.from_json(values | {field: text})
    assert caught.value.where == f"$.{field}"
    assert expected in caught.value.expected
