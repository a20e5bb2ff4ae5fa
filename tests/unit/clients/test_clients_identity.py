"""A node's files and keys: strict loading, with an error that says what to do."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from test_clients_enrol import NOW, Authority

from clients.errors import FileRefused, IdentityError
from clients.files import read_file, read_secret, replace_file, write_secret
from clients.folder import NodePaths
from clients.identity import NodeIdentity, load_identity
from clients.keys import make_keys


@pytest.fixture
def node(tmp_path: Path) -> NodeIdentity:
    return Authority().enrolled(tmp_path)


def test_an_enrolled_folder_loads_and_shows_no_secret(node: NodeIdentity) -> None:
    loaded = load_identity(node.paths.root)
    assert loaded.participant == "clinic-a"
    assert loaded.receipt_key_id == node.receipt_key_id
    assert loaded.log_signer.name == "space.example/demo/clinic-a"
    assert loaded.keys.salt.hex() not in repr(loaded)
    assert "PRIVATE" not in repr(loaded)


def test_every_secret_is_open_to_its_owner_only(node: NodeIdentity) -> None:
    folder = node.paths.keys
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in folder.iterdir()
        if path.suffix in (".key", ".salt")
    }
    assert modes == dict.fromkeys(
        ("tls.key", "receipt.key", "log.key", "fleet.key", "disclosure.key", "vault.salt"), 0o600
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(node.paths.root.stat().st_mode) == 0o700


def pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def chmod(name: str, mode: int) -> Callable[[NodePaths], None]:
    return lambda paths: paths.key(name).chmod(mode)


def put(name: str, data: bytes) -> Callable[[NodePaths], None]:
    return lambda paths: replace_file(paths.key(name), data)


def config(**changes: object) -> Callable[[NodePaths], None]:
    def change(paths: NodePaths) -> None:
        document = json.loads(paths.config.read_bytes()) | changes
        paths.config.write_text(json.dumps(document))

    return change


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (chmod("tls.key", 0o640), FileRefused, "chmod 600"),
        (chmod("receipt.key", 0o604), FileRefused, "chmod 600"),
        (chmod("vault.salt", 0o660), FileRefused, "chmod 600"),
        (lambda paths: paths.key("log.key").unlink(), IdentityError, "restore the folder"),
        (put("fleet.key", b"no key"), IdentityError, "unencrypted PEM"),
        (put("fleet.key", pem(Ed25519PrivateKey.generate())), IdentityError, "P-256"),
        (put("tls.key", pem(ec.generate_private_key(ec.SECP384R1()))), IdentityError, "P-256"),
        (put("receipt.key", pem(ec.generate_private_key(ec.SECP256R1()))), IdentityError, "Ed255"),
        (put("tls.key", pem(ec.generate_private_key(ec.SECP256R1()))), IdentityError, "one backup"),
        (put("vault.salt", b"short"), IdentityError, "32 bytes"),
        (put("tls.crt", b"no certificate"), IdentityError, "CA issued"),
        (lambda paths: replace_file(paths.ca, b"other"), IdentityError, "got another"),
        (lambda paths: paths.config.unlink(), IdentityError, "tds node new"),
        (lambda paths: paths.config.write_text("{"), IdentityError, "JSON"),
        (config(extra=1), IdentityError, "extra"),
        (config(region="EU"), IdentityError, "ISO 3166"),
        (config(poll_ms=1), IdentityError, "poll_ms"),
    ],
)
def test_a_folder_with_one_fault_is_refused_with_what_to_do(
    node: NodeIdentity, fault: Callable[[NodePaths], None], error: type[Exception], text: str
) -> None:
    fault(node.paths)
    with pytest.raises(error, match=text):
        load_identity(node.paths.root)


def test_a_certificate_of_another_ca_is_refused(node: NodeIdentity) -> None:
    other = Authority().certify(node.keys.tls.public_key(), "clinic-a")
    replace_file(node.paths.key("tls.crt"), other)
    with pytest.raises(IdentityError, match="CA issued"):
        load_identity(node.paths.root)


@pytest.mark.parametrize("days", [-400, 400])
def test_outside_its_time_a_certificate_does_not_let_the_node_run(
    node: NodeIdentity, days: int
) -> None:
    node.check_certificate(NOW)
    with pytest.raises(IdentityError, match="valid now"):
        node.check_certificate(NOW + timedelta(days=days))


@pytest.mark.parametrize("name", ["permit_key", "registrar_key"])
def test_a_low_order_key_of_the_space_is_refused(node: NodeIdentity, name: str) -> None:
    document = json.loads(node.paths.config.read_bytes())
    document["space"][name] = "01" + "00" * 31
    node.paths.config.write_text(json.dumps(document))
    with pytest.raises(IdentityError, match="low order"):
        load_identity(node.paths.root)


def test_keys_are_made_once(tmp_path: Path) -> None:
    paths = NodePaths(tmp_path / "node")
    first, second = make_keys(paths), make_keys(paths)
    assert first.salt == second.salt
    assert first.receipt.private_bytes_raw() == second.receipt.private_bytes_raw()
    assert pem(first.tls) == pem(second.tls)


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", b"one")
    with pytest.raises(FileRefused, match="never overwritten"):
        write_secret(tmp_path / "key", b"two")
    assert read_secret(tmp_path / "key") == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_files_are_bounded_and_plain(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"12345")
    assert read_file(tmp_path / "file", max_bytes=5) == b"12345"
    with pytest.raises(FileRefused, match="at most 4 bytes"):
        read_file(tmp_path / "file", max_bytes=4)
    with pytest.raises(FileRefused, match="plain file"):
        read_file(tmp_path, max_bytes=4)
    with pytest.raises(FileRefused, match="No such file"):
        read_file(tmp_path / "absent", max_bytes=4)
    with pytest.raises(FileRefused, match="cannot be written"):
        replace_file(tmp_path / "absent" / "file", b"")


def test_place_names_of_products_cannot_leave_their_folder() -> None:
    paths = NodePaths(Path("/node"))
    assert paths.product("clinic/../../etc").parent == paths.products
    assert paths.product("a/b") != paths.product("a:b")
