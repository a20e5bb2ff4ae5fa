"""The pairwise sums that a node takes part in: what it keeps between their four steps.

    share    the whole gate, as for a use; but none begins: no data is touched, nothing is counted
    mask     the use itself, as under any permit (clients.work), with the model that came to be
             shared under; the letters are looked at before it begins
    agree    only after that use was receipted, and to the split that governance's release names:
             its cohort is signed with the permit key, so that nobody else chooses who is opened
    unmask   as `policies.pairwise` has it

Secrets are in memory only, of one permit of each run and `MAX_OPEN` in all, and at most until that
permit expires: a node that restarts has dropped out of its rounds. Before each answer the owner's
word is looked at once more. A withdrawal makes the node forget what it holds of the round, its own
update's secrets and its shares of others': it answers nothing more, for good.

Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from clients.errors import EgressRefused, GateRefused, refused
from clients.gate import Admission
from clients.masking import Masker
from clients.tasks import Task
from policies.canonical import sha256_hex
from policies.errors import DocumentError, MaskKeyError, SecureSumError, SignatureError
from policies.fields import parse_instant
from policies.pairwise import PairwiseNode
from policies.pairwise_messages import Shared, Split
from policies.pairwise_round import PairwiseRound
from policies.permit import PermitBody
from policies.release import open_release
from policies.wire import AGREEMENTS, LETTERS, RELEASE, SPLIT
from policies.words import Words

MAX_OPEN: Final = 8
"""How many permits' secrets and models a node holds at once."""

Allowed = Callable[[str, str], None]
"""Called with agreement and app; raises GateRefused unless the owner's word for both stands."""

_WRONG: Final = (DocumentError, MaskKeyError, SecureSumError)


@dataclass(slots=True)
class _Open:
    """One permit's round; `turn` is held while `node` takes a step."""

    body: PermitBody
    agreement: str
    permit: str
    model: bytes
    node: PairwiseNode
    mask_key: str
    expires: datetime
    sent: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class PairwiseMask:
    """The masks of pairs, and the node's own, for everybody whose letters came."""

    round: _Open
    letters: bytes

    def mask(self, words: Words) -> str:
        """See `clients.masking.Masker`."""
        try:
            with self.round.turn:
                self.round.node.mask(self.letters, words)
        except _WRONG as error:
            raise EgressRefused(f"mask: {error}") from error
        return self.round.mask_key


class _NoMask:
    """While sharing: the permit is looked at, but nothing is masked."""

    def mask(self, words: Words) -> str:
        raise EgressRefused("mask: expected a step that masks, got the one that shares")


class PairwiseDesk:
    """Takes the steps; every refusal is a `GateRefused`.

    Args:
        receipt_key: signs; `sealing_key`: private half of the enrolled key that peers seal to.
        permit_key: the space's, which releases are signed with.
        allowed: whether the owner's word stands now.
        clock: aware UTC now.
    """

    def __init__(
        self,
        *,
        receipt_key: Ed25519PrivateKey,
        sealing_key: X25519PrivateKey,
        permit_key: Ed25519PublicKey,
        allowed: Allowed,
        clock: Callable[[], datetime],
    ) -> None:
        self._receipt_key = receipt_key
        self._sealing_key = sealing_key
        self._permit_key = permit_key
        self._allowed = allowed
        self._clock = clock
        self._keeping = threading.Lock()
        self._rounds: dict[str, _Open] = {}

    def recalled(self, task: Task) -> Task:
        """The task of the second step with the model of the first; any other as it is.

        Raises:
            GateRefused: this node shared nothing under the permit, masked already, or has dropped.
        """
        if task.step != "mask":
            return task
        found = self._find(task)
        if not found.model:
            text = f"permit {found.body.id}: expected one mask of a node that is in the round, got "
            raise refused("sum-refused", text + "this step again, or after the node dropped out")
        return replace(task, model=found.model)

    def masker(self, task: Task, body: PermitBody) -> Masker | None:
        """What masks a task's vector; None where its permit does not ask for pairwise masks.

        Raises:
            GateRefused: a step where the permit has none, or letters that do not hold.
        """
        pairwise = body.secure_sum is not None and body.secure_sum.mode == "pairwise"
        if task.step is None:
            return None
        if not pairwise:
            text = f"permit {body.id}: expected no step, since its masks are not pairwise, got "
            raise refused("sum-refused", text + task.step)
        if task.step == "share":
            return _NoMask()
        found = self._find(task)
        letters = task.told[LETTERS]
        try:
            with found.turn:
                found.node.check(letters)
        except _WRONG as error:
            raise _wrong(body, error) from error
        return PairwiseMask(found, letters)

    def share(self, task: Task, admission: Admission) -> bytes:
        """Step 1, of a task that passed the gate; once for a permit.

        Raises:
            GateRefused: it shared before, holds as much as it may, or has other keys than the
                permit says.
        """
        body, member, digest = admission.permit.body, admission.member, sha256_hex(task.permit)
        try:
            node = PairwiseNode(
                PairwiseRound.of_permit(body),
                member.participant,
                receipt_key=self._receipt_key,
                sealing_key=self._sealing_key,
            )
            data = node.share()
        except _WRONG as error:
            raise _wrong(body, error) from error
        permit = body.digest()
        opened = _Open(
            body=body,
            agreement=member.agreement,
            permit=permit,
            model=task.model,
            node=node,
            mask_key=Shared.parse(data, permit=permit).keys.mask_key,
            expires=parse_instant(body.expires),
        )
        with self._keeping:
            if any(one.body.id == body.id for one in self._rounds.values()):
                raise refused("sum-refused", f"permit {body.id}: this node shared under it already")
            self._drop_old(body.run)
            if len(self._rounds) >= MAX_OPEN:
                text = f"the node holds the secrets of {MAX_OPEN} pairwise sums, no more at once"
                raise refused("node-busy", text)
            self._rounds[digest] = opened
        return data

    def sent(self, task: Task) -> None:
        """The use was receipted, and its vector may leave: from now on the node helps to open."""
        with self._keeping:
            found = self._rounds.get(sha256_hex(task.permit))
        if found is not None:
            found.model = b""
            found.sent = True

    def forget(self, task: Task) -> None:
        """The use came to nothing: the node has dropped out of the round."""
        with self._keeping:
            found = self._rounds.get(sha256_hex(task.permit))
        if found is not None:
            _leave(found)

    def answer(self, task: Task) -> bytes:
        """Steps 3 and 4.

        Raises:
            GateRefused: before the use was receipted, after a withdrawal or the permit's end, or
                with what does not hold.
        """
        found = self._find(task)
        with found.turn:
            self._check_stands(found)
            try:
                if task.step == "unmask":
                    return found.node.unmask(task.told[AGREEMENTS])
                self._check_released(found, task.told[SPLIT], task.told[RELEASE])
                return found.node.agree(task.told[SPLIT])
            except (*_WRONG, SignatureError) as error:
                raise _wrong(found.body, error) from error

    def recheck(self) -> None:
        """Leave each round whose owner's word was taken back; cheap, from any thread."""
        with self._keeping:
            rounds = list(self._rounds.values())
        for one in rounds:
            with suppress(GateRefused), one.turn:
                self._check_allowed(one)

    def _find(self, task: Task) -> _Open:
        with self._keeping:
            found = self._rounds.get(sha256_hex(task.permit))
        if found is None or found.body.flower_run != task.flower_run:
            raise refused(
                "sum-refused",
                f"step {task.step}: expected a permit under which this node shared since it "
                "started, got another; start the round anew with a fresh permit",
            )
        return found

    def _check_stands(self, found: _Open) -> None:
        if not found.sent:
            text = f"permit {found.body.id}: expected this step after a receipt, got it before"
            raise refused("sum-refused", text)
        if self._clock() >= found.expires:
            _leave_in_turn(found)
            raise refused("permit-expired", f"the permit expired at {found.body.expires}")
        self._check_allowed(found)

    def _check_allowed(self, found: _Open) -> None:
        try:
            self._allowed(found.agreement, found.body.app)
        except GateRefused:
            _leave_in_turn(found)
            raise

    def _check_released(self, found: _Open, split: bytes, release: bytes) -> None:
        document = open_release(release, self._permit_key)
        survivors = Split.parse(split, permit=found.permit).survivors
        if document.permit != found.permit or document.groups != [survivors]:
            raise refused(
                "sum-refused",
                f"permit {found.body.id}: expected the survivors that governance's release names, "
                f"got {len(survivors)} others; it helps to open no other sum",
            )

    def _drop_old(self, run: str) -> None:
        """What is over: a run has one round at a time, and one attempt at it."""
        now = self._clock()
        over = [
            digest
            for digest, one in self._rounds.items()
            if one.body.run == run or now >= one.expires
        ]
        for digest in over:
            _leave(self._rounds.pop(digest))


def _leave(found: _Open) -> None:
    with found.turn:
        _leave_in_turn(found)


def _leave_in_turn(found: _Open) -> None:
    found.node.forget()
    found.model = b""


def _wrong(body: PermitBody, error: Exception) -> GateRefused:
    return refused("sum-refused", f"permit {body.id}: {error}")
