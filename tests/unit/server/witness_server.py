"""A witness elsewhere: C2SP tlog-witness over real HTTP, with the decisions of `ledger.witness`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ledger.cosignature import Cosigner
from ledger.errors import ProofError
from ledger.note import NoteVerifier
from ledger.witness import (
    SIZE_TYPE,
    Accepted,
    Conflict,
    Forked,
    Seen,
    format_size,
    judge,
    parse_request,
    status_of,
)

TIME = 1_700_000_000


class WitnessServer:
    """Serves `POST /witness/add-checkpoint` on loopback until closed.

    Args:
        instead: answers this status and body, whatever comes.
    """

    def __init__(
        self,
        signer: Cosigner,
        log: NoteVerifier,
        *,
        seen: Seen | None = None,
        instead: tuple[int, bytes] | None = None,
    ) -> None:
        self.signer, self.log, self.seen, self.instead = signer, log, seen, instead
        self.statuses: list[int] = []
        self._turn = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = outer.answer(self.path, body)
                outer.statuses.append(status)
                self.send_response(status)
                if status == 409:
                    self.send_header("Content-Type", SIZE_TYPE)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/witness"

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self.instead is not None:
            return self.instead
        if path != "/witness/add-checkpoint":
            return 404, b""
        try:
            request = parse_request(body)
        except ProofError as error:
            return 400, str(error).encode()
        with self._turn:
            verdict = judge(request, seen=self.seen, log=self.log)
            if isinstance(verdict, Accepted):
                self.seen = verdict.seen
                return 200, self.signer.cosign(request.note, time=TIME).encode()
        if isinstance(verdict, Conflict):
            return 409, format_size(verdict.size)
        status = status_of(verdict, request)
        if isinstance(verdict, Forked) and status == 409:
            return 409, format_size(verdict.before.checkpoint.size)
        return status, verdict.text.encode()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
