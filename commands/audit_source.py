"""Where the log is that a command of `tds audit` reads: a folder, or an address to copy it from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from auditors.fetch import Source
from auditors.mirror import mirror, only_one
from auditors.trust import Trust
from auditors.verify import Verified, verify_folder
from commands.errors import BadInput
from commands.output import STDERR

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="LOG", help="A copy of the log's folder, or its address: https://host:port/log."
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca", help="The CA of the address's certificate; the system's if left out."),
]
MirrorOption = Annotated[
    Path | None,
    typer.Option(
        "--mirror", help="Keep the copy of an address here; the next time only what is new is read."
    ),
]


@dataclass(frozen=True, slots=True)
class Audited:
    """A verified log.

    Args:
        folder: where its entries are.
        verified: what holds.
    """

    folder: Path
    verified: Verified


@contextmanager
def verified_log(
    source: str,
    *,
    trust: Trust,
    seen: Sequence[str] = (),
    ca: Path | None = None,
    kept: Path | None = None,
) -> Iterator[Audited]:
    """A log, verified with a bar on the terminal; one from an address is copied first.

    Args:
        source: a folder or an address.
        seen: heads that others saw.
        ca: PEM file of the CA that the address's certificate is of.
        kept: the folder of the copy; None makes one that goes with the context.

    Raises:
        BadInput: an option for addresses beside a folder.
    """
    if not is_address(source):
        if ca is not None or kept is not None:
            raise BadInput(f"{source}: expected an address beside --ca or --mirror")
        folder = Path(source)
        with _bars() as bar:
            verified = verify_folder(
                folder, trust=trust, seen=seen, progress=bar("verifying entries")
            )
        yield Audited(folder, verified)
        return
    with _copy(kept) as folder, only_one(folder):
        # The bars are gone before the caller goes on: a terminal has place for one display.
        with _bars() as bar, Source(source, ca=None if ca is None else str(ca)) as log:
            verified = mirror(
                log,
                folder,
                trust=trust,
                seen=seen,
                fetching=bar("fetching tiles"),
                verifying=bar("verifying entries"),
            )
        yield Audited(folder, verified)


@contextmanager
def read_log(
    source: str, *, trust: Trust, ca: Path | None = None, kept: Path | None = None
) -> Iterator[Path]:
    """A log's folder as it stands, where what is read of it is checked by itself; one from an
    address is copied and verified as by `verified_log`, whose arguments and errors these are."""
    if is_address(source) or ca is not None or kept is not None:
        with verified_log(source, trust=trust, ca=ca, kept=kept) as audited:
            yield audited.folder
        return
    yield Path(source)


@contextmanager
def _bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Makes bars for what is done and what is to do in all."""
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:

        def bar(title: str) -> Callable[[int, int], None]:
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar


def is_address(source: str) -> bool:
    """Whether it is to be read over the network."""
    return source.startswith(("https://", "http://"))


@contextmanager
def _copy(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="tds-audit-") as made:
        yield Path(made) / "log"
