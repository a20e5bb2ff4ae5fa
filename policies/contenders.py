"""A candidate whose cohort is being settled: evaluated in one company after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping

from policies.company import Company, least_total
from policies.evaluate import Effect, Report, Request, State, Value
from policies.odrl import Agreement


class Standing:
    """A candidate without hard refusals, and its last report.

    Attributes:
        totals: what the cohort's rows must reach for each of its limits of share, ascending.
    """

    __slots__ = (
        "_evaluate",
        "_known",
        "_request",
        "_seen",
        "_state",
        "agreement",
        "participant",
        "report",
        "rows",
        "totals",
    )

    def __init__(
        self,
        participant: str,
        agreement: Agreement,
        request: Request,
        state: State,
        rows: int,
        *,
        evaluate: Callable[[Agreement, Request, State], Report],
    ) -> None:
        self.participant = participant
        self.agreement = agreement
        self.rows = rows
        found = (least_total(rows, *share) for share in agreement.shares)
        self.totals = sorted({total for total in found if total is not None})
        self.report: Report
        self._request = request
        self._state = state
        self._evaluate = evaluate
        self._known: dict[tuple[object, ...], bool] = {}
        self._seen: Mapping[str, Value] = {}

    @property
    def asks(self) -> bool:
        """Whether it asks anything of its company."""
        asked = self.agreement
        return bool(asked.thresholds or asked.partners or asked.rivals or asked.shares)

    def evaluated_in(self, company: Company) -> bool:
        """Whether it is permitted in this company; keeps the report."""
        return self._evaluated(company.values(self.agreement, self.participant, self.rows))

    def refresh(self, company: Company) -> None:
        """Let the report of one that is permitted in this company show this company."""
        if not self.asks:
            return
        values = company.values(self.agreement, self.participant, self.rows)
        if values != self._seen:
            self._evaluated(values)

    def permitted_in(self, company: Company) -> bool:
        """The same answer as `evaluated_in`, from memory where nothing changed that it asks."""
        values = company.values(self.agreement, self.participant, self.rows)
        key: tuple[object, ...] = (
            bisect_right(self.agreement.thresholds, len(company.participants)),
            bisect_right(self.totals, company.rows),
            "rowShare" in values,
            *(values[term].value for term in ("togetherWith", "notTogetherWith") if term in values),
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._evaluated(values)
        return known

    def _evaluated(self, values: Mapping[str, Value]) -> bool:
        self._seen = values
        state = {**self._state, **values} if values else self._state
        self.report = self._evaluate(self.agreement, self._request, state)
        return self.report.effect is Effect.PERMIT
