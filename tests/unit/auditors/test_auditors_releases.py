"""Replaying rounds with secure sums: what an honest governance released is clean, faults are named.

Some logs are an honest one with one edit, made consistent again by somebody who holds all keys;
others a governance wrote that was made dishonest while it released.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import (
    Keys,
    Story,
    change,
    copied,
    faults,
    keys_of,
    places,
    read,
    relinked,
    space,
    write,
)
from server_site import CONSUMER, Site
from sum_site import masked_run, release, send

from auditors.explain_entry import explain_entry
from auditors.known import NOTHING_KNOWN
from auditors.summary import summary_of
from policies.canonical import sha256_hex
from policies.entries import Entry, entry_bytes
from policies.envelope import sign_envelope, unverified_payload
from policies.phrases import Language
from policies.receipt import RECEIPT_TYPE
from policies.release import dealt
from server import receipt_checks, receipts, releases, rounds
from server import released as known

ELSE = sha256_hex(b"another")
Edit = Callable[[Story], int]


def voucher(site: Site, request: str) -> None:
    """An entry that nothing rests on, for an edit to take the place of."""
    site.governance.vouchers.issue("consortium", "1", request)


def opened_round(site: Site, run: str, request: str, *names: str, **changes: Any) -> None:
    """Steps 2 to 10 with a release, and an unused voucher after it."""
    site.tick(1)
    answer = site.authorize(run, request)
    send(site, answer, *names, **changes)
    release(site, answer)
    voucher(site, request)
    site.close_round(answer)


def tell(site: Site) -> None:
    """Two rounds and an evaluation; beta withdraws between its receipt and the first release."""
    run = masked_run(site)
    answer = site.authorize(run, "first")
    send(site, answer)
    site.withdraw(site.nodes["beta"])
    release(site, answer)
    voucher(site, "first")
    site.close_round(answer)
    opened_round(site, run, "second", "alpha", "gamma")
    opened_round(site, run, "evaluation", "alpha", "gamma", rows_used=0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Keys]:
    with space(tmp_path_factory.mktemp("releases") / "space") as site:
        tell(site)
        return read(site), keys_of(site)


def test_an_honest_log_is_clean(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    story, keys = honest
    assert relinked(copied(story), keys) == story, "the tests' own tool changes nothing"
    assert len(places(story, "MasksReleased")) == 3
    assert faults(write(tmp_path, story)) == []


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("en", ["released the masks of 2 updates", "Opened as one sum: alpha, gamma."]),
        ("zh", ["2 份更新的掩码", "alpha、gamma"]),
    ],
)
def test_a_release_is_told(honest: tuple[Story, Keys], language: Language, says: list[str]) -> None:
    story, _ = honest
    lines = [
        (n, entry_bytes(one.type, time=one.time, body=one.body)) for n, one in enumerate(story)
    ]
    at = places(story, "MasksReleased")[0]
    told = explain_entry(lambda: lines, at, language, NOTHING_KNOWN)
    text = "\n".join(told.says)
    assert all(one in text for one in says), text
    assert "PermitIssued" in [one.type for one in told.rests]
    close = explain_entry(lambda: lines, places(story, "RoundClosed")[0], language, NOTHING_KNOWN)
    assert "MasksReleased" in [one.type for one in close.rests]
    one = story[at]
    assert "released of alpha, gamma" in summary_of(Entry(one.type, one.time, one.body))


# -- one edit --------------------------------------------------------------------------------------


def again(story: Story) -> int:
    """The first release, a second time."""
    index = places(story, "VoucherIssued")[0]
    story[index].type = "MasksReleased"
    story[index].body = dict(story[places(story, "MasksReleased")[0]].body)
    return index


def never(story: Story) -> int:
    """The second round's release was never logged; the fault is its close's."""
    index, spare = places(story, "MasksReleased")[1], places(story, "VoucherIssued")[1]
    story[index].type = "VoucherIssued"
    story[index].body = story[spare].body | {"voucher": f"voucher-{index:032x}"}
    return places(story, "RoundClosed")[1]


def stated(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """What a receipt says."""

    def edit(body: dict[str, Any]) -> None:
        envelope = base64.b64decode(body["envelope"])
        payload: Any = unverified_payload(envelope, payload_type=RECEIPT_TYPE)
        nobody = NOBODY[0]
        signed = sign_envelope(payload | changes, payload_type=RECEIPT_TYPE, key=nobody)
        body["envelope"] = base64.b64encode(signed).decode()

    return edit


def how(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def edit(body: dict[str, Any]) -> None:
        body["secure_sum"].update(changes)

    return edit


PRIVACY = {
    "unit": "record",
    "parts": 1,
    "sample": "1",
    "noise": "1",
    "by": "nodes",
    "tolerated": 0,
    "delta": "0.00001",
}
EDITS: dict[str, tuple[Edit, set[str], str]] = {
    "a second release": (again, {"release-once"}, "expected one release for train round 1"),
    "a result without a release": (never, {"close-released"}, "expected a result only after"),
    "a close that leaves one of the released out": (
        change("RoundClosed", 0, lambda b: b["accepted"].pop()),
        {"close-released"},
        "expected the accepted receipts of alpha, gamma, got those of alpha",
    ),
    "a release of other words": (
        change("MasksReleased", 1, lambda b: b.update(words=7)),
        {"release-cohort"},
        "words: expected",
    ),
    "a release of another attempt": (
        change("MasksReleased", 1, lambda b: b.update(attempt=2)),
        {"release-cohort"},
        "attempt: expected 1, got 2",
    ),
    "a release that leaves one out": (
        change("MasksReleased", 1, lambda b: b.update(groups=[["alpha"]])),
        {"release-cohort", "close-released", "close-complete"},
        "expected alpha, gamma, got alpha",
    ),
    "a release of somebody without a receipt": (
        change("MasksReleased", 1, lambda b: b.update(groups=[["alpha", "beta", "gamma"]])),
        {"release-cohort"},  # the close names who was accepted, which is all that it can
        "expected alpha, gamma, got alpha, beta, gamma",
    ),
    "groups that the permit does not deal": (
        change("MasksReleased", 1, lambda b: b.update(groups=[["alpha"], ["gamma"]])),
        {"release-cohort"},
        "expected alpha, gamma, got alpha | gamma",
    ),
    "a release in another form": (
        change("MasksReleased", 1, lambda b: b.update(groups=[])),
        {"entry-readable", "close-released", "close-quorum", "close-complete"},
        "MasksReleased: DocumentError",
    ),
    "another architecture": (
        change("PermitIssued", 1, lambda b: b.update(architecture=ELSE)),
        {"architecture-kept"},
        "as in the run's first permit",
    ),
    "a coarser scale": (
        change("PermitIssued", 1, how(scale_bits=1)),
        {"permit-sums"},
        "expected {'mode': 'governance'",
    ),
    "a key of low order": (
        change("PermitIssued", 1, how(key="0" * 64)),
        {"permit-sums"},
        "one of low order",
    ),
    "groups that the run does not have": (
        change("PermitIssued", 1, how(groups=2)),
        {"permit-sums", "release-cohort"},
        "'groups': 1",
    ),
    "a permit without the run's sum": (
        change("PermitIssued", 1, lambda b: b.update(secure_sum=None)),
        {"permit-sums", "release-cohort", "receipt-masked"},
        "expected a secure sum as the run says, governance, got none",
    ),
    "a permit with privacy that nobody asked for": (
        change("PermitIssued", 1, lambda b: b.update(privacy=PRIVACY)),
        {"permit-follows", "permit-reserves", "receipt-permitted"},
        "privacy: expected None",
    ),
    "a permit that names another's key to seal to": (
        change("PermitIssued", 1, lambda b: b["cohort"][0].update(sealing="0" * 64)),
        {"permit-follows"},
        "sealing: expected ''",
    ),
    "a receipt without a mask": (
        change("ReceiptAccepted", 3, stated(mask_key="")),
        {"receipt-masked"},
        "mask key: expected 64 digits",
    ),
    "a receipt with a key of low order": (
        change("ReceiptAccepted", 3, stated(mask_key="0" * 64)),
        {"receipt-masked"},
        "one of low order",
    ),
    "a receipt with open figures": (
        change("ReceiptAccepted", 3, stated(metrics={"loss": "1"})),
        {"receipt-masked"},
        "within the masked update only",
    ),
    "a receipt with other noise": (
        change("ReceiptAccepted", 3, stated(noise="1")),
        {"receipt-permitted"},
        "noise: expected , got 1",
    ),
}
NOBODY: list[Any] = []


@pytest.mark.parametrize(("edit", "rules", "says"), EDITS.values(), ids=EDITS.keys())
def test_one_fault_is_named_with_its_entry(
    honest: tuple[Story, Keys], tmp_path: Path, edit: Edit, rules: set[str], says: str
) -> None:
    story, keys = honest
    NOBODY[:] = [keys["alpha"]]  # what is edited is signed anew by `relinked`
    story = copied(story)
    index = edit(story)
    found = faults(write(tmp_path, relinked(story, keys)))
    assert {rule for _, rule, _ in found} == rules
    assert [at for at, _, text in found if says in text] == [index]


# -- a dishonest governance ------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with space(tmp_path / "space") as made:
        yield made


def found_in(site: Site) -> list[tuple[str, str]]:
    """Type of entry and rule of each fault."""
    kinds = site.kinds()
    return [(kinds[index], rule) for index, rule, _ in faults(site.space.log_folder)]


def test_a_release_in_spite_of_a_withdrawal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    site.withdraw(site.nodes["beta"])
    monkeypatch.setattr(releases, "released", lambda permit, _standing: dealt(permit))
    release(site, answer)
    site.close_round(answer)
    assert found_in(site) == [("MasksReleased", "release-cohort")]


def test_a_release_of_too_few(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer, "alpha")
    monkeypatch.setattr(releases, "too_few", lambda *_: "")
    release(site, answer)
    site.close_round(answer)
    assert found_in(site) == [("MasksReleased", "release-cohort")]


def test_a_release_of_fewer_than_share_the_noise(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = site.authorize(masked_run(site, privacy=PRIVACY))
    send(site, answer, "alpha", "beta")
    monkeypatch.setattr(releases, "too_few", lambda *_: "")
    release(site, answer)
    site.close_round(answer)
    assert found_in(site) == [("MasksReleased", "release-cohort")]


def test_two_releases_that_tell_one_apart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "differencing", lambda *_: "")
    for number, names in enumerate((("alpha", "beta", "gamma"), ("alpha", "gamma"))):
        answer = site.authorize(masked_run(site, f"run-{number}"))
        send(site, answer, *names)
        release(site, answer)
        site.close_round(answer)
    assert found_in(site) == [("MasksReleased", "release-apart")]


def test_a_receipt_after_the_release(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer, "alpha", "gamma")
    release(site, answer)
    with monkeypatch.context() as patched:
        patched.setattr(known, "of_permit", lambda *_: None)
        send(site, answer, "beta")
    site.close_round(answer)
    assert found_in(site) == [("ReceiptAccepted", "receipt-permitted")]


def test_another_attempt_at_a_released_round(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = masked_run(site)
    answer = site.authorize(run, "first")
    send(site, answer)
    release(site, answer)
    monkeypatch.setattr(rounds, "check_released", lambda *_: None)
    site.authorize(run, "second")
    site.governance.runs.stop(CONSUMER, run)
    assert found_in(site) == [("PermitIssued", "release-once")]


def test_a_result_of_a_round_that_nobody_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = site.authorize(masked_run(site))
    send(site, answer)
    monkeypatch.setattr(receipts, "check_borne_out", lambda *_, **__: None)
    site.close_round(answer)
    assert found_in(site) == [("RoundClosed", "close-released")]


# -- under pairwise masks --------------------------------------------------------------------------


def pairwise_release(site: Site, *names: str) -> None:
    """A release of these three or fewer, as far as governance does not refuse it."""
    answer = site.authorize(masked_run(site, secure_sum="pairwise"))
    site.submit(answer, *(site.nodes[name] for name in names))
    with site.governance.releases.release(CONSUMER, answer.permit_id):
        site.close_round(answer)


def test_an_honest_pairwise_release_is_clean_and_told(site: Site) -> None:
    pairwise_release(site, "alpha", "beta", "gamma")
    assert found_in(site) == []
    entries = site.entries()
    (at,) = (n for n, one in enumerate(entries) if one.type == "MasksReleased")
    assert "nodes may open alpha, beta, gamma" in summary_of(entries[at])
    lines = list(enumerate(site.log.entries(0, site.log.size)))
    for language, says in PAIRWISE_SAYS.items():
        assert says in "\n".join(explain_entry(lambda: lines, at, language, NOTHING_KNOWN).says)


PAIRWISE_SAYS: dict[Language, str] = {
    "en": "of whom the nodes may open the sum of",
    "zh": "可由各节点共同开启总和的 3 份更新",
}


def test_a_pairwise_release_of_fewer_than_have_to_help(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "too_few", lambda *_: "")
    pairwise_release(site, "alpha", "beta")
    assert found_in(site) == [("MasksReleased", "release-cohort")]


def test_a_pairwise_release_with_sums(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "NO_SUMS", ELSE)
    pairwise_release(site, "alpha", "beta", "gamma")
    assert found_in(site) == [("MasksReleased", "release-cohort")]


def test_a_pairwise_result_without_a_release(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.authorize(masked_run(site, secure_sum="pairwise"))
    site.submit(answer, *site.nodes.values())
    monkeypatch.setattr(receipts, "check_borne_out", lambda *_, **__: None)
    site.close_round(answer)
    assert found_in(site) == [("RoundClosed", "close-released")]


def test_a_pairwise_receipt_without_its_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.authorize(masked_run(site, secure_sum="pairwise"))
    monkeypatch.setattr(receipt_checks, "_wrongly_masked", lambda *_: ())
    arrived = site.arrived(answer, site.nodes["alpha"], mask_key="")
    site.governance.receipts.submit(CONSUMER, answer.permit_id, [arrived], [])
    assert found_in(site) == [("ReceiptAccepted", "receipt-masked")]
