"""The certificates that lie in a space's folder, issued anew for the same keys and names.

Those of governance, of the SuperLink, of the operator and of the space's own consumer; nodes and
others renew their own (`server.renewal`). Each file is replaced whole: a crash leaves the old
certificate or the new one, both good. What runs goes on with what it has read.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from server.errors import CertificateError, SpaceError
from server.files import read_file, write_public
from server.pki import reissue
from server.space import Space

FOLDERS: Final = ("governance", "superlink", "operator", "consumer")


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate in a space's folder; `renewed` says whether it was just issued."""

    name: str
    end: datetime
    renewed: bool


def renew_certificates(space: Space, *, now: datetime, everything: bool = False) -> list[Held]:
    """Issue anew whatever has a third of its life or less left; the CA itself only ends.

    Args:
        everything: also what has more left.

    Raises:
        SpaceError: a file is missing, malformed, or cannot be written; those before it are done.
    """
    return [_ca(space), *_renewed(space, now, everything)]


def _ca(space: Space) -> Held:
    found = _load(space.folder / "ca" / "ca.crt")
    return Held("ca", found.not_valid_after_utc, False)


def _renewed(space: Space, now: datetime, everything: bool) -> Iterator[Held]:
    authority = space.authority()
    for name in FOLDERS:
        path = space.folder / name / "tls.crt"
        held = _load(path)
        start, end = held.not_valid_before_utc, held.not_valid_after_utc
        due = everything or end - now <= (end - start) / 3
        if due:
            try:
                pem = reissue(authority, held, now=now)
            except CertificateError as error:
                raise SpaceError(f"{path}: {error}") from error
            _replace(path, pem)
            end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
        yield Held(name, end, due)


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_file(path))
    except ValueError as error:
        raise SpaceError(f"{path}: expected a certificate in PEM") from error


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    write_public(fresh, data)
    try:
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise SpaceError(f"{path}: expected to replace it, got {error.strerror}") from error
