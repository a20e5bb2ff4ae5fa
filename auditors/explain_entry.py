"""One entry in plain sentences: what it says, what it rests on, what followed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from auditors.errors import RuleViolated
from auditors.explain_rounds import said_loss
from auditors.explain_say import Say
from auditors.explain_sentences import sentences
from auditors.explain_trail import MAX_FOLLOWED, Link, Trail, follow
from auditors.known import Known
from auditors.lines import MALFORMED
from auditors.reports import evaluate_again
from auditors.summary import summary_of
from policies.canonical import Json, digest_of
from policies.entries import Entry
from policies.evaluate import Report
from policies.explain import Explanation, explain_facts, explain_report
from policies.law import Baseline, parse_baselines
from policies.odrl import Agreement, parse_agreement
from policies.phrases import Language
from policies.results import Reason

MAX_VERDICTS: Final = 100
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry that belongs to the one that is asked for, in one sentence."""

    entry: int
    time: str
    type: str
    text: str

    def to_json(self) -> dict[str, Json]:
        """The line as JSON."""
        return {"entry": self.entry, "time": self.time, "type": self.type, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An entry in sentences.

    Attributes:
        says: the first sentence says it in short.
        verdicts: of a decision, one explanation for each candidate.
        rests: earlier entries, the newest first; `more_rests` are left out.
        followed: the first of the later ones; `types` counts all by type.
    """

    index: int
    entry: Entry
    says: tuple[str, ...]
    verdicts: tuple[Explanation, ...]
    rests: tuple[Line, ...]
    more_rests: int
    followed: tuple[Line, ...]
    types: Mapping[str, int]

    def to_json(self) -> dict[str, Json]:
        """All of it as JSON, with the entry itself."""
        return {
            "entry": self.index,
            "time": self.entry.time,
            "type": self.entry.type,
            "body": self.entry.body,
            "says": list(self.says),
            "verdicts": [one.to_json() for one in self.verdicts],
            "rests_on": [one.to_json() for one in self.rests],
            "more_rests": self.more_rests,
            "followed": [one.to_json() for one in self.followed],
            "followed_by_type": dict(self.types),
        }


def explain_entry(
    read: Callable[[], Iterable[tuple[int, bytes]]],
    index: int,
    language: Language,
    known: Known,
) -> Told:
    """Tell of one entry.

    Args:
        read: gives the log's lines from the beginning, each time it is called.
        known: names shown beside pseudonyms, and texts that the log commits to.

    Raises:
        AuditInputError: there is no such entry.
        RuleViolated: it is no entry, or one in another form than governance writes.
    """
    trail, say = follow(read, index), Say(language, known)
    try:
        says = [*sentences(trail.entry, say), *_beyond(trail, say)]
        verdicts = tuple(_verdicts(trail, say))
    except MALFORMED as error:
        text = f"{trail.entry.type}: {type(error).__name__}: {error}"
        raise RuleViolated(index, "entry-readable", text) from error
    return Told(
        index=index,
        entry=trail.entry,
        says=tuple(says),
        verdicts=verdicts,
        rests=tuple(_line(link, say) for link in trail.rests),
        more_rests=trail.more_rests,
        followed=tuple(_line(link, say) for link in trail.followed[:MAX_FOLLOWED]),
        types=dict(sorted(trail.types.items())),
    )


def _line(link: Link, say: Say) -> Line:
    try:
        text = sentences(link.entry, say)[0]
    except MALFORMED:
        text = summary_of(link.entry)
    return Line(link.index, link.entry.time, link.entry.type, text)


def _beyond(trail: Trail, say: Say) -> Iterator[str]:
    """What other entries say of this one: whose permit a receipt answers."""
    body: Body = trail.entry.body
    if trail.entry.type != "ReceiptAccepted":
        return
    for link in trail.rests:
        permit: Body = link.entry.body
        if link.entry.type == "PermitIssued" and permit["id"] == body["permit_id"]:
            for member in permit["cohort"]:
                if member["participant"] == body["participant"]:
                    figures = {name: member[name] for name in ("agreement", "max_rows", "pays")}
                    consumer = say.who(permit["consumer"])
                    purpose, loss = permit["purpose"], said_loss(say, permit, member)
                    yield say(
                        "receipt-under", consumer=consumer, purpose=purpose, loss=loss, **figures
                    )


def _verdicts(trail: Trail, say: Say) -> Iterator[Explanation]:
    """Why each candidate of a decision was permitted or refused, as `tds policy explain` tells."""
    if trail.entry.type != "RoundDecided":
        return
    body: Body = trail.entry.body
    reports: dict[str, Body] = {}
    for link in trail.rests:
        if link.entry.type == "ReportsMade":
            made: Any = link.entry.body["reports"]
            reports |= {digest_of(one): one for one in made}
    for verdict in body["decision"]["verdicts"][:MAX_VERDICTS]:
        yield _verdict(trail, verdict, reports.get(str(verdict["report"])), say)


def _verdict(trail: Trail, verdict: Body, report: Body | None, say: Say) -> Explanation:
    who, permitted = say.who(verdict["participant"]), verdict["permitted"] is True
    if report is not None:
        found = _evaluated(trail, report)
        if found is not None:
            return explain_report(who, found, say.language, permitted=permitted)
    reasons = [Reason(one["code"], one["text"]) for one in verdict["reasons"]]
    if verdict["report"] is None and not permitted:
        return explain_facts(who, reasons, say.language)
    told = tuple(f"{one.text} ({one.code})" for one in reasons)
    return Explanation(permitted, say("not-replayed", who=who), told, ())


def _evaluated(trail: Trail, report: Body) -> Report | None:
    """The report evaluated again, from the agreement and the laws that the decision rests on."""
    agreements: dict[str, Agreement] = {}
    laws: tuple[Baseline, ...] = ()
    for link in trail.rests:
        body: Body = link.entry.body
        if link.entry.type == "AgreementConcluded" and body["agreement"] == report["agreement"]:
            agreement = parse_agreement(body["document"].encode())
            agreements[agreement.digest] = agreement
        elif link.entry.type == "BaselineAdopted":
            laws = parse_baselines(one["document"].encode() for one in body["documents"])
    found = evaluate_again(report, agreements, laws)
    return None if isinstance(found, str) else found
