"""The console's parts without a network: secrets, pace, words, lanes, drawings."""

from __future__ import annotations

import math
import re
import string
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_site import Site

from server.console import svg
from server.console.chart import MAX_POINTS, charts, thinned, ticks
from server.console.drawing import MAX_DRAWN, Drawn, draw
from server.console.entrance import MAX_ADDRESSES, TRIES, Pace
from server.console.kept import Kept
from server.console.lanes import RoundCard
from server.console.pages import FOLDER, duration, size
from server.console.privacy import loss, planned
from server.console.run_reading import RunReading
from server.console.words import ALL, PARTS, choose
from server.edge import system_edge
from server.errors import TooMany

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
EN = ALL["en"]


class Clock:
    """A moment that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def kept(clock: Clock, *, most: int = 8, most_of_one: int = 3) -> Kept[str]:
    return Kept(
        what="secrets",
        most=most,
        most_of_one=most_of_one,
        valid=timedelta(minutes=10),
        idle=timedelta(minutes=4),
        clock=clock,
        random_bytes=system_edge().random_bytes,
    )


def test_a_secret_opens_its_item_until_it_ends() -> None:
    clock = Clock()
    store = kept(clock)
    secret, ends = store.put("alpha", "item")
    assert re.fullmatch("[A-Za-z0-9_-]{43}", secret) and ends == NOW + timedelta(minutes=10)
    for minutes in (3, 6, 9):
        clock.now = NOW + timedelta(minutes=minutes)
        assert store.get(secret) == "item"
    clock.now = ends
    assert store.get(secret) is None and len(store) == 0


def test_idleness_ends_it_sooner() -> None:
    clock = Clock()
    store = kept(clock)
    secret, _ = store.put("alpha", "item")
    clock.now += timedelta(minutes=4)
    assert store.get(secret) is None


def test_of_many_who_take_at_once_one_gets_it() -> None:
    store = kept(Clock())
    secret, _ = store.put("alpha", "item")
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(store.take(secret))) for _ in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(got, key=str) == [*[None] * 15, "item"] and store.take(secret) is None


def test_who_makes_too_many_loses_its_own_oldest() -> None:
    store = kept(Clock())
    secrets = [store.put("alpha", str(n))[0] for n in range(5)]
    assert [store.get(one) for one in secrets] == [None, None, "2", "3", "4"]
    for name in ("beta", "gamma"):
        for n in range(3):
            if len(store) < 8:
                store.put(name, str(n))
    with pytest.raises(TooMany):
        store.put("delta", "x")
    store.put("alpha", "5")  # in the place of its own
    assert store.get(secrets[2]) is None


@given(st.text(max_size=200))
def test_no_guess_opens_anything(guess: str) -> None:
    store = kept(Clock())
    secret, _ = store.put("alpha", "item")
    assert (store.get(guess) is not None) == (guess == secret)


def test_the_pace_is_of_each_address_and_bounded() -> None:
    pace = Pace()
    for _ in range(TRIES):
        assert pace.left("a", NOW)
        pace.count("a", NOW)
    assert not pace.left("a", NOW) and pace.left("b", NOW)
    assert pace.left("a", NOW + timedelta(minutes=1))
    for n in range(MAX_ADDRESSES + 10):
        pace.count(str(n), NOW)
    assert len(pace._of) == MAX_ADDRESSES


def test_both_languages_say_the_same_things() -> None:
    known: set[str] = set()
    for english, chinese in zip(PARTS["en"], PARTS["zh"], strict=True):
        assert english.keys() == chinese.keys()
        assert not known & english.keys(), "no key stands in two tables"
        known |= english.keys()
        for key, words in english.items():
            assert _gaps(words) == _gaps(chinese[key]), key
            assert chinese[key].strip() and words.strip()


def test_every_template_says_what_there_are_words_for() -> None:
    known = {key for table in PARTS["en"] for key in table}
    for path in sorted(FOLDER.glob("*.html")):
        for said in re.findall(r'\bsay\(("[^,()]*)', path.read_text(encoding="utf-8")):
            first = re.sub(r'(==|!=|\bin\b)\s*"[^"]*"', "", said)
            if "~" not in first:
                missing = {*re.findall(r'"([a-z0-9-]+)"', first)} - known
                assert not missing, f"{path.name}: {missing}"


@pytest.mark.parametrize("page", ["log_page", "entry_page"])
def test_all_modules_of_the_logs_pages_are_asked_for_at_once(page: str) -> None:
    found, left = set(), {page}
    while left:
        text = (FOLDER.parent / "static" / "audit" / f"{left.pop()}.js").read_text("utf-8")
        names = set(re.findall(r'from "\./([a-z_]+)\.js"', text)) - found
        found, left = found | names, left | names
    named = re.findall(r'"([a-z]+)"', (FOLDER / "audit_modules.html").read_text("utf-8"))
    own = {"entry"} if page == "entry_page" else set()
    assert {*named} - {"modulepreload"} | own == found


def _gaps(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ("", "", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en;q=0.5, zh-Hans;q=0.7", "zh"),
        ("", "fr, de", "en"),
        ("", "en-GB,zh", "en"),
        ("", "zh;q=wrong, en;q=0.1", "en"),
        ("", "zhx", "en"),
        ("", "," * 2000, "en"),
    ],
)
def test_languages(chosen: str, accepted: str, expected: str) -> None:
    assert choose(chosen, accepted).language == expected


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, ""), (0.25, "0.2 s"), (42, "42 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(EN, seconds) == told


def test_a_picture_of_a_run_in_all_its_states(site: Site) -> None:
    site.withdraw(site.nodes["gamma"])
    run = site.open_run(rounds=3)
    seen = []
    reading = RunReading(site.governance, lambda: site.now)

    def look() -> None:
        told = reading.picture(site.nodes["alpha"].identity, run)
        again = RunReading(site.governance, lambda: site.now)
        assert again.picture(site.nodes["alpha"].identity, run) == told, "whatever is kept"
        places = {
            lane.participant: [place.outcome if place else "" for place in lane.places]
            for lane in told.lanes
        }
        seen.append((told.done, told.left_s, places))

    look()
    first = site.authorize(run, "ask-1")
    look()
    site.submit(first, site.nodes["alpha"])
    site.tick(10)
    site.close_round(first)
    look()
    second = site.authorize(run, "ask-2")
    third = site.authorize(run, "ask-3")  # another attempt at the same round
    assert second.permit_id != third.permit_id
    site.submit(third, site.nodes["alpha"], site.nodes["beta"])
    site.tick(10)
    site.close_round(third)
    look()
    assert [done for done, _, _ in seen] == [0, 0, 1, 2]
    assert [left for _, left, _ in seen] == [None, None, 30.0, 20.0]
    assert seen[0][2] == {}
    assert seen[1][2] == {"alpha": ["at-work"], "beta": ["at-work"], "gamma": ["refused"]}
    assert seen[2][2] == {"alpha": ["received"], "beta": ["left-out"], "gamma": ["refused"]}
    assert seen[3][2] == {
        "alpha": ["received", "received"],
        "beta": ["left-out", "received"],
        "gamma": ["refused", "refused"],
    }


def card(n: int, **figures: float) -> RoundCard:
    return RoundCard(
        number=n,
        kind="train",
        attempt=1,
        state="CLOSED",
        quorum_met=True,
        figures=figures,
        counts={},
        seconds=1.0,
    )


def test_charts_of_odd_figures() -> None:
    rounds = [card(1, loss=0.5, nan=float("nan")), card(2, loss=0.5, big=1e30, nan=float("nan"))]
    drawn = charts(rounds, EN)
    assert [one.name for one in drawn] == ["loss"], "one point is no curve"
    assert "loss went from 0.5 to 0.5" in drawn[0].drawing and drawn[0].last == "Round 2: 0.5"
    assert 'data-said="Round 1: 0.5|Round 2: 0.5"' in drawn[0].drawing
    big = [card(1, big=1e30), card(2, big=1e30), card(3, big=-1e140), card(4, big=1e308)]
    found = str(charts(big, EN)[0].drawing)
    assert "nan" not in found and "inf" not in found
    assert charts([], EN) == []
    many = [card(m, **{f"figure{n}": float(n) for n in range(20)}) for m in (1, 2)]
    assert len(charts(many, EN)) == 6


def test_a_long_chart_keeps_its_ends_and_its_extremes() -> None:
    values = [math.sin(n) for n in range(1000)]
    values[7], values[777] = -9.0, 9.0
    points = [(card(n), value) for n, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= MAX_POINTS and [kept[0], kept[-1]] == [points[0], points[-1]]
    assert {-9.0, 9.0} <= {value for _, value in kept}
    assert list(kept) == sorted(kept, key=lambda point: point[0].number)
    assert len(charts([card(n, loss=value) for n, value in enumerate(values)], EN)[0].drawing) < 9e3


@given(
    st.floats(min_value=-1e12, max_value=1e12),
    st.floats(min_value=1e-9, max_value=1e12),
)
def test_ticks_are_few_and_take_in_both_ends(low: float, span: float) -> None:
    high = low + span
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        return
    marks = ticks(low, high)
    room = (marks[1] - marks[0]) * 1e-3
    assert 2 <= len(marks) <= 7
    assert marks[0] <= low + room and marks[-1] >= high - room


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.31, 0.97, ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 10.0, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
        (3.0, 470.0, ["0", "200", "400", "600"]),
    ],
)
def test_marks_have_the_digits_of_their_step(low: float, high: float, shown: list[str]) -> None:
    drawn = charts([card(1, loss=low), card(2, loss=high)], EN)[0].drawing
    assert re.findall(r'text-anchor="end">([0-9.]+)<', drawn)[: len(shown)] == shown


@pytest.mark.parametrize(
    ("bytes_", "shown"),
    [(0, "0 B"), (999, "999 B"), (41_048, "41 kB"), (1_234_567, "1.23 MB"), (999_999, "1000 kB")],
)
def test_sizes(bytes_: int, shown: str) -> None:
    assert size(bytes_) == shown


def test_a_drawing_is_bounded_and_escaped() -> None:
    people = [
        Drawn(
            id=f"p-{n}",
            name='<b onload="x">&',
            role="node",
            region="" if n % 2 else "CN-GD",
            active=n % 3 > 0,
            up=n % 2 == 0,
            note="</svg>",
        )
        for n in range(MAX_DRAWN + 5)
    ]
    made = draw(people, say=EN, title="<t>", text='"')
    assert made.count("<circle") == MAX_DRAWN
    assert "and 5 more" in made and "region not known" in made
    assert "<b" not in made and made.count("</svg>") == 1
    assert draw([], say=EN, title="", text="").startswith("<svg")


@given(st.text(max_size=60), st.integers(min_value=3, max_value=40))
def test_cut_fits(text: str, most: int) -> None:
    cut = svg.cut(text, most)
    assert svg.width(cut) <= most + 1  # the ellipsis may count as wide
    assert cut == text or "…" in cut


def test_the_loss_of_a_run_is_by_its_permits() -> None:
    terms = planned("3", "subject", 5)
    assert terms is not None and terms["unit"] == "subject"
    spec = {"rounds": 5, "privacy": terms}
    none, some, all_ = (loss(spec, permits) for permits in (0, 3, 6))
    assert none is not None and some is not None and all_ is not None
    assert none.spent == "0" and 0 < float(some.spent) < float(all_.spent) <= 3
    assert all_.spent == all_.all == some.all
    assert loss({"rounds": 5, "privacy": None}, 3) is None is planned("", "record", 5)
