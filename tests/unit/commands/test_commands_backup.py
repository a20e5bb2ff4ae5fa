"""Backups of spaces and nodes: what is in one, what is refused; a restored log is never a fork."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from commands_site import Tds, make_node

from clients.gate import GateKeys
from clients.identity import load_identity
from commands import sealed_keys
from commands.inprocess import LocalGovernance, LocalSuperLink
from commands.node_wiring import now
from commands.sealed_keys import open_keys, seal_keys
from server.files import write_secret
from server.space import load_space

WORDS = "six random words make a passphrase"
SEEN = ("--seen", "space/log/checkpoint")


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second a passphrase is for attackers."""
    monkeypatch.setattr(sealed_keys, "_COST", 1 << 10)


def grow(desk: Path, space: str, node: str) -> None:
    """Some entries more in the space's log: a node joins."""
    with ExitStack() as stack:
        operator = LocalGovernance.open(stack, load_space(desk / space), LocalSuperLink())
        make_node(stack, operator, desk / node)


def words_file(desk: Path, words: str = WORDS) -> str:
    path = desk / "passphrase"
    path.touch(mode=0o600)
    path.write_text(f"{words}\nnot this line\n", encoding="utf-8")
    return str(path)


def backed_up(tds: Tds, desk: Path) -> Path:
    """A backup with keys."""
    call = ("space", "backup", "--space", "space", "--out", "whole.tar", "--keys")
    ran = tds(*call, "--passphrase-file", words_file(desk))
    assert (ran.code, ran.err) == (0, "")
    return desk / "whole.tar"


def restored(tds: Tds, desk: Path, *more: str, file: str = "whole.tar") -> tuple[int, str]:
    call = ("space", "restore", file, "--space", "new", "--passphrase-file", words_file(desk))
    ran = tds(*call, *more)
    assert (desk / "new").exists() == (ran.code == 0)
    assert list(desk.glob(".*new*")) == []
    return ran.code, " ".join((ran.out + ran.err).split())


def test_a_backup_holds_what_a_space_needs_and_no_key_in_the_open(tds: Tds, desk: Path) -> None:
    write_secret(desk / "space" / "provider", b"a secret by its mode")
    file = backed_up(tds, desk)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"a secret by its mode" not in file.read_bytes()
    with tarfile.open(file) as tar:
        found = tar.getnames()
    assert found[-1] == "manifest.json"
    needed = {"space.json", "log/checkpoint", "governance/ledger.db", "ca/ca.crt", "keys.sealed"}
    assert needed < set(found)
    ending = (".key", ".secret", ".join", "last-signed", ".lock", "-wal")
    assert [one for one in found if one.endswith(ending) or "flower" in one] == []
    keys = [one.read_bytes() for one in (desk / "space").rglob("*.key")]
    assert len(keys) > 5
    assert [key for key in keys if key in file.read_bytes()] == []


def test_mask_keys_of_open_rounds_stay_out(tds: Tds, desk: Path) -> None:
    secret = b"mask-key-" * 5
    with closing(sqlite3.connect(desk / "space" / "governance" / "governance.db")) as registry:
        columns = [row[1] for row in registry.execute("PRAGMA table_info(mask_keys)")]
        marks = ", ".join("?" * len(columns))
        registry.execute("PRAGMA foreign_keys=OFF")
        registry.execute(f"INSERT INTO mask_keys VALUES ({marks})", [secret] * len(columns))
        registry.commit()
    assert secret not in backed_up(tds, desk).read_bytes()


def test_a_restored_space_goes_on(tds: Tds, desk: Path) -> None:
    backed_up(tds, desk)
    code, told = restored(tds, desk, *SEEN)
    assert code == 0, told
    assert "compared with 1 from elsewhere" in told
    assert (desk / "new" / "keys" / "log.key").stat().st_mode & 0o777 == 0o600
    for name in ("space.json", "keys/log.key", "ca/ca.key", "log/checkpoint", "ca/ca.crt"):
        assert (desk / "new" / name).read_bytes() == (desk / "space" / name).read_bytes(), name
    before = (desk / "new" / "log" / "checkpoint").read_text(encoding="utf-8")
    grow(desk, "new", "ward")
    (desk / "seen").write_text(before, encoding="utf-8")
    key = load_space(desk / "new").card.log_key
    assert tds("audit", "verify", "new/log", "--key", key, "--seen", "seen").code == 0


def test_a_backup_older_than_what_the_log_signed_is_refused(tds: Tds, desk: Path) -> None:
    backed_up(tds, desk)
    grow(desk, "space", "ward")
    code, told = restored(tds, desk, *SEEN)
    assert code == 1
    assert "would sign a second history" in told
    assert "nothing was restored" in told


def test_without_evidence_somebody_has_to_give_their_word(tds: Tds, desk: Path) -> None:
    backed_up(tds, desk)
    code, told = restored(tds, desk)
    assert (code, "--newest" in told, "fork" in told) == (1, True, True)
    code, told = restored(tds, desk, "--newest")
    assert (code, "nobody's checkpoint was compared" in told) == (0, True)


def test_keys_left_out_come_from_a_folder(tds: Tds, desk: Path) -> None:
    assert tds("space", "backup", "--space", "space", "--out", "bare.tar").code == 0
    code, told = restored(tds, desk, *SEEN, file="bare.tar")
    assert code == 2
    assert "the backup has no keys: give --keys-from" in told
    code, told = restored(tds, desk, *SEEN, "--keys-from", "space", file="bare.tar")
    assert code == 0, told


def rewritten(
    file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes] | None]
) -> None:
    """The same tar with changes."""
    out = io.BytesIO()
    with tarfile.open(file) as old, tarfile.open(fileobj=out, mode="w") as new:
        for info in old:
            content = old.extractfile(info)
            assert content is not None
            changed = change(info, content.read())
            if changed is not None:
                info.name, data = changed
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    file.write_bytes(out.getvalue())


def _flip(info: tarfile.TarInfo, data: bytes) -> tuple[str, bytes]:
    return info.name, data[:-1] + b"?" if info.name == "log/checkpoint" else data


def _escape(info: tarfile.TarInfo, data: bytes) -> tuple[str, bytes]:
    return "../escaped" if info.name == "space.json" else info.name, data


def _link(info: tarfile.TarInfo, data: bytes) -> tuple[str, bytes]:
    if info.name == "space.json":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return info.name, b""
    return info.name, data


def _drop(info: tarfile.TarInfo, data: bytes) -> tuple[str, bytes] | None:
    return None if info.name == "ca/ca.crt" else (info.name, data)


def _cut(info: tarfile.TarInfo, data: bytes) -> tuple[str, bytes] | None:
    return None if info.name == "manifest.json" else (info.name, data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_flip, "log/checkpoint: expected a file with the manifest's SHA-256, got another file"),
        (_escape, "expected paths inside of the backup, got '../escaped'"),
        (_link, "expected plain files only, got 'space.json'"),
        (_drop, "ca/ca.crt: expected a file with the manifest's SHA-256, got no such file"),
        (_cut, "expected a manifest as its last file"),
    ],
)
def test_a_changed_backup_is_refused(
    tds: Tds,
    desk: Path,
    change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes] | None],
    said: str,
) -> None:
    rewritten(backed_up(tds, desk), change)
    code, told = restored(tds, desk, *SEEN)
    assert code == 2
    assert said in told
    assert not (desk.parent / "escaped").exists()


def test_nothing_is_overwritten(tds: Tds, desk: Path) -> None:
    backed_up(tds, desk)
    ran = tds("space", "backup", "--space", "space", "--out", "whole.tar")
    assert (ran.code, "expected no such file" in ran.err) == (2, True)
    ran = tds("space", "restore", "whole.tar", "--space", "clinic", "--newest")
    assert (ran.code, "overwrites nothing" in ran.err) == (2, True)


def test_sealed_keys_open_with_their_passphrase_and_their_log_only() -> None:
    sealed = seal_keys({"a.key": b"secret"}, WORDS, about="log", random=bytes(28))
    assert open_keys(sealed, WORDS, about="log") == {"a.key": b"secret"}
    for words, about in ((WORDS + "!", "log"), (WORDS, "another")):
        with pytest.raises(Exception, match="expected the passphrase"):
            open_keys(sealed, words, about=about)


def test_a_log_on_postgresql_is_dumped_by_its_own_means(tds: Tds, desk: Path) -> None:
    config = json.loads((desk / "space" / "space.json").read_text(encoding="utf-8"))
    config["log_database"] = "postgresql+psycopg://tds@/tdslog?host=/run/postgresql"
    (desk / "space" / "space.json").write_text(json.dumps(config), encoding="utf-8")
    ran = tds("space", "backup", "--space", "space", "--out", "x.tar")
    assert (ran.code, "pg_dump --schema=tdspace" in ran.err) == (2, True), ran.err


def test_a_short_passphrase_is_refused(tds: Tds, desk: Path) -> None:
    call = ("space", "backup", "--space", "space", "--out", "x.tar", "--keys")
    ran = tds(*call, "--passphrase-file", words_file(desk, "short"))
    assert (ran.code, "at least 12 characters" in ran.err) == (2, True)
    ran = tds(*call)
    assert (ran.code, "--passphrase-file" in ran.err) == (2, True)
    assert not (desk / "x.tar").exists()


# -- a node's ----------------------------------------------------------------------------------


def test_a_node_s_backup_holds_no_rows_and_no_key_in_the_open(tds: Tds, desk: Path) -> None:
    (desk / "clinic" / "failures").mkdir()
    (desk / "clinic" / "failures" / "1.txt").write_text("row 17", encoding="utf-8")
    (desk / "clinic" / "rows.csv").write_text("row 17", encoding="utf-8")
    call = ("node", "backup", "--node", "clinic", "--out", ".", "--keys")
    assert tds(*call, "--passphrase-file", words_file(desk)).code == 0
    (file,) = desk.glob("node-*.tar")
    with tarfile.open(file) as tar:
        found = tar.getnames()
    assert {"node.json", "state.db", "ledger.db", "log/checkpoint", "keys.sealed"} < set(found)
    keys = {one for one in found if one.startswith("keys/")}
    assert keys == {"keys/tls.crt", "keys/tls.csr"}
    data = file.read_bytes()
    assert b"row 17" not in data
    secret = [*(desk / "clinic" / "keys").glob("*.key"), desk / "clinic" / "keys" / "vault.salt"]
    assert [one.name for one in secret if one.read_bytes() in data] == []


def test_a_restored_node_is_marked_and_goes_on(tds: Tds, desk: Path) -> None:
    call = ("node", "backup", "--node", "clinic", "--out", "node.tar", "--keys")
    assert tds(*call, "--passphrase-file", words_file(desk)).code == 0
    again = ("node", "restore", "node.tar", "--node", "again")
    seen = ("--passphrase-file", words_file(desk), "--seen", "clinic/last-signed")
    ran = tds(*again, *seen)
    assert ran.code == 0, ran.err
    assert "whether they were used is not known" in ran.out
    identity = load_identity(desk / "again")
    keys = GateKeys.of(identity)
    assert keys.restored is not None
    assert abs((now() - keys.restored).total_seconds()) < 60
    ran = tds("node", "status", "--node", "again")
    assert ran.code == 0, ran.err
    assert "clinic/biopsies" in ran.out
    # Its own log went on after the backup: a second restore would fork it.
    (agreement,) = tds("node", "status", "--node", "clinic", "--json").json()["agreements"]
    tds("node", "withdraw", agreement["id"], "--node", "clinic")
    ran = tds("node", "restore", "node.tar", "--node", "third", *seen)
    assert (ran.code, "would sign a second history" in ran.err) == (1, True)
    assert not (desk / "third").exists()
