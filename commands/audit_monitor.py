"""`tds audit monitor`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from auditors.errors import IntegrityBroken, LogUnreachable, TileMissing
from auditors.fetch import Source
from auditors.mirror import only_one
from auditors.monitor import LOG, Followed, FollowedFolder, FollowedSource, Monitor
from auditors.shares import replay_log
from commands.audit_input import KeyOption, PolicyOption, read_trust
from commands.audit_source import CaOption, SourceArgument, is_address
from commands.errors import Exit
from commands.monitor_telling import MonitorTeller
from commands.output import JsonFlag


def monitor(
    log: SourceArgument,
    state: Annotated[
        Path, typer.Option(help="A folder of the monitor's own: what it has verified so far.")
    ],
    key: KeyOption = None,
    policy: PolicyOption = None,
    ca: CaOption = None,
    once: Annotated[bool, typer.Option("--once", help="Look once; for cron.")] = False,
    interval: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds between two looks.")
    ] = 60,
    stale: Annotated[
        int | None, typer.Option(min=1, help="Say so when nothing was added for so many seconds.")
    ] = None,
    rules: Annotated[
        bool,
        typer.Option("--rules", help="Replay the log whenever it has grown, as tds audit replay."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Follow a log: verify what is added, and that nothing that was there is changed.

    Each new head must continue the last one that was verified, which is kept in --state, also over
    restarts. Ends with 3 when the log contradicts itself: both signed heads are then kept in
    evidence/ of --state. With --rules it ends with 4 at the first entry that breaks one. Where the
    log does not answer, or its files are not all there yet, it says so and looks again; with --once
    it ends with 1 or 3. Ctrl-C ends it; nothing is lost.

    Example: tds audit monitor https://127.0.0.1:9094/log --key log-key.txt --ca ca.crt --state ./m
    """
    trust = read_trust(key, policy)
    teller = MonitorTeller(as_json=as_json, stale_s=stale)
    with ExitStack() as stack:
        stack.enter_context(only_one(state))
        followed: Followed = FollowedFolder(Path(log))
        if is_address(log):
            source = stack.enter_context(Source(log, ca=None if ca is None else str(ca)))
            followed = FollowedSource(source, state / LOG)
        following = Monitor(followed, state, trust=trust)
        try:
            while True:
                _look(following, teller, rules=rules, once=once)
                if once:
                    return
                time.sleep(interval)
        except KeyboardInterrupt:
            teller.stopped(following.size)


def _look(following: Monitor, teller: MonitorTeller, *, rules: bool, once: bool) -> None:
    now = int(time.time())
    try:
        step = following.step(now=now)
    except (LogUnreachable, TileMissing) as error:
        if once:
            raise
        teller.waiting(error)
        return
    except IntegrityBroken as error:
        teller.broken(error)
        raise
    first = teller.head(step)
    teller.quiet(step, now)
    if rules and (step.new or first):
        found = replay_log(step.folder)
        teller.replayed(found.entries, found.violations)
        if found.violations:
            raise typer.Exit(Exit.RULE_BROKEN)
