"""One file's bytes as the numbers that an app sees; what is not exactly as declared is refused.

An image's size is read before any pixel is: beyond `MAX_PIXELS` it is refused. Only formats with a
small decoder are read. Of a decoder's errors the kind alone is told.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from clients.errors import VaultError
from clients.media import Images, Media, Recordings

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS: Final = 50_000_000
IMAGE_FORMATS: Final = ("PNG", "JPEG")
AUDIO_FORMATS: Final = ("WAV", "WAVEX", "FLAC")
_PLAIN: Final = ("1", "L", "P", "RGB")
"""Modes that "resize" converts between: no transparency, at most 8 bits a channel."""

Sample = npt.NDArray[np.float32]


def decoder_missing(media: Media) -> str:
    """Which package there is none of that decodes these files; "" if all is there."""
    try:
        if isinstance(media, Images):
            import PIL.Image  # noqa: F401, PLC0415 - an extra; only products of files need it

            return ""
        import soundfile  # noqa: F401, PLC0415 - as above
    except (ImportError, OSError):  # OSError: the package without its library
        return "Pillow" if isinstance(media, Images) else "soundfile"
    return ""


def decode(media: Media, data: bytes) -> Sample:
    """One file, float32 [*media.shape], every value finite.

    Raises:
        VaultError: it is not as declared; the text says what, but not which file.
    """
    sample = _image(media, data) if isinstance(media, Images) else _recording(media, data)
    assert sample.shape == media.shape
    return sample


def _image(media: Images, data: bytes) -> Sample:
    from PIL import Image  # noqa: PLC0415 - as above

    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as opened:
            _check_image(media, opened)
            opened.load()
            fit: Image.Image = opened
            if media.resized:
                fit = opened.convert(media.mode).resize(
                    (media.width, media.height), Image.Resampling.BILINEAR
                )
            pixels = np.asarray(fit, dtype=np.uint8)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
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
    planes = pixels[np.newaxis] if media.mode == "L" else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes, dtype=np.float32) / np.float32(255)


def _check_image(media: Images, opened: Picture) -> None:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise _too_large()
    if getattr(opened, "n_frames", 1) != 1:
        raise VaultError("expected one image, got several frames")
    if media.resized:
        if opened.mode not in _PLAIN or "transparency" in opened.info:
            wanted = "gray, palette or RGB of 8 bits without transparency"
            raise VaultError(f"expected {wanted}, got mode {opened.mode}")
    elif (width, height) != (media.width, media.height) or opened.mode != media.mode:
        raise VaultError(
            f"expected {media.width} x {media.height} pixels in mode {media.mode}, got "
            f'{width} x {height} in mode {opened.mode}; "fit": "resize" would convert it'
        )


def _too_large() -> VaultError:
    return VaultError(f"expected at most {MAX_PIXELS} pixels, got more")


def _recording(media: Recordings, data: bytes) -> Sample:
    import soundfile  # noqa: PLC0415 - as above

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as opened:
            _check_recording(media, opened)
            wanted = min(opened.frames, media.samples)
            found = opened.read(frames=wanted, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        known = "a recording that decodes (WAV or FLAC)"
        raise VaultError(f"expected {known}, got {type(error).__name__}") from None
    if len(found) != wanted or not np.isfinite(found).all():
        raise VaultError("expected as many samples as the header says, each finite, got otherwise")
    sample = np.zeros(media.shape, dtype=np.float32)
    sample[:, :wanted] = found.T
    return sample


def _check_recording(media: Recordings, opened: Any) -> None:
    if opened.format not in AUDIO_FORMATS:
        raise VaultError(f"expected WAV or FLAC, got {str(opened.format)[:20]}")
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
