"""The pages of the log: searched, an entry, verified by the visitor's own browser.

What these pages show of entries is read from the published files as they stand. Whether they hold
is for the script in the page to say, which reads the same files (`static/audit`); the server gives
no verdict.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from policies.entries import Entry, parse_entry
from policies.errors import DocumentError
from server.console.door import Visit, see_other
from server.console.log_lines import LogLines
from server.console.log_search import SEARCH_S, Hits, Wanted, number, parse_wanted, search
from server.console.pages import Pages
from server.console.spaces import names_for
from server.console.statements import set_out, statements
from server.console.telling import Teller
from server.console.words import Words
from server.errors import NotAllowed, NotKnown, TooMany, Unavailable
from server.governance import Governance

SCRIPT_PREFIX: Final = "js-"
"""Of the keys of words that the page's script says."""

MAX_SEARCHES: Final = 2
"""At once: governance has better things to do."""

MAX_TOLD_AT_ONCE: Final = 2_000
"""Entries of a log of which each is told with its page; of a longer one when somebody asks."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_REPORTS: Final = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True)
class Row:
    """An entry in the list."""

    index: int
    time: str
    type: str
    text: str


class AuditPages:
    """Works of the log's pages.

    Args:
        teller: tells of entries; None shows them as they stand.
    """

    def __init__(
        self, *, governance: Governance, lines: LogLines, pages: Pages, teller: Teller | None
    ) -> None:
        self._governance = governance
        self._lines = lines
        self._pages = pages
        self._teller = teller
        self._searching = threading.BoundedSemaphore(MAX_SEARCHES)

    def page(self, visit: Visit) -> Response:
        """`GET /audit`"""
        index = number(visit.query, "index")
        if index is not None:
            return see_other(f"/audit/{index}")
        wanted = parse_wanted(visit.query)
        fault, hits = "", Hits((), None)
        try:
            before = number(visit.query, "before")
            hits = self._search(wanted, before)
        except Unavailable as error:
            fault = str(error)
        asked = wanted.to_query()
        return self._pages.show(
            visit,
            "audit.html",
            status=503 if fault else 200,
            rows=self._rows(visit, hits),
            fault=fault,
            hits=hits,
            asked=asked,
            searched=not wanted.anything,
            before=before if not fault else None,
            older=_query(asked | {"before": str(hits.further)}),
            newest=_query(asked),
            types=visit.words.beginning("type-"),
            may_report=self._may_report(visit),
            **self._script(visit.words),
        )

    def entry(self, visit: Visit) -> Response:
        """`GET /audit/INDEX`"""
        index, size = _index(visit), self._lines.size()
        _, data = self._lines.entry(index, size)
        entry = _parsed(data)
        names = names_for(self._governance, visit.caller)
        with self._governance.reading() as connection:
            signed = list(statements(connection, entry)) if entry is not None else []
        return self._pages.show(
            visit,
            "audit_entry.html",
            index=index,
            size=size,
            entry=entry,
            shown=set_out(entry.body) if entry else data[:1000].decode("utf-8", "replace"),
            statements=signed,
            sentence=self._sentence(visit, entry, names) if entry else "",
            tells=self._teller is not None,
            tells_at_once=self._teller is not None and size <= MAX_TOLD_AT_ONCE,
            **self._script(visit.words),
        )

    def told(self, visit: Visit) -> Response:
        """`GET /audit/INDEX/told`: the entry in plain words."""
        index = _index(visit)
        if self._teller is None:
            raise NotKnown(visit.words("error-404"))
        names = names_for(self._governance, visit.caller)
        told = self._teller.explain(
            self._lines.folder, index, language=visit.words.language, names=names
        )
        return self._pages.show(visit, "audit_told.html", index=index, told=told)

    def report(self, visit: Visit) -> Response:
        """`GET /audit/report`: a file."""
        if self._teller is None or not self._may_report(visit):
            raise NotAllowed(visit.words("error-403"))
        data = self._teller.report(self._lines.folder, language=visit.words.language)
        name = f'attachment; filename="report-{visit.words.language}.html"'
        headers = {"content-disposition": name}
        return Response(data, headers=headers, media_type="text/html; charset=utf-8")

    def _search(self, wanted: Wanted, before: int | None) -> Hits:
        if not self._searching.acquire(timeout=SEARCH_S):
            raise TooMany("search: others are at it; try again in a moment")
        try:
            return search(self._lines, wanted, before=before, now=time.monotonic)
        finally:
            self._searching.release()

    def _may_report(self, visit: Visit) -> bool:
        return self._teller is not None and visit.caller.role in _REPORTS

    def _rows(self, visit: Visit, hits: Hits) -> list[Row]:
        names = names_for(self._governance, visit.caller) if hits.entries else {}
        return [
            Row(index, one.time, one.type, self._sentence(visit, one, names))
            for index, one in hits.entries
        ]

    def _sentence(self, visit: Visit, entry: Entry, names: Mapping[str, str]) -> str:
        if self._teller is None:
            return ""
        return self._teller.sentence(entry, language=visit.words.language, names=names)

    def _script(self, words: Words) -> dict[str, Any]:
        """What the page's script is told: words and the key, as this server has it."""
        return {
            "log_key": self._governance.card.log_key,
            "script_words": json.dumps(words.beginning(SCRIPT_PREFIX), ensure_ascii=False),
        }


def _index(visit: Visit) -> int:
    if not _INDEX.fullmatch(visit.params["index"]):
        raise NotKnown(visit.words("error-404"))
    return int(visit.params["index"])


def _query(asked: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in asked.items() if value})


def _parsed(data: bytes) -> Entry | None:
    try:
        return parse_entry(data)
    except DocumentError:
        return None
