"""What the containers of docker-compose.yml run: parts for services, a node that enrols first."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.errors import GovernanceUnavailable
from commands import serve
from commands.container import auditor, hospital, invite, node, once, provision, reload
from commands.container.apart import apart
from commands.executor import arguments
from server.errors import GovernanceUnavailable as NoGovernance
from server.errors import SuperLinkUnavailable
from server.space import load_space

VOLUMES = ("space", "superlink", "front", "consumer", "public")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    return tmp_path


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _provide(root: Path) -> None:
    provision.provide(root, name="tests.example/compose", region="CN-GD")


def test_each_service_gets_its_part_and_no_key_of_the_space(root: Path) -> None:
    _provide(root)
    space = load_space(root / "space" / "space")
    assert (space.card.governance, space.card.superlink) == ("proxy:9443", "proxy:9445")
    assert set(_files(root / "superlink")) == {
        "ca.crt",
        "ready",
        "superexec.secret",
        "tls.crt",
        "tls.key",
    }
    assert set(_files(root / "front")) == {"ca.crt", "ready", "tls.crt", "tls.key"}
    assert set(_files(root / "public")) == {"ca.crt", "log.key", "ready"}
    assert {"home/consumer.json", "superexec.secret"} <= set(_files(root / "consumer"))
    kept = {path.read_bytes() for path in (root / "space/space/keys").iterdir()}
    kept |= {
        (root / "space/space" / name).read_bytes() for name in ("ca/ca.key", "operator/tls.key")
    }
    for name in VOLUMES[1:]:
        assert not kept & set(_files(root / name).values())
    assert (root / "front/tls.key").read_bytes() != (root / "superlink/tls.key").read_bytes()


def test_secrets_are_their_owners_only(root: Path) -> None:
    _provide(root)
    for path in root.rglob("*"):
        if path.name in {"tls.key", "superexec.secret", "statement.key"}:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_was_cut_off_is_made_again_and_what_is_ready_stays(root: Path) -> None:
    _provide(root)
    before = {name: _files(root / name) for name in VOLUMES}
    _provide(root)
    assert {name: _files(root / name) for name in VOLUMES} == before
    (root / "front/ready").unlink()
    (root / "front/tls.crt").unlink()
    _provide(root)
    after = {name: _files(root / name) for name in VOLUMES}
    assert set(after["front"]) == set(before["front"])
    assert after["front"] != before["front"]
    assert {**after, "front": None} == {**before, "front": None}


def test_a_node_waits_for_its_invitation_and_for_governance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, join = tmp_path / "home", tmp_path / "node.join"
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        join.touch()

    def enrol(made: Path, file: Path, **_: Any) -> None:
        if len(waits) < 2:
            raise GovernanceUnavailable("nobody answers")
        made.mkdir()

    monkeypatch.setattr(node.time, "sleep", sleep)
    monkeypatch.setattr(node, "enrol", enrol)
    node.enrolled(folder, join=join, region="CN-GD")
    assert (folder.is_dir(), len(waits)) == (True, 2)
    assert "waiting for the join file" in capsys.readouterr().out


def test_five_enterprises_come_along() -> None:
    assert [one.name for one in hospital.ENTERPRISES] == [
        "riverside",
        "northgate",
        "lakeview",
        "westpark",
        "hillcrest",
    ]


def test_the_executor_needs_no_space() -> None:
    words = ["--superlink", "superlink:9000", "--ca", "/c/ca.crt", "--secret", "/c/s"]
    assert arguments(words) == {
        "superlink": "superlink:9000",
        "ca": Path("/c/ca.crt"),
        "secret": Path("/c/s"),
    }
    with pytest.raises(SystemExit):
        arguments(words[:4])


def test_the_executor_of_a_space(desk: Path) -> None:
    found = arguments([str(desk / "space")])
    assert found["superlink"] == "127.0.0.1:3"
    assert found["secret"].is_file()


@pytest.mark.parametrize(
    ("listen", "address", "bound"),
    [
        ("0.0.0.0", "proxy:9443", "0.0.0.0:9443"),
        ("", "proxy:9443", None),
        ("0.0.0.0", None, None),
    ],
)
def test_where_governance_listens(listen: str, address: str | None, bound: str | None) -> None:
    assert serve.bound(listen, address) == bound


def test_governance_waits_for_a_superlink_that_starts_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        if len(asked) < 3:
            raise SuperLinkUnavailable("nobody answers")
        return 7

    monkeypatch.setattr(serve.time, "sleep", lambda _seconds: None)
    assert serve.once_it_answers(ask, wait_s=60.0) == 7
    asked.clear()
    with pytest.raises(SuperLinkUnavailable):
        serve.once_it_answers(ask, wait_s=0.0)


def test_invitations_wait_for_governance(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def invited(root: Path) -> None:
        asked.append(root)
        if len(asked) < 3:
            raise NoGovernance("nobody answers")

    monkeypatch.setattr(invite, "invite", invited)
    monkeypatch.setattr(invite.time, "sleep", lambda _seconds: None)
    invite.main()
    assert asked == [Path("/")] * 3
    monkeypatch.setattr(invite, "WAIT_S", -1.0)
    asked.clear()
    with pytest.raises(NoGovernance):
        invite.main()


def test_the_log_can_be_on_postgresql_from_the_first_start(root: Path) -> None:
    url = "postgresql+psycopg://tds@/tdslog?host=/socket"
    space = provision.provide(root, name="tests.example/c", region="CN-GD", log_database=url)
    assert load_space(space.folder).log_database == url


def test_what_is_done_once_is_done_until_its_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr(once.runpy, "run_module", lambda name, **_: began.append(name))
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    Path(files[0]).touch()
    once.main("provision", files)
    assert began == ["commands.container.provision"]
    Path(files[1]).touch()
    once.main("provision", files)
    assert len(began) == 1


def test_what_is_done_apart_is_not_in_this_process(tmp_path: Path) -> None:
    told = tmp_path / "told"
    apart(lambda: void(told.write_text(str(os.getpid()))))
    assert int(told.read_text()) != os.getpid()
    with pytest.raises(SystemExit) as ended:
        apart(lambda: sys.exit(3))
    assert ended.value.code == 1


def void(_value: object) -> None:
    """For a lambda that returns nothing."""


LOG = ["https://proxy:9446/log", "--ca", "/public/ca.crt", "--key", "/public/log.key"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], ["audit", "verify", *LOG]),
        (["verify"], ["audit", "verify", *LOG]),
        (["replay", "--json"], ["audit", "replay", *LOG, "--json"]),
        (["explain", "12"], ["audit", "explain", *LOG, "12"]),
        (["verify", "--help"], ["audit", "verify", "--help"]),
        (["keygen", "--help"], ["audit", "keygen", "--help"]),
        (["--help"], ["audit", "--help"]),
    ],
)
def test_words_after_auditor_are_a_verb_of_audit(asked: list[str], words: list[str]) -> None:
    assert auditor.words(asked) == words


def test_a_report_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fake = "import sys; words = sys.argv[1:]; print('wrote it'); "
    fake += "open(words[words.index('--out') + 1], 'w').write('<p>'); sys.exit(4)"
    monkeypatch.setattr(auditor, "words", lambda asked: ["-c", fake, *asked])
    monkeypatch.setattr(auditor, "RUN", [sys.executable])
    assert auditor.main(["report"]) == 4
    said = capfdbinary.readouterr()
    assert (said.out, said.err) == (b"<p>", b"wrote it\n")


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_change_of_the_code_starts_a_service_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, told = tmp_path / "code", tmp_path / "told"
    (code / "server").mkdir(parents=True)
    source = code / "server/loop.py"
    source.write_text("")
    told.touch()
    words = ["bash", "-c", f"echo began >> {told}; exec sleep 60"]
    stopped = threading.Event()
    sleep = time.sleep

    def look(seconds: float) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        sleep(seconds)

    def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            reload.reload(words, code=code, look_s=0.02, pause=look)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        _until(lambda: told.read_text().count("began") == 1)
        source.write_text("changed = True")
        _until(lambda: told.read_text().count("began") == 2)
    finally:
        stopped.set()
        thread.join(20.0)
    assert not thread.is_alive()


def test_only_code_counts_as_a_change(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    page, other = tmp_path / "server/page.html", tmp_path / "server/page.pyc"
    page.touch()
    before = reload.seen(tmp_path)
    other.touch()
    assert reload.difference(before, reload.seen(tmp_path)) == []
    page.unlink()
    assert reload.difference(before, reload.seen(tmp_path)) == [page]
