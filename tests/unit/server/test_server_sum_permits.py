"""Permits with a secure sum: their terms, governance's one-time keys, and what is refused."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from server_site import ARCHITECTURE, CONSUMER, FLOATS, Crash, Site

from policies.canonical import sha256_hex
from policies.fixedpoint import Layout
from policies.masks import public_key
from policies.sumterms import layout_of
from server import mask_keys
from server.errors import RuleBroken
from server.mask_keys import MaskKey

ELSE = sha256_hex(b"another architecture")
PRIVACY = {
    "unit": "record",
    "parts": 4,
    "sample": "1",
    "noise": "2",
    "by": "nodes",
    "tolerated": 1,
    "delta": "0.00001",
}


def masked(site: Site, request_id: str = "run-1", **changes: Any) -> str:
    values: dict[str, Any] = {"secure_sum": "governance", "clip_norm": "1.5", "min_cohort": 2}
    return site.open_run(request_id, **(values | changes))


def kept(site: Site) -> dict[str, MaskKey]:
    with site.registry.transaction() as connection:
        ids = connection.exec_driver_sql("SELECT permit_id FROM mask_keys").scalars().all()
        found = {id: mask_keys.find(connection, id) for id in ids}
    return {id: key for id, key in found.items() if key is not None}


def test_a_permit_states_the_sum_and_its_key_is_kept(site: Site) -> None:
    body = site.permit(site.authorize(masked(site))).body
    how = body.secure_sum
    assert how is not None
    assert (how.mode, how.word_bits, how.scale_bits, how.groups) == ("governance", 32, 30, 1)
    assert layout_of(body).floats == FLOATS
    assert how.words == Layout(("loss",), FLOATS, 32, 30).words
    key = kept(site)[body.id]
    assert how.key == key.public == public_key(key.private)
    assert len(key.seed) == 32
    assert {member.sealing for member in body.cohort} == {""}
    assert (body.architecture, body.privacy) == (ARCHITECTURE, None)


def test_two_permits_have_two_keys_and_only_the_open_one_is_kept(site: Site) -> None:
    run = masked(site)
    first = site.permit(site.authorize(run, "ask-1")).body
    second = site.permit(site.authorize(run, "ask-2")).body
    assert first.secure_sum is not None
    assert second.secure_sum is not None
    assert first.secure_sum.key != second.secure_sum.key
    assert set(kept(site)) == {second.id}
    site.governance.runs.stop(CONSUMER, run)
    assert kept(site) == {}


def test_a_key_stands_in_no_log_and_in_no_text(site: Site) -> None:
    site.authorize(masked(site))
    (key,) = kept(site).values()
    logged = b"\n".join(site.log.entries(0, site.log.size))
    for secret in (key.key, key.seed):
        assert secret.hex().encode() not in logged
        assert secret.hex() not in repr(key)
        assert repr(secret) not in repr(key)


def test_what_is_deleted_is_overwritten(site: Site) -> None:
    run = masked(site)
    site.authorize(run)
    (key,) = kept(site).values()
    assert site.space.database.stat().st_mode & 0o077 == 0
    site.governance.runs.stop(CONSUMER, run)
    site.close()
    with sqlite3.connect(site.space.database) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    assert key.key not in site.space.database.read_bytes()
    site.open()


def test_after_the_next_change_a_closed_round_s_key_is_nowhere(site: Site) -> None:
    run = masked(site)
    answer = site.authorize(run)
    (key,) = kept(site).values()
    files = [site.space.database, site.space.database.with_name(site.space.database.name + "-wal")]
    assert key.key in b"".join(file.read_bytes() for file in files)
    model = site.permit(answer).body.model
    site.close_round(answer, quorum_met=False, model=model)
    site.authorize(run, "ask-2", model=model)
    for file in files:
        assert key.key not in file.read_bytes()
        assert key.seed not in file.read_bytes()


@pytest.mark.parametrize("step", ["signed", "committed", "published", "registry"])
def test_the_key_of_a_permit_that_was_logged_survives_a_crash(site: Site, step: str) -> None:
    run = masked(site)
    ask = site.ask(run)

    def on_step(name: str) -> None:
        if name == step:
            raise Crash(step)
        if name == "published" and step == "registry":
            site.on_registry = _crash

    site.on_step = on_step
    with pytest.raises(Crash):
        site.governance.rounds.authorize(CONSUMER, ask)
    site.reopen()
    body = site.permit(site.governance.rounds.authorize(CONSUMER, ask)).body
    assert body.secure_sum is not None
    assert kept(site)[body.id].public == body.secure_sum.key
    assert set(kept(site)) == {body.id}


def _crash() -> None:
    raise Crash("registry")


def test_an_evaluation_sums_figures_only(site: Site) -> None:
    run = masked(site, rounds=1, secure_sum="none")
    site.whole_round(run, "ask-1")
    body = site.permit(site.authorize(run, "ask-2")).body
    assert body.secure_sum is None
    other = masked(site, "run-2", rounds=1, secure_sum="pairwise")
    pairwise = site.permit(site.authorize(other)).body
    assert pairwise.secure_sum is not None
    assert (pairwise.secure_sum.mode, pairwise.secure_sum.key) == ("pairwise", "")
    sealing = {member.participant: member.sealing for member in pairwise.cohort}
    enrolled = {
        node.name: node.disclosure.public_key().public_bytes_raw().hex()
        for node in site.nodes.values()
    }
    assert sealing == enrolled


def test_privacy_makes_room_for_parts_and_noise(site: Site) -> None:
    body = site.permit(site.authorize(masked(site, privacy=PRIVACY))).body
    assert body.privacy is not None
    assert body.privacy.to_json() == PRIVACY
    assert body.secure_sum is not None
    # (3 * 4 parts + 12 * 2) * 1.5 = 54 < 2^6
    assert body.secure_sum.scale_bits == 31 - 6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"architecture": ELSE}, "architecture-changed"),
        ({"floats": FLOATS + 1}, "architecture-changed"),
        ({"architecture": ELSE, "floats": FLOATS + 1}, "architecture-changed"),
    ],
)
def test_the_architecture_is_that_of_the_first_permit(
    site: Site, changes: dict[str, Any], code: str
) -> None:
    run = masked(site)
    site.authorize(run, "nobody", online=(), architecture=ELSE)  # fixes nothing
    site.authorize(run, "ask-1")
    before, size = site.state(), site.log.size
    with pytest.raises(RuleBroken, match=code):
        site.authorize(run, "ask-2", **changes)
    assert (site.state(), site.log.size) == (before, size)
    assert site.authorize(run, "ask-2").permit


def test_without_a_sum_the_architecture_holds_as_well(site: Site) -> None:
    run = site.open_run()
    site.authorize(run, "ask-1")
    with pytest.raises(RuleBroken, match="architecture-changed"):
        site.authorize(run, "ask-2", architecture=ELSE)


@pytest.mark.parametrize(
    ("run_changes", "ask_changes", "code"),
    [
        ({"clip_norm": "0.0000000000000001"}, {}, "sum-too-large"),
        ({}, {"floats": 1 << 28}, "sum-too-large"),
    ],
)
def test_a_sum_that_could_not_be_released_is_not_permitted(
    site: Site, run_changes: dict[str, Any], ask_changes: dict[str, Any], code: str
) -> None:
    run = masked(site, **run_changes)
    before, size = site.state(), site.log.size
    with pytest.raises(RuleBroken, match=code):
        site.authorize(run, **ask_changes)
    assert (site.state(), site.log.size) == (before, size)
    assert kept(site) == {}


def test_groups_of_those_who_are_there_are_large_enough_or_there_is_no_permit(site: Site) -> None:
    site.add_product(site.enrol("delta"))
    site.agree(site.nodes["delta"])
    run = masked(site, groups=2)
    three = tuple(node.online for node in list(site.nodes.values())[:3])
    size = site.log.size
    with pytest.raises(RuleBroken, match="groups-too-small"):
        site.authorize(run, online=three)
    assert site.log.size == size
    assert site.authorize(run).permit
