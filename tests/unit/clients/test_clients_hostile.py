"""Apps that cheat, run by a real worker in the real sandbox: what each of them gets.

docs/security.md, "Apps that cheat", names these tests. Each prints the confinement that held.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hostile_app import PILOT
from hostile_node import LEAKS, SECRET, HostileNode, hostile_node, receipt_of
from test_clients_work import MODEL

from clients.scratch import SCRATCH_BYTES, SCRATCH_FILES
from clients.tasks import Done
from policies.tensors import pack_tensors, unpack_tensors
from policies.wire import Refusal


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileNode]:
    with hostile_node(tmp_path_factory.mktemp("hostile")) as node:
        yield node


@pytest.fixture
def node(shared: HostileNode) -> HostileNode:
    """The node, which lives on from test to test."""
    held = shared.sandbox.confinement
    sys.stdout.write(f"confinement: {held.to_json()}\n")
    return shared


def nothing_leaked(node: HostileNode, reply: Done | Refusal) -> None:
    published = node.published(reply)
    assert [leak for leak in LEAKS if leak in published] == []


# -- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["inet", "inet6", "netlink", "dns"])
def test_no_socket_to_the_network(node: HostileNode, do: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        met = node.figure(do, port=server.getsockname()[1])
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    # A name server cannot be asked: the resolver says "try again" (netdb.h, EAI_AGAIN).
    assert met == (socket.EAI_AGAIN if do == "dns" else errno.ENETUNREACH)


@pytest.mark.parametrize(
    ("do", "kind"), [("unix", socket.SOCK_STREAM), ("datagram-pair", socket.SOCK_DGRAM)]
)
def test_no_unix_socket_to_the_parent(
    node: HostileNode, tmp_path: Path, do: str, kind: socket.SocketKind
) -> None:
    path = tmp_path / "listener"
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(str(path))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        for place in (path, *tmp_path.parents[:2], tmp_path):
            place.chmod(0o777)
        assert node.figure(do, path=str(path)) == errno.ENETUNREACH
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(1) if kind == socket.SOCK_DGRAM else listener.accept()


# -- the kernel, other processes -------------------------------------------------------------------

needs_numbers = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the attack uses the numbers of x86_64"
)


@needs_numbers
@pytest.mark.parametrize(
    "do",
    [
        *("io_uring", "ptrace", "process_vm_readv", "execveat", "userfaultfd", "keyctl"),
        *("bpf", "perf", "unshare", "mount", "pidfd", "limit-parent"),
    ],
)
def test_system_calls_that_reach_around_are_refused(node: HostileNode, do: str) -> None:
    assert node.figure(do, pid=os.getpid()) == errno.EPERM


@needs_numbers
def test_shared_memory_of_others_is_refused(node: HostileNode) -> None:
    """A segment that everybody may attach, known by its number."""
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o1666)
    assert segment >= 0
    try:
        assert node.figure("shared-memory", segment=segment) == errno.EPERM
    finally:
        libc.shmctl(segment, 0, None)


@pytest.mark.parametrize(
    "do", ["kill-parent", "kill-node", "kill-all", "become-root", "undo-death-signal"]
)
def test_other_processes_and_users_are_out_of_reach(node: HostileNode, do: str) -> None:
    assert node.figure(do, pid=os.getpid()) in (errno.EPERM, -1)


@pytest.mark.parametrize("do", ["proc-parent", "proc-node", "proc-node-files", "proc-self-root"])
def test_proc_of_parent_and_zygote_is_closed(node: HostileNode, do: str) -> None:
    if node.sandbox.confinement.files != "own":
        pytest.skip("this kernel has no Landlock: the level is `confined`, not `isolated`")
    assert node.figure(do, pid=os.getpid()) in (errno.EACCES, errno.EPERM)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["read", "write"])
@pytest.mark.parametrize(
    "name", ["keys/receipt.key", "state.db", "product.json", "data.csv", "consent.csv"]
)
def test_the_owners_files_are_out_of_reach(
    node: HostileNode, tmp_path: Path, name: str, do: str
) -> None:
    """Even where their modes let everybody in."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"the owner's")
    if node.sandbox.confinement.files == "own":
        for place in (path, path.parent, tmp_path, *tmp_path.parents[:2]):
            place.chmod(0o777)
    else:
        path.chmod(0o600)
        assert node.sandbox.confinement.user == "nobody", "no Landlock and no other user"
    assert node.figure(do, path=str(path)) == errno.EACCES
    assert path.read_bytes() == b"the owner's"


@pytest.mark.parametrize(("do", "name"), [("read", "job-other/state"), ("list", "job-other")])
def test_another_runs_scratch_is_out_of_reach(node: HostileNode, do: str, name: str) -> None:
    if node.sandbox.confinement.files != "own":
        pytest.skip("this kernel has no Landlock: the level is `confined`, not `isolated`")
    base = node.sandbox._base
    other = base / "job-other"
    other.mkdir()
    (other / "state").write_bytes(b"theirs")
    for place in (other, other / "state"):
        place.chmod(0o777)
    try:
        assert node.figure(do, path=str(base / name)) == errno.EACCES
    finally:
        (other / "state").unlink()
        other.rmdir()


def test_nothing_is_kept_from_round_to_round(node: HostileNode) -> None:
    """So an app cannot replay its last update, and no file name carries anything."""
    assert [node.figure("remember") for _ in range(3)] == [0, 0, 0]


def test_an_app_finds_the_state_of_its_own_run_only(node: HostileNode) -> None:
    """And what it kept there, rows in all, is in no reply, no log, and in no file in the clear."""
    reply = node.attack("state-keep", run="run-a")
    nothing_leaked(node, reply)
    assert node.figure("state-look", run="run-a") == 1
    assert node.figure("state-look", run="run-b") == 0
    files = [path for path in node.node.folder.rglob("*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    assert [leak for leak in LEAKS if leak in held] == []


@pytest.mark.parametrize(
    "do",
    ["state-gigabyte", "state-flood", "state-object", "state-forged", "state-pickle"],
)
def test_a_state_too_large_or_of_another_form_is_refused(node: HostileNode, do: str) -> None:
    """What was kept before stays."""
    run = f"run-{do}"
    node.attack("state-keep", run=run)
    reply = node.attack(do, run=run)
    assert isinstance(reply, Refusal)
    assert node.last_entry() == ("UseFailed", "app-failed")
    nothing_leaked(node, reply)
    assert node.figure("state-look", run=run) == 1


# -- resources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["forks", "threads"])
def test_ten_thousand_forks_or_threads_end_with_the_job(node: HostileNode, do: str) -> None:
    assert node.figure(do) == 0


def test_a_daemon_is_not_left_behind(node: HostileNode) -> None:
    assert node.figure("daemon") == errno.EPERM


@pytest.mark.parametrize(
    ("do", "most"),
    [("fill-files", SCRATCH_FILES), ("fill-folders", SCRATCH_FILES), ("fill-bytes", SCRATCH_BYTES)],
)
def test_a_million_files_or_a_full_disk_end_at_the_scratch_folders_bounds(
    node: HostileNode, do: str, most: int
) -> None:
    """Unlinked files count, too; and the next job finds the folder empty."""
    if node.sandbox.confinement.scratch != "bounded":
        pytest.skip("no mounts here: the folder is watched, see test_clients_scratch.py")
    assert 0.9 * most < node.figure(do) <= most
    assert 0.9 * most < node.figure(do) <= most


def test_memory_in_files_without_a_folder_is_refused(node: HostileNode) -> None:
    """A limit of address space would not count it."""
    assert node.figure("memfd") == errno.EPERM


def test_many_threads_take_no_more_than_the_permits_time(node: HostileNode) -> None:
    """Either the processor's seconds run out or the wall's, whichever comes first here."""
    reply = node.attack("burn", wall_s=2)
    assert (isinstance(reply, Refusal), node.last_entry()) == (True, ("UseFailed", "app-timeout"))
    lives_on(node)


@pytest.mark.parametrize("do", ["spin", "stubborn"])
def test_an_app_that_does_not_end_is_killed(node: HostileNode, do: str) -> None:
    reply = node.attack(do, wall_s=1)
    assert (isinstance(reply, Refusal), node.last_entry()) == (True, ("UseFailed", "app-timeout"))
    lives_on(node)


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("hundred-gigabytes", "the app raised MemoryError"),
        ("gigabyte", "expected a reply about as large as the model"),
        ("segfault", "ended without a result (signal SIGSEGV)"),
    ],
)
def test_an_app_that_takes_too_much_or_crashes_fails_alone(
    node: HostileNode, do: str, words: str
) -> None:
    reply = node.attack(do)
    assert isinstance(reply, Refusal)
    assert words in reply.text
    assert node.last_entry() == ("UseFailed", "app-failed")
    lives_on(node)


def lives_on(node: HostileNode) -> None:
    assert isinstance(node.attack("nothing"), Done)


# -- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "text"),
    [
        ("noise", "the app raised RuntimeError at hostile_app/client.py:"),
        ("file-name", "the app raised ValueError at hostile_app/client.py:"),
        ("file-name-inside", "the app raised ValueError"),
        ("own-exception", "the app raised Exception at hostile_app/client.py:"),
        ("exit-code", "the app's process ended without a result (it exited)"),
        ("signal", "the app's process ended without a result (a signal)"),
        ("forged-type", "the app raised something"),
        ("forged-frame", "the app's reply cannot be read"),
        ("forged-refusal", "the node cannot work at the moment"),
        ("forged-update", "the app's reply cannot be read"),
        ("patch-rows", "the app raised"),
    ],
)
def test_exception_text_file_name_log_lines_and_forged_reports_never_leave(
    node: HostileNode, do: str, text: str
) -> None:
    reply = node.attack(do)
    assert isinstance(reply, Refusal) or do == "patch-rows"
    if isinstance(reply, Refusal):
        assert reply.text.startswith(text)
    nothing_leaked(node, reply)


@pytest.mark.parametrize(
    ("do", "code", "text"),
    [
        ("nan", "egress-refused", "update, array 'weight': expected finite numbers"),
        ("type", "egress-refused", "update, array 'weight': expected float32, got another type"),
        ("shape", "egress-refused", "update, array 'weight': expected shape (2, 3), got another"),
        ("more-layers", "egress-refused", "update: expected the incoming model's 1 arrays"),
        ("other-name", "egress-refused", "update: expected the array 'weight', got none"),
        ("fewer-layers", "app-failed", "the app raised Exception"),
        ("object", "app-failed", "the app raised"),
        ("two-records", "app-failed", "the app raised AppResultError"),
        ("figure-nan", "egress-refused", "metric 'loss': expected a finite number"),
        ("figure-huge", "egress-refused", "metric 'loss': expected a number within 1000000000"),
    ],
)
def test_a_reply_of_another_form_is_refused_without_saying_what_it_was(
    node: HostileNode, do: str, code: str, text: str
) -> None:
    reply = node.attack(do)
    assert isinstance(reply, Refusal)
    assert (reply.code, reply.text[: len(text)]) == (code, text)
    assert node.last_entry() == ("UseFailed", code)
    nothing_leaked(node, reply)


@pytest.mark.parametrize(
    "do", ["figure-names", "config-record", "examples", "more-examples", "patch-metrics"]
)
def test_figures_records_and_counts_beyond_the_permit_stay(node: HostileNode, do: str) -> None:
    reply = node.attack(do)
    assert isinstance(reply, Done)
    receipt = receipt_of(reply)
    assert (receipt.metrics, receipt.rows_used) == ({"loss": "1"}, 4)
    nothing_leaked(node, reply)


@pytest.mark.parametrize(
    ("model", "declares", "text"),
    [
        # Another layer before the declared one, in which each number may hold a row apart.
        ({"imprint": (64, 2), "weight": (2, 3)}, "", "array 'imprint': the app does not declare"),
        ({"weight": (2, 3000)}, "", "array 'weight': the app declares float32 [2, 3], the run's"),
        ({"imprint": (2, 3)}, "", "array 'weight': the app declares it, the model has none"),
        ({"weight": (2, 3)}, "arrays.bias = {shape = [3], type = 'float32'}", "array 'bias': the "),
    ],
)
def test_a_model_of_another_form_than_the_apps_meets_no_row(
    node: HostileNode, model: dict[str, tuple[int, ...]], declares: str, text: str
) -> None:
    """Though the permit was given for exactly this model."""
    form = "arrays.weight = {shape = [2, 3], type = 'float32'}"
    node.materials.declares = f"[tool.tdspace]\n{form}\n{declares}"
    arrays = {name: np.ones(shape, dtype=np.float32) for name, shape in model.items()}
    try:
        reply = node.outcome(node.task("rows-as-weights", model=pack_tensors(arrays)))
        assert isinstance(reply, Refusal)
        assert (reply.code, reply.text[: 11 + len(text)]) == (
            "permit-wrong-model",
            f"the model: {text}",
        )
        assert node.last_entry() == ("UseRefused", "permit-wrong-model")
        nothing_leaked(node, reply)
        node.materials.declares = f"[tool.tdspace]\n{form}"
        assert isinstance(node.attack("rows-as-weights"), Done)
    finally:
        node.materials.declares = ""


@pytest.mark.parametrize(
    ("do", "declares", "text"),
    [
        ("rows-as-figures", "metrics.loss = {least = 0, most = 10}", "metric 'loss': the app decl"),
        ("nothing", "metrics.other = {least = 0, most = 10}", "metric 'loss': the app does not"),
        ("rows-as-weights", "max-bytes = 10", "update: the app declares at most 10 bytes"),
    ],
)
def test_what_the_app_did_not_declare_stays(
    node: HostileNode, do: str, declares: str, text: str
) -> None:
    """Even where the incoming model and the permit have it."""
    node.materials.declares = f"[tool.tdspace]\n{declares}"
    try:
        reply = node.attack(do)
    finally:
        node.materials.declares = ""
    assert isinstance(reply, Refusal)
    assert (reply.code, reply.text[: len(text)]) == ("egress-refused", text)
    assert node.last_entry() == ("UseFailed", "egress-refused")
    nothing_leaked(node, reply)


def test_a_claim_of_another_run_changes_nothing(node: HostileNode) -> None:
    task = node.task("other-run")
    reply = node.node.worker.handle(task)
    if isinstance(reply, Done):
        assert receipt_of(reply).run == "run-1"
    again = node.node.worker.handle(task)
    assert isinstance(again, Refusal)
    assert again.code == "permit-replayed"


# -- what is bounded, not prevented ----------------------------------------------------------------


def test_rows_as_figures_leave_four_digits_and_the_log_says_how_much_could(
    node: HostileNode,
) -> None:
    reply = node.attack("rows-as-figures")
    assert isinstance(reply, Done)
    assert receipt_of(reply).metrics == {"loss": "47.11"}
    nothing_leaked(node, reply)
    assert node.node.entries()[-1].body["egress"] == {
        "update_bytes": len(MODEL),
        "metric_bits": 19,
        "metric_digits": 4,
    }


def test_rows_as_weights_leave_within_the_models_own_size(node: HostileNode) -> None:
    """Not prevented by shape, type and size: docs/security.md says so."""
    reply = node.attack("rows-as-weights")
    assert isinstance(reply, Done)
    assert len(reply.update) == len(MODEL)
    assert unpack_tensors(reply.update)["weight"].tolist() == [[np.float32(SECRET)] * 3] * 2


@pytest.mark.parametrize(
    ("value", "norm", "least", "most"),
    [
        (1, "1000", 0, 1e-9),  # not clipped
        (1, "1", 1e-8, 1e-6),
        (1, "0.001", 1e-5, 1e-3),
        (1, "0.00001", 1e-3, 1e-1),
        (1, "0.00000001", 1, 1),  # nothing left: the next float32 is further away
        (0, "0.0000000000001", 0, 1e-6),
    ],
)
def test_rows_as_weights_under_a_norm_leave_as_finely_as_float32_is_spaced(
    node: HostileNode, value: float, norm: str, least: float, most: float
) -> None:
    """A norm bounds how far a model is moved, not what is told: one number that the reader knows is
    sent along, and the others are read in units of it. Only rounding takes digits away."""
    model = {"weight": np.full((2, 3), value, dtype=np.float32)}
    task = node.task("rows-with-pilot", clip_norm=norm, model=pack_tensors(model))
    reply = node.outcome(task)
    assert isinstance(reply, Done)
    update = unpack_tensors(reply.update)["weight"].astype(float)
    moved = (update - model["weight"].astype(float)).reshape(-1)
    assert np.linalg.norm(moved) <= float(norm)
    read = moved[1:] / moved[0] * PILOT if moved[0] else np.zeros(5)
    assert least <= np.abs(read / SECRET - 1).max() <= most


def test_the_owner_sees_every_attempt(node: HostileNode) -> None:
    """Each is a failed use, as `tds node status` shows it, with its code in the own log."""
    reply = node.attack("nan")
    assert isinstance(reply, Refusal)
    entry = node.node.entries()[-1]
    assert (entry.body["code"], entry.body["text"]) == (reply.code, reply.text)
    uses = {use.permit_id: use.outcome for use in node.node.state.uses(limit=500)}
    assert uses[str(entry.body["permit_id"])] == "failed"
    assert set(uses.values()) <= {"receipted", "failed"}
