"""`tds simulate`: many nodes in one process, with the same rounds, permits, receipts and log."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from flwr.app import Message
from rich.progress import Progress

from auditors.shares import replay_log
from auditors.verify import verify_folder
from clients.appbundle import build_bundle, bundle_config, install_bundle
from clients.enrol import enrol
from clients.identity import public_pem
from clients.messages import (
    answer_message,
    read_instruction,
    refusal_message,
    reply_message,
)
from clients.owner import Owner
from clients.sandbox import InProcessUnsafeRunner
from clients.tasks import Answered, Task
from commands.errors import BadInput, CommandFailed
from commands.hospitals import Hospital, Split, split_data, write_hospital
from commands.inprocess import FLOWER_RUN, LocalGovernance, LocalSuperLink
from commands.localspace import draft_agreement, run_spec
from commands.node_wiring import OpenNode, now, open_node
from commands.output import STDERR, JsonFlag, print_json, print_table, say
from commands.rounds_table import rounds_of
from policies.privacy import SecureSum
from policies.receipt import Confinement
from policies.runconfig import ConfigValue
from policies.wire import Refusal
from server.app import initial_model
from server.files import read_file
from server.localgrid import LocalGrid
from server.loop import Loop
from server.models import ModelStore
from server.space import init_space

PURPOSE = "medical-research"
METRICS = ("train_loss", "eval_loss", "eval_accuracy", "num-examples")
NOT_ISOLATED = Confinement.measured(
    network="host",
    user="same",
    files="host",
    no_new_privileges=False,
    memory_limit=False,
    scratch="watched",
)


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """A governed node that answers in this process; isolates nothing."""

    node: OpenNode
    public_key: bytes
    app: str
    config: dict[str, ConfigValue]

    def answer(self, message: Message) -> Message:
        """See `server.localgrid.LocalNode`."""
        instruction = read_instruction(message)
        if instruction is None:
            return refusal_message(
                message, Refusal(code="permit-malformed", text="expected a governed instruction")
            )
        done = self.node.worker.handle(
            Task(
                flower_run=instruction.flower_run,
                fab_sha256=self.app,
                run_config=self.config,
                permit=instruction.permit,
                model=instruction.model,
                step=instruction.step,
                told=instruction.told,
            )
        )
        if isinstance(done, Refusal):
            return refusal_message(message, done)
        if isinstance(done, Answered):
            return answer_message(instruction, done.data)
        return reply_message(instruction, receipt=done.receipt, update=done.update)


def simulate(
    app: Annotated[Path, typer.Argument(help="Folder of a Flower app that uses the SDK.")],
    nodes: Annotated[int, typer.Option(help="How many nodes.", min=2, max=1000)] = 10,
    rounds: Annotated[int, typer.Option(help="Training rounds.", min=1)] = 3,
    secure_sum: Annotated[
        SecureSum, typer.Option(help="How updates are added; see tds run start.")
    ] = "governance",
    folder: Annotated[
        Path | None, typer.Option(help="Keep the space here; a temporary one if left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run an app on many nodes in ONE PROCESS: for research; it isolates nothing.

    Permits, receipts and the log are real, and verified at the end; the rows are the Breast Cancer
    Wisconsin data, divided evenly. Example: tds simulate clients/apps/tabular --nodes 100
    """
    if not as_json:
        say(
            "simulation: all nodes share this process, its memory and its user; nothing is isolated"
        )
    started = time.monotonic()
    with _place(folder) as place:
        summary = _simulate(place, app, nodes, rounds, secure_sum)
    summary["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json(summary)
        return
    print_table(
        f"{nodes} nodes, run {summary['run']}: {summary['state']}",
        ["round", "took part", "loss", "accuracy"],
        [
            [str(r["round"]), str(r["accepted"]), r["eval_loss"], r["eval_accuracy"]]
            for r in summary["rounds"]
        ],
    )
    say(f"log verified: {summary['entries']} entries; done in {summary['seconds']} s")


def _simulate(
    place: Path, app: Path, count: int, rounds: int, secure_sum: SecureSum
) -> dict[str, Any]:
    bundle = build_bundle(app)
    with ExitStack() as stack:
        space = init_space(
            place / "space",
            name="tdspace.example/simulation",
            governance_address="127.0.0.1:1",
            enrolment_address="127.0.0.1:2",
            superlink_address="127.0.0.1:3",
            hosts=[],
            now=now(),
            region="CN-GD",
        )
        superlink = LocalSuperLink()
        operator = LocalGovernance.open(stack, space, superlink)
        consumer = operator.seen_by(read_file(space.consumer_folder / "tls.crt"))
        digest = operator.register_app(bundle, "simulated app")
        config = bundle_config(bundle)
        made = _make_nodes(stack, place, operator, bundle, count)
        simulated = {
            number: SimulatedNode(made[key], key, digest, config)
            for number, key in superlink.node_keys.items()
        }
        agreements = [one.id for node in made.values() for one in node.state.agreements()]
        spec = run_spec(
            digest,
            agreements,
            purpose=PURPOSE,
            rounds=rounds,
            metrics=METRICS,
            secure_sum=secure_sum,
        )
        run = consumer.open_run(spec, secrets.token_hex(16))
        grid = LocalGrid(simulated, run_id=int(FLOWER_RUN))
        models = ModelStore(space.consumer_folder / "models")
        with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
            bar = progress.add_task("rounds", total=rounds + 1)
            loop = Loop(
                grid=grid,
                governance=consumer,
                models=models,
                poll_s=0.0,
                on_round=lambda *_: progress.advance(bar),
            )
            installed = install_bundle(bundle, expected_sha256=digest, into=place / "consumer-app")
            loop.run(run, initial=lambda: initial_model(config, folder=installed))
        ended = consumer.get_run(run.run)
        log_folder, log_key = space.log_folder, space.card.log_key
    verified = verify_folder(log_folder, verifier_key=log_key)
    broken = replay_log(log_folder, jobs=1).violations
    if broken:
        raise CommandFailed(f"entry {broken[0].index} breaks a rule: {broken[0].text}")
    return {
        "run": ended.run,
        "state": ended.state,
        "nodes": count,
        "isolated": False,
        "entries": verified.size,
        "rounds": [_summary(entry) for entry in rounds_of(ended)],
    }


def _make_nodes(
    stack: ExitStack, place: Path, operator: LocalGovernance, bundle: bytes, count: int
) -> dict[bytes, OpenNode]:
    """Enrolled nodes with a product, an agreement and the approved app, by Flower key."""
    split = _divide(count)
    made: dict[bytes, OpenNode] = {}
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        for name in progress.track(list(split.shares), description="making nodes"):
            folder = place / "nodes" / name
            folder.parent.mkdir(exist_ok=True)
            join = place / f"{name}.join"
            join.write_bytes(operator.invite(name, "CN-GD"))
            identity = enrol(folder, join, region="CN-GD", now=now(), ask=operator.enrol)
            join.unlink()
            own = operator.seen_by(identity.certificate_pem)
            node = open_node(
                stack,
                identity,
                runner=InProcessUnsafeRunner(),
                confinement=NOT_ISOLATED,
                governance=own,
            )
            _stock(node.owner, place / "data" / name, name, split, bundle)
            made[public_pem(identity.keys.fleet)] = node
    return made


def _stock(owner: Owner, folder: Path, name: str, split: Split, bundle: bytes) -> None:
    hospital = Hospital(name, name, "CN-GD", 1.0, 1.0, 1.0, "csv")
    product = owner.add_product(write_hospital(folder, hospital, split)).id
    owner.sign_agreement(draft_agreement(name, product, PURPOSE, consumer="consortium"))
    owner.approve_app(bundle)


def _divide(count: int) -> Split:
    """The demo's rows, dealt out evenly."""
    whole = split_data()
    features = np.concatenate([x for x, _ in whole.shares.values()])
    labels = np.concatenate([y for _, y in whole.shares.values()])
    if len(labels) < 2 * count:
        raise BadInput(
            f"--nodes: expected at most {len(labels) // 2}, so that each has two rows, got {count}"
        )
    order = np.random.default_rng(1).permutation(len(labels))
    parts = np.array_split(order, count)
    shares = {f"node-{n:03d}": (features[p], labels[p]) for n, p in enumerate(parts, start=1)}
    return Split(feature_names=whole.feature_names, shares=shares, test=whole.test)


def _summary(entry: dict[str, Any]) -> dict[str, Any]:
    accepted = sum(item["outcome"] == "accepted" for item in entry["items"])
    figures = {
        name: f"{float(entry['metrics'][name]):.3f}" if name in entry["metrics"] else ""
        for name in ("eval_loss", "eval_accuracy")
    }
    return {"round": entry["round"], "kind": entry["kind"], "accepted": accepted, **figures}


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """The folder asked for, or a temporary one that goes away."""
    if folder is not None:
        if folder.exists():
            raise BadInput(f"{folder}: expected no such folder, got one; choose another --folder")
        folder.mkdir(parents=True)
        yield folder.absolute()
        return
    temporary = Path(tempfile.mkdtemp(prefix="tds-simulation-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
