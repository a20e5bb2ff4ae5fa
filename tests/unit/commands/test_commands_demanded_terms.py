"""What docs/data-owner.md shows as demands, in agreements: a run that states it trains, others not.

With the real governance and nodes, each of which evaluates the agreements itself.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from commands_adder import NAMES, Site, adder_bundle
from commands_site import make_node, make_space
from test_commands_masked_run import Played, of_type, play
from test_commands_owner_guide import block

from auditors.shares import replay_log
from clients.appbundle import bundle_config
from clients.identity import public_pem
from commands.inprocess import LocalGovernance, LocalSuperLink
from commands.localspace import draft_agreement, run_spec
from commands.privacy_options import PrivacyOptions, privacy_terms
from commands.simulate import SimulatedNode
from server.errors import GovernanceRefused
from server.files import read_file
from server.loop import NobodyPermitted

ROUNDS = 2
PURPOSE = "medical-research"
MASKED: dict[str, Any] = {"secure_sum": "governance", "clip_norm": "1", "min_cohort": 3}


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Apps are imported into this process; other tests shall not find them."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] == "unit_adder"]:
        del sys.modules[name]


def demanded_site(
    stack: ExitStack, root: Path, demands: list[dict[str, Any]], terms: dict[str, Any]
) -> Site:
    """A space with a run under agreements that demand this."""
    space, superlink = make_space(root / "space"), LocalSuperLink()
    operator = LocalGovernance.open(stack, space, superlink)
    bundle = adder_bundle()
    app = operator.register_app(bundle, "adds")
    made = [make_node(stack, operator, root / name, bundle=bundle) for name in NAMES]
    by_key = {public_pem(node.identity.keys.fleet): node for node in made}
    nodes = {
        number: SimulatedNode(by_key[key], key, app, bundle_config(bundle))
        for number, key in superlink.node_keys.items()
    }
    agreements = []
    for node in made:
        (product,) = node.state.products()
        owner = node.identity.participant
        document = draft_agreement(
            owner, product.id, PURPOSE, consumer="consortium", constraints=demands
        )
        agreements.append(node.owner.sign_agreement(document).id)
    consumer = operator.seen_by(read_file(space.consumer_folder / "tls.crt"))
    spec = run_spec(app, agreements, purpose=PURPOSE, rounds=ROUNDS, metrics=[], **terms)
    return Site(root, consumer, nodes, consumer.open_run(spec, secrets.token_hex(16)))


def played(root: Path, demands: list[dict[str, Any]], terms: dict[str, Any]) -> Played:
    with ExitStack() as stack:
        return play(demanded_site(stack, root, demands, terms))


def demand(*names: str) -> list[dict[str, Any]]:
    return [one for name in names for one in json.loads(block("json", name))]


def noisy(**given: Any) -> dict[str, Any]:
    return MASKED | {"privacy": privacy_terms(PrivacyOptions(parts=4, **given), ROUNDS)[0]}


@pytest.mark.parametrize(
    ("names", "terms"),
    [
        (("masks",), MASKED),
        (("masks", "noise"), noisy(noise="1")),
        (("masks", "noise", "budget"), noisy(epsilon="7.9")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_that_states_what_is_demanded_trains(
    tmp_path: Path, names: tuple[str, ...], terms: dict[str, Any]
) -> None:
    found = played(tmp_path, demand(*names), terms)
    assert found.run.state == "COMPLETED"
    assert len(of_type(found, "MasksReleased")) == ROUNDS + 1
    assert len(of_type(found, "ReceiptAccepted")) == (ROUNDS + 1) * len(NAMES)
    assert replay_log(found.log, jobs=1).violations == ()


@pytest.mark.parametrize(
    ("names", "terms", "told"),
    [
        (("masks",), {"secure_sum": "none", "clip_norm": "1"}, "start the run with --secure-sum"),
        (("masks",), MASKED | {"min_cohort": 2}, "the number of participants is 2"),
        (("noise",), MASKED, "the noise is 0; the agreement allows at least 1: start the run with"),
        (("noise",), noisy(noise="0.5"), "the noise is 0.5; the agreement allows at least 1"),
        (("budget",), noisy(noise="0.5"), "the privacy loss ε is"),
    ],
)
def test_a_run_that_lacks_it_is_refused_and_told_what(
    tmp_path: Path, names: tuple[str, ...], terms: dict[str, Any], told: str
) -> None:
    with pytest.raises(NobodyPermitted) as caught:
        played(tmp_path, demand(*names), terms)
    assert told in str(caught.value)


def test_a_budget_ends_before_the_limit_that_the_next_use_would_pass(tmp_path: Path) -> None:
    """Two uses fit, and a third does not: the evaluation finds nobody."""
    found = noisy(noise="1")  # ε 4.37 after one use, 6.57 after two, 8.39 after three
    with pytest.raises((NobodyPermitted, GovernanceRefused)) as caught:
        played(tmp_path, demand("budget"), found)
    assert "the privacy loss ε is 8." in str(caught.value)
