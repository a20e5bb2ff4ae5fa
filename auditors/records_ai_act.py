"""Event log of an AI system, as Article 12 AI Act describes (Regulation (EU) 2024/1689)."""

from __future__ import annotations

from auditors import records_values as values
from auditors.page import Block, Note, Section
from auditors.records_drawn import Drawn
from auditors.report_show import moment, short_run


def sections(drawn: Drawn) -> list[Section]:
    """The system, its events, each use, and the keeping of the logs."""
    return [_system(drawn), _events(drawn), _uses(drawn), _keeping(drawn)]


def _system(drawn: Drawn) -> Section:
    document = drawn.document
    apps = [
        drawn(
            "ai-app",
            app=one["title"] or f"{one['app'][:12]}…",
            digest=one["app"],
            purposes=", ".join(one["purposes"]) or drawn("ai-any"),
        )
        for one in document["apps"]
    ]
    runs = [
        drawn("ai-run", run=one["run"], state=one["state"], closed=one["closed"], model=_model(one))
        for one in document["runs"]
    ]
    types = document["entries"]["types"]
    kinds = [drawn("ai-lifetime-value", count=count, kind=kind) for kind, count in types.items()]
    source = "; ".join(
        filter(
            None,
            (
                drawn.entries("AppRegistered", document["apps"]),
                drawn.entries("RunOpened", document["runs"]),
            ),
        )
    )
    by = {"by": "the-provider"}
    blocks: list[Block] = [
        Note(text=drawn("ai-system-note")),
        drawn.field(
            "ai-identity",
            "Article 12(1)",
            [*apps, *values.purposes(drawn), *runs],
            source,
            what="ai-identity-what",
            **by,
        ),
        drawn.field("ai-lifetime", "Article 12(1)", kinds, "", what="ai-lifetime-what", **by),
    ]
    return Section(id="system", title=drawn("ai-system"), blocks=blocks)


def _model(run: dict[str, str]) -> str:
    return f"{run['model'][:16]}…" if run["model"] else "-"


def _events(drawn: Drawn) -> Section:
    document = drawn.document
    figures = [
        drawn(
            "ai-figures",
            run=short_run(run["run"]),
            figures=", ".join(f"{name} {value}" for name, value in run["metrics"].items()),
        )
        for run in document["runs"]
        if run["metrics"]
    ]
    closes = drawn.entries("RoundClosed", document["runs"], "last_close")
    by = {"by": "the-provider"}
    blocks: list[Block] = [
        drawn.field(
            "ai-risk",
            "Article 12(2)(a)",
            _situations(drawn),
            closes,
            what="ai-risk-what",
            **by,
        ),
        drawn.field(
            "ai-monitoring",
            "Articles 12(2)(b), 72",
            figures or [drawn("ai-figures-none")],
            closes,
            what="ai-monitoring-what",
            **by,
        ),
        drawn.field(
            "ai-operation",
            "Articles 12(2)(c), 26(5)",
            [*values.refusals(drawn), *values.measures(drawn)],
            drawn.entries("RoundDecided", document["refusals"], "first_entry"),
            by="the-deployer",
            what="ai-operation-what",
        ),
    ]
    return Section(id="events", title=drawn("ai-events"), blocks=blocks)


def _situations(drawn: Drawn) -> list[str]:
    document = drawn.document
    totals = document["totals"]
    told = [
        drawn(
            "ai-model-changes", run=short_run(run["run"]), closed=run["closed"], model=_model(run)
        )
        for run in document["runs"]
    ]
    told.append(drawn("ai-alarms", count=document["alarms"]["total"]))
    told.append(drawn("ai-violations", count=len(document["checked"]["violations"])))
    results = {name: totals[name] for name in ("no_result", "abandoned")}
    told.append(drawn("ai-no-result", **results))
    revoked = sum(bool(one["revoked"]) for one in document["apps"])
    filings = sum(one["filings"] for one in document["apps"])
    told.append(drawn("ai-filings", count=filings, revoked=revoked))
    if document["laws"]:
        names = ", ".join(f"{one['name']} {one['version']}" for one in document["laws"])
        told.append(drawn("ai-laws", names=names))
    return told


def _uses(drawn: Drawn) -> Section:
    document = drawn.document
    count = drawn("ai-period-value", count=document["sessions"]["total"])
    products = [text for owner in drawn.owners() for text in values.categories(drawn, owner)]
    blocks: list[Block] = [
        Note(text=drawn("ai-uses-note")),
        drawn.field(
            "ai-period",
            "Article 12(3)(a)",
            [count],
            drawn.entries("ReceiptAccepted", document["sessions"]["items"]),
            by="the-deployer",
            what="ai-period-what",
        ),
        drawn.sessions(),
        drawn.field(
            "ai-database",
            "Article 12(3)(b)",
            [drawn("ai-database-na"), *products],
            drawn.entries("ProductRegistered", document["products"]),
        ),
        drawn.field("ai-match", "Article 12(3)(c)", [drawn("ai-match-na")], ""),
        drawn.field(
            "ai-persons",
            "Articles 12(3)(d), 14(5)",
            [drawn("ai-persons-value")],
            "",
            by="the-deployer",
            what="ai-persons-what",
        ),
    ]
    return Section(id="uses", title=drawn("ai-uses"), blocks=blocks)


def _keeping(drawn: Drawn) -> Section:
    period = drawn.document["period"]
    kept = drawn(
        "ai-kept-value",
        entries=drawn.document["entries"]["total"],
        first=moment(period["first"]),
        last=moment(period["last"]),
    )
    block = drawn.field(
        "ai-kept",
        "Articles 19(1), 26(6)",
        [kept],
        "",
        by="the-provider",
        what="ai-kept-what",
    )
    return Section(id="keeping", title=drawn("ai-keeping"), blocks=[block])
