"""What identifies lies beside the log: sealed, read by whom it may, erased without a trace."""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from server_site import (
    CONSUMER,
    DESCRIPTION,
    ENOUGH,
    OPERATOR,
    SPACE,
    Node,
    Site,
    make_fab,
    product_envelope,
    withdrawal_envelope,
)

from auditors.disclosures import commitments_of, disclose
from auditors.shares import replay_log
from auditors.verify import verify_folder
from policies.canonical import parse_json
from policies.disclosure import ProductText, Profile, ReasonText, new_opening
from policies.pseudonym import is_pseudonym
from policies.sealing import key_ids, parse_sealed, unseal
from policies.statements import AppFiling
from server.disclosing import MAX_AUDITORS
from server.disclosures import Disclosures
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken, Unavailable
from server.pki import Identity

AUDITOR = X25519PrivateKey.generate()
NAME = "Riverside University Hospital"
# Whatever a person wrote; none of it may stand in the log.
WORDS = (
    NAME,
    "dpo@riverside.example",
    "91440101XX",
    "1 River Road",
    '"records"',
    '"age"',
    "enough",
    "a classifier",
    "Ada Lovelace",
    "weights of the model",
    "the card was wrong",
    "it looks wrong",
    "Auditors & Partners",
)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Site]:
    site = Site.make(tmp_path / "space")
    yield site
    site.close()


@pytest.fixture
def told(empty: Site) -> Site:
    """A space in which everything that takes words was told some."""
    node = enrolled(empty)
    empty.add_product(node)
    empty.agree(node)
    filing = AppFiling(author="Ada Lovelace", outputs=["weights of the model"])
    _, app = empty.governance.catalogue.register_app(make_fab(), "a classifier", filing)
    run = empty.open_run()
    empty.whole_round(run, "ask-1")
    empty.governance.runs.stop(CONSUMER, run, "it looks wrong")
    registrar = empty.governance.registrar
    registrar.revoke(serial_of(empty, node), "the card was wrong")
    registrar.revoke_filing(app, "the card was wrong")
    empty.withdraw(node)
    empty.governance.disclosing.name_auditor(
        auditor="", title="Auditors & Partners", key=AUDITOR.public_key().public_bytes_raw()
    )
    return empty


def enrolled(site: Site, participant: str = "") -> Node:
    join = site.invite(
        participant,
        title=NAME,
        contact="dpo@riverside.example",
        registration="91440101XX",
        address="1 River Road",
    )
    from server_site import enrolling, new_node

    node = new_node(join.participant)
    site.adopt(node, site.governance.enrolment.enrol(enrolling(join.token, node)))
    return node


def serial_of(site: Site, node: Node) -> str:
    listed = [
        parse_json(one, max_bytes=1 << 20) for one in site.governance.list(OPERATOR, "products")
    ]
    found: Any = next(one for one in listed if one["product"] == node.product)  # type: ignore[index, call-overload]
    return str(found["certificate_serial"])


def files(site: Site) -> list[Path]:
    return sorted(site.space.disclosures_folder.iterdir())


def stored(*folders: Path) -> bytes:
    """Every byte of every file below these folders."""
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in found)


def readable(data: bytes) -> bytes:
    """The bytes, and whatever stands in them as base64, envelopes in envelopes included."""
    inner = [
        base64.b64decode(text)
        for text in re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", data)
        if len(text) % 4 == 0
    ]
    return data + b"".join(map(readable, inner))


def people(site: Site, caller: Identity) -> dict[str, str]:
    listed = [
        parse_json(one, max_bytes=9999) for one in site.governance.list(caller, "participants")
    ]
    return {one["participant"]: one["title"] for one in listed}  # type: ignore[index, misc, call-overload]


# -- what the log and the registry hold ----------------------------------------------------------


def test_neither_log_nor_registry_nor_disclosures_show_what_people_wrote(told: Site) -> None:
    log = b"\n".join(told.log.entries(0, told.log.size))
    told.close()
    space = told.space
    found = stored(space.log_folder, space.folder / "governance", space.disclosures_folder) + log
    shown = readable(found)
    assert b'"signatures"' in shown, "envelopes are looked into"
    assert [word for word in WORDS if word.encode() in shown] == []


def test_each_file_is_its_owners_only(told: Site) -> None:
    assert len(files(told)) >= 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(told)} == {0o600}
    assert stat.S_IMODE(told.space.disclosures_folder.stat().st_mode) == 0o700


def test_an_invitation_makes_a_pseudonym(empty: Site) -> None:
    one, other = empty.invite("").participant, empty.invite("").participant
    assert is_pseudonym(one)
    assert is_pseudonym(other)
    assert one != other


def test_an_invitation_that_is_voided_leaves_no_profile(empty: Site) -> None:
    empty.invite("clinic", title=NAME)
    (first,) = files(empty)
    empty.invite("clinic", title=NAME)
    (second,) = files(empty)
    assert first != second
    empty.invite("clinic", title="")
    assert files(empty) == []


def test_the_start_drops_the_profile_of_who_never_came(empty: Site) -> None:
    empty.invite("late", title=NAME, valid_s=60)
    empty.invite("clinic", title=NAME, valid_s=3600)
    empty.tick(60)
    assert len(files(empty)) == 2
    empty.reopen()
    (left,) = files(empty)
    empty.tick(3600)
    empty.reopen()
    assert files(empty) == [], left


# -- who reads it --------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["owner", "auditor", "operator"])
def test_who_may_read_reads_all_that_is_theirs(told: Site, who: str) -> None:
    (node,) = told.nodes.values()
    keys = {"owner": node.disclosure, "auditor": AUDITOR, "operator": told.space.disclosure_key()}
    found = disclose(told.space.log_folder, told.space.disclosures_folder, keys[who])
    assert found.faults == []
    assert found.names()[node.name] == NAME
    texts = {one.type: one.value for one in found.commitments if one.value is not None}
    about = {"ParticipantEnrolled", "ProductRegistered", "ConsentWithdrawn", "CertificateRevoked"}
    others = {"AppRegistered", "AppFilingRevoked", "RunEnded", "AuditorNamed"}
    assert set(texts) == (about if who == "owner" else about | others)
    assert texts["ConsentWithdrawn"] == {"text": "enough"}
    assert texts["ProductRegistered"]["title"] == "records"  # type: ignore[index]


def test_nobody_else_reads_any(told: Site) -> None:
    key = X25519PrivateKey.generate()
    found = disclose(told.space.log_folder, told.space.disclosures_folder, key)
    assert (found.opened, found.faults, found.names()) == (0, [], {})
    assert {one.state for one in found.commitments} == {"sealed-to-others"}


def test_lists_show_names_to_the_operator_and_their_own_to_the_others(told: Site) -> None:
    other = told.enrol("beta")
    (node, _) = told.nodes.values()
    hidden = dict.fromkeys(["operator", "consortium"], "")
    assert people(told, OPERATOR) == {**hidden, node.name: NAME, "beta": "The beta"}
    assert people(told, node.identity) == {**hidden, node.name: NAME, "beta": ""}
    assert people(told, other.identity) == {**hidden, node.name: "", "beta": "The beta"}
    assert people(told, CONSUMER) == {**hidden, node.name: "", "beta": ""}


def test_a_participant_gets_the_files_that_are_sealed_to_it(told: Site) -> None:
    (node,) = told.nodes.values()
    own = told.governance.list(node.identity, "disclosures")
    assert len(own) == 4
    opened = [unseal(parse_sealed(data), node.disclosure, space=SPACE).value for data in own]
    assert Profile in {type(one) for one in opened}
    assert told.governance.list(CONSUMER, "disclosures") == []
    other = told.enrol("beta")
    assert len(told.governance.list(other.identity, "disclosures")) == 1
    # Named as an auditor, too, it gets all.
    key = other.disclosure.public_key().public_bytes_raw()
    told.governance.disclosing.name_auditor(auditor="beta", title="", key=key)
    assert len(told.governance.list(other.identity, "disclosures")) == len(files(told))


def test_an_auditor_who_is_named_reads_what_was_there_before(told: Site) -> None:
    later = X25519PrivateKey.generate()
    name = told.governance.disclosing.name_auditor
    key = later.public_key().public_bytes_raw()
    index, id = name(auditor="second", title="", key=key)
    assert told.entries()[index].body == {
        "auditor": "second",
        "disclosure_key": key.hex(),
        "profile": "",
    }
    found = disclose(told.space.log_folder, told.space.disclosures_folder, later)
    assert {one.state for one in found.commitments} == {"disclosed"}
    assert name(auditor="second", title="again", key=key) == (index, id)
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    for clash in ({"auditor": "second", "key": other}, {"auditor": "third", "key": key}):
        with pytest.raises(RuleBroken, match="that stands"):
            name(title="", **clash)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": b""}, "X25519"),
        ({"key": bytes(32)}, "X25519"),
        ({"auditor": "Upper"}, "lowercase"),
        ({"title": "x" * 201}, "at most 200"),
    ],
)
def test_a_malformed_auditor_is_refused(empty: Site, changes: dict[str, Any], said: str) -> None:
    good = {"auditor": "", "title": "", "key": AUDITOR.public_key().public_bytes_raw()}
    with pytest.raises(BadInput, match=said):
        empty.governance.disclosing.name_auditor(**(good | changes))
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted"]


def test_auditors_are_not_too_many(empty: Site) -> None:
    for number in range(MAX_AUDITORS + 1):
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        if number == MAX_AUDITORS:
            with pytest.raises(RuleBroken, match="at most"):
                empty.governance.disclosing.name_auditor(auditor="", title="", key=key)
        else:
            empty.governance.disclosing.name_auditor(auditor="", title="", key=key)


# -- what statements bring along -----------------------------------------------------------------


@pytest.mark.parametrize(
    "openings",
    [
        (ENOUGH.to_bytes(),),
        (
            new_opening(
                ProductText(title="other", columns=DESCRIPTION.value.columns), bytes(32)
            ).to_bytes(),
        ),  # type: ignore[attr-defined]
        (b"{}",),
        (DESCRIPTION.to_bytes(), DESCRIPTION.to_bytes()),
    ],
    ids=["another kind", "another text", "malformed", "two"],
)
def test_what_does_not_open_a_statement_is_refused(
    empty: Site, openings: tuple[bytes, ...]
) -> None:
    node = empty.enrol("alpha")
    size, before = empty.log.size, files(empty)
    with pytest.raises(BadInput, match="opening"):
        empty.governance.catalogue.register_product(
            node.identity, product_envelope(node, empty.now), openings
        )
    assert (empty.log.size, files(empty)) == (size, before)


def test_a_withdrawal_holds_without_its_reason(empty: Site) -> None:
    empty.populate("alpha")
    node = empty.nodes["alpha"]
    envelope = withdrawal_envelope(node, empty.now)
    index, _ = empty.governance.catalogue.withdraw(node.identity, envelope)
    assert empty.entries()[index].body["reason"] == ENOUGH.commitment
    found = disclose(
        empty.space.log_folder, empty.space.disclosures_folder, empty.space.disclosure_key()
    )
    (reason,) = [one for one in found.commitments if one.type == "ConsentWithdrawn"]
    assert reason.state == "not-disclosed"


# -- erasure -------------------------------------------------------------------------------------


def check_erased(site: Site, node: Node, index: int) -> None:
    """Gone from every file; every proof holds; replay has nothing to say; disclose says so."""
    entry = site.entries()[index]
    assert entry.type == "DisclosureErased"
    assert (entry.body["participant"], entry.body["code"]) == (node.name, "objection")
    key = site.space.disclosure_key()
    verified = verify_folder(
        site.space.log_folder, verifier_key=site.space.log_signer().verifier_key
    )
    assert verified.size == site.log.size
    assert replay_log(site.space.log_folder, jobs=1).violations == ()
    found = disclose(site.space.log_folder, site.space.disclosures_folder, key)
    assert found.faults == []
    about = [one for one in found.commitments if one.participant == node.name]
    assert {(one.state, one.erased, one.value) for one in about} == {("erased", index, None)}
    names = {path.name for path in files(site)}
    assert not names & {f"{one.commitment}.json" for one in about}


def test_erasing_a_participant_leaves_no_trace_but_the_entry(told: Site) -> None:
    (node,) = told.nodes.values()
    index, count = told.governance.disclosing.erase(OPERATOR, node.name, "objection")
    assert count == "4"
    check_erased(told, node, index)
    assert people(told, OPERATOR)[node.name] == ""
    told.reopen()
    check_erased(told, node, index)
    folder = told.space.folder
    told.close()
    found = readable(stored(folder))
    assert [word for word in (NAME, "dpo@riverside", "enough") if word.encode() in found] == []


def test_one_commitment_is_erased_alone(told: Site) -> None:
    erase = told.governance.disclosing.erase
    index, count = erase(OPERATOR, ENOUGH.commitment, "no-longer-needed")
    assert (count, told.entries()[index].body["commitments"]) == ("1", [ENOUGH.commitment])
    states = {one.type: one.state for one in commitments_of(told.space.log_folder).commitments}
    assert states["ConsentWithdrawn"] == "erased"
    assert states["ParticipantEnrolled"] != "erased"
    with pytest.raises(NotKnown, match="not erased"):
        erase(OPERATOR, ENOUGH.commitment, "no-longer-needed")


def test_a_statement_that_is_sent_again_brings_nothing_back(told: Site) -> None:
    (node,) = told.nodes.values()
    told.governance.disclosing.erase(OPERATOR, node.name, "objection")
    left = files(told)
    told.add_product(node)
    told.withdraw(node)
    assert files(told) == left
    # A newer version of the product may be disclosed again; the old text stays closed.
    again = new_opening(ProductText(title="anew", columns=DESCRIPTION.value.columns), b"1" * 32)  # type: ignore[attr-defined]
    envelope = product_envelope(node, told.now, description=again.commitment, data_version=2)
    told.governance.catalogue.register_product(node.identity, envelope, [again.to_bytes()])
    envelope = product_envelope(node, told.now, data_version=3)
    told.governance.catalogue.register_product(node.identity, envelope, [DESCRIPTION.to_bytes()])
    assert {path.stem for path in files(told)} - {path.stem for path in left} == {again.commitment}


def test_an_owner_has_its_own_erased_and_nobody_elses(told: Site) -> None:
    other = told.enrol("beta")
    node = next(iter(told.nodes.values()))
    erase = told.governance.disclosing.erase
    for caller, what in (
        (other.identity, node.name),
        (CONSUMER, node.name),
        (other.identity, ENOUGH.commitment),
    ):
        with pytest.raises(NotAllowed, match="about"):
            erase(caller, what, "objection")
    index, _ = erase(node.identity, node.name, "objection")
    check_erased(told, node, index)
    assert told.entries()[index].body["by"] == node.name


@pytest.mark.parametrize(
    ("what", "code", "error"),
    [
        ("nobody", "objection", NotKnown),
        ("0" * 64, "objection", NotKnown),
        ("", "objection", NotKnown),
        ("operator", "objection", NotKnown),
        (ENOUGH.commitment, "because", BadInput),
    ],
)
def test_an_erasure_of_nothing_or_without_a_code_is_refused(
    told: Site, what: str, code: str, error: type[Exception]
) -> None:
    size = told.log.size
    with pytest.raises(error):
        told.governance.disclosing.erase(OPERATOR, what, code)
    assert told.log.size == size


def test_a_registry_that_is_made_again_knows_what_was_erased(told: Site) -> None:
    (node,) = told.nodes.values()
    index, _ = told.governance.disclosing.erase(OPERATOR, node.name, "objection")
    told.close()
    for path in told.space.database.parent.glob("governance.db*"):
        path.unlink()
    told.open()
    check_erased(told, node, index)
    with pytest.raises(NotKnown):
        told.governance.disclosing.erase(OPERATOR, node.name, "objection")


# -- what a crash leaves -------------------------------------------------------------------------


def test_a_crash_after_the_entry_is_finished_by_the_start(
    told: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node,) = told.nodes.values()

    def crash(_self: Disclosures, _commitments: object) -> None:
        raise Unavailable("no power")

    with monkeypatch.context() as patch:
        patch.setattr(Disclosures, "erase", crash)
        with pytest.raises(Unavailable):
            told.governance.disclosing.erase(OPERATOR, node.name, "objection")
    index = told.log.size - 1
    assert any(ENOUGH.commitment in path.name for path in files(told))
    told.reopen()
    check_erased(told, node, index)


def test_the_start_drops_what_no_entry_names_and_seals_what_is_missing(told: Site) -> None:
    (node,) = told.nodes.values()
    stray = new_opening(ReasonText(text="never logged"), bytes(32))
    disclosures = told.space.disclosures()
    disclosures.keep(stray, [])
    left = told.space.disclosures_folder / f".{stray.commitment}.new"
    left.write_bytes(b"half")
    profile = next(
        one for one in commitments_of(told.space.log_folder).commitments if one.kind == "profile"
    )
    opening = disclosures.opening(profile.commitment)
    assert opening is not None
    disclosures.erase([profile.commitment])
    disclosures.keep(opening, [])  # for the operator alone
    told.reopen()
    names = {path.name for path in files(told)}
    assert not names & {f"{stray.commitment}.json", left.name}
    data = (told.space.disclosures_folder / f"{profile.commitment}.json").read_bytes()
    keys = [told.space.disclosure_key(), node.disclosure, AUDITOR]
    assert set(parse_sealed(data).shares) == key_ids([key.public_key() for key in keys])


def test_a_damaged_disclosure_is_not_shown_and_stops_nobody(told: Site) -> None:
    (node,) = told.nodes.values()
    for path in files(told):
        path.write_bytes(path.read_bytes()[:-20])
    assert people(told, OPERATOR)[node.name] == ""
    told.reopen()
    assert people(told, OPERATOR)[node.name] == ""
    key = told.space.disclosure_key()
    found = disclose(told.space.log_folder, told.space.disclosures_folder, key)
    assert (found.opened, len(found.faults)) == (0, len(files(told)))
