"""The log's folder over HTTP: headers, and what is not there."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsp_site import Bed
from starlette.applications import Starlette
from typer.testing import CliRunner

import server.logfiles
from auditors.errors import LogUnreachable
from auditors.fetch import Source
from auditors.mirror import mirror
from auditors.trust import KeyTrust
from commands.main import build_cli
from ledger.log import Log
from ledger.note import NoteSigner
from ledger.tiles import new_tiles
from server.logfiles import MAX_AT_ONCE, LogFiles
from server.pki import create_ca

SIGNER = NoteSigner("logs.example/served", Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    with Log.open(
        folder=root / "log", database=root / "db", last_signed=root / "last", signer=SIGNER
    ) as log:
        log.append([b'{"entry":%d}' % n for n in range(300)])
    return root / "log"


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """A client of a server of this folder, as the endpoint runs one, but for TLS."""
    app = Starlette(routes=[LogFiles(folder).route()])
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None)
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    port = listening.getsockname()[1]
    headers = {"accept-encoding": "identity"}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30
        ) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def files(folder: Path) -> Iterator[httpx.Client]:
    with served(folder) as client:
        yield client


def test_every_file_as_it_lies_in_the_folder(files: httpx.Client, folder: Path) -> None:
    for path in ["checkpoint", *(tile.path for tile in new_tiles(0, 300))]:
        answer = files.get(f"/log/{path}")
        data = (folder / path).read_bytes()
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-length"] == str(len(data))
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["last-modified"].endswith(" GMT")
        head = files.head(f"/log/{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(answer.headers)


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("tile/0/000", "application/octet-stream", IMMUTABLE),
        ("tile/0/001.p/44", "application/octet-stream", IMMUTABLE),
        ("tile/1/000.p/1", "application/octet-stream", IMMUTABLE),
        ("tile/entries/000", "application/octet-stream", IMMUTABLE),
    ],
)
def test_the_headers_of_the_specification(
    files: httpx.Client, path: str, kind: str, cache: str
) -> None:
    answer = files.get(f"/log/{path}")
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (kind, cache)


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000", "tile/entries/000"])
def test_what_the_client_has_is_not_sent_again(files: httpx.Client, path: str) -> None:
    tag = files.get(f"/log/{path}").headers["etag"]
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        answer = files.get(f"/log/{path}", headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    for other in ('"other"', "", '"', tag.strip('W/"'), "*"):
        assert files.get(f"/log/{path}", headers={"if-none-match": other}).status_code == 200


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        ("gzip", True),
        ("identity, GZIP;q=0.5", True),
        ("br, gzip", True),
        ("identity", False),
        ("gzip; q=0", False),
        ("xgzip", False),
        ("", False),
    ],
)
def test_bundles_in_gzip_for_who_takes_it(
    files: httpx.Client, folder: Path, accepts: str, packed: bool
) -> None:
    with files.stream(
        "GET", "/log/tile/entries/000", headers={"accept-encoding": accepts}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    data = (folder / "tile/entries/000").read_bytes()
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(raw) if packed else raw) == data
    assert (len(raw) < len(data)) == packed
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["etag"] == f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'


def test_hashes_and_small_bundles_are_sent_as_they_are(files: httpx.Client) -> None:
    for path in ("tile/0/000", "checkpoint", "tile/entries/001.p/44"):
        answer = files.get(f"/log/{path}", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/002",
        "tile/0/000.p/1",
        "tile/0/0",
        "tile/0/000/",
        "tile//0/000",
        "tile/0/x000/000",
        "tile/entries/%2e%2e/%2e%2e/checkpoint",
        "%2e%2e/db",
        "..%2fdb",
        "/etc/passwd",
        "%2fetc/passwd",
        "checkpoint/",
        "checkpoint%00",
        "Checkpoint",
        ".new",
        "entries.jsonl",
        "tile/0/" + "x001/" * 400 + "000",
    ],
)
def test_nothing_else_is_there(files: httpx.Client, path: str) -> None:
    answer = files.get(f"/log/{path}")
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(files: httpx.Client, method: str) -> None:
    assert files.request(method, "/log/checkpoint").status_code == 405


def test_what_is_no_regular_file_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000").symlink_to("/etc/passwd")
    (tmp_path / "tile/0/001").mkdir()
    os.mkfifo(tmp_path / "tile/0/002")
    (tmp_path / "tile/0/003").write_bytes(bytes(8193))
    (tmp_path / "checkpoint").symlink_to("/dev/zero")
    with served(tmp_path) as client:
        for path in ("tile/0/000", "tile/0/001", "tile/0/002", "tile/0/003", "checkpoint"):
            assert client.get(f"/log/{path}").status_code == 404


def test_too_many_at_once_are_asked_to_come_again(
    files: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server.logfiles._read
    inside, go_on = threading.Semaphore(0), threading.Event()

    def slow(path: Path, most: int) -> tuple[bytes, float] | None:
        inside.release()
        assert go_on.wait(30)
        return whole(path, most)

    monkeypatch.setattr(server.logfiles, "_read", slow)
    codes: list[int] = []
    asking = [
        threading.Thread(target=lambda: codes.append(files.get("/log/tile/0/000").status_code))
        for _ in range(MAX_AT_ONCE)
    ]
    for one in asking:
        one.start()
    for _ in asking:
        assert inside.acquire(timeout=30)
    answer = files.get("/log/checkpoint")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    go_on.set()
    for one in asking:
        one.join(30)
    assert codes == [200] * MAX_AT_ONCE
    assert files.get("/log/checkpoint").status_code == 200


def test_governance_serves_its_log_to_strangers(bed: Bed) -> None:
    stranger = bed.http(caller=None)
    note = stranger.get("/log/checkpoint")
    assert (note.status_code, note.text) == (200, bed.site.log.checkpoint())
    size = bed.site.log.size
    for tile in new_tiles(0, size):
        assert stranger.get(f"/log/{tile.path}").status_code == 200
    assert stranger.get("/log/").status_code == 404
    assert stranger.get("/log").status_code == 404
    assert stranger.post("/log/checkpoint").status_code == 405
    assert stranger.get("/log/../space.json").status_code == 404


def test_a_stranger_copies_and_verifies_it_over_https(bed: Bed, tmp_path: Path) -> None:
    card = bed.site.space.card
    (tmp_path / "ca.crt").write_text(card.ca_pem, encoding="utf-8")
    trust = KeyTrust.parse(card.log_key)
    with Source(f"https://{bed.address}/log", ca=str(tmp_path / "ca.crt")) as source:
        for _ in range(2):
            verified = mirror(source, tmp_path / "copy", trust=trust)
            assert (verified.size, verified.origin) == (bed.site.log.size, card.name)
            assert verified.note == bed.site.log.checkpoint()
    other = create_ca("another", now=bed.site.now).certificate_pem
    (tmp_path / "other.crt").write_bytes(other)
    with (
        Source(
            f"https://{bed.address}/log", ca=str(tmp_path / "other.crt"), sleep=lambda _: None
        ) as source,
        pytest.raises(LogUnreachable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        mirror(source, tmp_path / "another", trust=trust)


def test_the_command_on_the_address(bed: Bed, tmp_path: Path) -> None:
    card = bed.site.space.card
    (tmp_path / "ca.crt").write_text(card.ca_pem, encoding="utf-8")
    call = ["audit", "verify", f"https://{bed.address}/log", "--key", card.log_key]
    for more in ([], ["--mirror", "copy"], ["--mirror", "copy"]):
        ran = subprocess.run(
            [sys.executable, "-m", "commands", *call, "--ca", "ca.crt", *more],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert f"verified: {bed.site.log.size} entries of {card.name}" in ran.stdout
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["checkpoint", "tile"]


@pytest.mark.parametrize(
    ("verb", "more", "says"),
    [
        ("replay", [], "every decision follows from the entries before it"),
        ("find", ["--type", "SpaceCreated"], "1 found; the log of"),
        ("explain", ["0"], "entry 0,"),
        ("report", ["--out", "report.json", "--format", "json"], "report.json: 0 uses"),
        ("prove", ["3", "--out", "p.tlog-proof"], "p.tlog-proof: entry 3 of"),
    ],
)
def test_every_verb_takes_the_address(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, more: list[str], says: str
) -> None:
    card = bed.site.space.card
    monkeypatch.chdir(tmp_path)
    Path("ca.crt").write_text(card.ca_pem, encoding="utf-8")
    call = ["audit", verb, f"https://{bed.address}/log", *more]
    trusted = CliRunner().invoke(
        build_cli(["audit"]), [*call, "--key", card.log_key, "--ca", "ca.crt"]
    )
    assert (trusted.exit_code, trusted.exception) == (0, None)
    assert says in " ".join(trusted.output.split())
    if verb != "prove":
        anybody = CliRunner().invoke(build_cli(["audit"]), [*call, "--ca", "ca.crt"])
        assert "expected --key or --policy with an address" in str(anybody.exception)
