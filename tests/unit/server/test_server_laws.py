"""The baseline of law: adopted word for word, and what it keeps out of catalogue and rounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from server_site import Crash, Site, constraint, make_fab, make_space

from policies.baseline import baseline_digest, parse_baselines
from policies.canonical import parse_json
from server.errors import RuleBroken, SpaceError
from server.laws import default_laws, read_laws
from server.rounds import RoundAnswer
from server.space import load_space

ANONYMIZE: dict[str, Any] = {"obligation": [{"action": "anonymize"}]}


def law(**changes: Any) -> str:
    """A law against marketing."""
    text = json.loads(default_laws()["core-data.jsonld"])
    rule = {"action": "use", "constraint": [constraint("purpose", "isA", "marketing")]}
    own = {"@id": "urn:x:1", "name": "no-marketing", "prohibition": [rule]}
    return json.dumps(text | own | changes, indent=1)


@pytest.fixture
def laws(tmp_path: Path) -> Path:
    """A folder with one law of somebody's own."""
    folder = tmp_path / "laws"
    folder.mkdir()
    (folder / "marketing.jsonld").write_text(law(), encoding="utf-8")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, laws: Path) -> Iterator[Site]:
    """A space with a baseline of its own."""
    site = Site.make(tmp_path / "space", baseline=laws)
    site.populate("alpha", "beta")
    yield site
    site.close()


def adopted(site: Site) -> list[Any]:
    return [entry.body for entry in site.entries() if entry.type == "BaselineAdopted"]


def first_report(site: Site, answer: RoundAnswer) -> Any:
    """The report of the first verdict, which stands in the entry before the decision."""
    made: Any = site.entries()[answer.decision_index - 1].body
    return made["reports"][0]


def reasons(answer: RoundAnswer) -> dict[str, list[str]]:
    return {
        verdict["participant"]: [reason["code"] for reason in verdict["reasons"]]
        for verdict in answer.verdicts
        if not verdict["permitted"]
    }


# -- adopting ------------------------------------------------------------------------------------


def test_a_new_space_adopts_the_laws_that_come_with_it_word_for_word(empty: Site) -> None:
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted"]
    (body,) = adopted(empty)
    assert {one["file"]: one["document"] for one in body["documents"]} == default_laws()
    parsed = parse_baselines(text.encode() for text in default_laws().values())
    assert body["digest"] == baseline_digest(parsed) == empty.governance.baseline.digest
    by_name = {one["name"]: one for one in body["documents"]}
    assert {name: one["digest"] for name, one in by_name.items()} == {
        one.name: one.digest for one in parsed
    }
    assert all(one["version"] and one["source"] for one in by_name.values())
    assert {one.name for one in empty.space.baseline_folder.iterdir()} == set(default_laws())


def test_what_was_adopted_is_not_adopted_again(site: Site) -> None:
    size = site.log.size
    site.reopen()
    assert site.log.size == size


def test_a_changed_folder_is_adopted_at_the_next_start_and_so_is_the_way_back(site: Site) -> None:
    path = site.space.baseline_folder / "marketing.jsonld"
    path.write_text(law(), encoding="utf-8")
    first = site.governance.baseline
    site.reopen()
    second = site.governance.baseline
    assert [one.name for one in second.laws] == sorted(
        [*(one.name for one in first.laws), "no-marketing"]
    )
    assert site.kinds()[-1] == "BaselineAdopted"
    path.unlink()
    site.reopen()
    third = site.governance.baseline
    assert (third.digest, third.laws) == (first.digest, first.laws)
    assert third.entry > second.entry > first.entry
    assert len(adopted(site)) == 3


def test_another_wording_is_another_adoption(site: Site) -> None:
    path = site.space.baseline_folder / "core-data.jsonld"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    before = site.governance.baseline
    site.reopen()
    assert site.governance.baseline.digest == before.digest
    assert adopted(site)[-1]["documents"] != adopted(site)[0]["documents"]


@pytest.mark.parametrize("step", ["signed", "committed", "published"])
def test_an_adoption_survives_a_crash(tmp_path: Path, empty: Site, step: str) -> None:
    (empty.space.baseline_folder / "marketing.jsonld").write_text(law(), encoding="utf-8")
    empty.close()

    def on_step(name: str) -> None:
        if name == step:
            raise Crash(step)

    empty.on_step = on_step
    with pytest.raises(Crash, match=step):
        empty.open()
    empty.reopen()
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted", "BaselineAdopted"]
    assert len(empty.governance.baseline.laws) == 4


def test_the_log_alone_gives_the_same_laws(site: Site) -> None:
    before = site.governance.baseline
    site.close()
    site.space.database.unlink()
    site.open()
    assert site.governance.baseline == before


def test_anybody_can_read_the_laws_in_force(site: Site) -> None:
    listed = [
        parse_json(data, max_bytes=1 << 20)
        for data in site.governance.list(site.nodes["alpha"].identity, "baseline")
    ]
    assert {one["file"]: one["document"] for one in listed} == default_laws()  # type: ignore[index, call-overload]
    assert {one["index"] for one in listed} == {1}  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("notes.txt", "x", r"only files \*\.jsonld"),
        ("folder.jsonld", None, r"only files \*\.jsonld"),
        ("bad.jsonld", "{", r"bad\.jsonld: \$"),
        ("bad.jsonld", law(permission=[{"action": "use"}]), r"\$\.permission"),
        ("bad.jsonld", law(profile="https://example.org"), r"\$\.profile"),
        ("bad.jsonld", law(surprise=1), r"\$\.surprise"),
        ("twin.jsonld", law(), "'no-marketing' twice"),
    ],
)
def test_a_folder_that_is_no_baseline_is_refused(
    tmp_path: Path, laws: Path, name: str, text: str | None, message: str
) -> None:
    if text is None:
        (laws / name).mkdir()
    else:
        (laws / name).write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match=message):
        make_space(tmp_path / "space", now=datetime.now(UTC), baseline=laws)
    assert not (tmp_path / "space").exists()


def test_a_baseline_without_any_law_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SpaceError, match="at least one law"):
        read_laws(tmp_path / "none")
    with pytest.raises(SpaceError, match="a folder with a baseline"):
        read_laws(tmp_path / "gone")
    (tmp_path / "none" / "x.jsonld").write_bytes(b"\xff")
    with pytest.raises(SpaceError, match="UTF-8"):
        read_laws(tmp_path / "none")


def test_a_space_whose_laws_were_lost_does_not_start(site: Site) -> None:
    for path in site.space.baseline_folder.iterdir():
        path.unlink()
    with pytest.raises(SpaceError, match="at least one law"):
        site.reopen()
    site.space.baseline_folder.rmdir()
    with pytest.raises(SpaceError, match="folder of the space"):
        load_space(site.folder)


# -- listing -------------------------------------------------------------------------------------


def test_personal_information_is_listed_only_with_a_table_of_consents(empty: Site) -> None:
    node = empty.enrol("alpha")
    size = empty.log.size
    with pytest.raises(RuleBroken, match="law-personal-information"):
        empty.add_product(node, personal_information=True)
    assert empty.log.size == size
    empty.add_product(node, personal_information=True, subject_consent="table")


def test_core_is_refused_in_the_words_of_before(empty: Site) -> None:
    with pytest.raises(RuleBroken, match="classified core is never listed"):
        empty.add_product(empty.enrol("alpha"), classification="core")


def test_a_space_with_other_laws_lists_what_they_allow(elsewhere: Site) -> None:
    node = elsewhere.enrol("gamma")
    elsewhere.add_product(node, personal_information=True)
    with pytest.raises(RuleBroken, match="core is never listed"):
        elsewhere.add_product(node, id="gamma/core", classification="core")


# -- rounds --------------------------------------------------------------------------------------


def test_a_decision_names_the_baseline_and_its_results(site: Site) -> None:
    answer = site.authorize(site.open_run())
    body: Any = site.entries()[answer.decision_index].body
    assert body["baseline"] == adopted(site)[0]["digest"]
    report = first_report(site, answer)
    digests = [one["digest"] for one in adopted(site)[0]["documents"]]
    assert sorted(one["policyDigest"] for one in report["baseline"]) == sorted(digests)


def test_the_values_come_from_log_entries(site: Site) -> None:
    site.add_product(
        site.nodes["alpha"], personal_information=True, subject_consent="table", data_version=2
    )
    answer = site.authorize(site.open_run())
    report = first_report(site, answer)
    named = {one["policy"].split(":")[3]: one for one in report["baseline"]}
    found = {
        part["leftOperand"]: part
        for rule in named["personal-information"]["rules"] + named["cross-border"]["rules"]
        for part in _leaves(rule["constraints"])
    }
    product, agreed = (
        max(
            index
            for index, entry in enumerate(site.entries())
            if entry.type == kind and entry.body["product"] == "alpha/records"
        )
        for kind in ("ProductRegistered", "AgreementConcluded")
    )
    values = {name: (part["leftValue"], part["source"]) for name, part in found.items()}
    assert values["personalInformation"] == ("yes", f"log entry {product}")
    assert values["subjectConsent"] == ("table", f"log entry {product}")
    assert values["filingNumber"] == ("none", f"log entry {product}")
    assert values["anonymization"] == ("none", f"log entry {agreed}")
    enrolled = site.kinds().index("ParticipantEnrolled")
    source = f"log entries {enrolled}, {product} and 0"
    assert values["crossBorder"] == ("no", source)
    assert reasons(answer) == {"alpha": ["law-personal-information"]}


def _leaves(parts: list[Any]) -> Iterator[Any]:
    for part in parts:
        if "parts" in part:
            yield from _leaves(part["parts"])
        else:
            yield part


def test_personal_information_needs_the_duty_and_a_method(empty: Site) -> None:
    said: dict[str, Any] = {"personal_information": True, "subject_consent": "table"}
    for name, method, changes in (
        ("alpha", "", {}),
        ("beta", "", ANONYMIZE),
        ("gamma", "k-anonymity, k = 5", ANONYMIZE),
    ):
        node = empty.enrol(name)
        empty.add_product(node, **said, anonymization=method)
        empty.agree(node, **changes)
    empty.governance.catalogue.register_app(make_fab(), "app")
    answer = empty.authorize(empty.open_run())
    found = reasons(answer)
    assert found["alpha"] == ["law-personal-information"]
    assert set(found) == {"alpha", "beta"}
    assert not any(code.startswith("law-") for code in found["beta"])


@pytest.mark.parametrize(
    ("number", "named", "permitted"),
    [("", True, False), ("F-1", False, False), ("F-1", True, True), ("", False, False)],
)
def test_crossing_needs_a_spatial_permission_and_a_filing_number(
    tmp_path: Path, number: str, named: bool, permitted: bool
) -> None:
    site = Site.make(tmp_path / "space", region="HK")
    try:
        node = site.enrol("alpha", region="CN-GD")
        site.add_product(node, filing_number=number)
        places = {"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": ["CN-GD", "HK"]}
        site.agree(node, *([places] if named else []))
        site.governance.catalogue.register_app(make_fab(), "app")
        answer = site.authorize(site.open_run())
        assert reasons(answer) == ({} if permitted else {"alpha": ["law-cross-border"]})
    finally:
        site.close()


def test_an_unknown_place_of_the_consumer_refuses(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "space", region="")
    try:
        site.populate("alpha")
        (found,) = reasons(site.authorize(site.open_run())).values()
        assert set(found) == {"law-cross-border"}
    finally:
        site.close()


def test_another_spaces_laws_decide_there(elsewhere: Site) -> None:
    answer = elsewhere.authorize(elsewhere.open_run(purpose="targeted-advertising"))
    assert reasons(answer) == {name: ["law-no-marketing"] for name in ("alpha", "beta")}
    assert reasons(elsewhere.authorize(elsewhere.open_run("run-2"))) == {}
