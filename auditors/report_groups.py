"""Uses and refusals of one kind, put together however often they happened."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class UseGroup:
    """All uses of one product under one agreement in one run.

    Attributes:
        rows_least, rows_most, rows_total: of training uses, rows that were trained on.
        without_least, without_most: rows that one use left out for want of their subjects'
            consent, as receipts say; None while none says.
        metered_s, pays: of uses with an accepted receipt.
        epsilon: of the product with the last of these uses, at `delta`; "" where nothing bounds it.
    """

    participant: str
    product: str
    agreement: str
    run: str
    consumer: str
    purpose: str
    app: str
    trained: int = 0
    evaluated: int = 0
    rows_least: int = 0
    rows_most: int = 0
    rows_total: int = 0
    without_least: int | None = None
    without_most: int | None = None
    metered_s: int = 0
    epsilon: str = ""
    delta: str = ""
    pays: str = "0"
    environments: list[str] = field(default_factory=list)
    first: str = ""
    first_entry: int = 0
    last: str = ""
    last_entry: int = 0

    def leave_out(self, rows: int | None) -> None:
        """Count what one more use left out; None if its receipt does not say."""
        if rows is not None:
            least, most = self.without_least, self.without_most
            self.without_least = rows if least is None else min(least, rows)
            self.without_most = rows if most is None else max(most, rows)


@dataclass(slots=True, kw_only=True)
class Refusal:
    """One reason for which one product was refused in one run, however often.

    Attributes:
        text: as it was put the last time.
    """

    participant: str
    product: str
    consumer: str
    run: str
    code: str
    text: str
    count: int
    first_round: str
    first: str
    first_entry: int
    last_round: str
    last: str
    last_entry: int


def round_label(kind: str, number: int, attempt: int) -> str:
    """How a round is named in tables and plots: `7`, `7/2` for its second attempt, `eval 8`."""
    again = f"/{attempt}" if attempt > 1 else ""
    return f"{'eval ' if kind == 'evaluate' else ''}{number}{again}"
