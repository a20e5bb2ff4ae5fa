"""Errors of the `tds` command, and the exit codes of DESIGN.md."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What `tds` ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    LOG_BROKEN = 3
    RULE_BROKEN = 4


class CommandFailed(Exception):
    """Something did not work; the text says what was expected, what came, what to do."""


class BadInput(CommandFailed):
    """An argument or a file is not what the command takes."""
