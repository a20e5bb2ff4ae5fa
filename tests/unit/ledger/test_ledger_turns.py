"""Appends of many threads at once: each gets its own answer, few checkpoints are signed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from ledger_site import Site

from auditors.verify import verify_folder
from ledger.errors import LedgerError, LogUnavailable
from ledger.log import Log
from ledger.turns import MAX_BATCH_ENTRIES, Appended, Turns, Waiting

APPENDERS = 10_000
GATHERED = 16


@pytest.fixture
def small_stacks() -> Iterator[None]:
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def together(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("small_stacks")
def test_ten_thousand_appenders_at_once(site: Site) -> None:
    steps: list[str] = []
    found: dict[int, Appended] = {}
    came: set[int] = set()

    def step(name: str) -> None:
        """A writer as slow as a disk: while it signs, others come (on tmpfs none would)."""
        steps.append(name)
        if came and name == "signed":
            while len(log._turns._queue) < GATHERED and len(came) < APPENDERS:
                time.sleep(0.0005)

    with site.open(step) as log:
        steps.clear()

        def append(n: int) -> None:
            came.add(n)
            found[n] = log.append([b"%d" % n], idempotency_key=str(n))

        together(APPENDERS, append)
        assert log.size == APPENDERS
        entries = log.entries(0, APPENDERS)
        assert all(entries[one.first_index] == b"%d" % n for n, one in found.items())
        assert len({one.first_index for one in found.values()}) == APPENDERS
        assert all(one.first_index < one.size <= APPENDERS for one in found.values())
    assert steps.count("signed") < APPENDERS / 4
    assert verify_folder(site.folder, verifier_key=site.signer.verifier_key).size == APPENDERS


class Held:
    """A log whose writer waits in its first step, so that appends gather behind it."""

    def __init__(self, site: Site) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.armed = False
        self.log: Log = site.open(self)
        self.armed = True
        self.results: dict[int, Appended | BaseException] = {}

    def __call__(self, name: str) -> None:
        if self.armed and name == "signed" and not self.go_on.is_set():
            self.reached.set()
            self.go_on.wait(10)
            if self.error is not None:
                raise self.error

    def append(self, n: int, lines: Sequence[bytes], key: str | None = None) -> threading.Thread:
        def work() -> None:
            try:
                self.results[n] = self.log.append(lines, idempotency_key=key)
            except LedgerError as error:
                self.results[n] = error

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def gather(self, *asks: tuple[list[bytes], str | None]) -> list[Appended | BaseException]:
        """What each of these gets, all waiting while a first append is held."""
        threads = [self.append(-1, [b"first"])]
        assert self.reached.wait(10)
        for n, (lines, key) in enumerate(asks):
            threads.append(self.append(n, lines, key))
            while len(self.log._turns._queue) <= n:
                pass
        self.go_on.set()
        for thread in threads:
            thread.join(10)
        return [self.results[n] for n in range(len(asks))]


def test_one_batch_settles_equal_keys(site: Site) -> None:
    held = Held(site)
    first, again, other, last = held.gather(
        ([b"a", b"b"], "k"), ([b"a", b"b"], "k"), ([b"c"], "k"), ([b"d"], "l")
    )
    assert isinstance(first, Appended)
    assert again == first
    assert (first.first_index, first.count, first.size) == (1, 2, 4)
    assert isinstance(other, LedgerError)
    assert "use a new key" in str(other)
    assert isinstance(last, Appended)
    assert (last.first_index, last.checkpoint) == (3, first.checkpoint)
    assert held.log.entries(0, 4) == [b"first", b"a", b"b", b"d"]
    held.log.close()


def test_a_batch_has_an_end(site: Site) -> None:
    held = Held(site)
    half = [b"x"] * (MAX_BATCH_ENTRIES // 2)
    first, second, third = held.gather((half, None), (half, None), ([b"y"], None))
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert isinstance(third, Appended)
    assert first.size == second.size < third.size == 1 + MAX_BATCH_ENTRIES + 1
    held.log.close()


def test_who_waits_behind_a_failure_is_served(site: Site) -> None:
    held = Held(site)
    held.error = OSError(28, "No space left on device")
    (after,) = held.gather(([b"a"], None))
    assert isinstance(after, Appended)
    assert isinstance(held.results[-1], LogUnavailable)
    assert held.log.entries(0, held.log.size) == [b"a"]
    held.log.close()


def test_what_a_batch_raises_is_told_to_all_in_it() -> None:
    entered = threading.Event()
    gathered = threading.Event()
    told: list[BaseException] = []

    def run(batch: Sequence[Waiting]) -> None:
        if not gathered.is_set():
            entered.set()
            gathered.wait(10)
            for one in batch:
                one.answer = Appended(0, 1, "", 1)
            return
        raise KeyboardInterrupt

    turns = Turns(run)

    def take() -> None:
        try:
            turns.take(Waiting([b"x"], None))
        except (LedgerError, KeyboardInterrupt) as error:
            told.append(error)

    threads = [threading.Thread(target=take) for _ in range(4)]
    threads[0].start()
    assert entered.wait(10)
    for n, thread in enumerate(threads[1:]):
        thread.start()
        while len(turns._queue) <= n:
            pass
    gathered.set()
    for thread in threads:
        thread.join(10)
    assert sorted(type(error).__name__ for error in told) == [
        "KeyboardInterrupt",
        "LogUnavailable",
        "LogUnavailable",
    ]


def test_who_leaves_the_queue_passes_its_turn_on() -> None:
    turns = Turns(lambda _batch: None)
    leaving, next_one = Waiting([b"x"], None, leads=True), Waiting([b"y"], None)
    turns._queue.extend([leaving, next_one])
    turns._working = True
    turns._leave(leaving)
    assert next_one.leads
    assert next_one.woken.is_set()
    turns._leave(next_one)
    assert not turns._working
    turns._leave(next_one)  # it was taken into a batch: its answer comes, and nobody waits for it
