"""What passes the networks, from the first packet to a training's end: no row, and TLS alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from compose_capture import Capture
from compose_watched import Watched

SAY = """
import socket, struct
with socket.create_connection(("proxy", 9443), timeout=5) as line:
    line.sendall({text!r}.encode() + struct.pack("<2f", *{pair!r}))
"""
TLS = (b"\x16\x03", b"\x15\x03")  # a handshake or an alert: how a TLS 1.x record may begin
PAIR = (3.25, -17.5)
PAGES = 8080  # the console's, for browsers of this machine: plain HTTP in two networks of its own


@pytest.fixture(scope="module")
def text() -> str:
    """What a container says in the clear."""
    return f"control-{secrets.token_hex(16)}"


@pytest.fixture(scope="module")
def seen(watched: Watched, trained: str, text: str) -> Iterator[Capture]:
    """The capture, ended after a training to its end and the words in the clear."""
    assert "COMPLETED" in trained
    watched.project.python("riverside", SAY.format(text=text, pair=PAIR))
    watched.capture.stop()
    yield watched.capture


def test_what_is_said_in_the_clear_is_seen(seen: Capture, text: str) -> None:
    pair = b"\x00\x00\x50\x40\x00\x00\x8c\xc1"  # 3.25 and -17.5 as little-endian floats
    assert seen.found([text.encode(), pair]) == [text.encode(), pair]
    assert (seen.dropped, seen.gone, seen.full) == (0, 0, False)


def test_no_row_passes_a_network(watched: Watched, seen: Capture) -> None:
    folder = watched.project.volume(watched.canary.owner)
    data = (folder / "data" / "biopsies.csv").read_bytes()
    texts = watched.canary.texts()
    assert [text for text in texts if text not in data] == []  # they were there to leak
    assert seen.found(texts) == []
    assert seen.found(watched.canary.values()) == []


def test_all_that_parts_say_to_each_other_is_tls(seen: Capture, text: str) -> None:
    spoken = {
        flow: said
        for flow, said in seen.flows.items()
        if said and flow in seen.beginnings and PAGES not in flow
    }
    assert len(spoken) > 50
    clear = {flow: bytes(said[:60]) for flow, said in spoken.items() if said[:2] not in TLS}
    assert all(said.startswith(text.encode()) for said in clear.values()), clear
    # Once from the enterprise to the proxy, once from there to governance.
    assert len(clear) == 2
