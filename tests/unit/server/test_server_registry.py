"""Registry, projection and journal: what a crash leaves, and that the log alone is enough."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from server_site import CONSUMER, MODEL, Crash, Site, count_at_most, make_fab, make_space

from policies.entries import entry_bytes
from policies.fields import instant
from server import queries
from server.edge import Edge
from server.errors import RegistryDamaged, RuleBroken, SpaceError, Superseded, Unavailable
from server.governance import Governance
from server.laws import default_laws
from server.projection import apply
from server.registry import Registry
from server.rounds import RoundAnswer

LOG_STEPS = ("signed", "committed", "recorded", "placed", "synced", "dropped", "published")


def crash_at(site: Site, step: str) -> None:
    """The process ends at this step of the next append, or at the registry's commit after it."""

    def on_step(name: str) -> None:
        if name == step:
            raise Crash(step)
        if name == "published" and step == "registry":
            site.on_registry = _crash

    site.on_step = on_step


def _crash() -> None:
    raise Crash("registry")


def full_disk_at(site: Site, step: str) -> None:
    def on_step(name: str) -> None:
        if name == step:
            raise OSError(errno.ENOSPC, "No space left on device")

    site.on_step = on_step


def test_a_new_space_begins_with_its_own_entry(empty: Site) -> None:
    entry, _ = empty.entries()
    assert entry.type == "SpaceCreated"
    assert entry.body["space"] == empty.space.card.to_json()
    empty.reopen()
    assert empty.kinds() == ["SpaceCreated", "BaselineAdopted"]


def test_the_database_is_durable_and_checks_references(site: Site) -> None:
    with site.registry.transaction() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert site.space.database.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("step", [*LOG_STEPS, "registry"])
def test_a_round_survives_a_crash_at_every_step(site: Site, step: str) -> None:
    run = site.open_run()
    ask = site.ask(run)
    crash_at(site, step)
    with pytest.raises(Crash, match=step):
        site.governance.rounds.authorize(CONSUMER, ask)
    site.reopen()
    answer = site.governance.rounds.authorize(CONSUMER, ask)
    assert site.governance.rounds.authorize(CONSUMER, ask) == answer
    assert site.kinds().count("PermitIssued") == 1
    assert set(site.uses().values()) == {1}
    site.submit(answer, *site.nodes.values())
    site.close_round(answer)


@pytest.mark.parametrize("step", ["signed", "recorded", "published", "registry"])
def test_receipts_survive_a_crash(site: Site, step: str) -> None:
    run = site.open_run()
    answer = site.authorize(run)
    arrived = [site.arrived(answer, node) for node in site.nodes.values()]
    crash_at(site, step)
    with pytest.raises(Crash, match=step):
        site.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, [])
    site.reopen()
    rows = site.governance.receipts.submit(CONSUMER, answer.permit_id, arrived, [])
    assert [row.accepted for row in rows] == [True, True, True]
    assert site.kinds().count("ReceiptAccepted") == 3


@pytest.mark.parametrize("step", ["signed", "recorded", "published", "registry"])
def test_a_close_survives_a_crash(site: Site, step: str) -> None:
    run = site.open_run()
    answer = site.authorize(run)
    site.submit(answer, *site.nodes.values())
    crash_at(site, step)
    with pytest.raises(Crash, match=step):
        site.close_round(answer)
    site.reopen()
    assert site.close_round(answer).row.closed_rounds == 1
    assert site.kinds().count("RoundClosed") == 1


@pytest.mark.parametrize("step", ["committed", "recorded", "published", "registry"])
def test_a_withdrawal_that_was_logged_holds_after_a_crash(site: Site, step: str) -> None:
    node = site.nodes["beta"]
    crash_at(site, step)
    with pytest.raises(Crash, match=step):
        site.withdraw(node)
    site.reopen()
    answer = site.authorize(site.open_run())
    refused = {v["participant"]: v["reasons"] for v in answer.verdicts if not v["permitted"]}
    assert [reason["code"] for reason in refused["beta"]] == ["consent-withdrawn"]
    assert site.withdraw(node)[0] == site.kinds().index("ConsentWithdrawn")


@pytest.mark.parametrize("step", ["signed", "published", "registry"])
def test_the_first_start_survives_a_crash(tmp_path: Path, step: str) -> None:
    now = datetime.now(UTC)
    make_space(tmp_path / "space", now=now)
    site = Site(tmp_path / "space", now)
    crash_at(site, step)
    with pytest.raises(Crash, match=step):
        site.open()
    site.reopen()
    assert site.kinds() == ["SpaceCreated", "BaselineAdopted"]
    site.close()


def test_a_full_disk_refuses_and_changes_nothing(site: Site) -> None:
    run = site.open_run()
    before, size = site.state(), site.log.size
    full_disk_at(site, "signed")
    with pytest.raises(Unavailable, match="nothing was decided"):
        site.authorize(run)
    assert (site.state(), site.log.size) == (before, size)
    with pytest.raises(Unavailable):
        site.withdraw(site.nodes["alpha"])
    site.on_step = lambda _step: None
    assert site.authorize(run).permit


def test_an_append_that_broke_off_is_counted_before_the_next_decision(empty: Site) -> None:
    node = empty.enrol("alpha")
    empty.add_product(node)
    empty.agree(node, count_at_most(1))
    empty.governance.catalogue.register_app(make_fab(), "app")
    run = empty.open_run()
    full_disk_at(empty, "recorded")
    with pytest.raises(Unavailable):
        empty.authorize(run, "ask-1")
    empty.on_step = lambda _step: None
    # The first permit reached the log after all: it is the one use that was agreed.
    answer = empty.authorize(run, "ask-2")
    assert answer.permit == b""
    assert [reason["code"] for reason in answer.verdicts[0]["reasons"]] == ["count-exhausted"]
    assert empty.uses() == {"agreement-alpha": 1}
    with pytest.raises(Superseded):
        empty.authorize(run, "ask-1")


def test_a_repeated_request_gets_what_an_unavailable_log_had_taken(site: Site) -> None:
    run = site.open_run()
    ask = site.ask(run)
    full_disk_at(site, "dropped")
    with pytest.raises(Unavailable):
        site.governance.rounds.authorize(CONSUMER, ask)
    with pytest.raises(Unavailable):
        site.governance.rounds.authorize(CONSUMER, ask)
    site.on_step = lambda _step: None
    answer = site.governance.rounds.authorize(CONSUMER, ask)
    assert site.permit(answer).body.attempt == 1
    assert site.kinds().count("PermitIssued") == 1


def test_the_registry_can_be_made_again_from_the_log(site: Site) -> None:
    run = site.open_run()
    site.whole_round(run, "ask-1")
    site.withdraw(site.nodes["gamma"])
    answer = site.authorize(run, "ask-2")
    site.submit(answer, site.nodes["alpha"])
    before = site.governance.runs.get(CONSUMER, run)
    uses = site.uses()
    site.close()
    for path in site.space.database.parent.glob("governance.db*"):
        path.unlink()
    site.open()
    after = site.governance.runs.get(CONSUMER, run)
    assert (after.row, after.rounds) == (before.row, before.rounds)
    assert site.uses() == uses
    site.submit(answer, site.nodes["alpha"])
    site.close_round(answer)
    again = site.whole_round(run, "ask-3")
    assert site.permit(again).body.kind == "evaluate"


def test_a_registry_ahead_of_its_log_refuses_to_run(site: Site) -> None:
    site.close()
    log = site.space.log_database
    for path in log.parent.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(site.space.log_folder)
    site.space.log_folder.mkdir()
    site.space.last_signed.unlink()
    with pytest.raises(RegistryDamaged, match="older copy"):
        site.open()


def test_another_spaces_log_is_refused(site: Site) -> None:
    card = site.space.card.model_copy(update={"permit_key": "0" * 64})
    with pytest.raises(SpaceError, match="begin with the creation"):
        Governance(
            card=card,
            operator="operator",
            consumer="consortium",
            permit_key=site.space.permit_key(),
            registrar_key=site.space.registrar_key(),
            region="",
            sector="",
            auto_certify=True,
            certificate_days=1,
            laws=default_laws(),
            disclosures=site.space.disclosures(),
            authority=site.space.authority(),
            apps_folder=site.space.apps_folder,
            log=site.log,
            registry=site.registry,
            superlink=site.superlink,
            edge=Edge(clock=lambda: site.now, random_bytes=site.random_bytes),
        )


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("NodeCreated", {}, "KeyError"),
        ("RunOpened", {}, "KeyError"),
        ("RunOpened", {"run": "r"}, "KeyError"),
        (
            "ProductRegistered",
            {
                "product": "p",
                "participant": "nobody",
                "rows": 1,
                "classification": "general",
                "digest": "d",
                "description": "",
                "envelope": "",
                "data_version": 1,
                "jurisdiction": "",
                "personal_information": False,
                "subject_consent": "none",
                "anonymization": "",
                "filing_number": "",
                "execution_environment": "",
                "readiness": {},
            },
            "IntegrityError",
        ),
    ],
)
def test_an_entry_that_governance_did_not_write_is_refused(
    site: Site, kind: Any, body: dict[str, Any], message: str
) -> None:
    data = entry_bytes(kind, time=instant(site.now), body=body)
    with pytest.raises(RegistryDamaged, match=message), site.registry.transaction() as connection:
        apply(connection, 99, data)


def test_a_file_that_is_no_registry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "governance.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(RegistryDamaged, match="expected the registry's database"):
        Registry.open(path)


@pytest.mark.parametrize("version", [3, 4, 5, 7])
def test_a_registry_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "governance.db"
    registry = Registry.open(path)
    with registry.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE meta SET value = {version} WHERE name = 'schema'")
    registry.close()
    with pytest.raises(RegistryDamaged, match=rf"schema 6, got {version}.*made anew"):
        Registry.open(path)


def test_a_locked_registry_is_unavailable_and_catches_up(
    site: Site,
) -> None:
    run = site.open_run()
    ask = site.ask(run)
    with site.registry.transaction() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(site.space.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="registry"):
        site.governance.rounds.authorize(CONSUMER, ask)
    other.execute("ROLLBACK")
    other.close()
    answer = site.governance.rounds.authorize(CONSUMER, ask)
    assert site.permit(answer).body.attempt == 1
    assert site.kinds().count("PermitIssued") == 1


def test_no_two_receipts_of_one_participant_can_be_accepted(site: Site) -> None:
    answer: RoundAnswer = site.authorize(site.open_run())
    site.submit(answer, site.nodes["alpha"])
    accepted = next(one for one in site.entries() if one.type == "ReceiptAccepted")
    body = dict(accepted.body) | {"submission": "another"}
    data = entry_bytes("ReceiptAccepted", time=accepted.time, body=body)
    with (
        pytest.raises(RegistryDamaged, match="IntegrityError"),
        site.registry.transaction() as connection,
    ):
        apply(connection, 999, data)


def test_a_snapshot_does_not_change_while_it_is_read(site: Site) -> None:
    with site.registry.transaction() as connection:
        before = queries.agreement(connection, "agreement-alpha")
        site.withdraw(site.nodes["alpha"])
        assert queries.agreement(connection, "agreement-alpha") == before
    with site.registry.transaction() as connection:
        after = queries.agreement(connection, "agreement-alpha")
    assert after is not None and after.withdrawn is not None


def test_the_model_is_any_at_first(site: Site) -> None:
    run = site.open_run()
    assert site.permit(site.authorize(run)).body.model == MODEL
    with pytest.raises(RuleBroken, match="expected round 1"):
        site.authorize(run, "ask-2", round=2)
