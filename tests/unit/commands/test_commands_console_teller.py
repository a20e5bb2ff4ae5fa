"""What `tds serve` lends the console: sentences in time, a report by a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_site import Site

from commands.console_teller import ConsoleTeller
from policies.entries import Entry
from server.errors import TooMany, Unavailable


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("told") / "space")
    made.populate("alpha", "beta")
    made.whole_round(made.open_run(), "ask-1")
    yield made
    made.close()


def test_an_entry_is_told_in_both_languages(site: Site) -> None:
    teller, folder = ConsoleTeller(site.space.card.log_key), site.space.log_folder
    index = [*site.kinds()].index("RoundDecided")
    told = teller.explain(folder, index, language="en", names={"alpha": "Riverside"})
    assert "2 of 2 candidates permitted" in told.says[0]
    assert [one.permitted for one in told.verdicts] == [True, True]
    assert any("Riverside (alpha)" in one.headline for one in told.verdicts)
    assert "PermitIssued" in {one.type for one in told.followed} and told.more_followed == 0
    entry = site.entries()[index]
    sentence = teller.sentence(entry, language="zh", names={})
    assert sentence == teller.explain(folder, index, language="zh", names={}).says[0]
    malformed = Entry("RoundDecided", entry.time, {})
    assert teller.sentence(malformed, language="en", names={}) == ""


def test_what_takes_too_long_names_the_command(site: Site) -> None:
    folder = site.space.log_folder
    hasty = ConsoleTeller(site.space.card.log_key, explain_s=0.0, report_s=0.05)
    with pytest.raises(Unavailable, match=r"tds audit explain ./log 3"):
        hasty.explain(folder, 3, language="en", names={})
    with pytest.raises(Unavailable, match=r"longer than 0.05 s here.*tds audit report"):
        hasty.report(folder, language="en")
    teller = ConsoleTeller(site.space.card.log_key)
    with teller._reporting, pytest.raises(TooMany, match="one is being made"):
        teller.report(folder, language="en")


def test_there_is_no_report_of_a_log_that_does_not_hold(site: Site) -> None:
    other = site.space.card.log_key.replace("+", "x+", 1)
    with pytest.raises(Unavailable, match="tds audit report ended with 2"):
        ConsoleTeller(other).report(site.space.log_folder, language="en")
    file = site.space.log_folder / f"tile/0/000.p/{site.log.size}"
    before = file.read_bytes()
    file.write_bytes(bytes(32) + before[32:])
    try:
        with pytest.raises(Unavailable, match=r"of a log that does not hold: .*entry 0"):
            ConsoleTeller(site.space.card.log_key).report(site.space.log_folder, language="en")
    finally:
        file.write_bytes(before)
