"""Steps 2 to 4, 9 and 10: who is permitted, which receipts hold, and how rounds are chained."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import (
    CONSUMER,
    MODEL,
    OPERATOR,
    SPACE,
    UPDATE,
    Site,
    constraint,
    count_at_most,
    make_fab,
    new_node,
)

from ledger.checkpoint import open_checkpoint
from ledger.note import NoteVerifier
from ledger.proofs import verify_inclusion
from ledger.tree import leaf_hash
from policies.canonical import digest_of, parse_json, sha256_hex
from policies.envelope import key_id
from policies.receipt import sign_receipt
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken, Superseded
from server.keys import key_pem
from server.pki import Identity
from server.receipt_checks import Arrived, Missing
from server.round_asks import OnlineNode
from server.rounds import RoundAnswer


def refusals(answer: RoundAnswer) -> dict[str, list[str]]:
    """Codes of the refused, by participant."""
    return {
        verdict["participant"]: [reason["code"] for reason in verdict["reasons"]]
        for verdict in answer.verdicts
        if not verdict["permitted"]
    }


def cohort(site: Site, answer: RoundAnswer) -> list[str]:
    return [member.participant for member in site.permit(answer).body.cohort]


def last(site: Site, kind: str) -> Any:
    return [entry for entry in site.entries() if entry.type == kind][-1].body


def submit(site: Site, answer: RoundAnswer, *arrived: Arrived, missing: Any = ()) -> Any:
    return site.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, missing)


# -- steps 2 to 4 --------------------------------------------------------------------------------


def test_a_permit_is_logged_before_it_is_signed(site: Site) -> None:
    run = site.open_run()
    answer = site.authorize(run)
    permit = site.permit(answer)
    head = open_checkpoint(permit.log.checkpoint, NoteVerifier.parse(site.space.card.log_key))
    assert head.size == permit.log.size
    verify_inclusion(
        index=permit.log.index,
        size=head.size,
        leaf=leaf_hash(permit.body.entry()),
        proof=[bytes.fromhex(one) for one in permit.log.proof],
        root=head.root,
    )
    assert site.kinds()[-2:] == ["RoundDecided", "PermitIssued"]
    assert answer.decision_index == permit.log.index - 1


def test_a_permit_says_what_was_asked_and_decided(site: Site) -> None:
    run = site.open_run(config={"epochs": 3}, deadline_s=20)
    answer = site.authorize(run)
    body = site.permit(answer).body
    decided = site.entries()[answer.decision_index].body
    assert (body.space, body.run, body.round, body.attempt) == (SPACE, run, 1, 1)
    assert (body.kind, body.model, body.app) == ("train", MODEL, sha256_hex(make_fab()))
    assert body.config == digest_of({"epochs": 3, "lr": {"float": "0.1"}})
    assert body.decision == decided["digest"] == digest_of(decided["decision"])
    assert body.limits.wall_s == 20
    assert [member.max_rows for member in body.cohort] == [100, 100, 100]
    keys = [key_id(node.receipt.public_key()) for node in site.nodes.values()]
    assert [member.key for member in body.cohort] == keys
    verdicts = {one["participant"]: one["node_id"] for one in answer.verdicts}
    assert verdicts == {node.name: node.node_id for node in site.nodes.values()}


def test_the_same_request_gets_the_same_answer(site: Site) -> None:
    run = site.open_run()
    first = site.authorize(run)
    site.withdraw(site.nodes["beta"])
    size = site.log.size
    assert site.authorize(run) == first
    assert site.authorize(run, online=()) == first
    site.reopen()
    assert site.authorize(run) == first
    assert site.log.size == size
    with pytest.raises(RuleBroken, match="first used for"):
        site.authorize(run, model=sha256_hex(b"another"))


def test_a_new_request_abandons_the_open_permit_and_its_uses_stay(site: Site) -> None:
    run = site.open_run()
    first = site.authorize(run, "ask-1")
    second = site.authorize(run, "ask-2")
    assert site.permit(second).body.attempt == 2
    assert site.kinds()[-4:] == [
        "RoundAbandoned",
        "ReportsMade",
        "RoundDecided",
        "PermitIssued",
    ]
    assert set(site.uses().values()) == {2}
    for act in (
        lambda: site.authorize(run, "ask-1"),
        lambda: site.submit(first, site.nodes["alpha"]),
        lambda: site.close_round(first),
    ):
        with pytest.raises(Superseded):
            act()


@pytest.mark.parametrize(
    ("constraints", "codes"),
    [
        ([constraint("purpose", "eq", "marketing")], ["purpose-not-allowed"]),
        ([constraint("spatial", "isPartOf", "DE")], ["place-not-allowed"]),
        ([constraint("recipient", "eq", "another")], ["recipient-not-allowed"]),
        ([count_at_most(0)], ["count-exhausted"]),
    ],
)
def test_an_agreement_that_denies_keeps_its_owner_out(
    site: Site, constraints: list[Any], codes: list[str]
) -> None:
    site.agree(site.nodes["beta"], *constraints, **{"@id": "strict"})
    agreements = ["agreement-alpha", "strict", "agreement-gamma"]
    answer = site.authorize(site.open_run(agreements=agreements))
    assert refusals(answer) == {"beta": codes}
    assert cohort(site, answer) == ["alpha", "gamma"]
    decided = site.entries()[answer.decision_index].body["decision"]
    assert [one["permitted"] for one in decided["verdicts"]] == [True, False, True]  # type: ignore[index, call-overload, union-attr]


def test_a_node_without_a_place_is_refused_where_a_place_is_asked_for(site: Site) -> None:
    node = site.enrol("delta", region="")
    site.add_product(node)
    site.agree(node, constraint("spatial", "isPartOf", "CN"))
    answer = site.authorize(site.open_run())
    # Not knowing the place, nobody knows whether the result crosses a jurisdiction either.
    assert refusals(answer) == {"delta": ["law-cross-border", "unknown-value"]}


def test_a_limit_of_uses_is_never_exceeded(site: Site) -> None:
    site.agree(site.nodes["alpha"], count_at_most(2), **{"@id": "twice"})
    run = site.open_run(agreements=["twice", "agreement-beta"], rounds=5)
    answers = [site.authorize(run, f"ask-{n}") for n in range(4)]
    assert [refusals(one) for one in answers] == [
        {},
        {},
        {"alpha": ["count-exhausted"]},
        {"alpha": ["count-exhausted"]},
    ]
    assert (site.uses()["twice"], site.uses()["agreement-beta"]) == (2, 4)


def test_leaving_one_out_can_leave_out_another(site: Site) -> None:
    three = {
        "leftOperand": "minParticipants",
        "operator": "gteq",
        "rightOperand": {"@value": "3", "@type": "xsd:integer"},
    }
    site.agree(site.nodes["alpha"], three, **{"@id": "three"})
    run = site.open_run(agreements=["three", "agreement-beta", "agreement-gamma"])
    site.withdraw(site.nodes["gamma"])
    answer = site.authorize(run)
    assert refusals(answer) == {
        "alpha": ["too-few-participants"],
        "gamma": ["consent-withdrawn"],
    }


def test_nobody_permitted_is_logged_and_permits_nothing(site: Site) -> None:
    run = site.open_run()
    answer = site.authorize(run, online=())
    assert (answer.permit, answer.permit_id) == (b"", "")
    assert refusals(answer) == {name: ["offline"] for name in ("alpha", "beta", "gamma")}
    assert site.kinds()[-1] == "RoundDecided"
    assert set(site.uses().values()) == {0}
    assert site.permit(site.authorize(run, "ask-2")).body.attempt == 2


def test_too_small_a_cohort_is_refused(site: Site) -> None:
    run = site.open_run(min_cohort=3)
    answer = site.authorize(run, online=tuple(n.online for n in list(site.nodes.values())[:2]))
    assert refusals(answer) == {
        "alpha": ["cohort-too-small"],
        "beta": ["cohort-too-small"],
        "gamma": ["offline"],
    }


def test_nodes_are_known_by_their_key(site: Site) -> None:
    alpha, beta = site.nodes["alpha"], site.nodes["beta"]
    compressed = alpha.fleet.public_key()
    online = (
        OnlineNode("7", key_pem(compressed).replace(b"\n", b"\r\n")),
        OnlineNode(beta.node_id, key_pem(new_node("x").fleet.public_key())),
        OnlineNode("8", b"no key"),
        OnlineNode("9", key_pem(ec.generate_private_key(ec.SECP521R1()).public_key())),
    )
    answer = site.authorize(site.open_run(), online=online)
    assert cohort(site, answer) == ["alpha"]
    assert refusals(answer) == {"beta": ["offline"], "gamma": ["offline"]}
    assert answer.verdicts[0]["node_id"] == "7"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"kind": "infer"}, BadInput, "kind"),
        ({"model": "x"}, BadInput, "model"),
        ({"model": ""}, BadInput, "model"),
        ({"round": 0}, BadInput, "round"),
        ({"round": 2}, RuleBroken, "expected round 1"),
        ({"kind": "evaluate"}, RuleBroken, "train"),
        ({"request_id": ""}, BadInput, "request_id"),
        ({"flower_run": "1"}, Superseded, "Flower run"),
        ({"run": "run-0"}, NotKnown, "run"),
        ({"online": (OnlineNode("1", b""), OnlineNode("1", b""))}, BadInput, "once"),
        ({"online": (OnlineNode("1" * 21, b""),)}, BadInput, "20 digits"),
    ],
)
def test_a_question_is_refused(
    site: Site, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    run = site.open_run()
    ask = dataclasses.replace(site.ask(run), **changes)
    with pytest.raises(error, match=message):
        site.governance.rounds.authorize(CONSUMER, ask)
    assert "RoundDecided" not in site.kinds()


def test_a_run_that_flower_does_not_carry_gets_no_permit(site: Site) -> None:
    site.superlink.down = True
    with pytest.raises(Exception, match="SuperLink"):
        site.open_run()
    run = [parse_json(one, max_bytes=9999) for one in site.governance.list(OPERATOR, "runs")]
    with pytest.raises(RuleBroken, match="is OPEN; resume it"):
        site.authorize(run[0]["run"])  # type: ignore[index, call-overload, arg-type]


def test_the_next_round_starts_from_the_last_closed_model(site: Site) -> None:
    run = site.open_run()
    site.whole_round(run, "ask-1")
    with pytest.raises(RuleBroken, match="model of the last closed round"):
        site.authorize(run, "ask-2", model=MODEL)
    with pytest.raises(RuleBroken, match="expected round 2"):
        site.authorize(run, "ask-2", round=1)
    assert site.permit(site.authorize(run, "ask-2")).body.model == sha256_hex(b"model 1")


# -- step 9 --------------------------------------------------------------------------------------


def test_a_rounds_document_follows_its_state(site: Site) -> None:
    run = site.open_run()

    def shown() -> Any:
        (document,) = site.governance.runs.get(CONSUMER, run).rounds
        return parse_json(document, max_bytes=1 << 20)

    answer = site.authorize(run)
    assert (shown()["state"], shown()["closed"]) == ("AUTHORIZED", None)
    site.submit(answer, site.nodes["alpha"])
    assert shown()["state"] == "RECEIPTED"
    site.tick(2)
    site.close_round(answer)
    assert shown()["state"] == "CLOSED"
    assert shown()["decided"] < shown()["closed"]


def test_receipts_that_hold_are_accepted_and_logged_as_signed(site: Site) -> None:
    answer = site.authorize(site.open_run())
    rows = site.submit(answer, *site.nodes.values())
    assert [(row.participant, row.accepted, row.rows_used) for row in rows] == [
        ("alpha", True, 80),
        ("beta", True, 80),
        ("gamma", True, 80),
    ]
    node = site.nodes["gamma"]
    envelope = base64.b64decode(last(site, "ReceiptAccepted")["envelope"])
    assert envelope == sign_receipt(site.receipt(answer, node), node.receipt)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"permit": "0" * 64}, "receipt-wrong-permit"),
        ({"permit_id": "permit-" + "0" * 32}, "receipt-wrong-permit"),
        ({"run": "another"}, "receipt-wrong-permit"),
        ({"round": 2}, "receipt-wrong-permit"),
        ({"participant": "beta"}, "receipt-wrong-permit"),
        ({"product": "beta/records"}, "receipt-wrong-permit"),
        ({"clip_norm": "2"}, "receipt-wrong-permit"),
        ({"rows_used": 0}, "receipt-wrong-rows"),
        ({"rows_used": 81}, "receipt-wrong-rows"),
        ({"rows_used": 10**9}, "receipt-wrong-rows"),
        ({"rows_held_back": 21}, "receipt-wrong-rows"),
        ({"rows_without_consent": 1}, "receipt-wrong-rows"),
        ({"update": sha256_hex(b"")}, "receipt-wrong-update"),
        ({"metrics": {"loss": "1", "secret": "2"}}, "receipt-wrong-metrics"),
        ({"accelerator": "cuda"}, "receipt-wrong-permit"),
        ({"finished": "2099-01-01T00:00:00.000Z"}, "receipt-late"),
    ],
)
def test_a_receipt_that_does_not_fit_is_left_out(
    site: Site, changes: dict[str, Any], code: str
) -> None:
    answer = site.authorize(site.open_run())
    (row,) = submit(site, answer, site.arrived(answer, site.nodes["alpha"], **changes))
    assert (row.accepted, row.code, row.participant) == (False, code, "alpha")
    body = last(site, "ReceiptRefused")
    assert (body["code"], body["reported"]) == (code, False)


def test_a_receipt_stands_for_the_update_that_arrived(site: Site) -> None:
    answer = site.authorize(site.open_run())
    arrived = site.arrived(answer, site.nodes["alpha"])
    (row,) = submit(site, answer, Arrived(arrived.node_id, arrived.receipt, MODEL))
    assert row.code == "receipt-wrong-update"
    assert UPDATE in row.text


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (b"", "receipt-malformed"),
        (b"{}", "receipt-malformed"),
        (b"x" * 70_000, "receipt-malformed"),
    ],
)
def test_what_is_no_receipt_is_left_out(site: Site, receipt: bytes, code: str) -> None:
    answer = site.authorize(site.open_run())
    (row,) = submit(site, answer, Arrived(site.nodes["alpha"].node_id, receipt, UPDATE))
    assert (row.accepted, row.code) == (False, code)


@pytest.mark.parametrize("signer", ["beta", "stranger"])
def test_a_receipt_with_another_key_is_left_out(site: Site, signer: str) -> None:
    answer = site.authorize(site.open_run())
    node = site.nodes["alpha"]
    key = site.nodes["beta"].receipt if signer == "beta" else Ed25519PrivateKey.generate()
    forged = sign_receipt(site.receipt(answer, node), key)
    (row,) = submit(site, answer, Arrived(node.node_id, forged, UPDATE))
    assert row.code == "receipt-signature"


def test_a_node_cannot_reply_in_anothers_name(site: Site) -> None:
    answer = site.authorize(site.open_run())
    alpha, beta = site.nodes["alpha"], site.nodes["beta"]
    own = site.arrived(answer, alpha)
    (row,) = submit(site, answer, Arrived(beta.node_id, own.receipt, own.update))
    assert (row.participant, row.code) == ("beta", "receipt-signature")
    (row,) = submit(site, answer, Arrived("4711", own.receipt, own.update))
    assert (row.participant, row.code) == ("", "receipt-wrong-node")


def test_who_was_refused_cannot_submit(site: Site) -> None:
    site.withdraw(site.nodes["beta"])
    answer = site.authorize(site.open_run())
    beta = site.nodes["beta"]
    (row,) = submit(site, answer, site.arrived(answer, beta))
    assert row.code == "receipt-wrong-node"


def test_a_withdrawal_after_the_permit_keeps_the_result_out(site: Site) -> None:
    answer = site.authorize(site.open_run())
    site.withdraw(site.nodes["beta"])
    rows = site.submit(answer, *site.nodes.values())
    assert [(row.participant, row.code) for row in rows if not row.accepted] == [
        ("beta", "consent-withdrawn")
    ]


def test_a_receipt_counts_once(site: Site) -> None:
    answer = site.authorize(site.open_run())
    node = site.nodes["alpha"]
    first = site.submit(answer, node)
    assert site.submit(answer, node) == first
    assert site.kinds().count("ReceiptAccepted") == 1
    (row,) = submit(site, answer, site.arrived(answer, node, rows_used=70))
    assert (row.accepted, row.code) == (False, "receipt-twice")
    absent = Missing(node.node_id, "no-reply", "lost")
    assert submit(site, answer, missing=[absent]) == []
    assert site.submit(answer, site.nodes["beta"])[0].accepted


def test_a_refused_node_may_send_a_better_receipt(site: Site) -> None:
    answer = site.authorize(site.open_run())
    node = site.nodes["alpha"]
    (bad,) = submit(site, answer, site.arrived(answer, node, rows_used=0))
    (good,) = submit(site, answer, site.arrived(answer, node))
    assert (bad.accepted, good.accepted) == (False, True)


def test_missing_replies_are_logged_as_the_consumers_word(site: Site) -> None:
    answer = site.authorize(site.open_run())
    node = site.nodes["beta"]
    (row,) = submit(site, answer, missing=[Missing(node.node_id, "node-busy", "later")])
    assert (row.participant, row.accepted, row.code) == ("beta", False, "node-busy")
    assert last(site, "ReceiptRefused")["reported"] is True


@pytest.mark.parametrize(
    ("arrived", "missing", "message"),
    [
        ([Arrived("1", b"", UPDATE), Arrived("1", b"", UPDATE)], [], "each node once"),
        ([Arrived("1", b"", "x")], [], "update"),
        ([Arrived("1" * 21, b"", UPDATE)], [], "20 digits"),
        ([Arrived("1", b"", UPDATE)], [Missing("1", "c", "")], "each node once"),
        ([], [Missing("1", "", "")], "code"),
        ([], [Missing("1", "c" * 65, "")], "code"),
        ([], [Missing("1", "c", "t" * 1001)], "text"),
    ],
)
def test_a_submission_is_refused(site: Site, arrived: Any, missing: Any, message: str) -> None:
    answer = site.authorize(site.open_run())
    with pytest.raises(BadInput, match=message):
        site.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, missing)


def test_an_unknown_or_anothers_permit_is_refused(site: Site) -> None:
    answer = site.authorize(site.open_run())
    other = Identity(SPACE, "consumer", "another")
    receipts = site.governance.receipts
    with pytest.raises(NotAllowed):
        receipts.submit(other, answer.permit_id, [], [])
    with pytest.raises(NotAllowed):
        receipts.close(other, answer.permit_id, MODEL, {}, False, {})
    for id in ("", "permit-" + "0" * 32):
        with pytest.raises(NotKnown):
            receipts.submit(CONSUMER, id, [], [])


# -- step 10 -------------------------------------------------------------------------------------


def test_rounds_are_closed_in_a_chain_and_the_run_completes(site: Site) -> None:
    run = site.open_run()
    for number in (1, 2, 3):
        site.whole_round(run, f"ask-{number}")
    entries = site.entries()
    closes = [(index, one.body) for index, one in enumerate(entries) if one.type == "RoundClosed"]
    previous = [None, *[index for index, _ in closes[:-1]]]
    assert [body["previous"] for _, body in closes] == previous
    assert [body["kind"] for _, body in closes] == ["train", "train", "evaluate"]
    assert [one.type for one in entries[-4:]] == ["RunEnded", *["TransferStep"] * 3]
    assert entries[-4].body["last_close"] == closes[-1][0]
    view = site.governance.runs.get(CONSUMER, run)
    assert (view.row.state, view.row.closed_rounds) == ("COMPLETED", 2)
    assert view.row.model == sha256_hex(b"model 2")
    assert view.row.last_close == closes[-1][0]
    documents: list[Any] = [parse_json(one, max_bytes=1 << 20) for one in view.rounds]
    assert [(one["round"], one["state"]) for one in documents] == [
        (1, "CLOSED"),
        (2, "CLOSED"),
        (3, "CLOSED"),
    ]
    assert {item["outcome"] for item in documents[0]["items"]} == {"accepted"}
    with pytest.raises(RuleBroken, match="is COMPLETED"):
        site.authorize(run, "ask-4", round=4, kind="evaluate")


def test_a_close_names_who_was_left_out_and_why(site: Site) -> None:
    run = site.open_run()
    site.withdraw(site.nodes["gamma"])
    answer = site.authorize(run)
    alpha, beta = site.nodes["alpha"], site.nodes["beta"]
    submit(site, answer, site.arrived(answer, alpha), site.arrived(answer, beta, rows_used=0))
    view = site.close_round(answer)
    body = last(site, "RoundClosed")
    assert [one["participant"] for one in body["accepted"]] == ["alpha"]
    assert [(one["participant"], one["code"]) for one in body["left_out"]] == [
        ("beta", "receipt-wrong-rows")
    ]
    (document,) = [parse_json(one, max_bytes=1 << 20) for one in view.rounds]
    items: list[Any] = document["items"]  # type: ignore[index, call-overload, assignment]
    assert [(one["participant"], one["outcome"], one["code"]) for one in items] == [
        ("alpha", "accepted", ""),
        ("beta", "left-out", "receipt-wrong-rows"),
        ("gamma", "refused", "consent-withdrawn"),
    ]


def test_who_never_replied_is_left_out(site: Site) -> None:
    answer = site.authorize(site.open_run())
    site.submit(answer, site.nodes["alpha"])
    site.close_round(answer)
    codes = {one["participant"]: one["code"] for one in last(site, "RoundClosed")["left_out"]}
    assert codes == {"beta": "no-reply", "gamma": "no-reply"}


def test_a_round_without_quorum_keeps_the_model_and_the_run_goes_on(site: Site) -> None:
    run = site.open_run(quorum=2)
    answer = site.authorize(run)
    site.submit(answer, site.nodes["alpha"])
    with pytest.raises(RuleBroken, match="expected 2 accepted receipts"):
        site.close_round(answer)
    with pytest.raises(RuleBroken, match="model unchanged"):
        site.close_round(answer, quorum_met=False)
    view = site.close_round(answer, quorum_met=False, model=MODEL)
    assert (view.row.closed_rounds, view.row.model) == (1, MODEL)
    assert set(site.uses().values()) == {1}


def test_an_evaluation_changes_no_model(site: Site) -> None:
    run = site.open_run(rounds=1)
    site.whole_round(run, "ask-1")
    answer = site.authorize(run, "ask-2")
    rows = site.submit(answer, *site.nodes.values())
    assert all(row.accepted for row in rows)
    with pytest.raises(RuleBroken, match="model unchanged"):
        site.close_round(answer, model=MODEL)
    assert site.close_round(answer).row.state == "COMPLETED"


def test_an_update_that_leaves_an_evaluation_is_left_out(site: Site) -> None:
    run = site.open_run(rounds=1)
    site.whole_round(run, "ask-1")
    answer = site.authorize(run, "ask-2")
    (row,) = submit(site, answer, site.arrived(answer, site.nodes["alpha"], update=UPDATE))
    assert row.code == "receipt-wrong-update"


def test_the_same_close_again_changes_nothing(site: Site) -> None:
    answer = site.authorize(site.open_run())
    site.submit(answer, site.nodes["alpha"])
    first = site.close_round(answer)
    size = site.log.size
    assert site.close_round(answer) == first
    with pytest.raises(RuleBroken, match="closed otherwise"):
        site.close_round(answer, metrics={"loss": "9"})
    with pytest.raises(RuleBroken, match="is closed"):
        site.submit(answer, site.nodes["beta"])
    assert site.log.size == size


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "x"},
        {"model": ""},
        {"metrics": {"loss": "NaN"}},
        {"metrics": {"loss": ""}},
        {"metrics": {"a b": "1"}},
        {"metrics": {f"m{n}": "1" for n in range(65)}},
    ],
)
def test_a_close_is_refused(site: Site, changes: dict[str, Any]) -> None:
    answer = site.authorize(site.open_run())
    site.submit(answer, site.nodes["alpha"])
    with pytest.raises(BadInput):
        site.close_round(answer, **changes)
    assert "RoundClosed" not in site.kinds()


def permitted_in(answer: RoundAnswer) -> list[str]:
    return [one["participant"] for one in answer.verdicts if one["permitted"]]


def refused_for(answer: RoundAnswer, participant: str) -> list[str]:
    (found,) = [one for one in answer.verdicts if one["participant"] == participant]
    return [reason["code"] for reason in found["reasons"]]


def test_the_consumers_sector_reaches_decision_and_permit(site: Site) -> None:
    """Both sides can evaluate it: governance from the enrolment, the node from the permit."""
    sector = site.space.config.sector
    site.agree(site.nodes["beta"], constraint("industry", "eq", "mining"), **{"@id": "mining"})
    site.agree(site.nodes["alpha"], constraint("industry", "eq", sector), **{"@id": "same"})
    answer = site.authorize(site.open_run(agreements=["same", "mining"]))
    assert refused_for(answer, "beta") == ["industry-not-allowed"]
    assert site.permit(answer).body.consumer_sector == sector != ""


def test_an_execution_environment_is_what_the_product_states(site: Site) -> None:
    wish = constraint("executionEnvironment", "isA", "confined")
    for name, stated in (("alpha", "isolated"), ("beta", "process")):
        node = site.nodes[name]
        site.add_product(node, data_version=2, execution_environment=stated)
        site.agree(node, wish, **{"@id": f"confined-{name}"})
    answer = site.authorize(site.open_run(agreements=["confined-alpha", "confined-beta"]))
    assert permitted_in(answer) == ["alpha"]
    assert refused_for(answer, "beta") == ["environment-not-allowed"]
