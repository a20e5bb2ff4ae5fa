"""A participant's key changes: who may say so, which receipts and statements hold before and after.

Each test's log is replayed by an auditor at its end (conftest.site).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsp_site import Contracts
from server_site import SPACE, Node, Site, product_envelope

from policies.canonical import sha256_hex
from policies.envelope import sign_envelope
from policies.fields import instant
from policies.keychange import KEY_CHANGE_TYPE, KeyChange, sign_key_change
from server.errors import BadInput, NotAllowed, RequestError, RuleBroken

LOW_ORDER = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
NEW = Ed25519PrivateKey.from_private_bytes(b"n" * 32)


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def change(site: Site, node: Node, new: Ed25519PrivateKey = NEW, **changes: Any) -> bytes:
    values = {"space": SPACE, "participant": node.name, "time": instant(site.now)}
    return sign_key_change(**(values | changes), old=changes.get("old", node.receipt), new=new)


def rotate(site: Site, name: str = "alpha", new: Ed25519PrivateKey = NEW) -> Node:
    """The node with its new key, once governance logged it."""
    node = site.nodes[name]
    index, whose = site.governance.rotation.rotate(node.identity, change(site, node, new))
    assert (index, whose) == (site.log.size - 1, name)
    site.nodes[name] = replace(node, receipt=new)
    return site.nodes[name]


def test_a_change_is_logged_and_the_new_key_counts(site: Site) -> None:
    old = site.nodes["alpha"]
    node = rotate(site)
    entry = site.entries()[-1]
    assert entry.type == "KeyRotated"
    assert entry.body["previous"] == public(old.receipt)
    assert entry.body["receipt_key"] == public(NEW)
    site.tick(1)
    site.add_product(node, id="alpha/more")
    with pytest.raises(BadInput, match="expected a signature by key"):
        site.add_product(old, id="alpha/still-more")


def test_the_same_change_again_has_the_same_answer(site: Site) -> None:
    node, envelope = site.nodes["alpha"], change(site, site.nodes["alpha"])
    answers = {site.governance.rotation.rotate(node.identity, envelope) for _ in range(3)}
    site.reopen()
    answers.add(site.governance.rotation.rotate(node.identity, envelope))
    assert answers == {(site.log.size - 1, "alpha")}
    assert site.kinds().count("KeyRotated") == 1


def test_a_receipt_holds_under_the_key_that_its_permit_names(site: Site) -> None:
    """Trained before the change, sent after it; the next round names the new key."""
    run = site.open_run()
    answer = site.authorize(run)
    old = site.nodes["alpha"]
    new = rotate(site)
    rows = site.submit(answer, old, site.nodes["beta"], site.nodes["gamma"])
    assert [row.accepted for row in rows] == [True, True, True]
    site.close_round(answer)
    site.tick(1)

    second = site.authorize(run, "ask-2")
    [member] = [one for one in site.permit(second).body.cohort if one.participant == "alpha"]
    assert member.key == sha256_hex(bytes.fromhex(public(NEW)))
    [refused] = site.submit(second, replace(old, name="alpha"))
    assert (refused.accepted, refused.code) == (False, "receipt-signature")
    [accepted] = site.submit(second, new)
    assert accepted.accepted


def test_a_receipt_of_before_does_not_hold_under_the_new_key(site: Site) -> None:
    answer = site.authorize(site.open_run())
    new = rotate(site)
    [row] = site.submit(answer, new)
    assert (row.accepted, row.code) == (False, "receipt-signature")


def test_several_changes_follow_each_other_and_none_comes_back(site: Site) -> None:
    first = site.nodes["alpha"]
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    for key in keys:
        rotate(site, new=key)
    for key in (first.receipt, *keys[:2]):
        with pytest.raises(RuleBroken, match="nobody has or had"):
            site.governance.rotation.rotate(first.identity, change(site, site.nodes["alpha"], key))
    site.reopen()
    site.whole_round(site.open_run(), "ask-1")


def forged(**values: Any) -> Callable[[Site, Node], bytes]:
    def make(site: Site, node: Node) -> bytes:
        stated = {
            "version": 1,
            "space": SPACE,
            "participant": node.name,
            "previous": public(node.receipt),
            "receipt_key": public(NEW),
            "time": instant(site.now),
            "proof": "0" * 128,
        } | values
        signer = stated.pop("signer", node.receipt)
        if stated["proof"] == "good":
            draft = KeyChange.from_json(stated | {"proof": "0" * 128})
            stated["proof"] = NEW.sign(draft.transcript()).hex()
        return sign_envelope(stated, payload_type=KEY_CHANGE_TYPE, key=signer)

    return make


THIEF = Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda *_: b"{}", BadInput, "DSSE"),
        (lambda *_: b"x" * 700_000, BadInput, "at most"),
        (lambda site, node: product_envelope(node, site.now), BadInput, "key-change"),
        (forged(version=2), BadInput, "version"),
        (forged(proof="0" * 128), BadInput, "proof by the new key"),
        (forged(proof="good", signer=THIEF), BadInput, "expected a signature by key"),
        (forged(proof="good", signer=NEW), BadInput, "expected a signature by key"),
        (forged(proof="good", participant="beta"), NotAllowed, "another's"),
        (forged(proof="good", space="another/space"), BadInput, "another/space"),
        (forged(proof="good", previous=public(THIEF)), BadInput, "names another"),
        (forged(receipt_key=LOW_ORDER), BadInput, "low order"),
    ],
)
def test_a_change_with_one_fault_changes_nothing(
    site: Site, make: Callable[[Site, Node], bytes], error: type[RequestError], text: str
) -> None:
    node, size = site.nodes["alpha"], site.log.size
    with pytest.raises(error, match=text):
        site.governance.rotation.rotate(node.identity, make(site, node))
    assert site.log.size == size
    site.whole_round(site.open_run(), "ask-1")


def test_another_participants_key_is_refused(site: Site) -> None:
    node, beta = site.nodes["alpha"], site.nodes["beta"]
    with pytest.raises(RuleBroken, match="nobody has or had"):
        site.governance.rotation.rotate(node.identity, change(site, node, beta.receipt))


def test_an_agreement_under_the_old_key_is_negotiated_anew(site: Site) -> None:
    """It was signed before the change, and would be logged after it."""
    contracts = Contracts(site)
    row = contracts.in_state("AGREED")
    name = contracts.owner.name
    rotate(site, name)
    with pytest.raises(RuleBroken, match="it was replaced since; end this negotiation"):
        contracts.verify(row)
    assert contracts.terminate(row).state == "TERMINATED"
    contracts.owner = site.nodes[name]
    assert contracts.in_state("FINALIZED").state == "FINALIZED"
