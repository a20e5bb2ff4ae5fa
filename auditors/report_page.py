"""An audit report as a page for people, made from its JSON document and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from auditors import report_registers as registers
from auditors import report_sections as sections
from auditors.page import Note, Page, Points, Section, Tile
from auditors.report_show import Show, moment
from policies.phrases import Language

Object = Mapping[str, Any]
_LIMITS: Final = 5


def report_page(document: Object, language: Language) -> Page:
    """The page of a document that `auditors.report_json` made."""
    show = Show(document, language)
    space = document["space"]["name"] or document["checked"]["origin"]
    return Page(
        title=show("title", space=space),
        language="zh-CN" if language == "zh" else "en",
        lead=_lead(show),
        verdict=verdict(show),
        checks=checks(show),
        tiles=_tiles(show),
        sections=_sections(show),
        labels={name: show(name) for name in ("contents", "source", "foot")},
    )


def _lead(show: Show) -> str:
    document = show.document
    period = document["period"]
    lead = show(
        "lead",
        entries=document["entries"]["total"],
        first=moment(period["first"]),
        last=moment(period["last"]),
    )
    scope = document["scope"]
    parts = {
        "scope-participant": {"who": show.name(scope["participant"])},
        "scope-run": {"run": scope["run"]},
        "scope-since": {"time": moment(scope["since"])},
        "scope-until": {"time": moment(scope["until"])},
    }
    told = [
        show(key, **fields) for key, fields in parts.items() if scope[key.removeprefix("scope-")]
    ]
    comma = "、" if show.language == "zh" else ", "
    gap = "" if show.language == "zh" else " "
    return lead + (gap + show("lead-scope", what=comma.join(told)) if told else "")


def verdict(show: Show) -> Note:
    """What verification and replay found, in one sentence."""
    checked = show.document["checked"]
    broken = len(checked["violations"])
    if broken:
        key = "verdict-bad-one" if broken == 1 else "verdict-bad"
        return Note(text=show(key, count=broken), tone="bad")
    if not checked["replayed"]:
        return Note(text=show("verdict-unreplayed"), tone="warn")
    if not checked["verified"]:
        return Note(text=show("verdict-unverified"), tone="warn")
    return Note(text=show("verdict-good"), tone="good")


def checks(show: Show) -> list[str]:
    """What was checked, one by one."""
    document = show.document
    checked, entries = document["checked"], document["entries"]
    told = []
    if checked["verified"]:
        told.append(
            show(
                "check-verified",
                origin=checked["origin"],
                size=checked["size"],
                root=checked["root"],
            )
        )
        witnesses = ", ".join(checked["cosigners"])
        told.append(
            show("check-cosigned", witnesses=witnesses) if witnesses else show("check-uncosigned")
        )
        if checked["seen"]:
            told.append(show("check-seen", count=checked["seen"]))
    if checked["replayed"]:
        counts = {name: checked[name] for name in ("decisions", "permits", "receipts")}
        told.append(show("check-replayed", **counts))
    unreadable = entries["unreadable"]
    if unreadable["total"]:
        named = ", ".join(f"#{index}" for index in unreadable["items"][:10])
        told.append(show("check-unreadable", count=unreadable["total"], entries=named))
    return told


def _tiles(show: Show) -> list[Tile]:
    document, totals = show.document, show.document["totals"]
    broken, alarms = len(document["checked"]["violations"]), document["alarms"]["total"]
    found = [
        ("uses", totals["uses"], "plain"),
        ("owners", len({one["participant"] for one in document["uses"]}), "plain"),
        ("permitted", totals["permitted"], "plain"),
        ("refused", totals["refused"], "plain"),
        ("withdrawals", totals["withdrawals"], "plain"),
        ("missing", totals["missing"], "warn" if totals["missing"] else "plain"),
        ("epsilon", sections.most_epsilon(show), "plain"),
        ("runs", len(document["runs"]), "plain"),
        ("violations", broken, "bad" if broken else "good"),
        ("alarms", alarms, "bad" if alarms else "good"),
    ]
    return [
        Tile(label=show(f"tile-{name}"), value=str(value), tone=tone)  # type: ignore[arg-type]
        for name, value, tone in found
    ]


def _sections(show: Show) -> list[Section]:
    document = show.document
    found = [sections.violations(show)] if document["checked"]["violations"] else []
    found += [
        sections.uses(show),
        sections.refused(show),
        sections.withdrawals(show),
        sections.budgets(show),
        sections.missing(show),
        registers.runs(show),
        registers.participants(show),
        registers.apps(show),
        registers.contracts(show),
    ]
    if document["vouchers"]:
        found.append(registers.vouchers(show))
    return [*found, registers.alarms(show), _limits(show)]


def _limits(show: Show) -> Section:
    types = show.document["entries"]["types"]
    parts = ", ".join(f"{kind} {count}" for kind, count in types.items())
    points = Points(items=[show(f"limit-{n + 1}") for n in range(_LIMITS)])
    note = Note(text=show("entry-types", parts=parts))
    return Section(id="limits", title=show("limits"), blocks=[points, note])
