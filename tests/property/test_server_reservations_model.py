"""Governance against a simple model: no limit is ever exceeded, not by one.

Three runs use the same three agreements side by side, each of which limits something else. Between
and in the middle of their rounds consent is withdrawn, time passes or is set back, permits are
abandoned, replies get lost, governance crashes between any two durable steps or finds the disk
full, and is asked the same again. After every step the registry has to show what the model shows;
at the end a registry made from the log alone has to be the same as the live one.
"""

from __future__ import annotations

import atexit
import copy
import errno
import functools
import math
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from dp_accounting import get_epsilon_gaussian
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from server_site import CONSUMER, OPERATOR, Crash, Site, make_fab, private
from sqlalchemy import select

from auditors.shares import replay_log
from policies.canonical import sha256_hex
from policies.fields import instant
from policies.left_values import MAX_STEP_BACK
from server import accounts
from server.errors import Unavailable
from server.projection import apply
from server.registry import Registry, set_applied
from server.round_asks import RoundAsk
from server.rounds import RoundAnswer
from server.tables import INVITATIONS, MASK_KEYS, METADATA

DEADLINE_S: Final = 20
GRACE_S: Final = 10
USES: Final = 5
LEAST: Final = 2  # of a cohort, as with masks
EPSILON: Final = 2.1  # at δ 0.00001
METERED_S: Final = 90
ELAPSED_S: Final = 600
OPEN_S: Final = 900  # alpha's agreement ends that long after the start
START: Final = timedelta(days=1)  # after registration, so that no certificate is too young
UNITS: Final = Fraction("9.5")
RUNS: Final = {"one": ("4", "1"), "two": ("8", "0"), "three": ("3", "2.5")}  # noise, pay
STEPS: Final = ("signed", "committed", "recorded", "entries", "history", "published", "registry")
FAULTS: Final = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from([("crash", step) for step in STEPS]),
    st.sampled_from([("full disk", step) for step in ("signed", "recorded", "history")]),
)
SIDE: Final = {  # what the log does not hold
    "participants": {"title"},
    "runs": {"flower_run", "state"},
    "rounds": {"permit"},
}


# -- the model -----------------------------------------------------------------------------------


def epsilon_of(squares: Fraction) -> float:
    """ε at δ 0.00001 of Gaussian mechanisms, by another's code."""
    return get_epsilon_gaussian(1 / math.sqrt(squares), 1e-5) if squares else 0.0


@dataclass
class Use:
    """One use of one agreement; `seconds` falls when it is receipted."""

    seconds: int
    square: Fraction  # of 1/noise: these add up
    pays: Fraction
    accepted: bool = False


@dataclass
class Round:
    """A permit: who may take part, until when a receipt counts."""

    expires: datetime
    uses: dict[str, Use]
    ended: bool = False


@dataclass
class Model:
    """What was used, by name of the owner; and the rules, in the plainest words."""

    opens_until: datetime
    uses: dict[str, list[Use]] = field(default_factory=lambda: {n: [] for n in NAMES})
    first: dict[str, datetime] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    last: datetime | None = None
    current: dict[str, Round] = field(default_factory=dict)

    def spent(self, name: str) -> tuple[int, int, Fraction, Fraction]:
        """Uses, seconds, squares of 1/noise, units."""
        uses = self.uses[name]
        return (
            len(uses),
            sum(one.seconds for one in uses),
            sum((one.square for one in uses), Fraction()),
            sum((one.pays for one in uses), Fraction()),
        )

    def units(self) -> Fraction:
        return sum((self.spent(name)[3] for name in NAMES), Fraction())

    def decide(self, run: str, clock: datetime) -> dict[str, bool]:
        """Take a round in and say who takes part."""
        now = clock
        if self.last is not None and clock < self.last <= clock + MAX_STEP_BACK:
            now = self.last
        square, pays = 1 / Fraction(RUNS[run][0]) ** 2, Fraction(RUNS[run][1])
        allowed = {
            "alpha": self.spent("alpha")[0] + 1 <= USES
            and epsilon_of(self.spent("alpha")[2] + square) <= EPSILON
            and now <= self.opens_until,
            "beta": self.spent("beta")[1] + DEADLINE_S <= METERED_S,
            "gamma": timedelta() <= now - self.first.get("gamma", now) <= timedelta(seconds=600),
        }
        left = UNITS - self.units()
        uses: dict[str, Use] = {}
        for name in NAMES:
            if allowed[name] and name not in self.withdrawn and pays <= left:
                left -= pays
                uses[name] = Use(DEADLINE_S, square, pays)
        if len(uses) < LEAST:
            uses = {}
        if run in self.current:
            self.current.pop(run).ended = True
        self.last = clock if self.last is None else max(self.last, clock)
        if uses:
            expires = clock + timedelta(seconds=DEADLINE_S + GRACE_S)
            self.current[run] = Round(expires, uses)
            for name, use in uses.items():
                self.uses[name].append(use)
                self.first.setdefault(name, clock)
        return {name: name in uses for name in NAMES}


NAMES: Final = ("alpha", "beta", "gamma")


# -- the space -----------------------------------------------------------------------------------


def limit(operand: str, value: str, kind: str) -> dict[str, Any]:
    right = {"@value": value, "@type": f"xsd:{kind}"}
    return {"leftOperand": operand, "operator": "lteq", "rightOperand": right}


@functools.cache
def template() -> tuple[Site, str]:
    """A space with the three agreements and a voucher, made once and closed."""
    root = Path(tempfile.mkdtemp(prefix="tds-reservations-"))
    atexit.register(shutil.rmtree, root)
    site = Site.make(root / "space")
    site.now = site.now.replace(microsecond=0)
    until = instant(site.now + START + timedelta(seconds=OPEN_S)).replace("Z", "+00:00")
    limits = {
        "alpha": [
            limit("count", str(USES), "integer"),
            limit("epsilon", str(EPSILON), "decimal"),
            limit("dateTime", until, "dateTime"),
        ],
        "beta": [limit("meteredTime", f"PT{METERED_S}S", "duration")],
        "gamma": [limit("elapsedTime", f"PT{ELAPSED_S}S", "duration")],
    }
    for name in NAMES:
        node = site.enrol(name)
        site.add_product(node)
        site.agree(node, *limits[name])
    site.governance.catalogue.register_app(make_fab(), "app")
    _, voucher = site.governance.vouchers.issue("consortium", "9.5", "request-1")
    site.close()
    return site, voucher


class Reservations(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def open(self) -> None:
        made, voucher = template()
        self.root = Path(tempfile.mkdtemp(prefix="tds-reservations-"))
        shutil.copytree(made.folder, self.root / "space")
        self.site = Site(self.root / "space", made.now)
        self.site.superlink = copy.deepcopy(made.superlink)
        self.site.nodes = dict(made.nodes)
        self.site.open()
        self.site.tick(START.total_seconds())
        self.latest = self.site.now
        self.model = Model(opens_until=self.site.now + timedelta(seconds=OPEN_S))
        self.number = 0
        self.asks: dict[str, RoundAsk] = {}
        self.answers: dict[str, RoundAnswer] = {}
        self.runs: dict[str, str] = {}
        for name, (noise, pays) in RUNS.items():
            spec: dict[str, Any] = {
                **private(noise),
                "pays": pays,
                "voucher": voucher if pays != "0" else "",
            }
            self.runs[name] = self.site.open_run(
                f"run-{name}", rounds=1000, deadline_s=DEADLINE_S, **spec
            )

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.on_step = lambda _step: None
            self.site.on_registry = lambda: None
            self.rebuilt_from_the_log_it_is_the_same()
            assert replay_log(self.site.space.log_folder, jobs=1).violations == ()
            self.site.close()
            shutil.rmtree(self.root)

    # -- asking ------------------------------------------------------------------------------

    @rule(run=st.sampled_from(list(RUNS)), fault=FAULTS)
    def ask(self, run: str, fault: tuple[str, str] | None) -> None:
        """Another round, or another attempt at it; the permit before it is void."""
        self.number += 1
        ask = self.site.ask(self.runs[run], f"ask-{self.number}")
        answer = self.doing(fault, lambda: self.site.governance.rounds.authorize(CONSUMER, ask))
        if self.decided(ask.request_id):
            expected = self.model.decide(run, self.site.now)
            self.asks[run] = ask
            answer = answer or self.site.governance.rounds.authorize(CONSUMER, ask)
            self.check(run, answer, expected)

    @rule(runs=st.lists(st.sampled_from(list(RUNS)), min_size=2, max_size=3, unique=True))
    def race(self, runs: list[str]) -> None:
        """Several runs ask at the same moment; the log says in which order they were served."""
        found: dict[str, RoundAnswer] = {}
        for run in runs:
            self.number += 1
            self.asks[run] = self.site.ask(self.runs[run], f"ask-{self.number}")
        start = threading.Barrier(len(runs))

        def serve(run: str) -> None:
            start.wait()
            found[run] = self.site.governance.rounds.authorize(CONSUMER, self.asks[run])

        threads = [threading.Thread(target=serve, args=[run]) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for run in sorted(runs, key=lambda one: found[one].decision_index):
            self.check(run, found[run], self.model.decide(run, self.site.now))

    @rule(run=st.sampled_from(list(RUNS)))
    def ask_again(self, run: str) -> None:
        """The same request gets the same answer and takes nothing more."""
        if run in self.asks:
            again = self.site.governance.rounds.authorize(CONSUMER, self.asks[run])
            assert again == self.answers[run]

    # -- replies -----------------------------------------------------------------------------

    @rule(
        run=st.sampled_from(list(RUNS)),
        name=st.sampled_from(NAMES),
        seconds=st.sampled_from([0.0, 0.001, 1.0, 7.5, 20.0]),
        good=st.booleans(),
        fault=FAULTS,
    )
    def reply(
        self, run: str, name: str, seconds: float, good: bool, fault: tuple[str, str] | None
    ) -> None:
        """A receipt; a bad one is refused and may be followed by a better one."""
        current = self.model.current.get(run)
        if current is None or name not in current.uses:
            return
        answer, node = self.answers[run], self.site.nodes[name]
        finished = self.site.now + timedelta(seconds=seconds)
        self.number += 1  # other rows make it another receipt
        changes: dict[str, Any] = {"rows_commitment": sha256_hex(str(self.number).encode())}
        changes |= {} if good else {"rows_used": 0}
        arrived = self.site.arrived(answer, node, finished=instant(finished), **changes)
        size = self.site.log.size

        def submit() -> Any:
            submitted = [arrived]
            return self.site.governance.receipts.submit(CONSUMER, answer.permit_id, submitted, [])

        use = current.uses[name]
        holds = (
            good
            and finished <= current.expires
            and name not in self.model.withdrawn
            and not use.accepted
        )
        self.doing(fault, submit)
        if self.site.log.size > size:
            if holds:
                use.accepted = True
                use.seconds = -int(-seconds // 1)
            assert [row.accepted for row in submit()] == [holds]

    @rule(run=st.sampled_from(list(RUNS)), fault=FAULTS)
    def close(self, run: str, fault: tuple[str, str] | None) -> None:
        """The round ends; whatever did not come stays spent."""
        current = self.model.current.get(run)
        if current is None:
            return
        answer = self.answers[run]
        uses = current.uses.items()
        left = [name for name, use in uses if use.accepted and name not in self.model.withdrawn]
        permit, changes = self.site.permit(answer).body, {}
        if len(left) < LEAST:
            changes = {"quorum_met": False, "model": permit.model}
        else:
            self.site.open_masks(answer)
        self.doing(fault, lambda: self.site.close_round(answer, **changes))
        self.site.close_round(answer, **changes)
        self.model.current.pop(run).ended = True

    # -- the world ---------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), fault=FAULTS)
    def withdraw(self, name: str, fault: tuple[str, str] | None) -> None:
        """Consent ends; at once, also for uses that are under way."""
        if self.number % 4 == 3:  # not too often, or there is little left to see
            self.doing(fault, lambda: self.site.withdraw(self.site.nodes[name]))
            self.site.withdraw(self.site.nodes[name])
            self.model.withdrawn.add(name)

    @rule(seconds=st.sampled_from([0.001, 1.0, 29.0, 31.0, 299.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        """Permits expire, agreements end."""
        self.site.tick(seconds)

    @rule(seconds=st.sampled_from([0.001, 1.0, 60.0, 299.0]))
    def clock_goes_back(self, seconds: float) -> None:
        """A little: as a clock that is set right does."""
        self.latest = max(self.latest, self.site.now)
        self.site.now = max(self.site.now - timedelta(seconds=seconds), self.latest - MAX_STEP_BACK)

    @rule()
    def restart(self) -> None:
        """Governance ends and starts from what is on the disk."""
        self.site.reopen()

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "model"):
            return
        uses, _, squares, _ = self.model.spent("alpha")
        assert uses <= USES
        assert epsilon_of(squares) <= EPSILON
        assert self.model.spent("beta")[1] <= METERED_S
        assert self.model.units() <= UNITS

    @invariant()
    def the_registry_shows_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        with self.site.registry.transaction() as connection:
            ids = {name: self.site.nodes[name].agreement for name in NAMES}
            found = accounts.accounts(connection, list(ids.values()))
            ((_, voucher),) = accounts.vouchers(connection)
        for name, id in ids.items():
            total, open_uses = found[id].total, len(found[id].outstanding)
            squares = sum(
                (count / Fraction(event.noise) ** 2 for event, count in total.losses.events),
                Fraction(),
            )
            shown = (total.uses, total.metered_s, squares, Fraction(total.paid))
            assert shown == self.model.spent(name)
            rounds = self.model.current.values()
            assert open_uses == sum(
                name in one.uses and not one.uses[name].accepted for one in rounds
            )
        assert Fraction(voucher.spent) == self.model.units()

    # -- helpers -----------------------------------------------------------------------------

    def doing(self, fault: tuple[str, str] | None, act: Callable[[], Any]) -> Any:
        """Do it, or do it half: None after a fault.

        A crash ends the process, which starts again; after a full disk it goes on, and whatever it
        does next has first to find out what became of the append that failed.
        """
        if fault is None:
            return act()
        kind, step = fault

        def fail() -> None:
            raise Crash(step) if kind == "crash" else OSError(errno.ENOSPC, "No space left")

        def on_step(name: str) -> None:
            if name == step:
                fail()
            if name == "published" and step == "registry":
                self.site.on_registry = fail

        self.site.on_step = on_step
        try:
            return act()
        except (Crash, Unavailable):
            return None
        finally:
            self.site.on_step = lambda _step: None
            if kind == "crash":
                self.site.reopen()
            else:
                self.site.governance.watch_withdrawals(OPERATOR).close()

    def decided(self, request_id: str) -> bool:
        """Whether the log has the decision on this request."""
        return any(
            one.type == "RoundDecided" and one.body["request_id"] == request_id
            for one in self.site.entries()
        )

    def check(self, run: str, answer: RoundAnswer, expected: dict[str, bool]) -> None:
        self.answers[run] = answer
        found = {one["participant"]: one["permitted"] for one in answer.verdicts}
        assert found == expected
        if answer.permit:
            body = self.site.permit(answer).body
            assert {one.participant for one in body.cohort} == {n for n in NAMES if expected[n]}
            assert {one.pays for one in body.cohort} == {RUNS[run][1]}
            for one in body.cohort:  # this use is in the model by now
                of_product = epsilon_of(self.model.spent(one.participant)[2])
                assert 0 <= float(one.epsilon) - of_product <= 1.1e-6

    def rebuilt_from_the_log_it_is_the_same(self) -> None:
        registry = Registry.open(self.root / "again.db")
        with registry.transaction() as connection:
            for index, data in enumerate(self.site.log.entries(0, self.site.log.size)):
                apply(connection, index, data)
            set_applied(connection, self.site.log.size)
        with registry.transaction() as again, self.site.registry.transaction() as live:
            for table in METADATA.sorted_tables:
                if table not in (INVITATIONS, MASK_KEYS):
                    columns = [c for c in table.c if c.name not in SIDE.get(table.name, ())]
                    query = select(*columns).order_by(*table.primary_key)
                    assert again.execute(query).all() == live.execute(query).all(), table.name
        registry.close()


TestReservations = Reservations.TestCase
TestReservations.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
