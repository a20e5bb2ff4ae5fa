"""What a node remembers of a registered version's data, to tell how far the next one has moved.

It holds quantiles of the values and never leaves the node's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from clients.errors import FileRefused, ProductError
from clients.files import read_file, replace_file
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Count, Decimal, Document, Id, Version
from policies.statements import DataVersion

MAX_SUMMARY_BYTES: Final = 8 << 20


class ClassSummary(Document):
    """A class of the label and how many rows it has."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    rows: Count


class FeatureSummary(Document):
    """A feature's bins.

    Attributes:
        edges: ascending; a bin ends just before its edge, and the last one has none.
        counts: values in each bin: one more than there are edges.
    """

    name: Annotated[str, Field(min_length=1, max_length=128)]
    edges: Annotated[list[Decimal], Field(max_length=9)]
    counts: Annotated[list[Count], Field(min_length=1, max_length=10)]


class Summary(Document):
    """A version's data in bins. Names stand in lists: as keys, some could not be spelled."""

    version: Version
    product: Id
    data_version: DataVersion
    rows: Count
    classes: Annotated[list[ClassSummary], Field(max_length=4096)]
    features: Annotated[list[FeatureSummary], Field(max_length=4096)]

    def class_rows(self) -> dict[str, int]:
        """Rows by class."""
        return {one.name: one.rows for one in self.classes}


def load_summary(path: Path) -> Summary | None:
    """The summary in a file; None if there is no such file.

    Raises:
        ProductError: unreadable or malformed.
    """
    if not path.exists():
        return None
    try:
        data = read_file(path, max_bytes=MAX_SUMMARY_BYTES)
        summary = Summary.from_json(parse_json(data, max_bytes=MAX_SUMMARY_BYTES))
        for place, one in enumerate(summary.features):
            if len(one.counts) != len(one.edges) + 1:
                raise DocumentError(
                    f"$.features[{place}].counts", "one more than edges", str(len(one.counts))
                )
    except (FileRefused, DocumentError) as error:
        raise ProductError(
            f"{path}: {error}; without this file drift is not told until the next registration"
        ) from error
    return summary


def save_summary(path: Path, summary: Summary) -> None:
    """Take the place of the summary before; mode 0600.

    Raises:
        FileRefused: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, canonical_bytes(summary.to_json()))
