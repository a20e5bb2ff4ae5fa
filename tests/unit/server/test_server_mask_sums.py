"""A release as it travels: whole, in bounded pieces, and nothing else believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_site import Site
from sum_site import masked_run, release, send
from test_server_service import Served, refused, start

from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, sha256_hex
from policies.privacy import PermitSum
from policies.release import PIECE_BYTES, MaskRelease
from server.errors import GovernanceUnavailable, ServerError
from server.governance_client import GovernanceClient
from server.mask_sums import read_cohort, read_release
from server.patience import PatientGovernance

PERMIT = f"permit-{1:032x}"
WORDS = 300_000  # of 32 bits: two pieces
HOW = PermitSum(mode="governance", key="", word_bits=32, scale_bits=20, words=WORDS, groups=2)
SUMS = (bytes(range(256)) * 4688)[: 4 * WORDS], bytes(4 * WORDS)


def document(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "run": "run-1",
        "round": 1,
        "kind": "train",
        "attempt": 1,
        "permit": sha256_hex(b"permit"),
        "permit_id": PERMIT,
        "groups": [["alpha", "beta"], ["gamma"]],
        "words": WORDS,
        "sums": sha256_hex(b"".join(SUMS)),
    }
    return canonical_bytes(values | changes)


def stream(head: bytes | None = None) -> Iterator[pb.MaskSums]:
    """What governance sends."""
    yield pb.MaskSums(release_json=document() if head is None else head)
    for group, words in enumerate(SUMS):
        for at in range(0, len(words), PIECE_BYTES):
            yield pb.MaskSums(group=group, words=words[at : at + PIECE_BYTES])


def test_a_whole_release_is_read() -> None:
    found, sums = read_release(stream(), PERMIT, HOW)
    assert (found.groups, sums) == ([["alpha", "beta"], ["gamma"]], list(SUMS))


Edit = Callable[[list[pb.MaskSums]], list[pb.MaskSums]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda all: [], "the release before its sums"),
        (lambda all: all[1:], "the release before its sums"),
        (lambda all: all[:-1], "bytes of each group"),
        (lambda all: [all[0], *all[2:]], "next piece of group 0"),
        (lambda all: [*all, all[-1]], "next piece of group 1"),
        (lambda all: [*all, pb.MaskSums(group=2, words=b"x")], "next piece of group 1"),
        (lambda all: [all[0], *all[3:], *all[1:3]], "next piece of group 0"),
        (lambda all: [all[0], all[0], *all[1:]], "next piece of group 0"),
        (lambda all: [all[0], pb.MaskSums(group=0), *all[1:]], "next piece of group 0"),
        (lambda all: [all[0], all[1], all[1], *all[3:]], "next piece of group 0"),
        (
            lambda all: [all[0], pb.MaskSums(words=SUMS[0]), *all[3:]],
            "next piece of group 0",
        ),
        (lambda all: [*all[:-1], pb.MaskSums(group=1, words=b"x" * len(all[-1].words))], "digest"),
        (lambda all: [pb.MaskSums(release_json=b"{}"), *all[1:]], "this field"),
        (lambda all: [pb.MaskSums(release_json=b"{" * 99), *all[1:]], "the release of its masks"),
        (lambda all: [pb.MaskSums(release_json=document(words=7)), *all[1:]], "permit, words"),
        (
            lambda all: [pb.MaskSums(release_json=document(groups=[["alpha"]])), *all[1:]],
            "permit, words and groups",
        ),
        (
            lambda all: [
                pb.MaskSums(release_json=document(permit_id=f"permit-{2:032x}")),
                *all[1:],
            ],
            "permit, words and groups",
        ),
    ],
)
def test_anything_else_is_refused(edit: Edit, message: str) -> None:
    with pytest.raises(ServerError, match=message):
        read_release(edit(list(stream())), PERMIT, HOW)


def test_no_more_is_held_than_the_permit_says() -> None:
    def endless() -> Iterator[pb.MaskSums]:
        yield pb.MaskSums(release_json=document())
        while True:
            yield pb.MaskSums(group=0, words=bytes(PIECE_BYTES))

    with pytest.raises(ServerError, match="next piece"):
        read_release(endless(), PERMIT, HOW)


# -- over the wire ---------------------------------------------------------------------------------


@pytest.fixture
def served(site: Site) -> Iterator[Served]:
    site.close()
    mine = start(site)
    site.governance = mine.running.governance
    yield mine
    mine.running.stop(0)


def client(served: Served) -> GovernanceClient:
    return served.client("consumer", "consortium")


def test_a_release_of_several_pieces_goes_over_the_wire(served: Served) -> None:
    site = served.site
    answer = site.authorize(masked_run(site), floats=600_000)
    how = site.permit(answer).body.secure_sum
    assert how is not None
    with client(served) as governance:
        code, text = refused(lambda: governance.release_masks(answer.permit_id, how))
        assert code == "FAILED_PRECONDITION"
        assert text.startswith("too-few-to-release: ")
        send(site, answer)
        found = governance.release_masks(answer.permit_id, how)
        assert found == governance.release_masks(answer.permit_id, how)
        with pytest.raises(ServerError, match="permit, words and groups"):
            governance.release_masks(answer.permit_id, how.model_copy(update={"words": 7}))
    here = release(site, answer)
    assert found == (here.release, list(here.sums))
    assert len(found[1][0]) == 4 * how.words > 2 * PIECE_BYTES
    site.close_round(answer)


def test_a_caller_that_leaves_in_the_middle_lets_go(served: Served) -> None:
    site = served.site
    answer = site.authorize(masked_run(site), floats=3_000_000)
    send(site, answer)
    how = site.permit(answer).body.secure_sum
    assert how is not None
    with client(served) as governance:
        for _ in range(10):  # more than may be under way at once
            call = governance._stub.ReleaseMasks(pb.ReleaseMasksRequest(permit_id=answer.permit_id))
            next(iter(call))
            call.cancel()
    for _ in range(50):
        with client(served) as governance:
            try:
                release_, _ = governance.release_masks(answer.permit_id, how)
            except ServerError:
                continue  # a call that was left is not over yet
            break
    assert isinstance(release_, MaskRelease)


def test_a_patient_consumer_asks_again() -> None:
    answers = [GovernanceUnavailable("it is being started"), read_release(stream(), PERMIT, HOW)]

    class FakeGovernance:
        def release_masks(self, permit_id: str, how: PermitSum) -> Any:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

    fake: Any = FakeGovernance()
    patient = PatientGovernance(fake, patience_s=10, sleep=lambda _s: None)
    assert patient.release_masks(PERMIT, HOW)[0].permit_id == PERMIT
    assert answers == []


# -- under pairwise masks --------------------------------------------------------------------------


def test_a_signed_release_is_read_as_it_is() -> None:
    assert read_cohort([pb.MaskSums(release_json=b"signed")], PERMIT) == b"signed"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [pb.MaskSums()],
        [pb.MaskSums(release_json=b"signed", words=b"x")],
        [pb.MaskSums(release_json=b"signed"), pb.MaskSums(words=b"x")],
    ],
)
def test_anything_beside_one_signed_release_is_refused(messages: list[pb.MaskSums]) -> None:
    with pytest.raises(ServerError, match="one signed release without sums"):
        read_cohort(messages, PERMIT)
