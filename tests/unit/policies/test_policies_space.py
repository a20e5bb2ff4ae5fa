"""The space's card, the join file with its secret, and the enrolment transcript."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from policies.errors import DocumentError
from policies.space import JoinFile, SpaceCard, enrolment_transcript

TOKEN = "T" * 43
CARD: dict[str, Any] = {
    "version": 1,
    "name": "space.example/demo",
    "permit_key": "a" * 64,
    "registrar_key": "b" * 64,
    "log_key": "space.example/demo+0a1b2c3d+AQIDBA==",
    "ca_pem": "-----BEGIN CERTIFICATE-----\n",
    "governance": "localhost:7443",
    "enrolment": "10.0.0.1:7444",
    "superlink": "[2001:db8::1]:9092",
    "created": "2026-01-31T08:00:00.000Z",
    "contracts": "localhost:7446",
}
JOIN: dict[str, Any] = {
    "version": 1,
    "participant": "clinic-a",
    "token": TOKEN,
    "expires": "2026-02-01T08:00:00.000Z",
    "space": CARD,
}


def test_card_and_join_file_read_back() -> None:
    assert SpaceCard.from_json(CARD).to_json() == CARD
    assert JoinFile.from_json(JOIN).to_json() == JOIN


def test_a_space_need_not_serve_contracts() -> None:
    card = {key: value for key, value in CARD.items() if key != "contracts"}
    assert SpaceCard.from_json(card).contracts is None


@pytest.mark.parametrize(
    "address", ["a:1", "a.b-c.example:65535", "127.0.0.1:80", "[::1]:443", "x" * 253 + ":9"]
)
def test_an_address(address: str) -> None:
    assert SpaceCard.from_json(CARD | {"governance": address}).governance == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        ":443",
        "localhost:",
        "localhost:0",
        "localhost:080",
        "localhost:65536",
        "localhost:99999",
        "localhost:-1",
        "localhost:٤٤٣",
        "localhost:443\n",
        "https://localhost:443",
        "localhost:443/path",
        "user@localhost:443",
        "two words:443",
        "::1:443",
        "[::1:443",
        "[]:443",
        "[host]:443",
        "x" * 254 + ":443",
        443,
        None,
    ],
)
def test_no_address(address: object) -> None:
    with pytest.raises(DocumentError) as caught:
        SpaceCard.from_json(CARD | {"governance": address})
    assert caught.value.where == "$.governance"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 2}, "$.version"),
        ({"version": True}, "$.version"),
        ({"name": "two words"}, "$.name"),
        ({"permit_key": "a" * 63}, "$.permit_key"),
        ({"registrar_key": "b" * 65}, "$.registrar_key"),
        ({"log_key": "x" * 301}, "$.log_key"),
        ({"ca_pem": "x" * 8193}, "$.ca_pem"),
        ({"enrolment": "x"}, "$.enrolment"),
        ({"superlink": "x"}, "$.superlink"),
        ({"created": "2026"}, "$.created"),
        ({"secret": TOKEN}, "$.secret"),
    ],
)
def test_one_fault_in_the_card(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        SpaceCard.from_json(CARD | changes)
    assert caught.value.where == where
    with pytest.raises(DocumentError) as caught:
        JoinFile.from_json(JOIN | {"space": CARD | changes})
    assert caught.value.where == where.replace("$", "$.space")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": "1"}, "$.version"),
        ({"participant": ""}, "$.participant"),
        ({"token": TOKEN + "T"}, "$.token"),
        ({"token": TOKEN[:-1]}, "$.token"),
        ({"token": TOKEN[:-1] + "="}, "$.token"),
        ({"token": [TOKEN]}, "$.token"),
        ({"Token": TOKEN}, "$.Token"),
        ({"expires": ""}, "$.expires"),
        ({"space": TOKEN[:0]}, "$.space"),
    ],
)
def test_one_fault_in_the_join_file_and_no_secret_in_the_error(
    changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        JoinFile.from_json(JOIN | changes)
    assert caught.value.where == where
    assert TOKEN[:-1] not in f"{caught.value}{caught.value.__cause__}"


def test_the_secret_is_not_in_repr() -> None:
    assert TOKEN not in repr(JoinFile.from_json(JOIN))


def transcript(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "token": TOKEN,
        "csr_pem": b"csr",
        "receipt_key": b"r" * 32,
        "log_verifier_key": b"log",
        "fleet_key_pem": b"fleet",
        "disclosure_key": b"d" * 32,
    }
    return enrolment_transcript(**(fields | changes))


def test_the_transcript_as_written() -> None:
    made = enrolment_transcript(
        token="t",
        csr_pem=b"",
        receipt_key=b"rr",
        log_verifier_key=b"l",
        fleet_key_pem=b"f",
        disclosure_key=b"d",
    )
    lengths = b"\0\0\0\1t\0\0\0\0\0\0\0\2rr\0\0\0\1l\0\0\0\1f\0\0\0\1d"
    assert made == b"tdspace enrolment v2" + lengths


def test_no_two_requests_share_a_transcript() -> None:
    made = [
        transcript(),
        transcript(token="t"),
        transcript(csr_pem=b"other"),
        transcript(receipt_key=b"s" * 32),
        transcript(log_verifier_key=b"other"),
        transcript(fleet_key_pem=b"other"),
        transcript(disclosure_key=b"e" * 32),
        transcript(csr_pem=b"csrr", receipt_key=b"r" * 31),
        transcript(log_verifier_key=b"logf", fleet_key_pem=b"leet"),
    ]
    assert all(one != other for one, other in itertools.combinations(made, 2))
