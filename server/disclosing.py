"""Auditors and erasure: who may read what the log commits to, and the end of it.

`AuditorNamed`      an auditor's key; from then on every disclosure is sealed to it as well
`DisclosureErased`  commitments that nothing opens any more: logged first, then the files go; a
                    crash between is settled as governance starts
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from policies.canonical import Json
from policies.disclosure import (
    SALT_BYTES,
    Profile,
    ReasonText,
    new_opening,
    parse_opening,
)
from policies.entries import entry_bytes
from policies.errors import DocumentError
from policies.fields import Document, ParticipantId, instant
from policies.pseudonym import PSEUDONYM_BYTES, pseudonym
from policies.sealing import parse_disclosure_key
from server import disclosed
from server.disclosures import Disclosures
from server.edge import Edge
from server.errors import BadInput, NotAllowed, NotKnown, RuleBroken
from server.journal import Journal
from server.pki import Identity

# GDPR Article 17(1)(a) to (e), and what follows from PIPL Article 47.
REASON_CODES: Final = (
    "no-longer-needed",
    "consent-withdrawn",
    "objection",
    "unlawful",
    "legal-obligation",
)
MAX_AUDITORS: Final = 62
_PARTICIPANT: Final = TypeAdapter(ParticipantId)


class Disclosing:
    """What is committed to, for whom, and until when.

    Args:
        files: where it lies.
    """

    def __init__(self, *, journal: Journal, files: Disclosures, edge: Edge) -> None:
        self._journal = journal
        self._files = files
        self._edge = edge

    def settle(self) -> None:
        """Finish what a crash interrupted; Unavailable if the folder cannot be written."""
        with self._journal.writing(), self._journal.reading() as connection:
            now = instant(self._edge.clock())
            self._files.settle(lambda id: disclosed.wanted(connection, id, now=now))

    def commit(self, value: Document, *, about: str) -> str:
        """Commit to a value before an entry carries the commitment, which is returned.

        A crash before that entry leaves a file that no entry names; `settle` removes it.

        Args:
            about: the participant who may read it, beside the operator and the auditors; ""
                for nobody else.
        """
        opening = new_opening(value, self._edge.random_bytes(SALT_BYTES))
        with self._journal.reading() as connection:
            return self._files.keep(opening, disclosed.readers(connection, about))

    def commit_reason(self, text: str, *, about: str) -> str:
        """As `commit`, for words; "" for none."""
        if not text:
            return ""
        try:
            value = ReasonText.from_json({"text": text})
        except DocumentError as error:  # without what was given: a log might keep it
            raise BadInput(f"reason: {error.where}: expected {error.expected}") from error
        return self.commit(value, about=about)

    def keep(self, data: bytes, *, expected: str, about: str) -> None:
        """Keep what a statement's author sent along to open its commitment.

        Raises:
            BadInput: malformed, or it opens another commitment.
        """
        try:
            opening = parse_opening(data)
        except DocumentError as error:
            raise BadInput(f"opening: {error}") from error
        if opening.commitment != expected:
            raise BadInput(
                f"opening: expected what opens {expected or 'nothing'}, got what opens "
                f"{opening.commitment}; send salt and text as they were committed to"
            )
        with self._journal.reading() as connection:
            row = disclosed.commitment(connection, expected)
            if row is not None and row.erased is not None:
                return  # a statement that is sent again must not bring back what was erased
            self._files.keep(opening, disclosed.readers(connection, about))

    def share(self, commitment: str, keys: list[str]) -> None:
        """Seal what there is to these keys, too."""
        opening = self._files.opening(commitment)
        if opening is not None:
            self._files.keep(opening, keys)

    def value(self, commitment: str | None) -> Document | None:
        """What was committed to; None where nothing opens it."""
        opening = self._files.opening(commitment)
        return opening.value if opening is not None else None

    def text(self, commitment: str | None) -> str:
        """The words that were committed to; "" where nothing opens them."""
        value = self.value(commitment)
        return value.text if isinstance(value, ReasonText) else ""

    def drop(self, commitment: str) -> None:
        """Remove what no entry names: a voided invitation's profile."""
        if commitment:
            self._files.erase([commitment])

    def files_of(self, connection: Connection, caller: Identity) -> list[dict[str, Json]]:
        """The disclosures that are sealed to the caller, as they lie in the folder."""
        about = [row.commitment for row in disclosed.standing(connection, caller.participant)]
        if any(one.id == caller.participant for one in disclosed.auditors(connection)):
            about = sorted(self._files.present())
        keys = disclosed.own_key_ids(connection, caller.participant)
        return [json.loads(data) for data in self._files.of(about, keys)]

    def name_auditor(self, *, auditor: str, title: str, key: bytes) -> tuple[int, str]:
        """Let an auditor read what the log commits to, also what it did so far; log index and id.
        The same key again gets the same answer.

        Args:
            auditor: its id; "" makes a pseudonym.
            title: for people; "" is none.
            key: raw X25519.

        Raises:
            BadInput: a malformed argument.
            RuleBroken: the id is another auditor's, or there are `MAX_AUDITORS`.
        """
        public, profile = _auditor_key(key), _profile(title)
        with self._journal.writing():
            with self._journal.reading() as connection:
                known = disclosed.auditors(connection)
            for one in known:
                if one.disclosure_key == public and auditor in ("", one.id):
                    return one.entry, one.id
            id = auditor or pseudonym(self._edge.random_bytes(PSEUDONYM_BYTES))
            _check_new(known, id, public)
            commitment = self.commit(profile, about="") if profile is not None else ""
            body: dict[str, Json] = {
                "auditor": id,
                "disclosure_key": public,
                "profile": commitment,
            }
            entry = entry_bytes("AuditorNamed", time=instant(self._edge.clock()), body=body)
            index = self._journal.commit([entry], key=f"auditor:{public}").first_index
        # A crash from here on: the start seals the rest. One lock for each, so that rounds go on.
        for found in sorted(self._files.present()):
            with self._journal.writing(), self._journal.reading() as connection:
                now = instant(self._edge.clock())
                readers = disclosed.wanted(connection, found, now=now)
                if readers is not None:
                    self._files.complete(found, readers)
        return index, id

    def erase(self, caller: Identity, what: str, code: str) -> tuple[int, str]:
        """Destroy salt and text of a commitment, or of all about a participant; log index and how
        many. What the log holds stays, and opens to nothing.

        Args:
            what: a participant's or an auditor's id, or one commitment.
            code: one of `REASON_CODES`.

        Raises:
            BadInput: another code.
            NotKnown: nothing of it that is not erased already.
            NotAllowed: neither the operator nor whom it is about.
            Unavailable: logged or not, send it again.
        """
        if code not in REASON_CODES:
            raise BadInput(f"code: expected one of {', '.join(REASON_CODES)}, got {code!r:.40}")
        with self._journal.writing():
            with self._journal.reading() as connection:
                one = disclosed.commitment(connection, what)
                if one is not None:
                    found = [one] if one.erased is None else []
                else:
                    found = disclosed.standing(connection, what) if what else []
            about = one.participant if one is not None else what
            if caller.role != "operator" and caller.participant != about:
                raise NotAllowed(f"expected what is about {caller.participant}, got {what!r:.80}")
            if not found:
                raise NotKnown(
                    f"{what!r:.80}: expected a participant or a commitment with a disclosure that "
                    "is not erased, got none; see what there is with: tds audit disclose"
                )
            commitments: list[Json] = [row.commitment for row in found]
            body: dict[str, Json] = {
                "commitments": commitments,
                "participant": about,
                "by": caller.participant,
                "code": code,
            }
            entry = entry_bytes("DisclosureErased", time=instant(self._edge.clock()), body=body)
            index = self._journal.commit([entry]).first_index
            # A crash here leaves files that the log says are erased: the start removes them.
            self._files.erase([row.commitment for row in found])
        return index, str(len(found))


def _auditor_key(key: bytes) -> str:
    try:
        parse_disclosure_key(key)
    except DocumentError as error:
        raise BadInput(f"auditor: {error}; make one with: tds audit keygen") from error
    return key.hex()


def _profile(title: str) -> Profile | None:
    try:
        return Profile.from_json({"title": title}) if title else None
    except DocumentError as error:
        raise BadInput(f"auditor: {error.where}: expected {error.expected}") from error


def _check_new(known: list[disclosed.Auditor], id: str, key: str) -> None:
    try:
        _PARTICIPANT.validate_python(id)
    except ValidationError as error:
        raise BadInput(
            f"auditor: expected lowercase letters, digits and dashes, at most 63, got {id!r:.80}"
        ) from error
    if any(one.id == id or one.disclosure_key == key for one in known):
        raise RuleBroken(f"auditor {id}: expected a new id and a new key, got one that stands")
    if len(known) >= MAX_AUDITORS:
        raise RuleBroken(f"auditors: expected at most {MAX_AUDITORS}, got one more")
