"""The ε of permits, recomputed by another method than governance's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay_log_site import Story, copied, faults, read, space, write
from server_site import Site, private

from auditors import recomputed as other
from auditors.explain_say import Say
from auditors.explain_sentences import sentences
from auditors.known import NOTHING_KNOWN
from auditors.lines import log_lines
from auditors.page import render
from auditors.recomputed import agree, divergences, hockey_stick, recomputed
from auditors.report_facts import collect
from auditors.report_json import report_json
from auditors.report_page import report_page
from auditors.report_scope import Checked, Scope
from auditors.shares import replay_log
from policies.entries import Entry
from policies.phrases import Language
from policies.privacy_budget import ORDERS, epsilon, gaussian_delta
from policies.privacy_loss import NO_LOSSES, Event, Losses, loss_of

D = Decimal
NOISES = ("0.3", "0.75", "1", "2.5", "4", "5.125", "17.25", "100", "10000")
SAMPLES = ("0.00001", "0.01", "0.1", "0.5", "0.999")
DELTAS = ("0.01", "0.001", "0.00001", "0.000000001", "0.00000000000000001")


def history(chance: random.Random, samples: tuple[str, ...]) -> Losses:
    """Uses of one product by several runs: up to five kinds, up to 300 of each."""
    losses = NO_LOSSES
    for _ in range(chance.randint(1, 5)):
        event = Event(D(chance.choice(NOISES)), D(chance.choice(samples)))
        losses = losses.plus(loss_of(event, chance.randint(1, 300)))
    return losses


def differs(losses: Losses, delta: Decimal) -> float:
    """By how much the product's ε, which is rounded up, lies above the recomputed one; an ε above
    a thousand in proportion."""
    stated = epsilon(losses, delta)
    assert stated is not None
    assert agree(stated, losses, delta)
    found = recomputed(losses, delta)
    return (float(stated) - found) / max(1.0, found / 1000)


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_random_histories_agree(seed: int) -> None:
    """850 of Gaussian events, 150 with sampled ones: to 1e-6, and 1e-9 that is margin."""
    chance = random.Random(seed)
    for number in range(100):
        samples = SAMPLES if number % 20 < 3 else ("1",)
        found = differs(history(chance, samples), D(chance.choice(DELTAS)))
        assert -1e-9 <= found <= 1.003e-6


def test_an_epsilon_that_is_off_in_the_fifth_decimal_does_not_agree() -> None:
    for losses in (loss_of(Event(D(4)), 3), loss_of(Event(D(4), D("0.1")), 3)):
        stated = epsilon(losses, D("0.00001"))
        assert stated is not None
        assert agree(stated, losses, D("0.00001"))
        for off in (D("0.00001"), D("-0.00001")):
            assert not agree(stated + off, losses, D("0.00001"))


def test_no_losses_are_no_epsilon() -> None:
    assert recomputed(NO_LOSSES, D("0.01")) == 0
    assert agree(D(0), NO_LOSSES, D("0.01"))
    assert not agree(D("0.1"), NO_LOSSES, D("0.01"))
    nearly_none = loss_of(Event(D(10_000)))
    assert recomputed(nearly_none, D("0.01")) == epsilon(nearly_none, D("0.01")) == 0
    assert agree(D(0), nearly_none, D("0.01"))
    assert recomputed(loss_of(Event(D(10_000), D("0.00001"))), D("0.01")) == 0


@pytest.mark.parametrize("mu", [0.0001, 0.1, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.5])
def test_the_integral_is_the_closed_form(mu: float, part: float) -> None:
    at = part * (mu * mu / 2 + 4 * mu)
    assert hockey_stick(mu, at) == pytest.approx(gaussian_delta(mu, at), rel=1e-8, abs=1e-25)


def test_a_finer_grid_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Event(D("0.7"), D("0.2"))
    before = divergences(event)
    monkeypatch.setattr(other, "_STEP", 1 / 32)
    divergences.cache_clear()
    assert np.allclose(divergences(event), before, rtol=1e-12, atol=1e-13)
    whole = divergences(Event(D(2)))
    assert np.allclose(whole, np.array(ORDERS) / 8, rtol=1e-12)


# -- in a log --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Two runs on the same products, one of them sampled, then one without privacy."""
    with space(tmp_path_factory.mktemp("budgets") / "space") as site:
        yield tell(site)


def tell(site: Site) -> Story:
    first = site.open_run("first", **private())
    second = site.open_run("second", **private("2", sample="0.25"))
    for number, run in enumerate((first, second, first)):
        site.authorize(run, f"ask-{number}")
    site.authorize(site.open_run("third", agreements=["agreement-beta"]), "ask-3")
    site.authorize(first, "ask-4")
    return read(site)


def permits(story: Story) -> list[dict[str, Any]]:
    return [one.body for one in story if one.type == "PermitIssued"]


def named(story: Story, tmp_path: Path) -> set[tuple[str, str]]:
    return {(rule, text) for _, rule, text in faults(write(tmp_path / "log", story))}


def test_an_honest_log_has_no_fault(story: Story, tmp_path: Path) -> None:
    stated = [[one["epsilon"] for one in body["cohort"]] for body in permits(story)]
    assert stated[0] == ["0.926342"] * 3
    assert len(stated[1]) == 3 and float(stated[1][0]) > 0.926342
    assert stated[3] == [""]
    beta = [one["participant"] for one in permits(story)[4]["cohort"]].index("beta")
    assert [bool(one) for one in stated[4]] == [n != beta for n in range(3)]
    assert named(story, tmp_path) == set()


@pytest.mark.parametrize(
    ("permit", "member", "epsilon_", "says"),
    [
        (0, 0, "0.9", 'of {"4":1}, got ε 0.9'),
        (0, 1, "", "got ε none"),
        (2, 2, "0.926342", "expected ε"),
        (3, 0, "1", "expected no ε, since nothing bounds it"),
    ],
)
def test_another_epsilon_is_named(
    story: Story, tmp_path: Path, permit: int, member: int, epsilon_: str, says: str
) -> None:
    changed = copied(story)
    permits(changed)[permit]["cohort"][member]["epsilon"] = epsilon_
    found = named(changed, tmp_path)
    assert {rule for rule, _ in found} == {"budget-recomputed", "permit-follows"}
    assert any(says in text for rule, text in found if rule == "budget-recomputed")


# -- what people are told --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(story: Story, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write(tmp_path_factory.mktemp("told"), story)
    facts = collect(log_lines(folder), Checked(verified=False), Scope(), replay_log(folder).book)
    return report_json(facts, NOTHING_KNOWN)


def test_a_report_states_the_products_epsilon_and_its_delta(
    story: Story, document: dict[str, Any]
) -> None:
    last = permits(story)[-1]["cohort"]
    spent = {one["agreement"]: one["spent"] for one in document["agreements"]}
    assert spent["agreement-alpha"]["epsilon"] == last[0]["epsilon"]
    assert {one["delta"] for id, one in spent.items() if id != "limited"} == {"0.00001"}
    assert spent["agreement-beta"]["epsilon"] is None, "one of its uses had no privacy"
    runs = [(one["epsilon"], one["delta"], one["noise"]) for one in document["runs"]]
    assert (runs[0], runs[2]) == (("0.926342", "0.00001", "4"), ("", "", ""))


@pytest.mark.parametrize(("language", "unbounded"), [("en", "no bound"), ("zh", "无界")])
def test_a_page_tells_epsilon_with_its_delta(
    document: dict[str, Any], language: Language, unbounded: str
) -> None:
    text = render(report_page(document, language))
    assert "δ 0.00001" in text
    assert unbounded in text


def test_a_permit_and_a_run_are_told_with_epsilon_and_delta(story: Story) -> None:
    for language in ("en", "zh"):
        say = Say(language, NOTHING_KNOWN)
        told = {
            kind: [
                " ".join(sentences(Entry(one.type, one.time, one.body), say))
                for one in story
                if one.type == kind
            ]
            for kind in ("RunOpened", "PermitIssued")
        }
        assert "0.926342" in told["RunOpened"][0]
        assert "0.00001" in told["RunOpened"][0]
        assert "0.00001" not in told["RunOpened"][2]
        assert told["PermitIssued"][0].count("0.926342") == 3
        assert told["PermitIssued"][4].count("0.00001") == 2, "of beta none is known"
