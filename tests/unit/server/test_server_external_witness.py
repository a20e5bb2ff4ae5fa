"""A witness elsewhere, over real HTTP: asked, answered, and what is made of a bad answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import Site
from witness_server import WitnessServer

from ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.cosignature import Cosigner, open_cosigned
from ledger.note import NoteVerifier
from ledger.tlogpolicy import Policy, PolicyWitness
from ledger.witness import Seen
from policies.permit import open_permit
from server.cosigning import Cosigning
from server.errors import SpaceError
from server.external_witness import ExternalWitness, ask_witnesses, check_url

SIGNER = Cosigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"w" * 32))
PATIENCE_S = 5.0


def log_key(site: Site) -> NoteVerifier:
    return NoteVerifier.parse(site.space.card.log_key)


@pytest.fixture
def serving(site: Site) -> Iterator[Callable[..., WitnessServer]]:
    made: list[WitnessServer] = []

    def serve(**changes: object) -> WitnessServer:
        made.append(WitnessServer(SIGNER, log_key(site), **changes))  # type: ignore[arg-type]
        return made[-1]

    yield serve
    for one in made:
        one.close()


@pytest.fixture
def asking(site: Site) -> Iterator[Callable[[WitnessServer], ExternalWitness]]:
    made: list[ExternalWitness] = []

    def ask(server: WitnessServer) -> ExternalWitness:
        witness = PolicyWitness("w", SIGNER.verifier, server.url)
        made.append(ExternalWitness(witness, site.governance.witnesses.cosigning))
        return made[-1]

    yield ask
    for one in made:
        one.close()
        one.close()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.01)


def published(site: Site) -> bool:
    note = (site.space.log_folder / "checkpoint").read_text("utf-8")
    return bool(open_cosigned(note, log_key(site), [SIGNER.verifier]).cosignatures)


def head(site: Site, size: int, root: bytes | None = None) -> Seen:
    tree = site.log._writer.tree
    made = Checkpoint(site.space.card.name, size, root or tree.root(size))
    note = sign_checkpoint(made, site.space.log_signer())
    return Seen(open_checkpoint(note, log_key(site)), note)


def test_a_witness_elsewhere_cosigns_and_follows(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
) -> None:
    server = serving()
    asking(server)
    eventually(lambda: published(site))
    site.withdraw(site.nodes["gamma"])
    eventually(lambda: published(site) and server.seen is not None)
    assert server.statuses == [200, 200]


def test_a_witness_that_knows_an_older_head_is_asked_from_there(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
) -> None:
    server = serving(seen=head(site, 3))
    asking(server)
    eventually(lambda: published(site))
    assert server.statuses == [409, 200]


def test_a_permit_waits_for_a_witness_elsewhere(
    site: Site, serving: Callable[..., WitnessServer]
) -> None:
    server = serving()
    witness = PolicyWitness("w", SIGNER.verifier, server.url)
    policy = Policy(witnesses=(witness,), quorum="w")
    site.witness_policy = policy
    site.reopen()
    asked = site.governance.ask_witnesses(policy)
    permit = open_permit(
        site.authorize(site.open_run()).permit, site.space.permit_key().public_key()
    )
    assert policy.open(permit.log.checkpoint, log_key(site)).witnesses == {SIGNER.verifier}
    for one in asked:
        one.close()


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ((500, b"down"), "got 500: 'down'"),
        ((404, b""), "got 404"),
        ((301, b""), "got 301"),
        ((200, b""), "expected 1 to"),
        ((200, b"nonsense\n"), "expected a line"),
        ((200, b"\xe2\x80\x94 x AAAAAAA=\n"), "got none"),
        ((200, b"x" * 70_000), "at most 65536 bytes"),
        ((409, b"-7\n"), "expected a decimal size"),
        ((409, b"1_0\n"), "expected a decimal size"),
        ((409, b"3\n"), "got 409"),
        ((422, b""), "holds that the log was forked"),
    ],
)
def test_a_bad_answer_is_told_and_the_log_goes_on(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
    instead: tuple[int, bytes],
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking(serving(instead=instead))
    eventually(lambda: told in caplog.text)
    assert not published(site)
    assert site.authorize(site.open_run()).permit


def test_a_fork_is_told(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking(serving(seen=head(site, 3, b"\x07" * 32)))
    eventually(lambda: "holds that the log was forked" in caplog.text)


def test_a_witness_that_saw_more_is_told(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking(serving(seen=head(site, site.log.size + 9, b"\x07" * 32)))
    eventually(lambda: "put back to an older state" in caplog.text)


def test_an_absent_witness_is_asked_again_once_it_is_there(
    site: Site,
    serving: Callable[..., WitnessServer],
    asking: Callable[[WitnessServer], ExternalWitness],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("server.external_witness.FIRST_PAUSE_S", 0.05)
    server = serving(instead=(503, b""))
    asking(server)
    eventually(lambda: "got 503" in caplog.text)
    server.instead = None
    eventually(lambda: published(site))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://witness.example/w1", True),
        ("http://127.0.0.1:8080/w", True),
        ("http://[::1]:8080", True),
        ("http://localhost/w", True),
        ("http://witness.example/w1", False),
        ("http://127.0.0.1.example/w", False),
        ("ftp://127.0.0.1/", False),
        ("witness.example", False),
        ("https://", False),
        ("https://\udcff.example/", False),
        ("", False),
    ],
)
def test_urls_that_may_be_called(url: str, taken: bool) -> None:
    witness = PolicyWitness("w", SIGNER.verifier, url)
    if taken:
        check_url(witness)
        return
    with pytest.raises(SpaceError, match="witness w: expected"):
        check_url(witness)


def test_witnesses_without_a_url_are_not_asked(site: Site) -> None:
    cosigning = site.governance.witnesses.cosigning
    assert ask_witnesses([PolicyWitness("w", SIGNER.verifier)], cosigning) == []
    before = threading.active_count()
    bad = PolicyWitness("b", SIGNER.verifier, "http://witness.example/")
    good = PolicyWitness("g", SIGNER.verifier, "https://127.0.0.1:1/")
    with pytest.raises(SpaceError):
        ask_witnesses([good, bad], cosigning)
    assert threading.active_count() == before
    assert isinstance(cosigning, Cosigning)
