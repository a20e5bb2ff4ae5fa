"""Metrics and traces as a real collector gets them, and what it costs when nobody asked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from otlp_collector import Collector, collector
from test_clients_gate import APP, NOW, agreement
from test_clients_work import CANARY, Node

from clients import telemetry as module
from clients.errors import AppFailed, ClientError
from clients.observing import NOBODY
from clients.telemetry import Figures, Wanted, telemetry, wanted
from clients.vitals import Readiness, Told
from policies.fields import instant

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
READY = Told(connected=True, last=NOW)
FIGURES = Figures(
    uses_left=lambda: {"agreement-clinic-a": 7},
    readiness=lambda: Readiness(READY, READY, sandbox=True, tasks=0),
)
SPAN_ATTRIBUTES = {
    *("tds.run", "tds.flower_run", "tds.round", "tds.kind", "tds.permit", "tds.product"),
    *("tds.agreement", "tds.app", "tds.outcome", "tds.code"),
    *("tds.rows_training", "tds.rows_evaluation", "tds.rows_without_consent"),
}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (False, False)),
        ({ENDPOINT: ""}, (False, False)),
        ({ENDPOINT: "http://x"}, (True, True)),
        ({ENDPOINT: "http://x", "OTEL_SDK_DISABLED": "true"}, (False, False)),
        ({ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "none"}, (False, True)),
        ({ENDPOINT: "http://x", "OTEL_METRICS_EXPORTER": "none"}, (True, False)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, (True, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, (False, True)),
        ({ENDPOINT: "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, (True, True)),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (False, False)),
    ],
)
def test_what_the_environment_asks_for(env: Mapping[str, str], expected: tuple[bool, bool]) -> None:
    assert wanted(env) == Wanted(*expected)


def test_another_protocol_is_refused() -> None:
    with pytest.raises(ClientError, match="PROTOCOL: expected http/protobuf, got 'grpc'"):
        wanted({ENDPOINT: "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_wanted_and_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    asked = telemetry({ENDPOINT: "http://x"}, participant="a", space="b", figures=FIGURES)
    with pytest.raises(ClientError, match=r"install tdspace\[otel\] or unset it"), asked:
        pass


def test_nothing_is_imported_where_nobody_asked() -> None:
    code = (
        "import sys, commands.node\n"
        "from clients.telemetry import telemetry\n"
        "with telemetry({}, participant='', space='', figures=None) as observer:\n"
        "    print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "[]\n"
    with telemetry({}, participant="a", space="b", figures=FIGURES) as observer:
        assert observer is NOBODY


@contextmanager
def observed(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, **env: str) -> Iterator[Node]:
    """A node whose telemetry goes to this collector; all of it is sent when the block ends."""
    asked = {ENDPOINT: url, **env}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    sending = telemetry(asked, participant="clinic-a", space="space.example/demo", figures=FIGURES)
    node = Node(folder)
    with sending as observer:
        node.observer = observer
        node.restart()
        node.state.approve_app(APP, time=instant(NOW))
        node.consent(agreement())
        yield node
        node.close()


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """What three tasks gave: one done, one refused at the gate, one whose app failed."""
    with collector() as found, observed(tmp_path, monkeypatch, found.url) as node:
        node.worker.handle(node.task(1))
        node.worker.handle(node.task(2, space="space.example/other"))
        node.runner.result = AppFailed(f"the app raised ValueError {CANARY}", detail=CANARY)
        node.worker.handle(node.task(3))
    return found


def test_spans_have_designs_steps_below_their_task(sent: Collector) -> None:
    spans = sent.spans()
    tasks = {one.attributes["tds.outcome"]: one for one in spans if one.name == "task"}
    steps = {
        outcome: [s.name for s in spans if s.span.parent_span_id == task.span.span_id]
        for outcome, task in tasks.items()
    }
    assert steps == {
        "done": ["check", "use", "egress"],
        "refused": ["check"],
        "failed": ["check", "use"],
    }
    for one in spans:
        assert set(one.attributes) <= SPAN_ATTRIBUTES
        assert one.resource["service.name"] == "tds-node"
        assert one.resource["tds.participant"] == "clinic-a"
        assert one.span.end_time_unix_nano >= one.span.start_time_unix_nano
    done = tasks["done"]
    assert done.attributes["tds.round"] == 3
    assert (done.attributes["tds.rows_training"], done.attributes["tds.kind"]) == (4, "train")
    assert done.span.status.code == 0
    failed = tasks["failed"]
    assert (failed.span.status.code, failed.span.status.message) == (2, "app-failed")
    events = [e.name for s in spans if s.name == "egress" for e in s.span.events]
    assert events == ["checked", "receipted", "finished"]


def test_metrics_count_tasks_rows_and_what_is_left(sent: Collector) -> None:
    tasks = {
        (p.attributes["tds.outcome"], p.attributes["tds.code"], p.attributes["tds.kind"]): p.value
        for p in sent.last("tds.tasks").values()
    }
    assert tasks == {
        ("done", "", "train"): 1,
        ("refused", "permit-wrong-space", "unknown"): 1,
        ("failed", "app-failed", "train"): 1,
    }
    rows = {p.attributes["tds.rows"]: p.value for p in sent.last("tds.rows").values()}
    assert rows == {"training": 4, "evaluation": 1, "without_consent": 0}
    (left,) = sent.last("tds.agreement.uses_left").values()
    assert (left.attributes, left.value) == ({"tds.agreement": "agreement-clinic-a"}, 7)
    assert [p.value for p in sent.last("tds.node.ready").values()] == [1]
    durations = sent.last("tds.task.duration").values()
    assert sum(p.count for p in durations) == 3
    assert all(0 <= p.value < 60 for p in durations)
    steps = {p.attributes["tds.step"]: p.count for p in sent.last("tds.step.duration").values()}
    assert steps == {"check": 3, "use": 2, "egress": 1}


def test_nothing_of_the_data_or_of_an_app_is_sent(sent: Collector) -> None:
    assert len(sent.bodies) >= 2
    for needle in (CANARY.encode(), b"ValueError", b"4711", b"/nonexistent", b"x\x00y"):
        assert [body for body in sent.bodies if needle in body] == []


def test_the_standard_variables_are_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "OTEL_SERVICE_NAME": "clinic",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with collector() as found, observed(tmp_path, monkeypatch, found.url, **more) as node:
        node.worker.handle(node.task())
    assert found.metrics == []
    assert {one.resource["service.name"] for one in found.spans()} == {"clinic"}
    assert found.spans()[0].resource["deployment.environment.name"] == "test"


def test_a_collector_that_is_away_costs_a_task_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as found:
        url = found.url
    begun = time.monotonic()
    with observed(tmp_path, monkeypatch, url) as node:
        node.worker.handle(node.task())
        handled = time.monotonic() - begun
        assert node.types() == ["UseStarted", "UseReceipted"]
    assert handled < 3
    assert time.monotonic() - begun < 15
