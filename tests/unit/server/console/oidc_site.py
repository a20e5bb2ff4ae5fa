"""A provider of OpenID Connect on loopback that says whatever a test wants it to say."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

CLIENT = "tdspace"
SECRET = "a-secret-of-this-client"


class Key:
    """A signing key, with its public half as a JWK."""

    def __init__(self, id: str = "key-1") -> None:
        self.id = id
        self.private = generate_private_key(SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key()))
        return {**public, "kid": self.id, "alg": "ES256", "use": "sig"}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        return jwt.encode(claims, self.private, "ES256", headers={"kid": self.id, **headers})


@dataclass
class FakeProvider:
    """Answers as it is told to; `challenge` and `nonce` are those of the sign-in under way.

    Attributes:
        asked: paths, in order.
        described: changes of its description.
        claims: changes of the ID token's.
    """

    now: datetime
    issuer: str = ""
    key: Key = field(default_factory=Key)
    challenge: str = ""
    nonce: str = ""
    asked: list[str] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    signer: Key | None = None

    def token(self) -> str:
        seconds = int(self.now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "somebody",
            "iat": seconds,
            "exp": seconds + 300,
            "nonce": self.nonce,
            "groups": ["clinic-staff"],
        }
        return (self.signer or self.key).sign(claims | self.claims)

    def answer(self, path: str, headers: Any, body: str) -> tuple[int, Any]:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "code_challenge_methods_supported": ["S256"],
            }
            return 200, found | self.described
        if path == "/keys":
            return 200, {"keys": [self.key.jwk]}
        form = {name: values[0] for name, values in parse_qs(body).items()}
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if headers["authorization"] != f"Basic {expected}" or challenge != self.challenge:
            return 401, {"error": "invalid_client"}
        if form["code"] != "the-code":
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.token()}


@contextmanager
def fake_provider(now: datetime) -> Iterator[FakeProvider]:
    """A provider on a free port, until the block is left."""
    fake = FakeProvider(now)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            status, value = fake.answer(self.path, self.headers, self.rfile.read(size).decode())
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
