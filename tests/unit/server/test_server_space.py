from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from server_site import SPACE, make_space

from ledger.note import NoteVerifier
from server.errors import SpaceError
from server.files import write_secret
from server.pki import parse_identity
from server.space import Space, init_space, load_space

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SECRETS = (
    "ca/ca.key",
    "keys/permit.key",
    "keys/log.key",
    "keys/registrar.key",
    "governance/tls.key",
    "superlink/tls.key",
    "superlink/superexec.secret",
    "operator/tls.key",
    "consumer/tls.key",
)


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return make_space(tmp_path / "space", now=NOW)


def test_a_space_is_whole_and_its_secrets_are_private(space: Space) -> None:
    for name in SECRETS:
        assert stat.S_IMODE((space.folder / name).stat().st_mode) == 0o600, name
    for folder in (space.folder, *(one for one in space.folder.rglob("*") if one.is_dir())):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert len((space.folder / "superlink/superexec.secret").read_bytes()) == 32
    assert load_space(space.folder).card == space.card


def test_the_umask_does_not_widen_anything(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        test_a_space_is_whole_and_its_secrets_are_private(make_space(tmp_path / "s", now=NOW))
    finally:
        os.umask(before)


def test_the_card_states_the_keys(space: Space) -> None:
    card = space.card
    assert card.name == SPACE
    assert card.permit_key == space.permit_key().public_key().public_bytes_raw().hex()
    assert card.registrar_key == space.registrar_key().public_key().public_bytes_raw().hex()
    assert NoteVerifier.parse(card.log_key).name == SPACE
    assert card.ca_pem.encode() == (space.folder / "ca/ca.crt").read_bytes()
    assert card.governance == "127.0.0.1:19443"


@pytest.mark.parametrize(
    ("sub", "role", "participant"),
    [("operator", "operator", "operator"), ("consumer", "consumer", "consortium")],
)
def test_the_first_two_participants_have_certificates(
    space: Space, sub: str, role: str, participant: str
) -> None:
    folder = space.folder / sub
    identity = parse_identity((folder / "tls.crt").read_bytes())
    assert (identity.role, identity.participant) == (role, participant)
    assert (folder / "ca.crt").read_bytes() == space.card.ca_pem.encode()
    stated = json.loads((folder / f"{sub}.json").read_text())
    assert stated["governance"] == space.card.governance


def test_nothing_is_overwritten(space: Space) -> None:
    before = (space.folder / "space.json").read_bytes()
    with pytest.raises(SpaceError, match="no such folder or an empty one"):
        make_space(space.folder, now=NOW)
    with pytest.raises(SpaceError, match="File exists"):
        write_secret(space.folder / "space.json", b"other")
    assert (space.folder / "space.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "has space"}, "not made"),
        ({"name": ""}, "not made"),
        ({"governance_address": "nowhere"}, "not made"),
        ({"hosts": ["bad host é"]}, "host"),
        ({"consumer": "operator"}, "two participants"),
        ({"consumer": "Upper"}, "not made"),
        ({"now": datetime(2026, 1, 1)}, "naive"),
        ({"region": "china"}, r"\$\.region"),
        ({"certificate_days": 0}, r"\$\.certificate_days"),
        ({"certificate_days": 3651}, r"\$\.certificate_days"),
        ({"auto_certify": 1}, r"\$\.auto_certify"),
        ({"log_database": "log.sqlite"}, "log_database: .*postgresql"),
        ({"log_database": "postgresql://u:secret@localhost/l"}, "log_database: .*no password"),
        ({"log_database": "postgresql://db.example/l"}, "log_database: .*sslmode=verify-full"),
        ({"log_database": f"postgresql://localhost/{'x' * 2000}"}, r"\$\.log_database"),
    ],
)
def test_what_cannot_be_a_space_leaves_nothing_behind(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {
        "name": SPACE,
        "governance_address": "127.0.0.1:1",
        "enrolment_address": "127.0.0.1:2",
        "superlink_address": "127.0.0.1:3",
        "hosts": [],
        "now": NOW,
    }
    with pytest.raises(SpaceError, match=message) as caught:
        init_space(tmp_path / "space", **(arguments | changes))
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_parent_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="folder to make the space in"):
        make_space(tmp_path / "a" / "b", now=NOW)


def state(folder: Path, **changes: Any) -> None:
    """Change what `space.json` says."""
    path = folder / "space.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_where_the_log_is_kept(space: Space) -> None:
    assert space.log_database == space.folder / "governance" / "ledger.db"
    url = "postgresql+psycopg://tds@db.example/log?sslmode=verify-full"
    state(space.folder, log_database=url)
    assert load_space(space.folder).log_database == url
    text = json.loads((space.folder / "space.json").read_text())
    del text["log_database"]  # as spaces were made before there was a choice
    (space.folder / "space.json").write_text(json.dumps(text))
    assert load_space(space.folder).log_database == space.log_database


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda f: (f / "space.json").unlink(), "No such file"),
        (lambda f: (f / "space.json").write_bytes(b"{}"), "space.json"),
        (lambda f: (f / "space.json").write_bytes(b"\xff"), "UTF-8"),
        (lambda f: (f / "space.json").write_bytes(b" " * 70_000), "at most"),
        (lambda f: (f / "keys/permit.key").chmod(0o640), "mode 600, got 640"),
        (lambda f: (f / "keys/permit.key").write_bytes(b"x"), "Ed25519 key in PEM"),
        (lambda f: (f / "keys/permit.key").unlink(), "permit.key"),
        (lambda f: (f / "superlink/superexec.secret").unlink(), "superexec.secret"),
        (lambda f: (f / "governance/tls.key").chmod(0o604), "604"),
        (lambda f: (f / "log").rmdir(), "folder of the space"),
        (lambda f: state(f, log_database="postgresql://u:secret@h/l"), "no password"),
        (lambda f: (f / "ca/ca.crt").write_bytes(b"x"), r"X\.509"),
        (lambda f: (f / "keys/registrar.key").unlink(), "registrar.key"),
        (
            lambda f: (f / "keys/registrar.key").write_bytes((f / "keys/log.key").read_bytes()),
            "two spaces were mixed",
        ),
        (
            lambda f: (f / "keys/permit.key").write_bytes((f / "keys/log.key").read_bytes()),
            "two spaces were mixed",
        ),
        (
            lambda f: (f / "keys/log.key").write_bytes((f / "keys/permit.key").read_bytes()),
            "two spaces were mixed",
        ),
        (
            lambda f: (f / "keys/log.key").write_bytes((f / "ca/ca.key").read_bytes()),
            "expected an Ed25519 key, got EC",
        ),
    ],
)
def test_a_damaged_space_is_not_loaded(space: Space, fault: Any, message: str) -> None:
    fault(space.folder)
    with pytest.raises(SpaceError, match=message):
        load_space(space.folder)
