"""The `tds` command: verbs by object (DESIGN.md, commands), and what its exit codes mean."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Annotated

import click
import typer

from auditors.errors import AuditError, AuditInputError, IntegrityBroken, RuleViolated
from clients.errors import ClientError, ProductError
from commands import (
    app,
    audit,
    contract,
    demo,
    node,
    policy,
    product,
    run,
    serve,
    simulate,
    space,
    voucher,
)
from commands.errors import BadInput, CommandFailed, Exit
from commands.output import complain
from ledger.errors import LedgerError, LogDamaged
from policies.errors import DocumentError, PolicyError
from server.errors import ServerError

INTERRUPTED = 130

# The first kind that fits decides.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (IntegrityBroken, Exit.LOG_BROKEN),
    (LogDamaged, Exit.LOG_BROKEN),
    (RuleViolated, Exit.RULE_BROKEN),
    (BadInput, Exit.USAGE),
    (AuditInputError, Exit.USAGE),
    (DocumentError, Exit.USAGE),
    (ProductError, Exit.USAGE),
    (CommandFailed, Exit.FAILED),
    (AuditError, Exit.FAILED),
    (ClientError, Exit.FAILED),
    (LedgerError, Exit.FAILED),
    (PolicyError, Exit.FAILED),
    (ServerError, Exit.FAILED),
    (OSError, Exit.FAILED),
)
KNOWN = tuple(kind for kind, _ in EXIT_CODES)

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
cli.add_typer(space.cli, name="space")
cli.add_typer(node.cli, name="node")
cli.add_typer(product.cli, name="product")
cli.add_typer(app.cli, name="app")
cli.add_typer(policy.cli, name="policy")
cli.add_typer(contract.cli, name="contract")
cli.add_typer(voucher.cli, name="voucher")
cli.add_typer(run.cli, name="run")
cli.add_typer(audit.cli, name="audit")
cli.command("serve")(serve.serve)
cli.command("demo")(demo.demo)
cli.command("simulate")(simulate.simulate)


@cli.callback()
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
    # SIGTERM unwinds like Ctrl-C, so that every context manager ends what it started.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_run())


def _run() -> int:
    try:
        # typer returns the code of a typer.Exit, and 130 after Ctrl-C; a verb itself returns None.
        code = cli(standalone_mode=False) or Exit.DONE
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except KNOWN as error:
        complain(_sentence(error))
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    if code == INTERRUPTED:
        complain("interrupted; everything that was started has been ended")
    return int(code)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'system'}: {error.strerror or error}"
    return str(error)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
