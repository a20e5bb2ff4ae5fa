"""Opening what a log only commits to, with the disclosures that lie beside it.

Every text is checked against the commitment that an entry carries; whatever opens none, or was
altered, is named as a fault. What the log says was erased is not opened, even where an old copy of
its file still could be: that copy is named, so that it can be erased, too.

Works on the entries as they stand: call `auditors.verify.verify_folder` first to know that nobody
changed them. Memory grows with the commitments, not with the entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from auditors.errors import AuditInputError, RuleViolated
from auditors.snapshot import Snapshot
from policies.canonical import Json
from policies.disclosure import COMMITTING_TYPES, Profile, committed_in, value_json
from policies.entries import Entry, parse_entry
from policies.errors import DocumentError, PolicyError, SealError
from policies.sealing import MAX_SEALED_BYTES, Sealed, parse_sealed, unseal

SUFFIX: Final = ".json"
MAX_FILES: Final = 1_000_000
State = Literal["disclosed", "erased", "sealed-to-others", "not-disclosed", "faulty"]
_ERASED: Final = "DisclosureErased"
_CREATED: Final = ("SpaceCreated", "NodeCreated")
# An entry's one spelling ends with its type: most lines need not be parsed.
_ENDS: Final = tuple(
    f'"type":"{name}"}}'.encode() for name in (*_CREATED, *COMMITTING_TYPES, _ERASED)
)


@dataclass(slots=True)
class Shown:
    """A commitment of the log, and what is known of it.

    Attributes:
        entry, type: of the first entry that carries it.
        participant: whom it is about; "" for nobody.
        state: whether it was opened, and why not.
        value: what opens it; None unless it was disclosed.
        erased: index of the entry that says so; None while it stands.
    """

    commitment: str
    kind: str
    entry: int
    type: str
    time: str
    participant: str
    state: State = "not-disclosed"
    value: dict[str, Json] | None = None
    erased: int | None = None


@dataclass(slots=True)
class Disclosed:
    """What was found; commitments in the log's order.

    Attributes:
        faults: files that are damaged, open nothing, or should be gone; each a sentence.
        opened: how many files the key opened.
    """

    space: str
    commitments: list[Shown] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    opened: int = 0

    def names(self) -> dict[str, str]:
        """The title of each participant and auditor whose profile was opened, by pseudonym."""
        return {
            one.participant: str(one.value["title"])
            for one in self.commitments
            if one.kind == "profile" and one.value is not None
        }


def disclose(
    folder: Path, disclosures: Path, key: X25519PrivateKey, *, size: int | None = None
) -> Disclosed:
    """Open what this key opens.

    Args:
        folder: a log's folder: a space's, or a node's own.
        disclosures: a copy of the space's folder of that name, or a part of it.
        key: a participant's, an auditor's or the operator's.
        size: entries to read; all if None.

    Raises:
        AuditInputError, IntegrityBroken: a folder cannot be read, or is no log's.
        RuleViolated: an entry that has to be read cannot be.
    """
    found = commitments_of(folder, size=size)
    known = {one.commitment: one for one in found.commitments}
    for path in _files(disclosures):
        try:
            sealed = _read(path)
            one = known.get(sealed.commitment)
            if one is None:
                raise SealError(
                    f"disclosure {sealed.commitment}: expected its commitment in the log, got no "
                    "entry that carries it; it belongs to another log, or to a newer copy"
                )
            if one.erased is not None:
                found.faults.append(
                    f"{path}: erased in entry {one.erased}, expected no copy of it any more; "
                    "delete the file"
                )
                continue
            _open(found, one, sealed, key)
        except (SealError, DocumentError) as error:
            found.faults.append(f"{path}: {error}")
    return found


def commitments_of(folder: Path, *, size: int | None = None) -> Disclosed:
    """Every commitment of a log, none of them opened; errors as `disclose`."""
    found = Disclosed(space="")
    known: dict[str, Shown] = {}
    for index, entry in _entries(folder, size):
        body: dict[str, Any] = entry.body
        if entry.type in _CREATED:
            space = body.get("space")
            found.space = str(space.get("name") if isinstance(space, dict) else space)
        elif entry.type == _ERASED:
            for commitment in body.get("commitments") or ():
                if (one := known.get(commitment)) is not None and one.erased is None:
                    one.state, one.erased = "erased", index
        elif (carried := committed_in(entry)) is not None and carried.commitment not in known:
            known[carried.commitment] = Shown(
                commitment=carried.commitment,
                kind=carried.kind,
                entry=index,
                type=entry.type,
                time=entry.time,
                participant=carried.participant,
            )
    found.commitments = list(known.values())
    return found


def _open(found: Disclosed, one: Shown, sealed: Sealed, key: X25519PrivateKey) -> None:
    try:
        opening = unseal(sealed, key, space=found.space)
    except SealError as error:
        if error.for_this_key:
            one.state = "faulty"
            raise
        one.state = "sealed-to-others"
        return
    found.opened += 1
    if opening.kind != one.kind or (one.kind == "profile") != isinstance(opening.value, Profile):
        one.state = "faulty"
        raise SealError(
            f"disclosure {one.commitment}: expected a {one.kind} as entry {one.entry} has it, got "
            f"a {opening.kind}"
        )
    one.state, one.value = "disclosed", value_json(opening)


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.name.endswith(SUFFIX) and not path.name.startswith(".")
        )
    except OSError as error:
        raise AuditInputError(
            f"{folder}: expected a folder with disclosures, got: {error.strerror}; copy the "
            "space's disclosures/ beside the log"
        ) from error
    if len(found) > MAX_FILES:
        raise AuditInputError(f"{folder}: expected at most {MAX_FILES} files, got {len(found)}")
    return found


def _read(path: Path) -> Sealed:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SEALED_BYTES + 1)
    except OSError as error:
        raise SealError(f"expected to read it, got: {error.strerror}; copy it again") from error
    sealed = parse_sealed(data)
    if path.name != sealed.commitment + SUFFIX:
        raise SealError(f"expected the disclosure of its name, got that of {sealed.commitment}")
    return sealed


def _entries(folder: Path, size: int | None) -> Iterator[tuple[int, Entry]]:
    for index, line in Snapshot.take(folder).entries():
        if size is not None and index >= size:
            return
        if line.endswith(_ENDS):
            try:
                yield index, parse_entry(line)
            except PolicyError as error:
                raise RuleViolated(index, "entry-readable", str(error)[:500]) from error
