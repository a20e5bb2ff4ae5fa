"""What the log says of an owner's processing, in sentences for a legal record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from auditors.records_drawn import Drawn
from auditors.report_show import moment, short
from auditors.report_terms import terms_of
from policies.errors import PolicyError
from policies.odrl import parse_agreement
from policies.places import crosses

Object = Mapping[str, Any]


def purposes(drawn: Drawn, owner: str = "") -> list[str]:
    """For what its data were used, or asked for."""
    uses: Counter[str] = Counter()
    runs: dict[str, set[str]] = {}
    for one in drawn.uses(owner):
        uses[one["purpose"]] += one["trained"] + one["evaluated"]
        runs.setdefault(one["purpose"], set()).add(one["run"])
    told = [
        drawn("purpose-used", purpose=purpose, uses=count, runs=len(runs[purpose]))
        for purpose, count in uses.items()
    ]
    asked = {
        run["purpose"]
        for run in drawn.document["runs"]
        if any(
            one["run"] == run["run"] and owner in ("", one["participant"])
            for one in drawn.document["refusals"]
        )
    }
    return told + [drawn("purpose-asked", purpose=one) for one in sorted(asked - set(uses))]


def categories(drawn: Drawn, owner: str) -> list[str]:
    """What its products hold, by its own word."""
    told = []
    for one in drawn.products(owner):
        key = "product-personal" if one["personal_information"] else "product-general"
        told.append(
            drawn(
                key,
                product=_named(one),
                rows=one["rows"],
                classification=one["classification"],
                consent=one["subject_consent"],
            )
        )
        if one["columns"]:
            columns = ", ".join(one["columns"])
            told.append(drawn("columns", product=one["product"], columns=columns))
    return told


def recipients(drawn: Drawn, owner: str) -> list[str]:
    """With whom it has agreements, and what they get."""
    under: dict[str, list[str]] = {}
    for one in drawn.agreements(owner):
        under.setdefault(one["assignee"], []).append(short(one["agreement"]))
    told = [
        drawn(
            "recipient",
            who=drawn.show.name(who),
            region=drawn.region(who),
            agreements=", ".join(agreements),
        )
        for who, agreements in under.items()
    ]
    return [*told, drawn("recipient-gets")] if drawn.uses(owner) else told


def transfers(drawn: Drawn, owner: str) -> list[tuple[bool | None, str]]:
    """For each product and recipient: whether a result crosses a jurisdiction, and in words."""
    products = {one["product"]: one for one in drawn.products(owner)}
    told: dict[tuple[str, str], tuple[bool | None, str]] = {}
    for one in drawn.agreements(owner):
        product, to = products.get(one["product"]), one["assignee"]
        if product is None:
            continue
        region, place = drawn.region(to), product["jurisdiction"]
        found = crosses(place, drawn.region(owner), region) if region else None
        key = {True: "transfer-yes", False: "transfer-no", None: "transfer-unknown"}[found]
        text = drawn(
            key,
            product=one["product"],
            place=place,
            who=drawn.show.name(to),
            region=region or "?",
            filing=product["filing_number"] or drawn("no-filing"),
        )
        told[one["product"], to] = (found, text)
    return list(told.values())


def endings(drawn: Drawn, owner: str) -> list[str]:
    """Withdrawals, duties to delete, and erasures."""
    told = []
    for one in drawn.document["withdrawals"]:
        if one["participant"] == owner:
            held = not one["permits_after"] and not one["uses_after"]
            effect = drawn("withdrawal-held" if held else "withdrawal-broken")
            time = moment(one["time"])
            agreement = short(one["agreement"])
            told.append(drawn("withdrawal", agreement=agreement, time=time, effect=effect))
    told = told or [drawn("withdrawals-none")]
    told += [
        drawn("duty-delete", agreement=short(one["agreement"]))
        for one in drawn.agreements(owner)
        if _deletes(one["document"])
    ]
    return told + [
        drawn("erased", count=one["count"], time=moment(one["time"]), code=one["code"])
        for one in drawn.document["erasures"]
        if one["participant"] in ("", owner)
    ]


def measures(drawn: Drawn, owner: str = "") -> list[str]:
    """Technical measures that the log bears witness to."""
    document = drawn.document
    permits = sum(one["permits"] for one in document["runs"])
    told = [drawn("measure-permit", permits=permits, missing=document["missing"]["total"])]
    environments = dict.fromkeys(e for one in drawn.uses(owner) for e in one["environments"])
    told += [drawn("measure-sandbox", environment=one) for one in environments if one]
    left_out = [one for one in drawn.uses(owner) if one["without_most"]]
    if left_out:
        most = max(one["without_most"] for one in left_out)
        owners = len({one["participant"] for one in left_out})
        told.append(drawn("measure-consent", most=most, owners=owners))
    spent = [
        f"{short(one['agreement'])} {one['spent']['epsilon'] or drawn('no-bound')} "
        f"(δ {one['spent']['delta']})"
        for one in document["agreements"]
        if owner in ("", one["assigner"]) and one["spent"]["delta"] is not None
    ]
    told.append(
        drawn("measure-epsilon", parts=", ".join(spent)) if spent else drawn("measure-epsilon-none")
    )
    if document["runs"]:
        least = min(one["min_cohort"] for one in document["runs"])
        told.append(drawn("measure-cohort", least=least))
    products = drawn.products(owner) if owner else document["products"]
    told += [
        drawn("anonymized", product=one["product"], method=one["anonymization"])
        for one in products
        if one["anonymization"]
    ]
    standing = [one for one in products if one["certificate"] and not one["certificate"]["revoked"]]
    told.append(drawn("measure-certificates", valid=len(standing), all=len(products)))
    return [*told, drawn("measure-log", erasures=len(document["erasures"]))]


def terms(drawn: Drawn, owner: str) -> list[str]:
    """What each agreement allows, and who signed it."""
    told = []
    for one in drawn.agreements(owner):
        agreement = short(one["agreement"])
        rules = " ".join(terms_of(one["document"], drawn.language))
        told.append(drawn("terms", agreement=agreement, terms=rules))
        key = "consent-both" if one["verified"] else "consent-owner"
        told.append(drawn(key, agreement=agreement))
    return told


def refusals(drawn: Drawn, owner: str = "") -> list[str]:
    """How many verdicts were refused, and why."""
    codes: Counter[str] = Counter()
    for one in drawn.document["refusals"]:
        if owner in ("", one["participant"]):
            codes[one["code"]] += one["count"]
    if not codes:
        return []
    parts = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
    permitted = drawn.document["totals"]["permitted"]
    return [drawn("refusals-count", count=sum(codes.values()), permitted=permitted, codes=parts)]


def laws(drawn: Drawn) -> list[str]:
    """The laws in force at the log's end."""
    chinese = drawn.language == "zh"
    return [
        drawn(
            "law-in-force",
            title=(one["title_zh"] if chinese else "") or one["title"],
            source=(one["source_zh"] if chinese else "") or one["source"],
        )
        for one in drawn.document["laws"]
    ]


def _named(product: Object) -> str:
    title = product["title"]
    return f"{title} ({product['product']})" if title else str(product["product"])


def _deletes(document: str) -> bool:
    try:
        return "delete" in parse_agreement(document.encode()).post_duties
    except PolicyError:
        return False
