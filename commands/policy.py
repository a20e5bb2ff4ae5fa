"""`tds policy`: check an agreement or offer, and try a decision before signing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from commands.errors import BadInput, Exit
from commands.output import JsonFlag, print_json, print_table, say
from policies.canonical import parse_json
from policies.evaluate import Effect, Request, Value, evaluate
from policies.odrl import Agreement, parse_agreement, parse_offer

cli = typer.Typer(no_args_is_help=True, help="Check policies and try decisions.")

MAX_POLICY_BYTES = 65_536
ASKED = ("train", "evaluate")  # `use` stands in rules only (policies/profile.md)

PolicyFile = Annotated[Path, typer.Argument(help="An ODRL Agreement or Offer as JSON.")]


@cli.command("check")
def check(file: PolicyFile, as_json: JsonFlag = False) -> None:
    """Check a policy as strictly as governance will; names the JSON path of what is wrong.

    Example: tds policy check agreement.json
    """
    data = read_policy(file)
    document = parse_json(data, max_bytes=MAX_POLICY_BYTES)
    kind = document.get("@type") if isinstance(document, dict) else None
    parsed = parse_offer(data) if kind == "Offer" else parse_agreement(data)
    if as_json:
        print_json({"ok": True, "policy": parsed.to_json()})
    else:
        say(
            f"{file}: a valid {kind}, {len(parsed.permissions)} permissions, "
            f"{len(parsed.prohibitions)} prohibitions"
        )


@cli.command("decide")
def decide(
    file: PolicyFile,
    purpose: Annotated[str, typer.Option(help="What the data would be used for.")],
    recipient: Annotated[str, typer.Option(help="Who would receive the model.")] = "",
    action: Annotated[str, typer.Option(help="train or evaluate.")] = "train",
    place: Annotated[str, typer.Option(help="Where it would be processed, such as CN-GD.")] = "",
    count: Annotated[int, typer.Option(help="Uses including this one.", min=1)] = 1,
    participants: Annotated[int, typer.Option(help="Enterprises in the cohort.", min=1)] = 1,
    at: Annotated[str, typer.Option(help="When, such as 2026-05-01T08:00:00Z.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Decide one use under an agreement, with every reason; ends with 1 when it is refused.

    Example: tds policy decide agreement.json --purpose diagnosis-support --participants 4
    """
    if action not in ASKED:
        raise BadInput(f"--action: expected {' or '.join(ASKED)}, got {action!r}")
    agreement: Agreement = parse_agreement(read_policy(file))
    values: dict[str, str | int | datetime] = {
        "purpose": purpose,
        "recipient": recipient or agreement.assignee,
        "dateTime": _moment(at),
        "count": count,
        "minParticipants": participants,
        **({"spatial": place} if place else {}),
    }
    report = evaluate(
        agreement,
        Request(target=agreement.target, assignee=agreement.assignee, action=action),
        {name: Value(value, "command line") for name, value in values.items()},
    )
    permitted = report.effect is Effect.PERMIT
    if as_json:
        print_json(report.to_json())
    else:
        say("permitted" if permitted else "refused")
        print_table("reasons", ["code", "reason"], [[r.code, r.text] for r in report.reasons()])
    if not permitted:
        raise typer.Exit(Exit.FAILED)


def read_policy(path: Path) -> bytes:
    """A policy file's bytes, bounded."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: expected a readable policy file, got: {error.strerror}") from error
    if len(data) > MAX_POLICY_BYTES:
        raise BadInput(f"{path}: expected at most {MAX_POLICY_BYTES} bytes, got more")
    return data


def _moment(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"--at: expected a moment like 2026-05-01T08:00:00Z, got {text!r}"
        ) from error
    if moment.tzinfo is None:
        raise BadInput(f"--at: expected an offset such as Z or +08:00, got {text!r}")
    return moment
