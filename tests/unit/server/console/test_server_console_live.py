"""Following a run: what is sent, to whom, and when it ends."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from console_site import Bench, console_over, csrf, events
from server_site import Site

from server.console.following import Drawing
from server.console.hub import MAX_WATCHERS_OF_ONE, Hub
from server.console.live import PARTS, Live
from server.console.shared import Shared
from server.errors import NotKnown, TooMany


def first(told: Iterator[tuple[str, str]]) -> dict[str, str]:
    """All parts, which a page is sent as it begins to follow."""
    return dict(islice(told, len(PARTS)))


def test_a_run_is_followed_to_its_end(bench: Bench) -> None:
    site = bench.site
    run = site.open_run(rounds=1)
    browser = bench.visit("auditor")

    def go_on() -> None:
        site.whole_round(run, "ask-1")
        site.whole_round(run, "ask-2")

    with browser.stream("GET", f"/runs/{run}/events", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        told = events(answer)
        assert "No round was asked for yet" in first(told)["lanes"]
        worker = threading.Thread(target=go_on)
        worker.start()
        rest = list(told)
        worker.join()
    assert rest[-1] == ("end", "")
    last = dict(rest)
    assert last.keys() == {*PARTS, "end"}
    assert "2 of 2 rounds closed" in last["headline"]
    assert 'class="state COMPLETED"' in last["headline"]


def test_whoever_signed_out_hears_no_more(bench: Bench) -> None:
    run = bench.site.open_run()
    browser = bench.visit("operator")
    with browser.stream("GET", f"/runs/{run}/events", timeout=20) as answer:
        told = events(answer)
        assert first(told).keys() == {*PARTS}
        other = bench.browser()
        other.cookies.update(browser.cookies)
        assert other.post("/leave", data={"csrf": csrf(other)}).status_code == 303
        bench.site.authorize(run)
        assert list(told) == [], "no end: the page comes back, and learns why"
    assert browser.head(f"/runs/{run}/events").status_code == 401


def test_a_page_that_lost_its_stream_learns_why(bench: Bench) -> None:
    run = bench.site.open_run(agreements=[bench.site.nodes["alpha"].agreement])
    for who, status in (("alpha", 204), ("beta", 404)):
        answer = bench.visit(who).head(f"/runs/{run}/events")
        assert (answer.status_code, answer.content) == (status, b"")
    assert bench.browser().head(f"/runs/{run}/events").status_code == 401


def test_a_stop_of_the_service_ends_no_page(bench: Bench) -> None:
    run = bench.site.open_run()
    with bench.visit("operator").stream("GET", f"/runs/{run}/events", timeout=20) as answer:
        told = events(answer)
        assert first(told).keys() == {*PARTS}
        bench.console.stop()
        assert list(told) == []


def test_after_a_restart_a_run_is_shown_as_before(site: Site) -> None:
    run = site.open_run(rounds=3)
    site.whole_round(run, "ask-1")
    site.submit(site.authorize(run, "ask-2"), site.nodes["alpha"])
    seen = []
    for _ in range(2):
        with console_over(site) as bench:
            text = bench.visit("auditor").get(f"/runs/{run}").text
            seen.append(text[text.index("<h1") : text.index('id="following"')])
        site.reopen()
    assert seen[0] == seen[1] and "permitted, at work" in seen[0]


def test_a_permit_that_ended_is_not_at_work_for_ever(bench: Bench) -> None:
    site = bench.site
    run = site.open_run()
    site.authorize(run)
    browser = bench.visit("auditor")
    with browser.stream("GET", f"/runs/{run}/events", timeout=20) as answer:
        told = events(answer)
        assert "permitted, at work" in first(told)["lanes"]
    site.tick(41)  # its 30 s, and the grace for clocks that differ; nothing was logged
    with browser.stream("GET", f"/runs/{run}/events", timeout=20) as answer:
        told = events(answer)
        late = first(told)
    assert "permit has ended" in late["headline"] and "to go" not in late["headline"]
    assert "permitted, no reply in time" in late["lanes"]


def test_a_drawing_is_made_once_for_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.site.open_run()
    made: list[object] = []
    draw = Live.draw

    def counting(self: Live, *arguments: Any) -> Drawing:
        made.append(arguments)
        return draw(self, *arguments)

    monkeypatch.setattr(Live, "draw", counting)
    for who in ("auditor", "auditor", "alpha", "alpha"):
        with bench.visit(who).stream("GET", f"/runs/{run}/events", timeout=20) as answer:
            assert next(events(answer))[0] == "headline"
    assert len(made) == 2


def test_names_on_a_live_page_are_for_who_may_read_them(bench: Bench) -> None:
    run = bench.site.open_run()
    bench.site.authorize(run)
    for who, known in (("operator", {"alpha", "beta", "gamma"}), ("alpha", {"alpha"})):
        with bench.visit(who).stream("GET", f"/runs/{run}/events", timeout=20) as answer:
            told = events(answer)
            assert set(re.findall("The (alpha|beta|gamma)", first(told)["lanes"])) == known


def test_what_many_ask_for_at_once_is_made_once() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        time.sleep(0.05)
        if len(made) == 3:
            raise NotKnown("expected another")
        return made[-1]

    async def ask() -> None:
        shared: Shared[int] = Shared(most=1)
        for version in (0, 1):
            found = await asyncio.gather(*(shared.get("key", version, make) for _ in range(20)))
            assert found == [version] * 20 and shared.kept("key", version) == version
        failed = [shared.get("other", 0, make) for _ in range(5)]
        found = await asyncio.gather(*failed, return_exceptions=True)
        assert [type(one) for one in found] == [NotKnown] * 5
        assert shared.kept("key", 0) is None, "of another version"
        leaving = asyncio.ensure_future(shared.get("last", 0, make))
        staying = asyncio.ensure_future(shared.get("last", 0, make))
        await asyncio.sleep(0.01)
        leaving.cancel()
        assert await staying == 3, "who waits may go away"
        assert shared.kept("key", 1) is None, "one is kept"

    asyncio.run(ask())
    assert made == [0, 1, 2, 3]


def test_watchers_are_bounded_and_woken_from_any_thread() -> None:
    hub = Hub()

    async def watch() -> None:
        stack = [hub.watching("run-1", "somebody") for _ in range(MAX_WATCHERS_OF_ONE)]
        watchers = [one.__enter__() for one in stack]
        with pytest.raises(TooMany), hub.watching("run-1", "somebody"):
            pass
        with hub.watching("run-1", "another"):
            pass
        threading.Thread(target=hub.close).start()
        await asyncio.wait_for(watchers[0].changed.wait(), 5)
        for one in stack:
            one.__exit__(None, None, None)
        with pytest.raises(TooMany), hub.watching("run-1", "somebody"):
            pass

    asyncio.run(watch())


def test_the_hub_knows_the_newest_entry_about_each_run(bench: Bench) -> None:
    site, hub = bench.site, Hub()
    run, other = site.open_run(), site.open_run("run-2")
    assert hub.version(run) == -1
    site.governance.listen(hub.on_applied)
    site.whole_round(run, "ask-1")
    assert hub.version(run) == site.log.size - 1
    assert hub.version(other) == -1
    assert re.fullmatch("RoundClosed", site.kinds()[-1])
