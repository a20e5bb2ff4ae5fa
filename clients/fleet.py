"""The node's side of Flower's Fleet API: a SuperNode of ours (protobuf over HTTPS, Flower 1.41).

Why not Flower's own SuperNode: it sleeps 3 s between polls, starts a process for every message and
runs whatever the server sends (docs/adr/0003). What is used here of Flower's private modules is
pinned to 1.41 and covered by tests/unit/clients/test_clients_fleet.py, which fails when it moves.

Invariants: messages are asked for by one thread, one at a time; a reply is pushed only for a
message in hand, by whichever thread has it; an object that is not yet there is asked for again
after 20 ms, not 1 s; a message is confirmed only when all its objects were there, since the
SuperLink drops it then, and the sender's upload with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import ConfigRecord, Message
from flwr.app.message import remove_content_from_message
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE
from flwr.common.serde import (
    fab_from_proto,
    message_from_proto,
    message_to_proto,
    run_from_proto,
)
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    pull_objects,
    push_objects,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from clients.errors import ClientError
from clients.fleet_errors import FleetUnavailable, problem_of
from clients.messages import (
    Instruction,
    answer_message,
    make_instruction,
    refusal_message,
    reply_message,
)
from clients.vitals import Contact
from policies.runconfig import ConfigValue
from policies.wire import Refusal

LOGGER = logging.getLogger(__name__)

# Twice so long the SuperLink counts a node that died as online, and does not let it in again.
_HEARTBEAT_S: Final = HEARTBEAT_MIN_INTERVAL
_PATIENCE_S: Final = HEARTBEAT_PATIENCE * _HEARTBEAT_S
_CLOSE_S: Final = 2.0
_PULL_BACKOFF_S: Final = 0.02
_PULL_LIMIT_S: Final = 60.0
_KEPT_RUNS: Final = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A Flower run as the SuperLink tells it; nothing here is trusted before the gate.

    Attributes:
        fab: the app bundle's bytes.
        config: the fused run config (the bundle's defaults with the run's overrides).
    """

    flower_run: str
    fab: bytes
    config: Mapping[str, ConfigValue]


class Fleet:
    """A node's standing connection to the SuperLink.

    Use as a context manager: entering activates the node and starts its heartbeat, leaving ends
    both. `poll` is called from one thread; `reply`, `refuse` and `run_info` may come from several.

    Args:
        contact: told of each call's success or failure.
    """

    def __init__(
        self,
        *,
        address: str,
        ca_pem: bytes,
        key: EllipticCurvePrivateKey,
        contact: Contact | None = None,
    ) -> None:
        self._address = address
        self._contact = contact
        self._public_key = public_key_to_bytes(key.public_key())
        self._client = FleetHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=ca_pem,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        self._node = Node()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="fleet-heartbeat", daemon=True)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="fleet-settle")
        self._settling: Future[None] | None = None
        self._runs: dict[str, RunInfo] = {}
        self._keeping = threading.Lock()

    def __enter__(self) -> Self:
        """As `activate`, with the same errors."""
        try:
            self.activate()
        except ClientError:
            self._client.close()
            raise
        return self

    def activate(self) -> None:
        """Have the SuperLink let this node in, for the first time or after it forgot the node.

        Raises:
            FleetNotAdmitted: it does not know the key, or counts an earlier process as running.
            FleetUntrusted: its certificate is not of the space's CA.
            FleetUnavailable: no SuperLink at the address.
        """
        request = ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=_HEARTBEAT_S)
        response = self._call(self._client.ActivateNode, request)
        self._node = Node(node_id=response.node_id)
        if not self._heart.is_alive():
            self._heart.start()

    def knows(self, node_id: int) -> bool:
        """Whether the SuperLink knows this node's key under this id. Changes nothing there.

        Raises:
            FleetUnavailable: it cannot be asked.
        """
        # Flower looks at key and id before it looks at the run, which there is not.
        try:
            self._client.GetRun(GetRunRequest(node=Node(node_id=node_id), run_id=0))
        except httpx.HTTPStatusError as error:
            return error.response.status_code != httpx.codes.UNAUTHORIZED
        except httpx.HTTPError as error:
            raise FleetUnavailable(f"SuperLink {self._address}: no connection ({error})") from error
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the heartbeat and say goodbye, if the node is in; safe to call in any state."""
        self._stop.set()
        self._background.shutdown()
        if self._node.node_id:
            try:
                self._call(
                    self._client.DeactivateNode, DeactivateNodeRequest(node_id=self._node.node_id)
                )
            except ClientError as problem:
                LOGGER.info("leaving without goodbye: %s", problem)
            self._heart.join(_CLOSE_S)
        self._client.close()

    @property
    def node_id(self) -> int:
        """The id under which the SuperLink addresses this node."""
        return int(self._node.node_id)

    def poll(self) -> Instruction | Message | None:
        """The next message, or None.

        A message that is no instruction of ours comes back as the bare `Message`, so that the
        caller can refuse it (a stock SuperNode would run it).

        Raises:
            FleetUnavailable, FleetRejected
        """
        response = self._call(self._client.PullMessages, PullMessagesRequest(node=self._node))
        if not response.messages_list:
            return None
        head = message_from_proto(response.messages_list[0])
        tree = response.message_object_trees[0]
        run_id = head.metadata.run_id
        record = self._pull_record(run_id, tree)
        # What is left to fetch and to confirm can wait until the SuperLink is idle: while we work.
        self._settle_before()
        self._settling = self._background.submit(
            self._settle, run_id, tree, has_record=record is not None
        )
        return (record and make_instruction(head, record)) or head

    def run_info(self, flower_run: str) -> RunInfo:
        """The run's app bundle and config; asked for once a run.

        Raises:
            FleetUnavailable: also when the run has ended meanwhile.
        """
        known = self._runs.get(flower_run)
        if known is None:
            run_id = int(flower_run)
            run = run_from_proto(
                self._call(self._client.GetRun, GetRunRequest(node=self._node, run_id=run_id)).run
            )
            fab = fab_from_proto(
                self._call(
                    self._client.GetFab,
                    GetFabRequest(node=self._node, hash_str=run.fab_hash, run_id=run_id),
                ).fab
            )
            try:
                config = get_fused_config_from_fab(fab.content, run)
            except (ValueError, KeyError) as error:
                raise FleetUnavailable(
                    f"run {flower_run}: its app bundle has no readable config: {error}"
                ) from error
            known = RunInfo(flower_run=flower_run, fab=fab.content, config=dict(config))
            with self._keeping:
                self._runs[flower_run] = known
                for old in list(self._runs)[:-_KEPT_RUNS]:
                    del self._runs[old]
        return known

    def reply(self, instruction: Instruction, *, receipt: bytes, update: bytes) -> None:
        """Send receipt and update. The receipt must already be durable in the node's own log.

        Raises:
            FleetUnavailable: the reply may or may not have arrived; it counts as used.
        """
        self._push(reply_message(instruction, receipt=receipt, update=update))

    def answer(self, instruction: Instruction, answer: bytes) -> None:
        """Send what answers a step in which nothing is used; raises like `reply`."""
        self._push(answer_message(instruction, answer))

    def refuse(self, message: Message, refusal: Refusal) -> None:
        """Send a typed refusal; raises like `reply`."""
        self._push(refusal_message(message, refusal))

    def _pull_record(self, run_id: int, tree: ObjectTree) -> ConfigRecord | None:
        """The one record of a message shaped as ours: message, dictionary, one ConfigRecord.

        The other two objects hold names and metadata that the message's head tells as well.
        """
        dictionaries = tree.children
        records = dictionaries[0].children if len(dictionaries) == 1 else []
        if len(records) != 1 or records[0].children:
            return None
        contents = self._pull(run_id, [records[0].object_id])
        try:
            return ConfigRecord.inflate(contents[records[0].object_id])
        except (TypeError, ValueError, KeyError) as error:
            LOGGER.info("a message holds no config record: %s", error)
            return None

    def _pull(self, run_id: int, object_ids: list[str]) -> dict[str, bytes]:
        try:
            return pull_objects(
                object_ids,
                make_pull_object_fn_protobuf(
                    lambda request: self._call(self._client.PullObject, request),
                    self._node,
                    run_id,
                ),
                max_time=_PULL_LIMIT_S,
                initial_backoff=_PULL_BACKOFF_S,
                backoff_cap=_PULL_BACKOFF_S * 10,
            )
        except ObjectPullError as error:
            raise FleetUnavailable(f"a message could not be read: {error}") from error

    def _settle(self, run_id: int, tree: ObjectTree, *, has_record: bool) -> None:
        """Fetch the rest of a message, then confirm it.

        Confirmed earlier, the SuperLink would drop what its sender is still uploading.
        """
        try:
            # The tree is walked children first; the record at its beginning is here already.
            rest = [node.object_id for node in iterate_object_tree(tree)][has_record:]
            self._pull(run_id, rest)
            make_confirm_message_received_fn_protobuf(
                lambda request: self._call(self._client.ConfirmMessageReceived, request),
                self._node,
                run_id,
            )(tree.object_id)
        except ClientError as problem:
            LOGGER.info("a message was not confirmed: %s", problem)

    def _settle_before(self) -> None:
        """Wait for the message before; it was answered, so this is over but for a slow network."""
        if self._settling is not None:
            self._settling.result()

    def _push(self, message: Message) -> None:
        run_id = message.metadata.run_id
        with no_object_id_recompute():
            message.metadata.__dict__["_message_id"] = message.object_id
            tree = get_object_tree(message)
            objects = get_all_nested_objects(message)
            head = remove_content_from_message(message) if message.has_content() else message
            response = self._call(
                self._client.PushMessages,
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(head)],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[0.0],
                ),
            )
            try:
                push_objects(
                    objects,
                    make_push_object_fn_protobuf(
                        lambda request: self._call(self._client.PushObject, request),
                        self._node,
                        run_id,
                        response.session_id,
                    ),
                    object_ids_to_push=set(response.objects_to_push),
                )
            except ObjectPushError as error:
                raise FleetUnavailable(f"the reply was not taken: {error}") from error

    def _beat(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S / 3):
            # The id is another one once a SuperLink that lost its database let the node in again.
            request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=_HEARTBEAT_S)
            try:
                self._call(self._client.SendNodeHeartbeat, request)
            except ClientError as problem:
                LOGGER.debug("heartbeat: %s", problem)  # whoever asks for messages tells it

    def _call(self, method: Callable[[T], R], request: T) -> R:
        try:
            return self._asked(method, request)
        except httpx.HTTPError as error:
            entering = isinstance(request, ActivateNodeRequest)
            raise problem_of(
                error, address=self._address, entering=entering, patience_s=_PATIENCE_S
            ) from error

    def _asked(self, method: Callable[[T], R], request: T) -> R:
        try:
            answer = method(request)
        except httpx.HTTPError:
            if self._contact is not None:
                self._contact.failed()
            raise
        if self._contact is not None:
            self._contact.answered()
        return answer
