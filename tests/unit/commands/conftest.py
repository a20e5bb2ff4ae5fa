"""`tds` in this process, and a folder with a space and a node to call it on."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_inputs import write_inputs
from commands_site import Ran, Tds, make_site

from commands.main import main


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Tds]:
    """Runs `tds` with these arguments; whatever happens, a person never sees a traceback."""
    for name in ("TDS_SPACE", "TDS_NODE", "TDS_CONSUMER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tds", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, captured.out, captured.err)

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Verbs that stay up set how their process logs; a test leaves it as it was."""
    root, flower = logging.getLogger(), logging.getLogger("flwr")
    kept = [(one, one.handlers[:], one.level, one.propagate) for one in (root, flower)]
    thread_failed, unraisable = threading.excepthook, sys.unraisablehook
    yield
    for logger, handlers, level, propagate in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    logging.captureWarnings(False)
    threading.excepthook, sys.unraisablehook = thread_failed, unraisable


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space and an enrolled node, made once."""
    root = tmp_path_factory.mktemp("commands")
    make_site(root)
    return root


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `made`, as the working directory."""
    folder = Path(shutil.copytree(made, tmp_path / "desk"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def inputs(desk: Path) -> Path:
    """The desk with files to hand in."""
    write_inputs(desk)
    return desk
