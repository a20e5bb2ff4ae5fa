from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.checkpoint import open_checkpoint
from ledger.errors import LedgerError, LogUnavailable
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tiles import MAX_ENTRY_BYTES
from ledger.tree import EMPTY_ROOT, leaf_hash


def test_a_new_log_is_empty_and_signed(site: Site) -> None:
    with site.open() as log:
        head = open_checkpoint(log.checkpoint(), site.signer.verifier)
        assert (log.size, head.size, head.root) == (0, 0, EMPTY_ROOT)
        assert log.entries(0, 0) == []
    assert verify_folder(site.folder, verifier_key=site.signer.verifier_key).size == 0


def test_what_is_appended_can_be_read_and_proved(site: Site) -> None:
    with site.open() as log:
        first = log.append([b'{"n":0}', b'{"n":1}'])
        second = log.append(["{“三”:2}".encode()])
        assert (first.first_index, first.count, first.size) == (0, 2, 2)
        assert (second.first_index, second.count, second.size) == (2, 1, 3)
        assert second.checkpoint == log.checkpoint()
        assert log.entries(0, 3) == [b'{"n":0}', b'{"n":1}', "{“三”:2}".encode()]
        assert log.entry(1) == b'{"n":1}'
        old = open_checkpoint(first.checkpoint, site.signer.verifier)
        new = open_checkpoint(second.checkpoint, site.signer.verifier)
        verify_inclusion(
            index=1,
            size=3,
            leaf=leaf_hash(b'{"n":1}'),
            proof=log.inclusion_proof(1, 3),
            root=new.root,
        )
        verify_consistency(
            old_size=2,
            new_size=3,
            old_root=old.root,
            new_root=new.root,
            proof=log.consistency_proof(2, 3),
        )


def test_it_goes_on_after_opening_again(site: Site) -> None:
    with site.open() as log:
        log.append([b"a", b"b"])
        before = log.checkpoint()
    with site.open() as log:
        assert (log.size, log.checkpoint()) == (2, before)
        assert log.append([b"c"]).first_index == 2
    verified = verify_folder(site.folder, verifier_key=site.signer.verifier_key, seen=[before])
    assert verified.size == 3


def test_it_reads_a_large_database_in_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.store_sql._LINES_AT_ONCE", 2)
    with site.open() as log:
        for n in range(5):
            log.append([b"%d" % n])
        before = log.checkpoint()
    shutil.rmtree(site.folder)
    with site.open() as log:
        assert (log.entries(0, 5), log.checkpoint()) == ([b"0", b"1", b"2", b"3", b"4"], before)
    assert verify_folder(site.folder, verifier_key=site.signer.verifier_key).size == 5


def test_the_same_key_appends_once(site: Site) -> None:
    with site.open() as log:
        log.append([b"a", b"b"], idempotency_key="round 1")
        log.append([b"c"], idempotency_key="round 2")
        again = log.append([b"a", b"b"], idempotency_key="round 1")
        assert (again.first_index, again.count, again.size, log.size) == (0, 2, 3, 3)
        assert again.checkpoint == log.checkpoint()
    with site.open() as log:
        assert log.append([b"c"], idempotency_key="round 2").first_index == 2
        assert log.size == 3


@pytest.mark.parametrize("other", [[b"a"], [b"a", b"b", b"c"], [b"b", b"a"]])
def test_the_same_key_with_other_entries_is_refused(site: Site, other: list[bytes]) -> None:
    with site.open() as log:
        log.append([b"a", b"b"], idempotency_key="k")
        with pytest.raises(LedgerError, match="use a new key"):
            log.append(other, idempotency_key="k")
        assert log.size == 2


@pytest.mark.parametrize(
    ("entries", "key"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([b""], None, id="empty"),
        pytest.param([b"a\n"], None, id="newline"),
        pytest.param([b"good", b"\xff"], None, id="not-utf-8"),
        pytest.param([b"x" * (MAX_ENTRY_BYTES + 1)], None, id="too-large"),
        pytest.param(["text"], None, id="not-bytes"),
        pytest.param([b"a"], "", id="empty-key"),
        pytest.param([b"a"], "k" * 201, id="long-key"),
        pytest.param([b"a"], "\ud800", id="surrogate-key"),
    ],
)
def test_what_no_log_can_take(site: Site, entries: list[bytes], key: str | None) -> None:
    with site.open() as log:
        with pytest.raises(LedgerError, match="expected"):
            log.append(entries, idempotency_key=key)
        assert log.size == 0
        assert log.append([b"x" * MAX_ENTRY_BYTES], idempotency_key="k" * 200).size == 1


def test_what_is_not_published_cannot_be_asked_for(site: Site) -> None:
    with site.open() as log:
        log.append([b"a"])
        for ask in (
            lambda: log.entry(1),
            lambda: log.entry(-1),
            lambda: log.entries(1, 0),
            lambda: log.inclusion_proof(0, 2),
            lambda: log.inclusion_proof(1, 1),
            lambda: log.consistency_proof(1, 2),
        ):
            with pytest.raises(LedgerError, match="expected"):
                ask()


def test_a_closed_log_answers_no_more(site: Site) -> None:
    log = site.open()
    log.append([b"a"])
    log.close()
    log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        log.append([b"b"])
    with pytest.raises(LogUnavailable, match="closed"):
        log.entry(0)


def test_there_is_one_writer(site: Site) -> None:
    with site.open(), pytest.raises(LogUnavailable, match="exactly one writer"):
        site.open()
    with site.open() as log:
        assert log.size == 0


def test_threads_take_turns(site: Site) -> None:
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set() or rounds == 0:
            size = log.size
            assert len(log.entries(0, size)) == size
            if size:
                log.inclusion_proof(size - 1, size)
            rounds += 1
            stop.wait(0.001)  # a reader that never rests would hold the interpreter for itself
        return rounds

    def append(worker: int) -> list[int]:
        done = []
        for n in range(5):
            result = log.append([b"%d/%d/%d" % (worker, n, part) for part in range(2)])
            done.append(result.first_index)
            assert log.entry(result.first_index) == b"%d/%d/0" % (worker, n)
        return done

    with site.open() as log, ThreadPoolExecutor(6) as pool:
        reader = pool.submit(read)
        appended = [n for found in pool.map(append, range(5)) for n in found]
        stop.set()
        assert reader.result() > 0
        assert sorted(appended) == list(range(0, 50, 2))
    assert verify_folder(site.folder, verifier_key=site.signer.verifier_key).size == 50
