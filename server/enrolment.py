"""The way in: an invitation from the operator, then keys whose holder proves to hold them."""

from __future__ import annotations

import base64
import hmac
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from policies.canonical import Json, canonical_bytes, sha256_hex
from policies.disclosure import Profile
from policies.entries import entry_bytes
from policies.errors import DocumentError
from policies.fields import ParticipantId, instant, parse_instant
from policies.operands import OPERANDS
from policies.pseudonym import PSEUDONYM_BYTES, pseudonym
from policies.space import JoinFile, SpaceCard
from server import queries, registry
from server.disclosing import Disclosing
from server.edge import Edge
from server.enrolling import Enrolling, Keys, prove
from server.errors import BadInput, NotAllowed, RuleBroken
from server.journal import Journal
from server.keys import key_digest
from server.pki import Authority, Identity, issue_client
from server.renewal import AGAIN, require_again, require_enrolled_keys
from server.rows import Invitation
from server.superlink import SuperLink

INVITED_ROLES: Final = frozenset({"node", "consumer", "auditor"})
MIN_VALID_S: Final = 60
MAX_VALID_S: Final = 30 * 86_400
MAX_SECTOR: Final = 200
TOKEN_CHARS: Final = 43
_PARTICIPANT: Final = TypeAdapter(ParticipantId)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What it gets back."""

    participant: str
    certificate: bytes


class Enrolment:
    """Invitations and enrolments.

    Args:
        card: of the space; travels in the join file.
        authority: signs client certificates.
        disclosing: keeps what is only for people.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        disclosing: Disclosing,
        superlink: SuperLink,
        card: SpaceCard,
        authority: Authority,
        edge: Edge,
    ) -> None:
        self._journal = journal
        self._disclosing = disclosing
        self._superlink = superlink
        self._card = card
        self._authority = authority
        self._edge = edge
        self._one_at_a_time = threading.Lock()

    def invite(
        self,
        *,
        participant: str,
        title: str,
        sector: str,
        region: str,
        valid_s: int,
        role: str,
        contact: str = "",
        registration: str = "",
        address: str = "",
        again: bool = False,
    ) -> bytes:
        """The join file for a new participant; only the token's SHA-256 is kept here.

        Args:
            participant: its id from now on, in every entry; "" makes a pseudonym, anything else is
                none.
            title, contact, registration, address: its profile, for people; the log commits to it.
                Without a title there is none.
            region: place of processing (ISO 3166 code); "" is unknown, and no agreement that
                names a place lets it pass.
            valid_s: seconds, one minute to thirty days. A second invitation voids the first.
            role: node, consumer or auditor.
            again: for one that is enrolled in this role, whose certificate expired: the join file
                gets it a new one, for the keys that it has; nothing else may be stated then.

        Raises:
            BadInput: a malformed argument.
            RuleBroken: already enrolled, or not enrolled in this role (`again`).
        """
        participant = participant or pseudonym(self._edge.random_bytes(PSEUDONYM_BYTES))
        _check_invitation(participant, sector, region, valid_s, role)
        profile = _profile(title, contact, registration, address)
        now = self._edge.clock()
        secret = self._edge.random_bytes(32)
        token = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        expires = instant(now + timedelta(seconds=valid_s))
        with self._journal.writing():
            with self._journal.reading() as connection:
                if again:
                    require_again(connection, participant, role, profile)
                else:
                    _require_new(connection, participant)
                voided = "" if again else queries.invited_profile(connection, participant)
            # A crash after this leaves a profile that no invitation names: the start removes it.
            commitment = self._disclosing.commit(profile, about="") if profile is not None else ""
            row = Invitation(
                token=sha256_hex(token.encode()),
                participant=participant,
                profile=commitment,
                role=role,
                sector=sector,
                region=region,
                expires=expires,
                used_by=AGAIN if again else None,
            )
            self._journal.side(lambda connection: registry.put_invitation(connection, row))
            self._disclosing.drop(voided)
        join = JoinFile(
            version=1, participant=participant, token=token, expires=expires, space=self._card
        )
        return canonical_bytes(join.to_json())

    def enrol(self, request: Enrolling) -> Enrolled:
        """Let a participant in. The same request again gets a certificate again; a token with
        other keys does not.

        Raises:
            NotAllowed: the token is unknown, used or expired.
            BadInput: a key is malformed or of a kind to refuse, or a proof does not hold.
            RuleBroken: a key is another participant's already.
            SuperLinkUnavailable, Unavailable: nothing was enrolled; send it again.
        """
        with self._one_at_a_time:
            with self._journal.writing(), self._journal.reading() as connection:
                invited = self._invitation(connection, request)
            name = f"{self._card.name}/{invited.participant}"
            keys = prove(request, role=invited.role, log_name=name)
            if invited.used_by is None:
                self._record(request, invited, keys)
            elif invited.used_by == AGAIN:
                with self._journal.reading() as connection:
                    require_enrolled_keys(connection, invited.participant, keys)
        identity = Identity(
            space=self._card.name, role=invited.role, participant=invited.participant
        )
        now = self._edge.clock()
        return Enrolled(
            participant=invited.participant,
            certificate=issue_client(self._authority, keys.tls, identity, now=now),
        )

    def register_again(self) -> int:
        """Have the SuperLink know the Flower key of every active node; returns how many it did not.

        It knows them already unless it lost its database (or keeps it in memory): governance's log
        is what counts, and a node that waits at its door is let in then. Under a new id, which
        changes nothing: rounds find nodes by their keys.

        Raises:
            SuperLinkUnavailable: the rest is left as it is; call it again.
        """
        with self._journal.reading() as connection:
            nodes = [one for one in queries.participants(connection) if one.active]
        return self._superlink.register_missing(
            {one.fleet_key_pem.encode(): one.id for one in nodes if one.fleet_key_pem is not None}
        )

    def _invitation(self, connection: Connection, request: Enrolling) -> Invitation:
        # One text for unknown, expired and used, so that a guess learns nothing.
        refused = NotAllowed(
            "enrolment: expected a token that is known, unused and not expired; ask the operator "
            "for a new join file"
        )
        token = sha256_hex(request.token.encode())
        found = queries.invitation(connection, token) if len(request.token) == TOKEN_CHARS else None
        if found is None or not hmac.compare_digest(found.token, token):
            raise refused
        if self._edge.clock() >= parse_instant(found.expires):
            raise refused
        if found.used_by not in (None, AGAIN) and not hmac.compare_digest(
            found.used_by, request.digest
        ):
            raise refused
        return found

    def _record(self, request: Enrolling, invited: Invitation, keys: Keys) -> None:
        with self._journal.reading() as connection:
            _require_new(connection, invited.participant)
            _require_unused(connection, keys)
        node_id = None
        if keys.fleet_pem is not None:
            # A crash after this leaves a key at the SuperLink that is no participant's: such a
            # node is never a candidate. Enrolling again registers the same key, which is harmless.
            node_id = self._superlink.register_node(keys.fleet_pem, invited.participant)
        body = {
            "participant": invited.participant,
            "profile": invited.profile,
            "role": invited.role,
            "sector": invited.sector,
            "region": invited.region,
            "invitation": invited.token,
            "request": request.digest,
            "tls_key": key_digest(keys.tls),
            "receipt_key": keys.receipt,
            "disclosure_key": keys.disclosure,
            "log_key": keys.log,
            "fleet_key_pem": keys.fleet_pem.decode() if keys.fleet_pem else None,
            "fleet_key": keys.fleet,
            "node_id": node_id,
        }
        entry = entry_bytes("ParticipantEnrolled", time=instant(self._edge.clock()), body=body)
        with self._journal.writing():
            with self._journal.reading() as connection:
                again = self._invitation(connection, request)
            if again.used_by is None:
                if keys.disclosure is not None:
                    self._disclosing.share(invited.profile, [keys.disclosure])
                self._journal.commit([entry], key=f"enrol:{invited.token}")


def _profile(title: str, contact: str, registration: str, address: str) -> Profile | None:
    parts: dict[str, Json] = {
        "title": title,
        "contact": contact,
        "registration": registration,
        "address": address,
    }
    if not any(parts.values()):
        return None
    try:
        return Profile.from_json(parts)
    except DocumentError as error:  # without what was given: the operator's log shows refusals
        raise BadInput(f"profile: {error.where}: expected {error.expected}") from error


def _check_invitation(participant: str, sector: str, region: str, valid_s: int, role: str) -> None:
    try:
        _PARTICIPANT.validate_python(participant)
    except ValidationError as error:
        raise BadInput(
            "participant: expected lowercase letters, digits and dashes, at most 63, "
            f"got {participant!r:.80}"
        ) from error
    if role not in INVITED_ROLES:
        raise BadInput(f"role: expected one of {sorted(INVITED_ROLES)}, got {role!r:.40}")
    if len(sector) > MAX_SECTOR:
        raise BadInput(f"sector: expected at most {MAX_SECTOR} characters, got {len(sector)}")
    place = OPERANDS["spatial"].pattern
    assert place is not None
    if region and not place.fullmatch(region):
        raise BadInput(f"region: expected an ISO 3166 code such as CN-BJ, got {region!r:.40}")
    if not MIN_VALID_S <= valid_s <= MAX_VALID_S:
        raise BadInput(f"valid_s: expected {MIN_VALID_S} to {MAX_VALID_S}, got {valid_s}")


def _require_new(connection: Connection, participant: str) -> None:
    if queries.participant(connection, participant) is not None:
        raise RuleBroken(f"participant {participant}: expected a new one, is already enrolled")


def _require_unused(connection: Connection, keys: Keys) -> None:
    other = queries.participant_by_key(connection, receipt_key=keys.receipt, fleet_key=keys.fleet)
    if other is not None:
        raise RuleBroken(
            "enrolment: expected keys of its own, got one that is another participant's; "
            "make new keys"
        )
