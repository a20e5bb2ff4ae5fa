"""A consumer's patience: calls that wait for a governance that is busy, or being started again.

Every call of the round loop may be repeated, because the same request gets the same answer; so a
governance that was killed between any two of the ten steps costs a run the time of its restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from policies import governance_pb2 as pb
from policies.privacy import PermitSum
from server.errors import GovernanceRefused, GovernanceUnavailable
from server.loop import Governance
from server.mask_sums import Opened

LOGGER = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5
_BUSY: Final = "RESOURCE_EXHAUSTED"

Answer = TypeVar("Answer")


class PatientGovernance:
    """`server.loop.Governance` that asks again for up to `patience_s` seconds.

    Args:
        governance: whom to ask.
        clock, sleep: monotonic seconds; tests pass their own.
    """

    def __init__(
        self,
        governance: Governance,
        *,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._governance = governance
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep

    def find_run(self, flower_run: str) -> pb.Run:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.find_run(flower_run))

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.authorize_round(request))

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.submit_receipts(request))

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.release_masks(permit_id, how))

    def release_cohort(self, permit_id: str) -> bytes:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.release_cohort(permit_id))

    def close_round(self, request: pb.CloseRoundRequest) -> pb.Run:
        """See `server.loop.Governance`."""
        return self._wait(lambda: self._governance.close_round(request))

    def _wait(self, ask: Callable[[], Answer]) -> Answer:
        end = self._clock() + self._patience_s
        while True:
            try:
                return ask()
            except (GovernanceUnavailable, GovernanceRefused) as problem:
                busy = not isinstance(problem, GovernanceRefused) or problem.code == _BUSY
                if not busy or self._clock() + _PAUSE_S >= end:
                    raise
                LOGGER.warning("%s; asking again", problem)
                self._sleep(_PAUSE_S)
