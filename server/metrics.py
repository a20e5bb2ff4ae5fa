"""Figures of governance and its console for Prometheus: all of them, and where they come from.

Labels are bounded: kinds, outcomes, codes and names of calls from fixed lists, and products by the
id that the log calls them by, at most `MAX_PRODUCTS` of them. No run, no participant, no address,
no person. Counters count what happened since this process began; how large the log is, and how old
its newest entry, is read when it is asked for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from policies.entries import ENTRY_TYPES, Entry, parse_entry
from policies.errors import PolicyError
from policies.wire import RefusalCode
from server.observing import Call

MAX_PRODUCTS: Final = 500
MAX_CODES: Final = 100
OTHER: Final = "other"
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NODE_CODES: Final = frozenset(get_args(RefusalCode))
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sights:
    """What is looked at when somebody asks; none of them raises.

    Attributes:
        log_entries: size of the log.
        cosignatures: on the newest checkpoint.
        watchers: nodes and consumers that watch withdrawals.
        witnesses: nodes that watch checkpoints.
        pages: open pages that follow a run; 0 without a console.
        sessions: of the console; 0 without one.
    """

    log_entries: Callable[[], int]
    cosignatures: Callable[[], int]
    watchers: Callable[[], int]
    witnesses: Callable[[], int]
    pages: Callable[[], int] = int
    sessions: Callable[[], int] = int


class GovernanceMetrics:
    """A `server.observing.Observer` that counts.

    Args:
        clock: aware UTC now; `timer`: seconds that only grow.
    """

    def __init__(
        self, *, clock: Callable[[], datetime], timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._timer = timer
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._products: set[str] = set()
        self._codes: set[str] = set()
        self._newest = clock().timestamp()
        # For all of this process: twice the series, and nobody asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._registry)
        self._make_counters()
        self._make_histograms()

    def watch(self, sights: Sights) -> None:
        """From now on these are told as well; once."""
        gauges: Mapping[str, tuple[str, Callable[[], float]]] = {
            "tds_log_entries": ("Entries in the log.", sights.log_entries),
            "tds_log_cosignatures": (
                "Cosignatures of witnesses on the newest checkpoint.",
                sights.cosignatures,
            ),
            "tds_log_newest_age_seconds": (
                "Seconds since this process wrote its newest entry, or began.",
                lambda: self._clock().timestamp() - self._newest,
            ),
            "tds_watchers": ("Nodes and consumers that watch withdrawals.", sights.watchers),
            "tds_witnesses": ("Nodes that watch the log's checkpoints.", sights.witnesses),
            "tds_console_pages": ("Open pages that follow a run or the space.", sights.pages),
            "tds_console_sessions": ("Sessions of the console.", sights.sessions),
        }
        for name, (text, read) in gauges.items():
            Gauge(name, text, registry=self._registry).set_function(read)

    def exposition(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    @contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """See `server.observing.Observer`."""
        begun = self._timer()
        try:
            yield
        finally:
            self._calls.labels(call.rpc, call.code).inc()
            self._call_seconds.labels(call.rpc).observe(self._timer() - begun)

    @contextmanager
    def append(self, entries: int) -> Iterator[None]:
        """See `server.observing.Observer`."""
        begun = self._timer()
        yield
        self._append_seconds.observe(self._timer() - begun)

    def on_applied(self, index: int, kind: str, data: bytes) -> None:
        """See `server.observing.Observer`."""
        self._newest = self._clock().timestamp()
        self._entries.labels(kind if kind in ENTRY_TYPES else OTHER).inc()
        read = self._readers.get(kind)
        if read is None:
            return
        try:
            read(parse_entry(data))
        except (PolicyError, AttributeError, KeyError, TypeError, ValueError):
            # The journal applied it: a shape that is not counted is no reason to stop.
            _LOGGER.warning("entry %d (%s) was not counted", index, kind)

    def answered(self, status: int, seconds: float) -> None:
        """See `server.observing.Observer`."""
        self._pages.labels(f"{status // 100}xx" if 100 <= status < 600 else OTHER).inc()
        self._page_seconds.observe(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _make_counters(self) -> None:
        self._calls = self._counter(
            "tds_calls", "Calls to governance, by name and gRPC status.", "rpc", "code"
        )
        self._entries = self._counter("tds_entries", "Entries of the log, by type.", "type")
        self._decided = self._counter(
            "tds_rounds_decided", "Rounds by what was decided.", "kind", "outcome"
        )
        self._ended = self._counter(
            "tds_rounds_ended",
            "Rounds by how they ended: closed, without-result, abandoned.",
            "kind",
            "outcome",
        )
        self._permits = self._counter("tds_permits", "Permits that were logged.", "kind")
        self._uses = self._counter("tds_permitted_uses", "Uses that permits allowed.", "kind")
        self._refusals = self._counter(
            "tds_refusals", "Uses refused, or that ended without a receipt.", "by", "code"
        )
        self._receipts = self._counter("tds_receipts", "Receipts by outcome.", "outcome")
        self._rows = self._counter("tds_rows_used", "Rows that accepted receipts state.")
        self._runs = self._counter("tds_runs_ended", "Runs by the state they ended in.", "state")
        self._pages = self._counter(
            "tds_console_answers", "Answers of the console, by class of HTTP status.", "status"
        )
        self._withdrawn = self._counter("tds_withdrawals", "Consents withdrawn.")
        self._epsilon = Gauge(
            "tds_product_epsilon",
            "Epsilon that a product has given away by its newest permit, where that is bounded.",
            ("product",),
            registry=self._registry,
        )
        self._readers: Mapping[str, Callable[[Entry], None]] = {
            "RoundDecided": self._read_decided,
            "PermitIssued": self._read_permit,
            "ReceiptAccepted": self._read_accepted,
            "ReceiptRefused": self._read_refused,
            "RoundClosed": self._read_closed,
            "RoundAbandoned": self._read_abandoned,
            "RunEnded": lambda entry: self._runs.labels(_word(entry.body["state"])).inc(),
            "ConsentWithdrawn": lambda _: self._withdrawn.inc(),
        }

    def _make_histograms(self) -> None:
        self._call_seconds = Histogram(
            "tds_call_seconds",
            "Seconds until a call was answered; AuthorizeRound is a round's decision.",
            ("rpc",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._append_seconds = Histogram(
            "tds_log_append_seconds",
            "Seconds until entries were durable, signed and published.",
            buckets=SECONDS,
            registry=self._registry,
        )

        self._page_seconds = Histogram(
            "tds_console_answer_seconds",
            "Seconds until the console began to answer a browser.",
            buckets=SECONDS,
            registry=self._registry,
        )

    # -- entries -------------------------------------------------------------------------------

    def _read_decided(self, entry: Entry) -> None:
        kind = _word(entry.body["kind"])
        verdicts: Any = entry.body["decision"]
        permitted = [one for one in verdicts["verdicts"] if one["permitted"]]
        self._decided.labels(kind, "permitted" if permitted else "refused").inc()
        for one in verdicts["verdicts"]:
            for reason in one["reasons"][:1] if not one["permitted"] else ():
                self._refusals.labels("governance", self._code(reason["code"])).inc()

    def _read_permit(self, entry: Entry) -> None:
        kind = _word(entry.body["kind"])
        cohort: Any = entry.body["cohort"]
        self._permits.labels(kind).inc()
        self._uses.labels(kind).inc(len(cohort))
        for one in cohort:
            if one["epsilon"]:
                self._epsilon.labels(self._product(one["product"])).set(float(one["epsilon"]))

    def _read_accepted(self, entry: Entry) -> None:
        rows: Any = entry.body["rows_used"]
        self._receipts.labels("accepted").inc()
        self._rows.inc(rows)

    def _read_refused(self, entry: Entry) -> None:
        reported = entry.body["reported"]
        self._receipts.labels("missing" if reported else "refused").inc()
        code = str(entry.body["code"])
        if reported:  # the consumer's word: what is no code of ours is not repeated
            self._refusals.labels("node", code if code in _NODE_CODES else OTHER).inc()
        else:
            self._refusals.labels("governance", self._code(code)).inc()

    def _read_closed(self, entry: Entry) -> None:
        outcome = "closed" if entry.body["quorum_met"] else "without-result"
        self._ended.labels(_word(entry.body["kind"]), outcome).inc()

    def _read_abandoned(self, entry: Entry) -> None:
        self._ended.labels(_word(entry.body["kind"]), "abandoned").inc()

    def _product(self, id: str) -> str:
        with self._lock:
            if id in self._products or len(self._products) < MAX_PRODUCTS:
                self._products.add(id)
                return id
        return OTHER

    def _code(self, code: object) -> str:
        """Codes of governance are few; more than can be are counted together."""
        text = str(code)[:64]
        with self._lock:
            if text in self._codes or len(self._codes) < MAX_CODES:
                self._codes.add(text)
                return text
        return OTHER


def _word(value: object) -> str:
    return str(value)[:32]
