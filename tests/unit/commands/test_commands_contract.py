"""`tds contract` and `tds product offer` against a governance that really serves both its doors."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from commands_site import SPACE, Ran, Tds, write_product

from clients.contracts import OwnerContracts, open_contracts
from clients.enrol import enrol
from clients.errors import ClientError, GovernanceRefused
from clients.identity import load_identity
from clients.owner import open_owner
from clients.state import NodeState
from commands import consumer_join, consumer_side
from commands.children import free_ports
from commands.contract_draft import draft_offer
from commands.inprocess import LocalSuperLink
from commands.node_wiring import now
from policies.canonical import Json, canonical_bytes, sha256_hex
from policies.fields import instant
from policies.odrl import parse_offer
from policies.space import SpaceCard
from server.edge import Edge
from server.files import write_secret
from server.governance_client import GovernanceClient
from server.service import serve
from server.space import init_space

PRODUCT = "clinic/biopsies"


@dataclass(frozen=True, slots=True)
class Place:
    """A served space with one enrolled node that has a product."""

    root: Path
    tds: Tds

    @property
    def node(self) -> str:
        return str(self.root / "clinic")

    @property
    def consumer(self) -> str:
        return str(self.root / "space" / "consumer")

    def offer(self, name: str, **changes: Any) -> str:
        """A file with an offer; its path."""
        uses = changes.pop("uses", 5)
        document = draft_offer(
            owner="clinic", purpose="medical-research", uses=uses, participants=1
        )
        path = self.root / f"{name}.json"
        path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
        return str(path)

    def done(self, *arguments: str) -> Ran:
        """The call, which succeeds."""
        ran = self.tds(*arguments)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran

    def listed(self, what: str, *, by: str = "--consumer") -> list[dict[str, Any]]:
        folder = self.consumer if by == "--consumer" else self.node
        found: list[dict[str, Any]] = self.done(
            "contract", "list", what, by, folder, "--json"
        ).json()
        return found

    def requested(self, *options: str) -> str:
        """The id of a new negotiation."""
        ran = self.done(
            "contract", "request", PRODUCT, "--consumer", self.consumer, "--json", *options
        )
        return str(ran.json()["negotiation"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("contracts")
    ports = free_ports(4)
    space = init_space(
        root / "space",
        name=SPACE,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
        contracts_address=f"127.0.0.1:{ports[3]}",
        hosts=["127.0.0.1"],
        now=now(),
        region="CN-GD",
    )
    with ExitStack() as stack:
        running = serve(
            space,
            superlink=LocalSuperLink(),
            edge=Edge(clock=now, random_bytes=secrets.token_bytes),
        )
        stack.callback(running.stop, 0)
        with GovernanceClient.open(space.operator_folder) as operator:
            join = operator.invite(
                participant="clinic", title="", sector="", region="CN-GD", valid_s=3600
            )
        write_secret(root / "clinic.join", join)
        enrol(root / "clinic", root / "clinic.join", region="CN-GD", now=now())
        with open_owner(root / "clinic") as owner:
            owner.add_product(write_product(root / "data"))
        yield root


@pytest.fixture
def place(served: Path, tds: Tds) -> Iterator[Place]:
    made = Place(served, tds)
    yield made
    for one in made.listed("offers", by="--node"):
        if not one["withdrawn"]:
            made.done("product", "offer", "--withdraw", one["offer"], "--node", made.node)


@pytest.fixture
def contracts(served: Path) -> Iterator[OwnerContracts]:
    with open_contracts(served / "clinic") as made:
        yield made


# -- the whole way --------------------------------------------------------------------------------


def test_a_negotiation_by_hand(place: Place) -> None:
    node, consumer = ("--node", place.node), ("--consumer", place.consumer)
    ran = place.done("product", "offer", place.offer("offer"), *node)
    assert f"for {PRODUCT}" in ran.out
    assert PRODUCT in place.done("contract", "catalog", *consumer).out
    negotiation = place.requested()
    (mine,) = [
        one for one in place.listed("negotiations", by="--node") if one["state"] == "REQUESTED"
    ]
    assert mine["negotiation"] == negotiation
    ran = place.done("contract", "accept", negotiation, *node)
    assert "once the consumer has verified it" in ran.out
    # Sent again, it is the same agreement.
    again = place.done("contract", "accept", negotiation, *node)
    assert ran.out.split()[2] == again.out.split()[2]
    ran = place.done("contract", "verify", negotiation, *consumer, "--json")
    agreement = ran.json()["agreement"]
    assert ran.json()["state"] == "FINALIZED"
    assert place.done("contract", "verify", negotiation, *consumer).out.count("FINALIZED") == 1
    shown = place.done("contract", "show", agreement, *consumer).json()
    assert shown["negotiation"] == negotiation
    assert shown["document"]["assignee"] == "consortium"
    assert agreement in place.done("node", "status", *node, "--json").out
    ran = place.tds("contract", "terminate", negotiation, *consumer)
    assert (ran.code, "FINALIZED" in ran.err) == (1, True)


def test_what_was_asked_for_in_the_console_is_verified_against_the_offer(place: Place) -> None:
    consumer = ("--consumer", place.consumer)
    path, other = place.offer("seen"), place.offer("unseen", uses=9)
    seen, unseen = (parse_offer(Path(one).read_bytes()).id for one in (path, other))
    place.done("product", "offer", path, "--node", place.node)
    negotiation = place.requested()
    record = Path(place.consumer) / "contracts" / f"{sha256_hex(negotiation.encode())}.json"
    record.unlink()  # the console asks without it
    ran = place.tds("contract", "verify", negotiation, *consumer, "--offer", seen)
    assert (ran.code, "AGREED" in ran.err) == (2, True)
    place.done("contract", "accept", negotiation, "--node", place.node)
    place.done("product", "offer", other, "--node", place.node)
    for arguments, said in (([], "--offer ID"), (["--offer", unseen], f"{unseen} word for word")):
        ran = place.tds("contract", "verify", negotiation, *consumer, *arguments)
        assert ran.code != 0 and said in ran.err
        assert not record.exists()
    ran = place.done("contract", "verify", negotiation, *consumer, "--offer", seen)
    assert "FINALIZED" in ran.out and record.exists()


def test_the_node_agrees_by_itself(place: Place, contracts: OwnerContracts) -> None:
    path = place.offer("auto", uses=6)
    place.done("product", "offer", path, "--node", place.node, "--auto-agree")
    place.done("product", "offer", path, "--node", place.node, "--auto-agree")
    negotiation = place.requested()
    assert contracts.agree_waiting() == 1
    assert contracts.agree_waiting() == 0
    ran = place.done("contract", "verify", negotiation, "--consumer", place.consumer)
    assert "FINALIZED" in ran.out


def test_nobody_has_the_same_terms_twice_without_the_owner(
    place: Place, contracts: OwnerContracts
) -> None:
    """Each agreement counts its uses for itself, so that a second one would double every limit."""
    path = place.offer("auto-3", uses=7)
    place.done("product", "offer", path, "--node", place.node, "--auto-agree")
    first, second = place.requested(), place.requested()
    assert contracts.agree_waiting() == 1
    assert contracts.agree_waiting() == 0
    place.done("contract", "verify", first, "--consumer", place.consumer)
    (waiting,) = [
        one for one in place.listed("negotiations", by="--node") if one["negotiation"] == second
    ]
    assert waiting["state"] == "REQUESTED"
    # Not after a withdrawal either; by hand the owner may.
    agreement = contracts._state.agreements()[-1].id
    place.done("node", "withdraw", agreement, "--node", place.node)
    assert contracts.agree_waiting() == 0
    place.done("contract", "accept", second, "--node", place.node)


def test_the_node_does_not_agree_to_what_its_owner_did_not_say(
    place: Place, contracts: OwnerContracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.done("product", "offer", place.offer("plain"), "--node", place.node)
    negotiation = place.requested()
    assert contracts.agree_waiting() == 0
    # Whatever governance claims: another text, another product, an unknown offer.
    (told,) = [
        one
        for one in place.listed("negotiations", by="--node")
        if one["negotiation"] == negotiation
    ]
    auto = place.offer("auto-2")
    place.done("product", "offer", auto, "--node", place.node, "--auto-agree")
    text = canonical_bytes(parse_offer(Path(auto).read_bytes()).to_json()).decode()
    for claimed in (
        told,
        told | {"document": text.replace('"5"', '"6"')},
        told | {"document": text, "product": "clinic/other"},
        told | {"document": text.replace("urn:tdspace:offer:", "urn:tdspace:other:")},
        told | {"document": "{}"},
    ):
        monkeypatch.setattr(contracts, "_list", lambda _what, claimed=claimed: [claimed])
        assert contracts.agree_waiting() == 0
    assert told["state"] == "REQUESTED"


def test_an_offer_back_is_accepted(place: Place) -> None:
    node, consumer = ("--node", place.node), ("--consumer", place.consumer)
    place.done("product", "offer", place.offer("asked"), *node)
    negotiation = place.requested()
    back = place.offer("back")
    ran = place.tds("contract", "accept", negotiation, *consumer)
    assert (ran.code, "expected an offer of the provider" in ran.err) == (1, True)
    place.done("contract", "offer", back, "--negotiation", negotiation, *node)
    assert "ACCEPTED" in place.done("contract", "accept", negotiation, *consumer).out
    place.done("contract", "accept", negotiation, *node)
    ran = place.done("contract", "verify", negotiation, *consumer, "--json")
    shown = place.done("contract", "show", ran.json()["agreement"], *node).json()
    assert shown["document"]["permission"][0]["constraint"]


def test_the_owner_offers_first(place: Place) -> None:
    node, consumer = ("--node", place.node), ("--consumer", place.consumer)
    path = place.offer("first")
    ran = place.done("contract", "offer", path, "--to", "consortium", *node, "--json")
    negotiation = ran.json()["negotiation"]
    # Sent again, it is the same negotiation.
    again = place.done("contract", "offer", path, "--to", "consortium", *node)
    assert negotiation in again.out
    (seen,) = [one for one in place.listed("negotiations") if one["negotiation"] == negotiation]
    assert (seen["state"], seen["opened_by"]) == ("OFFERED", "provider")
    assert "ACCEPTED" in place.done("contract", "accept", negotiation, *consumer).out
    place.done("contract", "accept", negotiation, *node)
    ran = place.done("contract", "verify", negotiation, *consumer, "--json")
    assert ran.json()["state"] == "FINALIZED"


def test_the_consumer_answers_with_other_terms_or_ends_it(place: Place) -> None:
    node, consumer = ("--node", place.node), ("--consumer", place.consumer)
    path = place.offer("bargain")
    offered = ("contract", "offer", path, "--product", PRODUCT, "--to", "consortium")
    negotiation = place.done(*offered, *node, "--json").json()["negotiation"]
    terms = place.root / "terms.json"
    terms.write_text(Path(path).read_text(encoding="utf-8").replace('"5"', '"7"'), encoding="utf-8")
    counter = ("contract", "request", negotiation, "--terms", str(terms), *consumer)
    assert "REQUESTED" in place.done(*counter).out
    place.done("contract", "accept", negotiation, *node)
    ran = place.done("contract", "verify", negotiation, *consumer, "--json")
    shown = place.done("contract", "show", ran.json()["agreement"], *node).json()
    assert '"7"' in json.dumps(shown["document"])
    another = place.offer("unwanted")
    ran = place.done("contract", "offer", another, "--to", "consortium", *node, "--json")
    negotiation = ran.json()["negotiation"]
    assert "TERMINATED" in place.done("contract", "terminate", negotiation, *consumer).out


def test_a_request_may_ask_for_other_terms(place: Place) -> None:
    path = place.offer("changed")
    place.done("product", "offer", path, "--node", place.node, "--auto-agree")
    terms = place.root / "terms-2.json"
    terms.write_text(Path(path).read_text(encoding="utf-8").replace('"5"', '"7"'), encoding="utf-8")
    negotiation = place.requested("--terms", str(terms))
    (seen,) = [one for one in place.listed("negotiations") if one["negotiation"] == negotiation]
    assert (seen["state"], seen["word_for_word"]) == ("REQUESTED", False)


def test_either_party_ends_it(place: Place) -> None:
    place.done("product", "offer", place.offer("end"), "--node", place.node)
    for by in (("--node", place.node), ("--consumer", place.consumer)):
        negotiation = place.requested()
        ran = place.done("contract", "terminate", negotiation, *by, "--reason", "no")
        assert "TERMINATED" in ran.out
        shown = place.done("contract", "show", negotiation, *by).json()
        assert (shown["state"], shown["reason"].endswith("no")) == ("TERMINATED", True)


def test_a_consumer_joins_later_and_concludes_an_agreement(place: Place) -> None:
    join, folder = str(place.root / "institute.join"), str(place.root / "institute")
    invite = ("space", "invite", "--participant", "institute", "--space", str(place.root / "space"))
    ran = place.done(*invite, "--role", "consumer", "--out", join)
    assert f"tds space join ./institute --join {Path(join).name}" in ran.out
    assert "as a consumer" in place.done("space", "join", folder, "--join", join).out
    ran = place.tds("space", "join", folder, "--join", join)
    assert (ran.code, "an enrolled consumer" in ran.err) == (1, True)
    place.done("product", "offer", place.offer("later"), "--node", place.node)
    asked = ("contract", "request", PRODUCT, "--consumer", folder, "--json")
    negotiation = place.done(*asked).json()["negotiation"]
    place.done("contract", "accept", negotiation, "--node", place.node)
    ran = place.done("contract", "verify", negotiation, "--consumer", folder, "--json")
    assert ran.json()["state"] == "FINALIZED"
    shown = place.done("contract", "show", ran.json()["agreement"], "--consumer", folder).json()
    assert shown["document"]["assignee"] == "institute"
    ran = place.tds("contract", "show", negotiation, "--consumer", place.consumer)
    assert (ran.code, "got none" in ran.err) == (2, True)


def test_joining_goes_on_where_it_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    join, folder = place.root / "lab.join", place.root / "lab"
    invite = (
        "space",
        "invite",
        "--participant",
        "lab",
        "--space",
        str(place.root / "space"),
        "--out",
        str(join),
    )
    place.done(*invite, "--role", "consumer")
    with monkeypatch.context() as patch:
        patch.setattr(consumer_join, "replace_file", _crash)
        with pytest.raises(RuntimeError):
            consumer_join.join_as_consumer(folder, join, now=now())
    key = (folder / "statement.key").read_bytes()
    place.done("space", "join", str(folder), "--join", str(join))
    assert (folder / "statement.key").read_bytes() == key
    # The token is used: other keys do not get in with it.
    ran = place.tds("space", "join", str(place.root / "thief"), "--join", str(join))
    assert (ran.code, "refused to enrol lab" in ran.err) == (1, True)


def test_an_invitation_for_a_node_makes_no_consumer(place: Place) -> None:
    join = place.root / "ward.join"
    invite = ("space", "invite", "--participant", "ward", "--space", str(place.root / "space"))
    place.done(*invite, "--region", "CN-GD", "--out", str(join))
    ran = place.tds("space", "join", str(place.root / "ward"), "--join", str(join))
    assert (ran.code, "refused to enrol ward" in ran.err) == (1, True)


def _crash(*_args: object, **_options: object) -> None:
    raise RuntimeError("a crash")


# -- what a crash leaves --------------------------------------------------------------------------


def test_an_agreement_that_was_signed_and_not_kept_is_kept_later(
    place: Place, contracts: OwnerContracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.done("product", "offer", place.offer("crash"), "--node", place.node)
    negotiation = place.requested()
    with monkeypatch.context() as patch:
        patch.setattr(contracts, "_keep_document", lambda _document: None)
        agreement = contracts.agree(negotiation).id
    state = NodeState.open(load_identity(Path(place.node)).paths.state)
    try:
        assert state.agreement(agreement) is None
        contracts.keep_signed()
        contracts.keep_signed()
        assert state.agreement(agreement) is not None
    finally:
        state.close()


def test_what_somebody_else_signed_is_not_kept(
    place: Place, contracts: OwnerContracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = {
        "negotiation": "n",
        "state": "AGREED",
        "owner": "clinic",
        "envelope": "e30=",
        "agreement": "a",
    }
    monkeypatch.setattr(contracts, "_list", lambda _what: [claimed])
    contracts.keep_signed()


# -- what is refused ------------------------------------------------------------------------------


def test_an_offer_keeps_its_id(place: Place, contracts: OwnerContracts) -> None:
    path = Path(place.offer("once"))
    contracts.publish_offer(path.read_bytes(), product=PRODUCT, auto_agree=False)
    with pytest.raises(ClientError, match="a new id"):
        contracts.publish_offer(path.read_bytes(), product=PRODUCT, auto_agree=True)
    id = json.loads(path.read_text())["@id"]
    contracts.withdraw_offer(id)
    contracts.withdraw_offer(id)
    with pytest.raises(ClientError, match="a new id"):
        contracts.publish_offer(path.read_bytes(), product=PRODUCT, auto_agree=False)
    with pytest.raises(ClientError, match="got none"):
        contracts.withdraw_offer("unheard")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"assigner": "rival"}, "expected the assigner clinic"),
        ({"conflict": "perm"}, r"\$\.conflict"),
        ({"@id": "two words"}, r"\$\.@id"),
        ({"@id": "x" * 129}, "offer: "),
    ],
)
def test_an_offer_that_the_node_refuses(
    place: Place, contracts: OwnerContracts, changes: dict[str, Any], match: str
) -> None:
    path = Path(place.offer("bad", **changes))
    with pytest.raises(ClientError, match=match):
        contracts.publish_offer(path.read_bytes(), product=PRODUCT, auto_agree=False)


def test_an_offer_for_a_product_that_is_not_there(place: Place, contracts: OwnerContracts) -> None:
    path = Path(place.offer("product"))
    with pytest.raises(ClientError, match="a product of this node"):
        contracts.publish_offer(path.read_bytes(), product="clinic/other", auto_agree=False)
    with pytest.raises(ClientError, match="one of this node"):
        contracts.agree("urn:tdspace:negotiation:none")
    with pytest.raises(ClientError, match="one of this node"):
        contracts.offer("urn:tdspace:negotiation:none", path.read_bytes())
    with pytest.raises(GovernanceRefused):
        contracts.terminate("urn:tdspace:negotiation:none", "")
    with pytest.raises(GovernanceRefused):
        contracts.move_transfer("urn:tdspace:transfer:none", "suspend", "")


def test_an_offer_that_is_over_is_not_listed(place: Place) -> None:
    past = {"@value": instant(now() - timedelta(days=1)), "@type": "xsd:dateTime"}
    rule = {
        "action": "use",
        "constraint": [{"leftOperand": "dateTime", "operator": "lteq", "rightOperand": past}],
    }
    ran = place.tds(
        "product", "offer", place.offer("over", permission=[rule]), "--node", place.node
    )
    assert (ran.code, "it is over" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["product", "offer", "--node", "{node}"], "a file or|file or --withdraw"),
        (["contract", "list"], "neither"),
        (["contract", "list", "--node", "{node}", "--consumer", "{consumer}"], "both"),
        (["contract", "accept", "x", "--node", "{node}", "--consumer", "{consumer}"], "both"),
        (["contract", "show", "unheard", "--node", "{node}"], "got none"),
        (["contract", "offer", "o.json", "--node", "{node}"], "either --to"),
        (
            ["contract", "offer", "o.json", "--node", "{node}", "--to", "a", "--negotiation", "b"],
            "either --to",
        ),
        (
            ["contract", "request", "urn:tdspace:negotiation:0", "--consumer", "{consumer}"],
            "--terms",
        ),
        (["contract", "verify", "urn:none", "--consumer", "{consumer}"], "opened"),
        (["contract", "request", "clinic/none", "--consumer", "{consumer}"], "not known there"),
        (
            ["contract", "suspend", "urn:tdspace:transfer:0", "--consumer", "{consumer}"],
            "not known",
        ),
        (
            ["contract", "resume", "urn:tdspace:transfer:0", "--node", "{node}"],
            "NOT_FOUND|expected",
        ),
    ],
)
def test_refusals_say_what_was_expected(place: Place, arguments: list[str], said: str) -> None:
    filled = [one.format(node=place.node, consumer=place.consumer) for one in arguments]
    ran = place.tds(*filled)
    assert ran.code in (1, 2)
    assert any(part in ran.err for part in said.split("|")), ran.err


def test_a_space_without_contracts_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutContracts(SpaceCard):
        @classmethod
        def from_json(cls, value: Json) -> Self:
            return super().from_json(value).model_copy(update={"contracts": None})

    monkeypatch.setattr(consumer_side, "SpaceCard", WithoutContracts)
    ran = place.tds("contract", "catalog", "--consumer", place.consumer)
    assert (ran.code, "it has none" in ran.err) == (1, True)
