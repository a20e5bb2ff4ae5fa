"""The program's log: how every process of ours that stays up writes it.

One record is one line on standard error, as text or as a JSON object, whatever stands in it: what
others wrote cannot begin a line of its own. Fields are those in `FIELDS` and no others. Of an
exception its type and place are told, never its text: that may quote a cell of the owner's data.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from clients.tasklog import task_fields
from commands.output import plain
from server.observing import facts_now

FORMAT_VARIABLE: Final = "TDS_LOG_FORMAT"
FIELDS: Final = (
    *("run", "flower_run", "round", "kind", "permit", "participant"),
    *("product", "agreement", "app"),
    *("code", "seconds", "rows_training", "rows_evaluation", "rows_without_consent"),
)
"""What a record may carry beside its text: names that governance knows, times and counts."""

MAX_TEXT_CHARS: Final = 4000


class LogFormat(StrEnum):
    """How a line of the program's log looks."""

    TEXT = "text"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", envvar=FORMAT_VARIABLE, help="How lines on standard error look."),
]


def configure_logs(
    form: LogFormat, *, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """From here on everything that this process logs goes to one stream, in one form.

    Args:
        stream: standard error if None.
    """
    handler = logging.StreamHandler(stream) if stream is not None else _StandardError()
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Flower writes with a handler of its own; httpx has a line for each look at the SuperLink.
    flower = logging.getLogger("flwr")
    flower.handlers.clear()
    flower.propagate = True
    flower.setLevel(level)
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable


def in_json() -> bool:
    """Whether this process's log is one for programs."""
    return any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers)


class _StandardError(logging.StreamHandler[TextIO]):
    """Standard error as it is when a line is written."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """See `logging.StreamHandler`."""
        return sys.stderr


class TextLines(logging.Formatter):
    """`time LEVEL logger: text field=value …`"""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return _line(f"{_time(record)} {record.levelname} {record.name}: {_text(record)}{fields}")


class JsonLines(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "text": …, field: value, …}`"""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        head = {"time": _time(record), "level": record.levelname, "logger": record.name}
        return json.dumps({**head, "text": _text(record), **_fields(record)}, ensure_ascii=True)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, str | int | float]:
    known = {**facts_now(), **task_fields(), **vars(record)}
    return {name: known[name] for name in FIELDS if isinstance(known.get(name), str | int | float)}


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()[:MAX_TEXT_CHARS]
    kind, _, trace = record.exc_info or (None, None, None)
    if kind is None:
        return text
    frames = traceback.extract_tb(trace)[-5:]
    places = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))
    return f"{text} ({kind.__name__} at {places})"


def _line(text: str) -> str:
    """The text on one line, harmless for a terminal."""
    return plain(text).replace("\n", "\\n")


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    told = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    logging.getLogger(__name__).critical("thread %s ended", name, exc_info=told)  # type: ignore[arg-type]


def _unraisable(failed: sys.UnraisableHookArgs) -> None:
    """What goes wrong where nobody can be told, such as while an object is taken away."""
    told = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    logging.getLogger(__name__).warning("ignored", exc_info=told)  # type: ignore[arg-type]
