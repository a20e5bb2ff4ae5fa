"""The `tds` command: verbs by object (DESIGN.md, commands), and what its exit codes mean."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Annotated

import click
import typer

from auditors.errors import AuditError, IntegrityBroken
from clients.errors import ClientError
from commands import app, audit, contract, demo, node, policy, product, run, serve, simulate, space
from commands.errors import BadInput, CommandFailed, Exit
from commands.output import complain
from ledger.errors import LedgerError, LogDamaged
from policies.errors import DocumentError, PolicyError
from server.errors import ServerError

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
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except KeyboardInterrupt:
        complain("interrupted; everything that was started has been ended")
        return 130
    except (IntegrityBroken, LogDamaged) as error:
        complain(str(error))
        return Exit.LOG_BROKEN
    except CommandFailed as error:
        complain(str(error))
        return error.exit_code
    except DocumentError as error:
        complain(str(error))
        return Exit.USAGE
    except (AuditError, ClientError, LedgerError, PolicyError, ServerError) as error:
        complain(str(error))
        return Exit.FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
        return Exit.FAILED
    return Exit.DONE


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


__all__ = ["BadInput", "cli", "main"]
