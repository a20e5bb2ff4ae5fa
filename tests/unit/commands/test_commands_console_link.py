"""`tds space|node|run console-link`: who has a key of the space gets a link that signs them in."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from commands_site import SPACE, Tds, make_space, write_product

from clients.endedconsents import EndedConsents
from clients.enrol import enrol
from clients.identity import load_identity
from clients.owner import governance_client, open_owner
from clients.state import NodeState
from commands.children import free_ports
from commands.inprocess import LocalSuperLink
from commands.localspace import draft_agreement
from server.console.place import parse_place
from server.edge import system_edge
from server.errors import ServerError
from server.files import write_secret
from server.service import Running, serve
from server.space import Space, init_space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A space on free ports of this machine."""
    ports = free_ports(4)
    return init_space(
        tmp_path_factory.mktemp("console") / "space",
        name=SPACE,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
        contracts_address=f"127.0.0.1:{ports[3]}",
        hosts=["127.0.0.1"],
        now=datetime.now(UTC),
        region="CN-GD",
    )


def start(space: Space, *, console: bool = True) -> Running:
    return serve(
        space,
        superlink=LocalSuperLink(),
        edge=system_edge(),
        console=parse_place("127.0.0.1:0") if console else None,
    )


@pytest.fixture(scope="module")
def running(space: Space) -> Iterator[Running]:
    """Governance with its console."""
    made = start(space)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def clinic(space: Space, running: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An enrolled node's folder."""
    folder = tmp_path_factory.mktemp("nodes") / "clinic"
    join = folder.with_suffix(".join")
    document = running.governance.enrolment.invite(
        participant="clinic", title="", sector="", region="CN-GD", valid_s=600, role="node"
    )
    write_secret(join, document)
    enrol(folder, join, region="CN-GD", now=datetime.now(UTC))
    return folder


def test_a_link_that_only_reads_brings_no_withdrawals(
    tds: Tds, running: Running, clinic: Path
) -> None:
    link = tds("node", "console-link", "--read-only", "--node", str(clinic), "--json").json()
    assert link["withdrawals"] == 0


@pytest.mark.parametrize("who", ["operator", "auditor", "clinic", "consumer"])
def test_a_link_signs_its_maker_in(
    tds: Tds, space: Space, running: Running, clinic: Path, who: str
) -> None:
    arguments = {
        "operator": ("space", "console-link", "--space", str(space.folder)),
        "auditor": ("space", "console-link", "--role", "auditor", "--space", str(space.folder)),
        "clinic": ("node", "console-link", "--node", str(clinic)),
        "consumer": ("run", "console-link", "--consumer", str(space.consumer_folder)),
    }[who]
    ran = tds(*arguments, "--json")
    assert (ran.code, ran.err) == (0, "")
    url = ran.json()["url"]
    assert url.startswith(f"{running.console_url}/enter/")
    with httpx.Client(base_url=running.console_url, trust_env=False) as browser:
        entered = browser.post("/enter", data={"code": url.rpartition("/")[2]})
        assert entered.status_code == 303
        shown = browser.get("/space")
    assert shown.status_code == 200
    assert "auditor</span>" in shown.text if who == "auditor" else "clinic" in shown.text
    told = tds(*arguments)
    assert told.out.startswith(f"{running.console_url}/enter/") and "works once" in told.out


def test_a_node_that_was_down_learns_at_its_start_what_was_withdrawn_in_the_console(
    tds: Tds, space: Space, running: Running, clinic: Path, tmp_path: Path
) -> None:
    with open_owner(clinic) as owner:
        product = owner.add_product(write_product(tmp_path / "data")).id
        consumer = space.config.consumer
        document = draft_agreement("clinic", product, "medical-research", consumer=consumer)
        agreement = owner.sign_agreement(document).id
    link = tds("node", "console-link", "--node", str(clinic), "--json").json()
    assert link["withdrawals"] == 1
    with httpx.Client(base_url=running.console_url, trust_env=False) as browser:
        browser.post("/enter", data={"code": link["url"].rpartition("/")[2]})
        asked = browser.get("/consent/withdraw", params={"agreement": agreement})
        form = dict(re.findall(r'name="(csrf|agreement)" value="([^"]+)"', asked.text))
        assert browser.post("/consent/withdraw", data=form).status_code == 303
    assert consents(tds, clinic) == {agreement: False}

    identity = load_identity(clinic)
    state = NodeState.open(identity.paths.state)
    told, stop = threading.Event(), threading.Event()
    governance = governance_client(identity)
    watching = EndedConsents(
        identity=identity,
        state=state,
        governance=governance,
        clock=lambda: datetime.now(UTC),
        tell=lambda _: told.set(),
    )
    thread = threading.Thread(target=watching.run, args=(stop,))
    thread.start()
    assert told.wait(20)
    stop.set()
    governance.close()
    thread.join(20)
    state.close()
    assert consents(tds, clinic) == {agreement: True}
    space_log = space.log_folder
    reconciled = tds("node", "reconcile", "--node", str(clinic), "--log", str(space_log), "--json")
    assert (reconciled.code, reconciled.json()["differences"]) == (0, [])


def consents(tds: Tds, node: Path) -> dict[str, bool]:
    """By agreement, whether the node's status says that it was withdrawn."""
    status = tds("node", "status", "--node", str(node), "--json").json()
    return {one["id"]: one["withdrawn"] is not None for one in status["agreements"]}


def test_another_role_is_no_link(tds: Tds, space: Space, running: Running) -> None:
    ran = tds("space", "console-link", "--role", "king", "--space", str(space.folder))
    assert ran.code == 2 and "expected operator or auditor" in ran.err


def test_a_space_without_a_console_says_so(tds: Tds, tmp_path: Path, space: Space) -> None:
    ports = free_ports(4)
    other = init_space(
        tmp_path / "space",
        name=SPACE,
        governance_address=f"127.0.0.1:{ports[0]}",
        enrolment_address=f"127.0.0.1:{ports[1]}",
        superlink_address=f"127.0.0.1:{ports[2]}",
        contracts_address=f"127.0.0.1:{ports[3]}",
        hosts=["127.0.0.1"],
        now=datetime.now(UTC),
        region="CN-GD",
    )
    made = start(other, console=False)
    try:
        assert made.console_url == ""
        ran = tds("space", "console-link", "--space", str(other.folder))
    finally:
        made.stop()
    assert ran.code == 1 and "tds serve --console" in ran.err


def test_a_console_needs_an_endpoint_where_links_are_made(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="endpoint of the contracts"):
        serve(
            make_space(tmp_path / "space"),
            superlink=LocalSuperLink(),
            edge=system_edge(),
            governance_listen="127.0.0.1:0",
            enrolment_listen="127.0.0.1:0",
            console=parse_place("127.0.0.1:0"),
        )


@pytest.mark.parametrize(
    ("console", "said"),
    [("127.0.0.1:0", "at a fixed address"), ("off", "at a fixed"), ("127.0.0.1:9", "oidc.json")],
)
def test_a_provider_needs_a_file_and_a_console_at_a_fixed_address(
    tds: Tds, tmp_path: Path, space: Space, console: str, said: str
) -> None:
    file = str(tmp_path / "oidc.json")
    ran = tds("serve", "--space", str(space.folder), "--console", console, "--oidc", file)
    assert ran.code != 0 and said in " ".join(ran.err.split())
