"""Reads a product of files: each whole, once, from below its folder, without following a link.

What is decoded, in a confined child (clients.decoder), are the same bytes that are committed to.
Memory is bounded by the manifest and one file (`clients.media_files.MAX_FILE_BYTES`) with its
pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from clients.decoder import Decoder
from clients.decoding import Sample
from clients.errors import VaultError
from clients.manifest import Listed, Manifest, read_manifest
from clients.media_files import opened_folder, read_below
from clients.product import Product

MAX_MEDIA_BYTES: Final = 1 << 32
"""Of all rows, as an app sees them."""
_TAG: Final = b"tds files v1\n"

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]
FileStamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class MediaRows:
    """What was read.

    Attributes:
        subjects: object, whose each row is; None if the product does not say.
        commitment: SHA-256(salt || "tds files v1\\n" || lines), hexadecimal; the lines are the
            manifest's SHA-256, then each file once as "SHA-256  path", sorted by path, each line
            ended by a line feed.
    """

    subjects: npt.NDArray[np.object_] | None
    commitment: str


@dataclass(frozen=True, slots=True, eq=False)
class MediaSurvey:
    """What a readiness report is made of.

    Attributes:
        levels: float64, the mean of each row's numbers.
        labels: int64.
        missing: of every declared column, which lines lack a value.
        distinct: rows that differ from one another in their numbers or label.
    """

    levels: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    missing: dict[str, Mask]
    distinct: int


def read_media(
    product: Product, *, salt: bytes, take: Callable[[Sample, Labels], None]
) -> MediaRows:
    """Every file that the manifest lists, decoded.

    Args:
        salt: of the commitment.
        take: called with each row, in the manifest's order: float32 [1, *shape] and its label [1].

    Raises:
        VaultError: a file that is absent, changed, a link, too large or not as declared; the text
            names manifest, line and file.
    """
    media, manifest = product.media, read_manifest(product)
    assert media is not None
    count, size = len(manifest.files), math.prod(media.shape) * 4
    if count * size > MAX_MEDIA_BYTES:
        raise VaultError(
            f"{product.data}: expected at most {MAX_MEDIA_BYTES} bytes in all, got {count} files "
            f"of {size} bytes; declare a smaller size or list fewer files"
        )
    labels = _labels(manifest)
    found: dict[str, str] = {}
    for place, (listed, digest, sample) in enumerate(_samples(product, manifest)):
        found[listed.path] = digest
        take(sample[None], labels[place : place + 1])
    subjects = None
    if product.subject is not None:
        subjects = np.array([listed.subject for listed in manifest.files], dtype=np.object_)
    return MediaRows(subjects, _commitment(salt, manifest, found))


def survey_media(product: Product) -> MediaSurvey:
    """As `read_media`, but no array of all rows is made; the same errors."""
    manifest = read_manifest(product)
    levels, seen = np.empty(len(manifest.files), dtype=np.float64), set()
    for place, (listed, _, sample) in enumerate(_samples(product, manifest)):
        levels[place] = sample.mean(dtype=np.float64)
        seen.add(hashlib.sha256(sample.tobytes() + listed.label.to_bytes(8, "big")).digest())
    return MediaSurvey(levels, _labels(manifest), manifest.missing, len(seen))


def media_stamp(product: Product) -> tuple[str, tuple[FileStamp, ...]]:
    """What changes when the manifest or a file is written or replaced.

    Raises:
        VaultError: as `read_media`, of the manifest, and of a file that is absent.
    """
    manifest = read_manifest(product)
    assert product.media is not None
    stamps = []
    for listed in manifest.files:
        try:
            found = (product.media.folder / listed.path).lstat()
        except OSError as error:
            raise _refused(product, listed, f"expected a file, got: {error.strerror}") from None
        stamps.append((found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino))
    return manifest.digest, tuple(stamps)


def _samples(product: Product, manifest: Manifest) -> Iterator[tuple[Listed, str, Sample]]:
    """Each line with its file's SHA-256 and numbers."""
    media = product.media
    assert media is not None
    with opened_folder(media.folder) as root, Decoder(media) as decoder:
        for listed in manifest.files:
            try:
                data = read_below(root, listed.path)
                digest = hashlib.sha256(data).hexdigest()
                if listed.sha256 not in ("", digest):
                    text = "expected the file whose SHA-256 the manifest states, got another"
                    raise VaultError(text)
                sample = decoder.decode(data)
            except VaultError as error:
                raise _refused(product, listed, str(error)) from None
            yield listed, digest, sample


def _labels(manifest: Manifest) -> npt.NDArray[np.int64]:
    return np.array([listed.label for listed in manifest.files], dtype=np.int64)


def _commitment(salt: bytes, manifest: Manifest, found: dict[str, str]) -> str:
    digest = hashlib.sha256(salt + _TAG + manifest.digest.encode() + b"\n")
    for path in sorted(found):
        digest.update(f"{found[path]}  {path}\n".encode())
    return digest.hexdigest()


def _refused(product: Product, listed: Listed, text: str) -> VaultError:
    return VaultError(f"{product.data}: line {listed.line}: file {listed.path!r}: {text}")
