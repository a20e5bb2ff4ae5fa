"""Negotiations that an owner opens: the offer comes first, the consumer's name for it later."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsp_callbacks import callback_server, wait_for, wait_until
from dsp_site import PID, Bed, Contracts, listed, offer, refuses, steps, until
from dsp_vectors import check, valid
from server_site import CONSUMER, OPERATOR, Site

from policies.canonical import parse_json
from policies.fields import instant
from policies.odrl import parse_offer
from server.dsp import callbacks, documents, owner_negotiations
from server.dsp import negotiations as consumer_side
from server.dsp.documents import BASE, NONE
from server.errors import BadInput, NotAllowed, NotKnown, RequestError, RuleBroken, TooMany


@pytest.fixture
def dsp(site: Site) -> Contracts:
    return Contracts(site)


def theirs(site: Site) -> list[Any]:
    """What the consumer sees without being told."""
    return [
        parse_json(one, max_bytes=1 << 20) for one in site.governance.list(CONSUMER, "negotiations")
    ]


# -- the ways from OFFERED ------------------------------------------------------------------------


def test_accepted_agreed_finalized(dsp: Contracts) -> None:
    row = dsp.open()
    assert (row.state, row.opened_by, row.consumer_pid) == ("OFFERED", "provider", None)
    (seen,) = theirs(dsp.site)
    assert (seen["negotiation"], seen["state"]) == (row.id, "OFFERED")
    row = dsp.event(row)
    assert (row.state, row.consumer_pid) == ("ACCEPTED", PID)
    row = dsp.verify(dsp.agree(row))
    assert row.state == "FINALIZED"
    assert steps(dsp.site)[:2] == [
        (None, "OFFERED", "provider"),
        ("OFFERED", "ACCEPTED", "consumer"),
    ]
    run = dsp.site.open_run(agreements=[row.agreement])
    assert [v["permitted"] for v in dsp.site.authorize(run).verdicts] == [True]


def test_countered_and_agreed(dsp: Contracts) -> None:
    row = dsp.open()
    mine = offer(dsp.owner, parse_offer(row.document.encode()).id, until("2099-01-01T00:00:00Z"))
    row = dsp.counter(row, mine)
    assert (row.state, row.word_for_word, row.offer) == ("REQUESTED", False, None)
    row = dsp.verify(dsp.agree(row))
    assert row.state == "FINALIZED"
    assert "2099" in str(row.agreement_document)


def test_countered_with_a_published_offer_of_the_product(dsp: Contracts) -> None:
    published = dsp.publish(auto_agree=True)
    row = dsp.counter(dsp.open(), published)
    assert (row.offer, row.word_for_word) == (published.id, True)
    waiting = dsp.site.governance.list(dsp.owner.identity, "negotiations-waiting")
    assert [json.loads(one)["negotiation"] for one in waiting] == [row.id]


def test_either_party_ends_it(dsp: Contracts) -> None:
    assert dsp.terminate(dsp.open()).state == "TERMINATED"
    assert dsp.end(dsp.open()).state == "TERMINATED"


def test_the_owner_cannot_agree_before_the_consumer_has_answered(dsp: Contracts) -> None:
    row = dsp.open()
    refuses(dsp, RuleBroken, "cannot be made AGREED", lambda: dsp.agree(row))


def test_the_registry_is_made_again_from_the_log(dsp: Contracts) -> None:
    dsp.open()
    dsp.event(dsp.open())
    before = listed(dsp.site)
    dsp.site.close()
    for path in dsp.site.space.database.parent.glob("governance.db*"):
        path.unlink()
    dsp.site.open()
    assert listed(dsp.site) == before


# -- the consumer's name for it -------------------------------------------------------------------


def test_the_first_answer_names_it_and_the_name_stays(dsp: Contracts) -> None:
    row = dsp.open()
    for pid in (NONE, dsp.request(dsp.publish()).consumer_pid):
        changes = {"consumerPid": pid}
        refuses(
            dsp,
            BadInput,
            "id of your own",
            lambda changes=changes: dsp.event(row, **changes),  # type: ignore[misc]
        )
    row = dsp.event(row)
    row = dsp.agree(row)
    refuses(dsp, BadInput, "consumerPid", lambda: dsp.verify(row, consumerPid="urn:uuid:else"))
    given = dsp.publish()
    refuses(dsp, RuleBroken, "new consumerPid", lambda: dsp.request(given, consumerPid=PID))


def test_two_of_them_are_named_apart(dsp: Contracts) -> None:
    first, second = dsp.open(), dsp.open()
    dsp.event(first)
    refuses(dsp, BadInput, "id of your own", lambda: dsp.event(second))
    assert dsp.event(second, consumerPid="urn:uuid:second").state == "ACCEPTED"


def test_nobody_opens_one_under_the_placeholder(dsp: Contracts) -> None:
    given = dsp.publish()
    refuses(dsp, BadInput, "id of your own", lambda: dsp.request(given, consumerPid=NONE))


# -- what changes nothing, what is refused --------------------------------------------------------


def test_the_same_offer_again_changes_nothing(dsp: Contracts) -> None:
    given = offer(dsp.owner, "private")
    open_ = dsp.site.governance.contracts.owners.open
    row = open_(dsp.owner.identity, dsp.opening(given))
    dsp.site.tick(1)
    size = dsp.site.log.size
    assert open_(dsp.owner.identity, dsp.opening(given)) == row
    accepted = dsp.event(row)
    assert open_(dsp.owner.identity, dsp.opening(given)) == accepted
    assert dsp.site.log.size == size + 1
    other = offer(dsp.owner, "private", until("2099-01-01T00:00:00Z"))
    refuses(dsp, RuleBroken, "a new id", lambda: open_(dsp.owner.identity, dsp.opening(other)))
    dsp.end(accepted)
    refuses(dsp, RuleBroken, "a new id", lambda: open_(dsp.owner.identity, dsp.opening(given)))


@pytest.mark.parametrize(
    ("changes", "kind", "match"),
    [
        ({"consumer": ""}, BadInput, "one to a consumer"),
        ({"negotiation": ""}, BadInput, "for ''"),
        ({"negotiation": "urn:tdspace:negotiation:" + "0" * 32}, BadInput, "one to a consumer"),
        ({"consumer": "unheard"}, NotKnown, "an enrolled one"),
        ({"consumer": "beta"}, NotKnown, "an enrolled one"),
        ({"consumer": "operator"}, NotKnown, "an enrolled one"),
        ({"product": "beta/records"}, NotAllowed, "belongs to alpha"),
        ({"product": "alpha/unheard"}, NotKnown, "a registered one"),
        ({"participant": "beta"}, NotAllowed, "one by alpha"),
        ({"key": Ed25519PrivateKey.generate()}, BadInput, "signature by key"),
        ({"document": "{}"}, BadInput, "offer: "),
        ({"offer": "other"}, BadInput, "expected other"),
    ],
)
def test_an_opening_that_is_refused(
    dsp: Contracts, changes: dict[str, Any], kind: type[RequestError], match: str
) -> None:
    refuses(dsp, kind, match, lambda: dsp.open(id="private", **changes))


def test_an_offer_is_either_to_one_or_to_everybody(dsp: Contracts) -> None:
    given = dsp.publish()
    refuses(dsp, RuleBroken, "is published", lambda: dsp.open(id=given.id))
    made = offer(dsp.owner, "private")
    publish = dsp.site.governance.contracts.offers.publish
    envelope = dsp.offer_envelope(made, consumer="consortium")
    refuses(dsp, BadInput, "to everybody", lambda: publish(dsp.owner.identity, envelope))
    dsp.open()
    assert len(dsp.site.governance.list(OPERATOR, "offers")) == 1


def test_the_time_of_the_offer_counts_at_each_step(dsp: Contracts) -> None:
    soon = until(instant(dsp.site.now + timedelta(seconds=60)))
    row = dsp.open(soon)
    dsp.site.tick(61)
    refuses(dsp, RuleBroken, "it is over", lambda: dsp.event(row))
    refuses(dsp, RuleBroken, "it is over", lambda: dsp.open(soon))


def test_each_side_has_a_bound_of_its_own(dsp: Contracts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_negotiations, "MAX_OPEN", 1)
    monkeypatch.setattr(consumer_side, "MAX_OPEN", 1)
    row = dsp.open()
    refuses(dsp, TooMany, "at most 1", dsp.open)
    assert dsp.request(dsp.publish()).state == "REQUESTED"
    dsp.end(row)
    dsp.open()


def test_only_its_parties_know_it(dsp: Contracts) -> None:
    row = dsp.open()
    other = Contracts(dsp.site, "beta")
    refuses(dsp, NotKnown, "expected one of beta", lambda: other.end(row))
    assert dsp.site.governance.list(other.owner.identity, "negotiations") == []


# -- over HTTP ------------------------------------------------------------------------------------


def test_it_is_shown_with_its_offer_and_answered(bed: Bed) -> None:
    dsp = Contracts(bed.site)
    row = dsp.open(id=f"private-{bed.site.log.size}")
    client, path = bed.http(), f"{BASE}/negotiations/{row.id}"
    shown = valid(client.get(path))
    assert (shown["state"], shown["consumerPid"]) == ("OFFERED", NONE)
    refusal = valid(client.post(f"{path}/events", json={}), 400)
    assert refusal["consumerPid"] == NONE
    with bed.consumer() as ours:
        known = ours.negotiation(row.id)
    assert known.product == dsp.owner.product
    assert known.offer == parse_offer(row.document.encode())
    pid = f"urn:uuid:{bed.site.log.size}"
    message = documents.event_message(row.id, pid, "ACCEPTED")
    answer = valid(client.post(f"{path}/events", json=message))
    assert (answer["state"], answer["consumerPid"]) == ("ACCEPTED", pid)


# -- telling the consumer -------------------------------------------------------------------------


def test_the_consumer_is_told_first_and_names_it(site: Site) -> None:
    dsp = Contracts(site)
    with callback_server(201, providerPid="urn:uuid:another", consumerPid=PID) as (base, got):
        told = site.governance.call_back({"consortium": base})
        row = dsp.open()
        wait_for(got, 1)
        (path, message), url = got[0], site.governance.contracts.catalogue.url
        check(message)
        assert path == "/dsp/negotiations/offers"
        assert (message["providerPid"], message["callbackAddress"]) == (row.id, url)
        assert "consumerPid" not in message
        assert message["offer"]["target"] == dsp.owner.product
        dsp.end(row, "changed our mind")
        told.close()
    # Its answer was about another negotiation: under which name to tell it more is not known.
    assert (dsp.get(row).consumer_pid, len(got)) == (None, 1)


@pytest.mark.parametrize(
    ("pid", "status", "taken"),
    [
        (PID, 201, True),
        (PID, 200, True),
        (PID, 404, False),
        (NONE, 201, False),
        ("two words", 201, False),
        (7, 201, False),
        (None, 201, False),
        ("urn:uuid:used", 201, False),
    ],
)
def test_what_the_consumer_answers_is_believed_as_a_name_only(
    site: Site, pid: Any, status: int, taken: bool
) -> None:
    dsp = Contracts(site)
    dsp.request(dsp.publish(), consumerPid="urn:uuid:used")
    with callback_server(status, consumerPid=pid, state="FINALIZED") as (base, got):
        told = site.governance.call_back({"consortium": base + "/"})
        row = dsp.open()
        wait_for(got, 1)
        wait_until(lambda: not taken or dsp.get(row).consumer_pid is not None)
        assert dsp.get(row).state == "OFFERED"
        dsp.end(row, "changed our mind")
        if taken:
            wait_for(got, 2)
            assert got[1][0] == f"/dsp/negotiations/{PID}/termination"
        told.close()
    assert len(got) == (2 if taken else 1)
    assert dsp.get(row).consumer_pid == (PID if taken else None)


def test_a_large_answer_is_not_read_to_its_end(site: Site) -> None:
    dsp = Contracts(site)
    with callback_server(consumerPid="x" * (1 << 20)) as (base, got):
        told = site.governance.call_back({"consortium": base})
        row = dsp.open()
        wait_for(got, 1)
        told.close()
    assert dsp.get(row).consumer_pid is None


def test_a_slow_answer_holds_nobody_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "TIMEOUT_S", 0.2)
    dsp = Contracts(site)
    with callback_server(drip_s=0.1, consumerPid="x" * 200) as (base, got):
        told = site.governance.call_back({"consortium": base})
        dsp.open()
        dsp.open()
        wait_for(got, 2)
        told.close()


def test_who_may_not_be_called_sees_it_by_asking(site: Site) -> None:
    dsp = Contracts(site)
    with callback_server() as (base, got):
        told = site.governance.call_back({"rival": base})
        row = dsp.open()
        told.close()
    assert got == []
    assert [one["negotiation"] for one in theirs(site)] == [row.id]


def test_a_push_says_what_was_when_it_was_due(site: Site) -> None:
    """The consumer may answer before it is told; what it is told is the step, not the present."""
    dsp = Contracts(site)
    row = dsp.open()
    first = parse_offer(row.document.encode())
    row = dsp.counter(row, offer(dsp.owner, first.id, until("2099-01-01T00:00:00Z")))
    body: Any = next(one.body for one in site.entries() if one.type == "NegotiationStep")
    _, message = callbacks.first_offer_push(row, body, callback="https://space.example/dsp/2025-1")
    assert message["offer"] == documents.with_target(first.to_json(), row.product)
