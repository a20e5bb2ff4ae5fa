"""Whatever is asked in whatever order: one round gives one sum away, or none.

Two runs about one model, of four enterprises, one of them in two groups. Receipts come in parts,
consents end, rounds are asked for again, closed, given up, runs are stopped and resumed, governance
crashes between any two durable steps. Of everything that ever left governance, this keeps a record.
"""

from __future__ import annotations

import atexit
import copy
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from server_site import CONSUMER, Crash, Site, make_fab
from sum_site import Opened, masked_run, open_sum, plain_sum, release, send

from auditors.shares import replay_log
from policies.release import cohorts, told_apart
from server.errors import RequestError
from server.rounds import RoundAnswer

NAMES: Final = ("alpha", "beta", "gamma", "delta")
RUNS: Final = {"whole": {}, "halves": {"groups": 2}}
STEPS: Final = ("signed", "committed", "recorded", "published", "registry")
FAULTS: Final = st.one_of(st.none(), st.none(), st.sampled_from(STEPS))
RUN: Final = st.sampled_from(sorted(RUNS))
TAKING: Final = st.one_of(
    st.just(set(NAMES)), st.sets(st.sampled_from(NAMES), min_size=1), st.just({"gamma", "delta"})
)


@functools.cache
def template() -> Site:
    """A space with four enterprises, made once and closed."""
    root = Path(tempfile.mkdtemp(prefix="tds-releases-"))
    atexit.register(shutil.rmtree, root)
    site = Site.make(root / "space")
    for name in NAMES:
        node = site.enrol(name)
        site.add_product(node)
        site.agree(node)
    site.governance.catalogue.register_app(make_fab(), "app")
    site.close()
    return site


class Releases(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def open(self) -> None:
        made = template()
        self.root = Path(tempfile.mkdtemp(prefix="tds-releases-"))
        shutil.copytree(made.folder, self.root / "space")
        self.site = Site(self.root / "space", made.now)
        self.site.superlink = copy.deepcopy(made.superlink)
        self.site.nodes = dict(made.nodes)
        self.site.open()
        self.site.tick(1)
        self.number = 0
        self.answers: dict[str, RoundAnswer] = {}
        self.left: dict[tuple[str, str, int], Opened] = {}
        self.runs = {
            name: masked_run(self.site, name, rounds=3, **changes) for name, changes in RUNS.items()
        }

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.reopen()
            assert replay_log(self.site.space.log_folder, jobs=1).violations == ()
            self.site.close()
            shutil.rmtree(self.root)

    @rule(run=RUN, fault=FAULTS)
    def ask(self, run: str, fault: str | None) -> None:
        """A round, or another attempt at it."""
        self.number += 1
        answer = self.doing(
            fault, lambda: self.site.authorize(self.runs[run], f"ask-{self.number}")
        )
        if answer is not None and answer.permit:
            self.answers[run] = answer

    @rule(run=RUN, names=TAKING, fault=FAULTS)
    def reply(self, run: str, names: set[str], fault: str | None) -> None:
        """Some updates arrive."""
        if (answer := self.asked(run)) is not None:
            cohort = {one.participant for one in self.site.permit(answer).body.cohort}
            taking = sorted(names & cohort)
            self.doing(fault, lambda: send(self.site, answer, *taking) if taking else None)

    @rule(run=RUN, names=TAKING, fault=FAULTS)
    def reply_and_release(self, run: str, names: set[str], fault: str | None) -> None:
        """As an honest consumer goes on, or tries to, in a round that may be further."""
        self.reply(run, names, None)
        self.release(run, fault)

    @rule(run=RUN, fault=FAULTS)
    def release(self, run: str, fault: str | None) -> None:
        """Ask for the masks; what comes is what came before."""
        if (answer := self.asked(run)) is None:
            return
        opened = self.doing(fault, lambda: release(self.site, answer))
        if opened is None:
            return
        one = opened.release
        before = self.left.setdefault((one.run, one.kind, one.round), opened)
        assert before == opened
        for number, group in enumerate(one.groups):
            assert len(group) >= 2
            _, total = open_sum(self.site, answer, opened, number)
            assert np.array_equal(total, plain_sum(self.site, answer, group))

    @rule(run=RUN, result=st.booleans(), fault=FAULTS)
    def close(self, run: str, result: bool, fault: str | None) -> None:
        """With a result, or without; what was answered stays known and is tried again."""
        if (answer := self.asked(run)) is not None:
            model = self.site.permit(answer).body.model
            changes: dict[str, Any] = {} if result else {"quorum_met": False, "model": model}
            self.doing(fault, lambda: self.site.close_round(answer, **changes))

    @rule(run=RUN)
    def stop(self, run: str) -> None:
        """And go on, if that is still possible."""
        self.doing(None, lambda: self.site.governance.runs.stop(CONSUMER, self.runs[run]))
        self.doing(None, lambda: self.site.governance.runs.resume(CONSUMER, self.runs[run]))

    @rule(name=st.sampled_from(NAMES[:2]), fault=FAULTS)
    def withdraw(self, name: str, fault: str | None) -> None:
        """A consent ends, for good."""
        if self.number % 4 == 3:  # not too often, or there is little left to see
            self.doing(fault, lambda: self.site.withdraw(self.site.nodes[name]))

    @rule()
    def restart(self) -> None:
        """Governance starts from what is on the disk."""
        self.site.reopen()

    @invariant()
    def no_two_sums_single_anybody_out(self) -> None:
        about: dict[tuple[str, str], list[frozenset[frozenset[str]]]] = {}
        for opened in getattr(self, "left", {}).values():
            permit = self.permit_of(opened)
            about.setdefault((permit["model"], permit["kind"]), []).append(
                cohorts(opened.release.groups)
            )
        for all_of_one in about.values():
            for one in all_of_one:
                assert not any(told_apart(one, other, 2) for other in all_of_one)

    def asked(self, run: str) -> RoundAnswer | None:
        """The run's last permit; the first is asked for here."""
        if run not in self.answers:
            self.ask(run, None)
        return self.answers.get(run)

    def permit_of(self, opened: Opened) -> Any:
        (body,) = [
            entry.body
            for entry in self.site.entries()
            if entry.type == "PermitIssued" and entry.body["id"] == opened.release.permit_id
        ]
        return body

    def doing(self, fault: str | None, act: Callable[[], Any]) -> Any:
        """Do it, or do it half and start again: None after that, and where it is refused."""

        def fail() -> None:
            raise Crash(fault)

        def on_step(name: str) -> None:
            if name == fault:
                fail()
            if name == "published" and fault == "registry":
                self.site.on_registry = fail

        self.site.on_step = on_step
        try:
            return act()
        except RequestError:
            return None
        except Crash:
            self.site.reopen()
            return None
        finally:
            self.site.on_step = lambda _step: None
            self.site.on_registry = lambda: None


TestReleases = Releases.TestCase
TestReleases.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
