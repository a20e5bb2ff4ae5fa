"""Nodes as witnesses over real sockets: the stream of heads, cosignatures, a report of a fork."""

from __future__ import annotations

import copy
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from server_site import SPACE, Site

from clients.errors import GovernanceError, GovernanceRefused
from clients.governance import GovernanceClient
from clients.records import Fork, SeenCheckpoint
from clients.witness import NodeWitness
from ledger.cosignature import Cosigner, open_cosigned
from ledger.note import NoteVerifier
from ledger.witness import parse_request
from server.edge import Edge
from server.service import Running, serve

PATIENCE_S = 10.0


class Memory:
    """What a node remembers."""

    def __init__(self) -> None:
        self.seen: SeenCheckpoint | None = None

    def last_seen(self) -> SeenCheckpoint | None:
        return self.seen

    def keep_seen(self, seen: SeenCheckpoint) -> None:
        if self.seen is None or self.seen.size < seen.size:
            self.seen = seen


@pytest.fixture
def running(populated: Site, tmp_path: Path) -> Iterator[tuple[Site, Running]]:
    folder = tmp_path / "space"
    shutil.copytree(populated.folder, folder)
    site = Site(folder, populated.now)
    site.superlink = copy.deepcopy(populated.superlink)
    site.nodes = dict(populated.nodes)
    site.open()
    site.close()
    started = serve(
        site.space,
        superlink=site.superlink,
        edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
        governance_listen="127.0.0.1:0",
        enrolment_listen="127.0.0.1:0",
        contracts_listen="127.0.0.1:0",
    )
    yield site, started
    started.stop(0)


def client_of(site: Site, running: Running, name: str) -> GovernanceClient:
    node = site.nodes[name]
    return GovernanceClient(
        address=f"127.0.0.1:{running.governance_port}",
        ca_pem=site.space.card.ca_pem.encode(),
        key_pem=node.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate_pem=node.certificate,
    )


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.01)


def test_nodes_cosign_what_governance_publishes(running: tuple[Site, Running]) -> None:
    site, started = running
    log = NoteVerifier.parse(site.space.card.log_key)
    signers = [Cosigner(f"{SPACE}/{name}", site.nodes[name].receipt) for name in ("alpha", "beta")]
    stop, forks, clients = threading.Event(), list[Fork](), list[GovernanceClient]()
    for signer in signers:
        client = client_of(site, started, signer.name.rpartition("/")[2])
        clients.append(client)
        witness = NodeWitness(
            cosigner=signer,
            space_log=log,
            state=Memory(),
            governance=client,
            on_fork=forks.append,
            log_turn=threading.Lock(),
            clock=lambda: site.now,
        )
        threading.Thread(target=witness.run, args=(stop,), daemon=True).start()

    def cosigners() -> int:
        note = (site.space.log_folder / "checkpoint").read_text("utf-8")
        return len(open_cosigned(note, log, [one.verifier for one in signers]).cosignatures)

    eventually(lambda: cosigners() == 2)
    before = started.governance.checkpoint()
    started.governance.vouchers.issue("consortium", "5", "request-1")
    assert started.governance.checkpoint() != before
    eventually(lambda: cosigners() == 2)
    assert forks == []
    stop.set()
    for client in clients:
        client.close()


def test_a_fork_report_and_a_bad_cosignature_over_the_wire(
    running: tuple[Site, Running], caplog: pytest.LogCaptureFixture
) -> None:
    site, started = running
    with client_of(site, started, "alpha") as client:
        heads = client.watch_checkpoints(10**6)  # more than the log holds
        request = parse_request(next(heads))
        assert request.old_size == 10**6
        with pytest.raises(GovernanceRefused) as caught:
            client.cosign(int(request.note.split("\n")[1]), b"nonsense\n")
        assert caught.value.code == "invalid_argument"
        with pytest.raises(GovernanceRefused) as caught:
            client.report_fork(kind="rollback", seen="x", came="y", text="")
        assert caught.value.code == "invalid_argument"
        client.report_fork(kind="rollback", seen=request.note, came=request.note, text="it did")
        assert "node alpha refuses this log (rollback)" in caplog.text
        assert "put back to an older state" in caplog.text


def test_a_stopping_service_ends_the_stream(running: tuple[Site, Running]) -> None:
    site, started = running
    with client_of(site, started, "alpha") as client:
        heads = client.watch_checkpoints(0)
        next(heads)
        started.stop(0)
        with pytest.raises((GovernanceError, StopIteration)):
            next(heads)
