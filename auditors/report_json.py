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
                    rows, seconds, epsilon, pays, first and last entry
    refusals        by product, run and reason: code, text, count, first and last round and entry
    withdrawals     of consents: reason, last use before, first decision after, permits under way
    missing         permits without an accepted receipt: by_code, and the first of them one by one
    abandoned       rounds whose permit was given up; `no_result` those closed without a quorum
    runs            how each went
    agreements      parties, terms, consent, limits (most, inclusive) and what was spent
    participants, products, apps, laws, vouchers, settlement
    offers, negotiations, transfers     by state
    alarms          policy engines that disagreed
    timeline, rounds    what the plots show: bounded, joined where there is much

Decimals (epsilon, units) are strings. A list of single happenings is `{"total": …, "items": […]}`
with at most `report_facts.MAX_LISTED` items; all of them are in the CSV files. Entries are named by
log index. Participants are pseudonyms as the log has them; names handed in stand under `names`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, TypeVar

from auditors.report_budgets import limits_of, read_agreement
from auditors.report_events import Missing, Settled
from auditors.report_facts import Facts, Listed, most_used, owned
from auditors.report_register import Contract
from policies.canonical import Json, canonical_bytes
from policies.fields import instant
from policies.values import decimal_text

T = TypeVar("T")
Object = dict[str, Any]


def report_bytes(facts: Facts, names: Mapping[str, str]) -> bytes:
    """The document; see the module for its fields."""
    return canonical_bytes(report_json(facts, names)) + b"\n"


def report_json(facts: Facts, names: Mapping[str, str]) -> Object:
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
        **_happenings(facts),
        **_registered(facts),
        "names": {id: name for id, name in names.items() if id in register.participants},
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


def _happenings(facts: Facts) -> Object:
    return {
        "uses": [asdict(one) for one in facts.uses.values()],
        "refusals": [asdict(one) for one in facts.refusals.values()],
        "withdrawals": [_withdrawal(asdict(one)) for one in facts.withdrawals],
        "missing": {
            "by_code": dict(sorted(facts.missing_why.items())),
            **_listed(facts.missing, _missing),
        },
        "abandoned": _listed(facts.abandoned, _settled),
        "no_result": _listed(facts.no_result, _settled),
        "runs": [asdict(one) for one in facts.runs.values()],
        "alarms": _listed(facts.alarms, lambda one: one),
        "timeline": {
            "ends": list(facts.timeline.ends()),
            "uses": {who: facts.timeline.cumulative(who) for who in most_used(facts)},
        },
        "rounds": [asdict(one) for one in facts.bars.bars],
    }


def _registered(facts: Facts) -> Object:
    register = facts.register
    return {
        "participants": [asdict(one) for one in register.participants.values()],
        "products": [asdict(one) for one in register.products.values()],
        "apps": [asdict(one) for one in register.apps.values()],
        "laws": [asdict(one) for one in register.laws],
        "agreements": [agreement_json(facts, register.contracts[id]) for id in owned(facts)],
        "vouchers": list(vouchers(facts)),
        "settlement": list(settlement(facts)),
        "offers": register.states("offers"),
        "negotiations": register.states("negotiations"),
        "transfers": register.states("transfers"),
    }


def agreement_json(facts: Facts, contract: Contract) -> Object:
    """An agreement with its limits and what was spent under it."""
    agreement = read_agreement(contract.document)
    limits = limits_of(agreement) if agreement else {}
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
        "limits": {name: asdict(limit) for name, limit in limits.items()},
        "spent": asdict(facts.spent[contract.agreement]),
    }


def vouchers(facts: Facts) -> Iterator[Object]:
    """Each voucher with what permits set aside of it and what is left."""
    for one in facts.register.vouchers.values():
        spent = facts.paid.get(one.voucher, Decimal(0))
        yield {
            **asdict(one),
            "spent": decimal_text(spent),
            "left": decimal_text(Decimal(one.amount) - spent),
        }


def settlement(facts: Facts) -> Iterator[Object]:
    """Who owes whom how many units: set aside by permits, and earned by accepted receipts."""
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for id in owned(facts):
        contract, spent = facts.register.contracts[id], facts.spent[id]
        if spent.paid != "0":
            pair = sums[contract.assignee, contract.assigner]
            pair[0] += Decimal(spent.paid)
            pair[1] += Decimal(spent.earned)
    for (consumer, owner), (paid, earned) in sorted(sums.items()):
        yield {
            "consumer": consumer,
            "owner": owner,
            "set_aside": decimal_text(paid),
            "earned": decimal_text(earned),
        }


def _listed(listed: Listed[T], show: Callable[[T], Any]) -> Object:
    return {"total": listed.total, "items": [show(one) for one in listed.items]}


def _withdrawal(one: Object) -> Object:
    return {**one, "codes": list(one["codes"])}


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
        "pays": member.pays,
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
