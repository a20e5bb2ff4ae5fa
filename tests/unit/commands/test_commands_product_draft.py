"""`tds product add DATA`: a product file and an offer to start from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands_site import Tds
from PIL import Image

from clients.governance import Registered
from clients.product import load_product
from commands import product_accept
from policies.odrl import parse_offer
from policies.rules import leaves

TABLE = "patient_id,radius,diagnosis\n17,1.5,malignant\n18,2.5,benign\n19,0.5,benign\n"


@pytest.fixture
def data(desk: Path) -> Path:
    (desk / "mine").mkdir()
    path = desk / "mine" / "My Biopsies.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_data_becomes_a_product_file_and_an_offer(tds: Tds, data: Path) -> None:
    ran = tds("product", "add", str(data), "--node", "clinic", "--purpose", "medical-research")
    assert (ran.code, ran.err) == (0, "")
    assert "3 rows; nothing was registered, and nothing left" in ran.out
    assert "classes, in this order: benign, malignant" in ran.out
    assert "taken for personal information" in ran.out
    product = load_product(data.with_name("My Biopsies.product.json"))
    assert (product.id, product.data) == ("clinic/my-biopsies", data.resolve())
    assert [column.role for column in product.columns] == ["ignored", "feature", "label"]
    offer = parse_offer(data.with_name("My Biopsies.offer.json").read_bytes())
    assert offer.to_json()["assigner"] == "clinic"


@pytest.mark.parametrize(
    ("words", "masked"),
    [
        ([], True),
        (["--participants", "3"], True),
        (["--participants", "1"], False),  # no sum of one is masked
        (["--no-masks"], False),
        (["--participants", "1", "--masks"], True),
    ],
)
def test_an_offer_demands_masks_unless_told_otherwise(
    tds: Tds, data: Path, words: list[str], masked: bool
) -> None:
    said = ("product", "add", str(data), "--node", "clinic", "--purpose", "medical-research")
    assert tds(*said, *words).code == 0
    offer = parse_offer(data.with_name("My Biopsies.offer.json").read_bytes())
    asked = [leaf.operand for leaf in leaves(offer.permissions[0].constraints)]
    assert ("secureAggregation" in asked) is masked


def test_what_is_there_is_never_written_over(tds: Tds, data: Path) -> None:
    tds("product", "add", str(data), "--node", "clinic")
    draft = data.with_name("My Biopsies.product.json")
    draft.write_text("edited", encoding="utf-8")
    again = tds("product", "add", str(data), "--node", "clinic")
    assert (again.code, draft.read_text(encoding="utf-8")) == (2, "edited")
    assert "edit it, or move it away" in again.err


def test_what_it_cannot_guess_from(tds: Tds, data: Path) -> None:
    data.write_text("a,b\n1.5,2.5\n", encoding="utf-8")
    ran = tds("product", "add", str(data), "--node", "clinic")
    assert "write the product file by hand" in ran.err
    assert (ran.code, sorted(path.name for path in data.parent.iterdir())) == (1, [data.name])
    ran = tds("product", "add", "product.json", "--node", "clinic", "--purpose", "x")
    assert (ran.code, "expected a data file with it" in ran.err) == (2, True)


def test_accepting_takes_what_its_owner_left(
    tds: Tds, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, ...]] = []

    @contextmanager
    def owner(_: Path) -> Iterator[SimpleNamespace]:
        def add_product(path: Path) -> Registered:
            taken.append(("registered", path.name))
            return Registered(index=7, id=load_product(path).id)

        yield SimpleNamespace(add_product=add_product)

    def publish(file: Path, _: Path, product: str, *, auto_agree: bool) -> None:
        taken.append(("offered", file.name, product, str(auto_agree)))

    monkeypatch.setattr(product_accept, "open_owner", owner)
    monkeypatch.setattr(product_accept, "publish_offer", publish)
    words = ("product", "add", str(data), "--node", "clinic", "--purpose", "x", "--accept")
    # Of persons, perhaps: nothing is taken unread.
    first = tds(*words)
    assert (first.code, taken) == (1, [])
    assert "read and correct both drafts, then give the same command again" in first.err
    # Read since, and corrected.
    draft = data.with_name("My Biopsies.product.json")
    draft.write_text(draft.read_text().replace("clinic/my-biopsies", "clinic/mine"))
    second = tds(*words)
    assert (second.code, second.err) == (0, "")
    assert taken == [
        ("registered", draft.name),
        ("offered", "My Biopsies.offer.json", "clinic/mine", "True"),
    ]


@pytest.mark.parametrize("words", [["biopsies.json", "--purpose", "x"], ["biopsies.csv"]])
def test_accepting_needs_data_and_a_purpose(tds: Tds, desk: Path, words: list[str]) -> None:
    ran = tds("product", "add", *words, "--node", "clinic", "--accept")
    assert (ran.code, "expected a data file and --purpose PURPOSE" in ran.err) == (2, True)


def test_a_database_becomes_a_product_file_in_this_folder(tds: Tds, desk: Path) -> None:
    with sqlite3.connect(desk / "records.db") as made:
        made.execute("CREATE TABLE visits (no integer, age integer, state text)")
        made.executemany(
            "INSERT INTO visits VALUES (?, ?, ?)", [(1, 40, "ill"), (2, 50, "well"), (3, 60, "ill")]
        )
    made.close()
    said = ("--database", "sqlite:///records.db", "--table", "visits", "--key", "no")
    ran = tds("product", "add", *said, "--node", "clinic", "--purpose", "medical-research")
    assert (ran.code, ran.err) == (0, "")
    product = load_product(desk / "visits.product.json")
    assert product.source is not None
    assert (product.id, product.source.key) == ("clinic/visits", ("no",))
    assert [column.name for column in product.columns] == ["age", "state"]
    assert (desk / "visits.offer.json").is_file()


def test_a_query_over_files_becomes_a_product_file(tds: Tds, data: Path) -> None:
    query = "SELECT patient_id, radius, diagnosis FROM biopsies"
    name = f"biopsies={data.relative_to(Path.cwd())}"
    said = ("--file", name, "--query", query, "--key", "patient_id")
    ran = tds("product", "add", *said, "--node", "clinic")
    assert (ran.code, ran.err) == (0, "")
    product = load_product(Path("query.product.json"))
    assert [column.role for column in product.columns] == ["feature", "label"]


def test_a_folder_of_images_becomes_a_product_file(tds: Tds, desk: Path) -> None:
    (desk / "scans" / "old").mkdir(parents=True)
    for number in range(4):
        Image.new("L", (4 + number, 4)).save(desk / "scans" / "old" / f"{number}.png")
    lines = [f"{number}.png,{'ill' if number % 2 else 'well'}" for number in range(4)]
    (desk / "scans.csv").write_text("\n".join(["file,finding", *lines, ""]))
    ran = tds("product", "add", "scans.csv", "--folder", "scans/old", "--node", "clinic")
    assert (ran.code, ran.err) == (0, "")
    assert "looked at 4 images of 4 sizes in 1 modes" in ran.out
    product = load_product(desk / "scans.product.json")
    assert product.media is not None
    assert product.media.folder == desk.resolve() / "scans" / "old"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a product file, or data"),
        (["p.json", "--folder", "x"], "expected a manifest"),
        (["p.json", "--table", "x"], "expected --database or --file with"),
        (["a.csv", "--database", "sqlite:///a.db"], "only one of them"),
        (["--database", "sqlite:///a.db", "--table", "t"], "expected the columns that put"),
        (["--database", "mysql://u:S3CRET@h/d", "--table", "t", "--key", "k"], "no password in it"),
        (["--file", "a.csv", "--query", "SELECT 1", "--key", "k"], "expected NAME=FILE"),
        (["a.csv", "--folder", ".."], "expected a folder below"),
    ],
)
def test_what_data_cannot_be(tds: Tds, desk: Path, words: list[str], message: str) -> None:
    ran = tds("product", "add", *words, "--node", "clinic")
    assert ran.code == 2
    assert message in " ".join(ran.err.split())
    assert "S3CRET" not in ran.err
