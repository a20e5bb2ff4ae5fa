"""Refusals as the reason of a Flower error, and the generated contract."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any, get_args

import grpc_tools  # type: ignore[import-untyped]
import pytest
from grpc_tools import protoc
from pydantic import ValidationError

import policies
from policies import wire
from policies.errors import DocumentError
from policies.wire import Refusal, RefusalCode

REASON = '{"code":"node-busy","text":"one round at a time"}'


def test_the_reason_as_written() -> None:
    refusal = Refusal(code="node-busy", text="one round at a time")
    assert refusal.encode() == REASON
    assert Refusal.decode(REASON) == refusal


@pytest.mark.parametrize("code", get_args(RefusalCode))
def test_every_code_reads_back_beside_the_longest_text(code: Any) -> None:
    for text in ("\x01" * 1000, "😀" * 1000, '"' * 1000):
        refusal = Refusal(code=code, text=text)
        assert Refusal.decode(refusal.encode()) == refusal


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "Node unavailable",
        "<html></html>",
        "null",
        "[]",
        "{}",
        '"node-busy"',
        REASON + "\n",
        REASON.replace(":", ": "),
        REASON.replace("node-busy", "node-tired"),
        REASON.replace('"one round at a time"', "1"),
        REASON.replace('"one round at a time"', "0.5"),
        REASON.replace("}", ',"trace":""}'),
        '{"code":"node-busy"}',
        '{"text":"one round at a time"}',
        '{"code":"node-busy","text":"' + "x" * 1001 + '"}',
        "x" * 8193,
        "\ud800",
        '{"code":"node-busy","text":"\ud800"}',
        '{"code":"node-busy","text":"\\ud800"}',
    ],
)
def test_foreign_text_is_refused(reason: str) -> None:
    with pytest.raises(DocumentError):
        Refusal.decode(reason)


@pytest.mark.parametrize("text", ["x" * 1001, "\ud800", None])
def test_a_text_that_could_not_be_decoded_is_not_taken(text: Any) -> None:
    with pytest.raises(ValidationError):
        Refusal(code="node-busy", text=text)


def test_the_names_of_records_and_fields_differ() -> None:
    names = [wire.ROUND_RECORD, wire.REPLY_RECORD]
    fields = [wire.PERMIT, wire.MODEL, wire.RECEIPT, wire.UPDATE]
    assert len(set(names)) == 2 and len(set(fields)) == 4


def test_the_generated_contract_is_that_of_the_proto(tmp_path: Path) -> None:
    source = Path(policies.__file__).parent
    well_known = importlib.resources.files(grpc_tools) / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{source.parent}",
            f"-I{well_known}",
            *(f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")),
            str(source / "governance.proto"),
        ]
    )
    assert code == 0
    made = {path.name: path.read_text() for path in (tmp_path / "policies").iterdir()}
    committed = {path.name: path.read_text() for path in source.glob("governance_pb2*.py*")}
    assert sorted(made) == sorted(committed)
    for name, text in made.items():
        assert text == committed[name], f"{name} is not made from governance.proto: make proto"
