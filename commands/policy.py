"""`tds policy`: check and compare policies, try decisions, and understand those that were made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from commands import decide, explain
from commands.errors import BadInput, Exit
from commands.output import JsonFlag, complain, print_json, say
from commands.policyfile import read_policy
from policies.authoring import Finding, check, compare
from policies.errors import DocumentError
from policies.odrl import Agreement, Offer

cli = typer.Typer(no_args_is_help=True, help="Check policies and try decisions.")
cli.command("decide")(decide.decide)
cli.command("explain")(explain.explain)

PolicyFiles = Annotated[
    list[Path], typer.Argument(help="ODRL Agreements or Offers as JSON.", metavar="FILE...")
]
_WITHIN = {True: "yes", False: "no", None: "not decided"}


@cli.command("check")
def check_files(
    files: PolicyFiles,
    at: Annotated[
        str, typer.Option(help="When it shall be in force, such as 2026-05-01T08:00:00Z; now.")
    ] = "",
    until: Annotated[str, typer.Option(help="When a run under it could end.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Check policies as strictly as governance will, and for rules that cannot be meant.

    Finds, for all requests at once: a policy that permits nothing, or nothing any more; rules that
    can never hold; rules that others make needless. Ends with 1 where a finding is an error, and
    with 2, naming the JSON path, where a file is no policy of the profile.

    Example: tds policy check agreement.json offer.json --until 2027-06-30T00:00:00Z
    """
    moment = _moment("--at", at) if at else datetime.now(UTC)
    end = _moment("--until", until) if until else None
    checked: list[dict[str, Any]] = []
    refused = False
    for file in files:
        try:
            policy = read_policy(file)
        except (BadInput, DocumentError) as error:
            refused = True
            text = str(error) if isinstance(error, BadInput) else f"{file}: {error}"
            complain(text)
            checked.append({"file": str(file), "ok": False, "error": text})
            continue
        findings = check(policy, at=moment, until=end)
        ok = all(finding.severity != "error" for finding in findings)
        checked.append(
            {
                "file": str(file),
                "ok": ok,
                "policy": policy.to_json(),
                "findings": [finding.to_json() for finding in findings],
            }
        )
        if not as_json:
            _tell(file, policy, findings)
    ok = all(one["ok"] for one in checked)
    if as_json:
        print_json({"ok": ok, "files": checked})
    if not ok:
        raise typer.Exit(Exit.USAGE if refused else Exit.FAILED)


@cli.command("compare")
def compare_files(
    a: Annotated[Path, typer.Argument(help="An ODRL Agreement or Offer as JSON: A.")],
    b: Annotated[Path, typer.Argument(help="Another one: B.")],
    as_json: JsonFlag = False,
) -> None:
    """Whether two policies contradict each other, and whether one permits only what the other does.

    `conflict`: one permits a request that the other prohibits, both permit an action but never the
    same request, or one prohibits a duty of the other. `unknown`: the rules combine in too many
    ways, or the table of purposes lacks a purpose on which it hangs. The request that proves it is
    shown in the form that tds policy decide reads. An offer is compared as if the other policy's
    parties had agreed to it. Ends with 1 unless they are compatible.

    Example: tds policy compare agreement.json offer.json --json
    """
    found = compare(_read(a), _read(b))
    if as_json:
        print_json(found.to_json())
    else:
        say(f"{found.verdict}: {found.reason}")
        if found.witness is not None:
            for key, value in found.witness.to_json().items():
                say(f"  {key}: {value}")
        say(f"A permits only what B permits: {_WITHIN[found.a_within_b]}")
        say(f"B permits only what A permits: {_WITHIN[found.b_within_a]}")
    if found.verdict != "compatible":
        raise typer.Exit(Exit.FAILED)


def _tell(file: Path, policy: Agreement | Offer, findings: tuple[Finding, ...]) -> None:
    kind = "Offer" if isinstance(policy, Offer) else "Agreement"
    say(
        f"{file}: a valid {kind}, {len(policy.permissions)} permissions, "
        f"{len(policy.prohibitions)} prohibitions"
    )
    for finding in findings:
        say(f"  {finding.severity} at {finding.path}: {finding.text}")
        say(f"    to do: {finding.fix}")


def _read(path: Path) -> Agreement | Offer:
    try:
        return read_policy(path)
    except DocumentError as error:
        raise BadInput(f"{path}: {error}") from error


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"{option}: expected a moment like 2026-05-01T08:00:00Z, got {text!r}"
        ) from error
    if moment.tzinfo is None:
        raise BadInput(f"{option}: expected an offset such as Z or +08:00, got {text!r}")
    return moment
