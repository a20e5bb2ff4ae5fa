"""A product whose rows are files: images or recordings in a folder, listed by a manifest.

    "modality": "image", "path": "scans.csv",
    "image": {"folder": "scans", "mode": "L", "width": 28, "height": 28, "fit": "resize"}

    "modality": "audio", "path": "clips.jsonl",
    "audio": {"folder": "clips", "rate": 16000, "channels": 1, "samples": 16000,
              "fit": "pad-or-crop", "digest": "sha256"}

`path` is the manifest, CSV or JSON Lines: a line for each file, with its label and perhaps its
subject and time. The one column of role `feature` is of type `string`: a path below the folder.
`digest` names a column of the manifest that holds each file's SHA-256; a file that is not the one
that was listed then refuses the product. An app sees float32 [n, *shape]:

    image   shape (1 or 3, height, width); 0 is black and 1 is full; mode "L" is gray
    audio   shape (channels, samples); from -1 to 1, at `rate` samples a second

`fit` says what is done with a file of another size: "exact" refuses it. "resize" scales an image
whatever its proportions, and converts between gray, palette and RGB; what is transparent or deeper
than 8 bits is refused still. "pad-or-crop" keeps a recording's beginning and adds silence at its
end; another rate or number of channels is refused still. Orientation tags are not applied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import Field

from policies.errors import DocumentError
from policies.fields import Document
from policies.statements import Column, Modality

MANIFEST_SUFFIXES: Final = (".csv", ".jsonl")
MAX_SAMPLE_BYTES: Final = 1 << 26
"""Of one row, as an app sees it."""

MAX_SAMPLES: Final = 1 << 24

Folder = Annotated[str, Field(min_length=1, max_length=1024)]
Digest = Annotated[str, Field(max_length=128)]


class ImageFile(Document):
    """`image` as it stands in a product file."""

    folder: Folder
    mode: Literal["L", "RGB"]
    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    fit: Literal["exact", "resize"]
    digest: Digest = ""


class AudioFile(Document):
    """`audio` as it stands in a product file."""

    folder: Folder
    rate: Annotated[int, Field(ge=1, le=384_000)]
    channels: Annotated[int, Field(ge=1, le=8)]
    samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES)]
    fit: Literal["exact", "pad-or-crop"]
    digest: Digest = ""


@dataclass(frozen=True, slots=True)
class Images:
    """Images of one size and mode."""

    folder: Path
    mode: Literal["L", "RGB"]
    width: int
    height: int
    resized: bool
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (1 if self.mode == "L" else 3, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings of one rate and length."""

    folder: Path
    rate: int
    channels: int
    samples: int
    fitted: bool
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (self.channels, self.samples)


Media = Images | Recordings


def check_media(
    modality: Modality,
    image: ImageFile | None,
    audio: AudioFile | None,
    folder: Path,
) -> Media | None:
    """What the files are; None for a table. Nothing is opened.

    Args:
        folder: the product file's.

    Raises:
        DocumentError: the field.
    """
    for name, given in (("image", image), ("audio", audio)):
        if (given is not None) != (modality == name):
            expected = f'with "modality": "{name}", and only then'
            got = "one" if given is not None else "none"
            raise DocumentError(f"$.{name}", expected, f'{got} with "{modality}"')
    media: Media | None = None
    if image is not None:
        place = folder / _below(image.folder, "$.image.folder")
        media = Images(
            place, image.mode, image.width, image.height, image.fit == "resize", image.digest
        )
    elif audio is not None:
        place = folder / _below(audio.folder, "$.audio.folder")
        fitted = audio.fit == "pad-or-crop"
        media = Recordings(place, audio.rate, audio.channels, audio.samples, fitted, audio.digest)
    if media is not None and math.prod(media.shape) * 4 > MAX_SAMPLE_BYTES:
        expected = f"at most {MAX_SAMPLE_BYTES} bytes a row, 4 for each number"
        raise DocumentError(f"$.{modality}", expected, "a larger size")
    return media


def check_media_columns(columns: Sequence[Column], path: str) -> None:
    """The manifest's columns: one feature, which is a path.

    Raises:
        DocumentError: the field.
    """
    if PurePosixPath(path).suffix.lower() not in MANIFEST_SUFFIXES:
        expected = f"a manifest ending in {' or '.join(MANIFEST_SUFFIXES)}"
        raise DocumentError("$.path", expected, repr(PurePosixPath(path).name)[:80])
    features = [column for column in columns if column.role == "feature"]
    if len(features) != 1 or features[0].type != "string":
        expected = "exactly one column with role feature, of type string: the files' paths"
        raise DocumentError("$.columns", expected, f"{len(features)} with role feature")


def _below(text: str, field: str) -> PurePosixPath:
    place = PurePosixPath(text)
    if place.is_absolute() or ".." in place.parts or "\0" in text:
        raise DocumentError(field, "a folder below the product file's", repr(text)[:80])
    return place
