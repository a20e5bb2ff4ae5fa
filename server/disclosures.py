"""The space's `disclosures/`: what opens the log's commitments, sealed (`policies.sealing`).

One file for each commitment, mode 0600, replaced as a whole. Neither salts nor texts stand anywhere
else on this side: not in the registry, whose journal and free pages would keep them, and not in a
temporary file. What is sealed is durable before the log has the commitment; what an entry erased is
gone when the call returns or, after a crash, once governance has started again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from policies.disclosure import Opening
from policies.errors import DocumentError, SealError
from policies.sealing import (
    MAX_SEALED_BYTES,
    Sealed,
    disclosure_key_id,
    parse_sealed,
    reseal,
    seal,
    unseal,
)
from server.errors import BadInput, Unavailable

SUFFIX: Final = ".json"
_NEW: Final = ".new"
_LOGGER = logging.getLogger(__name__)


class Disclosures:
    """The folder, for governance alone.

    Args:
        folder: must exist, mode 0700.
        space: its name.
        key: the operator's; everything is sealed to it as well, so that it can be sealed again to
            an auditor who is named later.
    """

    def __init__(self, *, folder: Path, space: str, key: X25519PrivateKey) -> None:
        self._folder = folder
        self._space = space
        self._key = key
        self._changing = threading.Lock()

    def keep(self, opening: Opening, readers: Iterable[str]) -> str:
        """Seal to the operator and these readers, durably; returns the commitment.

        Args:
            readers: raw X25519 public keys, hexadecimal; who could read it before, still can.

        Raises:
            BadInput: too large, or for too many.
            Unavailable: the folder cannot be written.
        """
        keys = [self._key.public_key(), *_keys(readers)]
        with self._changing:
            try:
                before = self._load(opening.commitment)
                sealed = (
                    reseal(before, opening, keys, space=self._space)
                    if before is not None
                    else seal(opening, keys, space=self._space)
                )
            except (DocumentError, SealError) as error:
                raise BadInput(f"disclosure: {error}") from error
            if sealed != before:
                self._write(sealed)
        return opening.commitment

    def opening(self, commitment: str | None) -> Opening | None:
        """What opens a commitment; None where it was never disclosed, is erased, or is damaged
        (which the operator's log then says)."""
        if not commitment:
            return None
        try:
            sealed = self._load(commitment)
            return unseal(sealed, self._key, space=self._space) if sealed is not None else None
        except (DocumentError, SealError, Unavailable) as error:
            _LOGGER.error("%s", error)
            return None

    def of(self, commitments: Iterable[str], key_ids: Collection[str]) -> Iterator[bytes]:
        """The files of these commitments that are sealed to one of these keys."""
        for commitment in commitments:
            try:
                sealed = self._load(commitment)
            except (DocumentError, Unavailable) as error:
                _LOGGER.error("%s", error)
                continue
            if sealed is not None and not sealed.shares.keys().isdisjoint(key_ids):
                yield sealed.to_bytes()

    def present(self) -> set[str]:
        """The commitments of which there is a file."""
        return {
            path.name.removesuffix(SUFFIX)
            for path in self._folder.glob(f"*{SUFFIX}")
            if not path.name.startswith(".")
        }

    def settle(self, wanted: Callable[[str], Collection[str] | None]) -> None:
        """Bring the folder to what the log says; the end of whatever a crash interrupted.

        Args:
            wanted: the readers of a commitment, as `keep` takes them; None for one that no entry
                names, or that was erased.

        Raises:
            Unavailable: the folder cannot be written.
        """
        for left in self._folder.glob(f".*{_NEW}"):
            left.unlink(missing_ok=True)
        found = {commitment: wanted(commitment) for commitment in self.present()}
        self.erase([commitment for commitment, readers in found.items() if readers is None])
        for commitment, readers in found.items():
            if readers is not None:
                self.complete(commitment, readers)

    def complete(self, commitment: str, readers: Collection[str]) -> None:
        """Seal what there is to those of the readers that it is not sealed to yet."""
        wanted = {disclosure_key_id(key) for key in _keys(readers)}
        try:
            sealed = self._load(commitment)
        except DocumentError as error:  # one damaged file does not stop the space
            _LOGGER.error("%s", error)
            return
        if sealed is None or wanted <= set(sealed.shares):
            return
        opening = self.opening(commitment)
        if opening is not None:
            self.keep(opening, readers)

    def erase(self, commitments: Iterable[str]) -> None:
        """No file of these is left, durably; one that is not there is erased already.

        The names are removed, nothing is overwritten: flash and copy-on-write file systems would
        write elsewhere, and the text was only ever on the disk sealed.

        Raises:
            Unavailable: the folder cannot be written.
        """
        with self._changing:
            try:
                for commitment in commitments:
                    self._path(commitment).unlink(missing_ok=True)
                    self._path(commitment, new=True).unlink(missing_ok=True)
                self._sync()
            except OSError as error:
                raise self._unavailable(error) from error

    def _load(self, commitment: str) -> Sealed | None:
        path = self._path(commitment)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SEALED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error
        try:
            sealed = parse_sealed(data)
        except DocumentError as error:
            raise DocumentError(f"{path}: {error.where}", error.expected, error.got) from error
        if sealed.commitment != commitment:
            raise DocumentError(str(path), "the disclosure of its name", sealed.commitment)
        return sealed

    def _write(self, sealed: Sealed) -> None:
        path, fresh = self._path(sealed.commitment), self._path(sealed.commitment, new=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fresh.unlink(missing_ok=True)  # a crash left it
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                file.write(sealed.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            # A crash before this leaves a file that nobody reads; `settle` removes it.
            fresh.replace(path)
            self._sync()
        except OSError as error:
            raise self._unavailable(error) from error

    def _path(self, commitment: str, *, new: bool = False) -> Path:
        return self._folder / (f".{commitment}{_NEW}" if new else f"{commitment}{SUFFIX}")

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self._folder}: expected to read and write disclosures there, got {error.strerror}; "
            "free the disk or mend the folder, and send the request again"
        )


def _keys(readers: Iterable[str]) -> list[X25519PublicKey]:
    return [X25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in readers]
