"""What somebody sends to enrol, and the proof that its keys are its own."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.ed25519 import load_public_key
from ledger.errors import KeyRefused
from ledger.note import NoteVerifier
from policies.canonical import digest_of
from policies.errors import DocumentError
from policies.sealing import parse_disclosure_key
from policies.space import enrolment_transcript
from server.errors import BadInput, CertificateError
from server.keys import key_digest, key_pem, parse_csr, parse_ec_public_key


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What a participant sends: a node everything, a consumer no log and no fleet key, an auditor
    only token and signing request."""

    token: str
    csr_pem: bytes
    receipt_key: bytes
    log_verifier_key: bytes
    fleet_key_pem: bytes
    receipt_proof: bytes
    fleet_proof: bytes
    disclosure_key: bytes = b""

    @property
    def digest(self) -> str:
        """Of the keys, so that a repeated request is told from another's."""
        keys = (
            self.csr_pem,
            self.receipt_key,
            self.log_verifier_key,
            self.fleet_key_pem,
            self.disclosure_key,
        )
        return digest_of([base64.b64encode(key).decode() for key in keys])

    def transcript(self) -> bytes:
        """What both proofs are over."""
        return enrolment_transcript(
            token=self.token,
            csr_pem=self.csr_pem,
            receipt_key=self.receipt_key,
            log_verifier_key=self.log_verifier_key,
            fleet_key_pem=self.fleet_key_pem,
            disclosure_key=self.disclosure_key,
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that were proven, in their one spelling; None where the role has none."""

    tls: ec.EllipticCurvePublicKey
    receipt: str | None = None  # under statements, too
    log: str | None = None
    fleet_pem: bytes | None = None
    fleet: str | None = None
    disclosure: str | None = None


def prove(request: Enrolling, *, role: str, log_name: str) -> Keys:
    """The keys of a request, once it is seen that they are its own, and those of its role.

    Raises:
        BadInput: one is malformed, of a kind to refuse, not proven, or not of the role.
    """
    try:
        tls = parse_csr(request.csr_pem)
        _check_no_more(request, role)
        reads = _disclosure_key(request)
        if role == "auditor":
            return Keys(tls=tls)
        _prove_receipt_key(request)
        receipt = request.receipt_key.hex()
        if role == "consumer":
            return Keys(tls=tls, receipt=receipt, disclosure=reads)
        log = NoteVerifier.parse(request.log_verifier_key.decode("ascii"))
        fleet = parse_ec_public_key(request.fleet_key_pem, "fleet key")
    except (CertificateError, KeyRefused, DocumentError) as error:
        raise BadInput(f"enrolment: {error}") from error
    except UnicodeDecodeError as error:
        raise BadInput("enrolment: expected the log's key as name+hash+base64") from error
    if log.name != log_name:  # under another's name its cosignatures would pass for that one's
        raise BadInput(f"enrolment: expected a log key named {log_name}, got {log.name!r:.120}")
    try:
        fleet.verify(request.fleet_proof, request.transcript(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadInput("enrolment: the proof for the fleet key does not hold") from error
    if key_digest(tls) == key_digest(fleet):
        raise BadInput("enrolment: expected two keys for TLS and fleet, got one for both")
    return Keys(
        tls=tls,
        receipt=receipt,
        log=log.text,
        fleet_pem=key_pem(fleet),
        fleet=key_digest(fleet),
        disclosure=reads,
    )


def _disclosure_key(request: Enrolling) -> str | None:
    """What its disclosures are sealed to; None where it asks for none. That the key is its own is
    not proven, only that its signing key names it: who names another's cannot read."""
    if not request.disclosure_key:
        return None
    parse_disclosure_key(request.disclosure_key)
    return request.disclosure_key.hex()


def _prove_receipt_key(request: Enrolling) -> None:
    """The key under receipts and statements; a consumer has only the latter to sign."""
    try:
        load_public_key(request.receipt_key).verify(request.receipt_proof, request.transcript())
    except InvalidSignature as error:
        raise BadInput("enrolment: the proof for the receipt key does not hold") from error


def _check_no_more(request: Enrolling, role: str) -> None:
    """Returns only for a request without the keys that a role does not have; BadInput else."""
    of_nodes = (request.log_verifier_key, request.fleet_key_pem, request.fleet_proof)
    of_signers = (request.receipt_key, request.receipt_proof, request.disclosure_key)
    if role == "consumer" and any(of_nodes):
        raise BadInput("enrolment: expected a consumer's keys for TLS and statements, got more")
    if role == "auditor" and any(of_nodes + of_signers):
        raise BadInput("enrolment: expected no key but TLS for an auditor, got more")
