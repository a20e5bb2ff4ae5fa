"""Yesterday's copy of a space put back: governance refuses to sign a second history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from server_site import Site

from ledger.errors import LogDamaged
from server.errors import SpaceError
from server.space import load_space


@pytest.mark.parametrize(
    "restored",
    [
        pytest.param("", id="the-whole-space"),
        pytest.param("governance", id="the-databases"),
        pytest.param("governance/ledger.db", id="the-log-s-database"),
    ],
)
def test_yesterday_s_space_does_not_start(tmp_path: Path, restored: str) -> None:
    elsewhere = tmp_path / "elsewhere" / "last-signed"
    site = Site.make(tmp_path / "space", last_signed=elsewhere)
    site.populate()
    site.close()
    shutil.copytree(site.folder, tmp_path / "yesterday")
    site.open()
    site.whole_round(site.open_run(), "ask-1")
    size = site.log.size
    site.close()

    target = site.folder / restored
    if target.is_dir():
        shutil.rmtree(target)
        shutil.copytree(tmp_path / "yesterday" / restored, target)
    else:
        shutil.copy(tmp_path / "yesterday" / restored, target)
    for _ in range(2):
        with pytest.raises(LogDamaged, match=f"covers {size} entries.*Restore the newest database"):
            site.open()
        site.close()
    assert elsewhere.read_text(encoding="utf-8").splitlines()[1] == str(size)


def test_the_record_lies_in_the_space_unless_a_place_is_named(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "space")
    site.close()
    assert site.space.last_signed == tmp_path / "space" / "governance" / "last-signed"
    assert site.space.last_signed.is_file()
    config = tmp_path / "space" / "space.json"
    text = config.read_text(encoding="utf-8")
    assert '"last_signed":""' in text
    config.write_text(text.replace('"last_signed":""', '"last_signed":"here"'), encoding="utf-8")
    with pytest.raises(SpaceError, match="last_signed"):
        load_space(tmp_path / "space")
