"""Limits over time: reserved with the decision, settled by receipts, kept when none comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from server_site import (
    CONSUMER,
    OPERATOR,
    Site,
    constraint,
    count_at_most,
    make_fab,
    private,
)
from sqlalchemy import create_engine

from auditors.shares import replay_log
from policies.canonical import parse_json
from policies.fields import instant
from policies.left_values import MAX_STEP_BACK
from server import accounts
from server.errors import BadInput, NotKnown, RuleBroken
from server.rounds import RoundAnswer
from server.tables import METADATA


def at_most(operand: str, value: str, kind: str) -> dict[str, Any]:
    right = {"@value": value, "@type": f"xsd:{kind}"}
    return {"leftOperand": operand, "operator": "lteq", "rightOperand": right}


def refusals(answer: RoundAnswer) -> dict[str, list[str]]:
    return {
        verdict["participant"]: [reason["code"] for reason in verdict["reasons"]]
        for verdict in answer.verdicts
        if not verdict["permitted"]
    }


def spent(site: Site, agreement: str) -> dict[str, Any]:
    documents: list[Any] = [
        parse_json(one, max_bytes=1 << 20) for one in site.governance.list(OPERATOR, "agreements")
    ]
    return next(one for one in documents if one["agreement"] == agreement)


def vouchers(site: Site, caller: Any = OPERATOR) -> list[Any]:
    return [parse_json(one, max_bytes=9999) for one in site.governance.list(caller, "vouchers")]


def later(site: Site, seconds: float) -> str:
    site.tick(seconds)
    return instant(site.now)


ONCE = "0.926342"  # ε of one use with noise 4


def limited(site: Site, *constraints: dict[str, Any], **changes: Any) -> str:
    """A run of alpha's under an agreement of its own."""
    site.agree(site.nodes["alpha"], *constraints, **{"@id": "limited"})
    return site.open_run(agreements=["limited"], **changes)


def limited_among(site: Site, *constraints: dict[str, Any], **changes: Any) -> str:
    """A run of alpha's under an agreement of its own, beside the others, as masks ask for."""
    site.agree(site.nodes["alpha"], *constraints, **{"@id": "limited"})
    names = ["limited", "agreement-beta", "agreement-gamma"]
    return site.open_run(agreements=names, **changes)


def takes_part(answer: RoundAnswer, name: str = "alpha") -> bool:
    return any(one["participant"] == name and one["permitted"] for one in answer.verdicts)


# -- reserve, commit, keep -----------------------------------------------------------------------


def test_a_permit_says_what_it_reserves(site: Site) -> None:
    run = site.open_run(deadline_s=20, **private())
    (member, *_) = site.permit(site.authorize(run)).body.cohort
    assert (member.metered_s, member.epsilon, member.pays, member.duties) == (20, ONCE, "0", [])
    shown = spent(site, "agreement-alpha")
    assert (shown["uses"], shown["outstanding"]) == (1, 1)
    assert (shown["metered_s"], shown["epsilon"], shown["paid"]) == (20, ONCE, "0")
    assert shown["delta"] == "0.00001"
    assert shown["first_use"] == instant(site.now)


def test_a_receipt_frees_the_seconds_that_were_not_used(site: Site) -> None:
    run = site.open_run(deadline_s=20, **private())
    answer = site.authorize(run)
    started = instant(site.now)
    node = site.nodes["alpha"]
    arrived = site.arrived(answer, node, started=started, finished=later(site, 3.2))
    site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    shown = spent(site, "agreement-alpha")
    assert (shown["uses"], shown["outstanding"], shown["metered_s"]) == (1, 0, 4)
    assert shown["epsilon"] == ONCE
    assert site.entries()[-1].body["metered_s"] == 4


@pytest.mark.parametrize("end", ["close", "abandon", "refuse", "stop", "silence"])
def test_what_never_came_back_stays_spent(site: Site, end: str) -> None:
    run = site.open_run(deadline_s=20, **private())
    answer = site.authorize(run)
    beta = site.nodes["beta"]
    if end == "close":
        site.submit(answer, site.nodes["alpha"])
        site.close_round(answer, quorum_met=False, model=site.permit(answer).body.model)
    elif end == "refuse":
        bad = site.arrived(answer, beta, rows_used=0)
        site.governance.receipts.submit(CONSUMER, answer.permit_id, [bad], [])
    elif end == "stop":
        site.governance.runs.stop(CONSUMER, run)
    elif end == "abandon":
        site.authorize(run, "ask-2", online=())
    shown = spent(site, "agreement-beta")
    assert (shown["uses"], shown["metered_s"], shown["epsilon"]) == (1, 20, ONCE)
    assert shown["outstanding"] == (1 if end in ("refuse", "silence") else 0)


def test_a_better_receipt_settles_what_a_refused_one_left(site: Site) -> None:
    answer = site.authorize(site.open_run(deadline_s=20))
    node = site.nodes["alpha"]
    for changes in ({"rows_used": 0}, {}):
        arrived = site.arrived(answer, node, **changes)
        site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert spent(site, "agreement-alpha")["metered_s"] == 0


@pytest.mark.parametrize(
    ("seconds", "code"), [(20, None), (20.001, "receipt-over-time"), (-1, None)]
)
def test_no_receipt_takes_more_than_was_reserved(
    site: Site, seconds: float, code: str | None
) -> None:
    answer = site.authorize(site.open_run(deadline_s=20))
    started = instant(site.now)
    arrived = site.arrived(
        answer, site.nodes["alpha"], started=started, finished=later(site, seconds)
    )
    (row,) = site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert (row.accepted, row.code or None) == (code is None, code)
    assert spent(site, "agreement-alpha")["metered_s"] == 20


def test_a_time_that_no_calendar_has_is_no_receipt(site: Site) -> None:
    answer = site.authorize(site.open_run())
    arrived = site.arrived(answer, site.nodes["alpha"], started="2026-02-30T00:00:00.000Z")
    (row,) = site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert row.code == "receipt-malformed"


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "changes", "served", "code"),
    [
        (at_most("epsilon", "1.7", "decimal"), private(), 3, "epsilon-exhausted"),
        (at_most("epsilon", "1.698036", "decimal"), private(), 3, "epsilon-exhausted"),
        (at_most("epsilon", "1.698035", "decimal"), private(), 2, "epsilon-exhausted"),
        (at_most("epsilon", "1", "decimal"), private("2", sample="0.1"), 11, "epsilon-exhausted"),
        (at_most("epsilon", "3", "decimal"), {}, 0, "unknown-value"),
        (at_most("delta", "0.00001", "decimal"), private(delta="0.0001"), 0, "delta-not-allowed"),
        (at_most("delta", "0.00001", "decimal"), {}, 0, "unknown-value"),
        (at_most("meteredTime", "PT1M", "duration"), {}, 2, "metered-time-exhausted"),
        (at_most("meteredTime", "PT59S", "duration"), {}, 1, "metered-time-exhausted"),
        (count_at_most(2), {}, 2, "count-exhausted"),
    ],
)
def test_a_limit_serves_exactly_what_it_allows(
    site: Site, limit: dict[str, Any], changes: dict[str, Any], served: int, code: str
) -> None:
    run = limited_among(site, limit, **changes)
    answers = [site.authorize(run, f"ask-{n}") for n in range(served + 2)]
    assert [takes_part(one) for one in answers] == [True] * served + [False] * 2
    assert refusals(answers[-1]) == {"alpha": [code]}


def test_several_runs_and_agreements_take_from_one_budget_of_the_product(site: Site) -> None:
    run = limited_among(site, at_most("epsilon", "2", "decimal"), **private())
    names = ["agreement-alpha", "agreement-beta"]
    other = site.open_run("run-2", agreements=names, **private("2.5"))
    cohort = site.permit(site.authorize(other, "ask-1")).body.cohort
    assert [one.epsilon for one in cohort] == ["1.554982"] * 2
    cohort = site.permit(site.authorize(run, "ask-2")).body.cohort
    assert [one.epsilon for one in cohort] == ["1.867669", "1.867669", ONCE]
    assert refusals(site.authorize(run, "ask-3")) == {"alpha": ["epsilon-exhausted"]}
    assert takes_part(site.authorize(other, "ask-4"))  # its agreement limits nothing
    assert {spent(site, id)["epsilon"] for id in ("limited", "agreement-alpha")} == {"2.529795"}


def test_a_product_that_was_used_without_privacy_has_no_bound_any_more(site: Site) -> None:
    run = limited_among(site, at_most("epsilon", "100", "decimal"), **private())
    assert takes_part(site.authorize(run, "ask-1"))
    site.authorize(site.open_run("run-2", agreements=["agreement-alpha"]), "ask-2")
    verdict = site.authorize(run, "ask-3").verdicts[0]
    assert [one["text"] for one in verdict["reasons"]] == [
        "the privacy loss ε is not known; the agreement allows at most 100 (permission 1, "
        "constraint 1); the product was used once without differential privacy, which nothing "
        "bounds"
    ]
    shown = spent(site, "limited")
    assert (shown["epsilon"], shown["delta"]) == (None, "0.00001")


def test_a_refusal_on_epsilon_says_what_would_still_fit(site: Site) -> None:
    run = limited_among(site, at_most("epsilon", "1.3", "decimal"), **private())
    site.authorize(run, "ask-1")
    verdict = site.authorize(run, "ask-2").verdicts[0]
    (reason,) = verdict["reasons"]
    assert reason["text"] == (
        "the privacy loss ε is 1.356468; the agreement allows at most 1.3 (permission 1, "
        "constraint 1); 3 more rounds would fit with noise 8, or 13 with noise 16"
    )
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


def test_seconds_that_were_not_used_serve_again(site: Site) -> None:
    run = limited(site, at_most("meteredTime", "PT45S", "duration"), rounds=9)
    for number in range(3):
        answer = site.authorize(run, f"ask-{number}")
        started = instant(site.now)
        finished = later(site, 5)
        arrived = site.arrived(answer, site.nodes["alpha"], started=started, finished=finished)
        site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
        site.close_round(answer)
    assert site.authorize(run, "ask-3").permit
    assert refusals(site.authorize(run, "ask-4")) == {"alpha": ["metered-time-exhausted"]}


def test_time_runs_from_the_first_permit(site: Site) -> None:
    run = limited(site, at_most("elapsedTime", "PT1H", "duration"))
    site.tick(7200)
    assert site.authorize(run, "ask-1").permit
    site.tick(3600)
    assert site.authorize(run, "ask-2").permit
    site.tick(0.001)
    assert refusals(site.authorize(run, "ask-3")) == {"alpha": ["elapsed-time-exhausted"]}


@pytest.mark.parametrize("operand", ["dateTime", "elapsedTime"])
def test_a_clock_that_goes_back_a_little_opens_nothing_again(site: Site, operand: str) -> None:
    end = {
        "dateTime": {
            "leftOperand": "dateTime",
            "operator": "lteq",
            "rightOperand": {
                "@value": instant(site.now)[:-1] + "+00:00",
                "@type": "xsd:dateTime",
            },
        },
        "elapsedTime": at_most("elapsedTime", "PT0S", "duration"),
    }[operand]
    run = limited(site, end)
    assert site.authorize(run, "ask-1").permit
    site.tick(1)
    assert not site.authorize(run, "ask-2").permit
    site.tick(-MAX_STEP_BACK.total_seconds())
    assert not site.authorize(run, "ask-3").permit


def test_time_before_the_first_permit_is_not_known(site: Site) -> None:
    site.tick(2 * MAX_STEP_BACK.total_seconds())  # the certificate is valid from before that
    run = limited(site, at_most("elapsedTime", "PT1H", "duration"))
    assert site.authorize(run, "ask-1").permit
    site.tick(-MAX_STEP_BACK.total_seconds() - 1)
    assert refusals(site.authorize(run, "ask-2")) == {"alpha": ["unknown-value"]}
    site.replays = False
    named = {one.rule for one in replay_log(site.space.log_folder, jobs=1).violations}
    assert named == {"clock-back"}, "an auditor is told of it"


# -- vouchers ------------------------------------------------------------------------------------


def test_a_voucher_is_issued_once(site: Site) -> None:
    issue = site.governance.vouchers.issue
    first = issue("consortium", "2.5", "request-1")
    size = site.log.size
    assert issue("consortium", "2.5", "request-1") == first
    assert site.log.size == size
    for other in (("consortium", "3"), ("operator", "2.5")):
        with pytest.raises((RuleBroken, NotKnown), match="expected"):
            issue(*other, "request-1")
    assert vouchers(site) == vouchers(site, CONSUMER)
    assert vouchers(site, site.nodes["alpha"].identity) == []
    (shown,) = vouchers(site)
    assert (shown["voucher"], shown["index"]) == (first[1], first[0])
    assert (shown["amount"], shown["spent"], shown["balance"]) == ("2.5", "0", "2.5")


@pytest.mark.parametrize(
    ("consumer", "amount", "request_id", "error"),
    [
        ("consortium", "0", "r", BadInput),
        ("consortium", "-1", "r", BadInput),
        ("consortium", "1.0", "r", BadInput),
        ("consortium", "1e9", "r", BadInput),
        ("consortium", "NaN", "r", BadInput),
        ("consortium", "", "r", BadInput),
        ("consortium", "1" * 19, "r", BadInput),
        ("consortium", "1", "", BadInput),
        ("alpha", "1", "r", NotKnown),
        ("operator", "1", "r", NotKnown),
        ("nobody", "1", "r", NotKnown),
    ],
)
def test_a_voucher_is_refused(
    site: Site, consumer: str, amount: str, request_id: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="expected"):
        site.governance.vouchers.issue(consumer, amount, request_id)
    assert "VoucherIssued" not in site.kinds()


@pytest.mark.parametrize("voucher", ["", "voucher-0"])
def test_a_run_that_pays_names_its_consumers_voucher(site: Site, voucher: str) -> None:
    with pytest.raises(NotKnown, match="tds voucher issue"):
        site.open_run(pays="1", voucher=voucher)


def paying(site: Site, amount: str, pays: str, **changes: Any) -> str:
    _, voucher = site.governance.vouchers.issue("consortium", amount, "request-1")
    return site.open_run(pays=pays, voucher=voucher, **changes)


def test_a_voucher_pays_in_the_decisions_order_and_is_never_overdrawn(site: Site) -> None:
    run = paying(site, "5", "1")
    first = site.authorize(run, "ask-1")
    assert [one.pays for one in site.permit(first).body.cohort] == ["1", "1", "1"]
    assert site.permit(first).body.voucher == vouchers(site)[0]["voucher"]
    assert refusals(site.authorize(run, "ask-2")) == {"gamma": ["voucher-exhausted"]}
    last = site.authorize(run, "ask-3")
    assert refusals(last) == {name: ["voucher-exhausted"] for name in ("alpha", "beta", "gamma")}
    assert (vouchers(site)[0]["spent"], vouchers(site)[0]["balance"]) == ("5", "0")
    assert spent(site, "agreement-alpha")["paid"] == "2"


def test_who_is_denied_anyway_takes_nothing_from_the_voucher(site: Site) -> None:
    site.agree(site.nodes["alpha"], constraint("purpose", "eq", "marketing"), **{"@id": "strict"})
    run = paying(site, "2", "1", agreements=["strict", "agreement-beta", "agreement-gamma"])
    assert refusals(site.authorize(run)) == {"alpha": ["purpose-not-allowed"]}
    assert vouchers(site)[0]["balance"] == "0"


def test_who_is_not_paid_does_not_count_for_anothers_minimum(site: Site) -> None:
    three = {
        "leftOperand": "minParticipants",
        "operator": "gteq",
        "rightOperand": {"@value": "3", "@type": "xsd:integer"},
    }
    site.agree(site.nodes["alpha"], three, **{"@id": "three"})
    run = paying(site, "2", "1", agreements=["three", "agreement-beta", "agreement-gamma"])
    answer = site.authorize(run)
    assert refusals(answer) == {"alpha": ["too-few-participants"], "gamma": ["voucher-exhausted"]}
    assert vouchers(site)[0]["balance"] == "1"
    assert refusals(site.authorize(run, "ask-2"))["gamma"] == ["voucher-exhausted"]
    assert vouchers(site)[0]["balance"] == "0"


def test_a_round_below_its_minimum_takes_nothing_from_the_voucher(site: Site) -> None:
    run = paying(site, "2", "1", min_cohort=3)
    assert refusals(site.authorize(run))["gamma"] == ["voucher-exhausted"]
    assert vouchers(site)[0]["balance"] == "2"


@pytest.mark.parametrize(("pays", "refused"), [("0", True), ("9.99", True), ("10", False)])
def test_compensation_is_a_precondition(site: Site, pays: str, refused: bool) -> None:
    ten = {
        "leftOperand": "payAmount",
        "operator": "gteq",
        "rightOperand": {"@value": "10", "@type": "xsd:decimal"},
    }
    duty = {"action": "compensate", "constraint": [ten]}
    site.agree(site.nodes["alpha"], **{"@id": "paid", "obligation": [duty]})
    run = paying(site, "100", pays, agreements=["paid"])
    assert bool(refusals(site.authorize(run))) is refused


@pytest.mark.parametrize(("norm", "refused"), [("", True), ("1.6", True), ("1.5", False)])
def test_an_owner_may_demand_that_updates_are_clipped(site: Site, norm: str, refused: bool) -> None:
    """What the run states is what its permit says, and what the node clips to."""
    clipped = {
        "leftOperand": "clipNorm",
        "operator": "lteq",
        "rightOperand": {"@value": "1.5", "@type": "xsd:decimal"},
    }
    site.agree(site.nodes["alpha"], clipped, **{"@id": "clipped"})
    answer = site.authorize(site.open_run(agreements=["clipped"], clip_norm=norm))
    assert bool(refusals(answer)) is refused
    if not refused:
        assert site.permit(answer).body.clip_norm == norm


def test_the_owner_is_informed_by_the_entry_that_opens_the_run(site: Site) -> None:
    site.agree(site.nodes["alpha"], **{"@id": "told", "obligation": [{"action": "inform"}]})
    assert site.authorize(site.open_run(agreements=["told"])).permit


# -- races ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scarce", ["use", "epsilon", "seconds", "voucher"])
def test_of_many_that_race_for_the_last_of_it_exactly_the_limit_is_served(
    empty: Site, scarce: str
) -> None:
    node = empty.enrol("alpha")
    empty.add_product(node)
    limit = {
        "use": [count_at_most(3)],
        "epsilon": [at_most("epsilon", "1.7", "decimal")],
        "seconds": [at_most("meteredTime", "PT90S", "duration")],
        "voucher": [],
    }[scarce]
    empty.agree(node, *limit)
    empty.governance.catalogue.register_app(make_fab(), "app")
    spec: dict[str, Any] = {}
    if scarce == "epsilon":
        beta = empty.enrol("beta")
        empty.add_product(beta)
        empty.agree(beta)
        spec = private()
    if scarce == "voucher":
        _, voucher = empty.governance.vouchers.issue("consortium", "7", "request-1")
        spec = {"pays": "2", "voucher": voucher}
    runs = [empty.open_run(f"run-{n}", **spec) for n in range(12)]
    asks = [empty.ask(run) for run in runs]
    served: list[bool] = []
    start = threading.Barrier(len(asks))

    def race(ask: Any) -> Callable[[], None]:
        def run() -> None:
            start.wait()
            served.append(bool(empty.governance.rounds.authorize(CONSUMER, ask).permit))

        return run

    threads = [threading.Thread(target=race(ask)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(served) == [False] * 9 + [True] * 3
    assert spent(empty, "agreement-alpha")["uses"] == 3


def test_a_hundred_runs_race_for_the_last_of_epsilon(empty: Site) -> None:
    """Under two agreements of one product, each of which would allow all of it."""
    node = empty.enrol("alpha")
    empty.add_product(node)
    for id in ("one", "two"):
        empty.agree(node, at_most("epsilon", "2.26", "decimal"), **{"@id": id})
    beta = empty.enrol("beta")
    empty.add_product(beta)
    empty.agree(beta)
    empty.governance.catalogue.register_app(make_fab(), "app")
    runs = [
        empty.open_run(
            f"run-{n}", agreements=[("one", "two")[n % 2], "agreement-beta"], **private()
        )
        for n in range(100)
    ]
    asks = [empty.ask(run) for run in runs]
    start = threading.Barrier(len(asks))

    def race(ask: Any) -> bool:
        start.wait()
        return bool(empty.governance.rounds.authorize(CONSUMER, ask).permit)

    with ThreadPoolExecutor(len(asks)) as pool:
        served = list(pool.map(race, asks))
    assert sum(served) == 5
    assert spent(empty, "one")["uses"] + spent(empty, "two")["uses"] == 5
    assert spent(empty, "one")["epsilon"] == "2.258146"
    assert replay_log(empty.space.log_folder, jobs=1).violations == ()


# -- crashes -------------------------------------------------------------------------------------


def test_accounts_are_made_again_from_the_log(site: Site) -> None:
    run = paying(site, "50", "2.5", rounds=4, **private())
    site.whole_round(run, "ask-1")
    site.submit(site.authorize(run, "ask-2"), site.nodes["alpha"])
    other = site.open_run("run-2", **private("2.5"))
    site.authorize(other, "ask-3")
    with site.registry.transaction() as connection:
        before = accounts.accounts(connection, list(site.uses()))
    shown = vouchers(site)
    site.close()
    for path in site.space.database.parent.glob("governance.db*"):
        path.unlink()
    site.open()
    with site.registry.transaction() as connection:
        assert accounts.accounts(connection, list(site.uses())) == before
    assert vouchers(site) == shown
    assert shown[0]["spent"] == "15"


def test_a_cohort_may_be_as_large_as_a_permit_allows() -> None:
    """More members than SQLite takes parameters in one statement."""
    engine = create_engine("sqlite://")  # without foreign keys: only accounts are looked at
    METADATA.create_all(engine)
    names = [f"p{number}" for number in range(10_000)]
    member = {"metered_s": 30, "epsilon": "", "pays": "0"}
    body = {
        "id": "permit-1",
        "issued": "2026-01-01T00:00:00.000Z",
        "voucher": "",
        "privacy": None,
        "cohort": [{"agreement": name, "participant": name, **member} for name in names],
    }
    with engine.begin() as connection:
        accounts.reserve(connection, body)
        answer = {"permit_id": "permit-1", "participant": "p9999", "metered_s": 3}
        accounts.commit(connection, answer)
        accounts.keep(connection, "permit-1")
        found = accounts.accounts(connection, names)
    assert {one.committed.metered_s for one in found.values()} == {3, 30}
    assert found["p9999"].committed.metered_s == 3
    assert not any(one.outstanding for one in found.values())
