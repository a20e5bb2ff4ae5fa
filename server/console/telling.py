"""What the page of the log is lent: entries told in plain words, and the auditors' report.

Both are the auditors' code, which the server does not import: whoever starts the service hands it
in. Without it the page shows entries as they stand, and the commands that tell of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from policies.entries import Entry
from policies.explain import Explanation
from policies.phrases import Language


@dataclass(frozen=True, slots=True)
class Beside:
    """An entry that belongs to the one that is told of, in one sentence."""

    entry: int
    time: str
    type: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An entry in sentences.

    Attributes:
        says: the first sentence says it in short.
        verdicts: of a decision, one for each candidate.
        rests: earlier entries that it rests on, the newest first.
        followed: the first of the entries that followed from it.
        more_rests, more_followed: how many are left out.
    """

    says: tuple[str, ...]
    verdicts: tuple[Explanation, ...]
    rests: tuple[Beside, ...]
    more_rests: int
    followed: tuple[Beside, ...]
    more_followed: int


class Teller(Protocol):
    """Tells of a log's folder as it stands; nothing is verified by it.

    `names` are shown beside pseudonyms: those that the reader may know.
    """

    def sentence(self, entry: Entry, *, language: Language, names: Mapping[str, str]) -> str:
        """One sentence, at once; "" for an entry in another form than governance writes."""

    def explain(
        self, folder: Path, index: int, *, language: Language, names: Mapping[str, str]
    ) -> Told:
        """All about one entry.

        Raises:
            RequestError: no such entry, it cannot be read, or the log is too long to tell of it in
                good time; the text says what to do.
        """

    def report(self, folder: Path, *, language: Language) -> bytes:
        """The auditors' report, an HTML file that needs nothing but itself.

        Raises:
            RequestError: the log does not hold, another report is being made, or it takes too
                long; the text says what to do.
        """
