"""Reading a report's HTML in tests: its text by tag, and whatever would reach out of the file."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_LINKS: Final = frozenset({"src", "href", "action", "data", "poster", "srcset", "formaction"})
_ACTIVE: Final = frozenset(
    {"script", "iframe", "object", "embed", "link", "img", "base", "form", "foreignobject", "use"}
)
_VOID: Final = frozenset({"meta", "br", "line", "rect", "path", "use"})


class Html(HTMLParser):
    """Attributes:
    outside: what a browser would load, run or follow beyond the file.
    texts: text by tag, in order.
    open: tags that were not closed.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _ACTIVE:
            self.outside.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name.startswith("on") or name == "style":
                self.outside.append(f"{tag} {name}")
            if name in _LINKS and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {name}={value}")
            if "url(" in (value or "") and not (value or "").startswith("url(#"):
                self.outside.append(f"{tag} {name}={value}")
        if tag not in _VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag, f"{tag} closed out of turn"

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    @property
    def text(self) -> str:
        """All that a person reads."""
        return " ".join(" ".join(self.texts.get("body", [])).split())
