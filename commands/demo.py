"""`tds demo`: the whole story on this machine, with real processes and real data."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from clients.appbundle import build_bundle
from commands.compare import compare_accuracy
from commands.console_link import ask_link
from commands.demo_audit import WITNESSES, audit, await_witnesses, bytes_left, demand_witnesses
from commands.demo_folder import fresh_folder
from commands.demo_open import keep_open
from commands.demo_privacy import (
    CLIP_NORM,
    CONFIG,
    DELTA,
    OVERRIDES,
    SPENDS_OUT,
    Plan,
    await_sent,
    left_after_sending,
)
from commands.errors import BadInput, CommandFailed
from commands.hospitals import HOSPITALS, Split, split_data, write_hospital
from commands.localspace import LocalSpace, local_space, run_spec
from commands.output import STDOUT, JsonFlag, end_of_live_view, print_json, print_table, say
from commands.rounds_table import ENDED, full_reasons, rounds_of, rounds_table, seconds
from policies import governance_pb2 as pb
from policies.pseudonym import PSEUDONYM_BYTES, pseudonym
from policies.values import decimal_text

APP = Path(__file__).parents[1] / "clients" / "apps" / "tabular"
SPACE = "tdspace.example/oncology"
PURPOSE = "diagnosis-support"
METRICS = ("eval_loss", "eval_accuracy")
WITHDRAWS = "westpark"
RUN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo found out; `--json` prints it. `names` are by what the log calls them."""

    folder: str
    run: str
    state: str
    rounds: list[dict[str, Any]]
    refused: dict[str, str]
    withdrawn: dict[str, Any]
    names: dict[str, str]
    accuracy: dict[str, Any]
    bytes_left: dict[str, int]
    privacy: dict[str, Any]
    log: dict[str, Any]
    seconds: float


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where to put everything; an earlier demo there is replaced.")
    ] = Path("tds-demo"),
    rounds: Annotated[int, typer.Option(help="Training rounds.", min=4, max=1000)] = 12,
    open_: Annotated[
        bool,
        typer.Option(
            "--open", help="No hospitals: a space to join with data of your own, until Ctrl-C."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Seven hospitals come to train a model: three are refused, one withdraws after it has sent,
    one's privacy budget runs out, the log verifies.

    Updates leave under masks that governance opens for the sum only, with noise on each biopsy.
    Starts Flower's SuperLink, governance and seven nodes as processes of this machine, on free
    ports of the loopback interface, and ends them all. Example: tds demo
    """
    if open_:
        if as_json:
            raise BadInput("--open: expected no --json with it, got both")
        keep_open(fresh_folder(folder), name=SPACE, app=APP)
        return
    tell = _quiet if as_json else say
    summary = _play(fresh_folder(folder), rounds, tell, live=not as_json)
    if as_json:
        print_json(asdict(summary))
        return
    _show(summary)


def _play(folder: Path, rounds: int, tell: Callable[[str], None], *, live: bool) -> Summary:
    """The story from beginning to end."""
    started = time.monotonic()
    split, plan = split_data(), Plan.of(rounds)
    tell(f"Seven hospitals share nothing but a model ({SPACE}); everything lies in {folder}.")
    with local_space(folder, name=SPACE) as local:
        run, withdrawn = _train(local, folder, split, plan, rounds, tell, live=live)
        await_witnesses(local)
        tell("ending all processes, then verifying the log as an auditor would, from its folder")
    log, told = audit(local, plan)
    comparison = compare_accuracy(
        APP,
        split,
        model=local.space.consumer_folder / "models" / f"{run.model}.safetensors",
        participants=[h.name for h in HOSPITALS if h.trains],
        overrides={"hidden": OVERRIDES["hidden"]},
    )
    names = {node.participant: node.name for node in local.nodes.values()}
    found = _named(rounds_of(run), names)
    return Summary(
        folder=str(folder),
        run=run.run,
        state=run.state,
        rounds=[{**entry, "seconds": seconds(entry)} for entry in found],
        refused=_always_refused(found),
        withdrawn=withdrawn,
        names=names,
        accuracy=asdict(comparison),
        bytes_left=bytes_left(local),
        privacy={
            "noise": decimal_text(plan.noise),
            "delta": decimal_text(DELTA),
            "budgets": told,
        },
        log=log,
        seconds=round(time.monotonic() - started, 1),
    )


def _train(
    local: LocalSpace,
    folder: Path,
    split: Split,
    plan: Plan,
    rounds: int,
    tell: Callable[[str], None],
    *,
    live: bool,
) -> tuple[pb.Run, dict[str, Any]]:
    """Start everything, open the run, withdraw one hospital's consent in the middle."""
    tell("starting Flower's SuperLink and governance ...")
    local.start()
    bundle = build_bundle(APP)
    app = local.register_app(bundle, "Tabular classification")
    # Made beforehand: an agreement may name another hospital, and whoever reads the log reads it.
    known = {one.name: pseudonym(secrets.token_bytes(PSEUDONYM_BYTES)) for one in HOSPITALS}
    for hospital in HOSPITALS:
        id = known[hospital.name]
        product = write_hospital(
            folder / "hospitals" / hospital.name, hospital, split, participant=id
        )
        local.add_node(
            hospital.name,
            title=hospital.title,
            region=hospital.region,
            product_file=product,
            purpose=hospital.purpose,
            app=bundle,
            constraints=[*hospital.constraints(known), *plan.constraints(hospital.name)],
            participant=id,
        )
        rows = len(split.shares[hospital.name][1])
        but = f", but never together with {hospital.competitor}" if hospital.competitor else ""
        tell(
            f"  {hospital.title} ({hospital.region}): {rows} rows, allows {hospital.purpose}{but}, "
            f"up to ε {decimal_text(plan.limit(hospital.name))}, has approved the app; "
            f"the log calls it {id}"
        )
    demand_witnesses(local)
    tell(
        f"starting the seven nodes; {WITNESSES} of them must cosign the log before each permit ..."
    )
    local.start_nodes(local.nodes)
    agreements = [node.agreement for node in local.nodes.values()]
    spec = run_spec(
        app,
        agreements,
        purpose=PURPOSE,
        rounds=rounds,
        metrics=METRICS,
        clip_norm=CLIP_NORM,
        privacy=plan.terms(),
        config=CONFIG,
    )
    run = local.open_run(spec)
    with local.operator() as operator:
        tell(f"watch it in a browser, until all ends: {ask_link(operator).url}")
    tell(
        f"run {run.run} for {PURPOSE}: updates leave masked, with noise {plan.noise}; "
        f"{WITHDRAWS} will withdraw its consent in the middle, and {SPENDS_OUT}'s budget runs out"
    )
    return _watch(local, run.run, rounds, live=live)


def _watch(
    local: LocalSpace, run_id: str, rounds: int, *, live: bool
) -> tuple[pb.Run, dict[str, Any]]:
    """Show the rounds as they come; withdraw in the middle of one of them."""
    withdrawn: dict[str, Any] = {}
    names = {node.participant: node.name for node in local.nodes.values()}
    end = time.monotonic() + RUN_TIMEOUT_S
    with ExitStack() as stack:
        consumer = stack.enter_context(local.consumer())
        view = Live(console=STDOUT, refresh_per_second=8, vertical_overflow="visible")
        if live:
            stack.enter_context(view)
        while True:
            run = consumer.get_run(run_id)
            entries = _named(rounds_of(run), names)
            view.update(rounds_table(entries, title=f"run {run_id}: {run.state}"))
            closed = [entry for entry in entries if entry["state"] == "CLOSED"]
            if not withdrawn and len(closed) >= rounds // 2:
                withdrawn = _withdrawn(local, len(closed), rounds)
            if run.state in ENDED:
                break
            if time.monotonic() > end:
                raise CommandFailed(f"run {run_id}: not done after {RUN_TIMEOUT_S:g} s")
            local.children.check()
            time.sleep(0.1)
    if live:
        end_of_live_view()
    if run.state != "COMPLETED":
        raise CommandFailed(f"run {run_id} ended as {run.state}: {run.reason}")
    uses = [
        e["round"]
        for e in entries
        for i in e["items"]
        if i["participant"] == WITHDRAWS and i["outcome"] == "accepted"
    ]
    node = local.nodes[WITHDRAWS]
    unused = left_after_sending(local.space.log_folder, node.folder / "log", node.participant)
    return run, {
        **withdrawn,
        "last_round_used": max(uses, default=0),
        "sent_and_not_summed": unused,
    }


def _withdrawn(local: LocalSpace, closed: int, rounds: int) -> dict[str, Any]:
    """Withdraw once the hospital has sent its update of the round and others are still at work;
    nothing where it did not come to that and there are rounds left to try it in."""
    if not await_sent(local, WITHDRAWS, closed + 1, timeout_s=30) and closed + 2 < rounds:
        return {}
    done = local.nodes[WITHDRAWS].withdraw("the hospital's board decided otherwise")
    return {
        "participant": WITHDRAWS,
        "after_round": closed,
        "agreement": done.agreement,
        "told_governance": done.told,
    }


def _named(entries: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    """Rounds with the names that people know in place of pseudonyms, in texts as well; ids of
    agreements and products stay as they are, to be pasted."""
    alone = re.compile(r"(?<![:/\w-])(" + "|".join(names) + r")(?![/\w-])")

    def name(item: dict[str, Any]) -> dict[str, Any]:
        text = alone.sub(lambda found: names[found[0]], item["text"])
        return {**item, "participant": names[item["participant"]], "text": text}

    return [
        {**entry, "items": sorted(map(name, entry["items"]), key=lambda one: one["participant"])}
        for entry in entries
    ]


def _always_refused(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Who took part in no round at all, with the reason of the first."""
    took_part = {
        item["participant"]
        for entry in entries
        for item in entry["items"]
        if item["outcome"] == "accepted"
    }
    first = entries[0]["items"] if entries else []
    return {i["participant"]: i["text"] for i in first if i["participant"] not in took_part}


def _show(summary: Summary) -> None:
    say("who did not take part, and why:")
    for line in full_reasons(summary.rounds):
        say(f"  {line}")
    gone = summary.withdrawn
    say(
        f"{gone['participant']} withdrew after round {gone['after_round']}; its data was last used "
        f"in round {gone['last_round_used']}"
    )
    if gone["sent_and_not_summed"]:
        say(
            f"  it had sent its update of round {gone['sent_and_not_summed']} already: the masks "
            "were opened for the others' sum only, and what it sent stays noise"
        )
    privacy = summary.privacy
    print_table(
        f"what each hospital's data has told of one biopsy: ε at δ {privacy['delta']}, by a replay",
        ["hospital", "ε", "allowed"],
        [[name, one["epsilon"], one["limit"]] for name, one in privacy["budgets"].items()],
    )
    accuracy = summary.accuracy
    print_table(
        "accuracy on 113 biopsies that no hospital has",
        ["model", "accuracy"],
        [
            ["shared (what was trained here, with noise)", f"{accuracy['shared']:.3f}"],
            *(
                [f"{name} alone, without noise", f"{value:.3f}"]
                for name, value in accuracy["alone"].items()
            ),
            ["pooled (all rows in one place, without noise)", f"{accuracy['pooled']:.3f}"],
        ],
    )
    print_table(
        "bytes of updates and receipts that left each hospital (no row did)",
        ["hospital", "bytes"],
        [[name, f"{count:,}"] for name, count in summary.bytes_left.items()],
    )
    log = summary.log
    say(
        f"log verified: {log['entries']} entries, cosigned by {log['witnesses']} hospitals, "
        f"consistent with what {log['seen_by_nodes']} of them saw"
    )
    say(
        f"log replayed: {log['decisions']} decisions recomputed from the log alone, all the same; "
        "every use had a permit"
    )
    say(f"each hospital's own log agrees; the report, to open in a browser: {log['report']}")
    say(f"done in {summary.seconds:g} s. Look next:")
    say(
        f"  tds audit verify {log['folder']} --policy {log['policy']} "
        f"--seen {summary.folder}/seen-by-riverside.txt"
    )
    say(f"  tds audit replay {log['folder']} --policy {log['policy']}")
    ids = {name: id for id, name in summary.names.items()}
    for name in summary.refused:
        who = f"{summary.run} 1 {ids[name]}"
        say(f"  tds policy explain {who} --log {log['folder']} --lang en   (or zh)")
    space = f"{summary.folder}/space"
    say(
        f"  tds audit disclose {log['folder']} --disclosures {space}/disclosures "
        f"--key {space}/keys/disclosure.key   (who is who: the log has no names)"
    )
    say(f"  tds node status --node {summary.folder}/nodes/{WITHDRAWS}")
    say(f"  {log['folder']}/tile/entries   (change a byte, then verify again)")


def _quiet(_text: str) -> None:
    """Nothing but the JSON document goes to standard output."""
