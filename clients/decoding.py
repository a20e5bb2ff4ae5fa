"""One file's bytes as the numbers that an app sees; what is not exactly as declared is refused.

An image's size is read before any pixel is: beyond `MAX_PIXELS` it is refused. Only formats with a
small decoder are read. Of a decoder's errors the kind alone is told.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from clients.errors import VaultError
from clients.media import Images, Media, Recordings
from policies.statements import Modality

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS: Final = 50_000_000
IMAGE_FORMATS: Final = ("PNG", "JPEG")
AUDIO_FORMATS: Final = ("WAV", "WAVEX", "FLAC")
_PLAIN: Final = ("1", "L", "P", "RGB")
"""Modes that "resize" converts between: no transparency, at most 8 bits a channel."""

_BILINEAR: Final = 2
"""PIL.Image.Resampling.BILINEAR; when it makes an image smaller, Pillow averages."""

Sample = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says."""

    width: int
    height: int
    mode: str


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What a recording's header says."""

    rate: int
    channels: int
    samples: int


def require_decoder(modality: Modality) -> None:
    """What decodes such files is installed.

    Raises:
        VaultError: it is not; the text says what to install.
    """
    name = "Pillow" if modality == "image" else "soundfile"
    try:
        import_module("PIL.Image" if modality == "image" else "soundfile")
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise VaultError(
            f"expected {name} to read {modality} files with, got none that works; install it "
            "with: pip install 'tdspace[media]'"
        ) from error


def image_facts(data: bytes) -> ImageFacts:
    """From the header alone.

    Raises:
        VaultError: no image that could be read.
    """
    with _opened_image(data) as opened:
        return ImageFacts(*opened.size, opened.mode)


def recording_facts(data: bytes) -> RecordingFacts:
    """From the header alone.

    Raises:
        VaultError: no recording that could be read.
    """
    with _opened_recording(data) as opened:
        return RecordingFacts(opened.samplerate, opened.channels, opened.frames)


def decode(media: Media, data: bytes) -> Sample:
    """One file, float32 [*media.shape], every value finite.

    Raises:
        VaultError: it is not as declared; the text says what, but not which file.
    """
    sample = _image(media, data) if isinstance(media, Images) else _recording(media, data)
    assert sample.shape == media.shape
    return sample


@contextmanager
def _opened_image(data: bytes) -> Iterator[Picture]:
    from PIL import Image  # noqa: PLC0415 - an extra; only products of files need it

    too_large = VaultError(f"expected at most {MAX_PIXELS} pixels, got more")
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise too_large
            if getattr(opened, "n_frames", 1) != 1:
                raise VaultError("expected one image, got several frames")
            yield opened
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        struct.error,
        zlib.error,
    ) as error:
        wanted = f"an image that decodes ({' or '.join(IMAGE_FORMATS)})"
        raise VaultError(f"expected {wanted}, got {type(error).__name__}") from None


def _image(media: Images, data: bytes) -> Sample:
    with _opened_image(data) as opened:
        _check_image(media, opened)
        opened.load()
        fit: Picture = opened
        if media.resized:
            fit = opened.convert(media.mode).resize((media.width, media.height), _BILINEAR)
        pixels = np.asarray(fit, dtype=np.uint8)
    planes = pixels[np.newaxis] if media.mode == "L" else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes, dtype=np.float32) / np.float32(255)


def _check_image(media: Images, opened: Picture) -> None:
    if media.resized:
        if opened.mode not in _PLAIN or "transparency" in opened.info:
            wanted = "gray, palette or RGB of 8 bits without transparency"
            raise VaultError(f"expected {wanted}, got mode {opened.mode}")
    elif (*opened.size, opened.mode) != (media.width, media.height, media.mode):
        raise VaultError(
            f"expected {media.width} x {media.height} pixels in mode {media.mode}, got "
            f'{opened.width} x {opened.height} in mode {opened.mode}; "fit": "resize" would '
            "convert it"
        )


@contextmanager
def _opened_recording(data: bytes) -> Iterator[Any]:
    import soundfile  # noqa: PLC0415 - as above

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as opened:
            if opened.format not in AUDIO_FORMATS:
                raise VaultError(f"expected WAV or FLAC, got {str(opened.format)[:20]}")
            yield opened
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        known = "a recording that decodes (WAV or FLAC)"
        raise VaultError(f"expected {known}, got {type(error).__name__}") from None


def _recording(media: Recordings, data: bytes) -> Sample:
    with _opened_recording(data) as opened:
        _check_recording(media, opened)
        wanted = min(opened.frames, media.samples)
        found = opened.read(frames=wanted, dtype="float32", always_2d=True)
    if len(found) != wanted or not np.isfinite(found).all():
        raise VaultError("expected as many samples as the header says, each finite, got otherwise")
    sample = np.zeros(media.shape, dtype=np.float32)
    sample[:, :wanted] = found.T
    return sample


def _check_recording(media: Recordings, opened: Any) -> None:
    if (opened.samplerate, opened.channels) != (media.rate, media.channels):
        raise VaultError(
            f"expected {media.rate} samples a second on {media.channels} channels, got "
            f"{opened.samplerate} on {opened.channels}"
        )
    if opened.frames < 1 or (not media.fitted and opened.frames != media.samples):
        raise VaultError(
            f"expected {media.samples} samples, got {opened.frames}; "
            '"fit": "pad-or-crop" would fill or cut it'
        )
