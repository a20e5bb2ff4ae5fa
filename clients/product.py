"""The owner's product file: which file, which columns, and what may be held back from training.

    {"version": 1, "id": "clinic-a/breast-cytology", "title": "Breast cytology, 2024",
     "path": "data.csv",
     "columns": [{"name": "radius", "type": "float", "role": "feature"},
                 {"name": "diagnosis", "type": "string", "role": "label"}],
     "classes": ["benign", "malignant"], "held_back": "0.2", "modality": "tabular",
     "classification": "general", "personal_information": false}

A column may also state its `unit` ("mm") and its `range` (["0", "120"], least and most: a value
outside refuses the product). The role `subject` is of whom a row is, `time` of when, `ignored` of
nothing; no app sees any of them. `path` is relative to the product file; a database stands under
`source` instead (clients.source), and a folder of images or recordings under `image` or `audio`
beside the `path` of its manifest (clients.media). `classes` are the label's values in order; for
an integer label they read "0", "1", and so on. What else may be said about the data, with what
holds where it is left out: `data_version` (1), `jurisdiction` (that of the node's region),
`subject_consent` ("none"; "table" goes with `consent`, the path of the consent table, and with one
column of role `subject`: clients.consent), `anonymization` (the method, ""), `filing_number` (""),
`execution_environment` ("", or what `tds node doctor` measures), `share_readiness`
(["rows"]): the figures of the readiness report (clients.readiness) that may leave the node; and
`app_state` ("same-rows"): what an app may keep in the node between the rounds of a run (`none`
nothing; `run` until the run ends; `same-rows` no longer than the rows it sees stay the same, so
that a state in which a withdrawn subject left traces is not used again).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import Field

from clients.errors import FileRefused, ProductError
from clients.files import read_file
from clients.media import AudioFile, ImageFile, Media, check_media, check_media_columns
from clients.source import Source, SourceFile, check_source
from policies.canonical import parse_json
from policies.disclosure import Opening, ProductText, new_opening
from policies.errors import DocumentError
from policies.fields import Document, Id, ParticipantId, Version, instant
from policies.places import Jurisdiction
from policies.statements import (
    Column,
    DataVersion,
    Environment,
    FilingNumber,
    Method,
    Modality,
    ProductCard,
    Share,
    SubjectConsent,
)

MAX_PRODUCT_BYTES: Final = 1 << 18
SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
AppStateRule = Literal["none", "same-rows", "run"]
DEFAULT_SHARE: Final[tuple[Share, ...]] = ("rows",)


class _File(Document):
    version: Version
    id: Id
    title: Annotated[str, Field(min_length=1, max_length=200)]
    path: Annotated[str, Field(max_length=1024)] = ""
    source: SourceFile | None = None
    image: ImageFile | None = None
    audio: AudioFile | None = None
    columns: Annotated[list[Column], Field(min_length=2, max_length=4096)]
    classes: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128)]],
        Field(min_length=2, max_length=4096),
    ]
    held_back: Annotated[str, Field(pattern=r"^0(\.\d{1,9})?$")]
    modality: Modality
    classification: Literal["general", "important", "core"]
    personal_information: bool
    data_version: DataVersion = 1
    jurisdiction: Jurisdiction | None = None
    subject_consent: SubjectConsent = "none"
    consent: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    anonymization: Method = ""
    filing_number: FilingNumber = ""
    execution_environment: Environment = ""
    share_readiness: Annotated[list[Share], Field(max_length=16)] = Field(
        default_factory=lambda: list[Share](DEFAULT_SHARE)
    )
    app_state: AppStateRule = "same-rows"


@dataclass(frozen=True, slots=True)
class Product:
    """A product file that was read and checked.

    Attributes:
        data: the data file or manifest, absolute; this product file where the rows are a
            database's.
        columns: as declared; exactly one is the label.
        classes: the label's values in order.
        held_back: share of the rows kept for evaluation, in [0, 1).
        consent: the table of the subjects' consents, absolute; there if and only if
            `subject_consent` is "table".
        share_readiness: the figures of the readiness report that may leave the node.
        app_state: how long an app may keep something in the node.
    """

    id: str
    title: str
    data: Path
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    held_back: Decimal
    modality: Modality
    classification: Literal["general", "important", "core"]
    personal_information: bool
    data_version: int = 1
    jurisdiction: Jurisdiction | None = None
    subject_consent: SubjectConsent = "none"
    consent: Path | None = None
    anonymization: str = ""
    filing_number: str = ""
    execution_environment: Environment = ""
    share_readiness: tuple[Share, ...] = DEFAULT_SHARE
    source: Source | None = None
    media: Media | None = None
    app_state: AppStateRule = "same-rows"

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that an app sees, in the file's order."""
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def used(self) -> list[Column]:
        """Features and label, in the file's order: all that is read for an app."""
        return [column for column in self.columns if column.role in ("feature", "label")]

    @property
    def label(self) -> Column:
        """The one column that is to be predicted."""
        return next(column for column in self.columns if column.role == "label")

    @property
    def subject(self) -> Column | None:
        """The column that says whose row it is; no app sees it."""
        return next((column for column in self.columns if column.role == "subject"), None)


def load_product(path: Path) -> Product:
    """Read and check a product file; the data file is not opened.

    Raises:
        ProductError: the file and the field, what was expected and what came.
    """
    try:
        data = read_file(path, max_bytes=MAX_PRODUCT_BYTES)
        content = _File.from_json(parse_json(data, max_bytes=MAX_PRODUCT_BYTES))
        _check(content)
        folder = path.resolve().parent
        source = None if content.source is None else check_source(content.source, folder)
        media = check_media(content.modality, content.image, content.audio, folder)
    except (FileRefused, DocumentError) as error:
        raise ProductError(f"product file {path}: {error}") from error
    return Product(
        id=content.id,
        title=content.title,
        data=folder / content.path if source is None else path.resolve(),
        columns=tuple(content.columns),
        classes=tuple(content.classes),
        held_back=Decimal(content.held_back),
        modality=content.modality,
        classification=content.classification,
        personal_information=content.personal_information,
        data_version=content.data_version,
        jurisdiction=content.jurisdiction,
        subject_consent=content.subject_consent,
        consent=None if content.consent is None else path.resolve().parent / content.consent,
        anonymization=content.anonymization,
        filing_number=content.filing_number,
        execution_environment=content.execution_environment,
        share_readiness=tuple(content.share_readiness),
        source=source,
        media=media,
        app_state=content.app_state,
    )


def product_card(
    product: Product,
    *,
    participant: ParticipantId,
    rows: int,
    registered: datetime,
    salt: bytes,
    readiness: Mapping[Share, str] | None = None,
) -> tuple[ProductCard, Opening]:
    """What is registered about the product, none of its values; and what opens its description.

    Args:
        participant: its owner.
        rows: how many the vault read.
        registered: aware moment of registration.
        salt: fresh and unguessable; title and columns are committed to under it.
        readiness: the figures that may leave, and no others.

    Raises:
        ProductError: no row, or more columns than a disclosure can hold.
    """
    if rows < 1:
        raise ProductError(f"product {product.id}: expected at least one row, got {rows}")
    words = ProductText(title=product.title, columns=list(product.columns))
    description = new_opening(words, salt)
    card = ProductCard(
        version=1,
        id=product.id,
        participant=participant,
        description=description.commitment,
        rows=rows,
        modality=product.modality,
        classification=product.classification,
        personal_information=product.personal_information,
        registered=instant(registered),
        data_version=product.data_version,
        jurisdiction=product.jurisdiction,
        subject_consent=product.subject_consent,
        anonymization=product.anonymization,
        filing_number=product.filing_number,
        execution_environment=product.execution_environment,
        readiness=dict(readiness or {}),
    )
    return card, description


def _check(content: _File) -> None:
    if content.classification == "core":
        raise DocumentError(
            "$.classification", "general or important", "core (core data is never listed or used)"
        )
    if (content.source is None) == (not content.path):
        raise DocumentError(
            "$.path", "a data file's path, or $.source for a database", "both or none"
        )
    if content.path:
        place = _below("$.path", content.path)
        if place.suffix.lower() not in SUFFIXES:
            expected = f"a file ending in {' or '.join(SUFFIXES)}"
            raise DocumentError("$.path", expected, repr(place.name))
    if len(set(content.share_readiness)) != len(content.share_readiness):
        raise DocumentError("$.share_readiness", "each figure once", "one twice")
    _check_columns(content)
    _check_subjects(content)


def _below(field: str, text: str) -> PurePosixPath:
    place = PurePosixPath(text)
    if place.is_absolute() or ".." in place.parts or "\0" in text:
        raise DocumentError(field, "a path below the product file's folder", repr(text)[:80])
    return place


def _check_subjects(content: _File) -> None:
    subjects = [column for column in content.columns if column.role == "subject"]
    tabled = content.subject_consent == "table"
    if tabled != (content.consent is not None):
        raise DocumentError(
            "$.consent",
            "the path of the consent table" if tabled else 'none, or "subject_consent": "table"',
            "nothing" if tabled else "one",
        )
    if tabled and not subjects:
        raise DocumentError("$.columns", "a column with role subject, for the consents", "none")
    if content.consent is None:
        return
    if _below("$.consent", content.consent).suffix.lower() != ".csv":
        raise DocumentError("$.consent", "a file ending in .csv", repr(content.consent)[:80])
    files = [content.path, *([] if content.source is None else content.source.files.values())]
    if PurePosixPath(content.consent) in map(PurePosixPath, files):
        raise DocumentError("$.consent", "another file than the data", repr(content.consent)[:80])


def _check_columns(content: _File) -> None:
    names = [column.name for column in content.columns]
    labels = [column for column in content.columns if column.role == "label"]
    features = [column for column in content.columns if column.role == "feature"]
    words = [column.name for column in features if column.type == "string"]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentError("$.columns", "each name once", f"{twice!r} twice")
    if len(labels) != 1:
        raise DocumentError("$.columns", "exactly one column with role label", f"{len(labels)}")
    if labels[0].type == "float":
        raise DocumentError("$.columns", "a label of type string or integer", "float")
    if not features:
        raise DocumentError("$.columns", "at least one column with role feature", "none")
    if content.modality != "tabular":
        check_media_columns(content.columns, content.path)
    elif words:
        raise DocumentError(
            "$.columns", "features of type float or integer", f"string for {words[0]!r}"
        )
    for one in content.columns:
        _check_column(one)
    for role in ("subject", "time"):
        if sum(column.role == role for column in content.columns) > 1:
            raise DocumentError("$.columns", f"at most one column with role {role}", "more")
    if len(set(content.classes)) != len(content.classes):
        raise DocumentError("$.classes", "each class once", "one twice")
    numbered = [str(number) for number in range(len(content.classes))]
    if labels[0].type == "integer" and content.classes != numbered:
        raise DocumentError(
            "$.classes", '"0", "1" and so on for an integer label', f"{content.classes}"[:80]
        )


def _check_column(column: Column) -> None:
    if column.role == "subject" and column.type == "float":
        raise DocumentError("$.columns", "a subject of type string or integer", "float")
    if column.range is not None and (
        column.role in ("label", "subject") or column.type == "string"
    ):
        raise DocumentError(
            "$.columns", "a range for numbers that are no label", f"one for {column.name!r}"
        )
