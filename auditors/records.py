"""Records that laws ask for, from a report's document: as a page, or as JSON.

What the log says stands under each item with the entries that it is from. What the log cannot know
is a visible blank that says who is to fill it in; nothing is made up. None of it is legal advice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from auditors import records_ai_act, records_gdpr, records_pipl
from auditors.errors import AuditInputError
from auditors.page import Field, Note, Page, Points, Section
from auditors.records_drawn import Drawn
from auditors.report_page import checks, verdict
from auditors.report_show import moment
from policies.canonical import canonical_bytes
from policies.phrases import Language

Object = Mapping[str, Any]
Template = Literal["gdpr-30", "ai-act-12", "pipl"]
TEMPLATES: Final[tuple[Template, ...]] = get_args(Template)
_SECTIONS: Final[Mapping[Template, tuple[str, Callable[[Drawn], list[Section]]]]] = (
    MappingProxyType(
        {
            "gdpr-30": ("gdpr-title", records_gdpr.sections),
            "ai-act-12": ("ai-title", records_ai_act.sections),
            "pipl": ("pipl-title", records_pipl.sections),
        }
    )
)
IN_CHINESE: Final = ("pipl",)


def record_page(document: Object, template: Template, language: Language) -> Page:
    """The record as a page.

    Args:
        document: as `auditors.report_json` makes it.

    Raises:
        AuditInputError: the template has no words in this language.
    """
    if language == "zh" and template not in IN_CHINESE:
        raise AuditInputError(
            f"--lang zh: expected the template {' or '.join(IN_CHINESE)}, got {template}, which is "
            "in English only"
        )
    drawn = Drawn(document, language)
    title, sections = _SECTIONS[template]
    period = document["period"]
    return Page(
        title=drawn(title, space=document["space"]["name"]),
        language="zh-CN" if language == "zh" else "en",
        lead=drawn(
            "record-lead",
            space=document["space"]["name"],
            entries=document["entries"]["total"],
            first=moment(period["first"]),
            last=moment(period["last"]),
        ),
        verdict=verdict(drawn.show),
        checks=checks(drawn.show),
        tiles=(),
        sections=[_how(drawn), *sections(drawn)],
        labels={name: drawn(name) for name in ("contents", "source", "foot")},
    )


def record_bytes(document: Object, template: Template, language: Language) -> bytes:
    """The record as canonical JSON: its sections with their items; blanks stand under `open`.

    Raises:
        AuditInputError: as `record_page`.
    """
    page = record_page(document, template, language)
    value = {
        "version": 1,
        "template": template,
        "language": language,
        "title": page.title,
        "checked": document["checked"],
        "sections": [_section(one) for one in page.sections],
    }
    return canonical_bytes(value) + b"\n"


def _how(drawn: Drawn) -> Section:
    points = ("record-advice", "record-pseudonyms", "record-blanks")
    block = Points(items=[drawn(one) for one in points])
    return Section(id="how", title=drawn("how-to-read"), blocks=[block])


def _section(section: Section) -> Object:
    notes: list[str] = []
    for block in section.blocks:
        if isinstance(block, Note):
            notes.append(block.text)
        elif isinstance(block, Points):
            notes += block.items
    return {
        "title": section.title,
        "notes": notes,
        "items": [
            {
                "label": one.label,
                "basis": one.basis,
                "values": list(one.values),
                "source": one.source,
                "open": one.blank,
            }
            for one in section.blocks
            if isinstance(one, Field)
        ],
    }
