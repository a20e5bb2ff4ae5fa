"""Files are decoded in a process of its own that can do nothing else (`Decoder`).

Whoever made a file may have made it for the decoder's faults, and the node holds keys. So the bytes
go to a child that is started for one reading: a fresh interpreter without the node's memory, in the
sandbox's confinement (clients.confinement) with no file left to read or write at all. What comes
back is believed in its form only: as many floats as were declared, each finite, or a short text.

    in    "D" (decode) or "H" (header), length (4 bytes, little endian), the file
    out   0 or 1 (refused), length, then float32 values, or JSON numbers and words, or the text
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import import_module
from math import prod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import numpy as np

from clients.confinement import confine, unprivileged_user
from clients.decoding import (
    ImageFacts,
    RecordingFacts,
    Sample,
    decode,
    image_facts,
    recording_facts,
    require_decoder,
)
from clients.errors import VaultError
from clients.media import Images, Media, Recordings

MAX_MEMORY_BYTES: Final = 1 << 30
MAX_TEXT_BYTES: Final = 400
MAX_SECONDS: Final = 60.0
"""For one file, and for the child to get ready."""
MAX_CPU_SECONDS: Final = 86_400
"""Processor time for all files of a product."""
_READY: Final = b"ready"
_MODULES: Final = {
    # Pillow imports some of them only when a file asks for it, which the child then cannot do.
    "image": ("PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.MpoImagePlugin",
              "PIL.TiffImagePlugin", "PIL.ImageChops"),
    "audio": ("soundfile",),
}  # fmt: skip
_LENGTH: Final = struct.Struct("<I")


class Decoder:
    """A child that decodes; a context in which it lives. One file at a time.

    Raises:
        VaultError: no decoder is installed, or the child did not get ready, confined.
    """

    def __init__(self, media: Media) -> None:
        require_decoder("image" if isinstance(media, Images) else "audio")
        self._media = media
        form = {**asdict(media), "folder": "", "is": type(media).__name__}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clients.decoder", str(os.getpid()), json.dumps(form)],
            cwd=Path(__file__).parents[1],
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            if self._read(len(_READY), time.monotonic() + MAX_SECONDS) != _READY:
                raise VaultError("expected a confined process to decode files in, got none")
        except BaseException:  # Ctrl-C, too
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """No process is left behind."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not written, to a child that is gone
                pipe.close()
        self._process.wait()

    def decode(self, data: bytes) -> Sample:
        """As `clients.decoding.decode`; also refuses what takes longer than `MAX_SECONDS`."""
        size = 4 * prod(self._media.shape)
        found = self._ask(b"D", data, size)
        if len(found) != size:
            raise _odd()
        sample = np.frombuffer(found, dtype="<f4").astype(np.float32, copy=False)
        if not np.isfinite(sample).all():
            raise _odd()
        return sample.reshape(self._media.shape)

    def facts(self, data: bytes) -> ImageFacts | RecordingFacts:
        """As `image_facts` or `recording_facts`."""
        try:
            first, second, third = json.loads(self._ask(b"H", data, MAX_TEXT_BYTES))
            if isinstance(self._media, Images):
                return ImageFacts(int(first), int(second), str(third))
            return RecordingFacts(int(first), int(second), int(third))
        except (ValueError, TypeError):
            raise _odd() from None

    def _ask(self, what: bytes, data: bytes, most: int) -> bytes:
        until = time.monotonic() + MAX_SECONDS
        stdin = self._process.stdin
        assert stdin is not None
        try:
            message = memoryview(what + _LENGTH.pack(len(data)) + data)
            while message:
                message = message[stdin.write(message) or 0 :]
        except OSError:
            raise self._ended() from None
        refused = self._read(1, until) != b"\0"
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
        if length > max(most, MAX_TEXT_BYTES):
            raise _odd()
        found = self._read(length, until)
        if refused:
            text = found[:MAX_TEXT_BYTES].decode("utf-8", "replace")
            raise VaultError("".join(one if one.isprintable() else "?" for one in text))
        return found

    def _read(self, count: int, until: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        found = bytearray()
        while len(found) < count:
            wait = max(0.0, until - time.monotonic())
            if not select.select([stdout], [], [], wait)[0]:
                raise VaultError(f"expected it decoded within {MAX_SECONDS:g} s, got nothing")
            part = os.read(stdout.fileno(), count - len(found))
            if not part:
                raise self._ended()
            found += part
        return bytes(found)

    def _ended(self) -> VaultError:
        status = self._process.wait()
        return VaultError(f"expected the decoder to go on, got its end with status {status}")


def _odd() -> VaultError:
    return VaultError("expected what was declared from the decoder, got something else")


def main(arguments: Sequence[str]) -> None:
    """The child: imports what it needs, gives up all else, and decodes until its input ends."""
    form = json.loads(arguments[1])
    kind = {"Images": Images, "Recordings": Recordings}[form.pop("is")]
    media: Media = replace(kind(**form), folder=Path())
    for name in _MODULES["image" if isinstance(media, Images) else "audio"]:
        import_module(name)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    _answer(media, b"D", b"")  # a first use loads what a later one could not
    confine(
        parent=int(arguments[0]),
        memory_bytes=MAX_MEMORY_BYTES,
        cpu_s=MAX_CPU_SECONDS,
        user=unprivileged_user(),
        searching=False,
        readable=(),
        scratch=Path("/nonexistent"),
    )
    target.write(_READY)
    target.flush()
    while what := source.read(1):
        _reply(target, *_answer(media, what, source.read(*_LENGTH.unpack(source.read(4)))))


def _answer(media: Media, what: bytes, data: bytes) -> tuple[bool, bytes]:
    try:
        if what == b"D":
            return True, decode(media, data).astype("<f4").tobytes()
        if isinstance(media, Images):
            seen = image_facts(data)
            return True, json.dumps([seen.width, seen.height, seen.mode]).encode()
        heard = recording_facts(data)
        return True, json.dumps([heard.rate, heard.channels, heard.samples]).encode()
    except VaultError as error:
        return False, str(error).encode()[:MAX_TEXT_BYTES]
    except Exception as error:  # noqa: BLE001 the process's edge: a fault of the decoder's
        return False, f"expected a file that decodes, got {type(error).__name__}".encode()


def _reply(target: BinaryIO, well: bool, data: bytes) -> None:
    target.write(b"\0" if well else b"\1")
    target.write(_LENGTH.pack(len(data)))
    target.write(data)
    target.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
