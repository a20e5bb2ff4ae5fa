"""An operator who holds every key breaks one promise, and keeps the log consistent around it.

Each of these logs verifies, since its tree is what the operator signed; a replay names the entry
and the rule, and `tds audit replay` ends with 4. More faults of single fields are told apart in
`test_auditors_wholelog`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replay_log_site import (
    SIGNER,
    Keys,
    Story,
    change,
    copied,
    keys_of,
    open_run,
    places,
    read,
    relinked,
    space,
    tell,
    whole_round,
    write,
)
from server_site import Site, count_at_most
from typer.testing import CliRunner

from auditors.shares import replay_log
from commands.audit import cli
from policies.account import Account
from policies.claim import Claim
from policies.law import baseline_digest, parse_baseline
from server import hearing, queries


def audited(folder: Path, key: str = SIGNER.verifier_key) -> list[tuple[int, str, str]]:
    """What a replay names, once the tree is verified and the command has ended with 4."""
    found = replay_log(folder, jobs=1).violations
    ran = CliRunner().invoke(cli, ["replay", str(folder), "--key", key], env={"COLUMNS": "5000"})
    assert ran.exit_code == (4 if found else 0), ran.output
    assert f"verified: {replay_log(folder, jobs=1).entries} entries" in ran.output
    for one in found:
        assert f"entry {one.index} breaks a rule ({one.rule})" in ran.output
    return [(one.index, one.rule, one.text) for one in found]


# -- rewritten: an honest log with one edit --------------------------------------------------------


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Keys]:
    """A run of two rounds and an evaluation, and all keys."""
    with space(tmp_path_factory.mktemp("faults") / "space") as site:
        tell(site)
        return read(site), keys_of(site)


UNUSED = 1  # the second voucher: an entry that nothing rests on


def instead(kind: str, nth: int) -> Callable[[Story], int]:
    """The nth entry of a type was never logged; a voucher stands in its place."""

    def edit(story: Story) -> int:
        index = places(story, kind)[nth]
        voucher = story[places(story, "VoucherIssued")[UNUSED]]
        story[index].type = "VoucherIssued"
        story[index].body = voucher.body | {"voucher": f"voucher-{index:032x}"}
        return index

    return edit


def put(kind: str, body: Callable[[Story], dict[str, Any]]) -> Callable[[Story], int]:
    """After the first round, an entry of a type."""

    def edit(story: Story) -> int:
        index = places(story, "VoucherIssued")[UNUSED]
        made = body(story)
        story[index].type = kind  # type: ignore[assignment]
        story[index].body = made
        return index

    return edit


def serial_of(product: str) -> Callable[[Story], dict[str, Any]]:
    def find(story: Story) -> dict[str, Any]:
        certified = [story[at].body for at in places(story, "CertificateIssued")]
        (serial,) = [one["serial"] for one in certified if one["product"] == product]
        return {"serial": serial, "reason": "withdrawn"}

    return find


def the_app(story: Story) -> dict[str, Any]:
    return {"app": story[places(story, "AppRegistered")[0]].body["app"], "reason": "withdrawn"}


def fewer_laws(story: Story) -> dict[str, Any]:
    documents = story[places(story, "BaselineAdopted")[0]].body["documents"][1:]
    laws = [parse_baseline(one["document"].encode()) for one in documents]
    return {"documents": documents, "digest": baseline_digest(laws)}


def skip_close(story: Story) -> int:
    """The first round's close was never logged, and the next one hides it."""
    instead("RoundClosed", 0)(story)
    return change("RoundClosed", 0, lambda body: body.update(previous=None))(story)


def same_permit_id(story: Story) -> int:
    """The second round's permit has the first one's id; its receipts and close name it."""
    first, second = (places(story, "PermitIssued")[nth] for nth in (1, 2))
    id, old = story[first].body["id"], story[second].body["id"]
    story[second].body["id"] = id
    for one in story[second:]:
        if one.body.get("permit_id") == old:
            one.body["permit_id"] = id
    return second


def twice(kind: str, nth: int) -> Callable[[Story], int]:
    """An entry stands a second time, after the first round."""
    return put(kind, lambda story: dict(story[places(story, kind)[nth]].body))


def run_again(story: Story) -> int:
    first, second = places(story, "RunOpened")
    later = story[second].body["run"]
    for one in story[second:]:
        if one.body.get("run") == later:
            one.body["run"] = story[first].body["run"]
    return second


def old_receipt(story: Story) -> int:
    """Alpha's use in the second round is borne out by its receipt of the first."""
    first, _, second, *_ = places(story, "ReceiptAccepted")
    for name in ("envelope", "receipt"):
        story[second].body[name] = story[first].body[name]
    return second


Place = tuple[str, int]  # the nth entry of a type, before the edit
D0, D1, D2 = (("RoundDecided", nth) for nth in range(3))  # the first was abandoned
P1, P2 = ("PermitIssued", 1), ("PermitIssued", 2)
C0, C1 = ("RoundClosed", 0), ("RoundClosed", 1)

EDITS: dict[str, tuple[Callable[[Story], int], set[tuple[str, Place]], str]] = {
    "a close was left out of the chain": (
        instead("RoundClosed", 0),
        {("round-next", D2), ("close-chained", C1)},
        "expected the previous close in entry None, got 33",
    ),
    "a close was left out, and the next one hides it": (
        skip_close,
        {("round-next", D2)},
        "closed or abandoned before the next decision",
    ),
    "a round was closed twice": (
        twice("RoundClosed", 0),
        {("close-follows", ("VoucherIssued", 1)), ("close-chained", ("VoucherIssued", 1))},
        "expected the close of its open permit",
    ),
    "a permit's id was used again": (
        same_permit_id,
        {("permit-once", P2)},
        "expected a new id, it stands in entry 30",
    ),
    "an agreement that was never concluded": (
        instead("AgreementConcluded", 3),
        {("run-follows", ("RunOpened", 0)), ("registered-first", D1), ("permit-agreed", P1)},
        "expected a concluded agreement limited about alpha/records, got none",
    ),
    "a product that was never registered": (
        instead("ProductRegistered", 2),
        {("statement-follows", ("AgreementConcluded", 2)), ("registered-first", D1)},
        "expected product 'gamma/records' in an earlier entry, got none",
    ),
    "a participant who was never enrolled": (
        instead("ParticipantEnrolled", 2),
        {
            ("registered-first", ("ProductRegistered", 2)),
            ("registered-first", D1),
            ("receipt-in-bounds", ("ReceiptAccepted", 3)),
        },
        "expected participant 'gamma' in an earlier entry, got none",
    ),
    "an app that was never registered": (
        instead("AppRegistered", 0),
        {("decision-follows", D0), ("decision-follows", D1)},
        "the log leads to refused (app-unregistered), decided was permitted",
    ),
    "a product without a certificate": (
        instead("CertificateIssued", 2),
        {("decision-follows", D0), ("decision-follows", D1)},
        "gamma/records: the log leads to refused (certificate-missing)",
    ),
    "a certificate that was taken back": (
        put("CertificateRevoked", serial_of("gamma/records")),
        {("decision-follows", D2)},
        "gamma/records: the log leads to refused (certificate-revoked), decided was permitted",
    ),
    "an app whose filing was taken back": (
        put("AppFilingRevoked", the_app),
        {("decision-follows", D2)},
        "the log leads to refused (app-filing-revoked), decided was permitted",
    ),
    "laws that were adopted and not applied": (
        put("BaselineAdopted", fewer_laws),
        {("baseline-in-force", D2)},
        "expected the laws adopted last",
    ),
    "a voucher for less than it paid": (
        change("VoucherIssued", 0, lambda body: body.update(amount="7")),
        {("decision-follows", D1), ("voucher-covers", P1)},
        "expected at most the 1 units that",
    ),
    "an update without a receipt was aggregated": (
        instead("ReceiptAccepted", 1),
        {("close-answers", C0), ("close-complete", C0)},
        "beta: expected an accepted receipt for what is aggregated, got none",
    ),
    "a space that is created again, with other keys": (
        twice("SpaceCreated", 0),
        {("statement-new", ("VoucherIssued", 1))},
        "expected one creation, at the log's beginning",
    ),
    "a run's id for another run": (
        run_again,
        {("run-follows", ("RunOpened", 1))},
        "expected a new id, got one of an earlier run",
    ),
    "a voucher's id that is filled again": (
        twice("VoucherIssued", 0),
        {("voucher-new", ("VoucherIssued", 1))},
        "expected a new id, it stands in entry 16",
    ),
    "a certificate's serial that is used again": (
        twice("CertificateIssued", 1),
        {("statement-new", ("VoucherIssued", 1))},
        "expected a new id, got one that stands",
    ),
    "a certificate taken back that was never issued": (
        put("CertificateRevoked", lambda _: {"serial": "certificate-" + "0" * 32, "reason": ""}),
        {("registered-first", ("VoucherIssued", 1))},
        "expected certificate",
    ),
    "a transfer that skips a step": (
        change("TransferStep", 6, lambda body: body.update(before="STARTED", number=4)),
        {("transfer-chained", ("TransferStep", 6))},
        "expected step 3 from STARTED, got 4 from STARTED",
    ),
    "a receipt logged for another round": (
        change("ReceiptAccepted", 0, lambda body: body.update(round=2)),
        {("receipt-permitted", ("ReceiptAccepted", 0))},
        "entry's round: expected (1, 'train'), got (2, 'train')",
    ),
    "a key under which anything verifies": (
        change("ParticipantEnrolled", 2, lambda body: body.update(receipt_key="01" + "00" * 31)),
        {("key-sound", ("ParticipantEnrolled", 2)), ("receipt-permitted", ("ReceiptAccepted", 3))},
        "gamma: expected an Ed25519 key of full order",
    ),
    "rows that no receipt bears out": (
        change("RoundClosed", 0, lambda body: body["accepted"][0].update(rows=8_000)),
        {("close-answers", C0), ("close-complete", C0)},
        "alpha: expected the 80 rows of its accepted receipt, got 8000",
    ),
}


@pytest.mark.parametrize(("edit", "named", "says"), EDITS.values(), ids=EDITS.keys())
def test_a_rewritten_log_verifies_and_does_not_replay(
    honest: tuple[Story, Keys],
    tmp_path: Path,
    edit: Callable[[Story], int],
    named: set[tuple[str, Place]],
    says: str,
) -> None:
    story = copied(honest[0])
    edit(story)
    found = audited(write(tmp_path, relinked(story, honest[1])))
    expected = {(places(honest[0], kind)[nth], rule) for rule, (kind, nth) in named}
    assert expected <= {(index, rule) for index, rule, _ in found}
    assert min(index for index, _, _ in found) == min(at for at, _ in expected)
    assert any(says in text for _, _, text in found)


def test_a_use_that_an_old_receipt_bears_out(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    story = copied(honest[0])
    at = old_receipt(story)
    found = audited(write(tmp_path, story))
    assert {one[:2] for one in found} == {(at, "receipt-permitted"), (42, "close-complete")}
    assert any("permit: expected" in text for _, _, text in found)


def test_a_receipt_that_somebody_else_signed(honest: tuple[Story, Keys], tmp_path: Path) -> None:
    story, keys = copied(honest[0]), dict(honest[1])
    keys["alpha"] = keys["beta"]
    found = audited(write(tmp_path, relinked(story, keys)))
    assert {rule for _, rule, _ in found} == {"receipt-permitted"}
    assert all("expected a signature by key" in text for _, _, text in found)


# -- dishonest while it decides --------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with space(tmp_path / "space") as made:
        yield made


def since(site: Site, index: int) -> list[tuple[str, str, str]]:
    """Type of entry, rule and text of what a replay names; nothing before `index` is."""
    found = audited(site.space.log_folder, site.space.card.log_key)
    assert all(at >= index for at, _, _ in found)
    kinds = site.kinds()
    return [(kinds[at], rule, text) for at, rule, text in found]


def test_a_withdrawal_that_was_logged_and_skipped(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every later entry of beta's use is named: decision, permit and receipt."""
    run = open_run(site)
    whole_round(site, run, "first")
    site.withdraw(site.nodes["beta"])
    size, real = site.log.size, queries.claims

    def blind(*args: Any) -> dict[str, Claim]:
        return {id: replace(claim, withdrawn=None) for id, claim in real(*args).items()}

    monkeypatch.setattr(queries, "claims", blind)
    whole_round(site, run, "second")
    found = since(site, size)
    assert {(kind, rule) for kind, rule, _ in found} == {
        ("RoundDecided", "decision-follows"),
        ("PermitIssued", "permit-agreed"),
        ("ReceiptAccepted", "receipt-in-bounds"),
    }
    assert all("beta" in text for _, _, text in found)
    assert any("the log leads to refused (consent-withdrawn)" in text for _, _, text in found)


def at_most(left: str, value: str, kind: str) -> dict[str, Any]:
    right = {"@value": value, "@type": f"xsd:{kind}"}
    return {"leftOperand": left, "operator": "lteq", "rightOperand": right}


@pytest.mark.parametrize(
    ("limit", "shows", "code"),
    [
        (count_at_most(2), "count: the log shows 3", "count-exhausted"),
        (
            at_most("meteredTime", "PT89S", "duration"),
            "meteredTime: the log shows PT90S",
            "metered-time-exhausted",
        ),
    ],
)
def test_permitted_over_a_budget(
    site: Site, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any], shows: str, code: str
) -> None:
    """Two uses are left; governance forgets what was used, and permits a third."""
    site.agree(site.nodes["alpha"], limit, **{"@id": "budget"})
    run = open_run(site, agreements=["budget"], rounds=4)
    for number in range(2):  # of which no receipt comes, so that all that was reserved counts
        site.authorize(run, f"ask-{number}")
    size = site.log.size
    monkeypatch.setattr(hearing.accounts, "accounts", lambda _, ids: {id: Account() for id in ids})
    site.authorize(run, "ask-2")
    found = since(site, size)
    assert {(kind, rule) for kind, rule, _ in found} == {
        ("RoundDecided", "left-value"),
        ("RoundDecided", "decision-follows"),
    }
    assert any(shows in text for _, _, text in found)
    assert any(
        f"the log leads to refused ({code}), decided was permitted" in t for _, _, t in found
    )


def test_a_node_that_was_refused_is_permitted_by_the_wrong_clock(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Governance turns its clock back to when the agreement still stood."""
    end = site.now.isoformat(timespec="seconds").replace("+00:00", "Z")
    until = {"leftOperand": "dateTime", "operator": "lteq"}
    until |= {"rightOperand": {"@value": end, "@type": "xsd:dateTime"}}
    site.agree(site.nodes["alpha"], until, **{"@id": "until"})
    site.tick(3_600)
    run = open_run(site, agreements=["until"])
    assert not site.authorize(run, "refused").permit
    size = site.log.size
    site.tick(-3_601)
    assert site.authorize(run, "permitted").permit
    assert {rule for _, rule, _ in since(site, size)} == {"clock-back"}
