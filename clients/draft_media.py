"""A draft of a folder of images or recordings, guessed from its manifest and its first files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from clients.decoder import Decoder
from clients.decoding import ImageFacts, RecordingFacts
from clients.draft import Draft, Guess, draft_of_table
from clients.draft_tables import file_table
from clients.errors import VaultError
from clients.media import (
    MANIFEST_SUFFIXES,
    MAX_SAMPLE_BYTES,
    MAX_SAMPLES,
    Images,
    Media,
    Recordings,
)
from clients.media_files import opened_folder, read_below
from policies.canonical import Json
from policies.statements import Column, Modality

MAX_LOOKED_AT: Final = 50
_IMAGES: Final = (".png", ".jpg", ".jpeg")
_AUDIO: Final = (".wav", ".flac")
_KINDS: Final[tuple[tuple[Modality, tuple[str, ...]], ...]] = (
    ("image", _IMAGES),
    ("audio", _AUDIO),
)
_SOME: Final[dict[Modality, Media]] = {
    "image": Images(Path(), "L", 1, 1, resized=True, digest=""),
    "audio": Recordings(Path(), 1, 1, 1, fitted=True, digest=""),
}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class MediaDraft:
    """What was guessed.

    Attributes:
        modality: "image" or "audio".
        form: as it stands in the product file under the modality's name.
        why: what the form was guessed from.
    """

    draft: Draft
    modality: Modality
    form: dict[str, Json]
    why: str


def draft_of_media(manifest: Path, folder: Path) -> MediaDraft:
    """Guess from a manifest (CSV or JSON Lines) and the files below a folder that it lists.

    Raises:
        VaultError: no such manifest, no column of paths to files, or files that do not decode; of
            the manifest's values, paths alone are told.
    """
    if manifest.suffix.lower() not in MANIFEST_SUFFIXES:
        expected = f"a manifest ending in {' or '.join(MANIFEST_SUFFIXES)}"
        raise VaultError(f"{manifest}: expected {expected}, got another")
    with file_table(manifest) as table:
        names = [name for _, name in table.columns]
        first = table.first(MAX_LOOKED_AT)
        paths, modality = _paths(manifest, folder, names, first)
        digest = _digest(names, first)
        draft = draft_of_table(table, manifest, without=(paths, digest))
    place = names.index(paths)
    found = [str(row[place]) for row in first]
    form, why = _form(_facts(folder, found, modality))
    form = {"folder": folder.name, **form, **({"digest": digest} if digest else {})}
    path = Column(name=paths, type="string", role="feature")
    guesses = [Guess(path, "its values are files below the folder"), *map(_unseen, draft.guesses)]
    return MediaDraft(replace(draft, guesses=tuple(guesses)), modality, form, why)


def _facts(
    folder: Path, paths: Sequence[str], modality: Modality
) -> list[ImageFacts | RecordingFacts]:
    """What the headers of the files say."""
    found = []
    with opened_folder(folder) as root, Decoder(_SOME[modality]) as decoder:
        for path in paths:
            try:
                found.append(decoder.facts(read_below(root, path)))
            except VaultError as error:
                raise VaultError(f"{folder}: file {path!r}: {error}") from None
    return found


def _paths(
    manifest: Path, folder: Path, names: Sequence[str], first: Sequence[tuple[Any, ...]]
) -> tuple[str, Modality]:
    """The column whose every value is a file below the folder, and what those are."""
    for place, name in enumerate(names):
        values = [row[place] for row in first]
        for modality, suffixes in _KINDS:
            if values and all(_is_file(folder, value, suffixes) for value in values):
                return name, modality
    kinds = ", ".join(suffix for _, suffixes in _KINDS for suffix in suffixes)
    raise VaultError(
        f"{manifest}: expected a column of paths to files below {folder}, all images or all "
        f"recordings ({kinds}), got none"
    )


def _is_file(folder: Path, value: object, suffixes: Sequence[str]) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    place = PurePosixPath(value)
    if place.is_absolute() or ".." in place.parts or place.suffix.lower() not in suffixes:
        return False
    return (folder / place).is_file()


def _digest(names: Sequence[str], first: Sequence[tuple[Any, ...]]) -> str:
    """The column that holds SHA-256s; "" if there is none."""
    for place, name in enumerate(names):
        if all(isinstance(row[place], str) and _SHA256.fullmatch(row[place]) for row in first):
            return name
    return ""


def _unseen(guess: Guess) -> Guess:
    """The paths are the one feature."""
    if guess.column.role != "feature":
        return guess
    why = f"{guess.why}, but files are all that an app of this product sees"
    return Guess(guess.column.model_copy(update={"role": "ignored"}), why)


def _form(facts: Sequence[ImageFacts | RecordingFacts]) -> tuple[dict[str, Json], str]:
    images = [one for one in facts if isinstance(one, ImageFacts)]
    if images:
        return _images(images)
    return _recordings([one for one in facts if isinstance(one, RecordingFacts)])


def _images(found: Sequence[ImageFacts]) -> tuple[dict[str, Json], str]:
    sizes = Counter((one.width, one.height) for one in found)
    modes = {one.mode for one in found}
    (width, height), _ = sizes.most_common(1)[0]
    mode = "L" if modes <= {"L", "1"} else "RGB"
    while width * height * 4 * (1 if mode == "L" else 3) > MAX_SAMPLE_BYTES:
        width, height = max(1, width // 2), max(1, height // 2)
    same = set(sizes) == {(width, height)} and modes == {mode}
    fit = "exact" if same else "resize"
    form: dict[str, Json] = {"mode": mode, "width": width, "height": height, "fit": fit}
    return form, f"{len(found)} images of {len(sizes)} sizes in {len(modes)} modes"


def _recordings(found: Sequence[RecordingFacts]) -> tuple[dict[str, Json], str]:
    kinds = Counter((one.rate, one.channels) for one in found)
    lengths = {one.samples for one in found}
    (rate, channels), _ = kinds.most_common(1)[0]
    samples = min(max(*lengths, 1), MAX_SAMPLES, MAX_SAMPLE_BYTES // (4 * channels))
    fit = "exact" if lengths == {samples} else "pad-or-crop"
    form: dict[str, Json] = {"rate": rate, "channels": channels, "samples": samples, "fit": fit}
    return form, f"{len(found)} recordings of {len(lengths)} lengths, {len(kinds)} kinds"
