"""A consumer's own server, as another connector would have one: what it is told, and says."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Callback(http.server.BaseHTTPRequestHandler):
    got: list[tuple[str, Any]]
    statuses: list[int]
    answers: dict[str, Any]

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.path, message))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.send_header("location", "http://127.0.0.1:1/")
        self.end_headers()
        if self.answers:
            self.wfile.write(
                json.dumps({"providerPid": message["providerPid"]} | self.answers).encode()
            )

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextmanager
def callback_server(*statuses: int, **answers: Any) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A consumer's own server; its base URL, and what it got. It answers with `answers`."""
    own = {"got": [], "statuses": list(statuses), "answers": answers}
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
