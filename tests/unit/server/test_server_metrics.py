"""Governance's figures: each entry counted as what it is, and labels that cannot grow."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_site import Site
from starlette.types import Message, Receive, Scope, Send

from policies.entries import EntryType, entry_bytes
from server.console.counted import Counted
from server.errors import ServerError
from server.metrics import MAX_PRODUCTS, GovernanceMetrics, Sights
from server.metrics_endpoint import parse_metrics_address, serve_metrics
from server.observing import Call

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


class FakeClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def figures(metrics: GovernanceMetrics) -> dict[tuple[str, ...], float]:
    """Every sample of ours but buckets: name and label values."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            if sample.name.startswith("tds_") and "le" not in sample.labels:
                labels = [value for _, value in sorted(sample.labels.items())]
                found[sample.name, *labels] = sample.value
    return found


def test_what_happened_is_counted(site: Site) -> None:
    metrics = GovernanceMetrics(clock=lambda: site.now)
    site.governance.listen(metrics.on_applied)
    alpha, beta, gamma = site.nodes.values()
    run = site.open_run(rounds=3, quorum=2, min_cohort=2)
    site.whole_round(run, "ask-1")
    site.withdraw(gamma)
    answer = site.authorize(run, "ask-2")
    site.authorize(run, "ask-3")  # takes the place of the one before
    found = figures(metrics)
    expected = {
        ("tds_entries_total", "RoundDecided"): 3,
        ("tds_rounds_decided_total", "train", "permitted"): 3,
        ("tds_rounds_ended_total", "train", "closed"): 1,
        ("tds_rounds_ended_total", "train", "abandoned"): 1,
        ("tds_permits_total", "train"): 3,
        ("tds_permitted_uses_total", "train"): 3 + 2 + 2,
        ("tds_receipts_total", "accepted"): 3,
        ("tds_refusals_total", "governance", "consent-withdrawn"): 2,
        ("tds_withdrawals_total",): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["tds_rows_used_total",] > 0
    # No run, no permit, no participant.
    text = metrics.exposition().decode()
    assert [one for one in (run, answer.permit_id, alpha.name, beta.name) if one in text] == []


def test_calls_and_appends_are_timed() -> None:
    ticks = iter(range(100))
    metrics = GovernanceMetrics(clock=FakeClock(), timer=lambda: float(next(ticks)))
    call = Call("AuthorizeRound")
    with metrics.call(call), metrics.append(2):
        call.code = "FAILED_PRECONDITION"
    found = figures(metrics)
    assert found["tds_calls_total", "FAILED_PRECONDITION", "AuthorizeRound"] == 1
    assert found["tds_call_seconds_count", "AuthorizeRound"] == 1
    assert found["tds_log_append_seconds_sum",] == 1.0


@pytest.mark.parametrize(
    ("status", "label"), [(200, "2xx"), (303, "3xx"), (503, "5xx"), (7, "other")]
)
def test_answers_of_the_console_are_counted_by_class(status: int, label: str) -> None:
    metrics = GovernanceMetrics(clock=FakeClock())
    ticks = iter([1.0, 1.5])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    counted = Counted(app, metrics.answered, timer=lambda: next(ticks))
    asyncio.run(counted({"type": "http", "path": "/runs/secret"}, receive, send))
    found = figures(metrics)
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert found["tds_console_answers_total", label] == 1
    assert found["tds_console_answer_seconds_sum",] == 0.5
    assert b"secret" not in metrics.exposition()


def permit(product: str) -> bytes:
    member = {"product": product, "epsilon": "1.5"}
    return entry_bytes(
        "PermitIssued", time="2026-06-01T08:00:00.000Z", body={"kind": "train", "cohort": [member]}
    )


def refused(code: str, *, reported: bool) -> bytes:
    body = {"code": code, "text": "x", "receipt": "", "reported": reported}
    return entry_bytes("ReceiptRefused", time="2026-06-01T08:00:00.000Z", body=body)


def test_labels_cannot_grow() -> None:
    metrics = GovernanceMetrics(clock=FakeClock())
    for number in range(MAX_PRODUCTS + 50):
        metrics.on_applied(number, "PermitIssued", permit(f"p-{number}/rows"))
        metrics.on_applied(number, "ReceiptRefused", refused(f"made-{number}", reported=True))
        metrics.on_applied(number, "ReceiptRefused", refused(f"made-{number}", reported=False))
    metrics.on_applied(0, "ReceiptRefused", refused("node-busy", reported=True))
    found = figures(metrics)
    assert found["tds_product_epsilon", "p-0/rows"] == 1.5
    assert len([key for key in found if key[0] == "tds_product_epsilon"]) == MAX_PRODUCTS + 1
    codes = [key for key in found if key[0] == "tds_refusals_total"]
    assert len(codes) < 110
    assert found["tds_refusals_total", "node", "other"] == MAX_PRODUCTS + 50
    assert found["tds_refusals_total", "node", "node-busy"] == 1


@pytest.mark.parametrize("body", [{}, {"kind": 3}, {"kind": "train", "cohort": 7}])
def test_an_entry_of_another_shape_is_passed_over(body: dict[str, Any]) -> None:
    metrics = GovernanceMetrics(clock=FakeClock())
    entry = entry_bytes("PermitIssued", time="2026-06-01T08:00:00.000Z", body=body)
    metrics.on_applied(0, "PermitIssued", entry)
    assert figures(metrics)["tds_entries_total", "PermitIssued"] == 1


def test_the_endpoint_answers_one_path() -> None:
    clock = FakeClock()
    metrics = GovernanceMetrics(clock=clock)
    metrics.watch(Sights(lambda: 42, lambda: 2, lambda: 3, lambda: 4))
    clock.now += timedelta(seconds=9)
    serving = serve_metrics(metrics, parse_metrics_address("127.0.0.1:0"))
    try:
        base = f"http://127.0.0.1:{serving.port}"
        with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:
            text = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/", timeout=5)
    finally:
        serving.stop()
    for line in ("tds_log_entries 42.0", "tds_log_newest_age_seconds 9.0", "tds_watchers 3.0"):
        assert f"\n{line}\n" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("text", ["", "9465", "host", "h:99999", "http://h:1", "h:1/x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ServerError, match="expected HOST:PORT"):
        parse_metrics_address(text)


ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "docs" / "grafana" / "tdspace.json"
NAME = re.compile(r"\b(?:tds|process)_[a-z_]+\b")


def exposed() -> dict[str, set[str]]:
    """Every name that a scrape gives, each with its labels."""
    metrics = GovernanceMetrics(clock=FakeClock())
    metrics.watch(Sights(int, int, int, int))
    with metrics.call(Call("GetSpace")), metrics.append(1):
        pass
    metrics.answered(200, 0.1)
    metrics.on_applied(0, "PermitIssued", permit("p-0/rows"))
    metrics.on_applied(0, "ReceiptRefused", refused("node-busy", reported=True))
    time = "2026-06-01T08:00:00.000Z"
    decided = {"kind": "train", "decision": {"verdicts": []}}
    ended: list[tuple[EntryType, dict[str, Any]]] = [
        ("RoundDecided", decided),
        ("RoundClosed", {"kind": "train", "quorum_met": True}),
        ("RunEnded", {"state": "COMPLETED"}),
    ]
    for kind, body in ended:
        metrics.on_applied(0, kind, entry_bytes(kind, time=time, body=body))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_dashboard_shows_figures_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    there = exposed()
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    for expression in expressions:
        (name,) = NAME.findall(expression)
        assert name in there, expression
        asked = set(re.findall(r'([a-z]+)[!=]~?=?"', expression)) - {"job"}
        grouped = re.search(r"by \(([a-z, ]+)\)", expression)
        asked |= {one.strip() for one in grouped[1].split(",")} if grouped else set()
        assert asked <= there[name], expression
    shown = {NAME.findall(expression)[0] for expression in expressions}
    ours = {re.sub(r"_(count|sum)$", "", name) for name in there if name.startswith("tds_")}
    seconds = {name for name in ours if f"{name}_bucket" in ours}
    assert ours - seconds - shown == set()


def test_the_docs_name_every_figure() -> None:
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(tds_[a-z_]+)`", text))
    families = {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed() if name.startswith("tds_")
    }
    assert told == families
