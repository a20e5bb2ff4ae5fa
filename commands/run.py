"""`tds run`: training runs, from the consumer's side."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.live import Live

from commands.console_link import consumer_link
from commands.consumer_side import ConsumerFolder, open_consumer
from commands.errors import BadInput, CommandFailed
from commands.localspace import CLIP_NORM, run_spec
from commands.output import (
    STDOUT,
    JsonFlag,
    end_of_live_view,
    print_columns,
    print_json,
    say,
)
from commands.privacy_options import (
    DELTA,
    PARTS,
    NoiseBy,
    PrivacyOptions,
    Unit,
    privacy_terms,
    terms_told,
)
from commands.reading import objects
from commands.rounds_table import ENDED, rounds_of, rounds_view, used
from commands.run_inputs import app_of, conclude_offers, parse_config
from policies import governance_pb2 as pb
from policies.canonical import parse_json
from policies.fields import Accelerator
from policies.privacy import SecureSum
from policies.runconfig import SEEDS, with_seed
from policies.statements import Aggregation, RunSpec
from server.governance_client import GovernanceClient

MAX_SPEC_BYTES: Final = 1 << 20

cli = typer.Typer(no_args_is_help=True, help="Training runs: start, watch, stop, resume.")

cli.command("console-link")(consumer_link)

RunId = Annotated[str, typer.Argument(help="The run's id.")]


@cli.command("start")
def start(
    app: Annotated[str, typer.Argument(help="SHA-256 of a registered app, or its bundle's file.")],
    consumer: ConsumerFolder,
    purpose: Annotated[str, typer.Option(help="What the model is for.")],
    agreement: Annotated[
        list[str] | None, typer.Option(help="Agreement to use; all of the consumer's if left out.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Training rounds.", min=1)] = 10,
    deadline_s: Annotated[int, typer.Option(help="Seconds a round waits at most.", min=1)] = 60,
    quorum: Annotated[int, typer.Option(help="Receipts a round needs.", min=1)] = 2,
    min_cohort: Annotated[int, typer.Option(help="Enterprises a permit needs.", min=1)] = 2,
    metric: Annotated[
        list[str] | None, typer.Option(help="Figure that may leave with an update.")
    ] = None,
    pays: Annotated[str, typer.Option(help="Voucher units for one use of a product.")] = "0",
    voucher: Annotated[str, typer.Option(help="Id of the voucher that pays.")] = "",
    memory_mib: Annotated[
        int, typer.Option(help="Memory that an app may use at a node, MiB.", min=64, max=1 << 24)
    ] = 2048,
    accelerator: Annotated[
        Accelerator,
        typer.Option(help="What nodes whose owners allow it may train on: none, or cuda."),
    ] = "none",
    secure_sum: Annotated[
        SecureSum,
        typer.Option(
            help="How updates are added: under masks whose sum governance alone can release, under "
            "masks of pairs of nodes, or as they are."
        ),
    ] = "governance",
    groups: Annotated[
        int,
        typer.Option(help="Of how many groups of enterprises a round opens a sum each.", min=1),
    ] = 1,
    aggregation: Annotated[
        Aggregation,
        typer.Option(
            help="How updates are added up, or, under masks, the sums of three groups or more; all "
            "but mean hold against a few enterprises that lie."
        ),
    ] = "mean",
    clip_norm: Annotated[
        str | None,
        typer.Option(
            help="L2 norm that updates are clipped to, such as 1.5; under masks "
            f"{CLIP_NORM} if left out, without them none."
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(help="Noise in each sum, in clipping norms, such as 4.2.", metavar="Z"),
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="Instead of --noise: what the whole run may tell of one unit, such as 3; the "
            "noise is planned for its rounds and the evaluation.",
            metavar="ε",
        ),
    ] = None,
    delta: Annotated[
        str | None, typer.Option(help=f"δ at which ε is stated; {DELTA} if left out.", metavar="δ")
    ] = None,
    unit: Annotated[
        Unit | None,
        typer.Option(help="What noise protects: each record, or all records of a subject."),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(
            help="Into how many parts a node deals its rows, each trained on by itself; "
            f"{PARTS} if left out.",
            min=1,
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            help="Probability that a part is used in a round, such as 0.5; less tells less.",
            metavar="Q",
        ),
    ] = None,
    noise_by: Annotated[
        NoiseBy | None, typer.Option(help="Who adds noise: each node its share, or governance.")
    ] = None,
    tolerated: Annotated[
        int | None,
        typer.Option(help="Nodes that may be missing, or cheat with their share of noise.", min=0),
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the app; again for more.")
    ] = None,
    request_s: Annotated[
        float,
        typer.Option(
            help="First ask, word for word, for every product on offer that no agreement stands "
            "for, and wait so many seconds for their owners; 0 asks for none.",
            min=0,
        ),
    ] = 0.0,
    watch: Annotated[bool, typer.Option(help="Stay and show the rounds.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Open a run: governance decides and logs it, then Flower starts it.

    Updates leave the nodes under masks, and only their sum is opened (--secure-sum); for a run of
    one enterprise say --secure-sum none.

    With --noise, or with --epsilon, which plans it, the run has differential privacy: it says what
    that amounts to, and --unit, --parts, --sample, --noise-by, --tolerated, --delta say how.

    Example: tds run start 3b2f… --consumer space/consumer --purpose diagnosis-support
    --rounds 12 --secure-sum governance --clip-norm 1 --epsilon 3
    """
    asked = PrivacyOptions(noise, epsilon, delta, parts, sample, unit, noise_by, tolerated)
    privacy, amounts = privacy_terms(asked, rounds)
    if amounts and not as_json:
        say(amounts)
    if request_s:
        _conclude(consumer, request_s)
    with GovernanceClient.open(consumer) as governance:
        agreements = agreement or _standing(governance)
        if not agreements:
            raise BadInput(
                "agreements: expected at least one with standing consent, got none; "
                "owners conclude them with `tds contract accept`"
            )
        spec = run_spec(
            app_of(app),
            agreements,
            purpose=purpose,
            rounds=rounds,
            metrics=metric or ["train_loss", "eval_loss", "eval_accuracy", "num-examples"],
            deadline_s=deadline_s,
            quorum=quorum,
            min_cohort=min_cohort,
            pays=pays,
            voucher=voucher,
            memory_bytes=memory_mib << 20,
            accelerator=accelerator,
            secure_sum=secure_sum,
            groups=groups,
            aggregation=aggregation,
            clip_norm=clip_norm,
            privacy=privacy,
            config=parse_config(config or []),
        )
        defaults = parse_json(governance.get_app(spec.app).config_json, max_bytes=MAX_SPEC_BYTES)
        assert isinstance(defaults, dict)
        seeded = with_seed(spec.config, defaults, secrets.randbelow(SEEDS))
        spec = spec.model_copy(update={"config": seeded})
        run = governance.open_run(spec, secrets.token_hex(16))
        if as_json:
            print_json(run_json(run))
        else:
            say(f"opened {run.run}")
            if watch:
                _follow(governance, run.run)


@cli.command("list")
def list_runs(consumer: ConsumerFolder, as_json: JsonFlag = False) -> None:
    """List runs. Example: tds run list --consumer space/consumer"""
    with GovernanceClient.open(consumer) as governance:
        found = objects(governance.list("runs"))
    if as_json:
        print_json(found)
    else:
        brief = [
            {**one, "reason": str(one.get("reason") or "").partition(" (")[0]} for one in found
        ]
        print_columns("runs", ["run", "state", "closed_rounds", "reason"], brief)


@cli.command("show")
def show(run: RunId, consumer: ConsumerFolder, as_json: JsonFlag = False) -> None:
    """Show a run and its rounds. Example: tds run show run-… --consumer space/consumer"""
    with GovernanceClient.open(consumer) as governance:
        found = governance.get_run(run)
    if as_json:
        print_json(run_json(found))
    else:
        STDOUT.print(rounds_view(rounds_of(found), title=f"run {run}: {found.state}"))
        for line in terms_told(_spec(found)):
            say(line)
        if found.reason:
            say(found.reason)


@cli.command("watch")
def watch(run: RunId, consumer: ConsumerFolder) -> None:
    """Follow a run until it ends; ends with 1 if it failed.

    Example: tds run watch run-… --consumer space/consumer
    """
    with GovernanceClient.open(consumer) as governance:
        _follow(governance, run)


@cli.command("stop")
def stop(run: RunId, consumer: ConsumerFolder) -> None:
    """End a run. Example: tds run stop run-… --consumer space/consumer"""
    with GovernanceClient.open(consumer) as governance:
        say(f"{run}: {governance.stop_run(run).state}")


@cli.command("resume")
def resume(run: RunId, consumer: ConsumerFolder) -> None:
    """Go on with a run that was cut off, from its last closed round.

    Example: tds run resume run-… --consumer space/consumer
    """
    with GovernanceClient.open(consumer) as governance:
        found = governance.resume_run(run)
        say(f"{run}: resumed after {found.closed_rounds} closed rounds")
        _follow(governance, run)


def run_json(run: pb.Run) -> dict[str, Any]:
    """A run as a JSON object."""
    spec = _spec(run)
    return {
        "run": run.run,
        "state": run.state,
        "reason": run.reason,
        "consumer": run.consumer,
        "closed_rounds": run.closed_rounds,
        "model": run.model,
        "clip_norm": spec.clip_norm,
        "secure_sum": spec.secure_sum,
        "groups": spec.groups,
        "aggregation": spec.aggregation,
        "privacy": spec.privacy and spec.privacy.to_json(),
        "rounds": rounds_of(run),
    }


def _spec(run: pb.Run) -> RunSpec:
    return RunSpec.from_json(parse_json(run.spec_json, max_bytes=MAX_SPEC_BYTES))


def _follow(governance: GovernanceClient, run_id: str) -> None:
    with Live(console=STDOUT, refresh_per_second=4, vertical_overflow="visible") as view:
        while True:
            run = governance.get_run(run_id)
            view.update(rounds_view(rounds_of(run), title=f"run {run_id}: {run.state}"))
            if run.state in ENDED:
                break
            time.sleep(0.25)
    end_of_live_view()
    if run.state != "COMPLETED":
        raise CommandFailed(f"run {run_id} ended as {run.state}: {_brief(run_id, run.reason)}")
    if not any(used(entry) for entry in rounds_of(run)):
        raise CommandFailed(
            f"run {run_id}: expected at least one use of a product, got none in any round; its "
            "model is the one that it began with"
        )


def _brief(run_id: str, reason: str) -> str:
    """A run's reason without what the rounds tell: who was refused, and for what."""
    return reason.removeprefix(f"run {run_id}, ").partition(" (")[0]


def _standing(governance: GovernanceClient, what: str = "agreement") -> list[str]:
    """Ids of the agreements that the consumer may use now, or of their products."""
    found = objects(governance.list("agreements"))
    return [str(item[what]) for item in found if not item.get("withdrawn")]


def _conclude(consumer: Path, wait_s: float) -> None:
    """Agreements for the products on offer that none stands for."""
    with open_consumer(consumer) as side:
        conclude_offers(side, _standing(side.governance, "product"), wait_s=wait_s)
