"""What a round's nodes sent, as the ServerApp can tell before governance judges it (step 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies import governance_pb2 as pb
from policies.canonical import sha256_hex
from policies.errors import DocumentError
from policies.tensors import Tensors, pack_tensors, unpack_tensors
from server.aggregate import UpdateMalformed, check_shapes
from server.exchange import Reply


def read_updates(replies: Iterable[Reply], model: Tensors) -> dict[int, Tensors | str]:
    """For each node that replied: its update, or in a sentence why it cannot be averaged.

    Args:
        model: what updates must look like; empty for an evaluation, which returns no update.
    """
    updates: dict[int, Tensors | str] = {}
    limit = 2 * len(pack_tensors(model)) + 4096 if model else 0
    for reply in replies:
        if not reply.receipt:
            continue
        try:
            update = unpack_tensors(reply.update, max_bytes=limit) if model or reply.update else {}
            check_shapes(update, model)
        except (DocumentError, UpdateMalformed) as error:
            updates[reply.node_id] = str(error)
        else:
            updates[reply.node_id] = update
    return updates


def read_vectors(replies: Iterable[Reply], size_bytes: int) -> dict[int, bytes | str]:
    """For each node that replied: its masked vector, or in a sentence why it cannot be added.

    Nothing but its length can be told of one: under its mask it is noise.
    """
    return {
        reply.node_id: reply.update
        if len(reply.update) == size_bytes
        else f"expected a vector of {size_bytes} bytes, got {len(reply.update)}"
        for reply in replies
        if reply.receipt
    }


def submission_of(
    permit_id: str, replies: Iterable[Reply], problems: Mapping[int, str]
) -> pb.SubmitReceiptsRequest:
    """What arrived and what did not, for governance to judge.

    Args:
        problems: for each node whose update cannot be used, why.
    """
    request = pb.SubmitReceiptsRequest(permit_id=permit_id)
    for reply in replies:
        node = str(reply.node_id)
        problem = problems.get(reply.node_id)
        if reply.refusal is not None:
            request.missing.add(
                node_id=node,
                reason=pb.Reason(code=reply.refusal.code, text=reply.refusal.text),
            )
        elif reply.missing:
            request.missing.add(node_id=node, reason=pb.Reason(code="no-reply", text=reply.missing))
        elif problem is not None:
            request.missing.add(
                node_id=node, reason=pb.Reason(code="update-malformed", text=problem[:1000])
            )
        else:
            request.arrived.add(
                node_id=node, receipt=reply.receipt, update=sha256_hex(reply.update)
            )
    return request
