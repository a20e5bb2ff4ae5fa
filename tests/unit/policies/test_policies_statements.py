"""What participants register and state: one table of faults for each document."""

from __future__ import annotations

from typing import Any

import pytest

from policies.canonical import canonical_bytes, parse_canonical
from policies.errors import DocumentError
from policies.fields import Document
from policies.statements import (
    AGREEMENT_TYPE,
    PRODUCT_TYPE,
    WITHDRAWAL_TYPE,
    ProductCard,
    RoundItem,
    RunSpec,
    SignedAgreement,
    Withdrawal,
)

NOW = "2026-01-31T08:00:00.000Z"
DOCUMENTS: dict[type[Document], dict[str, Any]] = {
    ProductCard: {
        "version": 1,
        "id": "urn:tds:product:clinic-a:ecg:1",
        "participant": "clinic-a",
        "description": "d" * 64,
        "rows": 398,
        "modality": "tabular",
        "classification": "general",
        "personal_information": False,
        "registered": NOW,
        "data_version": 2,
        "jurisdiction": "mainland",
        "subject_consent": "table",
        "anonymization": "k-anonymity, k = 5",
        "filing_number": "网信备〔2026〕1号",
        "execution_environment": "confined",
        "readiness": {"rows": "398", "missing": "0.25"},
    },
    SignedAgreement: {"version": 1, "participant": "clinic-a", "document": "{}"},
    Withdrawal: {
        "version": 1,
        "id": "withdrawal-" + "0" * 32,
        "participant": "clinic-a",
        "agreement": "urn:uuid:1",
        "reason": "",
        "time": NOW,
    },
    RunSpec: {
        "version": 1,
        "app": "a" * 64,
        "purpose": "medical-research",
        "agreements": ["urn:uuid:1"],
        "rounds": 3,
        "deadline_s": 60,
        "quorum": 2,
        "min_cohort": 2,
        "memory_bytes": 1 << 30,
        "metrics": ["accuracy"],
        "config": {"lr": {"float": "0.1"}, "epochs": 1, "shuffle": True, "name": "x"},
        "pays": "10",
        "voucher": "voucher-1",
        "accelerator": "cuda",
        "clip_norm": "1.5",
        "secure_sum": "governance",
        "groups": 2,
        "privacy": {
            "unit": "subject",
            "parts": 16,
            "sample": "0.5",
            "noise": "4",
            "by": "nodes",
            "tolerated": 0,
            "delta": "0.00001",
        },
        "aggregation": "mean",
    },
    RoundItem: {
        "participant": "clinic-a",
        "product": "urn:tds:product:clinic-a:ecg:1",
        "outcome": "refused",
        "code": "consent-withdrawn",
        "text": "the owner took its consent back",
        "rows": 0,
    },
}
NO_NORMS = ("0", "0.0", "-1", "1e3", "1.50", "01", ".5", "inf", 1, None)
# What holds where a field is left out; all other fields must be there.
DEFAULTS: dict[type[Document], dict[str, Any]] = {
    ProductCard: {
        "data_version": 1,
        "jurisdiction": None,
        "subject_consent": "none",
        "anonymization": "",
        "filing_number": "",
        "execution_environment": "",
        "readiness": {},
    },
    RunSpec: {
        "pays": "0",
        "voucher": "",
        "accelerator": "none",
        "clip_norm": "",
        "secure_sum": "none",
        "groups": 1,
        "privacy": None,
        "aggregation": "mean",
    },
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_reads_back_through_its_one_spelling(kind: type[Document]) -> None:
    document = kind.from_json(DOCUMENTS[kind])
    data = canonical_bytes(document.to_json())
    assert data == canonical_bytes(DOCUMENTS[kind])
    assert kind.from_json(parse_canonical(data, max_bytes=len(data))) == document


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field)
        for kind, fields in DOCUMENTS.items()
        for field in fields
        if field not in DEFAULTS.get(kind, {})
    ],
)
def test_no_field_may_be_left_out_or_null(kind: type[Document], field: str) -> None:
    for fault in (
        {key: v for key, v in DOCUMENTS[kind].items() if key != field},
        DOCUMENTS[kind] | {field: None},
    ):
        with pytest.raises(DocumentError) as caught:
            kind.from_json(fault)
        assert caught.value.where == f"$.{field}"


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_holds_where_a_field_is_left_out(kind: type[Document]) -> None:
    given = {key: v for key, v in DOCUMENTS[kind].items() if key not in DEFAULTS[kind]}
    assert kind.from_json(given).to_json() == given | DEFAULTS[kind]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_no_field_may_be_added(kind: type[Document]) -> None:
    with pytest.raises(DocumentError) as caught:
        kind.from_json(DOCUMENTS[kind] | {"note": "x"})
    assert (caught.value.where, caught.value.got) == ("$.note", "this key")


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        (ProductCard, {"version": 2}, "$.version"),
        (ProductCard, {"version": True}, "$.version"),
        (ProductCard, {"id": "two words"}, "$.id"),
        (ProductCard, {"participant": "Clinic"}, "$.participant"),
        (ProductCard, {"description": ""}, "$.description"),
        (ProductCard, {"description": "D" * 64}, "$.description"),
        (ProductCard, {"rows": 0}, "$.rows"),
        (ProductCard, {"rows": 2**40 + 1}, "$.rows"),
        (ProductCard, {"rows": "398"}, "$.rows"),
        (ProductCard, {"modality": "video"}, "$.modality"),
        (ProductCard, {"classification": "secret"}, "$.classification"),
        (ProductCard, {"personal_information": 0}, "$.personal_information"),
        (ProductCard, {"registered": "2026-01-31"}, "$.registered"),
        (ProductCard, {"data_version": 0}, "$.data_version"),
        (ProductCard, {"data_version": True}, "$.data_version"),
        (ProductCard, {"data_version": 2**31}, "$.data_version"),
        (ProductCard, {"jurisdiction": "CN"}, "$.jurisdiction"),
        (ProductCard, {"jurisdiction": ""}, "$.jurisdiction"),
        (ProductCard, {"subject_consent": True}, "$.subject_consent"),
        (ProductCard, {"anonymization": "x" * 201}, "$.anonymization"),
        (ProductCard, {"filing_number": "two words"}, "$.filing_number"),
        (ProductCard, {"filing_number": "x" * 129}, "$.filing_number"),
        (ProductCard, {"readiness": {"mean": "1"}}, "$.readiness.mean.[key]"),
        (ProductCard, {"readiness": {"rows": 1}}, "$.readiness.rows"),
        (ProductCard, {"readiness": {"rows": "1e9"}}, "$.readiness.rows"),
        (ProductCard, {"readiness": {"rows": "-1"}}, "$.readiness.rows"),
        (ProductCard, {"readiness": {"rows": "0.1234567"}}, "$.readiness.rows"),
        (ProductCard, {"readiness": {"rows": "1" * 17}}, "$.readiness.rows"),
        (SignedAgreement, {"version": "1"}, "$.version"),
        (SignedAgreement, {"document": {}}, "$.document"),
        (SignedAgreement, {"document": "x" * 65_537}, "$.document"),
        (Withdrawal, {"version": 0}, "$.version"),
        (Withdrawal, {"id": "withdrawal-" + "0" * 31}, "$.id"),
        (Withdrawal, {"id": "withdrawal-" + "A" * 32}, "$.id"),
        (Withdrawal, {"agreement": ""}, "$.agreement"),
        (Withdrawal, {"reason": "the owner withdrew"}, "$.reason"),
        (Withdrawal, {"time": "2026-01-31T08:00:00.000+00:00"}, "$.time"),
        (RunSpec, {"app": "A" * 64}, "$.app"),
        (RunSpec, {"purpose": "any purpose"}, "$.purpose"),
        (RunSpec, {"agreements": []}, "$.agreements"),
        (RunSpec, {"agreements": ["a"] * 10_001}, "$.agreements"),
        (RunSpec, {"agreements": "urn:uuid:1"}, "$.agreements"),
        (RunSpec, {"rounds": 0}, "$.rounds"),
        (RunSpec, {"rounds": 100_001}, "$.rounds"),
        (RunSpec, {"deadline_s": 0}, "$.deadline_s"),
        (RunSpec, {"deadline_s": 86_401}, "$.deadline_s"),
        (RunSpec, {"quorum": 0}, "$.quorum"),
        (RunSpec, {"min_cohort": 0}, "$.min_cohort"),
        (RunSpec, {"memory_bytes": (1 << 26) - 1}, "$.memory_bytes"),
        (RunSpec, {"metrics": ["a"] * 17}, "$.metrics"),
        (RunSpec, {"config": {"two words": 1}}, "$.config.two words.[key]"),
        (RoundItem, {"outcome": "lost"}, "$.outcome"),
        (RunSpec, {"epsilon": "0.5"}, "$.epsilon"),
        (RunSpec, {"pays": "1e3"}, "$.pays"),
        (RunSpec, {"pays": "NaN"}, "$.pays"),
        (RunSpec, {"voucher": "two words"}, "$.voucher"),
        *((RunSpec, {"clip_norm": norm}, "$.clip_norm") for norm in NO_NORMS),
        (RunSpec, {"secure_sum": "homomorphic"}, "$.secure_sum"),
        (RunSpec, {"groups": 0}, "$.groups"),
        (RunSpec, {"aggregation": "sum"}, "$.aggregation"),
        (RoundItem, {"code": "x" * 65}, "$.code"),
        (RoundItem, {"text": "x" * 1001}, "$.text"),
        (RoundItem, {"rows": -1}, "$.rows"),
        (RoundItem, {"rows": 2**53}, "$.rows"),
    ],
)
def test_one_fault(kind: type[Document], changes: dict[str, Any], where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        kind.from_json(DOCUMENTS[kind] | changes)
    assert caught.value.where == where


@pytest.mark.parametrize(
    "value", [0.1, None, [], {"double": "0.1"}, {"float": 1}, {"float": "0.1", "double": "0.1"}]
)
def test_a_config_value_of_another_type(value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        RunSpec.from_json(DOCUMENTS[RunSpec] | {"config": {"lr": value}})
    assert caught.value.where.startswith("$.config.lr")


@pytest.mark.parametrize("value", [True, False, 0, 1, "1", "true", {"float": "1.0"}])
def test_a_config_value_keeps_its_type(value: Any) -> None:
    spec = RunSpec.from_json(DOCUMENTS[RunSpec] | {"config": {"x": value}})
    assert spec.config["x"] == value
    assert type(spec.config["x"]) is type(value)


def test_every_statement_has_a_type_of_its_own() -> None:
    assert len({PRODUCT_TYPE, AGREEMENT_TYPE, WITHDRAWAL_TYPE}) == 3
