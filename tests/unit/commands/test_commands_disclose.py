"""Invitations with pseudonyms, auditors, disclosures and erasure, over a governance that serves."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands_site import PRODUCT, SPACE, Ran, Tds, write_product

from clients.owner import open_owner
from commands.children import free_ports
from commands.inprocess import LocalSuperLink
from commands.localspace import draft_agreement
from commands.node_wiring import now
from policies.pseudonym import is_pseudonym
from server.edge import Edge
from server.service import serve
from server.space import init_space

NAME = "Riverside University Hospital"
REASON = "the hospital's board decided otherwise"
WORDS = (NAME, "dpo@riverside.example", "Biopsies of Riverside", "diagnosis", REASON)


@dataclass
class Desk:
    """A space that is served, with one node that has said all it can say."""

    root: Path
    id: str
    tds: Tds

    @property
    def space(self) -> str:
        return str(self.root / "space")

    @property
    def log(self) -> str:
        return str(self.root / "space" / "log")

    def done(self, *arguments: str) -> Ran:
        ran = self.tds(*arguments)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran

    def disclosed(self, key: Path, *more: str, folder: Path | None = None) -> Ran:
        """`tds audit disclose` over the space's log."""
        where = folder or self.root / "space" / "disclosures"
        return self.tds(
            "audit", "disclose", self.log, "--disclosures", str(where), "--key", str(key), *more
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("disclose")
    ports = free_ports(3)
    space = init_space(
        root / "space",
        name=SPACE,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
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
        yield root


@pytest.fixture
def desk(served: Path, tmp_path: Path, tds: Tds, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A node of its own for each test; keys and files in `tmp_path`."""
    monkeypatch.setenv("COLUMNS", "1000")  # tables are not wrapped
    join, node = tmp_path / "riverside.join", tmp_path / "riverside"
    invited = tds(
        *("space", "invite", "--space", str(served / "space"), "--out", str(join)),
        *("--title", NAME, "--contact", "dpo@riverside.example", "--region", "CN-GD"),
    )
    assert invited.code == 0, invited
    assert tds("node", "new", str(node), "--join", str(join), "--region", "CN-GD").code == 0
    id = str(json.loads(join.read_bytes())["participant"])
    assert f"in the log: {id} ({NAME})" in invited.out
    product = write_product(tmp_path / "data")
    product.write_text(
        json.dumps({**PRODUCT, "id": f"{id}/biopsies", "title": "Biopsies of Riverside"})
    )
    with open_owner(node) as owner:
        target = owner.add_product(product).id
        agreement = draft_agreement(id, target, "medical-research", consumer="consortium")
        concluded = owner.sign_agreement(agreement).id
    ran = tds("node", "withdraw", concluded, "--node", str(node), "--reason", REASON)
    assert "governance has it in its log" in ran.out, ran
    return Desk(served, id, tds)


def auditor(desk: Desk, folder: Path) -> Path:
    """A named auditor's key."""
    key = folder / "auditor.key"
    assert str(key) in desk.done("audit", "keygen", "--out", str(key)).out
    named = ("--title", "Auditors & Partners", "--space", desk.space)
    desk.done("space", "auditor", "add", str(folder / "auditor.pub"), *named)
    return key


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def readable(data: bytes) -> bytes:
    """The bytes, and whatever stands in them as base64, envelopes in envelopes included."""
    inner = [
        base64.b64decode(text)
        for text in re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", data)
        if len(text) % 4 == 0
    ]
    return data + b"".join(map(readable, inner))


def test_the_log_holds_no_name_and_no_reason(desk: Desk) -> None:
    assert is_pseudonym(desk.id)
    space = desk.root / "space"
    found = stored(space / "log") + stored(space / "governance") + stored(space / "disclosures")
    assert desk.id.encode() in found
    shown = readable(found)
    assert b'"signatures"' in shown, "envelopes are looked into"
    assert [word for word in WORDS if word.encode() in shown] == []


def test_a_given_id_stands_as_it_is(desk: Desk, tmp_path: Path) -> None:
    join = tmp_path / "given.join"
    given = f"given-{secrets.token_hex(4)}"
    ran = desk.done(
        *("space", "invite", "--participant", given, "--space", desk.space, "--out", str(join))
    )
    assert f"in the log: {given}\n" in ran.out


def test_an_owner_is_told_what_a_products_id_shows(desk: Desk, tmp_path: Path) -> None:
    file, node = tmp_path / "data" / "product.json", str(tmp_path / "riverside")
    assert "this id stands" not in desk.done("product", "add", str(file), "--node", node).out
    id = f"named-{secrets.token_hex(4)}/biopsies"
    file.write_text(json.dumps({**PRODUCT, "id": id}))
    ran = desk.done("product", "add", str(file), "--node", node)
    assert f"begin ids with {desk.id}" in ran.out
    shown = desk.done("product", "show", id, "--node", node).json()
    assert (shown["title"], len(shown["columns"])) == ("Biopsies", 2)


def test_the_operator_sees_names(desk: Desk) -> None:
    shown = desk.done("space", "participants", "--space", desk.space)
    assert desk.id in shown.out
    listed = desk.done("space", "participants", "--space", desk.space, "--json").json()
    names = {one["participant"]: one["title"] for one in listed}
    assert (names[desk.id], names["consortium"]) == (NAME, "")


def test_a_named_auditor_reads_what_the_log_commits_to(desk: Desk, tmp_path: Path) -> None:
    key, out = auditor(desk, tmp_path), tmp_path / "names.json"
    log_key = desk.done("space", "show", "--space", desk.space, "--json").json()["log_key"]
    ran = desk.disclosed(key, "--out", str(out), "--log-key", log_key)
    assert (ran.code, ran.err) == (0, ""), ran
    assert all(word in " ".join(ran.out.split()) for word in (NAME, "Biopsies of Riverside"))
    assert json.loads(out.read_bytes())[desk.id] == NAME
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    only = desk.disclosed(key, "--participant", desk.id, "--json").json()
    shown = {one["type"]: (one["state"], one["value"]) for one in only["commitments"]}
    assert shown["ConsentWithdrawn"] == ("disclosed", {"text": REASON})
    assert set(shown) == {"ParticipantEnrolled", "ProductRegistered", "ConsentWithdrawn"}
    listed = desk.done("space", "auditor", "list", "--space", desk.space, "--json").json()
    assert "Auditors & Partners" in {one["title"] for one in listed}
    assert desk.disclosed(key, "--out", str(out)).code == 2, "names are not overwritten"


def test_a_participant_fetches_and_reads_its_own(desk: Desk, tmp_path: Path) -> None:
    out, node = tmp_path / "own", tmp_path / "riverside"
    assert (
        "wrote 3 disclosures"
        in desk.done("node", "disclosures", "--node", str(node), "--out", str(out)).out
    )
    ran = desk.disclosed(node / "keys" / "disclosure.key", "--json", folder=out)
    assert ran.code == 0, ran
    assert ran.json()["names"] == {desk.id: NAME}


def test_erasure(desk: Desk, tmp_path: Path) -> None:
    key, old = auditor(desk, tmp_path), tmp_path / "old"
    shutil.copytree(desk.root / "space" / "disclosures", old)
    erase = ("space", "erase", desk.id, "--space", desk.space, "--reason-code")
    assert "erased 3 disclosures" in desk.done(*erase, "objection").out
    ran = desk.disclosed(key, "--participant", desk.id, "--json")
    assert (ran.code, ran.err) == (0, "")
    entries = {(one["state"], one["value"]) for one in ran.json()["commitments"]}
    assert entries == {("erased", None)}
    assert "erased in entry" in desk.disclosed(key, "--participant", desk.id).out
    log_key = desk.done("space", "show", "--space", desk.space, "--json").json()["log_key"]
    desk.done("audit", "verify", desk.log, "--key", log_key)
    desk.done("audit", "replay", desk.log)
    # An auditor's older copy is not opened, and is named.
    ran = desk.disclosed(key, "--participant", desk.id, "--json", folder=old)
    assert (ran.code, ran.err.count("delete the file")) == (1, 3)
    assert NAME not in json.dumps(ran.json()["commitments"])
    ran = desk.tds(*erase, "objection")
    assert (ran.code, "not erased" in ran.err) == (1, True)
    assert desk.tds(*erase, "because").code == 2


def test_an_owner_erases_its_own(desk: Desk, tmp_path: Path) -> None:
    node = str(tmp_path / "riverside")
    ran = desk.done("node", "erase", "--node", node, "--reason-code", "consent-withdrawn")
    assert "erased 3 disclosures" in ran.out
    ran = desk.tds("node", "erase", "0" * 64, "--node", node, "--reason-code", "objection")
    assert (ran.code, "expected what is about" in ran.err) == (1, True)


# -- bad input -----------------------------------------------------------------------------------


def test_a_key_that_nothing_is_sealed_to(desk: Desk, tmp_path: Path) -> None:
    key = tmp_path / "other.key"
    desk.done("audit", "keygen", "--out", str(key))
    ran = desk.disclosed(key)
    assert (ran.code, "sealed to others" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "X25519 private key"),
        (None, 0o644, "chmod 600"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "X25519"),
    ],
    ids=["empty", "open", "damaged"],
)
def test_a_key_that_is_none(
    desk: Desk, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    key = tmp_path / "some.key"
    desk.done("audit", "keygen", "--out", str(key))
    if text is not None:
        key.write_text(text)
    key.chmod(mode)
    ran = desk.disclosed(key)
    assert (ran.code, said in ran.err) == (2, True), ran
    assert desk.tds("audit", "keygen", "--out", str(key)).code == 2, "keys are not overwritten"


def test_damaged_and_foreign_disclosures_are_named_and_the_others_read(
    desk: Desk, tmp_path: Path
) -> None:
    key, folder = auditor(desk, tmp_path), tmp_path / "copy"
    shutil.copytree(desk.root / "space" / "disclosures", folder)
    shown = desk.disclosed(key, "--participant", desk.id, "--json").json()["commitments"]
    by_type = {one["type"]: folder / f"{one['commitment']}.json" for one in shown}
    damaged, renamed = by_type["ConsentWithdrawn"], by_type["ProductRegistered"]
    data = json.loads(damaged.read_bytes())
    for one in data["recipients"]:
        one["ciphertext"] = one["ciphertext"][::-1].replace("=", "A")[: len(one["ciphertext"])]
    damaged.write_text(json.dumps(data, sort_keys=True, separators=(",", ":")))
    renamed.rename(folder / f"{'0' * 64}.json")
    ran = desk.disclosed(key, "--json", folder=folder)
    assert ran.code == 1
    assert desk.id in ran.json()["names"]
    assert "2 disclosures are not as the log has them" in ran.err
    assert str(damaged) in ran.err
    assert "the disclosure of its name" in ran.err


def test_disclosures_of_another_log_open_nothing(desk: Desk, tmp_path: Path) -> None:
    key = desk.root / "space" / "keys" / "disclosure.key"
    where = ("--disclosures", str(desk.root / "space" / "disclosures"), "--key", str(key))
    ran = desk.tds("audit", "disclose", str(tmp_path / "riverside" / "log"), *where, "--json")
    assert (ran.code, "expected its commitment in the log" in ran.err) == (1, True)


def test_no_folder_and_a_broken_log(desk: Desk, tmp_path: Path) -> None:
    key = desk.root / "space" / "keys" / "disclosure.key"
    ran = desk.disclosed(key, folder=tmp_path / "none")
    assert (ran.code, "copy the space's disclosures" in ran.err) == (2, True)
    ran = desk.disclosed(key, "--log-key", "example.org/other+00000000+AAAA")
    assert ran.code in (2, 3)


def test_reading_disclosures_needs_neither_server_nor_clients() -> None:
    code = (
        "import sys\n"
        "sys.modules['server'] = sys.modules['clients'] = None\n"
        "import commands.audit_disclose\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
