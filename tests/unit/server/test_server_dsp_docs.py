"""docs/contracts.md is run: its requests over TLS, its answers compared, its JSON validated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dsp_site import Bed, Contracts
from dsp_vectors import check
from server_site import CONSUMER

from server.dsp.client import ContractsClient
from server.dsp.consumer import verification
from server.dsp.documents import EXTENSION
from server.dsp.messages import SIGNATURE

PAGE = Path(__file__).parents[3] / "docs" / "contracts.md"
BLOCK = re.compile(r"```http\n(GET|POST) (\S+)\n(.*?)\n?\n(\d{3})\n(.*?)\n```", re.DOTALL)
ANY = "…"


def matches(expected: Any, actual: Any, names: dict[str, str]) -> bool:
    """Whether an answer is the page's; `names` learns what the page calls our ids."""
    if expected == ANY:
        return bool(actual)
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and expected.keys() == actual.keys()
            and all(matches(expected[key], actual[key], names) for key in expected)
        )
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(
            matches(one, other, names) for one, other in zip(expected, actual, strict=True)
        )
    if isinstance(expected, str) and expected.startswith("urn:tdspace:"):
        return names.setdefault(expected, actual) == actual
    return bool(expected == actual)


def filled(text: str, names: dict[str, str]) -> str:
    for name, own in names.items():
        text = text.replace(name, own)
    return text


def signed(client: ContractsClient, dsp: Contracts, provider_pid: str) -> Any:
    known = client.negotiation(provider_pid)
    assert known.agreement is not None
    message = verification(known, document=known.agreement, key=dsp.key, participant="consortium")
    return message[SIGNATURE]


def test_the_page_is_what_happens(bed: Bed) -> None:
    dsp, names = Contracts(bed.site), dict[str, str]()
    dsp.publish(id="offer-docs")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 8
    negotiation = "urn:tdspace:negotiation:1"
    with bed.consumer() as client:
        http = bed.http()
        for method, path, body, status, answer in blocks:
            if method == "GET" and "negotiations" in path:
                negotiations = bed.site.governance.contracts.negotiations
                dsp.agree(negotiations.get(CONSUMER, names[negotiation]), id="agreed-docs")
            if method == "GET":
                got = http.get(filled(path, names))
            else:
                message = json.loads(filled(body, names))
                if message.get(SIGNATURE) == ANY:
                    message[SIGNATURE] = signed(client, dsp, names[negotiation])
                check(message)
                got = http.post(filled(path, names), json=message)
            expected = json.loads(answer)
            assert got.status_code == int(status), got.text
            check(got.json())
            assert matches(expected, got.json(), names), (expected, got.json())
            if expected.get(EXTENSION + "agreement") != ANY:
                check(expected)
