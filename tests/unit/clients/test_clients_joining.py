"""The way into the SuperLink over a fake one: what is waited for, what ends, what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from clients.backoff import Backoff, Presence
from clients.errors import GovernanceError, GovernanceRefused, GovernanceUnavailable
from clients.fleet_errors import FleetNotAdmitted, FleetRejected, FleetUnavailable, FleetUntrusted
from clients.joining import Joining, NotEnrolled, flower_id
from policies.canonical import canonical_bytes

ME, ID = "clinic", 77
AWAY = FleetUnavailable("no connection")
OTHER = FleetUntrusted("a certificate of another CA")
SHUT = FleetNotAdmitted("not let in")


@dataclass
class Door:
    """A SuperLink that answers from a script, then lets the node in."""

    script: list[FleetUnavailable]
    keys: set[int] = field(default_factory=lambda: {ID})
    tries: int = 0

    def activate(self) -> None:
        self.tries += 1
        if self.script:
            raise self.script.pop(0)

    def knows(self, node_id: int) -> bool:
        return node_id in self.keys


@dataclass
class Lists:
    """Governance that knows these participants, or has this problem."""

    rows: list[dict[str, str | None]] = field(default_factory=list)
    problem: GovernanceError | None = None

    def list_documents(self, what: str) -> list[bytes]:
        assert what == "participants"
        if self.problem is not None:
            raise self.problem
        return [canonical_bytes(row) for row in self.rows]


ENROLLED = Lists([{"participant": "other", "node_id": "1"}, {"participant": ME, "node_id": "77"}])


class Stop(threading.Event):
    """Never really waits; the clock runs on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


def join(
    door: Door, governance: Lists = ENROLLED, *, been_in: bool = False, stop: Stop | None = None
) -> tuple[bool, list[str]]:
    stop = stop or Stop()
    told: list[str] = []
    joining = Joining(
        door=door,
        ask=lambda: flower_id(governance, ME),
        presence=Presence("the SuperLink", told.append, clock=lambda: stop.now),
        backoff=Backoff(draw=lambda: 1.0),
        stop=stop,
        been_in=been_in,
    )
    return joining.join(), told


def test_a_superlink_that_is_there_is_entered_without_a_word() -> None:
    assert join(Door([])) == (True, [])


def test_one_that_is_away_is_told_once_however_often_it_is_tried() -> None:
    door = Door([AWAY] * 50)
    joined, told = join(door)
    assert (joined, door.tries) == (True, 51)
    assert [line.split(":")[0] for line in told] == [
        "waiting for the SuperLink",
        "the SuperLink is there again after 443 s",
    ]


@pytest.mark.parametrize(
    ("door", "governance", "expected"),
    [
        (Door([SHUT]), ENROLLED, "it counts an earlier process of this node as running"),
        (Door([SHUT], keys=set()), ENROLLED, "it does not know this node's Flower key"),
        (Door([SHUT]), Lists([{"participant": ME, "node_id": None}]), "not let in"),
        (Door([SHUT]), Lists(), "not let in"),
        (Door([SHUT]), Lists(problem=GovernanceUnavailable("away")), "not let in"),
        (Door([SHUT]), Lists(problem=GovernanceRefused("no", code="not_found")), "not let in"),
    ],
    ids=["runs", "unknown-key", "no-id", "no-row", "governance-away", "another-no"],
)
def test_why_it_does_not_let_the_node_in_is_told_and_waited_for(
    door: Door, governance: Lists, expected: str
) -> None:
    joined, told = join(door, governance)
    assert joined
    assert told[0].startswith(f"waiting for the SuperLink: {expected}")


@pytest.mark.parametrize("code", ["permission_denied", "unauthenticated"])
def test_who_is_not_enrolled_ends(code: str) -> None:
    nobody = Lists(problem=GovernanceRefused("expected an enrolled participant", code=code))
    with pytest.raises(NotEnrolled, match="waiting does not help: ask the operator"):
        join(Door([SHUT]), nobody)


def test_another_ca_ends_at_the_start_and_is_waited_for_later() -> None:
    with pytest.raises(FleetRejected, match="another CA"):
        join(Door([OTHER]))
    assert join(Door([OTHER]), been_in=True)[0]
    with pytest.raises(FleetRejected):
        join(Door([AWAY, OTHER]))


def test_a_change_of_the_reason_is_told() -> None:
    _, told = join(Door([AWAY, AWAY, SHUT, SHUT, AWAY]))
    assert [line.partition(":")[0] for line in told] == [
        "waiting for the SuperLink",
        "still waiting for the SuperLink",
        "still waiting for the SuperLink",
        "the SuperLink is there again after 3 s",
    ]


def test_a_stop_ends_the_waiting() -> None:
    stop = Stop()
    stop.set()
    assert join(Door([AWAY] * 9), stop=stop) == (False, [])


# -- pauses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda: 1.0, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]),
        (lambda: 0.0, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]),
    ],
)
def test_pauses_double_to_the_cap_and_half_of_each_is_drawn(
    draw: Callable[[], float], expected: list[float]
) -> None:
    backoff = Backoff(draw=draw)
    assert [backoff.next() for _ in expected] == pytest.approx(expected)
    backoff.reset()
    assert backoff.next() == pytest.approx(expected[0])


def test_pauses_are_bounded_after_any_number_of_tries() -> None:
    backoff = Backoff()
    assert all(backoff.next() <= 10 for _ in range(5000))
    assert backoff.next() >= 5
