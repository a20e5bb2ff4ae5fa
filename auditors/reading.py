"""An entry of the log as one share of a replay reads it.

Every share reads what an entry means. That it is spelled as the format demands, and that it follows
from those before, is seen to by the one share that owns it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from policies.canonical import canonical_bytes, digest_of, sha256_hex
from policies.entries import Entry, parse_entry
from policies.permit import PermitBody

REPORTS: Final = "ReportsMade"
ALARM: Final = "EnginesDisagreed"
_CHUNK: Final = 8  # entries that an owner has at least, before another's turn comes
_TYPE: Final = b'"type":"'
_BODY: Final = len(b'{"body":')
_TIME: Final = len(',"time":"2026-01-01T00:00:00.000Z"')


@dataclass(slots=True)
class Read:
    """One entry.

    Attributes:
        index: its place in the log; of one that was logged in parts that of its last line.
        before: the place of the entry before it, -1 for the first.
        line: its canonical text, if `own`; else as it stands.
        own: whether this share is the one that looks whether it follows.
    """

    index: int
    before: int
    line: bytes
    own: bool
    entry: Entry
    _decision: str | None = field(default=None, init=False)
    _permit: PermitBody | None = field(default=None, init=False)

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""
        return self.entry.body

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body's canonical JSON."""
        end = len(self.line) - len(_TYPE) - len(self.entry.type) - len('"}') - 1 - _TIME
        return sha256_hex(self.line[_BODY:end])

    @property
    def decision_digest(self) -> str:
        """Of `RoundDecided`: of the decision in it.

        Raises:
            KeyError, DocumentError: there is none.
        """
        if self._decision is None:
            self._decision = digest_of(self.body["decision"])
        return self._decision

    def decides(self, decision: bytes) -> bool:
        """Of `RoundDecided`: whether it holds this decision, byte for byte.

        Args:
            decision: canonical JSON.
        """
        first = {"attempt": self.body["attempt"], "baseline": self.body["baseline"]}
        head = b'{"body":%b,"decision":' % canonical_bytes(first)[:-1]
        same = self.line.startswith(head) and self.line.startswith(decision, len(head))
        if same:
            self._decision = sha256_hex(decision)
        return same

    @property
    def permit(self) -> PermitBody:
        """Of `PermitIssued`: the permit.

        Raises:
            DocumentError: it is none.
        """
        if self._permit is None:
            self._permit = PermitBody.from_json(self.entry.body)
        return self._permit


def read_entry(line: bytes, *, own: bool) -> Entry:
    """A line of the log; strictly if it is one's own, or else as far as it can be understood.

    Raises:
        PolicyError, ValueError, TypeError, KeyError, RecursionError: it is no entry.
    """
    if own:
        return parse_entry(line)
    entry = orjson.loads(line)
    return Entry(type=entry["type"], time=entry["time"], body=entry["body"])


def kind_of(line: bytes) -> str:
    """The type of a canonical entry, by its end; of anything else some text or other."""
    at = line.rfind(_TYPE, max(0, len(line) - 64))
    return line[at + len(_TYPE) : -2].decode("utf-8", "replace") if at >= 0 else ""


class Turns:
    """Which share owns an entry; all shares come to the same answer.

    A decision and its reports have one owner, and are else dealt out in small pieces.
    """

    def __init__(self, share: int, shares: int) -> None:
        self._share, self._shares = share, shares
        self._piece = self._taken = 0
        self._last = ""

    def owns(self, kind: str) -> bool:
        """Whether the next entry, of this type, is this share's."""
        self._taken += 1
        if self._taken > _CHUNK and self._last not in (REPORTS, ALARM):
            self._piece, self._taken = self._piece + 1, 1
        self._last = kind
        return (self._piece * 0x9E3779B1 >> 16) % self._shares == self._share


def decoded(text: str) -> bytes:
    """An entry's envelope.

    Raises:
        ValueError: not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("envelope: expected base64") from error
