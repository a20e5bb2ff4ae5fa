"""Releasing masks: once for a round, for those whose consent stands, after the log says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from server_site import CONSUMER, OPERATOR, SPACE, Crash, Site
from sum_site import (
    Opened,
    masked,
    masked_run,
    open_sum,
    plain_sum,
    release,
    rows_of,
    send,
)

from auditors.shares import replay_log
from policies.canonical import canonical_bytes, parse_json, sha256_hex
from policies.release import dealt
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken, Superseded, Unavailable
from server.pki import Identity
from server.receipt_checks import Missing
from server.releases import MAX_RELEASES
from server.rounds import RoundAnswer

ELSE = sha256_hex(b"another model")
PRIVACY: dict[str, Any] = {
    "unit": "record",
    "parts": 4,
    "sample": "1",
    "noise": "2",
    "by": "nodes",
    "tolerated": 1,
    "delta": "0.00001",
}


def last(site: Site, kind: str) -> Any:
    return [entry for entry in site.entries() if entry.type == kind][-1].body


def withdraw(site: Site, name: str) -> None:
    site.withdraw(site.nodes[name])


def refused(site: Site, act: Callable[[], object], code: str, kind: type[Exception]) -> None:
    """It is refused by that word, and nothing changes."""
    before, size = site.state(), site.log.size
    with pytest.raises(kind, match=code):
        act()
    assert (site.state(), site.log.size) == (before, size)


def whole_round(site: Site, run: str, request: str, *names: str) -> RoundAnswer:
    answer = site.authorize(run, request)
    send(site, answer, *names)
    release(site, answer)
    site.close_round(answer)
    return answer


# -- what is released ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("alpha", "beta", "gamma"), ("alpha", "gamma")])
def test_the_opened_sum_is_the_plain_one_bit_for_bit(site: Site, names: tuple[str, ...]) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer, *names)
    opened = release(site, answer)
    assert opened.release.groups == [list(names)]
    _, total = open_sum(site, answer, opened)
    assert np.array_equal(total, plain_sum(site, answer, names))
    assert rows_of(site, answer, opened) == 80 * len(names)


def test_a_release_is_logged_before_it_leaves_and_the_close_names_it(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    size = site.log.size
    opened = release(site, answer)
    body = last(site, "MasksReleased")
    assert (site.kinds(size), body) == (["MasksReleased"], opened.release.to_json())
    assert body["sums"] == sha256_hex(b"".join(opened.sums))
    permit = site.permit(answer).body
    assert (body["permit"], body["attempt"]) == (permit.digest(), 1)
    site.close_round(answer)
    closed = last(site, "RoundClosed")
    assert [one["participant"] for one in closed["accepted"]] == ["alpha", "beta", "gamma"]
    assert closed["left_out"] == []


def test_the_same_call_gets_the_same_bytes(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    first = release(site, answer)
    assert release(site, answer) == first
    withdraw(site, "beta")  # too late: the log has the release before it
    assert release(site, answer) == first
    site.reopen()
    assert release(site, answer) == first
    assert site.kinds().count("MasksReleased") == 1
    site.close_round(answer)
    assert [one["participant"] for one in last(site, "RoundClosed")["accepted"]] == [
        "alpha",
        "beta",
        "gamma",
    ]


@pytest.mark.parametrize("step", ["signed", "committed", "published", "registry"])
def test_a_crash_between_log_and_release_changes_nothing(site: Site, step: str) -> None:
    run = masked_run(site, privacy={**PRIVACY, "by": "governance"})
    answer = site.authorize(run)
    send(site, answer)

    def on_step(name: str) -> None:
        if name == step:
            raise Crash(step)
        if name == "published" and step == "registry":
            site.on_registry = _crash

    site.on_step = on_step
    with pytest.raises(Crash):
        release(site, answer)
    site.reopen()
    logged = "MasksReleased" in site.kinds()
    assert logged == (step != "signed")
    if logged:
        withdraw(site, "gamma")
    opened = release(site, answer)
    assert opened.release.groups == [["alpha", "beta", "gamma"]]
    assert release(site, answer) == opened
    assert site.kinds().count("MasksReleased") == 1


def _crash() -> None:
    raise Crash("registry")


def test_a_withdrawal_before_the_release_takes_the_update_out(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    withdraw(site, "beta")
    opened = release(site, answer)
    assert opened.release.groups == [["alpha", "gamma"]]
    _, total = open_sum(site, answer, opened)
    assert np.array_equal(total, plain_sum(site, answer, ["alpha", "gamma"]))
    # Adding what beta sent makes noise of it: nobody has beta's mask.
    total += masked(site, site.permit(answer).body, site.nodes["beta"])
    assert not np.array_equal(total, plain_sum(site, answer, ["alpha", "beta", "gamma"]))
    view = site.close_round(answer)
    (out,) = last(site, "RoundClosed")["left_out"]
    assert (out["participant"], out["code"]) == ("beta", "consent-withdrawn")
    assert "before the round's masks were released" in out["text"]
    assert b'"outcome":"left-out","participant":"beta"' in view.rounds[0]
    (shown,) = site.governance.runs.get(CONSUMER, opened.release.run).rounds
    document: Any = parse_json(shown, max_bytes=1 << 20)
    assert document["released"] == ["alpha", "gamma"]
    assert site.entries()[document["release_index"]].type == "MasksReleased"
    assert shown == view.rounds[0]


def test_a_withdrawal_during_the_addition_takes_the_update_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    releases = site.governance.releases
    sums = releases._sums
    took: list[Any] = []

    def slow(plan: Any) -> Any:
        if not took:
            took.append(plan)
            withdraw(site, "beta")
        return sums(plan)

    monkeypatch.setattr(releases, "_sums", slow)
    opened = release(site, answer)
    assert opened.release.groups == [["alpha", "gamma"]]
    _, total = open_sum(site, answer, opened)
    assert np.array_equal(total, plain_sum(site, answer, ["alpha", "gamma"]))


def test_all_who_ask_at_once_get_the_same(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    start, found = threading.Barrier(5), []

    def ask() -> None:
        start.wait()
        found.append(release(site, answer))

    def end() -> None:
        start.wait()
        withdraw(site, "beta")

    threads = [threading.Thread(target=one) for one in (ask, ask, ask, ask, end)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert site.kinds().count("MasksReleased") == 1
    kinds = site.kinds()
    late = kinds.index("ConsentWithdrawn") > kinds.index("MasksReleased")
    assert ("beta" in found[0].release.participants) == late


def test_groups_are_dealt_by_the_permit_and_opened_one_by_one(site: Site) -> None:
    for name in ("delta", "epsilon"):
        site.add_product(site.enrol(name))
        site.agree(site.nodes[name])
    run = masked_run(site, groups=2, quorum=3)
    answer = site.authorize(run)
    groups = dealt(site.permit(answer).body)
    assert sorted(map(len, groups)) == [2, 3]
    send(site, answer)
    opened = release(site, answer)
    assert opened.release.groups == groups
    for number, group in enumerate(groups):
        _, total = open_sum(site, answer, opened, number)
        assert np.array_equal(total, plain_sum(site, answer, group))
    site.close_round(answer)


def test_an_evaluation_is_released_like_a_training(site: Site) -> None:
    run = masked_run(site, rounds=1)
    whole_round(site, run, "ask-1")
    answer = site.authorize(run, "ask-2")
    permit = site.permit(answer).body
    assert permit.kind == "evaluate"
    send(site, answer, rows_used=0)
    opened = release(site, answer)
    layout, total = open_sum(site, answer, opened)
    assert layout.floats == 0
    assert np.array_equal(total, plain_sum(site, answer, ["alpha", "beta", "gamma"]))
    assert site.close_round(answer).row.state == "COMPLETED"


def test_governance_s_noise_is_in_the_body_and_the_same_each_time(site: Site) -> None:
    run = masked_run(site, privacy={**PRIVACY, "by": "governance"})
    answer = site.authorize(run, floats=4000)
    send(site, answer)
    opened = release(site, answer)
    layout, total = open_sum(site, answer, opened)
    plain = plain_sum(site, answer, ["alpha", "beta", "gamma"])
    head = layout.head_words
    assert np.array_equal(total[:head], plain[:head])
    # The opened sum is the plain one less the noise: its spread is 2 * 1.5 in units of the scale.
    noise = (plain - total)[head:].view("<i4") / (1 << layout.scale_bits)
    assert abs(noise.std() / 3.0 - 1) < 0.1
    site.reopen()
    assert release(site, answer) == opened


# -- what is refused -------------------------------------------------------------------------------

Case = Callable[[Site, RoundAnswer], object]


def stranger(site: Site, answer: RoundAnswer) -> object:
    other = Identity(space=SPACE, role="consumer", participant="stranger")
    return release(site, answer, other)


def before_any_receipt(site: Site, answer: RoundAnswer) -> object:
    return release(site, answer)


def for_one(site: Site, answer: RoundAnswer) -> object:
    send(site, answer, "alpha")
    return release(site, answer)


def all_but_one_withdrew(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    for name in ("alpha", "beta"):
        withdraw(site, name)
    return release(site, answer)


def all_withdrew(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    for name in ("alpha", "beta", "gamma"):
        withdraw(site, name)
    return release(site, answer)


def closed(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    release(site, answer)
    site.close_round(answer)
    return release(site, answer)


def closed_unopened(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    permit = site.permit(answer).body
    site.close_round(answer, quorum_met=False, model=permit.model)
    return release(site, answer)


def given_up(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    site.authorize(site.permit(answer).body.run, "ask-2")
    return release(site, answer)


def stopped(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    site.governance.runs.stop(CONSUMER, site.permit(answer).body.run)
    return release(site, answer)


def from_the_log_alone(site: Site) -> None:
    """The registry is lost, and made again."""
    site.close()
    for file in site.space.database.parent.glob(site.space.database.name + "*"):
        file.unlink()
    site.open()


def of_the_log_alone(site: Site, answer: RoundAnswer) -> object:
    send(site, answer)
    from_the_log_alone(site)
    return release(site, answer)


@pytest.mark.parametrize(
    ("case", "code", "kind"),
    [
        (stranger, "is another's", NotAllowed),
        (before_any_receipt, "too-few-to-release.*at least 2 with standing consent", RuleBroken),
        (for_one, "too-few-to-release", RuleBroken),
        (all_but_one_withdrew, "too-few-to-release.*got 1", RuleBroken),
        (all_withdrew, "too-few-to-release.*got 0", RuleBroken),
        (closed, "round-closed", RuleBroken),
        (closed_unopened, "round-closed", RuleBroken),
        (given_up, "newer attempt", Superseded),
        (stopped, "newer attempt", Superseded),
        (of_the_log_alone, "mask-key-gone", RuleBroken),
    ],
)
def test_what_is_not_released(site: Site, case: Case, code: str, kind: type[Exception]) -> None:
    answer = site.authorize(masked_run(site))
    with pytest.raises(kind, match=code):
        case(site, answer)
    assert site.kinds().count("MasksReleased") == (1 if case is closed else 0)


def test_a_round_without_masks(site: Site) -> None:
    answer = site.authorize(masked_run(site, secure_sum="none"))
    refused(site, lambda: release(site, answer), "not-masked", RuleBroken)


def test_a_permit_that_nobody_has(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    nobody = RoundAnswer(b"", f"permit-{'0' * 32}", (), 0)
    refused(site, lambda: release(site, nobody), "expected the id", NotKnown)
    assert answer.permit


def test_after_a_release_no_receipt_and_no_other_attempt(site: Site) -> None:
    run = masked_run(site)
    answer = site.authorize(run)
    rows = send(site, answer, "alpha", "beta")
    assert [row.accepted for row in rows] == [True, True]
    submit = site.governance.receipts.submit
    lost = [Missing(site.nodes["gamma"].node_id, "no-reply", "it came, the consumer says not")]
    submit(CONSUMER, answer.permit_id, [], lost)
    release(site, answer)
    refused(site, lambda: send(site, answer, "gamma"), "released-already", RuleBroken)
    missing = [Missing(site.nodes["gamma"].node_id, "no-reply", "nothing came")]
    refused(
        site,
        lambda: submit(CONSUMER, answer.permit_id, [], missing),
        "released-already",
        RuleBroken,
    )
    again = lambda: site.authorize(run, "ask-2")  # noqa: E731
    refused(site, again, "released-already.*with a result or without", RuleBroken)
    site.reopen()
    refused(site, again, "released-already", RuleBroken)
    permit = site.permit(answer).body
    site.close_round(answer, quorum_met=False, model=permit.model)
    both = (site.nodes["alpha"].online, site.nodes["beta"].online)
    next_ = site.authorize(run, "ask-2", model=permit.model, online=both)
    assert site.permit(next_).body.round == 2


def test_a_registry_made_from_the_log_knows_what_was_released(site: Site) -> None:
    run = masked_run(site)
    answer = site.authorize(run)
    send(site, answer)
    release(site, answer)
    from_the_log_alone(site)
    refused(site, lambda: release(site, answer), "mask-key-gone", RuleBroken)
    refused(site, lambda: site.authorize(run, "ask-2"), "released-already", RuleBroken)
    site.close_round(answer)  # what was handed out may be used
    other = masked_run(site, "run-2")
    two = (site.nodes["alpha"].online, site.nodes["beta"].online)
    refused(site, lambda: site.authorize(other, online=two), "cohorts-too-alike", RuleBroken)


@pytest.mark.parametrize("failed", [True, False])
def test_a_run_that_ends_after_a_release_goes_on_with_the_next_round(
    site: Site, failed: bool
) -> None:
    run = masked_run(site)
    answer = site.authorize(run)
    send(site, answer)
    withdraw(site, "beta")
    release(site, answer)
    view = site.governance.runs.stop(CONSUMER, run, failed=failed)
    permit = site.permit(answer).body
    body = last(site, "RoundClosed")
    assert (body["quorum_met"], body["model"]) == (False, permit.model)
    assert [one["participant"] for one in body["accepted"]] == ["alpha", "gamma"]
    assert (view.row.closed_rounds, view.row.model) == (1, permit.model)
    assert "RoundAbandoned" not in site.kinds()
    refused(site, lambda: release(site, answer), "round-closed", RuleBroken)
    site.governance.runs.resume(CONSUMER, run)
    whole_round(site, run, "ask-2", "alpha", "gamma")
    assert last(site, "RoundClosed")["previous"] == site.kinds().index("RoundClosed")


def test_a_released_evaluation_that_was_given_up_is_never_tried_again(site: Site) -> None:
    run = masked_run(site, rounds=1)
    whole_round(site, run, "ask-1")
    answer = site.authorize(run, "ask-2")
    send(site, answer, rows_used=0)
    release(site, answer)
    resumed = site.governance.runs.resume(CONSUMER, run)  # its ServerApp died; the permit is open
    assert resumed.row.state == "RUNNING"
    site.governance.runs.stop(CONSUMER, run)
    refused(
        site,
        lambda: site.governance.runs.resume(CONSUMER, run),
        "released-already.*open another run",
        RuleBroken,
    )


def test_a_result_needs_a_release(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    refused(site, lambda: site.close_round(answer), "not-released", RuleBroken)


def test_a_result_needs_a_quorum_of_the_released(site: Site) -> None:
    answer = site.authorize(masked_run(site, quorum=3))
    send(site, answer)
    withdraw(site, "beta")
    release(site, answer)
    refused(site, lambda: site.close_round(answer), "expected 3 accepted", RuleBroken)
    permit = site.permit(answer).body
    site.close_round(answer, quorum_met=False, model=permit.model)
    body = last(site, "RoundClosed")
    assert [one["participant"] for one in body["accepted"]] == ["alpha", "gamma"]


def test_noise_of_nodes_needs_nearly_all_of_them(site: Site) -> None:
    answer = site.authorize(masked_run(site, min_cohort=2, privacy={**PRIVACY, "tolerated": 0}))
    send(site, answer, "alpha", "beta")
    refused(site, lambda: release(site, answer), "too-few-to-release.*at least 3", RuleBroken)
    send(site, answer, "gamma")
    assert release(site, answer).release.groups == [["alpha", "beta", "gamma"]]


# -- differencing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "asked", "sent", "min_cohorts", "refused_at"),
    [
        ("alpha beta gamma", "alpha beta gamma", "alpha beta gamma", (2, 2), ""),
        ("alpha beta gamma", "alpha beta", "", (2, 2), "ask"),
        ("alpha beta", "alpha beta gamma", "", (2, 2), "ask"),
        ("alpha beta", "beta gamma", "", (2, 2), "ask"),
        ("alpha beta gamma", "alpha gamma delta", "", (2, 2), "ask"),
        ("alpha beta gamma delta", "alpha beta", "", (3, 2), "ask"),
        ("alpha beta", "alpha beta gamma delta", "", (2, 3), "ask"),
        ("alpha beta", "gamma delta", "gamma delta", (2, 2), ""),
        ("alpha beta", "alpha beta gamma delta", "alpha beta gamma delta", (2, 2), ""),
        ("alpha beta", "alpha beta gamma delta", "gamma delta", (2, 2), ""),
        ("alpha beta", "alpha beta gamma delta", "alpha beta gamma", (2, 2), "release"),
        ("alpha beta gamma delta", "alpha beta gamma delta", "alpha beta", (2, 2), ""),
        ("alpha beta gamma delta", "alpha beta gamma delta", "beta gamma delta", (2, 2), "release"),
    ],
)
def test_two_cohorts_about_one_model_must_not_be_alike(
    site: Site, first: str, asked: str, sent: str, min_cohorts: tuple[int, int], refused_at: str
) -> None:
    site.add_product(site.enrol("delta"))
    site.agree(site.nodes["delta"])
    runs = [
        masked_run(site, f"run-{number}", min_cohort=least)
        for number, least in enumerate(min_cohorts)
    ]
    answer = site.authorize(runs[0])
    send(site, answer, *first.split())
    release(site, answer)
    site.close_round(answer)
    online = tuple(site.nodes[name].online for name in asked.split())

    def ask() -> RoundAnswer:
        return site.authorize(runs[1], online=online)

    if refused_at == "ask":
        refused(site, ask, "cohorts-too-alike", RuleBroken)
        return
    answer = ask()
    send(site, answer, *sent.split())
    if refused_at == "release":
        refused(site, lambda: release(site, answer), "cohorts-too-alike", RuleBroken)
    else:
        assert release(site, answer).release.groups == [sorted(sent.split())]


def test_other_groups_about_one_model_tell_who_moved(site: Site) -> None:
    for name in ("delta", "epsilon", "zeta"):
        site.add_product(site.enrol(name))
        site.agree(site.nodes[name])
    answer = site.authorize(masked_run(site, groups=2))
    send(site, answer)
    release(site, answer)
    site.close_round(answer)
    other = masked_run(site, "run-2", groups=2)
    refused(site, lambda: site.authorize(other), "cohorts-too-alike", RuleBroken)


@pytest.mark.parametrize("private", [(True, True), (True, False), (False, True)])
def test_sums_with_noise_may_be_alike_since_what_they_tell_is_counted(
    site: Site, private: tuple[bool, bool]
) -> None:
    first, second = (
        masked_run(site, f"run-{number}", privacy={**PRIVACY, "tolerated": 1} if noisy else None)
        for number, noisy in enumerate(private)
    )
    answer = site.authorize(first)
    send(site, answer, noise=PRIVACY["noise"] if private[0] else "")
    release(site, answer)
    site.close_round(answer)
    two = (site.nodes["alpha"].online, site.nodes["beta"].online)
    answer = site.authorize(second, online=two)
    send(site, answer, "alpha", "beta", noise=PRIVACY["noise"] if private[1] else "")
    assert release(site, answer).release.groups == [["alpha", "beta"]]
    assert replay_log(site.space.log_folder, jobs=1).violations == ()


def test_another_model_is_another_matter(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    release(site, answer)
    other = site.authorize(masked_run(site, "run-2"), model=ELSE)
    send(site, other, "alpha", "beta")
    assert release(site, other).release.groups == [["alpha", "beta"]]


# -- receipts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mask_key": ""}, "receipt-wrong-mask"),
        ({"mask_key": "0" * 64}, "receipt-wrong-mask"),
        ({"mask_key": "01" + "0" * 62}, "receipt-wrong-mask"),
        ({"mask_key": "ed" + "f" * 60 + "7f"}, "receipt-wrong-mask"),
        ({"mask_key": "f" * 64}, "receipt-wrong-mask"),
        ({"metrics": {"loss": "0.5"}}, "receipt-wrong-metrics"),
        ({"noise": "2"}, "receipt-wrong-permit"),
        ({"update": sha256_hex(b"")}, "receipt-wrong-update"),
    ],
)
def test_a_receipt_that_does_not_fit_its_mask(
    site: Site, changes: dict[str, Any], code: str
) -> None:
    answer = site.authorize(masked_run(site))
    node = site.nodes["alpha"]
    arrived = site.arrived(answer, node, **changes)
    (row,) = site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert (row.accepted, row.code) == (False, code)


@pytest.mark.parametrize(
    ("run", "changes", "code"),
    [
        ({"secure_sum": "none"}, {"mask_key": "09" + "0" * 62}, "receipt-wrong-mask"),
        ({"secure_sum": "pairwise"}, {"mask_key": ""}, "receipt-wrong-mask"),
        ({"secure_sum": "pairwise"}, {"metrics": {"loss": "1"}}, "receipt-wrong-metrics"),
        ({"privacy": PRIVACY}, {"noise": ""}, "receipt-wrong-permit"),
        ({"privacy": PRIVACY}, {"noise": "1"}, "receipt-wrong-permit"),
    ],
)
def test_a_receipt_that_does_not_fit_its_run(
    site: Site, run: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    answer = site.authorize(masked_run(site, **run))
    arrived = site.arrived(answer, site.nodes["alpha"], **changes)
    (row,) = site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert (row.accepted, row.code) == (False, code)


def test_a_node_that_sends_twice_is_counted_once(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    assert [row.accepted for row in send(site, answer)] == [True, True, True]
    again = send(site, answer, "alpha", rows_held_back=19)
    assert [(row.accepted, row.code) for row in again] == [(False, "receipt-twice")]
    assert release(site, answer).release.groups == [["alpha", "beta", "gamma"]]
    site.close_round(answer)
    assert last(site, "RoundClosed")["left_out"] == []


# -- bounds ----------------------------------------------------------------------------------------


def test_not_more_releases_at_once_than_are_held(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    site.governance.releases._wait_s = 0.01
    held = [site.governance.releases.release(CONSUMER, answer.permit_id) for _ in range(9)]
    opened = [one.__enter__() for one in held[:MAX_RELEASES]]
    with pytest.raises(Unavailable, match="8 releases"):
        held[MAX_RELEASES].__enter__()
    for one in held[:MAX_RELEASES]:
        one.__exit__(None, None, None)
    assert len({one.document for one in opened}) == 1
    assert isinstance(release(site, answer), Opened)


def test_the_operator_releases_nothing_for_itself(site: Site) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    refused(site, lambda: release(site, answer, OPERATOR), "is another's", NotAllowed)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"clip_norm": ""}, BadInput, "clip_norm"),
        ({"groups": 3}, BadInput, "groups"),
        ({"privacy": {**PRIVACY, "noise": "0"}}, BadInput, "noise"),
        ({"privacy": {**PRIVACY, "noise": "-1"}}, BadInput, "noise"),
        ({"privacy": {**PRIVACY, "noise": "NaN"}}, BadInput, "noise"),
        ({"privacy": {**PRIVACY, "noise": "1000000000"}}, BadInput, "noise"),
        ({"min_cohort": 1}, BadInput, "min_cohort of at least 2"),
        ({"groups": 2}, RuleBroken, "groups: expected at most 1"),
    ],
)
def test_terms_that_open_no_run(
    site: Site, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    spec = site.spec(secure_sum="governance", clip_norm="1.5", min_cohort=2) | changes
    refused(
        site,
        lambda: site.governance.runs.open(CONSUMER, canonical_bytes(spec), "run-1"),
        message,
        kind,
    )
