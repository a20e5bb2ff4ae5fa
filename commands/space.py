"""`tds space`: make and show a space, and invite enterprises into it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.console_link import space_link
from commands.consumer_join import join_as_consumer
from commands.errors import BadInput
from commands.output import JsonFlag, print_columns, print_json, print_table, say
from commands.space_backup import backup, restore
from commands.space_people import SpaceFolder, auditor_cli, erase, participants
from commands.space_renew import renew
from commands.space_witness import witness_policy
from policies.canonical import parse_json
from policies.certificate import MAX_DAYS
from policies.space import JoinFile
from server.files import write_secret
from server.governance_client import GovernanceClient
from server.laws import parse_laws, read_laws
from server.space import CERTIFICATE_DAYS, init_space, load_space

cli = typer.Typer(no_args_is_help=True, help="Make or show a space; invite enterprises.")
cli.command("participants")(participants)
cli.command("erase")(erase)
cli.command("renew")(renew)
cli.command("backup")(backup)
cli.command("restore")(restore)
cli.add_typer(auditor_cli, name="auditor")


MAX_JOIN_BYTES = 65_536


class Role(StrEnum):
    """What an invited participant can be."""

    NODE = "node"
    CONSUMER = "consumer"


@cli.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    name: Annotated[str, typer.Option(help="The space's name, also the log's origin.")],
    region: Annotated[
        str,
        typer.Option(
            help="ISO 3166 code of where its operator and consumer are, such as CN-GD; laws ask "
            "where a result goes."
        ),
    ],
    host: Annotated[str, typer.Option(help="Name or address under which nodes reach it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, typer.Option(help="First of four ports in a row.", min=1, max=65532)
    ] = 9443,
    sector: Annotated[
        str, typer.Option(help="The consumer's sector, such as health; policies may ask for it.")
    ] = "",
    auto_certify: Annotated[
        bool,
        typer.Option(
            "--auto-certify/--no-auto-certify",
            help="Certify each product as it is registered, or wait for: tds product certify.",
        ),
    ] = True,
    certificate_days: Annotated[
        int, typer.Option(help="How long a product's certificate is valid.", min=1, max=MAX_DAYS)
    ] = CERTIFICATE_DAYS,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A folder with the space's laws (*.jsonld); mainland China's otherwise."),
    ] = None,
    log_database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Keep the log on PostgreSQL: postgresql+psycopg://USER@HOST/DATABASE"
            "?sslmode=verify-full, without a password; a file in the space otherwise.",
        ),
    ] = "",
    last_signed: Annotated[
        Path | None,
        typer.Option(
            help="File for the record of the last signed checkpoint, outside of what is backed up; "
            "in the space's folder otherwise."
        ),
    ] = None,
) -> None:
    """Make a space: its CA, TLS, permit, registrar and log keys (files of mode 0600).

    Example: tds space init ./space --name example.org/health --host 10.0.0.5 --region CN-GD
    """
    space = init_space(
        folder,
        name=name,
        governance_address=f"{host}:{port}",
        enrolment_address=f"{host}:{port + 1}",
        superlink_address=f"{host}:{port + 2}",
        contracts_address=f"{host}:{port + 3}",
        hosts=[host],
        now=datetime.now(UTC),
        region=region,
        sector=sector,
        auto_certify=auto_certify,
        certificate_days=certificate_days,
        baseline=baseline,
        log_database=log_database,
        last_signed=last_signed,
    )
    card = space.card
    say(f"made space {card.name} in {space.folder}")
    say(f"  governance {card.governance}, enrolment {card.enrolment}, SuperLink {card.superlink}")
    say(f"  contracts (Dataspace Protocol) https://{card.contracts}")
    laws = ", ".join(law["name"] for law in laws_of(space.baseline_folder))
    say(f"  laws of {space.baseline_folder}, adopted as it starts: {laws}")
    say(f"  log key (give it to auditors): {card.log_key}")
    say(f"next: tds serve --space {folder}")
    say(f"then: tds space invite --title NAME --space {folder} --region CODE --out NAME.join")


@cli.command("show")
def show(space: SpaceFolder, as_json: JsonFlag = False) -> None:
    """Show a space: its addresses, the keys that others need, and its baseline of law.

    Example: tds space show --space ./space
    """
    loaded = load_space(space)
    card = loaded.card.to_json()
    config = loaded.config
    laws = laws_of(loaded.baseline_folder)
    if as_json:
        settings = config.to_json()
        del settings["card"]
        print_json({**card, "settings": settings, "baseline": laws})
    else:
        print_table(
            f"space {loaded.card.name}",
            ["field", "value"],
            [[key, str(value)] for key, value in sorted(card.items()) if key != "ca_pem"],
        )
        print_columns("baseline of law", ["name", "version", "title", "source"], laws)


@cli.command("invite")
def invite(
    space: SpaceFolder,
    out: Annotated[Path, typer.Option(help="Where to write the join file (mode 0600).")],
    title: Annotated[str, typer.Option(help="Its name, for people; never logged.")] = "",
    contact: Annotated[str, typer.Option(help="Whom to ask there; never logged.")] = "",
    registration: Annotated[
        str, typer.Option(help="Its number in a company register; never logged.")
    ] = "",
    address: Annotated[str, typer.Option(help="Where it is; never logged.")] = "",
    participant: Annotated[
        str,
        typer.Option(
            help="Its id, a-z, 0-9 and -, in place of a pseudonym that is made. Not a pseudonym: "
            "whoever reads the log reads it."
        ),
    ] = "",
    sector: Annotated[str, typer.Option(help="Its sector.")] = "",
    region: Annotated[str, typer.Option(help="ISO 3166 code of where it is, such as CN-GD.")] = "",
    valid_hours: Annotated[int, typer.Option(help="How long the invitation holds.", min=1)] = 72,
    role: Annotated[Role, typer.Option(help="Whether it offers data or uses it.")] = Role.NODE,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="For a --participant that is enrolled and whose certificate expired: the file "
            "gets it a new one, for the keys that it has, and nobody else anything.",
        ),
    ] = False,
) -> None:
    """Invite an enterprise: writes a join file with a one-time token; `tds serve` must run.

    In the log it has a pseudonym; who it is stands, sealed, in the space's disclosures. Hand the
    file over confidentially. Example: tds space invite --title "The clinic" --space ./space
    --region CN-GD --out clinic.join
    """
    if out.exists():
        raise BadInput(f"{out}: expected no such file, got one; choose another --out")
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        join = governance.invite(
            participant=participant,
            title=title,
            sector=sector,
            region=region,
            valid_s=valid_hours * 3600,
            role=role.value,
            contact=contact,
            registration=registration,
            address=address,
            again=again,
        )
    write_secret(out, join)
    id = JoinFile.from_json(parse_json(join, max_bytes=MAX_JOIN_BYTES)).participant
    say(f"wrote {out}; hand it over confidentially, it works once")
    say(f"in the log: {id}" + (f" ({title})" if title else ""))
    if again:
        say(f"there: tds node renew --node FOLDER --join {out.name}")
    elif role is Role.CONSUMER:
        say(f"there: tds space join ./{out.stem} --join {out.name}")
    else:
        say(f"there: tds node new ./{out.stem} --join {out.name} --region {region or 'CODE'}")


@cli.command("join")
def join_space(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    join: Annotated[Path, typer.Option(help="The join file from the space's operator.")],
) -> None:
    """Join a space as a consumer: keys made on this side, a certificate for the join token. A data
    owner joins with: tds node new.

    Example: tds space join ./institute --join institute.join
    """
    card = join_as_consumer(folder, join, now=datetime.now(UTC))
    say(f"joined space {card.name} as a consumer: {folder}")
    say(f"next: tds contract catalog --consumer {folder}")


cli.command("witness-policy")(witness_policy)
cli.command("console-link")(space_link)


def laws_of(folder: Path) -> list[dict[str, str]]:
    """What is to know about each law in a space's folder, by name."""
    return [
        {
            "name": law.name,
            "version": law.version,
            "title": law.title,
            "source": law.source,
            "digest": law.digest,
        }
        for law in parse_laws(read_laws(folder))
    ]
