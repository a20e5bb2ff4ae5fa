"""`tds audit`: offline, from a folder; needs no governance, no database, and a network only where
a log is named by its address."""

from __future__ import annotations

import typer

from commands.audit_disclose import disclosed, keygen
from commands.audit_explain import explain
from commands.audit_find import find
from commands.audit_monitor import monitor
from commands.audit_prove import check, prove
from commands.audit_replay import replay
from commands.audit_report import report
from commands.audit_rows import rows
from commands.audit_verify import verify

cli = typer.Typer(no_args_is_help=True, help="Audit a space's log, offline.")
cli.command("verify")(verify)
cli.command("replay")(replay)
cli.command("report")(report)
cli.command("find")(find)
cli.command("explain")(explain)
cli.command("monitor")(monitor)
cli.command("prove")(prove)
cli.command("check")(check)
cli.command("rows")(rows)
cli.command("keygen")(keygen)
cli.command("disclose")(disclosed)
