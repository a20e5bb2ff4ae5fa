"""A consumer's own server, as another connector would have one: what it is told, and says."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Callback(http.server.BaseHTTPRequestHandler):
    got: list[tuple[str, Any]]
    statuses: list[int]
    answers: dict[str, Any]
    drip_s: float

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.path, message))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.send_header("location", "http://127.0.0.1:1/")
        self.end_headers()
        if self.answers:
            answer = {"providerPid": message["providerPid"]} | self.answers
            data = json.dumps(answer).encode()
            size = 1 if self.drip_s else len(data)
            with suppress(OSError):  # who was told may have heard enough
                for start in range(0, len(data), size):
                    self.wfile.write(data[start : start + size])
                    time.sleep(self.drip_s)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextmanager
def callback_server(
    *statuses: int, drip_s: float = 0.0, **answers: Any
) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A consumer's own server; its base URL, and what it got.

    Args:
        answers: what it answers with.
        drip_s: seconds for each byte of the answer.
    """
    own = {"got": [], "statuses": list(statuses), "answers": answers, "drip_s": drip_s}
    handler = type("Handler", (_Callback,), own)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/dsp", handler.got  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not done() and time.monotonic() < end:
        time.sleep(0.01)


def wait_for(got: list[Any], count: int) -> None:
    wait_until(lambda: len(got) >= count)
    assert len(got) == count, got
