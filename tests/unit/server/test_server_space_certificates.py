"""The certificates in a space's folder, issued anew in place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from server_site import make_space

from server.errors import SpaceError
from server.pki import create_ca, load_ca, new_client, parse_identity
from server.space import Space, load_space
from server.space_certificates import FOLDERS, renew_certificates

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def space(tmp_path: Path) -> Space:
    make_space(tmp_path / "space", now=NOW)
    return load_space(tmp_path / "space")


def certificates(space: Space) -> dict[str, x509.Certificate]:
    return {
        name: x509.load_pem_x509_certificate((space.folder / name / "tls.crt").read_bytes())
        for name in FOLDERS
    }


@pytest.mark.parametrize(
    ("days", "everything", "renewed"),
    [
        (0, False, []),
        (200, False, []),
        (250, False, ["operator", "consumer"]),
        (600, False, ["governance", "superlink", "operator", "consumer"]),
        (2000, False, ["governance", "superlink", "operator", "consumer"]),
        (0, True, ["governance", "superlink", "operator", "consumer"]),
    ],
)
def test_what_has_a_third_of_its_life_left_is_issued_anew(
    space: Space, days: int, everything: bool, renewed: list[str]
) -> None:
    before, now = certificates(space), NOW + timedelta(days=days)
    found = renew_certificates(space, now=now, everything=everything)
    assert [one.name for one in found if one.renewed] == renewed
    assert [one.name for one in found] == ["ca", *FOLDERS]
    after = certificates(space)
    for name in FOLDERS:
        assert (before[name] != after[name]) == (name in renewed)
        assert before[name].public_key() == after[name].public_key()
        assert before[name].subject == after[name].subject
        for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.KeyUsage):
            was, is_now = (
                one[name].extensions.get_extension_for_class(kind) for one in (before, after)
            )
            assert was == is_now
        after[name].verify_directly_issued_by(space.authority().certificate)
    assert not list(space.folder.rglob("*.new"))


def test_the_space_opens_and_its_people_are_who_they_were(space: Space) -> None:
    renew_certificates(space, now=NOW + timedelta(days=1), everything=True)
    again = load_space(space.folder)
    operator = parse_identity((space.operator_folder / "tls.crt").read_bytes())
    assert (operator.role, operator.participant) == ("operator", "operator")
    assert again.governance_tls().key == space.governance_tls().key
    load_ca((space.folder / "ca/ca.crt").read_bytes(), (space.folder / "ca/ca.key").read_bytes())


def test_a_certificate_of_another_ca_is_left_as_it_is(space: Space) -> None:
    path = space.operator_folder / "tls.crt"
    who = parse_identity(path.read_bytes())
    other = new_client(create_ca("another", now=NOW), who, now=NOW).certificate
    path.write_bytes(other)
    with pytest.raises(SpaceError, match="this space's CA issued"):
        renew_certificates(space, now=NOW, everything=True)
    assert path.read_bytes() == other
