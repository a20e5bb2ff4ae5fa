"""The operator's side that touches Flower: sending, waiting, starting runs and ServerApps, and
two functions of its strategies that `server.robust` adds with.

Flower's own `grid.send_and_receive` sleeps 3 s between looks and a look that comes before the
reply's objects costs 1 s more, and 500 s or more if they never come. Here the loop stands on the
public `push_messages` and `pull_messages`, and the private function that waits for objects looks
every 20 ms until the round's deadline. Pinned to Flower 1.41;
tests/unit/server/test_server_exchange.py fails when Flower moves.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Final, Protocol, TypeVar

import httpx
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode, Status
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import select_multikrum
from flwr.supercore.constant import PULL_MAX_TIME, TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.interceptors import (
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import http_grid
from flwr.superlink.runtime import run_serverapp

from policies.canonical import sha256_hex
from policies.errors import DocumentError
from policies.runconfig import ConfigValue
from policies.wire import (
    ANSWER,
    MODEL,
    PERMIT,
    RECEIPT,
    REPLY_RECORD,
    ROUND_RECORD,
    STEP,
    TRACE,
    UPDATE,
    Refusal,
    Step,
)
from server.errors import SuperLinkUnavailable

__all__ = [
    "FlowerSuperLink",
    "MessageGrid",
    "NodeInfo",
    "Reply",
    "Run",
    "ServerAppExecutor",
    "select_multikrum",
    "send_round",
    "send_step",
    "set_task_identity",
    "shorten_object_waits",
    "trim_mean",
]

LOGGER = logging.getLogger(__name__)

_OBJECT_BACKOFF_S: Final = 0.02
_OBJECTS_UNTIL: Final = ContextVar("objects-until", default=math.inf)  # time.monotonic()
_UNKNOWN_RUN: Final = "Run ID not found"
_ACQUIRE: Final = "/flwr.proto.Runtime/AcquireTask"

Told = Mapping[str, bytes]
"""What a step of pairwise masks tells one node, by name."""

Request = TypeVar("Request")
Response = TypeVar("Response")


class MessageGrid(Protocol):
    """The two public calls of Flower's `Grid` that a round needs."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand messages to the SuperLink; their ids in the same order."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have come, each once."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What one node sent: receipt and update, or a refusal, or nothing in time.

    Attributes:
        answer: to a step of pairwise masks in which nothing is used; nothing else comes with it.
        missing: why there is neither, in a sentence.
        after_s: seconds from sending until it was seen.
    """

    node_id: int
    receipt: bytes = b""
    update: bytes = b""
    answer: bytes = b""
    refusal: Refusal | None = None
    missing: str = ""
    after_s: float = 0.0


def send_round(
    grid: MessageGrid,
    *,
    node_ids: Iterable[int],
    kind: str,
    round_number: int,
    permit: bytes,
    model: bytes,
    deadline_s: float,
    poll_s: float,
    first_look_s: float = 0.0,
    trace: str = "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Reply]:
    """Steps 5 to 8 seen from the server: send model and permit, wait for replies or the deadline.

    Replies are matched by the message they answer, never by the sender they claim (an authenticated
    Flower node can push a reply in another's name; the receipt's signature settles who it was).

    Args:
        deadline_s: how long to wait in all; a silent node costs the round this much at most.
        poll_s: seconds between looks.
        first_look_s: how long to wait before the first look.
        trace: a `traceparent` that goes along (`policies.tracing`); "" for none.

    Returns:
        One `Reply` for every node, in order of node id.
    """
    content = _content({PERMIT: permit, MODEL: model, **_traced(trace)})
    return _exchange(
        grid,
        dict.fromkeys(node_ids, content),
        kind=kind,
        group=str(round_number),
        deadline_s=deadline_s,
        poll_s=poll_s,
        first_look_s=first_look_s,
        clock=clock,
        sleep=sleep,
        read=_read_reply,
    )


def send_step(
    grid: MessageGrid,
    step: Step,
    told: Mapping[int, Told],
    *,
    kind: str,
    round_number: int,
    permit: bytes,
    deadline_s: float,
    poll_s: float,
    first_look_s: float = 0.0,
    trace: str = "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Reply]:
    """One of the four exchanges of a round under pairwise masks; otherwise as `send_round`.

    Args:
        told: by node id what it is told beside permit and step (`policies.wire.TOLD`); what is the
            same for several is stored once by Flower.
    """
    contents: dict[tuple[tuple[str, bytes], ...], RecordDict] = {}
    for one in told.values():
        if _key(one) not in contents:
            contents[_key(one)] = _content({PERMIT: permit, STEP: step, **one, **_traced(trace)})
    return _exchange(
        grid,
        {node: contents[_key(one)] for node, one in told.items()},
        kind=kind,
        group=f"{round_number}/{step}",
        deadline_s=deadline_s,
        poll_s=poll_s,
        first_look_s=first_look_s,
        clock=clock,
        sleep=sleep,
        read=_read_reply if step == "mask" else _read_answer,
    )


def _key(told: Told) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(told.items()))


def _traced(trace: str) -> dict[str, str]:
    """Left out where nobody traces: a message is then what it always was."""
    return {TRACE: trace} if trace else {}


def _content(values: Mapping[str, bytes | str]) -> RecordDict:
    return RecordDict({ROUND_RECORD: ConfigRecord(dict(values))})


def _exchange(
    grid: MessageGrid,
    contents: Mapping[int, RecordDict],
    *,
    kind: str,
    group: str,
    deadline_s: float,
    poll_s: float,
    first_look_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    read: Callable[[int, Message], Reply],
) -> list[Reply]:
    """Send each node its own, and wait; a `Reply` of each, in order of node id."""
    nodes = sorted(contents)
    ttl = deadline_s + 1.0
    expires = clock() + ttl  # before the deadline where sending takes longer than a second
    messages = [Message(contents[node], node, kind, ttl=ttl, group_id=group) for node in nodes]
    try:
        ids = list(grid.push_messages(messages))
    except ObjectPushError as error:
        # A node that confirms its message too early makes the SuperLink drop it half uploaded.
        LOGGER.warning("the SuperLink did not take the round's messages: %s", error)
        ids = [""] * len(nodes)
    waiting = {message: node for message, node in zip(ids, nodes, strict=True) if message}
    replies = {
        node: Reply(node_id=node, missing="the SuperLink did not take the message")
        for message, node in zip(ids, nodes, strict=True)
        if not message
    }
    started = looked = clock()
    end = started + deadline_s
    pause_s = max(first_look_s, poll_s)
    # A look waits for whoever is uploading still; for what came meanwhile there is a last one.
    while waiting and looked < end:
        sleep(min(pause_s, max(0.0, end - clock())))
        pause_s = poll_s
        looked = clock()
        _OBJECTS_UNTIL.set(time.monotonic() + max(0.0, end - looked))
        for message in grid.pull_messages(list(waiting)):
            if _expired(message) and clock() >= min(end, expires):
                continue
            node = waiting.pop(message.metadata.reply_to_message_id, None)
            if node is not None:
                replies[node] = replace(read(node, message), after_s=clock() - started)
    for node in waiting.values():
        replies[node] = Reply(node_id=node, missing=f"no reply within {deadline_s:g} s")
    return [replies[node] for node in nodes]


def _expired(message: Message) -> bool:
    """Whether the SuperLink says that what was sent is there no more, as after its time."""
    return message.has_error() and message.error.code == ErrorCode.MESSAGE_UNAVAILABLE


def _read_reply(node: int, message: Message) -> Reply:
    """A message as a `Reply`; what is not in our form becomes a missing reply with its reason."""
    if message.has_error():
        return _read_error(node, message)
    record = message.content.config_records.get(REPLY_RECORD)
    receipt = None if record is None else record.get(RECEIPT)
    update = None if record is None else record.get(UPDATE)
    if not isinstance(receipt, bytes) or not isinstance(update, bytes):
        return Reply(node_id=node, missing="the reply holds no receipt and update")
    return Reply(node_id=node, receipt=receipt, update=update)


def _read_answer(node: int, message: Message) -> Reply:
    """The same for a step in which nothing is used."""
    if message.has_error():
        return _read_error(node, message)
    record = message.content.config_records.get(REPLY_RECORD)
    answer = None if record is None else record.get(ANSWER)
    if not isinstance(answer, bytes) or not answer:
        return Reply(node_id=node, missing="the reply holds no answer to its step")
    return Reply(node_id=node, answer=answer)


def _read_error(node: int, message: Message) -> Reply:
    reason = message.error.reason or ""
    try:
        return Reply(node_id=node, refusal=Refusal.decode(reason))
    except DocumentError:
        return Reply(node_id=node, missing=f"Flower error {message.error.code}: {reason[:300]}")


def shorten_object_waits() -> None:
    """Let Flower's `HttpGrid` ask again after 20 ms, not 1 s, for an object still on its way, and
    until the round's deadline, not so and so often: a node that was cut off in the middle of its
    upload holds nobody up for longer, and a slow one may take as long as all have.
    """
    http_grid.__dict__["pull_objects"] = _pull_objects


def _pull_objects(
    object_ids: list[str], pull_object_fn: Callable[[str], bytes]
) -> dict[str, bytes]:
    left_s = _OBJECTS_UNTIL.get() - time.monotonic()
    return inflatable_utils.pull_objects(
        object_ids,
        pull_object_fn,
        max_time=min(max(0.0, left_s), PULL_MAX_TIME),
        max_tries_per_object=None,
        initial_backoff=_OBJECT_BACKOFF_S,
        backoff_cap=10 * _OBJECT_BACKOFF_S,
    )


def set_task_identity(*, run_id: int) -> None:
    """Name this process as the ServerApp of a run; Flower's `Message` needs it (for LocalGrid)."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = 1
    TaskIdentity.task_id = 1


class FlowerSuperLink:
    """The port `server.superlink.SuperLink` over Flower's Control API.

    That API is reachable from the SuperLink's own host only: the open-source SuperLink does not
    authenticate its callers.
    """

    def __init__(self, *, address: str, ca_pem: bytes) -> None:
        self._address = address
        self._client = ControlHttpClient.from_server_address(
            address, insecure=False, root_certificates=ca_pem, interceptors=[]
        )

    def close(self) -> None:
        """End the connection. Until then a SuperLink that is told to stop waits for it."""
        self._client.close()

    def start_run(self, fab: bytes, overrides: Mapping[str, ConfigValue]) -> str:
        """Submit an app bundle; Flower's id of the run, decimal.

        Raises:
            SuperLinkUnavailable: not reachable, or it refused the bundle.
        """
        bundle = Fab(hash_str=sha256_hex(fab), content=fab, verifications={})
        request = StartRunRequest(
            fab=fab_to_proto(bundle), override_config=user_config_to_proto(dict(overrides))
        )
        response = self._call(self._client.StartRun, request)
        if not response.run_id:
            raise SuperLinkUnavailable(
                f"SuperLink {self._address}: it did not take the app bundle ({len(fab)} bytes); "
                "its log says why"
            )
        return str(response.run_id)

    def stop_run(self, flower_run: str) -> None:
        """Stop a run; raises SuperLinkUnavailable."""
        self._call(self._client.StopRun, StopRunRequest(run_id=int(flower_run)))

    def ended(self, flower_runs: Collection[str]) -> dict[str, str]:
        """Those of these runs that are finished or unknown, and why; raises SuperLinkUnavailable.

        A run whose ServerApp died is finished once its heartbeat is missing, after about a minute.
        """
        found = {}
        for flower_run in flower_runs:
            id = int(flower_run)
            try:
                status = self._client.ListRuns(ListRunsRequest(run_id=id)).run_dict[id].status
            except httpx.HTTPStatusError as error:
                if _UNKNOWN_RUN not in error.response.text:
                    raise self._unavailable(error) from error
                found[flower_run] = "the SuperLink does not know it"
            except httpx.HTTPError as error:
                raise self._unavailable(error) from error
            else:
                if status.status == Status.FINISHED:
                    found[flower_run] = status.details or status.sub_status
        return found

    def register_node(self, public_key_pem: bytes, name: str) -> str:
        """Register a node's Flower key; its node id, decimal. Registering again gives the same id.

        Raises:
            SuperLinkUnavailable: not reachable, or it refused the key.
        """
        known = self._nodes().get(public_key_pem.strip())
        if known is not None:
            return known
        response = self._call(
            self._client.RegisterNode, RegisterNodeRequest(public_key=public_key_pem, name=name)
        )
        return str(response.node_id)

    def register_missing(self, names: Mapping[bytes, str]) -> int:
        """Register those of these keys that the SuperLink does not know; one question for all.

        Raises:
            SuperLinkUnavailable: as `register_node`; some may be registered.
        """
        known = self._nodes()
        missing = {key: name for key, name in names.items() if key.strip() not in known}
        for key, name in missing.items():
            self._call(self._client.RegisterNode, RegisterNodeRequest(public_key=key, name=name))
        return len(missing)

    def _nodes(self) -> dict[bytes, str]:
        response = self._call(self._client.ListNodes, ListNodesRequest())
        return {bytes(node.public_key).strip(): str(node.node_id) for node in response.nodes_info}

    def _call(self, method: Callable[[Request], Response], request: Request) -> Response:
        try:
            return method(request)
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: httpx.HTTPError) -> SuperLinkUnavailable:
        if isinstance(error, httpx.HTTPStatusError):
            text = f"HTTP {error.response.status_code}: {error.response.text[:300]}"
        else:
            text = f"no connection ({type(error).__name__}: {error})"
        return SuperLinkUnavailable(f"SuperLink {self._address}: {text}")


class ServerAppExecutor:
    """Starts ServerApps: in place of flower-superexec, which puts task tokens in the process list.

    A ServerApp runs in a fork of this process, so that its imports cost nothing and its token
    stays in memory. Run it from a process with a single thread.
    """

    def __init__(self, *, address: str, ca_file: Path, secret: bytes) -> None:
        self._address = address
        self._ca_pem = ca_file.read_bytes()
        self._client = RuntimeHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=self._ca_pem,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperExec"),
                SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE}),
            ],
        )

    def step(self) -> bool:
        """Look for one task and start it; True when there was one.

        Raises:
            SuperLinkUnavailable: not reachable, or the secret is wrong.
        """
        multiprocessing.active_children()  # lets go of those that ended
        try:
            response = self._client.AcquireTask(
                AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
            )
        except httpx.HTTPError as error:
            raise SuperLinkUnavailable(
                f"SuperLink {self._address}: asking for a task failed ({error})"
            ) from error
        if not (response.HasField("task") and response.token):
            return False
        multiprocessing.get_context("fork").Process(
            target=_serve_app,
            args=(self._address, self._ca_pem, response.token, os.getpid()),
            name=f"serverapp-{response.task.run_id}",
        ).start()
        return True

    def close(self) -> None:
        """End every ServerApp that still runs: else Python would wait for it at its own end."""
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(5)
            if child.is_alive():
                child.kill()


def _serve_app(address: str, ca_pem: bytes, token: str, parent: int) -> None:
    """In the fork: run one ServerApp to its end."""
    shorten_object_waits()
    run_serverapp(
        runtime_api_address=address,
        log_queue=Queue(),
        token=token,
        insecure=False,
        certificates=ca_pem,
        parent_pid=parent,
        runtime_dependency_install=False,
    )
