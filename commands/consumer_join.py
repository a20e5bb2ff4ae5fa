"""From a join file to a consumer that its space knows; its folder is as the space's own consumer's.

The keys are made here and stay here: for TLS, for what the consumer signs, and for what it may
read of the log's commitments. Each step is durable before the next, so that the same command with
the same join file goes on where an earlier one stopped; consumer.json comes last.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from clients.certificates import signing_request
from clients.enrol import Ask, ask_governance, check_answer, load_join, not_enrolled
from clients.errors import EnrolmentFailed, GovernanceRefused
from clients.files import make_private_folder, replace_file
from clients.keys import disclosure_key, signing_key, tls_key
from policies import governance_pb2 as pb
from policies.canonical import canonical_bytes
from policies.space import JoinFile, SpaceCard, enrolment_transcript
from server.space import STATEMENT_KEY, ClientFile

DISCLOSURE_KEY = "disclosure.key"
SUBFOLDERS = ("models", "contracts")


def join_as_consumer(
    folder: Path, join_file: Path, *, now: datetime, ask: Ask = ask_governance
) -> SpaceCard:
    """Make `folder` the folder of an enrolled consumer, and return its space's card.

    Args:
        folder: made if absent.
        join_file: as the operator handed it out; it may be deleted afterwards.
        now: aware; the join file must not be expired.
        ask: the call to governance; tests pass another.

    Raises:
        EnrolmentFailed: enrolled already, an expired or malformed join file, one for another role,
            or an answer that does not fit; the text says what to do.
        FileRefused, IdentityError, GovernanceError
    """
    if (folder / "consumer.json").exists():
        raise EnrolmentFailed(
            f"{folder}: expected a folder without consumer.json, got an enrolled consumer; choose "
            "another folder"
        )
    join = load_join(join_file, now=now)
    for path in (folder, *(folder / sub for sub in SUBFOLDERS)):
        make_private_folder(path)
    tls = tls_key(folder / "tls.key")
    try:
        response = ask(join, _request(folder, join))
    except GovernanceRefused as error:
        raise not_enrolled(join_file, join, error) from error
    space = check_answer(response, join=join, tls=tls)
    replace_file(folder / "tls.crt", response.certificate_pem, mode=0o644)
    replace_file(folder / "ca.crt", space.ca_pem.encode(), mode=0o644)
    place = ClientFile(
        version=1, space=space.name, participant=join.participant, governance=space.governance
    )
    replace_file(folder / "consumer.json", canonical_bytes(place.to_json()) + b"\n", mode=0o644)
    return space


def _request(folder: Path, join: JoinFile) -> pb.EnrolRequest:
    """What the consumer sends: public halves, and the proof by the key that signs."""
    key = signing_key(folder / STATEMENT_KEY)
    csr = signing_request(folder / "tls.csr", tls_key(folder / "tls.key"), join.participant)
    public = key.public_key().public_bytes_raw()
    reads = disclosure_key(folder / DISCLOSURE_KEY).public_key().public_bytes_raw()
    transcript = enrolment_transcript(
        token=join.token,
        csr_pem=csr,
        receipt_key=public,
        log_verifier_key=b"",
        fleet_key_pem=b"",
        disclosure_key=reads,
    )
    return pb.EnrolRequest(
        token=join.token,
        csr_pem=csr,
        receipt_key=public,
        receipt_proof=key.sign(transcript),
        disclosure_key=reads,
    )
