"""What a report's document says of one owner of data, in the words of a legal record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from auditors.page import Cell, Field, Table
from auditors.records_chinese import CHINESE
from auditors.records_english import ENGLISH
from auditors.report_groups import round_label
from auditors.report_show import Show, ident, number, short_run
from policies.phrases import Language

Object = Mapping[str, Any]
RECORD_WORDS: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {"en": ENGLISH, "zh": CHINESE}
)
MAX_ENTRIES: Final = 6


class Drawn:
    """Draws on one document.

    Args:
        document: as `auditors.report_json` makes it.
    """

    def __init__(self, document: Object, language: Language) -> None:
        self.document = document
        self.language = language
        self.show = Show(document, language)
        self._words = RECORD_WORDS[language]
        self._people = {one["participant"]: one for one in document["participants"]}

    def __call__(self, key: str, **fields: object) -> str:
        """A text of the record with its fields filled in."""
        return self._words[key].format(**fields)

    def field(
        self,
        key: str,
        basis: str,
        values: Sequence[str],
        source: str,
        *,
        by: str = "",
        what: str = "",
    ) -> Field:
        """One item: what the log says of it, from where, and what is left open for whom."""
        blank = self("by", who=self(by), what=self(what)) if by else ""
        values = list(dict.fromkeys(values)) or [self("nothing-logged")]
        return Field(label=self(key), basis=basis, values=values, source=source, blank=blank)

    # -- whose ------------------------------------------------------------------------------------

    def owners(self) -> list[str]:
        """Participants with a product; only the scope's, where it names one."""
        only = self.document["scope"]["participant"]
        found = dict.fromkeys(one["participant"] for one in self.document["products"])
        return [one for one in found if only in ("", one)]

    def party(self, participant: str) -> str:
        """A participant as it was enrolled."""
        one = self._people.get(participant)
        if one is None:
            return self.show.name(participant)
        key = "party-sector" if one["sector"] else "party"
        fields = {name: one[name] for name in ("role", "region", "sector")}
        return self(key, who=self.show.name(participant), **fields)

    def region(self, participant: str) -> str:
        """Where a participant is, as enrolled; "" is unknown."""
        one = self._people.get(participant)
        return str(one["region"]) if one else ""

    def products(self, owner: str) -> list[Object]:
        """An owner's products."""
        return [one for one in self.document["products"] if one["participant"] == owner]

    def agreements(self, owner: str) -> list[Object]:
        """What an owner agreed to."""
        return [one for one in self.document["agreements"] if one["assigner"] == owner]

    def uses(self, owner: str = "") -> list[Object]:
        """Groups of uses of an owner's data, or of all."""
        return [one for one in self.document["uses"] if owner in ("", one["participant"])]

    def sessions(self, owner: str = "") -> Table:
        """Uses one by one, with their start and end."""
        listed = self.document["sessions"]
        mine = [one for one in listed["items"] if owner in ("", one["participant"])]
        heads = ("entry", "whose", "for", "round", "start", "end", "rows", "without", "loss")
        rows = [
            (
                Cell(text=f"#{one['entry']}"),
                self.show.whose(one),
                self.show.who(one["consumer"], one["purpose"]),
                ident(
                    round_label(one["kind"], one["round"], one["attempt"]),
                    one["run"],
                    short_run(one["run"]),
                ),
                Cell(text=one["started"].replace("T", " ")),
                Cell(text=one["finished"].replace("T", " ")),
                number(one["rows"]),
                number("" if one["without_consent"] is None else one["without_consent"]),
                number(one["epsilon"] or self("no-bound")),
            )
            for one in mine
        ]
        left = listed["total"] - len(listed["items"])
        after = self("uses-more", n=left) if left else ""
        captions = [self(f"col-{head}") for head in heads]
        return Table(caption=self("uses-caption"), heads=captions, rows=rows, after=after)

    # -- where it stands --------------------------------------------------------------------------

    def entries(self, kind: str, found: Sequence[Object], key: str = "entry") -> str:
        """The entries of a type that something was drawn from."""
        places = sorted({one[key] for one in found if one.get(key) is not None})
        if not places:
            return ""
        named = ", ".join(f"#{one}" for one in places[:MAX_ENTRIES])
        more = f", … #{places[-1]}" if len(places) > MAX_ENTRIES else ""
        return f"{kind} {named}{more}"

    def of_owner(self, owner: str, *kinds: str) -> str:
        """The entries of an owner that its values were drawn from."""
        groups: dict[str, Sequence[Object]] = {
            "ParticipantEnrolled": [p for n, p in self._people.items() if n == owner],
            "ProductRegistered": self.products(owner),
            "AgreementConcluded": self.agreements(owner),
            "ConsentWithdrawn": [
                one for one in self.document["withdrawals"] if one["participant"] == owner
            ],
            "RunOpened": self.document["runs"],
            "DisclosureErased": self.document["erasures"],
            "BaselineAdopted": self.document["laws"],
        }
        told = [self.entries(kind, groups[kind]) for kind in kinds if kind in groups]
        if "ReceiptAccepted" in kinds:
            uses = self.uses(owner)
            if uses:
                first = min(one["first_entry"] for one in uses)
                last = max(one["last_entry"] for one in uses)
                told.append(f"ReceiptAccepted #{first} … #{last}")
        return "; ".join(filter(None, told))
