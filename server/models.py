"""The model of each round, kept by its digest, so that a run that was cut off can go on."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from policies.canonical import sha256_hex
from server.errors import ServerError


class ModelMissing(ServerError):
    """A model that the log names is not in the store, or its bytes no longer match."""


class ModelStore:
    """A folder of safetensors files named by SHA-256; never overwritten, never deleted here."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def save(self, data: bytes) -> str:
        """Keep a model; durable on return. A crash before the rename leaves a temporary file."""
        digest = sha256_hex(data)
        path = self.path(digest)
        if path.exists():
            return digest
        temporary = path.with_name(f".{digest}.{secrets.token_hex(4)}")
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return digest

    def load(self, digest: str) -> bytes:
        """A model's bytes, checked against their digest.

        Raises:
            ModelMissing: absent or changed; the text says where it was looked for.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise ModelMissing(
                f"model {digest[:16]}…: expected it at {self.path(digest)}, got: {error.strerror}; "
                "restore the file, or start a new run"
            ) from error
        if sha256_hex(data) != digest:
            raise ModelMissing(
                f"model {digest[:16]}…: the file at {self.path(digest)} has other contents; "
                "restore it, or start a new run"
            )
        return data

    def path(self, digest: str) -> Path:
        """Where a model lies."""
        return self._folder / f"{digest}.safetensors"
