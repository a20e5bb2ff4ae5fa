"""App bundles: one good, one fault each, installed whole or not at all."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

import clients
from clients.appbundle import build_bundle, bundle_config, install_bundle, verify_bundle
from clients.errors import BundleError

TABULAR = Path(clients.__path__[0]) / "apps" / "tabular"
PYPROJECT = b"""
[project]
name = "probe"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "probe.client:app"
[tool.flwr.app.config]
rate = 0.1
deep.er = {on = true, n = 3}
name = "x"
"""
FILES = {"pyproject.toml": PYPROJECT, "probe/client.py": b"app = 1\n", "LICENSE": b"x, y"}


def manifest(files: dict[str, bytes]) -> bytes:
    return "\n".join(
        f"{path},{hashlib.sha256(content).hexdigest()},{len(content) * 8}"
        for path, content in files.items()
    ).encode()


def bundle(
    files: dict[str, bytes], *, listed: bytes | None = None, extra: zipfile.ZipInfo | None = None
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        if extra is not None:
            archive.writestr(extra, b"app = 1\n")
        archive.writestr(".info/CONTENT", manifest(files) if listed is None else listed)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_pyproject(text: bytes, replacement: bytes) -> bytes:
    return bundle({**FILES, "pyproject.toml": PYPROJECT.replace(text, replacement)})


def damaged(fab: bytes) -> bytes:
    """The first file's compressed bytes are no deflate stream."""
    start = 30 + len("pyproject.toml")
    return fab[:start] + b"\xff" * 16 + fab[start + 16 :]


def lying(fab: bytes) -> bytes:
    """The directory says that the first file has a single byte."""
    at = fab.index(b"PK\x01\x02") + 24
    return fab[:at] + (1).to_bytes(4, "little") + fab[at + 4 :]


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("probe/link.py")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def with_file(path: str) -> bytes:
    return bundle({**FILES, path: b"x"})


def test_a_good_bundle_is_verified() -> None:
    fab = bundle(FILES)
    assert verify_bundle(fab, expected_sha256=sha256(fab)) == FILES


@pytest.mark.parametrize(
    ("fab", "words"),
    [
        (b"no zip", "zip archive"),
        (bundle(FILES)[:-40], "zip archive"),
        (b"x" * (10 * 1024 * 1024 + 1), "at most 10485760 bytes"),
        (with_file("/etc/x.py"), "relative path"),
        (with_file("../x.py"), "relative path"),
        (with_file("probe/../x.py"), "relative path"),
        (with_file("probe//x.py"), "relative path"),
        (with_file("probe\\x.py"), "relative path"),
        (with_file("c:x.py"), "relative path"),
        (with_file("/".join("a" * 17) + ".py"), "levels"),
        (with_file("probe/native.so"), "expected one of"),
        (with_file("probe/x.pyc"), "expected one of"),
        (with_file(".git/x.py"), "hidden"),
        (with_file("probe/__pycache__/x.py"), "cache folder"),
        (bundle(FILES, extra=link()), "plain file"),
        (bundle(FILES, extra=zipfile.ZipInfo("probe/")), "relative path"),
        (bundle(FILES, extra=zipfile.ZipInfo("probe/more.py")), "listed once"),
        (bundle(FILES, listed=manifest({**FILES, "gone.py": b""})), "listed once"),
        (bundle(FILES, listed=manifest({**FILES, "LICENSE": b"z, y"})), "'LICENSE'"),
        (bundle(FILES, listed=b"x"), "path,sha256,bits"),
        (bundle({**FILES, "big.json": bytes(65 << 20)}), "bytes unpacked"),
        (bundle({**FILES, **{f"m{n}.py": b"" for n in range(2001)}}), "at most 2000 files"),
        (bundle({**FILES, **{f"m{n}.py": b"" for n in range(30_000)}}), "at most 2000 files"),
        (b"x" + bundle(FILES)[1:], "zip archive"),
        (damaged(bundle(FILES)), "zip archive|declared size|hash and size"),
        (with_file("probe/\x1b[2J.py"), "relative path"),
        (with_file("probe/\u202egnp.py"), "relative path"),
        (bundle({**FILES, "pyproject.toml": PYPROJECT + b"#" * 65_536}), "at most 65536 bytes"),
        (with_pyproject(b"[project]", b"a" + b".a" * 9000 + b" = 1"), "at most 200 dots"),
        (with_pyproject(b"clientapp", b"other"), "module:attribute"),
        (with_pyproject(b"probe.client:app", b"os;x"), "module:attribute"),
        (with_pyproject(b"serverapp", b"agentapp"), "no agentapp"),
        (with_pyproject(b"[tool", b"[["), "tool.flwr.app"),
        (with_pyproject(b"[project]", b"tool.tdspace.max-bytes = 'x'\n[project]"), "max_bytes"),
        (bundle({"probe/client.py": b""}), "tool.flwr.app"),
    ],
)
def test_one_fault_is_refused(fab: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        verify_bundle(fab, expected_sha256=sha256(fab))


def test_no_more_is_unpacked_than_is_declared() -> None:
    fab = lying(bundle({"pyproject.toml": bytes(60 << 20), **FILES}))
    with pytest.raises(BundleError):
        verify_bundle(fab, expected_sha256=sha256(fab))


def test_a_run_config_that_is_too_deep_is_refused() -> None:
    fab = with_pyproject(b"deep.er", b".".join([b"deep"] * 20))
    with pytest.raises(BundleError, match="tables deep"):
        bundle_config(fab)


def test_the_same_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        fab = bundle(FILES, extra=zipfile.ZipInfo("probe/client.py"))
    with pytest.raises(BundleError, match="got twice"):
        verify_bundle(fab, expected_sha256=sha256(fab))


def test_another_hash_is_refused() -> None:
    with pytest.raises(BundleError, match="expected SHA-256 0000"):
        verify_bundle(bundle(FILES), expected_sha256="0" * 64)


def test_the_default_config_is_flat() -> None:
    assert bundle_config(bundle(FILES)) == {
        "rate": 0.1, "deep.er.on": True, "deep.er.n": 3, "name": "x"
    }  # fmt: skip


def test_a_config_value_of_another_type_is_refused() -> None:
    with pytest.raises(BundleError, match="rate"):
        bundle_config(with_pyproject(b"rate = 0.1", b"rate = [1]"))


def test_install_is_read_only_and_the_same_twice(tmp_path: Path) -> None:
    fab = bundle(FILES)
    place = install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path / "apps")
    assert place == tmp_path / "apps" / sha256(fab)
    assert {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} == set(FILES)
    assert stat.S_IMODE((place / "probe" / "client.py").stat().st_mode) == 0o444
    assert install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path / "apps") == place
    assert [entry.name for entry in (tmp_path / "apps").iterdir()] == [sha256(fab)]


def test_an_app_that_was_changed_after_install_is_refused(tmp_path: Path) -> None:
    fab = bundle(FILES)
    place = install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path)
    (place / "probe" / "client.py").chmod(0o644)
    (place / "probe" / "client.py").write_bytes(b"app = 2\n")
    with pytest.raises(BundleError, match="differs from the bundle"):
        install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path)


def test_a_refused_bundle_leaves_nothing(tmp_path: Path) -> None:
    fab = with_file("../x.py")
    with pytest.raises(BundleError):
        install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path / "apps")
    assert not (tmp_path / "apps").exists()


def test_the_tabular_app_builds_the_same_bytes_and_installs(tmp_path: Path) -> None:
    fab = build_bundle(TABULAR)
    assert build_bundle(TABULAR) == fab
    place = install_bundle(fab, expected_sha256=sha256(fab), into=tmp_path)
    assert (place / "tabular" / "client_app.py").is_file()
    assert bundle_config(fab)["learning-rate"] == 0.02


def test_what_flwr_refuses_is_refused_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected an app's folder with pyproject\.toml"):
        build_bundle(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'app'\n", encoding="utf-8")
    with pytest.raises(BundleError, match="expected one bundle, got"):
        build_bundle(tmp_path)
