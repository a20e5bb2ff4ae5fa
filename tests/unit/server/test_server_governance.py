"""Products, apps, agreements, withdrawals, runs: the rules, each with what breaks it."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import (
    CONSUMER,
    OPERATOR,
    SPACE,
    Site,
    constraint,
    make_fab,
    product_envelope,
    withdrawal_envelope,
)

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, parse_json, sha256_hex
from policies.disclosure import AppText
from policies.envelope import open_envelope
from policies.statements import WITHDRAWAL_TYPE
from server import runwatch
from server.access import ROLES_BY_RPC, check_role
from server.errors import (
    BadInput,
    NotAllowed,
    NotKnown,
    RequestError,
    RuleBroken,
    SuperLinkUnavailable,
    Superseded,
    TooMany,
    Unavailable,
)
from server.pki import Identity
from server.runs import MAX_REASON
from server.runwatch import RunWatch
from server.withdrawals import MAX_OF_ONE, MAX_WATCHERS, Withdrawals


def shown(site: Site, what: str, caller: Identity = OPERATOR) -> list[Any]:
    return [parse_json(data, max_bytes=1 << 20) for data in site.governance.list(caller, what)]


# -- products ------------------------------------------------------------------------------------


def test_a_product_is_registered_once(empty: Site) -> None:
    node = empty.enrol("alpha")
    first = empty.add_product(node)
    assert empty.add_product(node) == first
    assert empty.kinds().count("ProductRegistered") == 1
    assert [one["product"] for one in shown(empty, "products")] == [node.product]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rows": 101}, RuleBroken, "a new id for other contents"),
        ({"id": "alpha/core", "classification": "core"}, RuleBroken, "never listed"),
        ({"id": "new", "participant": "beta"}, NotAllowed, "one by alpha"),
        ({"id": "new", "rows": 0}, BadInput, r"\$\.rows"),
        ({"id": "has space"}, BadInput, r"\$\.id"),
        ({"id": "new", "extra": 1}, BadInput, r"\$\.extra"),
        ({"id": "new", "key": Ed25519PrivateKey.generate()}, BadInput, "signature by key"),
    ],
)
def test_a_product_is_refused(
    site: Site, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    size = site.log.size
    with pytest.raises(error, match=message):
        site.add_product(site.nodes["alpha"], **changes)
    assert site.log.size == size


def test_another_owner_cannot_take_a_products_id(site: Site) -> None:
    with pytest.raises(RuleBroken, match="new id"):
        site.add_product(site.nodes["beta"], id=site.nodes["alpha"].product)


@pytest.mark.parametrize("envelope", [b"", b"{}", b"\xff", b"x" * (1 << 20)])
def test_what_is_no_statement_is_refused(site: Site, envelope: bytes) -> None:
    node, catalogue = site.nodes["alpha"], site.governance.catalogue
    for act in (catalogue.register_product, catalogue.conclude_agreement, catalogue.withdraw):
        with pytest.raises(BadInput, match="statement"):
            act(node.identity, envelope)


def test_a_statement_of_one_kind_is_not_one_of_another(site: Site) -> None:
    node = site.nodes["alpha"]
    envelope = withdrawal_envelope(node, site.now)
    with pytest.raises(BadInput, match="payloadType"):
        site.governance.catalogue.register_product(node.identity, envelope)


def test_only_who_has_a_receipt_key_can_sign_statements(site: Site) -> None:
    envelope = product_envelope(site.nodes["alpha"], site.now)
    with pytest.raises(NotAllowed, match="key for statements"):
        site.governance.catalogue.register_product(OPERATOR, envelope)


# -- apps ----------------------------------------------------------------------------------------


def test_an_app_is_registered_by_its_digest(site: Site) -> None:
    fab = make_fab()
    size = site.log.size
    index, app = site.governance.catalogue.register_app(fab, "another title")
    assert (app, site.log.size) == (sha256_hex(fab), size)
    row, data = site.governance.catalogue.app(app)
    assert (data, row.entry) == (fab, index)
    assert site.governance.disclosing.value(row.description) == AppText(title="a classifier")
    assert parse_json(row.config.encode(), max_bytes=999) == {"epochs": 1, "lr": {"float": "0.1"}}


def test_a_lost_or_changed_bundle_is_not_served_and_can_be_mended(site: Site) -> None:
    fab = make_fab()
    path = site.space.apps_folder / f"{sha256_hex(fab)}.fab"
    path.write_bytes(b"other")
    with pytest.raises(Unavailable, match="SHA-256"):
        site.governance.catalogue.app(sha256_hex(fab))
    path.unlink()
    with pytest.raises(Unavailable, match="expected the app's bundle"):
        site.governance.catalogue.app(sha256_hex(fab))
    site.governance.catalogue.register_app(fab, "again")
    assert site.governance.catalogue.app(sha256_hex(fab))[1] == fab


@pytest.mark.parametrize("id", ["", "0" * 64, "../keys/permit.key", "é"])
def test_an_unknown_app_is_not_known(site: Site, id: str) -> None:
    with pytest.raises(NotKnown):
        site.governance.catalogue.app(id)


@pytest.mark.parametrize(
    ("fab", "message"),
    [
        (b"", "1 to"),
        (b"x" * (10 * 1024 * 1024 + 1), "1 to"),
        (b"not a zip", "zip"),
        (make_fab("")[:-5], "zip"),
        (make_fab("", other="x"), "at the bundle's root"),
        (make_fab("x = ["), "TOML"),
        (make_fab("x" * 70_000), "at most"),
        (make_fab("[project]\n"), "got no tool"),
        (make_fab("tool = 1\n"), "table"),
        (make_fab("[tool.flwr]\n"), "got no app"),
        (make_fab("[tool.flwr.app]\nconfig = 3\n"), "run config"),
        (make_fab("[tool.flwr.app.config.nested]\na = 1\n"), "flat"),
        (make_fab("[tool.flwr.app.config]\na = [1]\n"), "flat"),
        (make_fab("[tool.flwr.app.config]\na = nan\n"), "flat"),
        (make_fab("[tool.flwr.app.config]\na = 2026-01-01\n"), "flat"),
        (make_fab('[tool.flwr.app.config]\n"a b" = 1\n'), "key 'a b'"),
        (make_fab("[tool.flwr.app.config]\n" + "".join(f"k{n}=1\n" for n in range(257))), "256"),
    ],
)
def test_a_bundle_is_refused(site: Site, fab: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        site.governance.catalogue.register_app(fab, "app")


@pytest.mark.parametrize("title", ["", "t" * 201])
def test_an_app_needs_a_title(site: Site, title: str) -> None:
    with pytest.raises(BadInput, match="title"):
        site.governance.catalogue.register_app(make_fab(), title)


def test_an_app_without_run_config_has_none(site: Site) -> None:
    _, app = site.governance.catalogue.register_app(make_fab("[tool.flwr.app]\n"), "bare")
    assert site.governance.catalogue.app(app)[0].config == "{}"


# -- agreements ----------------------------------------------------------------------------------


def test_an_agreement_is_concluded_once(site: Site) -> None:
    node = site.nodes["alpha"]
    first = site.agree(node, **{"@id": "second"})
    assert site.agree(node, **{"@id": "second"}) == first


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"assignee": "somebody"}, NotKnown, "enrolled consumer"),
        ({"assignee": "operator"}, NotKnown, "enrolled consumer"),
        ({"assigner": "beta"}, NotAllowed, "belongs to alpha"),
        ({"target": "nothing"}, NotKnown, "product 'nothing'"),
        ({"target": "beta/records"}, NotAllowed, "belongs to alpha"),
        ({"participant": "beta"}, NotAllowed, "one by alpha"),
        ({"@id": "has space"}, BadInput, r"\$"),
        ({"@id": "x" * 129}, BadInput, r"\$\.@id"),
        ({"@id": "agreement-beta"}, RuleBroken, "new id"),
        ({"conflict": "perm"}, BadInput, "conflict"),
        ({"permission": []}, BadInput, r"\$"),
        ({"unknown": 1}, BadInput, "unknown"),
        ({"key": Ed25519PrivateKey.generate()}, BadInput, "signature by key"),
    ],
)
def test_an_agreement_is_refused(
    site: Site, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    size = site.log.size
    with pytest.raises(error, match=message):
        site.agree(site.nodes["alpha"], **({"@id": "fresh"} | changes))
    assert site.log.size == size


def test_an_agreement_with_an_unknown_operand_is_refused(site: Site) -> None:
    with pytest.raises(BadInput, match="leftOperand"):
        site.agree(site.nodes["alpha"], constraint("weather", "eq", "fine"), **{"@id": "fresh"})


# -- withdrawals ---------------------------------------------------------------------------------


def test_a_withdrawal_is_logged_as_it_was_signed(site: Site) -> None:
    node = site.nodes["alpha"]
    index, id = site.withdraw(node)
    entry = site.entries()[index]
    envelope = base64.b64decode(str(entry.body["envelope"]))
    payload = open_envelope(envelope, payload_type=WITHDRAWAL_TYPE, key=node.receipt.public_key())
    assert isinstance(payload, dict)
    assert (payload["id"], payload["agreement"]) == (id, node.agreement)
    assert shown(site, "agreements")[0]["withdrawn"] == entry.time


def test_the_first_withdrawal_counts(site: Site) -> None:
    node = site.nodes["alpha"]
    first = site.withdraw(node)
    site.tick(5)
    assert site.withdraw(node) == first
    assert site.withdraw(node, id="withdrawal-" + "0" * 32) == first
    assert site.kinds().count("ConsentWithdrawn") == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"agreement": "agreement-beta"}, NotAllowed, "belongs to alpha"),
        ({"agreement": "nothing"}, NotKnown, "concluded"),
        ({"participant": "beta"}, NotAllowed, "one by alpha"),
        ({"id": "withdrawal-1"}, BadInput, r"\$\.id"),
        ({"key": Ed25519PrivateKey.generate()}, BadInput, "signature by key"),
    ],
)
def test_a_withdrawal_is_refused(
    site: Site, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        site.withdraw(site.nodes["alpha"], **changes)
    assert "ConsentWithdrawn" not in site.kinds()


def test_a_withdrawals_id_is_for_one_agreement(site: Site) -> None:
    site.agree(site.nodes["alpha"], **{"@id": "second"})
    site.withdraw(site.nodes["alpha"])
    with pytest.raises(RuleBroken, match="expected a new id"):
        site.withdraw(site.nodes["alpha"], agreement="second")


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (OPERATOR, ["alpha", "beta"]),
        (Identity(SPACE, "auditor", "anybody"), ["alpha", "beta"]),
        (CONSUMER, ["alpha", "beta"]),
        (Identity(SPACE, "consumer", "another"), []),
        (Identity(SPACE, "node", "alpha"), ["alpha"]),
        (Identity(SPACE, "node", "gamma"), []),
    ],
)
def test_who_watches_is_told_past_and_new_withdrawals(
    site: Site, caller: Identity, seen: list[str]
) -> None:
    site.withdraw(site.nodes["alpha"])
    watcher = site.governance.watch_withdrawals(caller)
    site.withdraw(site.nodes["beta"])
    watcher.close()
    notices: list[Any] = [parse_json(data, max_bytes=9999) for data in watcher]
    assert [notice["participant"] for notice in notices] == seen
    for notice in notices:
        entry = site.entries()[notice["index"]]
        assert (entry.type, entry.time) == ("ConsentWithdrawn", notice["time"])
        assert entry.body["agreement"] == notice["agreement"]
        own = entry.body["envelope"] if caller.participant == notice["participant"] else None
        assert notice.get("envelope") == own


def test_watchers_are_bounded_and_end_with_the_service() -> None:
    hub = Withdrawals()
    watchers = [hub.subscribe(lambda _: True, []) for _ in range(MAX_WATCHERS)]
    with pytest.raises(TooMany):
        hub.subscribe(lambda _: True, [])
    watchers[0].close()
    watchers[0].close()
    hub.subscribe(lambda _: True, [])
    hub.close()
    assert [list(watcher) for watcher in watchers[:3]] == [[], [], []]
    with pytest.raises(TooMany):
        hub.subscribe(lambda _: True, [])


def test_nobody_keeps_all_others_from_watching() -> None:
    hub = Withdrawals()
    greedy = [hub.subscribe(lambda _: True, [], owner="alpha") for _ in range(MAX_OF_ONE + 2)]
    assert hub.watching == MAX_OF_ONE
    assert [list(one) for one in greedy[:2]] == [[], []]  # its oldest have ended
    hub.subscribe(lambda _: True, [], owner="beta")
    assert hub.watching == MAX_OF_ONE + 1
    hub.close()


# -- runs ----------------------------------------------------------------------------------------


def test_a_run_is_logged_and_then_handed_to_flower(site: Site) -> None:
    run = site.open_run(config={"lr": {"float": "0.01"}})
    view = site.governance.runs.get(CONSUMER, run)
    assert (view.row.state, view.row.closed_rounds, view.row.model) == ("RUNNING", 0, "")
    assert site.superlink.started == [(sha256_hex(make_fab()), {"lr": 0.01})]
    config = parse_json(view.row.config.encode(), max_bytes=999)
    assert config == {"epochs": 1, "lr": {"float": "0.01"}}
    assert site.governance.runs.find(CONSUMER, view.row.flower_run or "").row.id == run
    entry = site.entries()[view.row.entry]
    assert (entry.type, entry.body["config"]) == ("RunOpened", config)


def test_the_same_request_opens_one_run(site: Site) -> None:
    assert site.open_run() == site.open_run()
    assert len(site.superlink.started) == 1
    with pytest.raises(RuleBroken, match="spec it was used with"):
        site.open_run(rounds=3)


def test_a_run_that_flower_did_not_take_is_open_and_goes_on(site: Site) -> None:
    site.superlink.down = True
    with pytest.raises(SuperLinkUnavailable):
        site.open_run()
    (run,) = shown(site, "runs")
    assert (run["state"], run["flower_run"]) == ("OPEN", "")
    site.superlink.down = False
    assert site.open_run() == run["run"]
    assert site.kinds().count("RunOpened") == 1
    assert shown(site, "runs")[0]["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"app": "0" * 64}, NotKnown, "registered app"),
        ({"agreements": ["nothing"]}, NotKnown, "agreement 'nothing'"),
        ({"agreements": ["agreement-alpha", "agreement-alpha"]}, RuleBroken, "one a participant"),
        ({"agreements": []}, BadInput, r"\$\.agreements"),
        ({"quorum": 4}, RuleBroken, "quorum: expected at most 3"),
        ({"min_cohort": 4}, RuleBroken, "min_cohort: expected at most 3"),
        ({"config": {"unknown": 1}}, BadInput, "got 'unknown'"),
        ({"config": {"epochs": "1"}}, BadInput, "config.epochs: expected int"),
        ({"config": {"epochs": True}}, BadInput, "config.epochs: expected int"),
        ({"config": {"lr": {"float": "nan"}}}, BadInput, "config"),
        ({"rounds": 0}, BadInput, r"\$\.rounds"),
        ({"version": 2}, BadInput, r"\$\.version"),
        ({"extra": 1}, BadInput, r"\$\.extra"),
    ],
)
def test_a_run_is_refused(
    site: Site, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        site.open_run(**changes)
    assert "RunOpened" not in site.kinds()
    assert site.superlink.started == []


@pytest.mark.parametrize("spec", [b"", b"[]", b"{ }", b"x" * (2 << 20)])
def test_a_spec_must_be_canonical(site: Site, spec: bytes) -> None:
    with pytest.raises(BadInput, match="run spec"):
        site.governance.runs.open(CONSUMER, spec, "r")


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 65, "é"])
def test_a_request_id_is_bounded(site: Site, request_id: str) -> None:
    with pytest.raises(BadInput, match="request_id"):
        site.open_run(request_id)


def test_another_consumers_agreements_and_runs_are_out_of_reach(site: Site) -> None:
    run = site.open_run()
    flower = site.governance.runs.get(CONSUMER, run).row.flower_run or ""
    other = Identity(SPACE, "consumer", "another")
    runs = site.governance.runs
    acts = (
        lambda: runs.open(other, canonical_bytes(site.spec()), "r"),
        lambda: runs.get(other, run),
        lambda: runs.find(other, flower),
        lambda: runs.stop(other, run),
        lambda: runs.resume(other, run),
        lambda: site.governance.rounds.authorize(other, site.ask(run)),
    )
    for act in acts:
        with pytest.raises((NotKnown, NotAllowed)):
            act()
    assert shown(site, "runs", other) == shown(site, "agreements", other) == []


@pytest.mark.parametrize(
    ("caller", "count"),
    [
        (OPERATOR, 1),
        (Identity(SPACE, "auditor", "anybody"), 1),
        (Identity(SPACE, "node", "alpha"), 1),
        (Identity(SPACE, "node", "gamma"), 0),
    ],
)
def test_who_sees_a_run(site: Site, caller: Identity, count: int) -> None:
    run = site.open_run(agreements=["agreement-alpha", "agreement-beta"])
    assert len(shown(site, "runs", caller)) == count
    if count:
        assert site.governance.runs.get(caller, run).row.id == run
    else:
        with pytest.raises(NotKnown):
            site.governance.runs.get(caller, run)


def test_a_stopped_run_gets_no_permit(site: Site) -> None:
    run = site.open_run()
    answer = site.authorize(run)
    view = site.governance.runs.stop(CONSUMER, run)
    assert (view.row.state, view.row.reason) == ("STOPPED", "stopped by consortium")
    transfers = ["TransferStep"] * 3
    assert site.kinds()[-5:] == ["RoundAbandoned", "RunEnded", *transfers]
    assert site.superlink.stopped == [view.row.flower_run]
    with pytest.raises(RuleBroken, match="is STOPPED"):
        site.authorize(run, "ask-2")
    with pytest.raises(Superseded):
        site.submit(answer, site.nodes["alpha"])
    size = site.log.size
    assert site.governance.runs.stop(OPERATOR, run).row.state == "STOPPED"
    assert site.log.size == size


def test_a_run_stops_without_the_superlink_too(site: Site) -> None:
    run = site.open_run()
    site.superlink.down = True
    assert site.governance.runs.stop(CONSUMER, run).row.state == "STOPPED"


def test_a_run_that_flower_gave_up_ends_with_a_word_and_can_be_resumed(site: Site) -> None:
    run, other = site.open_run(), site.open_run("run-2")
    site.whole_round(run, "ask-1")
    site.authorize(run, "ask-2")
    assert site.governance.runs.end_cut_off() == []

    [carried, goes_on] = [
        site.governance.runs.get(CONSUMER, one).row.flower_run for one in (run, other)
    ]
    assert carried is not None and goes_on is not None
    site.superlink.given_up[carried] = "No heartbeat"
    assert site.governance.runs.end_cut_off() == [run]
    failed = site.governance.runs.get(CONSUMER, run)
    assert (failed.row.state, failed.row.closed_rounds) == ("FAILED", 1)
    assert failed.row.reason == "its ServerApp ended before its last round (No heartbeat)"
    told = [entry.type for entry in site.entries() if entry.type != "TransferStep"]
    assert told[-2:] == ["RoundAbandoned", "RunEnded"]
    assert site.governance.runs.get(CONSUMER, other).row.state == "RUNNING"
    size = site.log.size
    assert site.governance.runs.end_cut_off() == []
    assert site.log.size == size

    assert site.governance.runs.resume(CONSUMER, run).row.state == "RUNNING"
    assert site.governance.runs.end_cut_off() == []


def test_a_run_that_was_resumed_while_flower_was_asked_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = site.open_run()
    carried = str(site.governance.runs.get(CONSUMER, run).row.flower_run)

    def ended(_: object) -> dict[str, str]:
        site.governance.runs.resume(CONSUMER, run)
        return {carried: "No heartbeat"}

    monkeypatch.setattr(site.superlink, "ended", ended)
    assert site.governance.runs.end_cut_off() == []
    assert site.governance.runs.get(CONSUMER, run).row.state == "RUNNING"


def test_runs_are_watched_until_the_watch_is_closed(site: Site) -> None:
    run = site.open_run()
    site.superlink.down = True
    watch = RunWatch(site.governance.runs, period_s=0.01)
    time.sleep(0.05)  # it asks, in vain
    carried = site.governance.runs.get(CONSUMER, run).row.flower_run
    site.superlink.given_up[str(carried)] = "No heartbeat"
    site.superlink.down = False
    end = time.monotonic() + 10
    while site.governance.runs.get(CONSUMER, run).row.state == "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.01)
    watch.close()
    watch.close()


def test_a_superlink_that_does_not_answer_holds_up_no_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def ended(_: object) -> dict[str, str]:
        asked.set()
        answered.wait(60)
        return {}

    site.open_run()
    monkeypatch.setattr(site.superlink, "ended", ended)
    monkeypatch.setattr(runwatch, "_CLOSE_S", 0.01)
    watch = RunWatch(site.governance.runs, period_s=0.01)
    assert asked.wait(10)
    watch.close()
    assert not answered.is_set()
    answered.set()
    watch.close()


def test_a_run_can_fail_and_be_resumed_from_its_last_closed_round(site: Site) -> None:
    run = site.open_run()
    site.whole_round(run, "ask-1")
    site.governance.runs.stop(CONSUMER, run, "r" * 2000, failed=True)
    failed = site.governance.runs.get(CONSUMER, run)
    assert (failed.row.state, len(failed.row.reason)) == ("FAILED", MAX_REASON)
    site.governance.runs.stop(CONSUMER, run, "again")
    view = site.governance.runs.resume(CONSUMER, run)
    assert (view.row.state, view.row.closed_rounds) == ("RUNNING", 1)
    assert view.row.model == sha256_hex(b"model 1")
    assert view.row.flower_run != failed.row.flower_run
    with pytest.raises(NotKnown):
        site.governance.runs.find(CONSUMER, failed.row.flower_run or "")
    with pytest.raises(Superseded, match="replaced"):
        site.authorize(run, "ask-2", flower_run=failed.row.flower_run)
    site.whole_round(run, "ask-2")
    site.whole_round(run, "ask-3")
    assert site.governance.runs.get(CONSUMER, run).row.state == "COMPLETED"
    with pytest.raises(RuleBroken, match="is completed"):
        site.governance.runs.resume(CONSUMER, run)


def test_resuming_without_the_superlink_can_be_repeated(site: Site) -> None:
    run = site.open_run()
    site.superlink.down = True
    with pytest.raises(SuperLinkUnavailable):
        site.governance.runs.resume(CONSUMER, run)
    site.superlink.down = False
    assert site.governance.runs.resume(CONSUMER, run).row.state == "RUNNING"
    assert site.kinds().count("RunResumed") == 1


def test_a_run_that_is_stopped_while_flower_takes_it_stays_stopped(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = site.superlink.start_run

    def meanwhile(fab: bytes, overrides: Any) -> str:
        flower_run = start(fab, overrides)
        site.governance.runs.stop(OPERATOR, shown(site, "runs")[0]["run"])
        return flower_run

    monkeypatch.setattr(site.superlink, "start_run", meanwhile)
    run = site.open_run()
    assert site.governance.runs.get(CONSUMER, run).row.state == "STOPPED"
    assert len(site.superlink.stopped) == 1


@pytest.mark.parametrize("name", ["get", "stop", "resume"])
def test_an_unknown_run_is_not_known(site: Site, name: str) -> None:
    with pytest.raises(NotKnown):
        getattr(site.governance.runs, name)(CONSUMER, "run-0")
    with pytest.raises(NotKnown):
        site.governance.runs.find(CONSUMER, "")


# -- reads and access ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["", "secrets", "Runs"])
def test_an_unknown_list_is_refused(site: Site, what: str) -> None:
    with pytest.raises(BadInput, match="expected one of"):
        site.governance.list(OPERATOR, what)


def test_consistency_is_proved_up_to_the_present_size(site: Site) -> None:
    size = site.log.size
    assert site.governance.consistency(size, size) == ()
    assert site.governance.consistency(1, size)
    for old, new in ((1, size + 1), (3, 2)):
        with pytest.raises(RequestError):
            site.governance.consistency(old, new)


def test_every_rpc_has_a_row() -> None:
    service = pb.DESCRIPTOR.services_by_name["Governance"]
    assert {method.name for method in service.methods} == set(ROLES_BY_RPC)
    assert all(roles for roles in ROLES_BY_RPC.values())


@pytest.mark.parametrize("rpc", [*sorted(ROLES_BY_RPC), "Unknown"])
@pytest.mark.parametrize("role", ["operator", "consumer", "node", "auditor", "nobody"])
def test_roles_are_held_to_their_rows(rpc: str, role: str) -> None:
    caller = Identity(SPACE, role, "p")
    if role in ROLES_BY_RPC.get(rpc, ()):
        check_role(caller, rpc)
    else:
        with pytest.raises(NotAllowed, match=rpc):
            check_role(caller, rpc)


@pytest.mark.parametrize(
    ("caller", "message"),
    [
        (Identity("example.org/other", "node", "alpha"), "certificate of space"),
        (Identity(SPACE, "node", "nobody"), "enrolled participant"),
        (Identity(SPACE, "auditor", "alpha"), "enrolled participant"),
    ],
)
def test_a_certificate_alone_admits_nobody(site: Site, caller: Identity, message: str) -> None:
    with pytest.raises(NotAllowed, match=message):
        site.governance.admit(caller, "GetSpace")


def test_an_inactive_participant_is_kept_out(site: Site) -> None:
    site.replays = False  # no entry makes a participant inactive
    node = site.nodes["alpha"]
    site.governance.admit(node.identity, "GetSpace")
    with site.registry.transaction() as connection:
        connection.exec_driver_sql("UPDATE participants SET active = 0 WHERE id = 'alpha'")
    with pytest.raises(NotAllowed, match="not active"):
        site.governance.admit(node.identity, "GetSpace")
    run = site.open_run()
    answer = site.authorize(run)
    codes = {v["participant"]: v["reasons"][0]["code"] for v in answer.verdicts}
    assert codes["alpha"] == "participant-inactive"
