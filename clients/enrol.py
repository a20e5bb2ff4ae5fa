"""Enrolment: from a join file to a node that its space knows.

The keys are made here and stay here; governance gets public halves, with a proof for each that
this node holds the private one. Steps, each durable before the next, so that the same command with
the same join file goes on wherever an earlier one stopped:

1. keys and signing request.   A crash after it: the next call takes them as they are.
2. governance logs the node and answers with a certificate. A crash before the answer is stored:
   the next call asks again; governance knows token and keys and gives the same answer.
3. certificate and CA.
4. the node's database and, as first entry of its own log, `NodeCreated`.
5. node.json: from here on the node is enrolled, and the command is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from clients.certificates import check_issued, signing_request
from clients.errors import EnrolmentFailed, GovernanceRefused
from clients.files import read_file, replace_file
from clients.folder import DEFAULT_POLL_MS, NodeConfig, NodePaths
from clients.governance import enrol_over_tls
from clients.identity import (
    NodeIdentity,
    assemble_identity,
    open_own_log,
    own_log_name,
    space_keys,
)
from clients.keys import NodeKeys, make_keys, public_pem
from clients.state import NodeState
from ledger.note import NoteSigner
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes, parse_json
from policies.entries import entry_bytes
from policies.envelope import key_id
from policies.errors import DocumentError
from policies.fields import instant, parse_instant
from policies.space import JoinFile, SpaceCard, enrolment_transcript

MAX_JOIN_BYTES = 32 * 1024

Ask = Callable[[JoinFile, pb.EnrolRequest], pb.EnrolResponse]


def ask_governance(join: JoinFile, request: pb.EnrolRequest) -> pb.EnrolResponse:
    """Ask over TLS; only the CA of the join file is believed."""
    space = join.space
    return enrol_over_tls(request, address=space.enrolment, ca_pem=space.ca_pem.encode())


def enrol(
    folder: Path,
    join_file: Path,
    *,
    region: str,
    now: datetime,
    poll_ms: int = DEFAULT_POLL_MS,
    ask: Ask = ask_governance,
) -> NodeIdentity:
    """Make `folder` the folder of an enrolled node.

    Args:
        folder: made if absent.
        join_file: as the operator handed it out; it may be deleted afterwards.
        region: ISO 3166 code of where this node processes data.
        now: aware; the join file must not be expired, the certificate must be valid.
        poll_ms: pause between two questions for messages.
        ask: the call to governance; tests pass another.

    Raises:
        EnrolmentFailed: enrolled already, expired or malformed join file, or an answer that does
            not fit; the text says what to do.
        FileRefused, IdentityError, GovernanceError, StateUnavailable, LedgerError
    """
    paths = NodePaths(folder.absolute())
    _check_unenrolled(paths)
    join = load_join(join_file, now=now)
    config = _config(join, join.space, region=region, poll_ms=poll_ms, now=now)
    # 1. Keys: durable before anybody hears of them.
    keys = make_keys(paths)
    # 2. Ask.
    try:
        response = ask(join, enrolment_request(join, paths=paths, keys=keys))
    except GovernanceRefused as error:
        raise not_enrolled(join_file, join, error) from error
    space = check_answer(response, join=join, tls=keys.tls)
    # 3. to 5.
    replace_file(paths.key("tls.crt"), response.certificate_pem)
    replace_file(paths.ca, space.ca_pem.encode())
    return _finish(paths, config.model_copy(update={"space": space}))


def load_join(path: Path, *, now: datetime) -> JoinFile:
    """A join file, strictly, while it is valid.

    Raises:
        FileRefused, EnrolmentFailed
    """
    data = read_file(path, max_bytes=MAX_JOIN_BYTES)
    try:
        join = JoinFile.from_json(parse_json(data, max_bytes=MAX_JOIN_BYTES))
        expires = parse_instant(join.expires)
    except DocumentError as error:
        raise EnrolmentFailed(f"{path}: {error}; use the file as the operator made it") from error
    if now >= expires:
        raise EnrolmentFailed(
            f"{path}: expected a join file that is still valid, got one that expired at "
            f"{join.expires}; ask the operator for a new one"
        )
    return join


def enrolment_request(join: JoinFile, *, paths: NodePaths, keys: NodeKeys) -> pb.EnrolRequest:
    """What the node sends: public halves, and a proof by each signing key."""
    parts = {
        "csr_pem": signing_request(paths.key("tls.csr"), keys.tls, join.participant),
        "receipt_key": keys.receipt.public_key().public_bytes_raw(),
        "log_verifier_key": _log_signer(join, keys).verifier_key.encode(),
        "fleet_key_pem": public_pem(keys.fleet),
        "disclosure_key": keys.disclosure.public_key().public_bytes_raw(),
    }
    transcript = enrolment_transcript(token=join.token, **parts)
    return pb.EnrolRequest(
        token=join.token,
        receipt_proof=keys.receipt.sign(transcript),
        fleet_proof=keys.fleet.sign(transcript, ec.ECDSA(hashes.SHA256())),
        **parts,
    )


def _check_unenrolled(paths: NodePaths) -> None:
    if paths.config.exists():
        raise EnrolmentFailed(
            f"{paths.root}: expected a folder without node.json, got an enrolled node; choose "
            "another folder, or move this one away if the node shall be enrolled anew"
        )


def not_enrolled(join_file: Path, join: JoinFile, error: GovernanceRefused) -> EnrolmentFailed:
    """What to say, and what to do, where governance said no."""
    return EnrolmentFailed(
        f"{join_file}: governance refused to enrol {join.participant} ({error}); a join file "
        "works once and for one set of keys: ask the operator for a new one"
    )


def check_answer(
    response: pb.EnrolResponse, *, join: JoinFile, tls: ec.EllipticCurvePrivateKey
) -> SpaceCard:
    """The space's card from an answer that fits the join file and this key.

    Raises:
        EnrolmentFailed, IdentityError: it does not.
    """
    if response.participant != join.participant:
        raise EnrolmentFailed(
            f"governance: expected a certificate for {join.participant}, got one for "
            f"{response.participant[:80]!r}; ask the operator"
        )
    try:
        card = parse_json(response.space_json, max_bytes=MAX_JOIN_BYTES)
        space = SpaceCard.from_json(card)
    except DocumentError as error:
        raise EnrolmentFailed(f"governance: the space's card: {error}; ask the operator") from error
    # The operator handed out the join file by a way of its own: addresses may have changed since,
    # what is trusted may not.
    for name in ("name", "permit_key", "log_key", "registrar_key", "ca_pem"):
        if getattr(space, name) != getattr(join.space, name):
            raise EnrolmentFailed(
                f"governance: expected the {name} of the join file, got another: this is not the "
                "space that invited this node, or its keys were changed; ask the operator"
            )
    check_issued(response.certificate_pem, ca_pem=space.ca_pem.encode(), tls=tls)
    return space


def _finish(paths: NodePaths, config: NodeConfig) -> NodeIdentity:
    identity = assemble_identity(paths, config)
    NodeState.open(paths.state).close()
    with open_own_log(identity) as log:
        if log.size == 0:
            body = {
                "space": config.space.name,
                "participant": config.participant,
                "region": config.region,
                "receipt_key": key_id(identity.keys.receipt.public_key()),
                "fleet_key": public_pem(identity.keys.fleet).decode(),
            }
            log.append([entry_bytes("NodeCreated", time=config.enrolled, body=body)])
    replace_file(paths.config, canonical_bytes(config.to_json()))
    return identity


def _config(
    join: JoinFile, space: SpaceCard, *, region: str, poll_ms: int, now: datetime
) -> NodeConfig:
    try:
        space_keys(space)
        return NodeConfig.from_json(
            {
                "version": 1,
                "participant": join.participant,
                "region": region,
                "space": space.to_json(),
                "poll_ms": poll_ms,
                "enrolled": instant(now),
            }
        )
    except DocumentError as error:
        raise EnrolmentFailed(f"node: {error}") from error


def _log_signer(join: JoinFile, keys: NodeKeys) -> NoteSigner:
    return NoteSigner(own_log_name(join.space.name, join.participant), keys.log)
