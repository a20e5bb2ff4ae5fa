"""LocalGrid: what it hands to nodes is theirs alone, and each reply is given out once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from policies.wire import MODEL, PERMIT, ROUND_RECORD
from server.exchange import send_round
from server.localgrid import LocalGrid

RUN = 7


@dataclass
class Node:
    """Remembers what it got, then spoils it, and answers with its own name."""

    name: str
    got: list[Message] = field(default_factory=list)
    contents: list[dict[str, object]] = field(default_factory=list)

    @property
    def public_key(self) -> bytes:
        return self.name.encode()

    def answer(self, message: Message) -> Message:
        self.got.append(message)
        record = message.content.config_records[ROUND_RECORD]
        self.contents.append(dict(record))
        reply = Message(RecordDict({"r": ConfigRecord({"from": self.name})}), reply_to=message)
        record[PERMIT] = b"spoilt"
        message.content["more"] = ConfigRecord({"x": 1})
        return reply


@pytest.fixture
def nodes() -> dict[int, Node]:
    return {20: Node("twenty"), 3: Node("three"), 11: Node("eleven")}


@pytest.fixture
def grid(nodes: dict[int, Node]) -> LocalGrid:
    return LocalGrid(nodes, run_id=RUN)


def content() -> RecordDict:
    return RecordDict({ROUND_RECORD: ConfigRecord({PERMIT: b"permit", MODEL: b"model"})})


def messages(*numbers: int) -> list[Message]:
    """As the round loop makes them: one content, shared by all."""
    shared = content()
    return [Message(shared, number, "train", group_id="1") for number in numbers]


def sender(message: Message) -> object:
    return message.content.config_records["r"]["from"]


def test_nodes_come_in_order_with_their_keys(grid: LocalGrid) -> None:
    assert list(grid.get_node_ids()) == [3, 11, 20]
    assert [(node.node_id, node.public_key) for node in grid.get_nodes()] == [
        (3, b"three"),
        (11, b"eleven"),
        (20, b"twenty"),
    ]
    assert grid.run.run_id == RUN


def test_a_node_that_spoils_what_it_got_changes_nothing_for_others(
    grid: LocalGrid, nodes: dict[int, Node]
) -> None:
    sent = messages(3, 11, 20)
    list(grid.push_messages(sent))
    assert [node.contents for node in nodes.values()] == [
        [{PERMIT: b"permit", MODEL: b"model"}]
    ] * 3
    assert all(dict(m.content.config_records[ROUND_RECORD])[PERMIT] == b"permit" for m in sent)
    assert all(list(m.content) == [ROUND_RECORD] for m in sent)
    assert len({id(node.got[0].content) for node in nodes.values()} | {id(sent[0].content)}) == 4


def test_a_node_is_told_where_and_what(grid: LocalGrid, nodes: dict[int, Node]) -> None:
    (key,) = grid.push_messages(messages(3))
    got = nodes[3].got[0].metadata
    assert (got.message_id, got.dst_node_id, got.run_id) == (key, 3, RUN)
    assert (got.message_type, got.group_id) == ("train", "1")


def test_ids_are_in_order_and_empty_for_an_unknown_node(
    grid: LocalGrid, nodes: dict[int, Node]
) -> None:
    ids = list(grid.push_messages(messages(11, 999, 3)))
    assert ids[1] == ""
    assert "" not in (ids[0], ids[2])
    assert ids[0] != ids[2]
    replies = list(grid.pull_messages(ids))
    assert [sender(reply) for reply in replies] == ["eleven", "three"]
    assert [reply.metadata.reply_to_message_id for reply in replies] == [ids[0], ids[2]]
    assert not nodes[20].got


def test_a_reply_comes_once(grid: LocalGrid) -> None:
    (key,) = grid.push_messages(messages(3))
    assert [sender(reply) for reply in grid.pull_messages([key, key, "local-99"])] == ["three"]
    assert list(grid.pull_messages([key])) == []


def test_the_same_message_twice_is_two_messages(grid: LocalGrid, nodes: dict[int, Node]) -> None:
    message = messages(3)[0]
    first, second = grid.push_messages([message, message])
    assert first != second
    assert len(nodes[3].got) == 2
    assert len(list(grid.pull_messages([first, second]))) == 2


def test_send_and_receive(grid: LocalGrid) -> None:
    replies = list(grid.send_and_receive(messages(3, 999, 20), timeout=0.0))
    assert [sender(reply) for reply in replies] == ["three", "twenty"]


def test_flowers_own_hooks(grid: LocalGrid) -> None:
    message = grid.create_message(content(), "evaluate", 11, "4", ttl=5.0)
    assert (message.metadata.dst_node_id, message.metadata.group_id) == (11, "4")
    grid.set_run(grid.run)
    assert grid.run.run_id == RUN


def test_a_round_over_it_names_who_is_not_there(grid: LocalGrid) -> None:
    replies = send_round(
        grid,
        node_ids=[3, 999],
        kind="train",
        round_number=1,
        permit=b"permit",
        model=b"model",
        deadline_s=5.0,
        poll_s=0.0,
    )
    assert [reply.node_id for reply in replies] == [3, 999]
    assert [reply.refusal for reply in replies] == [None, None]
    assert replies[0].missing == "the reply holds no receipt and update"
    assert replies[1].missing == "the SuperLink did not take the message"
