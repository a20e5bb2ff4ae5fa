"""The audit report as one canonical JSON document (RFC 8785): the same log, the same bytes.

    version         1
    space           name, created, log_key: as the log's first entry says
    checked         what was verified and replayed before: verified, origin, size, root, cosigners,
                    seen, replayed, decisions, permits, receipts, violations (entry, rule, text)
    scope           what the report is about: participant, run, since, until; "" is everything
    period          time of the first and the last entry
    entries         how many, by type, and `unreadable` (in another form than governance writes)
    totals          uses, permitted, refused, missing, abandoned, no_result, withdrawals
    uses            by product, agreement and run: whose, for whom, for what, which app, how often,
                    rows, least and most of the rows that one receipt left out for want of
                    subjects' consent (without_least, without_most; null: no receipt says), seconds,
                    epsilon, delta, pays, first and last entry
    sessions        single uses: start and end as the receipt says, rows, rows without consent
                    (null: it does not say), epsilon, delta, environment
    refusals        by product, run and reason: code, text, count, first and last round and entry
    withdrawals     of consents: reason, last use before, first decision after, permits under way
    missing         permits without an accepted receipt: by_code, and the first of them one by one
    abandoned       rounds whose permit was given up; `no_result` those closed without a quorum
    runs            how each went
    agreements      parties, terms, consent, limits (most, inclusive) and what was spent
    participants, products, apps, laws, vouchers, settlement
    offers, negotiations, transfers     by state
    auditors, erasures                  who may read disclosures, and which exist no more
    alarms          policy engines that disagreed
    timeline, rounds    what the plots show: bounded, joined where there is much

Decimals (epsilon, delta, units) are strings. An epsilon is of the product, under all its
agreements, at the delta beside it: with the use that it stands at, or as it was spent by the log's
end. Where nothing bounds it, it is "" at a use, null at an agreement. A list of single happenings
is `{"total": …, "items": […]}` with at most `report_scope.MAX_LISTED` items; all of them are in the
CSV files. Entries are named by log index. Participants are pseudonyms as the log has them; names
handed in stand under `names`. Titles, columns, authors, outputs and reasons are "" or empty unless
the texts that open their commitments (`description`, `commitment`) were handed in; no such text is
in the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final, TypeVar

from auditors.known import Known
from auditors.ledgerbook import AgreementBook
from auditors.report_events import Missing, Settled, Used
from auditors.report_facts import Facts, most_used, owned
from auditors.report_registered import App, Certificate, Contract, Product
from auditors.report_runs import RunFacts
from auditors.report_scope import Listed
from auditors.report_withdrawals import Withdrawal
from policies.account import NOTHING
from policies.canonical import Json, canonical_bytes
from policies.fields import instant
from policies.values import decimal_text

T = TypeVar("T")
Object = dict[str, Any]
MAX_COLUMNS: Final = 64


def report_bytes(facts: Facts, known: Known) -> bytes:
    """The document; see the module for its fields."""
    return canonical_bytes(report_json(facts, known)) + b"\n"


def report_json(facts: Facts, known: Known) -> Object:
    """The document's value."""
    register, scope = facts.register, facts.scope
    return {
        "version": 1,
        "space": {
            "name": register.space,
            "created": register.created,
            "log_key": register.log_key,
        },
        "checked": _checked(facts),
        "scope": {
            "participant": scope.participant,
            "run": scope.run,
            "since": instant(scope.since) if scope.since else "",
            "until": instant(scope.until) if scope.until else "",
        },
        "period": {"first": facts.first, "last": facts.last},
        "entries": {
            "total": facts.entries,
            "types": dict(sorted(facts.types.items())),
            "unreadable": _listed(facts.unreadable, lambda index: index),
        },
        "totals": _totals(facts),
        **_happenings(facts, known),
        **_registered(facts, known),
        "names": {id: name for id, name in known.names.items() if id in register.participants},
    }


def _checked(facts: Facts) -> Object:
    checked = facts.checked
    return {
        "verified": checked.verified,
        "origin": checked.origin,
        "size": checked.size,
        "root": checked.root,
        "cosigners": list(checked.cosigners),
        "seen": checked.seen,
        "replayed": checked.replayed,
        "decisions": checked.decisions,
        "permits": checked.permits,
        "receipts": checked.receipts,
        "violations": [
            {"entry": one.index, "rule": one.rule, "text": one.text} for one in checked.violations
        ],
    }


def _totals(facts: Facts) -> Object:
    return {
        "uses": facts.use_count,
        "permitted": facts.permitted,
        "refused": facts.refused,
        "missing": facts.missing.total,
        "abandoned": facts.abandoned.total,
        "no_result": facts.no_result.total,
        "withdrawals": len(facts.withdrawals),
        "dropped_groups": facts.dropped_groups,
    }


def _happenings(facts: Facts, known: Known) -> Object:
    return {
        "uses": [asdict(one) for one in facts.uses.values()],
        "sessions": _listed(facts.sessions, _session),
        "refusals": [asdict(one) for one in facts.refusals.values()],
        "withdrawals": [_withdrawal(one, known) for one in facts.withdrawals],
        "missing": {
            "by_code": dict(sorted(facts.missing_why.items())),
            **_listed(facts.missing, _missing),
        },
        "abandoned": _listed(facts.abandoned, _settled),
        "no_result": _listed(facts.no_result, _settled),
        "runs": [_run(one, known) for one in facts.runs.values()],
        "alarms": _listed(facts.alarms, lambda one: one),
        "timeline": {
            "ends": list(facts.timeline.ends()),
            "uses": {who: facts.timeline.cumulative(who) for who in most_used(facts)},
        },
        "rounds": [asdict(one) for one in facts.bars.bars],
    }


def _registered(facts: Facts, known: Known) -> Object:
    register = facts.register
    return {
        "participants": [asdict(one) for one in register.participants.values()],
        "products": [_product(one, known) for one in register.products.values()],
        "apps": [_app(one, known) for one in register.apps.values()],
        "laws": [asdict(one) for one in register.laws],
        "agreements": [agreement_json(facts, register.contracts[id]) for id in owned(facts)],
        "vouchers": list(vouchers(facts)),
        "settlement": list(settlement(facts)),
        "auditors": [
            {"auditor": id, "entry": entry, "time": time}
            for id, (entry, time) in register.auditors.items()
        ],
        "erasures": [asdict(one) for one in register.erasures],
        "offers": register.states("offers"),
        "negotiations": register.states("negotiations"),
        "transfers": register.states("transfers"),
    }


def agreement_json(facts: Facts, contract: Contract) -> Object:
    """An agreement with its limits and what was spent under it."""
    book = facts.book.agreements.get(contract.agreement)
    spent, given = (book.spent, book.given) if book else (NOTHING, NOTHING)
    return {
        "agreement": contract.agreement,
        "product": contract.product,
        "assigner": contract.assigner,
        "assignee": contract.assignee,
        "entry": contract.entry,
        "time": contract.time,
        "verified": contract.verified,
        "negotiation": contract.negotiation,
        "withdrawn": contract.withdrawn,
        "withdrawn_entry": contract.withdrawn_entry,
        "document": contract.document,
        "limits": _limits(book) if book else {},
        "spent": {
            "uses": spent.uses,
            "metered_s": spent.metered_s,
            "epsilon": _decimal(given.epsilon),
            "delta": _decimal(given.delta),
            "paid": decimal_text(spent.paid),
            "earned": decimal_text(facts.earned.get(contract.agreement, Decimal(0))),
        },
    }


def _decimal(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _limits(book: AgreementBook) -> Object:
    return {
        name: {"most": decimal_text(Decimal(right)), "inclusive": operator != "lt"}
        for name, (operator, right) in book.limits.items()
        if isinstance(right, int | Decimal)
    }


def vouchers(facts: Facts) -> Iterator[Object]:
    """Each voucher with what permits set aside of it and what is left."""
    for one in facts.register.vouchers.values():
        book = facts.book.vouchers.get(one.voucher)
        spent = book.spent if book else Decimal(0)
        yield {
            **asdict(one),
            "spent": decimal_text(spent),
            "left": decimal_text(Decimal(one.amount) - spent),
        }


def settlement(facts: Facts) -> Iterator[Object]:
    """Who owes whom how many units: set aside by permits, and earned by accepted receipts."""
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for id in owned(facts):
        contract, book = facts.register.contracts[id], facts.book.agreements.get(id)
        if book is not None and book.spent.paid:
            pair = sums[contract.assignee, contract.assigner]
            pair[0] += book.spent.paid
            pair[1] += facts.earned.get(id, Decimal(0))
    for (consumer, owner), (paid, earned) in sorted(sums.items()):
        yield {
            "consumer": consumer,
            "owner": owner,
            "set_aside": decimal_text(paid),
            "earned": decimal_text(earned),
        }


def _listed(listed: Listed[T], show: Callable[[T], Any]) -> Object:
    return {"total": listed.total, "items": [show(one) for one in listed.items]}


def _withdrawal(one: Withdrawal, known: Known) -> Object:
    return {**asdict(one), "codes": list(one.codes), **_reason(one.reason, known)}


def _reason(commitment: str, known: Known) -> Object:
    return {"reason": known.text(commitment, "text"), "commitment": commitment}


def _run(one: RunFacts, known: Known) -> Object:
    return {**asdict(one), "said": known.text(one.said, "text"), "commitment": one.said}


def _product(one: Product, known: Known) -> Object:
    made = one.certificate
    return {
        **asdict(one),
        "certificate": _certificate(made, known) if made else None,
        "title": known.text(one.description, "title"),
        "columns": known.several(one.description, "columns")[:MAX_COLUMNS],
    }


def _certificate(one: Certificate, known: Known) -> Object:
    return {**asdict(one), **_reason(one.reason, known)}


def _app(one: App, known: Known) -> Object:
    return {
        **asdict(one),
        **_reason(one.reason, known),
        "title": known.text(one.description, "title"),
        "author": known.text(one.description, "author"),
        "outputs": known.several(one.description, "outputs"),
    }


def _missing(one: Missing) -> Object:
    member = one.permitted
    return {
        "entry": one.entry,
        "time": one.time,
        "how": one.how,
        "code": one.code,
        "text": one.text,
        "permit": member.permit,
        "permit_entry": member.entry,
        "permit_time": member.time,
        **asdict(member.whose),
        **asdict(member.round),
        "epsilon": member.epsilon,
        "delta": member.delta,
        "pays": member.pays,
    }


def _session(one: Used) -> Object:
    member = one.permitted
    return {
        "entry": one.entry,
        "time": one.time,
        "permit_entry": member.entry,
        **asdict(member.whose),
        **asdict(member.round),
        "rows": one.rows,
        "held_back": one.held_back,
        "without_consent": one.without_consent,
        "epsilon": member.epsilon,
        "delta": member.delta,
        "started": one.started,
        "finished": one.finished,
        "environment": one.environment,
    }


def _settled(one: Settled) -> Object:
    found: dict[str, Json] = {
        "entry": one.entry,
        "time": one.time,
        "permit": one.permit,
        "accepted": one.accepted,
        "text": one.text,
    }
    return {**found, **asdict(one.round)}
