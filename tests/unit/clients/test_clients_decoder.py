"""The process that decodes: what it can still do, and what a node makes of its answers."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from PIL import Image

from clients import decoder as module
from clients.decoder import Decoder
from clients.decoding import ImageFacts, RecordingFacts
from clients.errors import VaultError
from clients.media import Images, Recordings

GRAY = Images(Path(), "L", 3, 2, resized=False, digest="")


def png(mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (3, 2), 255 if mode == "L" else (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def running() -> Iterator[Decoder]:
    with Decoder(GRAY) as started:
        yield started


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_decodes_one_file_after_another(running: Decoder) -> None:
    for _ in range(3):
        assert running.decode(png()).tolist() == [[[1, 1, 1], [1, 1, 1]]]
        with pytest.raises(VaultError, match="got 3 x 2 in mode RGB"):
            running.decode(png("RGB"))
        with pytest.raises(VaultError, match="got UnidentifiedImageError"):
            running.decode(b"SECRET")
    assert running.facts(png("RGB")) == ImageFacts(3, 2, "RGB")


def test_recordings(tmp_path: Path) -> None:
    form = Recordings(Path(), 8000, 1, 4, fitted=True, digest="")
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -0.5]), 8000)
    with Decoder(form) as started:
        data = (tmp_path / "a.wav").read_bytes()
        assert started.decode(data).tolist() == [[0.5, -0.5, 0, 0]]
        assert started.facts(data) == RecordingFacts(8000, 1, 2)


def test_what_holds_it(running: Decoder) -> None:
    seen = status(running.pid)
    assert (seen["Seccomp"], seen["NoNewPrivs"], seen["CapEff"]) == ("2", "1", "0" * 16)
    if os.geteuid() == 0:
        assert set(seen["Uid"].split()) == {str(module.unprivileged_user().uid)}  # type: ignore[union-attr]


Popen = subprocess.Popen


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("open({secret!r}).read()", "PermissionError"),
        ("open('/dev/shm/tds-decoder', 'w')", "PermissionError"),
        ("socket.socket()", "OSError"),
        ("socket.socket(socket.AF_UNIX)", "OSError"),
        ("os.fork()", "PermissionError"),
        ("os.execv('/bin/true', ['true'])", "PermissionError"),
        ("bytes(1 << 31)", "MemoryError"),
        ("os.environ['PGPASSWORD']", "KeyError"),
    ],
)
def test_what_a_decoder_that_was_taken_over_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, told: str
) -> None:
    secret = tmp_path / "receipt.key"
    secret.write_text("key")
    secret.chmod(0o600)
    monkeypatch.setenv("PGPASSWORD", "S3CRET")
    script = (
        "import os, socket, sys, clients.decoder as taken\n"
        f"taken.decode = lambda media, data: data and {deed.format(secret=str(secret))}\n"
        "taken.main(sys.argv[1:])"
    )

    def instead(command: list[str], **how: object) -> subprocess.Popen[bytes]:
        return Popen([command[0], "-c", script, *command[3:]], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", instead)
    with Decoder(GRAY) as started, pytest.raises(VaultError, match=f"got {told}$"):
        started.decode(png())


def test_nobody_is_left_behind() -> None:
    with Decoder(GRAY) as started:
        pid = started.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_it_dies_with_the_node() -> None:
    script = (
        "import time; from pathlib import Path; from clients.decoder import Decoder; "
        "from clients.media import Images\n"
        "with Decoder(Images(Path(), 'L', 3, 2, resized=False, digest='')) as started:\n"
        "    print(started.pid, flush=True); time.sleep(60)"
    )
    node = Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert node.stdout is not None
    with node.stdout:
        pid = int(node.stdout.readline())
    node.kill()
    node.wait()
    until = time.monotonic() + 20
    while not is_gone(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Where nobody buries orphans, as in some containers, it stays as a zombie."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_one_that_was_killed(running: Decoder) -> None:
    os.kill(running.pid, signal.SIGKILL)
    with pytest.raises(VaultError, match="got its end with status -9"):
        running.decode(png())


def test_one_that_does_not_answer(running: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 0.2)
    os.kill(running.pid, signal.SIGSTOP)
    with pytest.raises(VaultError, match=r"within 0\.2 s"):
        running.decode(png())


def test_one_that_cannot_be_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "getpid", lambda: 1)  # not its parent: it ends
    with pytest.raises(VaultError, match="got its end with status 1"), Decoder(GRAY):
        pass


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\0\x04\0\0\0abcd", "what was declared"),
        (b"\0\xff\xff\xff\xff", "what was declared"),
        (b"\0\x18\0\0\0" + np.full(6, np.nan, "<f4").tobytes(), "what was declared"),
        (b"\1\x05\0\0\0a\nb\x1bc", r"^a\?b\?c$"),
        (b"", "got its end"),
    ],
)
def test_an_answer_is_believed_in_its_form_only(
    answer: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answer").write_bytes(answer)
    request = 1 + 4 + len(png())  # a letter, the length, the file
    script = f"printf ready; head -c {request} > /dev/null; cat {tmp_path}/answer"

    def instead(_: object, **how: object) -> subprocess.Popen[bytes]:
        return Popen(["/bin/sh", "-c", script], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", instead)
    with Decoder(GRAY) as started, pytest.raises(VaultError, match=words):
        started.decode(png())
