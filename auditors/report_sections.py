"""The parts of an audit report about what happened: uses, refusals, withdrawals, gaps, budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from auditors import report_plots
from auditors.page import Block, Cell, Figure, Note, Section, Table
from auditors.report_groups import round_label
from auditors.report_plots import Level
from auditors.report_scope import MAX_LISTED
from auditors.report_show import Show, ident, moment, number, short, short_run
from auditors.svg import Said, cut
from policies.values import decimal_text

Object = Mapping[str, Any]


def table(
    show: Show, caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], total: int
) -> Table:
    """A table of at most `MAX_LISTED` rows that says how many it leaves out."""
    shown = [row for row, _ in zip(rows, range(MAX_LISTED), strict=False)]
    after = show("more-csv", n=total - len(shown)) if total > len(shown) else ""
    heads = [show(head) for head in heads]
    return Table(caption=show(caption), heads=heads, rows=shown, after=after)


def violations(show: Show) -> Section:
    """Broken rules, in red."""
    found = show.document["checked"]["violations"]
    rows = (
        (
            Cell(text=f"#{one['entry']}", tone="bad"),
            Cell(text=one["rule"], id=True),
            Cell(text=one["text"]),
        )
        for one in found
    )
    heads: Sequence[str] = ("entry", "rule", "found")
    block = table(show, "violations-caption", heads, rows, len(found))
    return Section(id="violations", title=show("violations"), blocks=[block])


# -- uses ------------------------------------------------------------------------------------------


def uses(show: Show) -> Section:
    """Who used whose data, when and for what."""
    found = show.document["uses"]
    if not found:
        return Section(id="uses", title=show("uses"), blocks=[Note(text=show("uses-none"))])
    heads = (
        *("data-of", "used-by", "under", "with-app", "uses-count", "rows", "without"),
        *("loss", "when"),
    )
    rows = (_use(show, one) for one in found)
    told = table(show, "uses-caption", heads, rows, len(found))
    return Section(
        id="uses", title=show("uses"), blocks=[_over_time(show), told, *_rows_used(show)]
    )


def _use(show: Show, one: Object) -> Sequence[Cell]:
    counts = [show("trained", n=one["trained"])] if one["trained"] else []
    counts += [show("evaluated", n=one["evaluated"])] if one["evaluated"] else []
    return (
        show.whose(one),
        show.who(one["consumer"], one["purpose"]),
        show.agreement(one["agreement"]),
        Cell(text=show.app(one["app"]), full=one["app"], note=short_run(one["run"])),
        Cell(text=", ".join(counts)),
        Cell(text=_rows(show, one)),
        Cell(text=_without(show, one), number=True),
        show.loss(one["epsilon"], one["delta"]),
        show.when(one["first"], one["last"], one["first_entry"], one["last_entry"]),
    )


def _rows(show: Show, one: Object) -> str:
    product = show.product(one["product"])
    every = product["rows"] if product else "?"
    if not one["trained"]:
        return show("rows-none")
    if one["rows_least"] == one["rows_most"]:
        return show("rows-of", used=one["rows_most"], all=every)
    return show("rows-range", least=one["rows_least"], most=one["rows_most"], all=every)


def _without(show: Show, one: Object) -> str:
    least, most = one["without_least"], one["without_most"]
    if least is None:
        return ""
    return str(most) if least == most else show("without-range", least=least, most=most)


def _over_time(show: Show) -> Figure:
    line = show.document["timeline"]
    named = {show.label(who): counts for who, counts in line["uses"].items()}
    start = min(one["first"] for one in show.document["uses"])
    last = max(one["last"] for one in show.document["uses"])
    parts = ", ".join(
        show("plot-uses-part", who=who, n=counts[-1])
        for who, counts in list(named.items())[: report_plots.MAX_LINES]
    )
    told = show("plot-uses-text", first=moment(start), last=moment(last), parts=parts)
    said = Said(id="plot-uses", title=show("plot-uses"), text=told)
    image = report_plots.uses_over_time(said, start, line["ends"], named)
    more = len(named) - report_plots.MAX_LINES
    most = {"shown": report_plots.MAX_LINES, "all": len(named)}
    caption = show("plot-uses-most", **most) if more > 0 else show("plot-uses")
    return Figure(image=image, caption=caption)


def _rows_used(show: Show) -> list[Block]:
    most: dict[str, tuple[int, int]] = {}
    for one in show.document["uses"]:
        if one["trained"]:
            rows, rounds = most.get(one["product"], (0, 0))
            most[one["product"]] = (max(rows, one["rows_most"]), rounds + one["trained"])
    bars, told = [], []
    for product, (rows, rounds) in most.items():
        found = show.product(product)
        every = found["rows"] if found else rows
        words = show("plot-rows-words", used=rows, all=every, rounds=rounds)
        bars.append(Level(product, Decimal(rows), Decimal(every), words))
        told.append(show("plot-rows-part", product=product, used=rows, all=every, rounds=rounds))
    if not bars:
        return []
    text = show("plot-rows-text", parts="; ".join(told[: report_plots.MAX_BARS]))
    said = Said(id="plot-rows", title=show("plot-rows"), text=text)
    return [Figure(image=report_plots.levels(said, bars), caption=show("plot-rows"))]


# -- refusals and withdrawals ----------------------------------------------------------------------


def refused(show: Show) -> Section:
    """Who was refused, and why; with the verdicts of each round."""
    document = show.document
    blocks: list[Block] = []
    bars, totals = document["rounds"], document["totals"]
    if bars:
        told = show(
            "plot-rounds-text",
            rounds=sum(one["rounds"] for one in bars),
            permitted=totals["permitted"],
            refused=totals["refused"],
        )
        said = Said(id="plot-rounds", title=show("plot-rounds"), text=told)
        words = show("permitted-word"), show("refused-word")
        blocks += [
            Figure(image=report_plots.rounds(said, bars, *words), caption=show("plot-rounds")),
            Note(text=told),
        ]
    found = document["refusals"]
    if not found:
        blocks.append(Note(text=show("refused-none"), tone="good"))
    else:
        heads = ("data-of", "used-by", "why", "rounds-count", "when")
        rows = (_refusal(show, one) for one in found)
        blocks.append(table(show, "refused-caption", heads, rows, len(found)))
    return Section(id="refused", title=show("refused"), blocks=blocks)


def _refusal(show: Show, one: Object) -> Sequence[Cell]:
    return (
        show.whose(one),
        show.who(one["consumer"], short_run(one["run"])),
        show.reason(one["code"], one["text"]),
        Cell(text=str(one["count"]), note=show.rounds(one["first_round"], one["last_round"])),
        show.when(one["first"], one["last"], one["first_entry"], one["last_entry"]),
    )


def withdrawals(show: Show) -> Section:
    """Each withdrawal with the last use before and the first decision after it."""
    found = show.document["withdrawals"]
    title = show("withdrawals")
    if not found:
        return Section(id="withdrawals", title=title, blocks=[Note(text=show("withdrawals-none"))])
    heads = (
        "owner",
        "agreement",
        "withdrawn",
        "last-use",
        "under-way",
        "first-decision",
        "effect",
    )
    rows = (_withdrawal(show, one) for one in found)
    block = table(show, "withdrawals-caption", heads, rows, len(found))
    return Section(id="withdrawals", title=title, blocks=[block])


def _withdrawal(show: Show, one: Object) -> Sequence[Cell]:
    first, codes = one["first_decision"], ", ".join(one["codes"])
    kept = not one["permits_after"] and not one["uses_after"]
    decided = _moment(show, first, show("no-decision"))
    if first is not None:
        verdict = show("permitted-word" if one["permitted"] else "refused-word")
        note = "\n".join((decided.note, f"{verdict}: {codes}"))
        decided = Cell(text=decided.text, note=note, tone="bad" if one["permitted"] else "plain")
    after = {"permits": one["permits_after"], "uses": one["uses_after"]}
    return (
        show.whose(one),
        ident(short(one["agreement"]), one["agreement"]),
        Cell(text=moment(one["time"]), note=f"#{one['entry']} {one['reason']}".strip()),
        _moment(show, one["last_use"], show("never-used")),
        Cell(text=show("in-flight", n=one["in_flight"], refused=one["refused_in_flight"])),
        decided,
        Cell(
            text=show("effect-held") if kept else show("effect-broken", **after),
            tone="good" if kept else "bad",
        ),
    )


def _moment(show: Show, at: Object | None, nothing: str) -> Cell:
    if at is None:
        return Cell(text=nothing)
    return Cell(text=moment(at["time"]), note=f"#{at['entry']} {show.place(at)}")


# -- what is missing -------------------------------------------------------------------------------


def missing(show: Show) -> Section:
    """Permits that no receipt answers, rounds without a result, and other gaps."""
    document = show.document
    found, title = document["missing"], show("missing")
    heads: Sequence[str]
    without = [*document["abandoned"]["items"], *document["no_result"]["items"]]
    blocks: list[Block] = []
    if found["total"]:
        parts = ", ".join(f"{code} {n}" for code, n in found["by_code"].items())
        heads = ("data-of", "permit", "round", "settled", "why", "when")
        rows = (_missing(show, one) for one in found["items"])
        blocks.append(Note(text=show("by-code", parts=parts)))
        blocks.append(table(show, "missing-caption", heads, rows, found["total"]))
    if without:
        total = document["abandoned"]["total"] + document["no_result"]["total"]
        rows = (_unresolved(show, one) for one in without)
        heads = ("round", "run", "why", "when")
        blocks.append(table(show, "abandoned-caption", heads, rows, total))
    if not blocks:
        blocks.append(Note(text=show("missing-none"), tone="good"))
    bare = [one["product"] for one in document["products"] if one["certificate"] is None]
    if bare:
        blocks.append(Note(text=show("no-certificate", products=", ".join(bare[:20])), tone="warn"))
    going = [one["run"] for one in document["runs"] if one["state"] == "OPEN"]
    if going:
        blocks.append(Note(text=show("open-runs", runs=", ".join(going[:20])), tone="warn"))
    return Section(id="missing", title=title, blocks=blocks)


def _missing(show: Show, one: Object) -> Sequence[Cell]:
    entry = "" if one["entry"] is None else f"#{one['entry']}"
    return (
        show.whose(one),
        ident(cut(one["permit"], 20), one["permit"], f"#{one['permit_entry']}"),
        Cell(text=_round(one), note=short_run(one["run"])),
        Cell(text=show(f"how-{one['how']}"), note=entry),
        show.reason(one["code"], one["text"]),
        Cell(text=moment(one["permit_time"])),
    )


def _unresolved(show: Show, one: Object) -> Sequence[Cell]:
    text = one["text"]
    why = show("gave-up", text=text) if text else show("no-quorum", accepted=one["accepted"])
    return (
        Cell(text=_round(one)),
        ident(short_run(one["run"]), one["run"]),
        Cell(text=why),
        Cell(text=moment(one["time"]), note=f"#{one['entry']}"),
    )


def _round(one: Object) -> str:
    return round_label(one["kind"], one["round"], one["attempt"])


# -- budgets ---------------------------------------------------------------------------------------


def budgets(show: Show) -> Section:
    """What each agreement allows, and what counts against it."""
    found = show.document["agreements"]
    blocks: list[Block] = []
    spending = [one for one in found if one["spent"]["delta"] is not None]
    if spending or any("epsilon" in one["limits"] for one in found):
        blocks.append(_epsilon(show, found))
    elif show.document["totals"]["permitted"]:
        blocks.append(Note(text=show("budgets-zero")))
    heads: Sequence[str] = ("agreement", "data-of", "uses-count", "metered", "loss", "paid")
    rows = (_budget(show, one) for one in found)
    blocks.append(table(show, "budgets-caption", heads, rows, len(found)))
    return Section(id="budgets", title=show("budgets"), blocks=blocks)


def _budget(show: Show, one: Object) -> Sequence[Cell]:
    spent, limits = one["spent"], one["limits"]
    return (
        show.agreement(one["agreement"]),
        show.who(one["assigner"], show.of(one["assigner"], one["product"])),
        Cell(text=show.limit(spent["uses"], limits.get("count"))),
        Cell(text=show.limit(spent["metered_s"], limits.get("meteredTime"))),
        _loss(show, spent, limits.get("epsilon")),
        number(spent["paid"]),
    )


def _loss(show: Show, spent: Object, limit: Object | None) -> Cell:
    epsilon, delta = spent["epsilon"], spent["delta"]
    text = show.limit(show("no-bound") if epsilon is None else epsilon, limit)
    return Cell(text=text, note=show("at-delta", delta=delta) if delta is not None else "")


def _epsilon(show: Show, found: Sequence[Object]) -> Figure:
    bars = []
    for one in found:
        limit, epsilon = one["limits"].get("epsilon"), one["spent"]["epsilon"]
        if limit is not None or one["spent"]["delta"] is not None:
            most = Decimal(limit["most"]) if limit else None
            # What nothing bounds fills the bar.
            spent = Decimal(epsilon) if epsilon is not None else most or Decimal(0)
            words = show.limit(show("no-bound") if epsilon is None else epsilon, limit)
            bars.append(Level(short(one["agreement"]), spent, most, words))
    bars.sort(key=lambda bar: (-bar.value, bar.name))
    parts = "; ".join(
        show("plot-level-part", name=bar.name, words=bar.words)
        for bar in bars[: report_plots.MAX_BARS]
    )
    text = show("plot-levels-text", parts=parts)
    said = Said(id="plot-epsilon", title=show("plot-epsilon"), text=text)
    return Figure(image=report_plots.levels(said, bars), caption=show("plot-epsilon"))


def most_epsilon(show: Show) -> str:
    """The largest privacy loss of one product."""
    spent = [one["spent"]["epsilon"] for one in show.document["agreements"]]
    if None in spent:
        return show("no-bound")
    return decimal_text(max(map(Decimal, spent), default=Decimal(0)))
