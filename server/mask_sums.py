"""Reading a release of masks as the consumer gets it: bounded, and only what the log says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice

from policies import governance_pb2 as pb
from policies.canonical import parse_json
from policies.entries import MAX_ENTRY_BYTES
from policies.errors import DocumentError
from policies.privacy import PermitSum
from policies.release import PIECE_BYTES, MaskRelease
from server.errors import ServerError

Opened = tuple[MaskRelease, list[bytes]]
"""A release, and of each of its groups the sum of the masks."""


def read_release(messages: Iterable[pb.MaskSums], permit_id: str, how: PermitSum) -> Opened:
    """A whole release; no more is held than the permit says there is.

    Raises:
        ServerError: another permit's, other words or groups, or sums that are not those of the
            release's digest.
    """
    stream = iter(messages)
    release = _document(next(stream, None), permit_id, how)
    size = how.words * how.word_bits // 8
    sums = [bytearray() for _ in release.groups]
    _fill(sums, stream, size, permit_id)
    digest = hashlib.sha256()
    for one in sums:
        digest.update(one)
    if digest.hexdigest() != release.sums:
        raise _unfit(permit_id, f"sums with the digest {release.sums}", digest.hexdigest())
    return release, [bytes(one) for one in sums]


def read_cohort(messages: Iterable[pb.MaskSums], permit_id: str) -> bytes:
    """A release under pairwise masks: one document, in the envelope that nodes check.

    Raises:
        ServerError: something else came, or more.
    """
    found = list(islice(messages, 2))
    if len(found) != 1 or found[0].words or not found[0].release_json:
        raise _unfit(permit_id, "one signed release without sums", "something else")
    return found[0].release_json


def _document(first: pb.MaskSums | None, permit_id: str, how: PermitSum) -> MaskRelease:
    if first is None or first.words:
        raise _unfit(permit_id, "the release before its sums", "something else")
    try:
        value = parse_json(first.release_json, max_bytes=MAX_ENTRY_BYTES)
        release = MaskRelease.from_json(value)
    except DocumentError as error:
        raise ServerError(f"{permit_id}: the release of its masks: {error}") from error
    got = (release.permit_id, release.words, len(release.groups))
    expected = (permit_id, how.words, how.groups)
    if got != expected:
        raise _unfit(permit_id, f"permit, words and groups {expected}", str(got))
    return release


def _fill(sums: list[bytearray], stream: Iterator[pb.MaskSums], size: int, permit_id: str) -> None:
    """Group by group, in order and whole."""
    at = 0
    for message in stream:
        if message.group != at and at + 1 < len(sums) and len(sums[at]) == size:
            at += 1
        room = min(PIECE_BYTES, size - len(sums[at]))
        if message.release_json or message.group != at or not 0 < len(message.words) <= room:
            raise _unfit(permit_id, f"the next piece of group {at}", "another")
        sums[at] += message.words
    if any(len(one) != size for one in sums):
        raise _unfit(permit_id, f"{size} bytes of each group", "fewer")


def _unfit(permit_id: str, expected: str, got: str) -> ServerError:
    return ServerError(f"{permit_id}: the release of its masks: expected {expected}, got {got}")
