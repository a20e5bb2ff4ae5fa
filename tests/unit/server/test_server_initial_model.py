"""The first model comes from the app's own code, which may do anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app import initial_model
from server.errors import ServerError

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
