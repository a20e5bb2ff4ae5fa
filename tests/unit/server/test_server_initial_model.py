"""The first model comes from the app's own code, which may do anything; how a run ends then."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app import MAX_REASON, end_reason, initial_model
from server.errors import GovernanceRefused, GovernanceUnavailable, ServerError

MODULE = """
def raises(config):
    raise ValueError("least: expected 5 numbers or none, got 30")


def wrong(config):
    return [1.0]
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "app_of_initial_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "expected 'module:function'"),
        ("app_of_initial_model", "expected 'module:function'"),
        ("nowhere_to_be_found:model", "got ModuleNotFoundError"),
        ("app_of_initial_model:nothing", "got AttributeError"),
        ("app_of_initial_model:raises", "got ValueError: least: expected 5 numbers"),
        ("app_of_initial_model:wrong", "returned list, expected an ArrayRecord"),
    ],
)
def test_an_app_without_a_first_model_ends_the_run_with_a_word(
    app: Path, name: str, said: str
) -> None:
    with pytest.raises(ServerError, match=f"initial-model: .*{said}"):
        initial_model({"initial-model": name})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ServerError("nobody may take part"), "nobody may take part"),
        (GovernanceRefused("INTERNAL", "is stopped"), "governance refused (INTERNAL): is stopped"),
        (GovernanceRefused("ABORTED", "replaced"), ""),
        (GovernanceRefused("NOT_FOUND", "no such run"), ""),
        (GovernanceUnavailable("away"), ""),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (ServerError("x" * 5000), "x" * MAX_REASON),
    ],
)
def test_a_run_ends_unless_somebody_else_can_go_on_with_it(error: Exception, reason: str) -> None:
    assert end_reason(error) == reason
