"""How ids, times and reasons of a report's JSON document are shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from auditors.page import Cell
from auditors.report_chinese import CHINESE
from auditors.report_english import ENGLISH
from policies.operands import OPERANDS
from policies.phrases import WORDS, Language

Object = Mapping[str, Any]
REPORT_WORDS: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {"en": ENGLISH, "zh": CHINESE}
)
_PREFIXES: Final = ("urn:tdspace:agreement:", "urn:tdspace:negotiation:", "urn:tdspace:transfer:")
_SHOWN: Final = 18
# Reason code -> the left operand whose constraint is not met.
_OPERAND_OF: Final = {row.code: row.term for row in OPERANDS.values()}


class Show:
    """Shows what one document holds, in one language.

    Args:
        document: as `auditors.report_json` makes it.
    """

    def __init__(self, document: Object, language: Language) -> None:
        self.document = document
        self.language = language
        self._words = REPORT_WORDS[language]
        self._names: Mapping[str, str] = document["names"]
        self._products = {one["product"]: one for one in document["products"]}
        self._titles = {one["product"]: one["title"] for one in document["products"]}
        self._apps = {one["app"]: one for one in document["apps"]}
        self._laws = {one["name"]: one for one in document["laws"]}
        self._agreements = {one["agreement"]: one for one in document["agreements"]}

    def __call__(self, key: str, **fields: object) -> str:
        """A text of the report with its fields filled in."""
        return self._words[key].format(**fields)

    def name(self, participant: str) -> str:
        """A participant in a sentence: its name with the pseudonym, or the pseudonym alone."""
        name = self._names.get(participant)
        return f"{name} ({participant})" if name else participant

    def label(self, participant: str) -> str:
        """A participant in a plot: its name, or the pseudonym."""
        return self._names.get(participant) or participant

    def of(self, participant: str, product: str) -> str:
        """A product below its owner: its title and id, without what repeats the owner's."""
        id, title = product.removeprefix(f"{participant}/"), self._titles.get(product)
        return f"{title} ({id})" if title else id

    def whose(self, one: Object) -> Cell:
        """Whose data something is about: the owner, and below the product."""
        return self.who(one["participant"], self.of(one["participant"], one["product"]))

    def who(self, participant: str, note: str = "") -> Cell:
        """A participant in a table."""
        name = self._names.get(participant)
        if name:
            return Cell(text=name, note="\n".join(filter(None, (participant, note))))
        return Cell(text=participant, note=note, whole=len(participant) <= _SHOWN)

    def product(self, id: str) -> Object | None:
        """A registered product."""
        return self._products.get(id)

    def app(self, digest: str) -> str:
        """An app by its title and the beginning of its digest."""
        found = self._apps.get(digest)
        short = f"{digest[:12]}…"
        return f"{found['title']} ({short})" if found and found["title"] else short

    def agreement(self, id: str) -> Cell:
        """An agreement, with how its consent stands."""
        found = self._agreements.get(id)
        note = ""
        if found is not None:
            withdrawn = found["withdrawn"]
            note = self("withdrawn-at", time=moment(withdrawn)) if withdrawn else self("stands")
        return Cell(text=short(id), full=id, id=True, note=note)

    def reason(self, code: str, text: str) -> Cell:
        """Why, in the report's language; where that has no words for it, as it was logged."""
        if self.language == "en":
            return Cell(text=text, note=code)
        law = self._laws.get(code.removeprefix("law-"))
        if code.startswith("law-") and law is not None and law["title_zh"]:
            return Cell(text=law["title_zh"], note=text)
        known = WORDS[self.language].facts.get(code) or self._words.get(f"code-{code}")
        if known is None and code in _OPERAND_OF:
            subject = WORDS[self.language].subjects[_OPERAND_OF[code]]
            known = self("code-operand", subject=subject)
        return Cell(text=known, note=text) if known else Cell(text=text, note=code)

    def rounds(self, first: str, last: str) -> str:
        """From one round to another."""
        return self("round-one" if first == last else "rounds-span", first=first, last=last)

    def when(self, first: str, last: str, first_entry: int, last_entry: int) -> Cell:
        """A span of time with the entries at its ends."""
        if first_entry == last_entry:
            return Cell(text=moment(first), note=f"#{first_entry}")
        text = self("span", first=moment(first), last=until(first, last))
        return Cell(text=text, note=f"#{first_entry} – #{last_entry}")

    def place(self, at: Object) -> str:
        """The kind and number of a round."""
        return self("place", kind=self(at["kind"]), round=at["round"])

    def loss(self, epsilon: str, delta: str) -> Cell:
        """ε and its δ, as a permit or a run states them; "" is no bound."""
        note = self("at-delta", delta=delta) if delta else ""
        return Cell(text=epsilon or self("no-bound"), note=note, number=True)

    def limit(self, spent: object, limit: Object | None) -> str:
        """What was spent, of what is allowed."""
        if limit is None:
            return self("no-limit", spent=spent)
        return self(
            "of-most" if limit["inclusive"] else "of-below", spent=spent, most=limit["most"]
        )


def moment(time: str) -> str:
    """A time of the log to the second."""
    return time[:19].replace("T", " ")


def until(first: str, last: str) -> str:
    """The end of a span, without the day where that is the first one's."""
    return moment(last)[11:] if first[:10] == last[:10] else moment(last)


def short(id: str) -> str:
    """An id without what all of its kind share, cut where it is long."""
    for prefix in _PREFIXES:
        id = id.removeprefix(prefix)
    return id if len(id) <= 2 * _SHOWN else f"{id[:_SHOWN]}…"


def short_run(run: str) -> str:
    """A run by the beginning of its id."""
    return run if len(run) <= _SHOWN else f"{run[:12]}…"


def ident(text: str, full: str, note: str = "") -> Cell:
    """An identifier, shortened."""
    return Cell(text=text, full=full if full != text else "", id=True, note=note)


def number(value: object, note: str = "") -> Cell:
    """A figure."""
    return Cell(text=str(value), note=note, number=True)
