"""The `tds` command: verbs by object (DESIGN.md, commands), and what its exit codes mean."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import click
import typer

from commands.ending import unwind_on_sigterm
from commands.errors import Exit
from commands.output import complain

INTERRUPTED = 130

# The first kind that fits decides. By name: a verb that needs no server imports none, so that an
# auditor's machine need not have it, and an error whose module was never imported was never raised.
EXIT_CODES: Final[tuple[tuple[str, str, int], ...]] = (
    ("auditors.errors", "IntegrityBroken", Exit.LOG_BROKEN),
    ("ledger.errors", "LogDamaged", Exit.LOG_BROKEN),
    ("auditors.errors", "RuleViolated", Exit.RULE_BROKEN),
    ("commands.errors", "BadInput", Exit.USAGE),
    ("auditors.errors", "AuditInputError", Exit.USAGE),
    ("policies.errors", "DocumentError", Exit.USAGE),
    ("clients.errors", "ProductError", Exit.USAGE),
    ("commands.errors", "CommandFailed", Exit.FAILED),
    ("auditors.errors", "AuditError", Exit.FAILED),
    ("clients.errors", "ClientError", Exit.FAILED),
    ("ledger.errors", "LedgerError", Exit.FAILED),
    ("policies.errors", "PolicyError", Exit.FAILED),
    ("server.errors", "ServerError", Exit.FAILED),
    ("builtins", "OSError", Exit.FAILED),
)

# Each is a module of `commands` with a group `cli`, or with a function of its name.
GROUPS: Final = ("space", "node", "product", "app", "policy", "contract", "voucher", "run", "audit")
VERBS: Final = ("serve", "demo", "simulate")


def build_cli(names: Sequence[str] = (*GROUPS, *VERBS)) -> typer.Typer:
    """The command with these groups and verbs; nothing else is imported."""
    cli = typer.Typer(
        name="tds",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="A trusted data space for federated computation: every training round is decided by a "
        "policy and logged. Exit codes: 0 done, 1 refused or failed, 2 wrong usage or input, "
        "3 the log's integrity is broken, 4 the log is intact but records a broken rule.",
    )
    cli.callback()(options)
    for name in names:
        module = importlib.import_module(f"commands.{name}")
        if name in GROUPS:
            cli.add_typer(module.cli, name=name)
        else:
            cli.command(name)(getattr(module, name))
    return cli


def options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell more on standard error.")
    ] = False,
) -> None:
    """Options before the verb."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Entry point: run a verb, turn its errors into a sentence and an exit code."""
    unwind_on_sigterm()
    sys.exit(_run())


def _run() -> int:
    try:
        # typer returns the code of a typer.Exit, and 130 after Ctrl-C; a verb itself returns None.
        code = _cli_for(sys.argv[1:])(standalone_mode=False) or Exit.DONE
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        known = _exit_code(error)
        if known is None:
            raise
        _last_words(logging.ERROR, _sentence(error))
        return known
    if code == INTERRUPTED:
        _last_words(logging.INFO, "interrupted; everything that was started has been ended")
    return int(code)


def _cli_for(arguments: Sequence[str]) -> typer.Typer:
    """With what the first word names, or with everything where it names nothing."""
    first = next((word for word in arguments if not word.startswith("-")), "")
    return build_cli([first]) if first in GROUPS or first in VERBS else build_cli()


def _exit_code(error: Exception) -> int | None:
    for module, name, code in EXIT_CODES:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return code
    return None


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}"
    return str(error)


def _last_words(level: int, text: str) -> None:
    """In the form of the process's log, if it has one that programs read."""
    logs = sys.modules.get("commands.logs")
    if logs is not None and logs.in_json():
        logging.getLogger(__name__).log(level, "%s", text)
    else:
        complain(text)
