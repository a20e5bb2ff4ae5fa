"""The script that verifies a log in a browser, alone: against logs that hold, and others.

Files are handed to the browser as they lie on the disk; no server of ours has a part in it.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Browser, Page, Route

from auditors.statements import _KINDS
from ledger.cosignature import Cosigner
from ledger.folder import CHECKPOINT
from ledger.log import Log
from ledger.note import NoteSigner, add_signatures
from ledger.tiles import bundle_bytes
from ledger.tlogpolicy import Policy, PolicyWitness
from ledger.tlogproof import parse_proof
from ledger.tree import leaf_hash
from policies.canonical import canonical_bytes
from policies.certificate import CERTIFICATE_TYPE
from policies.entries import EntryType, entry_bytes
from policies.envelope import key_id, sign_envelope
from policies.keychange import KEY_CHANGE_TYPE
from policies.parts import log_lines
from policies.receipt import RECEIPT_TYPE
from policies.statements import WITHDRAWAL_TYPE
from server.console.app import STATIC

HOST = "https://log.test"
SIGNER = NoteSigner("logs.example/browser", Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32))
OTHER = NoteSigner("logs.example/browser", Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32))
NODE = NoteSigner("alpha.example", Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
WITNESS = Cosigner("alpha.example", Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
STRANGER = Cosigner("stranger", Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
TIME = 1_790_000_000
VERIFY = """async ({key, before, witnesses}) => {
  const { Reader } = await import("/static/audit/tiles.js");
  const { verifyLog, parseKeys } = await import("/static/audit/verify.js");
  const steps = [];
  try {
    const keys = await parseKeys([key, ...witnesses].join("\\n"));
    const reader = new Reader("/log");
    const progress = (done, all) => steps.push([done, all]);
    const found = await verifyLog({ reader, ...keys, before, progress });
    const cosigned = found.cosigned.map(one => [one.who, Number(one.time)]);
    return { ...found, cosigned, steps };
  } catch (error) {
    return { code: error.code ?? String(error), ...error.values };
  }
}"""
PROVE = """async ({key, index}) => {
  const { Reader } = await import("/static/audit/tiles.js");
  const { checkHead, parseKeys } = await import("/static/audit/verify.js");
  const { SignedTree, proofText } = await import("/static/audit/entry.js");
  const reader = new Reader("/log");
  const note = await reader.checkpoint();
  const head = await checkHead(reader, note, (await parseKeys(key)).key, null);
  try {
    return { proof: proofText(index, await new SignedTree(reader, head).line(index), note) };
  } catch (error) {
    return { code: error.code ?? String(error), ...error.values };
  }
}"""


LOOK = """async ({key, before}) => {
  const { Reader } = await import("/static/audit/tiles.js");
  const { checkHead, parseKeys } = await import("/static/audit/verify.js");
  const reader = new Reader("/log");
  try {
    const { key: own } = await parseKeys(key);
    const head = await checkHead(reader, await reader.checkpoint(), own, before);
    return { size: head.size };
  } catch (error) {
    return { code: error.code ?? String(error), ...error.values };
  }
}"""


STATEMENT = """async ({key, index, keyEntry}) => {
  const { Reader } = await import("/static/audit/tiles.js");
  const { checkHead, parseKeys } = await import("/static/audit/verify.js");
  const { STATEMENTS, SignedTree, checkEnvelope } = await import("/static/audit/entry.js");
  const reader = new Reader("/log");
  try {
    const { key: own } = await parseKeys(key);
    const head = await checkHead(reader, await reader.checkpoint(), own, null);
    const tree = new SignedTree(reader, head);
    const { line } = await tree.line(index);
    const { entry, bytes } = await tree.whole(index, line);
    if (keyEntry === null) return { type: entry.type, length: bytes.length };
    return await checkEnvelope(tree, entry, STATEMENTS[entry.type][0], keyEntry);
  } catch (error) {
    return { code: error.code ?? String(error), ...error.values };
  }
}"""


@dataclass
class Files:
    """A log's folder before a browser's page."""

    folder: Path
    page: Page

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def verify(
        self,
        key: str = SIGNER.verifier_key,
        before: dict[str, Any] | None = None,
        witnesses: tuple[str, ...] = (),
    ) -> Any:
        how = {"key": key, "before": before, "witnesses": list(witnesses)}
        return self.page.evaluate(VERIFY, how)

    def look(self, before: dict[str, Any] | None) -> Any:
        return self.page.evaluate(LOOK, {"key": SIGNER.verifier_key, "before": before})

    def prove(self, index: int) -> Any:
        return self.page.evaluate(PROVE, {"key": SIGNER.verifier_key, "index": index})

    def statement(self, index: int, key_entry: int | None) -> Any:
        how = {"key": SIGNER.verifier_key, "index": index, "keyEntry": key_entry}
        return self.page.evaluate(STATEMENT, how)

    def flip(self, path: str, at: int) -> None:
        data = bytearray((self.folder / path).read_bytes())
        data[at] ^= 1
        (self.folder / path).write_bytes(data)


def entry(number: int) -> bytes:
    return b'{"n":%d}' % number


ENROLLED = entry_bytes(
    "ParticipantEnrolled",
    time="2026-01-01T00:00:00.000Z",
    body={"participant": "alpha", "log_key": NODE.verifier_key},
)


def written(folder: Path, entries: list[bytes]) -> Path:
    folder.mkdir()
    with Log.open(
        folder=folder / "log",
        database=folder / "log.sqlite",
        last_signed=folder / "last",
        signer=SIGNER,
    ) as log:
        log.append(entries)
    return folder / "log"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 1,000 entries, the third one an enrolment."""
    entries = [entry(number) for number in range(1000)]
    entries[3] = ENROLLED
    return written(tmp_path_factory.mktemp("verifier") / "made", entries)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.fixture
def files(made: Path, page: Page, tmp_path: Path) -> Iterator[Files]:
    yield from opened(shutil.copytree(made, tmp_path / "log"), page)


def opened(folder: Path, page: Page) -> Iterator[Files]:
    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(HOST).lstrip("/")
        file = folder / path.removeprefix("log/")
        if path.startswith("static/"):
            text = (STATIC / path.removeprefix("static/")).read_text(encoding="utf-8")
            route.fulfill(body=text, content_type="text/javascript")
        elif path.startswith("log/") and file.is_file():
            route.fulfill(body=file.read_bytes(), content_type="application/octet-stream")
        elif path == "":
            route.fulfill(body="<!doctype html><title>log</title>", content_type="text/html")
        else:
            route.fulfill(status=404)

    page.route(f"{HOST}/**", answer)
    if not page.url.startswith(HOST):
        page.goto(HOST)
    yield Files(folder, page)
    page.unroute(f"{HOST}/**")


def head_of(folder: Path, size: int, tmp: Path) -> dict[str, Any]:
    """A smaller head of the same entries."""
    entries = [entry(number) if number != 3 else ENROLLED for number in range(size)]
    log = written(tmp, entries)
    lines = (log / CHECKPOINT).read_text().split("\n")
    root = base64.b64decode(lines[2]).hex()
    return {"origin": SIGNER.name, "size": size, "root": root}


def cosigned(files: Files, cosigner: Cosigner) -> str:
    note = files.checkpoint.read_text(encoding="utf-8")
    return add_signatures(note, [cosigner.cosign(note, time=TIME)])


def test_a_log_that_holds(files: Files) -> None:
    files.checkpoint.write_text(cosigned(files, WITNESS))
    files.checkpoint.write_text(cosigned(files, STRANGER))
    found = files.verify()
    assert found["head"]["size"] == 1000
    assert base64.b64encode(bytes.fromhex(found["head"]["root"])).decode() in found["note"]
    assert found["cosigned"] == [["alpha", TIME]]
    assert found["strangers"] == [STRANGER.verifier.id]
    assert [done for done, _ in found["steps"]] == [256, 512, 768, 1000]
    handed = files.verify(witnesses=(STRANGER.verifier.text,))
    assert sorted(who for who, _ in handed["cosigned"]) == ["alpha", STRANGER.verifier.id]
    assert handed["strangers"] == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 777, 1000])
def test_it_continues_the_head_of_before(files: Files, tmp_path: Path, size: int) -> None:
    before = head_of(files.folder, size, tmp_path / "before")
    assert files.verify(before=before)["continued"] == before
    other = before | {"root": "00" * 32}
    assert files.look(before) == {"size": 1000}
    for broken in (files.verify(before=other), files.look(other)):
        assert broken["code"] == "rewritten" and broken["size"] == size
        assert broken["expected"] == "00" * 32 and broken["got"] == before["root"]
    if size < 256:
        files.flip("tile/0/000", 0)
        assert files.look(before)["code"] == "root"


Tamper = Callable[[Files], object]
FULL, PARTIAL = "tile/entries/001", "tile/entries/003.p/232"


def sign_again(files: Files, signer: NoteSigner, text: str | None = None) -> None:
    note = files.checkpoint.read_text(encoding="utf-8")
    body = text or note.partition("\n\n")[0] + "\n"
    files.checkpoint.write_text(f"{body}\n{signer.sign(body)}", encoding="utf-8")


def cosign_wrong(files: Files) -> None:
    note = files.checkpoint.read_text(encoding="utf-8")
    line = WITNESS.cosign(note.replace("1000", "1001"), time=TIME)
    files.checkpoint.write_text(add_signatures(note, [line]))


def remake(files: Files) -> None:
    """An entry and its leaf, both changed to fit each other."""
    entries = [entry(number) for number in range(256, 512)]
    entries[5] = b'{"n":9999}'
    (files.folder / FULL).write_bytes(bundle_bytes(entries))
    path = files.folder / "tile/0/001"
    data = path.read_bytes()
    path.write_bytes(data[: 5 * 32] + leaf_hash(entries[5]) + data[6 * 32 :])


def shorten(files: Files, path: str) -> None:
    (files.folder / path).write_bytes((files.folder / path).read_bytes()[:-1])


CASES: dict[str, tuple[Tamper, dict[str, Any]]] = {
    "a letter of an entry": (
        lambda files: files.flip(FULL, 7),
        {"code": "entry-changed", "index": 256, "place": FULL, "tile": "tile/0/001"},
    ),
    "a letter of the newest bundle": (
        lambda files: files.flip(PARTIAL, -2),
        {"code": "entry-changed", "index": 999, "place": PARTIAL},
    ),
    "a bit of a leaf": (
        lambda files: files.flip("tile/0/002", 33),
        {"code": "leaf-changed", "index": 513, "tile": "tile/0/002"},
    ),
    "a bit of a tile above": (
        lambda files: files.flip("tile/1/000.p/3", 64),
        {"code": "tile", "place": "tile/1/000.p/3", "at": 2},
    ),
    "an entry together with its leaf": (remake, {"code": "tile", "place": "tile/1/000.p/3"}),
    "a length prefix": (
        lambda files: files.flip(FULL, 1),
        {"code": "bundle-form", "place": FULL},
    ),
    "a bundle cut by a byte": (
        lambda files: shorten(files, FULL),
        {"code": "bundle-form", "index": 511},
    ),
    "a tile cut by a byte": (
        lambda files: shorten(files, "tile/0/001"),
        {"code": "tile-length", "place": "tile/0/001", "expected": 8192, "got": 8191},
    ),
    "a bundle gone": (
        lambda files: (files.folder / FULL).unlink(),
        {"code": "missing", "place": FULL},
    ),
    "no checkpoint": (
        lambda files: files.checkpoint.unlink(),
        {"code": "missing", "place": "checkpoint"},
    ),
    "a letter of the signed root": (
        lambda files: files.checkpoint.write_text(
            files.checkpoint.read_text().replace("1000\n", "999\n")
        ),
        {"code": "log-signature", "who": SIGNER.verifier.id},
    ),
    "signed by another key": (
        lambda files: sign_again(files, OTHER),
        {"code": "unsigned", "expected": SIGNER.verifier.id, "got": OTHER.verifier.id},
    ),
    "of another log": (
        lambda files: sign_again(
            files, SIGNER, files.checkpoint.read_text().partition("\n\n")[0][:-1] + "x=\n"
        ),
        {"code": "checkpoint-form"},
    ),
    "another root, signed": (
        lambda files: sign_again(
            files, SIGNER, f"{SIGNER.name}\n1000\n{base64.b64encode(bytes(32)).decode()}\n"
        ),
        {"code": "root", "size": 1000, "expected": "00" * 32},
    ),
    "another origin, signed": (
        lambda files: sign_again(
            files, SIGNER, f"logs.example/b\n1000\n{base64.b64encode(bytes(32)).decode()}\n"
        ),
        {"code": "origin", "expected": SIGNER.name, "got": "logs.example/b"},
    ),
    "a cosignature on another head": (
        cosign_wrong,
        {"code": "cosignature", "who": WITNESS.verifier.id},
    ),
    "no note": (
        lambda files: files.checkpoint.write_text("hello"),
        {"code": "note-form", "got": "hello"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_tampered_with_is_named(files: Files, case: str) -> None:
    tamper, expected = CASES[case]
    tamper(files)
    found = files.verify()
    assert {key: found.get(key) for key in expected} == expected, found
    assert "head" not in found


def test_a_log_that_shrank(files: Files) -> None:
    before = {"origin": SIGNER.name, "size": 1001, "root": "00" * 32}
    for found in (files.verify(before=before), files.look(before)):
        assert found == {"code": "shrunk", "got": 1000, "expected": 1001}
    of_another = before | {"origin": "logs.example/other"}
    assert files.verify(before=of_another)["continued"] is None


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("no key", "key-form"),
        (SIGNER.verifier_key[:-4] + "AAA=", "key-form"),
        (SIGNER.verifier_key + "\n" + OTHER.verifier_key, "key-two"),
        (
            "zero+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "key-low-order",
        ),
        (OTHER.verifier_key, "unsigned"),
    ],
)
def test_a_key_that_is_none_or_anothers(files: Files, typed: str, code: str) -> None:
    assert files.verify(key=typed)["code"] == code


def test_a_partial_tile_that_is_gone_is_read_from_the_full_one(files: Files) -> None:
    full = bundle_bytes([entry(number) for number in range(768, 1024)])
    (files.folder / PARTIAL).unlink()
    (files.folder / "tile/entries/003").write_bytes(full)
    assert files.verify()["head"]["size"] == 1000


def test_a_proof_made_in_the_browser_is_one_for_every_tool(files: Files) -> None:
    policy = Policy(witnesses=(PolicyWitness("alpha", WITNESS.verifier),), quorum="alpha")
    files.checkpoint.write_text(cosigned(files, WITNESS))
    for index in (0, 3, 255, 256, 511, 767, 768, 998, 999):
        proof = parse_proof(files.prove(index)["proof"].encode())
        line = ENROLLED if index == 3 else entry(index)
        assert proof.index == index and proof.extra == line
        proof.verify(leaf_hash(line), policy, SIGNER.verifier)
    assert files.prove(1000) == {"code": "beyond", "index": 1000, "expected": 1000}
    files.flip(FULL, 7)
    assert files.prove(256)["code"] == "inclusion"
    assert "proof" in files.prove(257)


TIME_TEXT = "2026-01-01T00:00:00.000Z"
ALPHA, BETA, REGISTRAR = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))


def told(kind: EntryType, **body: Any) -> bytes:
    return entry_bytes(kind, time=TIME_TEXT, body=body)


def raw(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def sealed(key: Ed25519PrivateKey, kind: str = RECEIPT_TYPE, says: str = "80 rows") -> str:
    envelope = sign_envelope({"says": says}, payload_type=kind, key=key)
    return base64.b64encode(envelope).decode()


def forged() -> str:
    """What alpha signed, with another payload under its signature."""
    signed, other = (json.loads(base64.b64decode(sealed(ALPHA, says=one))) for one in ("80", "8"))
    envelope = canonical_bytes(signed | {"payload": other["payload"]})
    return base64.b64encode(envelope).decode()


@pytest.fixture(scope="module")
def signed_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    long = told("ReportsMade", reports=["界" * 30_000])
    parts = log_lines(long)
    whole = told("EntryWhole", parts=len(parts) - 1, sha256="00" * 32)
    entries = [
        told("SpaceCreated", space={"registrar_key": raw(REGISTRAR)}, participants=[]),
        told("ParticipantEnrolled", participant="alpha", receipt_key=raw(ALPHA)),
        told("ParticipantEnrolled", participant="beta", receipt_key=raw(BETA)),
        told("ReceiptAccepted", participant="alpha", envelope=sealed(ALPHA)),
        told("ReceiptAccepted", participant="alpha", envelope=sealed(BETA)),
        told("ReceiptAccepted", participant="alpha", envelope=forged()),
        told("ReceiptAccepted", participant="alpha", envelope=sealed(ALPHA, WITHDRAWAL_TYPE)),
        told("CertificateIssued", envelope=sealed(REGISTRAR, CERTIFICATE_TYPE)),
        told("CertificateIssued", envelope=sealed(ALPHA, CERTIFICATE_TYPE)),
        *parts,
        *parts[:-1],
        whole,
    ]
    return written(tmp_path_factory.mktemp("signed") / "made", entries)


def test_what_was_signed_is_checked_under_a_key_of_the_log(signed_log: Path, page: Page) -> None:
    alpha, beta = (key_id(key.public_key()) for key in (ALPHA, BETA))
    for files in opened(signed_log, page):
        good = files.statement(3, 1)
        assert json.loads(good["payload"]) == {"says": "80 rows"} and good["keyid"] == alpha
        assert files.statement(7, 0)["payloadType"] == CERTIFICATE_TYPE
        for index, key_entry, code in (
            (3, 2, "signer"),  # the entry that is said to name alpha's key names beta's
            (3, 3, "signer"),  # or no key at all
            (4, 1, "signer"),
            (4, 2, "signer"),  # beta's key is no key of alpha's
            (5, 1, "statement"),
            (6, 1, "statement-type"),
            (8, 0, "signer"),
            (8, 1, "signer"),
            (3, 999, "beyond"),
        ):
            assert files.statement(index, key_entry)["code"] == code, (index, key_entry)
        assert files.statement(4, 1) | {"field": ""} == {
            **{"code": "signer", "field": "", "who": "alpha", "expected": alpha, "got": beta}
        }
        size = int(files.checkpoint.read_text().split("\n")[1])
        whole = files.statement((9 + size) // 2 - 1, None)
        assert whole == {"type": "ReportsMade", "length": whole["length"]}
        assert whole["length"] > 90_000
        assert files.statement(size - 1, None)["code"] == "parts"


def test_statements_are_the_auditors_own_table(files: Files) -> None:
    table = files.page.evaluate('async () => (await import("/static/audit/entry.js")).STATEMENTS')
    own = "application/vnd.tdspace.{}+json"
    found = {
        kind: {(field, signer, own.format(name)) for field, signer, name in rows}
        for kind, rows in table.items()
    }
    assert found == {
        kind: {(one.field, one.signer, one.payload_type) for one in rows}
        for kind, rows in _KINDS.items()
    } | {
        "ReceiptAccepted": {("envelope", "participant", RECEIPT_TYPE)},
        "KeyRotated": {("envelope", "participant", KEY_CHANGE_TYPE)},
    }
