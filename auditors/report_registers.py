"""The parts of an audit report about what is registered, and about how runs went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditors.page import Block, Cell, Note, Section
from auditors.report_sections import table
from auditors.report_show import Show, ident, moment, number, short, short_run
from auditors.report_terms import terms_of

Object = Mapping[str, Any]


def runs(show: Show) -> Section:
    """How each run went."""
    found = show.document["runs"]
    if not found:
        return Section(id="runs", title=show("runs"), blocks=[Note(text=show("runs-none"))])
    heads = (
        "run",
        "consumer-purpose",
        "state",
        "decided",
        "closed",
        "receipts",
        "loss",
        "model",
    )
    rows = (_run(show, one) for one in found)
    block = table(show, "runs-caption", heads, rows, len(found))
    return Section(id="runs", title=show("runs"), blocks=[block])


def _run(show: Show, one: Object) -> Sequence[Cell]:
    decided = show("decided-note", permits=one["permits"], nobody=one["nobody"])
    counts = {name: one[name] for name in ("rounds", "no_quorum", "abandoned")}
    closed = Cell(text=str(one["closed"]), note=show("closed-note", **counts))
    model = one["model"]
    derived = one["classification"]
    return (
        ident(short_run(one["run"]), one["run"], f"#{one['entry']}"),
        show.who(one["consumer"], f"{one['purpose']}\n{show.app(one['app'])}"),
        Cell(text=one["state"], note=one["reason"]),
        Cell(text=str(one["decisions"]), note=decided),
        closed,
        Cell(text=str(one["receipts"]), note=show("receipts-note", refused=one["refused"])),
        show.loss(one["epsilon"], one["delta"]),
        Cell(
            text=f"{model[:12]}…" if model else "",
            full=model,
            id=True,
            note=show("derived", classification=derived) if derived else "",
        ),
    )


def participants(show: Show) -> Section:
    """Who is enrolled, and whose products are registered."""
    people, products = show.document["participants"], show.document["products"]
    heads: Sequence[str] = ("participant", "role", "sector", "region", "enrolled")
    rows = (
        (
            show.who(one["participant"]),
            Cell(text=one["role"]),
            Cell(text=one["sector"]),
            Cell(text=one["region"]),
            Cell(text=moment(one["time"]), note=f"#{one['entry']}"),
        )
        for one in people
    )
    blocks: list[Block] = [table(show, "participants-caption", heads, rows, len(people))]
    heads = ("product", "owner", "rows", "class", "where", "certificate", "registered")
    cards = (_product(show, one) for one in products)
    blocks.append(table(show, "products-caption", heads, cards, len(products)))
    return Section(id="participants", title=show("participants"), blocks=blocks)


def _product(show: Show, one: Object) -> Sequence[Cell]:
    made = one["certificate"]
    if made is None:
        certificate = Cell(text=show("certificate-none"), tone="warn")
    elif made["revoked"]:
        text = show("certificate-revoked", time=moment(made["revoked"]))
        certificate = Cell(text=text, note=made["reason"], tone="bad")
    else:
        text = show("certificate-valid", time=moment(made["not_after"])[:10])
        certificate = Cell(text=text, note=f"#{made['entry']}")
    personal = show("personal" if one["personal_information"] else "not-personal")
    number_ = one["filing_number"]
    return (
        ident(one["product"], one["product"], one["title"]),
        show.who(one["participant"]),
        number(one["rows"]),
        Cell(text=one["classification"], note=personal),
        Cell(text=one["jurisdiction"], note=show("filing", number=number_) if number_ else ""),
        certificate,
        Cell(
            text=show("version", n=one["data_version"]),
            note=f"{moment(one['time'])}\n#{one['entry']}",
        ),
    )


def apps(show: Show) -> Section:
    """Apps with their filings, and the laws in force."""
    found, laws = show.document["apps"], show.document["laws"]
    heads: Sequence[str] = ("app", "author", "filed-for", "filing-number", "state", "registered")
    rows = (_app(show, one) for one in found)
    blocks: list[Block] = [table(show, "apps-caption", heads, rows, len(found))]
    if laws:
        heads = ("law", "legal-source", "law-version", "adopted")
        chinese = show.language == "zh"
        told = (
            (
                Cell(text=(one["title_zh"] if chinese else "") or one["title"], note=one["name"]),
                Cell(text=(one["source_zh"] if chinese else "") or one["source"]),
                Cell(text=one["version"]),
                Cell(text=moment(one["time"]), note=f"#{one['entry']}"),
            )
            for one in laws
        )
        blocks.append(table(show, "laws-caption", heads, told, len(laws)))
    else:
        blocks.append(Note(text=show("laws-none"), tone="warn"))
    return Section(id="apps", title=show("apps"), blocks=blocks)


def _app(show: Show, one: Object) -> Sequence[Cell]:
    if one["revoked"]:
        text = show("filing-revoked", time=moment(one["revoked"]), reason=one["reason"])
        state = Cell(text=text, tone="bad")
    elif one["expires"]:
        state = Cell(text=show("filing-until", time=moment(one["expires"])))
    else:
        state = Cell(text=show("filing-stands"))
    return (
        _app_name(one),
        Cell(text=one["author"], note="\n".join(one["outputs"])),
        Cell(text=", ".join(one["purposes"]) or show("any-purpose")),
        Cell(text=one["filing_number"]),
        state,
        Cell(text=moment(one["time"]), note=f"#{one['entry']}"),
    )


def _app_name(one: Object) -> Cell:
    digest = f"{one['app'][:16]}…"
    if not one["title"]:
        return ident(digest, one["app"])
    return Cell(text=one["title"], note=digest, full=one["app"])


def contracts(show: Show) -> Section:
    """Agreements with their terms, and how negotiations and transfers stand."""
    document = show.document
    found = document["agreements"]
    heads: Sequence[str] = ("agreement", "parties", "terms", "concluded", "consent")
    rows = (_contract(show, one) for one in found)
    blocks: list[Block] = [table(show, "contracts-caption", heads, rows, len(found))]
    states = {
        name: ", ".join(f"{state} {n}" for state, n in document[name].items())
        or show("states-none")
        for name in ("offers", "negotiations", "transfers")
    }
    blocks.append(Note(text=show("states", **states)))
    return Section(id="contracts", title=show("contracts"), blocks=blocks)


def _contract(show: Show, one: Object) -> Sequence[Cell]:
    terms = "\n".join(terms_of(one["document"], show.language)) or show("unreadable-terms")
    ended = one["withdrawn"]
    consent = show("withdrawn-at", time=moment(ended)) if ended else show("stands")
    return (
        ident(short(one["agreement"]), one["agreement"], one["product"]),
        Cell(text=show.name(one["assigner"]), note=show.name(one["assignee"])),
        Cell(text=terms),
        Cell(
            text=moment(one["time"]),
            note=f"#{one['entry']}\n"
            + show("verified-both" if one["verified"] else "verified-owner"),
        ),
        Cell(text=consent, note=f"#{one['withdrawn_entry']}" if ended else ""),
    )


def vouchers(show: Show) -> Section:
    """Prepaid units, and who owes whom."""
    found, owed = show.document["vouchers"], show.document["settlement"]
    heads: Sequence[str] = ("voucher", "consumer", "amount", "set-aside", "left", "issued")
    rows = (
        (
            ident(short(one["voucher"]), one["voucher"]),
            show.who(one["consumer"]),
            number(one["amount"]),
            number(one["spent"]),
            number(one["left"]),
            Cell(text=moment(one["time"]), note=f"#{one['entry']}"),
        )
        for one in found
    )
    blocks: list[Block] = [table(show, "vouchers-caption", heads, rows, len(found))]
    if owed:
        heads = ("consumer", "owner", "earned", "set-aside")
        pairs = (
            (
                show.who(one["consumer"]),
                show.who(one["owner"]),
                number(one["earned"]),
                number(one["set_aside"]),
            )
            for one in owed
        )
        blocks.append(table(show, "settlement-caption", heads, pairs, len(owed)))
    return Section(id="vouchers", title=show("vouchers"), blocks=blocks)


def alarms(show: Show) -> Section:
    """Policy engines that disagreed."""
    found = show.document["alarms"]
    if not found["total"]:
        note = Note(text=show("alarms-none"))
        return Section(id="alarms", title=show("alarms"), blocks=[note])
    heads: Sequence[str] = ("entry", "about", "round", "engines", "when")
    rows = (_alarm(show, one) for one in found["items"])
    block = table(show, "alarms-caption", heads, rows, found["total"])
    return Section(id="alarms", title=show("alarms"), blocks=[block])


def _alarm(show: Show, one: Object) -> Sequence[Cell]:
    decisions = one.get("decisions")
    engines = decisions.items() if isinstance(decisions, dict) else ()
    said = ", ".join(
        f"{name}: {found.get('effect')}" for name, found in engines if isinstance(found, dict)
    )
    return (
        Cell(text=f"#{one['entry']}", tone="bad"),
        show.who(str(one["participant"]), str(one.get("product", ""))),
        Cell(text=f"{one.get('kind')} {one.get('round')}", note=short_run(str(one["run"]))),
        Cell(text=said),
        Cell(text=moment(str(one["time"]))),
    )
