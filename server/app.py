"""The space's ServerApp: `serverapp = "server.app:app"` in an app's pyproject.toml.

An ordinary Flower ServerApp. Where governance is, and its own TLS key, it reads from the folder
that the environment variable TDS_CONSUMER_HOME names; the initial model comes from the app itself,
from the function that its run config names as `initial-model`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from policies.runconfig import ConfigValue
from policies.tensors import Tensors
from server.errors import GovernanceRefused, GovernanceUnavailable, ServerError
from server.exchange import shorten_object_waits
from server.governance_client import GovernanceClient
from server.loop import Loop
from server.models import ModelStore
from server.pace import RoundTiming
from server.patience import PatientGovernance
from server.tracing import round_tracing

LOGGER = logging.getLogger(__name__)

HOME_VARIABLE = "TDS_CONSUMER_HOME"
PATIENCE_S = 120.0
MAX_REASON = 1000

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds that are left."""
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        raise ServerError(
            f"environment variable {HOME_VARIABLE}: expected the consumer's folder, got nothing; "
            "start ServerApps through `tds serve`"
        )
    shorten_object_waits()
    config = dict(context.run_config)
    with (
        round_tracing(os.environ) as tracing,
        GovernanceClient.open(Path(home), traceparent=tracing.traceparent) as governance,
    ):
        patient = PatientGovernance(governance, patience_s=PATIENCE_S)
        run = patient.find_run(str(context.run_id))
        loop = Loop(
            grid=grid,
            governance=patient,
            models=ModelStore(Path(home) / "models"),
            on_round=_report,
            tracing=tracing,
        )
        try:
            loop.run(run, initial=lambda: initial_model(config))
        except Exception as error:  # told, so that nobody waits for this run, and raised again
            if reason := end_reason(error):
                governance.stop_run(run.run, reason=reason, failed=True)
            raise


def initial_model(config: Mapping[str, ConfigValue], *, folder: Path | None = None) -> Tensors:
    """The app's own initial model: calls the function `initial-model` names with the run config.

    Args:
        folder: put first on `sys.path`; Flower has done so already in a ServerApp.

    Raises:
        ServerError: the config names no such function, or it returns no ArrayRecord.
    """
    name = str(config.get("initial-model", ""))
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ServerError(
            "run config initial-model: expected 'module:function' returning an ArrayRecord, "
            f"got {name!r}; set it in [tool.flwr.app.config] of the app"
        )
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        arrays = getattr(importlib.import_module(module), attribute)(dict(config))
    except Exception as error:  # the app's own code: whatever it raises, the run ends with a word
        raise ServerError(
            f"run config initial-model: expected {name!r} to make a model, got "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(arrays, ArrayRecord):
        raise ServerError(
            f"run config initial-model: {name!r} returned {type(arrays).__name__}, "
            "expected an ArrayRecord"
        )
    return {key: array.numpy() for key, array in arrays.items()}


def end_reason(error: Exception) -> str:
    """Why the run cannot go on; "" if governance is away, or this ServerApp was replaced."""
    if isinstance(error, GovernanceUnavailable):
        return ""
    if isinstance(error, GovernanceRefused) and error.code in {"ABORTED", "NOT_FOUND"}:
        return ""
    told = str(error) if isinstance(error, ServerError) else f"{type(error).__name__}: {error}"
    return (told or "the ServerApp failed")[:MAX_REASON]


def _report(number: int, metrics: Mapping[str, str], timing: RoundTiming) -> None:
    figures = ", ".join(f"{name} {float(value):.4f}" for name, value in metrics.items())
    LOGGER.info(
        "round %d closed in %.3f s (governance %.3f, exchange %.3f): %s",
        number,
        timing.total,
        timing.governance,
        timing.exchange,
        figures,
    )
