"""Masked rounds over fakes: a governance that keeps mask keys, and nodes that mask as ours do."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord, Error, RecordDict
from test_server_loop import KEY, ZERO, FakeGovernance, receipt, run_of

from policies import governance_pb2 as pb
from policies import masks
from policies.envelope import unverified_payload
from policies.fixedpoint import encode, vector_bytes
from policies.flattening import flatten
from policies.permit import (
    PERMIT_TYPE,
    CohortMember,
    Kind,
    Limits,
    LogPlace,
    PermitBody,
    sign_permit,
)
from policies.privacy import PermitSum
from policies.receipt import RECEIPT_TYPE, Receipt
from policies.release import MaskRelease, released
from policies.statements import RunSpec
from policies.sumterms import layout_of, permit_sum
from policies.tensors import Tensors, unpack_tensors
from policies.wide_integers import Head
from server.errors import GovernanceRefused
from server.mask_sums import Opened

SPACE = "space.example/demo"
CLIP = "4"
ROWS = {node: 10 * node for node in range(1, 10)}
"""Rows that node n trains on; it holds one back."""


def masked_spec(**changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "version": 1,
        "app": ZERO,
        "purpose": "medical-research",
        "agreements": ["a1"],
        "rounds": 2,
        "deadline_s": 1,
        "quorum": 2,
        "min_cohort": 2,
        "memory_bytes": 1 << 27,
        "metrics": ["loss", "eval_loss"],
        "config": {},
        "clip_norm": CLIP,
        "secure_sum": "governance",
    }
    return RunSpec.from_json(fields | changes)


def member_of(node: int) -> CohortMember:
    return CohortMember(
        participant=f"clinic{node}",
        product=f"clinic{node}/p",
        agreement=f"agreement-{node}",
        key=ZERO,
        report=ZERO,
        max_rows=ROWS[node] + 1,
        metered_s=1,
        epsilon="0",
        pays="0",
        duties=[],
        sealing="",
    )


@dataclass
class FakeMaskingGovernance(FakeGovernance):
    """Permits with masks; releases once a round, unless `leaves` leave too few.

    Attributes:
        leaves: nodes that withdraw after their receipts were accepted.
        gives: changes a release before it leaves.
    """

    spec: RunSpec = field(default_factory=masked_spec)
    leaves: set[int] = field(default_factory=set)
    gives: Callable[[Opened], Opened] = lambda opened: opened
    permits: dict[str, PermitBody] = field(default_factory=dict)
    keys: dict[str, X25519PrivateKey] = field(default_factory=dict)
    receipts: dict[str, dict[str, Receipt]] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def authorize_round(self, request: pb.AuthorizeRoundRequest) -> pb.AuthorizeRoundResponse:
        answer = super().authorize_round(request)
        key = X25519PrivateKey.generate()
        permit = self._permit(request, f"permit-{secrets.token_hex(16)}", key)
        self.permits[permit.id], self.keys[permit.id] = permit, key
        place = LogPlace(index=0, size=1, proof=[], checkpoint="")
        return pb.AuthorizeRoundResponse(
            permit=sign_permit(permit, place, KEY), permit_id=permit.id, verdicts=answer.verdicts
        )

    def submit_receipts(self, request: pb.SubmitReceiptsRequest) -> pb.SubmitReceiptsResponse:
        self.submitted.append(request)
        answer, kept = pb.SubmitReceiptsResponse(), {}
        for item in request.arrived:
            one = Receipt.from_json(unverified_payload(item.receipt, payload_type=RECEIPT_TYPE))
            if self.accept(item.node_id) and one.update == item.update:
                kept[one.participant] = one
                answer.accepted.add(
                    node_id=item.node_id,
                    participant=one.participant,
                    product=one.product,
                    rows_used=one.rows_used,
                    rows_held_back=one.rows_held_back,
                )
        self.receipts[request.permit_id] = kept
        return answer

    def release_masks(self, permit_id: str, how: PermitSum) -> Opened:
        self.asked_for.append(permit_id)
        permit = self.permits[permit_id]
        left = {f"clinic{node}" for node in self.leaves}
        groups = released(permit, set(self.receipts[permit_id]) - left)
        if min(map(len, groups)) < permit.min_cohort:
            raise GovernanceRefused("FAILED_PRECONDITION", "too-few-to-release: too few are left")
        self.released.append(permit_id)
        sums = [self._sum(permit, group) for group in groups]
        release = MaskRelease(
            run=permit.run,
            round=permit.round,
            kind=permit.kind,
            attempt=1,
            permit=permit.digest(),
            permit_id=permit.id,
            groups=groups,
            words=how.words,
            sums=hashlib.sha256(b"".join(sums)).hexdigest(),
        )
        return self.gives((release, sums))

    def _sum(self, permit: PermitBody, group: Sequence[str]) -> bytes:
        assert permit.secure_sum is not None
        how, found = permit.secure_sum, self.receipts[permit.id]
        keys = [
            masks.mask_key(
                self.keys[permit.id],
                found[one].mask_key,
                permit=permit.digest(),
                space=SPACE,
                participant=one,
                product=f"{one}/p",
            )
            for one in group
        ]
        return masks.sum_masks(keys, how.words, how.word_bits).tobytes()

    def _permit(
        self, request: pb.AuthorizeRoundRequest, id: str, key: X25519PrivateKey
    ) -> PermitBody:
        spec, kind = self.spec, "train" if request.kind == "train" else "evaluate"
        cohort = [member_of(node) for node in sorted(self.permitted)]
        return PermitBody(
            version=1,
            id=id,
            space=SPACE,
            run=request.run,
            flower_run="1",
            round=request.round,
            attempt=1,
            kind=_kind(kind),
            consumer="consortium",
            consumer_sector="",
            consumer_region="",
            purpose=spec.purpose,
            app=spec.app,
            config=ZERO,
            model=request.model,
            architecture=request.architecture,
            metrics=list(spec.metrics),
            clip_norm=spec.clip_norm,
            secure_sum=permit_sum(
                mode="governance",
                key=masks.public_key(key),
                kind=_kind(kind),
                metrics=spec.metrics,
                floats=request.floats,
                clip_norm=spec.clip_norm,
                privacy=spec.privacy,
                members=len(cohort),
                groups=spec.groups,
            ),
            privacy=spec.privacy,
            cohort=cohort,
            min_cohort=spec.min_cohort,
            voucher="",
            limits=Limits(wall_s=1, memory_bytes=1 << 27, accelerator="none"),
            decision=ZERO,
            issued="2026-01-01T00:00:00.000Z",
            expires="2026-01-01T00:10:00.000Z",
        )


def _kind(kind: str) -> Kind:
    return "train" if kind == "train" else "evaluate"


@dataclass
class MaskingNode:
    """Adds `amount` to every number, masked as `clients.masking` does it.

    Attributes:
        lies: rows in its vector beyond those of its receipt.
        says: its figures, each with its rows.
        spoils: changes the vector after its digest is in the receipt's hands.
    """

    node: int
    amount: float
    lies: int = 0
    says: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    spoils: Callable[[bytes], bytes] = lambda data: data
    plain: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def answer(self, permit: bytes, model: bytes, kind: str) -> RecordDict | Error:
        payload: Any = unverified_payload(permit, payload_type=PERMIT_TYPE)
        body = PermitBody.from_json(payload["body"])
        assert body.secure_sum is not None
        before = unpack_tensors(model, noted=True)
        words = self._words(body, before, kind)
        self.plain.append(words.tobytes())
        private = masks.new_private_key()
        name = f"clinic{self.node}"
        key = masks.mask_key(
            private,
            body.secure_sum.key,
            permit=body.digest(),
            space=SPACE,
            participant=name,
            product=f"{name}/p",
        )
        masks.add_mask(words, key)
        data = self.spoils(vector_bytes(words))
        self.sent.append(data)
        signed = receipt(
            rows=ROWS[self.node] if kind == "train" else 0,
            update=data,
            participant=name,
            product=f"{name}/p",
            mask_key=masks.public_key(private),
            metrics={},
        )
        return RecordDict({"tds.reply": ConfigRecord({"receipt": signed, "update": data})})

    def _words(self, body: PermitBody, before: Tensors, kind: str) -> Any:
        rows = ROWS[self.node] if kind == "train" else 0
        total = sum(one.max_rows for one in body.cohort)
        after = {name: (array + self.amount).astype(array.dtype) for name, array in before.items()}
        head = Head(
            rows_used=rows + self.lies,
            rows_held_back=1,
            figures={
                "loss": (rows, Decimal(self.node)),
                "eval_loss": (1, Decimal(self.node)),
                **self.says,
            },
        )
        chunks = flatten(after, before, rows / total) if kind == "train" else ()
        return encode(
            layout_of(body), head, chunks, bound=Decimal(CLIP), blind=secrets.token_bytes(16)
        )


__all__ = ["ROWS", "FakeMaskingGovernance", "MaskingNode", "masked_spec", "run_of"]
