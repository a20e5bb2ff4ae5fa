"""A node's new key: whatever step it was cut off at, the next start finishes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_clients_enrol import NOW, Authority

from clients import rotation
from clients.errors import (
    ClientError,
    GovernanceError,
    GovernanceRefused,
    GovernanceUnavailable,
    IdentityError,
)
from clients.files import replace_file
from clients.governance import Registered
from clients.identity import NodeIdentity, load_identity, open_own_log
from clients.keys import signing_key
from clients.records import ProductRecord
from clients.rotation import Rotated, begin, finish, under_way
from clients.state import Journal, NodeState
from policies.entries import parse_entry
from policies.envelope import sign_envelope, unverified_payload
from policies.errors import SignatureError
from policies.keychange import KEY_CHANGE_TYPE, KeyChange

INDEX = 41


class Crash(BaseException):
    """The process dies here."""


@dataclass
class World:
    """A node, and governance that knows one key of it."""

    identity: NodeIdentity
    key: str
    logged: list[tuple[str, str]] = field(default_factory=list)
    problem: GovernanceError | None = None
    lost: bool = False  # whether the answer is
    calls: int = 0

    @property
    def folder(self) -> Path:
        return self.identity.paths.root

    @property
    def now(self) -> NodeIdentity:
        return load_identity(self.folder)

    def rotate_key(self, envelope: bytes) -> Registered:
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        change = KeyChange.from_json(unverified_payload(envelope, payload_type=KEY_CHANGE_TYPE))
        change.check_proof()
        if (change.previous, change.receipt_key) not in self.logged:
            assert change.previous == self.key
            self.logged.append((change.previous, change.receipt_key))
            self.key = change.receipt_key
        if self.lost:
            self.lost = False
            raise Crash
        return Registered(index=INDEX, id="clinic-a")

    @contextmanager
    def opened(self) -> Iterator[tuple[NodeState, Journal]]:
        with ExitStack() as stack:
            state = NodeState.open(self.identity.paths.state)
            stack.callback(state.close)
            log = stack.enter_context(open_own_log(self.identity))
            verifier = self.identity.log_signer.verifier
            yield state, Journal(log=log, state=state, verifier=verifier)

    def rotate(self) -> Rotated:
        with self.opened() as (state, journal):
            begin(self.now, state, now=NOW)
            return finish(self.folder, self, journal)

    def restart(self) -> Rotated | None:
        """What the node's start does."""
        if not under_way(self.identity.paths):
            return None
        with self.opened() as (_, journal):
            return finish(self.folder, self, journal)

    def own_entries(self) -> list[tuple[str, dict[str, Any]]]:
        with open_own_log(self.identity) as log:
            entries = [parse_entry(log.entry(number)) for number in range(log.size)]
        return [(entry.type, entry.body) for entry in entries]

    def files(self) -> set[str]:
        return {path.name for path in self.identity.paths.keys.iterdir()}


def public(identity: NodeIdentity) -> str:
    return identity.keys.receipt.public_key().public_bytes_raw().hex()


@pytest.fixture
def world(tmp_path: Path) -> World:
    identity = Authority().enrolled(tmp_path)
    return World(identity, public(identity))


def check_done(world: World, before: str) -> None:
    """One change, known to everybody, and nothing left of the work."""
    now = world.now
    assert public(now) == world.key != before
    assert now.keys.former == (before,)
    assert world.logged == [(before, world.key)]
    expected = {"previous": before, "receipt_key": world.key, "entry": INDEX}
    assert world.own_entries()[1:] == [("KeyReplaced", expected)]
    assert not world.files() & {"receipt.next", "rotation.json"}
    assert not under_way(now.paths)


def test_a_new_key_takes_the_place_of_the_old_one(world: World) -> None:
    before = public(world.identity)
    done = world.rotate()
    assert (done.previous, done.receipt_key, done.index) == (before, world.key, INDEX)
    check_done(world, before)


def test_statements_of_before_are_still_known_as_its_own(world: World) -> None:
    envelopes = []
    for _ in range(3):
        now = world.now
        payload = {"n": len(envelopes)}
        envelopes.append(sign_envelope(payload, payload_type="a/b", key=now.keys.receipt))
        world.rotate()
    now = world.now
    opened = [now.open_own(envelope, payload_type="a/b") for envelope in envelopes]
    assert opened == [{"n": 0}, {"n": 1}, {"n": 2}]
    other = sign_envelope({}, payload_type="a/b", key=signing_key(world.folder / "other.key"))
    with pytest.raises(SignatureError):
        now.open_own(other, payload_type="a/b")


def dies(name: str, *, after: bool) -> Callable[[pytest.MonkeyPatch], None]:
    def arrange(patch: pytest.MonkeyPatch) -> None:
        real = getattr(rotation, name)

        def act(*arguments: Any, **named: Any) -> None:
            if after:
                real(*arguments, **named)
            raise Crash

        patch.setattr(rotation, name, act)

    return arrange


STEPS = {
    "1: before the statement": (dies("sign_key_change", after=False), False),
    "2: the statement is written": (dies("replace_file", after=True), True),
    "3: the answer is lost": (None, True),
    "4: before the old key is listed": (dies("_remember", after=False), True),
    "4: the old key is listed": (dies("_remember", after=True), True),
    "5: the new key is in place": (dies("_take_next", after=True), True),
    "6: the own log has it": (dies("_note", after=True), True),
    "5: the new key is named, not yet surely": (dies("sync_folder", after=False), True),
}
"""Where the process dies, and whether the change is under way then."""


@pytest.mark.parametrize("step", STEPS)
def test_cut_off_at_any_step_the_next_start_finishes_it(world: World, step: str) -> None:
    before = public(world.identity)
    arrange, begun = STEPS[step]
    with pytest.MonkeyPatch.context() as patch:
        if arrange is None:
            world.lost = True
        else:
            arrange(patch)
        with pytest.raises(Crash):
            world.rotate()
    load_identity(world.folder)  # whatever step it was, the folder opens
    if begun:
        world.restart()
    else:
        assert world.restart() is None
        assert (public(world.now), world.logged) == (before, [])
        world.rotate()
    check_done(world, before)


@pytest.mark.parametrize("step", [step for step, (_, begun) in STEPS.items() if begun])
def test_or_the_next_call_does(world: World, step: str) -> None:
    arrange, _ = STEPS[step]
    before = public(world.identity)
    with pytest.MonkeyPatch.context() as patch:
        if arrange is None:
            world.lost = True
        else:
            arrange(patch)
        with pytest.raises(Crash):
            world.rotate()
    if under_way(world.identity.paths):
        world.rotate()
    check_done(world, before)


@pytest.mark.parametrize(
    ("problem", "stays"),
    [
        (GovernanceUnavailable("away"), True),
        (GovernanceRefused("not active", code="permission_denied"), True),
        (GovernanceRefused("a known key", code="failed_precondition"), False),
        (GovernanceRefused("malformed", code="invalid_argument"), False),
    ],
)
def test_a_refusal_of_this_very_change_gives_it_up_and_nothing_else_does(
    world: World, problem: GovernanceError, stays: bool
) -> None:
    before, world.problem = public(world.identity), problem
    with pytest.raises(GovernanceError):
        world.rotate()
    assert under_way(world.identity.paths) is stays
    assert public(world.now) == before
    world.problem = None
    world.rotate()
    check_done(world, before)


def test_what_waits_under_the_old_key_goes_first(world: World) -> None:
    with world.opened() as (state, _):
        state.add_product(
            ProductRecord(id="clinic/x", file="f", digest="d", rows=1, card=b"{}", opening=b"")
        )
        with pytest.raises(ClientError, match="clinic/x, signed with the old key"):
            begin(world.now, state, now=NOW)
        state.confirm_product("clinic/x", index=3)
        begin(world.now, state, now=NOW)
    assert under_way(world.identity.paths)


@pytest.mark.parametrize(
    "fault", ["signed by another", "another key is next", "another key is held"]
)
def test_parts_that_do_not_belong_together_are_refused(world: World, fault: str) -> None:
    paths = world.identity.paths
    with world.opened() as (state, journal):
        begin(world.now, state, now=NOW)
        if fault == "signed by another":
            data = paths.key("rotation.json").read_bytes()
            replace_file(paths.key("rotation.json"), data.replace(b'"sig":"', b'"sig":"A'))
        else:
            name = "receipt.next" if "next" in fault else "receipt.key"
            paths.key(name).unlink()
            signing_key(paths.key(name))
        with pytest.raises(IdentityError):
            finish(world.folder, world, journal)
    assert under_way(paths)


def test_a_list_of_former_keys_that_is_none_is_refused(world: World) -> None:
    replace_file(world.identity.paths.key("receipt.former"), b'["short"]')
    with pytest.raises(IdentityError, match="list of public keys"):
        load_identity(world.folder)
