"""Impact assessment and records of handling, as Articles 55 and 56 of the Personal Information
Protection Law of the People's Republic of China (2021) ask for; in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from auditors import records_values as values
from auditors.page import Block, Note, Section
from auditors.records_drawn import Drawn
from auditors.report_show import moment
from policies.fields import parse_instant

KEPT_YEARS: Final = 3  # Article 56, second paragraph
_ARTICLES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "handler": ("Article 52", "第五十二条"),
        "due": ("Article 55", "第五十五条"),
        "lawful": ("Article 56, item 1", "第五十六条第一款第一项"),
        "impact": ("Article 56, item 2", "第五十六条第一款第二项"),
        "protect": ("Articles 51; 56, item 3", "第五十一条、第五十六条第一款第三项"),
        "entrusted": ("Article 21", "第二十一条"),
        "shared": ("Article 23", "第二十三条"),
        "border": ("Articles 38 and 39", "第三十八条、第三十九条"),
        "records": ("Articles 55 and 56", "第五十五条、第五十六条"),
        "withdrawn": ("Articles 15 and 47", "第十五条、第四十七条"),
        "keep": ("Article 56, second paragraph", "第五十六条第二款"),
    }
)


def sections(drawn: Drawn) -> list[Section]:
    """A record for each owner of data."""
    owners = drawn.owners()
    if not owners:
        note = Note(text=drawn("pipl-none"))
        return [Section(id="none", title=drawn("pipl-handler", who="-"), blocks=[note])]
    return [_handler(drawn, owner, n) for n, owner in enumerate(owners)]


def _handler(drawn: Drawn, owner: str, number: int) -> Section:
    blocks: list[Block] = [
        Note(text=drawn("pipl-handler-note")),
        *_assessment(drawn, owner),
        *_others(drawn, owner),
        *_handling(drawn, owner),
    ]
    title = drawn("pipl-handler", who=drawn.show.name(owner))
    return Section(id=f"handler-{number + 1}", title=title, blocks=blocks)


def _article(drawn: Drawn, item: str) -> str:
    english, chinese = _ARTICLES[item]
    return chinese if drawn.language == "zh" else english


def _field(drawn: Drawn, name: str, item: str, found: list[str], source: str) -> Block:
    what = f"{name}-what"
    basis = _article(drawn, item)
    return drawn.field(name, basis, found, source, by="the-handler", what=what)


def _assessment(drawn: Drawn, owner: str) -> list[Block]:
    transfers = values.transfers(drawn, owner)
    abroad = sum(crossed is True for crossed, _ in transfers)
    recipients = [drawn.show.name(one["assignee"]) for one in drawn.agreements(owner)]
    when = [
        *(drawn("pipl-provided", who=who) for who in recipients),
        drawn("pipl-abroad", count=abroad, all=len(transfers)),
        *values.categories(drawn, owner),
    ]
    lawful = [*values.purposes(drawn, owner), *values.laws(drawn)]
    impact = [*values.refusals(drawn, owner), *values.measures(drawn, owner)]
    contracts = drawn.of_owner(owner, "ProductRegistered", "AgreementConcluded")
    runs = drawn.of_owner(owner, "RunOpened", "BaselineAdopted", "ReceiptAccepted")
    uses = drawn.of_owner(owner, "ReceiptAccepted")
    enrolled = drawn.of_owner(owner, "ParticipantEnrolled")
    return [
        _field(drawn, "pipl-who", "handler", [drawn.party(owner)], enrolled),
        _field(drawn, "pipl-when", "due", when, contracts),
        _field(drawn, "pipl-lawful", "lawful", lawful, runs),
        _field(drawn, "pipl-impact", "impact", impact, uses),
        _field(drawn, "pipl-protect", "protect", values.measures(drawn, owner), uses),
    ]


def _others(drawn: Drawn, owner: str) -> list[Block]:
    contracts = drawn.of_owner(owner, "AgreementConcluded")
    consents = [
        drawn("pipl-consent", product=one["product"], consent=one["subject_consent"])
        for one in drawn.products(owner)
    ]
    shared = [*values.recipients(drawn, owner), *consents]
    border = [text for _, text in values.transfers(drawn, owner)]
    products = drawn.of_owner(owner, "ProductRegistered", "AgreementConcluded")
    return [
        _field(drawn, "pipl-entrusted", "entrusted", values.terms(drawn, owner), contracts),
        _field(drawn, "pipl-shared", "shared", shared, products),
        _field(drawn, "pipl-border", "border", border, products),
    ]


def _handling(drawn: Drawn, owner: str) -> list[Block]:
    period = drawn.document["period"]
    ended = drawn.of_owner(owner, "ConsentWithdrawn", "DisclosureErased")
    uses = drawn.of_owner(owner, "ReceiptAccepted")
    done = [*values.purposes(drawn, owner), *values.refusals(drawn, owner)]
    blocks = [_field(drawn, "pipl-records", "records", done, uses)]
    if drawn.uses(owner):
        blocks.append(drawn.sessions(owner))
    blocks.append(_field(drawn, "pipl-withdrawn", "withdrawn", values.endings(drawn, owner), ended))
    if period["last"]:
        until = _years_later(parse_instant(period["last"]))
        first, last = moment(period["first"]), moment(period["last"])
        kept = drawn("pipl-keep-value", first=first, last=last, until=until)
        blocks.append(_field(drawn, "pipl-keep", "keep", [kept], ""))
    return blocks


def _years_later(moment_: datetime) -> str:
    """The same day three years on; the last of February for its 29th."""
    year = moment_.year + KEPT_YEARS
    try:
        return moment_.replace(year=year).date().isoformat()
    except ValueError:
        return moment_.replace(year=year, day=28).date().isoformat()
