"""Of whom a sum under pairwise masks may be opened: once, for those who stand, enough of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from server_site import CONSUMER, SPACE, Site, enrolling, new_node
from sum_site import masked_run

from policies.errors import SignatureError
from policies.masks import public_key
from policies.release import NO_SUMS, MaskRelease, open_release
from server.errors import NotAllowed, NotKnown, RuleBroken, Superseded
from server.pki import Identity
from server.receipt_checks import Missing
from server.rounds import RoundAnswer

STRANGER = Identity(space=SPACE, role="consumer", participant="stranger")


@pytest.fixture
def site(site: Site) -> Site:
    """With a fourth enterprise, so that one may be missing."""
    site.populate("delta")
    return site


def pairwise_round(site: Site, *names: str, request: str = "run-1", **terms: Any) -> RoundAnswer:
    """A permit under pairwise masks, and receipts of these or of all."""
    answer = site.authorize(masked_run(site, request, secure_sum="pairwise", **terms))
    site.submit(answer, *(site.nodes[name] for name in names or sorted(site.nodes)))
    return answer


def signed(site: Site, answer: RoundAnswer, caller: Identity = CONSUMER) -> bytes:
    with site.governance.releases.release(caller, answer.permit_id) as found:
        assert list(found.pieces()) == []
        return found.document


def opened(site: Site, data: bytes) -> MaskRelease:
    return open_release(data, site.space.permit_key().public_key())


def test_a_release_is_logged_signed_and_the_same_when_asked_again(site: Site) -> None:
    answer = pairwise_round(site)
    data = signed(site, answer)
    release = opened(site, data)
    assert release.groups == [["alpha", "beta", "delta", "gamma"]]
    assert (release.permit, release.sums) == (site.permit(answer).body.digest(), NO_SUMS)
    assert [one.body for one in site.entries() if one.type == "MasksReleased"] == [
        release.to_json()
    ]
    assert signed(site, answer) == data
    assert site.kinds().count("MasksReleased") == 1


def test_only_the_permit_key_signs_it(site: Site) -> None:
    data = signed(site, pairwise_round(site))
    with pytest.raises(SignatureError):
        open_release(data, site.nodes["alpha"].receipt.public_key())


def test_who_withdrew_before_it_is_not_in_it(site: Site) -> None:
    answer = pairwise_round(site)
    site.withdraw(site.nodes["beta"])
    assert opened(site, signed(site, answer)).groups == [["alpha", "delta", "gamma"]]
    site.close_round(answer)
    body = next(one.body for one in site.entries() if one.type == "RoundClosed")
    assert [one["participant"] for one in body["accepted"]] == ["alpha", "delta", "gamma"]  # type: ignore[index,union-attr,call-overload]


def test_who_withdraws_after_it_was_too_late(site: Site) -> None:
    answer = pairwise_round(site)
    data = signed(site, answer)
    site.withdraw(site.nodes["beta"])
    assert signed(site, answer) == data


def two_receipts(site: Site) -> RoundAnswer:
    return pairwise_round(site, "alpha", "beta")


def two_withdrew(site: Site) -> RoundAnswer:
    answer = pairwise_round(site)
    for name in ("alpha", "beta"):
        site.withdraw(site.nodes[name])
    return answer


def one_apart(site: Site) -> RoundAnswer:
    first = pairwise_round(site)
    signed(site, first)
    site.close_round(first)
    return pairwise_round(site, "alpha", "beta", "delta", request="run-2")


def closed(site: Site) -> RoundAnswer:
    answer = pairwise_round(site)
    site.close_round(answer, quorum_met=False, model=site.permit(answer).body.model, metrics={})
    return answer


def given_up(site: Site) -> RoundAnswer:
    answer = pairwise_round(site)
    site.authorize(site.permit(answer).body.run, "again")
    return answer


def nobodys(site: Site) -> RoundAnswer:
    return RoundAnswer(b"", f"permit-{'0' * 32}", (), 0)


@pytest.mark.parametrize(
    ("case", "text", "kind"),
    [
        (two_receipts, "too-few-to-release.*at least 3 with standing consent, got 2", RuleBroken),
        (two_withdrew, "too-few-to-release.*got 2", RuleBroken),
        (one_apart, "cohorts-too-alike", RuleBroken),
        (closed, "round-closed", RuleBroken),
        (given_up, "newer attempt", Superseded),
        (nobodys, "expected the id", NotKnown),
    ],
)
def test_what_is_not_released(
    site: Site, case: Callable[[Site], RoundAnswer], text: str, kind: type[Exception]
) -> None:
    answer = case(site)
    size = site.log.size
    with pytest.raises(kind, match=text):
        signed(site, answer)
    assert site.log.size == size


def test_only_its_consumer_may_ask(site: Site) -> None:
    answer = pairwise_round(site)
    with pytest.raises(NotAllowed):
        signed(site, answer, STRANGER)


def test_no_receipt_and_no_other_attempt_after_it(site: Site) -> None:
    answer = pairwise_round(site, "alpha", "beta", "gamma")
    signed(site, answer)
    with pytest.raises(RuleBroken, match="released-already"):
        site.submit(answer, site.nodes["delta"])
    with pytest.raises(RuleBroken, match="released-already"):
        site.authorize(site.permit(answer).body.run, "again")


def test_no_result_without_it(site: Site) -> None:
    answer = pairwise_round(site)
    with pytest.raises(RuleBroken, match="not-released"):
        site.close_round(answer)


@pytest.mark.parametrize("key", ["", "0" * 64, "01" + "0" * 62])
def test_a_receipt_states_a_key_that_can_mask(site: Site, key: str) -> None:
    answer = site.authorize(masked_run(site, secure_sum="pairwise"))
    arrived = site.arrived(answer, site.nodes["alpha"], mask_key=key)
    missing: list[Missing] = []
    (row,) = site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], missing)
    assert (row.accepted, row.code) == (False, "receipt-wrong-mask")


def test_the_permit_names_the_keys_that_peers_seal_to(site: Site) -> None:
    body = site.permit(pairwise_round(site)).body
    keys = {one.participant: one.sealing for one in body.cohort}
    assert keys == {name: public_key(one.disclosure) for name, one in site.nodes.items()}


def test_two_who_have_one_sealing_key_get_no_permit(site: Site) -> None:
    echo = new_node("echo")
    echo.disclosure = site.nodes["alpha"].disclosure
    site.adopt(echo, site.governance.enrolment.enrol(enrolling(site.invite("echo").token, echo)))
    site.add_product(echo)
    site.agree(echo)
    run = masked_run(site, secure_sum="pairwise")
    with pytest.raises(RuleBroken, match=r"pairwise-cohort.*sealing of each one's own"):
        site.authorize(run)
    assert "PermitIssued" not in site.kinds()


def test_two_products_of_one_participant_are_refused_when_the_run_is_opened(site: Site) -> None:
    node = site.nodes["alpha"]
    other = f"{node.product}-2"
    site.add_product(node, id=other)
    site.agree(node, **{"@id": f"{node.agreement}-2", "target": other})
    agreements = [node.agreement, f"{node.agreement}-2", site.nodes["beta"].agreement]
    with pytest.raises(RuleBroken, match="agreements: expected one a participant"):
        masked_run(site, secure_sum="pairwise", agreements=agreements)


def test_a_cohort_that_could_not_be_opened_gets_no_permit(site: Site) -> None:
    first = pairwise_round(site)
    signed(site, first)
    site.close_round(first)
    three = [site.nodes[name].agreement for name in ("alpha", "beta", "delta")]
    run = masked_run(site, "run-2", secure_sum="pairwise", agreements=three)
    with pytest.raises(RuleBroken, match="cohorts-too-alike"):
        site.authorize(run)
