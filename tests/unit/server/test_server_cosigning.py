"""Heads offered to witnesses, and their cosignatures on permits and in the folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from server_site import CONSUMER, SPACE, Node, Site
from sqlalchemy import update

from ledger.cosignature import Cosigner, open_cosigned
from ledger.note import NoteSigner, NoteVerifier
from ledger.tlogpolicy import Policy, parse_policy
from ledger.witness import Accepted, Seen, judge
from policies.permit import open_permit
from server.cosigning import Cosigning, Offered
from server.errors import (
    BadInput,
    NotAllowed,
    RuleBroken,
    SpaceError,
    Superseded,
    TooMany,
    Unavailable,
)
from server.heads import Heads
from server.pki import Identity
from server.tables import PARTICIPANTS

TIME = 1_700_000_000
PATIENCE_S = 5.0


def cosigner(node: Node) -> Cosigner:
    """As the site enrols them: the key of its log is its receipt key."""
    return Cosigner(f"{SPACE}/{node.name}", node.receipt)


def policy_of(site: Site, quorum: str, *names: str) -> Policy:
    lines = [f"witness {name} {cosigner(site.nodes[name]).verifier.text}\n" for name in names]
    return parse_policy("".join([*lines, f"group all all {' '.join(names)}\n", quorum]).encode())


def log_key(site: Site) -> NoteVerifier:
    return NoteVerifier.parse(site.space.card.log_key)


class Witness:
    """A node that watches and cosigns in a thread of its own, as long as it is willing."""

    def __init__(self, site: Site, name: str, *, key: Ed25519PrivateKey | None = None) -> None:
        self.site = site
        self.node = site.nodes[name]
        self.signer = Cosigner(f"{SPACE}/{name}", key) if key else cosigner(self.node)
        self.seen: Seen | None = None
        self.sizes: list[int] = []
        self.refused: list[str] = []
        self.heads: Heads[Offered] = site.governance.witnesses.watch(self.node.identity, 0)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        witnesses, known = self.site.governance.witnesses, 0
        for offered in self.heads:
            request = witnesses.cosigning.request(known, offered)
            verdict = judge(request, seen=self.seen, log=log_key(self.site))
            assert isinstance(verdict, Accepted), verdict
            self.seen, known = verdict.seen, offered.size
            self.sizes.append(offered.size)
            line = self.signer.cosign(offered.note, time=TIME).encode()
            try:
                witnesses.cosign(self.node.identity, offered.size, line)
            except BadInput as error:
                self.refused.append(str(error))

    def leave(self) -> None:
        self.heads.close()
        self.thread.join()


@pytest.fixture
def watching(site: Site) -> Iterator[Callable[..., Witness]]:
    made: list[Witness] = []

    def watch(name: str, **changes: Ed25519PrivateKey) -> Witness:
        made.append(Witness(site, name, **changes))
        return made[-1]

    yield watch
    for one in made:
        one.leave()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.01)


def demand(site: Site, policy: Policy, *, wait_s: float = 0.3) -> None:
    """The operator's policy, with less patience."""
    site.witness_policy = policy
    site.reopen()
    site.governance._cosigning._wait_s = wait_s


def published(site: Site, *names: str) -> frozenset[NoteVerifier]:
    note = (site.space.log_folder / "checkpoint").read_text("utf-8")
    keys = [cosigner(site.nodes[name]).verifier for name in names]
    return open_cosigned(note, log_key(site), keys).witnesses


def test_without_a_policy_heads_are_cosigned_and_published_all_the_same(
    site: Site, watching: Callable[..., Witness]
) -> None:
    watching("alpha")
    watching("beta")
    eventually(lambda: len(published(site, "alpha", "beta")) == 2)
    answer = site.authorize(site.open_run())
    assert answer.permit
    eventually(lambda: len(published(site, "alpha", "beta")) == 2)


def test_a_permit_carries_what_the_policy_asks_for(
    site: Site, watching: Callable[..., Witness]
) -> None:
    policy = policy_of(site, "quorum all\n", "alpha", "beta")
    demand(site, policy, wait_s=PATIENCE_S)
    for name in ("alpha", "beta", "gamma"):
        watching(name)
    answer = site.authorize(site.open_run())
    permit = open_permit(answer.permit, site.space.permit_key().public_key())
    opened = policy.open(permit.log.checkpoint, log_key(site))
    assert opened.witnesses == set(policy.keys)
    assert opened.checkpoint.size == permit.log.size > permit.log.index
    assert "gamma" not in permit.log.checkpoint  # only whom the policy knows
    assert site.authorize(site.open_run()) == answer  # the same request, the same permit


def test_too_few_cosignatures_refuse_the_round_and_the_same_request_gets_it_later(
    site: Site, watching: Callable[..., Witness]
) -> None:
    demand(site, policy_of(site, "quorum all\n", "alpha", "beta"))
    watching("alpha")
    run = site.open_run()
    with pytest.raises(Unavailable, match=r"quorum 'all'.* of beta;.*same request"):
        site.authorize(run)
    assert site.kinds()[-1] == "PermitIssued"
    watching("beta")
    site.governance._cosigning._wait_s = PATIENCE_S
    size = site.log.size
    assert site.authorize(run).permit
    assert site.log.size == size  # decided once, counted once
    assert set(site.uses().values()) == {1}


def test_a_permit_that_waited_survives_a_restart(
    site: Site, watching: Callable[..., Witness]
) -> None:
    demand(site, policy_of(site, "quorum all\n", "alpha"))
    run = site.open_run()
    with pytest.raises(Unavailable):
        site.authorize(run)
    site.reopen()
    watching("alpha")
    assert site.authorize(run).permit


def test_others_go_on_while_a_permit_waits(site: Site, watching: Callable[..., Witness]) -> None:
    demand(site, policy_of(site, "quorum all\n", "alpha"), wait_s=PATIENCE_S)
    run = site.open_run()
    got: list[bytes] = []
    waiting = threading.Thread(target=lambda: got.append(site.authorize(run).permit))
    waiting.start()
    eventually(lambda: "PermitIssued" in site.kinds())
    site.withdraw(site.nodes["gamma"])  # needs the journal's lock
    watching("alpha")
    waiting.join(PATIENCE_S)
    assert len(got) == 1 and got[0]


def test_a_newer_request_takes_the_place_of_one_that_waits(
    site: Site, watching: Callable[..., Witness]
) -> None:
    demand(site, policy_of(site, "quorum all\n", "alpha"))
    run = site.open_run()
    for request in ("ask-1", "ask-2"):
        with pytest.raises(Unavailable):
            site.authorize(run, request)
    watching("alpha")
    site.governance._cosigning._wait_s = PATIENCE_S
    with pytest.raises(Superseded):
        site.authorize(run, "ask-1")
    assert site.authorize(run, "ask-2").permit


def test_a_cosignature_by_another_key_counts_for_nothing(
    site: Site, watching: Callable[..., Witness]
) -> None:
    demand(site, policy_of(site, "quorum all\n", "alpha"))
    forger = watching("alpha", key=Ed25519PrivateKey.generate())
    with pytest.raises(Unavailable):
        site.authorize(site.open_run())
    assert forger.refused and all(
        f"cosignature of {SPACE}/alpha" in text for text in forger.refused
    )
    assert published(site, "alpha") == frozenset()


def test_a_colliding_key_hash_does_not_stand_in_for_a_policy_s_witness(site: Site) -> None:
    real, other = cosigner(site.nodes["alpha"]).verifier, cosigner(site.nodes["beta"]).verifier
    forged = NoteVerifier(
        name=real.name, key_hash=real.key_hash, public=other.public, kind=real.kind
    )
    assert not policy_of(site, "quorum all\n", "alpha").satisfied({forged})


def test_what_is_no_cosignature_on_a_head_is_refused(
    site: Site, watching: Callable[..., Witness]
) -> None:
    alpha = watching("alpha")
    eventually(lambda: bool(alpha.sizes))
    witnesses, size, caller = site.governance.witnesses, alpha.sizes[-1], alpha.node.identity
    with pytest.raises(RuleBroken, match="lately offered"):
        witnesses.cosign(caller, size + 100, b"")
    for data in (b"", b"\xff", b"nonsense\n", b"x" * 100_000):
        with pytest.raises(BadInput, match=r"cosignature of .*alpha"):
            witnesses.cosign(caller, size, data)
    with pytest.raises(NotAllowed):
        witnesses.cosign(CONSUMER, size, b"")
    with pytest.raises(NotAllowed):
        witnesses.watch(Identity(space="x", role="node", participant="nobody"), 0)
    with pytest.raises(BadInput):
        witnesses.watch(caller, 2**53)


def test_a_node_cosigns_under_its_own_name_only(site: Site) -> None:
    """Enrolment sees to it; here the register says otherwise."""
    node = site.nodes["beta"]
    spoof = NoteSigner(f"{SPACE}/alpha", node.receipt).verifier_key
    with site.registry.transaction() as connection:
        beta = PARTICIPANTS.c.id == "beta"
        connection.execute(update(PARTICIPANTS).where(beta).values(log_key=spoof))
    with pytest.raises(NotAllowed, match=f"log key of the name {SPACE}/beta"):
        site.governance.witnesses.watch(node.identity, 0)


def test_a_node_that_saw_more_than_there_is_gets_the_head_and_the_operator_a_line(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    heads = site.governance.witnesses.watch(site.nodes["alpha"].identity, site.log.size + 5)
    offered = next(iter(heads))
    assert offered.size == site.log.size
    assert "put back to an older state" in caplog.text
    assert site.governance.witnesses.cosigning.request(offered.size + 5, offered).proof == ()
    heads.close()


def test_a_fork_report_is_checked_and_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    witnesses, caller = site.governance.witnesses, site.nodes["alpha"].identity
    older = site.log.checkpoint()
    site.withdraw(site.nodes["gamma"])
    witnesses.report_fork(caller, "rollback", (site.log.checkpoint(), older), "smaller")
    assert "node alpha refuses this log (rollback)" in caplog.text
    for kind, heads, text in (
        ("another", (older, older), ""),
        ("rollback", (older, "nonsense"), ""),
        ("rollback", (older, older.replace("\n\n", "\n\n\n")), ""),
        ("rollback", (older, "x" * 70_000), ""),
        ("rollback", (older, older), "x" * 1001),
    ):
        with pytest.raises(BadInput, match="fork"):
            witnesses.report_fork(caller, kind, heads, text)


def test_a_second_watcher_of_one_name_ends_the_first(site: Site) -> None:
    watch, caller = site.governance.witnesses.watch, site.nodes["alpha"].identity
    first = watch(caller, 0)
    second = watch(caller, 0)
    assert list(first) == []
    second.close()
    first.close()
    assert list(second) == []


def test_too_many_witnesses_and_a_service_that_stops(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosigning = site.governance.witnesses.cosigning
    monkeypatch.setattr("server.cosigning.MAX_WITNESSES", 1)
    heads = cosigning.watch("one", size=0)
    with pytest.raises(TooMany):
        cosigning.watch("two", size=0)
    cosigning.close()
    cosigning.close()
    assert list(heads) == []
    with pytest.raises(TooMany):
        cosigning.watch("one", size=0)


def test_a_waiter_ends_with_the_service(site: Site) -> None:
    policy = policy_of(site, "quorum all\n", "alpha")
    cosigning = Cosigning(log=site.log, verifier=log_key(site), policy=lambda: policy, wait_s=60)
    failed: list[str] = []

    def wait() -> None:
        try:
            cosigning.witnessed(0)
        except Unavailable as error:
            failed.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    cosigning.close()
    thread.join(PATIENCE_S)
    assert len(failed) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quorum nobody\n", "witness-policy: policy, line 1"),
        ("nonsense", "newline"),
    ],
)
def test_a_malformed_policy_file_keeps_the_space_from_starting(
    site: Site, text: str, message: str
) -> None:
    path: Path = site.space.folder / "witness-policy"
    path.write_text(text)
    with pytest.raises(SpaceError, match=message):
        site.space.witness_policy()


def test_a_policy_for_another_log_is_refused(site: Site) -> None:
    path = site.space.folder / "witness-policy"
    other = Cosigner("x", Ed25519PrivateKey.generate())
    assert site.space.witness_policy() == Policy()
    path.write_text(f"log {site.space.card.log_key}\nquorum none\n")
    assert site.space.witness_policy().quorum == "none"
    log = NoteSigner("another.example/log", Ed25519PrivateKey.generate()).verifier_key
    path.write_text(f"log {log}\nwitness w {other.verifier.text}\nquorum w\n")
    with pytest.raises(SpaceError, match="expected no log line"):
        site.space.witness_policy()


def test_the_policy_may_change_while_governance_runs(
    site: Site, watching: Callable[..., Witness]
) -> None:
    run = site.open_run()
    assert site.authorize(run, "before").permit
    key = cosigner(site.nodes["alpha"]).verifier
    site.witness_policy = parse_policy(f"witness a {key.text}\nquorum a\n".encode())
    site.governance._cosigning._wait_s = 0.3
    with pytest.raises(Unavailable, match="expected the quorum 'a'"):
        site.authorize(run, "without-alpha")
    watching("alpha")
    site.governance._cosigning._wait_s = PATIENCE_S
    note = site.permit(site.authorize(run, "with-alpha")).log.checkpoint
    assert open_cosigned(note, log_key(site), [key]).witnesses == {key}


def test_a_policy_that_cannot_be_read_lets_no_permit_out(site: Site) -> None:
    run = site.open_run()

    def unreadable() -> Policy:
        raise SpaceError("witness-policy: policy, line 1: expected a word")

    site.governance._cosigning._read_policy = unreadable
    with pytest.raises(Unavailable, match="line 1: expected a word; mend the witness policy"):
        site.authorize(run)
    site.governance._cosigning._read_policy = Policy
    assert site.authorize(run).permit
