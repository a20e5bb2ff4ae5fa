"""The readiness report: each figure, each finding; of it only the agreed figures leave."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import duckdb
import numpy as np
import pytest
from pydantic import TypeAdapter
from test_clients_gate import NOW
from test_clients_owner import DOWN, NO, Site, product_file
from test_clients_owner import site as site  # noqa: PLC0414  the fixture

from clients.errors import ClientError, GovernanceError, ProductError, VaultError
from clients.findings import Feature, findings
from clients.materials import OwnMaterials
from clients.product import Product
from clients.readiness import decimal, psi, read_readiness, shared_figures
from clients.summary import load_summary, save_summary
from policies.disclosure import ProductText, parse_opening
from policies.envelope import open_envelope
from policies.statements import PRODUCT_TYPE, Column, Figure, ProductCard, Share

HEADER = "radius,count,patient,diagnosis\n"
EVEN = "".join(f"{n}.5,{n % 7},p{n},{'ab'[n % 2]}\n" for n in range(200))


def product(
    data: Path, *, version: int = 1, columns: tuple[str, ...] = ("radius", "count")
) -> Product:
    kinds: dict[str, Any] = {"radius": "float", "count": "integer"}
    return Product(
        id="clinic-a/x",
        title="t",
        data=data,
        columns=(
            *(Column(name=name, type=kinds[name], role="feature") for name in columns),
            Column(name="patient", type="string", role="ignored"),
            Column(name="diagnosis", type="string", role="label"),
        ),
        classes=("a", "b"),
        held_back=Decimal("0"),
        modality="tabular",
        classification="general",
        personal_information=False,
        data_version=version,
    )


def written(folder: Path, rows: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def codes(*given: Any, **changes: Any) -> list[str]:
    calm: dict[str, Any] = {
        "rows": 200,
        "missing": {"radius": 0},
        "duplicates": 0,
        "classes": {"a": 100, "b": 100},
        "features": [Feature("radius", 0.0, 1.0, 0.5, 0.1, None)],
        "label_psi": None,
        "unknown": [],
    }
    return [f"{one.code} {one.points}" for one in findings(**(calm | changes))]


# -- what is counted -----------------------------------------------------------------------------


def test_data_without_fault_is_ready(tmp_path: Path) -> None:
    report, _ = read_readiness(product(written(tmp_path, EVEN)), None)
    assert (report.rows, report.duplicates, report.score) == (200, 0, 100)
    assert (report.verdict, report.findings) == ("ready", ())
    assert report.classes == {"a": 100, "b": 100}
    assert set(report.missing.values()) == {0}
    radius = report.features[0]
    assert (radius.least, radius.most, radius.psi) == (0.5, 199.5, None)
    assert radius.mean == pytest.approx(100.0)
    assert radius.std == pytest.approx(float(np.std(np.arange(200))))
    assert report.compared_with is None


def test_gaps_and_repeats_are_counted(tmp_path: Path) -> None:
    rows = "1,2,p1,a\n1,2,p2,a\n,2,,b\n3, ,p4,b\n1,2,p5,a\n"
    report, summary = read_readiness(product(written(tmp_path, rows)), None)
    assert dict(report.missing) == {"radius": 1, "count": 1, "patient": 1, "diagnosis": 0}
    assert (report.rows, report.duplicates) == (5, 2)
    assert (report.features[0].least, report.features[0].most) == (1.0, 3.0)
    assert report.verdict == "not-ready"
    assert "missing" in {one.code for one in report.findings}
    assert sum(summary.features[0].counts) == 4


def test_gaps_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    values = "(1.5::DOUBLE, 1, 'p', 'a'), ('nan'::DOUBLE, NULL, NULL, 'b'), (NULL, 2, 'q', 'b')"
    duckdb.connect().execute(
        f"COPY (SELECT * FROM (VALUES {values}) t(radius, count, patient, diagnosis)) TO '{path}'"
    )
    report, _ = read_readiness(product(path), None)
    assert dict(report.missing) == {"radius": 2, "count": 1, "patient": 1, "diagnosis": 0}


def test_a_column_without_any_value(tmp_path: Path) -> None:
    report, summary = read_readiness(product(written(tmp_path, ",1,p,a\n,2,q,b\n")), None)
    assert report.missing["radius"] == 2
    assert summary.features[0].edges == []
    again, _ = read_readiness(product(written(tmp_path, ",1,p,a\n,2,q,b\n")), summary)
    assert again.features[0].psi is None


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "1 to 50000000 rows"),
        ("SECRET,1,p,a\n", "'radius', row 1: expected a finite float"),
        ("1,1.5,p,a\n", "'count', row 1"),
        ("inf,1,p,a\n", "'radius', row 1"),
        ("1,1,p,SECRET\n", "'diagnosis', row 1: expected one of the product's classes"),
        ("1,1,p\n", "as many cells as the header"),
    ],
)
def test_bad_data_is_refused_without_its_values(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(VaultError, match=words) as caught:
        read_readiness(product(written(tmp_path, rows)), None)
    assert "SECRET" not in f"{caught.value}{caught.value.__cause__}"


def test_a_missing_file_or_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VaultError):
        read_readiness(product(tmp_path / "none.csv"), None)
    (tmp_path / "data.csv").write_text("radius\n1\n", encoding="utf-8")
    with pytest.raises(VaultError, match="'count'"):
        read_readiness(product(tmp_path / "data.csv"), None)


# -- drift ---------------------------------------------------------------------------------------


def test_the_stability_index_by_hand() -> None:
    before, now = np.array([50, 50]), np.array([25, 75])
    expected = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)
    assert psi(before, now) == pytest.approx(expected)
    assert psi(now, before) == pytest.approx(expected)
    assert psi(before, before) == 0
    assert psi(np.array([10, 0]), np.array([0, 10])) == pytest.approx(
        2 * (1 - 1e-4) * math.log(1 / 1e-4)
    )
    assert psi(np.array([0, 0]), np.array([0, 0])) == 0


def test_the_same_data_has_not_moved(tmp_path: Path) -> None:
    one = product(written(tmp_path, EVEN))
    _, summary = read_readiness(one, None)
    report, _ = read_readiness(one, summary)
    assert [feature.psi for feature in report.features] == [0.0, 0.0]
    assert (report.label_psi, report.compared_with, report.verdict) == (0.0, 1, "ready")


def test_data_that_moved_is_told(tmp_path: Path) -> None:
    _, summary = read_readiness(product(written(tmp_path, EVEN)), None)
    moved = "".join(f"{n}.5,{n % 7},p{n},{'ab'[n % 10 > 0]}\n" for n in range(150, 350))
    report, _ = read_readiness(product(written(tmp_path, moved), version=2), summary)
    assert report.features[0].psi is not None and report.features[0].psi > 0.25
    assert report.features[1].psi is not None and report.features[1].psi < 0.1
    assert {"drift", "label-drift", "imbalance"} <= {one.code for one in report.findings}
    figures = shared_figures(report, ("drift", "label_drift"))
    assert Decimal(figures["drift"]) > Decimal("0.25")


def test_features_that_came_or_went_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, EVEN)
    _, summary = read_readiness(product(path, columns=("radius",)), None)
    report, _ = read_readiness(product(path), summary)
    assert [one.text for one in report.findings] == ["not in both versions: 'count'"]
    assert report.features[1].psi is None


def test_a_feature_with_one_value_moves_too(tmp_path: Path) -> None:
    same = "".join(f"5,{n},p{n},{'ab'[n % 2]}\n" for n in range(200))
    report, summary = read_readiness(product(written(tmp_path, same)), None)
    assert [one.code for one in report.findings] == ["constant"]
    again, _ = read_readiness(product(written(tmp_path, same)), summary)
    assert again.features[0].psi == 0
    less = "".join(f"4,{n},p{n},{'ab'[n % 2]}\n" for n in range(200))
    report, _ = read_readiness(product(written(tmp_path, less)), summary)
    assert report.features[0].psi is not None and report.features[0].psi > 0.25


# -- findings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"missing": {"radius": 1}}, ["missing 40"]),
        ({"classes": {"a": 200, "b": 0}}, ["class-empty 40"]),
        ({"rows": 99}, ["rows-few 10"]),
        ({"duplicates": 2}, []),
        ({"duplicates": 3}, ["duplicates 10"]),
        ({"duplicates": 41}, ["duplicates 30"]),
        ({"classes": {"a": 150, "b": 50}}, []),
        ({"classes": {"a": 160, "b": 40}}, ["imbalance 5"]),
        ({"classes": {"a": 190, "b": 10}}, ["imbalance 20"]),
        ({"features": [Feature("x", 1.0, 1.0, 1.0, 0.0, None)]}, ["constant 5"]),
        (
            {"features": [Feature(f"x{n}", 1.0, 1.0, 1.0, 0.0, None) for n in range(9)]},
            ["constant 20"],
        ),
        ({"features": [Feature("x", 0.0, 1.0, 0.5, 0.1, 0.1)]}, []),
        ({"features": [Feature("x", 0.0, 1.0, 0.5, 0.1, 0.11)]}, ["drift 10"]),
        ({"features": [Feature("x", 0.0, 1.0, 0.5, 0.1, 0.26)]}, ["drift 20"]),
        ({"label_psi": 0.2}, ["label-drift 10"]),
        ({"label_psi": 0.3}, ["label-drift 20"]),
        ({"unknown": ["y"]}, ["schema 5"]),
    ],
)
def test_the_table_of_findings(changes: dict[str, Any], expected: list[str]) -> None:
    assert codes(**changes) == expected


def test_many_names_are_cut() -> None:
    (one,) = findings(
        rows=200,
        missing={},
        duplicates=0,
        classes={"a": 1, "b": 1},
        features=[],
        label_psi=None,
        unknown=[f"f{n}" for n in range(8)],
    )
    assert one.text.endswith("'f4' and 3 more")


def test_the_score_does_not_fall_below_nothing(tmp_path: Path) -> None:
    report, _ = read_readiness(product(written(tmp_path, ",1,p,a\n,1,p,a\n,1,p,a\n")), None)
    assert (report.score, report.verdict) == (0, "not-ready")


# -- what leaves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", get_args(Share))
def test_each_figure_is_one_bounded_decimal(tmp_path: Path, name: Share) -> None:
    one = product(written(tmp_path, EVEN))
    _, summary = read_readiness(one, None)
    report, _ = read_readiness(one, summary)
    figures = shared_figures(report, [name])
    assert list(figures) == [name]
    TypeAdapter(dict[Share, Figure]).validate_python(figures)


def test_a_figure_that_there_is_not_is_left_out(tmp_path: Path) -> None:
    report, _ = read_readiness(product(written(tmp_path, "1,1,p,a\n2,1,p,a\n")), None)
    assert shared_figures(report, ("drift", "label_drift", "imbalance")) == {}
    assert shared_figures(report, ("smallest_class",)) == {"smallest_class": "0"}
    assert shared_figures(report, ()) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0000001, "0"),
        (0.5, "0.5"),
        (1 / 3, "0.333333"),
        (5e7, "50000000"),
        (100, "100"),
    ],
)
def test_decimals(value: float, text: str) -> None:
    assert decimal(value) == text


def card_of(site: Site, heard: bytes) -> ProductCard:
    key = site.identity.keys.receipt.public_key()
    return ProductCard.from_json(open_envelope(heard, payload_type=PRODUCT_TYPE, key=key))


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (None, {"rows": "4"}),
        ([], {}),
        (["rows", "missing", "imbalance"], {"rows": "4", "missing": "0", "imbalance": "1"}),
        (["score"], {"score": "90"}),
        (["drift"], {}),
    ],
)
def test_only_the_agreed_figures_leave(
    site: Site, share: list[str] | None, expected: dict[str, str]
) -> None:
    changes = {} if share is None else {"share_readiness": share}
    site.owner.add_product(product_file(site.data, **changes))
    (heard,) = site.governance.heard
    card = card_of(site, heard)
    assert card.readiness == expected
    # Beside them only what the product file says, and how many rows there are.
    said = json.loads((site.data / "product.json").read_text(encoding="utf-8"))
    stated = {key: value for key, value in card.to_json().items() if key in said}
    assert stated == {key: said[key] for key in stated}
    rest = set(card.to_json()) - set(said) - {"readiness"}
    assert rest == {
        "participant",
        "description",
        "rows",
        "registered",
        "data_version",
        "jurisdiction",
        "subject_consent",
        "anonymization",
        "filing_number",
        "execution_environment",
    }
    assert (card.rows, card.jurisdiction, card.subject_consent) == (4, None, "none")
    assert (card.anonymization, card.filing_number, card.execution_environment) == ("", "", "")


def test_no_value_of_the_data_is_in_what_leaves(site: Site) -> None:
    path = product_file(site.data, share_readiness=list(get_args(Share)))
    (site.data / "data.csv").write_text("x,kind\n" + "31337.125,a\n31338.25,b\n" * 3)
    site.owner.add_product(path)
    (heard,) = site.governance.heard
    text = card_of(site, heard).model_dump_json()
    assert "3133" not in text
    kept = site.identity.paths.summary("clinic-a/cytology")
    assert "31337.125" in kept.read_text(encoding="utf-8")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


# -- versions ------------------------------------------------------------------------------------


def second(site: Site) -> Path:
    rows = "".join(f"{n}.5,{'ab'[n % 2]}\n" for n in range(50, 62))
    path = product_file(site.data, data_version=2, share_readiness=["drift"])
    (site.data / "data.csv").write_text("x,kind\n" + rows)
    return path


def test_a_newer_version_takes_the_place_of_the_last_and_tells_its_drift(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    site.owner.add_product(second(site))
    card = card_of(site, site.governance.heard[-1])
    assert (card.data_version, card.rows) == (2, 12)
    assert Decimal(card.readiness["drift"]) > Decimal("0.25")
    record = site.state.product("clinic-a/cytology")
    assert record is not None
    assert (record.rows, record.data_version, record.registered) == (12, 2, 2)
    materials = OwnMaterials(identity=site.identity, state=site.state)
    assert materials.select("clinic-a/cytology", purpose="marketing", now=NOW).count == 12
    assert not site.identity.paths.pending("clinic-a/cytology").exists()
    report = site.owner.readiness(site.data / "product.json")
    assert (report.compared_with, report.label_psi) == (2, 0.0)


@pytest.mark.parametrize("late", [False, True], ids=["lost", "answer-lost"])
def test_a_newer_version_that_was_cut_off_sends_the_same_card_again(site: Site, late: bool) -> None:
    site.owner.add_product(product_file(site.data))
    before = site.state.product("clinic-a/cytology")
    path = second(site)
    site.governance.error, site.governance.late = DOWN, late
    with pytest.raises(GovernanceError):
        site.owner.add_product(path)
    assert site.state.product("clinic-a/cytology") == before
    materials = OwnMaterials(identity=site.identity, state=site.state)
    with pytest.raises(ProductError, match="changed since"):
        materials.select(
            "clinic-a/cytology", purpose="marketing", now=NOW
        )  # neither version is used meanwhile
    site.governance.error = None
    site.owner.add_product(path)
    assert len(set(site.governance.heard[1:])) == 1
    record = site.state.product("clinic-a/cytology")
    assert record is not None and record.data_version == 2


def test_a_newer_version_that_was_refused_can_be_corrected(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    path = second(site)
    site.governance.error = NO
    with pytest.raises(GovernanceError):
        site.owner.add_product(path)
    site.governance.error = None
    corrected = product_file(site.data, data_version=2, title="Corrected")
    site.owner.add_product(corrected)
    opening = parse_opening(site.governance.openings[-1])
    assert isinstance(opening.value, ProductText)
    assert opening.value.title == "Corrected"
    assert card_of(site, site.governance.heard[-1]).description == opening.commitment


def test_a_version_that_is_not_above_the_last_is_refused(site: Site) -> None:
    site.owner.add_product(product_file(site.data, data_version=2))
    for version in (1, 2):
        with pytest.raises(ClientError, match="higher data_version"):
            site.owner.add_product(product_file(site.data, data_version=version, title="Other"))
    assert len(site.governance.heard) == 1


def test_data_that_changed_meanwhile_is_not_registered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = product_file(site.data)

    def grown(given: Any, earlier: Any) -> Any:
        with (site.data / "data.csv").open("a") as file:
            file.write("5.5,a\n")
        return read_readiness(given, earlier)

    monkeypatch.setattr("clients.registering.read_readiness", grown)
    with pytest.raises(VaultError, match="changed while it was read"):
        site.owner.add_product(path)
    assert site.governance.heard == []


def test_a_pending_file_that_was_damaged_is_told(site: Site) -> None:
    site.owner.add_product(product_file(site.data))
    place = site.identity.paths.pending("clinic-a/cytology")
    place.parent.mkdir(mode=0o700)
    place.write_text("{}")
    with pytest.raises(ProductError, match="remove it, and register the version again"):
        site.owner.add_product(second(site))


# -- the summary ---------------------------------------------------------------------------------


def test_a_summary_reads_back(tmp_path: Path) -> None:
    one = product(written(tmp_path, EVEN))
    _, summary = read_readiness(one, None)
    save_summary(tmp_path / "kept" / "x.json", summary)
    assert load_summary(tmp_path / "kept" / "x.json") == summary
    assert load_summary(tmp_path / "kept" / "y.json") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(version=2),
        lambda d: d.update(note="x"),
        lambda d: d["features"][0].update(counts=[1]),
        lambda d: d["features"][0].update(edges=["one"]),
        lambda d: d["classes"][0].update(rows=-1),
        lambda d: d.pop("rows"),
    ],
)
def test_a_summary_with_a_fault_is_refused(tmp_path: Path, change: Any) -> None:
    _, summary = read_readiness(product(written(tmp_path, EVEN)), None)
    document = json.loads(json.dumps(summary.to_json()))
    change(document)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ProductError, match="drift is not told"):
        load_summary(path)


def test_the_report_as_json_has_no_floats(tmp_path: Path) -> None:
    report, _ = read_readiness(product(written(tmp_path, EVEN)), None)

    def no_float(text: str) -> float:
        raise AssertionError(text)

    document = json.loads(json.dumps(report.to_json()), parse_float=no_float)
    assert document["verdict"] == "ready"
    assert document["features"][0] == {
        "name": "radius",
        "least": "0.5",
        "most": "199.5",
        "mean": "100.0",
        "std": repr(float(np.std(np.arange(200)))),
        "psi": None,
    }
    assert document["schema"][0] == {"name": "radius", "type": "float", "role": "feature"}
