"""A witness written by others (PyPI: aics-witness, Python 3.12 or newer) cosigns our log.

Runs where `TDS_AICS_WITNESS` names its command, or `aics-witness` is on the path:

    python3.12 -m venv /tmp/w && /tmp/w/bin/pip install aics-witness==0.1.0
    TDS_AICS_WITNESS=/tmp/w/bin/aics-witness pytest tests/interop/test_interop_witness.py
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_site import Site

from ledger.cosignature import open_cosigned
from ledger.log import Log
from ledger.note import NoteVerifier, SignatureType
from ledger.tlogpolicy import Policy, PolicyWitness
from policies.permit import open_permit
from server.cosigning import Cosigning
from server.external_witness import ExternalWitness

COMMAND = os.environ.get("TDS_AICS_WITNESS") or shutil.which("aics-witness")
NAME = "witness.example/w1"
PATIENCE_S = 20.0

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(COMMAND is None, reason="no aics-witness here"),
]


def run(folder: Path, *arguments: str) -> str:
    assert COMMAND is not None
    command = [COMMAND, *arguments, "--config", str(folder / "witness.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site.make(tmp_path / "space")
    made.populate()
    yield made
    made.close()


@pytest.fixture
def witness(site: Site, tmp_path: Path) -> Iterator[PolicyWitness]:
    folder = tmp_path / "witness"
    folder.mkdir()
    told = run(folder, "init", "--name", NAME)
    key = next(word for word in told.split() if word.startswith(f"{NAME}+"))
    card = site.space.card
    run(folder, "add-log", "--origin", card.name, "--vkey", card.log_key)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert COMMAND is not None
    listen = ["--listen", f"127.0.0.1:{port}", "--config", str(folder / "witness.json")]
    process = subprocess.Popen([COMMAND, "serve", *listen])
    try:
        eventually(lambda: answers(port))
        verifier = NoteVerifier.parse(key, SignatureType.COSIGNATURE)
        yield PolicyWitness("w1", verifier, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_permit_waits_for_it_and_it_follows_the_log(site: Site, witness: PolicyWitness) -> None:
    policy = Policy(witnesses=(witness,), quorum="w1")
    site.witness_policy = policy
    site.reopen()
    log_key = NoteVerifier.parse(site.space.card.log_key)
    asked = site.governance.ask_witnesses(policy)
    run_id = site.open_run()
    for number in (1, 2):
        answer = site.authorize(run_id, f"ask-{number}")
        permit = open_permit(answer.permit, site.space.permit_key().public_key())
        opened = policy.open(permit.log.checkpoint, log_key)
        assert opened.witnesses == {witness.verifier}
        assert abs(opened.cosignatures[0].time - time.time()) < 60

    def published() -> bool:
        note = (site.space.log_folder / "checkpoint").read_text("utf-8")
        return bool(open_cosigned(note, log_key, [witness.verifier]).cosignatures)

    eventually(published)
    for one in asked:
        one.close()


def test_it_refuses_a_second_history(
    site: Site, witness: PolicyWitness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log_key = NoteVerifier.parse(site.space.card.log_key)
    first = ExternalWitness(witness, site.governance.witnesses.cosigning)
    note = (site.space.log_folder / "checkpoint").read_text
    eventually(lambda: bool(open_cosigned(note("utf-8"), log_key, [witness.verifier]).cosignatures))
    first.close()
    with Log.open(
        folder=tmp_path / "forged" / "log",
        database=tmp_path / "forged" / "ledger.db",
        last_signed=tmp_path / "forged" / "last-signed",
        signer=site.space.log_signer(),
    ) as forged:
        forged.append([b"forged %d" % n for n in range(site.log.size + 5)])
        cosigning = Cosigning(log=forged, verifier=log_key)
        second = ExternalWitness(witness, cosigning)
        eventually(lambda: "holds that the log was forked" in caplog.text)
        assert open_cosigned(forged.checkpoint(), log_key, [witness.verifier]).cosignatures == ()
        second.close()
        cosigning.close()
