"""Negotiations: who may do what when, what each step leaves in the log, what changes nothing."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsp_site import OTHER, Contracts, listed, offer, refuses, steps, until
from server_site import (
    CONSUMER,
    OPERATOR,
    SPACE,
    Site,
    agreement_envelope,
    enrolling_consumer,
    new_node,
)

from policies.canonical import canonical_bytes, digest_of, parse_json
from policies.envelope import open_envelope
from policies.errors import DocumentError
from policies.fields import instant
from policies.odrl import parse_offer
from policies.statements import AGREEMENT_TYPE, VERIFICATION_TYPE
from server.dsp import documents
from server.dsp import negotiations as service
from server.dsp import offers as offer_service
from server.dsp.messages import (
    SIGNATURE,
    NegotiationTermination,
    logged_digest,
    parse_message,
)
from server.dsp.negotiation import NEGOTIATION
from server.errors import BadInput, NotAllowed, NotKnown, RequestError, RuleBroken, TooMany
from server.pki import Identity


@pytest.fixture
def dsp(site: Site) -> Contracts:
    return Contracts(site)


# -- the whole way --------------------------------------------------------------------------------


def test_from_requested_to_finalized(dsp: Contracts) -> None:
    given = dsp.publish()
    row = dsp.request(given)
    assert (row.state, row.word_for_word, row.owner) == ("REQUESTED", True, "alpha")
    row = dsp.agree(row)
    assert (row.state, row.agreement) == ("AGREED", "agreed-3")
    row = dsp.verify(row)
    assert row.state == "FINALIZED"
    assert steps(dsp.site) == [
        (None, "REQUESTED", "consumer"),
        ("REQUESTED", "AGREED", "provider"),
        ("AGREED", "VERIFIED", "consumer"),
        ("VERIFIED", "FINALIZED", "provider"),
    ]
    assert dsp.site.kinds()[-3:] == ["NegotiationStep", "NegotiationStep", "AgreementConcluded"]


def test_both_signatures_stand_in_the_log(dsp: Contracts) -> None:
    row = dsp.conclude()
    body: Any = dsp.site.entries()[-1].body
    assert body["negotiation"] == row.id
    owner = open_envelope(
        base64.b64decode(body["envelope"]),
        payload_type=AGREEMENT_TYPE,
        key=dsp.owner.receipt.public_key(),
    )
    consumer = open_envelope(
        base64.b64decode(body["verification"]),
        payload_type=VERIFICATION_TYPE,
        key=dsp.key.public_key(),
    )
    assert owner["document"] == consumer["document"] == body["document"]  # type: ignore[index, call-overload]
    assert body["digest"] == digest_of(owner)


def test_an_agreement_by_its_owner_alone_says_so(dsp: Contracts) -> None:
    dsp.site.agree(dsp.owner, **{"@id": "agreement-alone"})
    body = dsp.site.entries()[-1].body
    assert (body["negotiation"], body["verification"]) == (None, None)


def test_an_agreed_agreement_carries_a_run(dsp: Contracts) -> None:
    row = dsp.conclude()
    run = dsp.site.open_run(agreements=[row.agreement])
    assert [v["permitted"] for v in dsp.site.authorize(run).verdicts] == [True]


def test_over_an_offer_of_the_provider(dsp: Contracts) -> None:
    row = dsp.in_state("ACCEPTED")
    row = dsp.verify(dsp.agree(row))
    assert row.state == "FINALIZED"
    assert [after for _, after, _ in steps(dsp.site)] == [
        "REQUESTED",
        "OFFERED",
        "ACCEPTED",
        "AGREED",
        "VERIFIED",
        "FINALIZED",
    ]


def test_back_and_forth(dsp: Contracts) -> None:
    row = dsp.in_state("OFFERED")
    on_table = parse_offer(row.document.encode())
    mine = offer(dsp.owner, on_table.id, until("2099-01-01T00:00:00Z"))
    row = dsp.counter(row, mine)
    assert (row.state, row.word_for_word) == ("REQUESTED", False)
    row = dsp.agree(row)
    assert row.agreement_document is not None and "2099" in row.agreement_document


def test_a_changed_request_is_not_word_for_word(dsp: Contracts) -> None:
    given = dsp.publish(auto_agree=True)
    changed = offer(dsp.owner, given.id, until("2099-01-01T00:00:00Z"))
    assert dsp.request(changed).word_for_word is False
    assert dsp.site.governance.list(dsp.owner.identity, "negotiations-waiting") == []
    row = dsp.request(given)
    waiting = dsp.site.governance.list(dsp.owner.identity, "negotiations-waiting")
    documents: list[Any] = [parse_json(one, max_bytes=1 << 20) for one in waiting]
    assert [one["negotiation"] for one in documents] == [row.id]
    dsp.agree(row)
    assert dsp.site.governance.list(dsp.owner.identity, "negotiations-waiting") == []


def test_the_registry_is_made_again_from_the_log(dsp: Contracts) -> None:
    dsp.conclude()
    dsp.in_state("ACCEPTED")
    dsp.in_state("TERMINATED")
    before = listed(dsp.site)
    dsp.site.close()
    for path in dsp.site.space.database.parent.glob("governance.db*"):
        path.unlink()
    dsp.site.open()
    assert listed(dsp.site) == before


def test_state_survives_a_restart(dsp: Contracts) -> None:
    row = dsp.in_state("AGREED")
    dsp.site.reopen()
    assert dsp.get(row) == row
    assert dsp.verify(row).state == "FINALIZED"


# -- what changes nothing -------------------------------------------------------------------------


def test_the_same_opening_message_gets_the_same_answer(dsp: Contracts) -> None:
    given = dsp.publish()
    row = dsp.request(given, consumerPid="urn:uuid:one")
    size = dsp.site.log.size
    assert dsp.request(given, consumerPid="urn:uuid:one") == row
    agreed = dsp.agree(row)
    assert dsp.request(given, consumerPid="urn:uuid:one") == agreed
    assert dsp.site.log.size == size + 1
    other = dsp.publish()
    refuses(
        dsp,
        RuleBroken,
        "expected a new consumerPid",
        lambda: dsp.request(other, consumerPid="urn:uuid:one"),
    )
    dsp.terminate(agreed)
    refuses(
        dsp,
        RuleBroken,
        "is TERMINATED",
        lambda: dsp.request(given, consumerPid="urn:uuid:one"),
    )


MOVES: dict[str, tuple[str, str, Callable[[Contracts, Any], object]]] = {
    "counter": (
        "REQUESTED",
        "consumer",
        lambda dsp, row: dsp.counter(row, parse_offer(row.document.encode())),
    ),
    "accept": ("ACCEPTED", "consumer", lambda dsp, row: dsp.event(row)),
    "verify": (
        "VERIFIED",
        "consumer",
        lambda dsp, row: dsp.verify(row, document=row.agreement_document or "none"),
    ),
    "terminate": ("TERMINATED", "consumer", lambda dsp, row: dsp.terminate(row)),
    "offer": ("OFFERED", "provider", lambda dsp, row: dsp.counter_offer(row)),
    "agree": ("AGREED", "provider", lambda dsp, row: dsp.agree(row)),
    "end": ("TERMINATED", "provider", lambda dsp, row: dsp.end(row)),
}
STATES = ("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "FINALIZED", "TERMINATED")


@pytest.mark.parametrize("state", STATES)
def test_each_message_in_each_state(dsp: Contracts, state: str) -> None:
    for after, by, act in MOVES.values():
        row = dsp.in_state(state)
        illegal = NEGOTIATION.check(state, after, by)  # type: ignore[arg-type]
        if illegal is None:
            act(dsp, row)
            assert dsp.get(row).state == {"VERIFIED": "FINALIZED"}.get(after, after)
        else:
            refuses(dsp, RuleBroken, "cannot be made", lambda act=act, row=row: act(dsp, row))  # type: ignore[misc]
    refuses(dsp, BadInput, "the provider's to say", lambda: dsp.event(row, "FINALIZED"))


@pytest.mark.parametrize("by", ["consumer", "owner"])
def test_the_log_commits_to_why_a_negotiation_ended(dsp: Contracts, by: str) -> None:
    row = dsp.in_state("REQUESTED")
    row = dsp.terminate(row) if by == "consumer" else dsp.end(row, "no")
    body = dsp.site.entries()[-1].body
    assert (body["said"], "reason" in body) == (row.said, False)
    said = dsp.site.governance.disclosing.text(row.said)
    assert said.endswith("no")
    listed = [
        parse_json(one, max_bytes=1 << 20)
        for one in dsp.site.governance.list(CONSUMER, "negotiations")
    ]
    assert [one["reason"] for one in listed] == [said]  # type: ignore[index, call-overload]
    # What a digest of the message covers is no help to who tries out reasons.
    assert body["message"] == ("" if by == "owner" else message_digest(row, "x"))


def message_digest(row: Any, reason: str) -> str:
    kind = "ContractNegotiationTerminationMessage"
    message = documents.process_message(kind, row.id, row.consumer_pid, reason)
    return logged_digest(parse_message(NegotiationTermination, canonical_bytes(message)))


def test_a_consumer_that_enrolled_later_concludes_agreements(dsp: Contracts) -> None:
    node = new_node("institute")
    token = dsp.site.invite("institute", role="consumer").token
    dsp.site.governance.enrolment.enrol(enrolling_consumer(token, node))
    caller = Identity(space=SPACE, role="consumer", participant="institute")
    mine: dict[str, Any] = {"caller": caller, "participant": "institute", "key": node.receipt}
    row = dsp.agree(dsp.request(dsp.publish(), caller))
    refuses(dsp, BadInput, "signature by key", lambda: dsp.verify(row, **(mine | {"key": dsp.key})))
    assert dsp.verify(row, **mine).state == "FINALIZED"
    concluded: Any = dsp.site.entries()[-1].body
    assert (concluded["assignee"], bool(concluded["verification"])) == ("institute", True)


# -- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [OTHER, OPERATOR], ids=lambda who: who.role)
def test_others_do_not_know_it(dsp: Contracts, caller: Any) -> None:
    row = dsp.in_state("AGREED")
    for call in (
        lambda: dsp.get(row, caller),
        lambda: dsp.verify(row, caller),
        lambda: dsp.terminate(row, caller),
    ):
        refuses(dsp, NotKnown, "expected", call)


def test_another_owner_does_not_know_it(dsp: Contracts) -> None:
    row = dsp.in_state("REQUESTED")
    other = Contracts(dsp.site, "beta")
    refuses(dsp, NotKnown, "expected one of beta", lambda: other.agree(row))
    refuses(dsp, NotKnown, "expected one of beta", lambda: other.end(row))


def test_the_parties_keep_to_their_sides(dsp: Contracts) -> None:
    row = dsp.in_state("AGREED")
    owner = dsp.owner.identity
    refuses(dsp, NotKnown, "its consumer", lambda: dsp.verify(row, owner))
    given = parse_offer(row.document.encode())
    refuses(dsp, NotKnown, "a consumer", lambda: dsp.request(given, owner))
    owners = dsp.site.governance.contracts.owners
    refuses(dsp, NotKnown, "its data owner", lambda: owners.end(CONSUMER, row.id, ""))
    assert dsp.get(row, owner) == row


@pytest.mark.parametrize("name", ["providerPid", "consumerPid"])
def test_pids_must_be_those_of_the_negotiation(dsp: Contracts, name: str) -> None:
    row = dsp.in_state("AGREED")
    refuses(dsp, BadInput, name, lambda: dsp.verify(row, **{name: "urn:uuid:else"}))


# -- what was signed ------------------------------------------------------------------------------


def test_a_verification_must_be_the_consumers_over_this_text(dsp: Contracts) -> None:
    row = dsp.in_state("AGREED")
    assert row.agreement_document is not None
    changed = row.agreement_document.replace("alpha/records", "beta/records")
    for changes, kind, match in (
        ({"key": Ed25519PrivateKey.generate()}, BadInput, "expected a signature by key"),
        ({"key": dsp.owner.receipt}, BadInput, "expected a signature by key"),
        ({"participant": "alpha"}, NotAllowed, "expected one by consortium"),
        ({"document": changed}, BadInput, "word for word"),
        ({"document": row.agreement_document + " "}, BadInput, "word for word"),
    ):
        refuses(dsp, kind, match, lambda changes=changes: dsp.verify(row, **changes))  # type: ignore[misc]
    assert dsp.verify(row).state == "FINALIZED"


def test_an_agreement_must_be_the_offer_word_for_word(dsp: Contracts) -> None:
    row = dsp.in_state("REQUESTED")
    more = [{"action": "use"}, {"action": "evaluate"}]
    for changes, kind, match in (
        ({"key": dsp.site.nodes["beta"].receipt}, BadInput, "expected a signature by key"),
        ({"participant": "beta"}, NotAllowed, "expected one by alpha"),
        ({"permission": more}, BadInput, "word for word"),
        ({"target": "beta/records"}, BadInput, "word for word"),
        ({"assignee": "rival"}, BadInput, "word for word"),
        ({"assigner": "beta"}, BadInput, "word for word"),
        ({"@type": "Offer"}, BadInput, "@type"),
        ({"@id": "ünused"}, BadInput, "@id"),
        ({"@id": dsp.site.nodes["beta"].agreement}, RuleBroken, "a new id"),
    ):
        refuses(dsp, kind, match, lambda changes=changes: dsp.agree(row, **changes))  # type: ignore[misc]
    assert dsp.agree(row).state == "AGREED"


def test_an_id_is_agreed_once(dsp: Contracts) -> None:
    dsp.agree(dsp.in_state("REQUESTED"), id="agreed")
    row = dsp.in_state("REQUESTED")
    refuses(dsp, RuleBroken, "a new id", lambda: dsp.agree(row, id="agreed"))


def test_an_id_that_its_owner_used_meanwhile_is_not_finalized(dsp: Contracts) -> None:
    row = dsp.agree(dsp.in_state("REQUESTED"), id="agreed")
    envelope = agreement_envelope(dsp.owner, dsp.site.now, **{"@id": "agreed"})
    dsp.site.governance.catalogue.conclude_agreement(dsp.owner.identity, envelope)
    refuses(dsp, RuleBroken, "a new id", lambda: dsp.verify(row))


def test_a_counter_offer_is_the_owners_for_this_negotiation(dsp: Contracts) -> None:
    row, other = dsp.in_state("REQUESTED"), dsp.in_state("REQUESTED")
    for changes, kind, match in (
        ({"key": dsp.site.nodes["beta"].receipt}, BadInput, "signature"),
        ({"negotiation": other.id}, BadInput, "expected one for"),
        ({"negotiation": ""}, BadInput, "expected one for"),
        ({"product": "beta/records"}, BadInput, "expected one for"),
        ({"offer": "offer-1"}, RuleBroken, "a new id"),
        ({"document": ""}, BadInput, "offer: "),
    ):
        refuses(dsp, kind, match, lambda changes=changes: dsp.counter_offer(row, **changes))  # type: ignore[misc]


def test_a_verification_without_a_signature_says_what_to_send(dsp: Contracts) -> None:
    row = dsp.in_state("AGREED")
    for said in (SIGNATURE, "signed by both", VERIFICATION_TYPE, "word for word"):
        refuses(dsp, BadInput, re.escape(said), lambda: dsp.verify(row, **{SIGNATURE: None}))


# -- what is asked for ----------------------------------------------------------------------------


def test_only_a_standing_offer_of_the_product_can_be_asked_for(dsp: Contracts) -> None:
    given = dsp.publish()
    unknown = offer(dsp.owner, "unheard-of")
    refuses(dsp, BadInput, "offer.@id", lambda: dsp.request(unknown))
    refuses(dsp, BadInput, "offer.@id", lambda: dsp.request(given, target="beta/records"))
    foreign = offer(dsp.owner, given.id, assigner="beta")
    refuses(dsp, BadInput, "assigner", lambda: dsp.request(foreign))
    dsp.site.governance.contracts.offers.publish(
        dsp.owner.identity, dsp.offer_envelope(None, offer=given.id)
    )
    refuses(dsp, BadInput, "offer.@id", lambda: dsp.request(given))


def test_an_answer_in_a_negotiation_opens_none(dsp: Contracts) -> None:
    given = dsp.publish()
    changes = {"providerPid": "urn:uuid:theirs", "callbackAddress": None}
    refuses(dsp, BadInput, "negotiations/urn:uuid:theirs", lambda: dsp.request(given, **changes))


def test_a_counter_must_stay_with_the_product(dsp: Contracts) -> None:
    row = dsp.in_state("OFFERED")
    beta = Contracts(dsp.site, "beta").publish(id="offer-beta")
    refuses(dsp, BadInput, "offer.@id", lambda: dsp.counter(row, beta))
    target = parse_offer(row.document.encode()).to_json() | {"target": "beta/records"}
    del target["@context"]
    refuses(
        dsp,
        BadInput,
        "offer.target",
        lambda: dsp.counter(row, parse_offer(row.document.encode()), offer=target),
    )


def test_one_consumer_holds_so_many_at_once(
    dsp: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_OPEN", 2)
    given = dsp.publish()
    first = dsp.request(given)
    dsp.request(given)
    refuses(dsp, TooMany, "at most 2", lambda: dsp.request(given))
    dsp.terminate(first)
    dsp.request(given)


# -- time -----------------------------------------------------------------------------------------


def test_each_step_asks_whether_the_offer_is_over(dsp: Contracts) -> None:
    soon = until(instant(dsp.site.now + timedelta(seconds=60)))
    given = dsp.publish(soon)
    requested, to_agree, to_accept, to_verify = (dsp.request(given) for _ in range(4))
    to_accept = dsp.counter_offer(to_accept, soon)
    to_verify = dsp.agree(to_verify)
    dsp.site.tick(61)
    assert requested.state == "REQUESTED"
    for call in (
        lambda: dsp.request(given),
        lambda: dsp.agree(to_agree),
        lambda: dsp.event(to_accept),
        lambda: dsp.counter(to_accept, parse_offer(to_accept.document.encode())),
        lambda: dsp.counter_offer(requested, soon),
        lambda: dsp.verify(to_verify),
        lambda: dsp.publish(soon),
    ):
        refuses(dsp, RuleBroken, "it is over", call)
    dsp.terminate(to_verify)


# -- offers ---------------------------------------------------------------------------------------


def test_an_offer_is_published_once_and_taken_back_for_good(dsp: Contracts) -> None:
    publish = dsp.site.governance.contracts.offers.publish
    given = offer(dsp.owner, "offer-1")
    envelope = dsp.offer_envelope(given)
    index, id = publish(dsp.owner.identity, envelope)
    assert (index, id) == (dsp.site.log.size - 1, "offer-1")
    assert publish(dsp.owner.identity, envelope) == (index, id)
    back = dsp.offer_envelope(None, offer="offer-1")
    gone = publish(dsp.owner.identity, back)
    assert gone == (index + 1, "offer-1")
    assert publish(dsp.owner.identity, back) == gone
    refuses(dsp, RuleBroken, "a new id", lambda: publish(dsp.owner.identity, envelope))


@pytest.mark.parametrize(
    ("changes", "kind", "match"),
    [
        ({"key": Ed25519PrivateKey.generate()}, BadInput, "signature by key"),
        ({"participant": "beta"}, NotAllowed, "one by alpha"),
        ({"product": "beta/records"}, NotAllowed, "belongs to alpha"),
        ({"product": "alpha/unheard"}, NotKnown, "a registered one"),
        ({"offer": "offer-else"}, BadInput, "expected offer-else"),
        ({"document": "{}"}, BadInput, "offer: "),
        ({"document": " {}"}, BadInput, "offer: "),
        ({"negotiation": "urn:tdspace:negotiation:1"}, BadInput, "to everybody"),
        ({"document": "", "offer": "unheard"}, NotKnown, "a published one"),
        ({"unheard": 1}, BadInput, "unheard"),
    ],
)
def test_an_offer_that_is_refused(
    dsp: Contracts, changes: dict[str, Any], kind: type[RequestError], match: str
) -> None:
    envelope = dsp.offer_envelope(offer(dsp.owner, "offer-1"), **changes)
    publish = dsp.site.governance.contracts.offers.publish
    refuses(dsp, kind, match, lambda: publish(dsp.owner.identity, envelope))


def test_an_offer_must_be_in_normal_form_and_name_its_owner(dsp: Contracts) -> None:
    publish = dsp.site.governance.contracts.offers.publish
    given = offer(dsp.owner, "offer-1")
    spaced = canonical_bytes(given.to_json()).decode() + " "
    nobody = {key: value for key, value in given.to_json().items() if key != "assigner"}
    for document, match in (
        (spaced, "normal form"),
        (canonical_bytes(nobody).decode(), "assigned by alpha"),
    ):
        envelope = dsp.offer_envelope(given, document=document)
        refuses(
            dsp,
            BadInput,
            match,
            lambda envelope=envelope: publish(dsp.owner.identity, envelope),  # type: ignore[misc]
        )


def test_a_product_has_so_many_offers(dsp: Contracts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_service, "MAX_OFFERS", 1)
    dsp.publish()
    refuses(dsp, RuleBroken, "at most 1", dsp.publish)


def test_messages_are_parsed_strictly_before_anything_else(dsp: Contracts) -> None:
    with pytest.raises(DocumentError):
        dsp.request_message(offer(dsp.owner, "offer-1"), consumerPid="two words")


def test_a_copy_of_the_log_without_the_registry_loses_callbacks_only(dsp: Contracts) -> None:
    row = dsp.in_state("REQUESTED")
    assert row.callback == "https://consumer.example/dsp"
    dsp.site.close()
    shutil.move(dsp.site.space.database, dsp.site.space.database.with_suffix(".old"))
    dsp.site.open()
    assert dsp.get(row).callback == ""
