"""What the nodes of a whole run send to a collector of OpenTelemetry."""

from __future__ import annotations

import pytest
from integration_governed import REFUSED, ROUNDS, ROWS, Governed
from integration_space import of_run, read_log
from prometheus_client.parser import text_string_to_metric_families

from policies.tracing import ATTRIBUTES

pytestmark = pytest.mark.process

PERMITTED = sorted(set(ROWS) - {REFUSED})


@pytest.mark.parametrize("owner", PERMITTED)
def test_a_trace_for_each_permit_and_metrics_that_agree(governed: Governed, owner: str) -> None:
    found = governed.observed.telemetry
    tasks = [
        span
        for span in found.spans()
        if span.name == "task" and span.resource["tds.participant"] == owner
    ]
    entries = read_log(governed.local.space.log_folder)
    accepted = of_run(entries, governed.run.run, "ReceiptAccepted", participant=owner)
    assert {span.attributes["tds.permit"] for span in tasks} == {
        entry.body["permit_id"] for entry in accepted
    }
    assert {span.attributes["tds.run"] for span in tasks} == {governed.run.run}
    below = [s.name for s in found.spans() if s.span.parent_span_id == tasks[0].span.span_id]
    assert below == ["check", "use", "egress"]
    done = [
        point
        for point in found.points()
        if point.metric == "tds.tasks" and point.resource["tds.participant"] == owner
    ]
    assert (done[-1].attributes["tds.outcome"], done[-1].value) in {
        ("done", ROUNDS + 1),
        ("done", 1),  # evaluations are counted apart
    }
    left = [
        point.value
        for point in found.points()
        if point.metric == "tds.agreement.uses_left" and point.resource["tds.participant"] == owner
    ]
    assert left[-1] == 1000 - ROUNDS - 1


def test_a_round_is_one_trace_across_serverapp_governance_and_nodes(governed: Governed) -> None:
    spans = governed.observed.telemetry.spans()
    rounds = [one for one in spans if one.name == "round"]
    assert [one.attributes["tds.round"] for one in rounds] == list(range(1, ROUNDS + 2))
    for root in rounds:
        trace = [one for one in spans if one.span.trace_id == root.span.trace_id]
        names = {one.span.span_id: one.name for one in trace}
        assert {one.resource["service.name"] for one in trace} == {
            *("tds-serverapp", "tds-governance", "tds-node"),
        }
        below = [(names.get(one.span.parent_span_id, ""), one.name) for one in trace]
        assert below.count(("exchange", "task")) == len(PERMITTED)
        calls = {("ask", "AuthorizeRound"), ("receipts", "SubmitReceipts"), ("close", "CloseRound")}
        assert calls | {("AuthorizeRound", "append"), ("", "round")} <= set(below)
        assert {one.attributes.get("tds.run") for one in trace if one.name == "task"} == {
            governed.run.run
        }
        told = {name for one in trace for name in one.attributes}
        assert told <= ATTRIBUTES
    assert any(one.name == "ReleaseMasks" for one in spans)


def test_governance_tells_prometheus_what_the_log_says(governed: Governed) -> None:
    found = {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(governed.observed.figures)
        for sample in family.samples
    }
    entries = read_log(governed.local.space.log_folder)
    accepted = of_run(entries, governed.run.run, "ReceiptAccepted")
    assert found["tds_receipts_total", "accepted"] == len(accepted)
    assert found["tds_rows_used_total",] == sum(int(one.body["rows_used"]) for one in accepted)
    assert found["tds_rounds_ended_total", "train", "closed"] == ROUNDS
    assert found["tds_call_seconds_count", "AuthorizeRound"] == ROUNDS + 1
    refused = [found[key] for key in found if key[:2] == ("tds_refusals_total", "governance")]
    assert sum(refused) == ROUNDS + 1  # of the one whose policy is for another purpose
    assert found["tds_log_entries",] == len(entries)
    assert found["tds_witnesses",] == len(ROWS)
    assert found["tds_watchers",] >= len(ROWS)
    assert not [name for name in (governed.run.run, governed.app) if name in str(found)]


def test_a_node_that_serves_nothing_sends_that_it_could(governed: Governed) -> None:
    points = [
        point
        for point in governed.observed.telemetry.points()
        if point.resource["tds.participant"] == REFUSED
    ]
    assert {point.value for point in points if point.metric == "tds.node.ready"} >= {1}
    assert not [point for point in points if point.metric == "tds.tasks"]
