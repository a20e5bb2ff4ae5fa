"""The rules that an intact log must also keep, checked entry by entry in the log's order.

    permit-decided      a permit follows at once on the decision that it names, and is for exactly
                        those whom the decision permits, in its run, round, kind and attempt
    permit-agreed       it names only agreements that were concluded, and whose consent still stood
    permit-once         its id was never used before
    permit-reserves     it reserves for each member what its run states for one use
    voucher-covers      what it pays was left of the run's own voucher
    receipt-permitted   an accepted receipt is signed by the enrolled key, answers a logged permit
                        that is neither closed nor abandoned
    receipt-in-bounds   of a member of its cohort, once, with at most the registered rows and the
                        reserved seconds, before the permit expired and consent was withdrawn
    close-chained       a round's close names the close before it and only accepted receipts
    close-answers       its weights are the rows of those receipts
    close-duties        with a result, all that is owed to those who took part is declared, and
                        borne out as far as the close can show it

Whether each decision follows from the policies in force is for `auditors.wholelog`; here every
document is taken as it stands. Works on an intact log only: call `auditors.verify.verify_folder`
first. What is held in memory grows with participants, agreements, runs and permit ids.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auditors.snapshot import Snapshot
from auditors.spending import Spending
from policies.account import metered_seconds, whole_seconds
from policies.canonical import digest_of
from policies.entries import Entry, parse_entry
from policies.errors import PolicyError
from policies.fields import parse_instant
from policies.permit import CohortMember, PermitBody
from policies.post_duties import unfulfilled
from policies.receipt import Receipt, open_receipt


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that an entry breaks, with what was expected and what stands there."""

    index: int
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class _Issued:
    """A permit as logged, and who has answered it: entry and rows of the accepted receipt."""

    body: PermitBody
    answered: dict[str, tuple[int, int]] = field(default_factory=dict)


def check_rules(folder: Path, *, size: int) -> list[Violation]:
    """Every broken rule among the first `size` entries of an intact log, in the log's order.

    Args:
        folder: the log's folder.
        size: as `verify_folder` returned it; later entries are not looked at.

    Raises:
        AuditInputError: the folder cannot be read.
    """
    checker = Rules()
    for index, line in Snapshot.take(folder).entries():
        if index >= size:
            break
        try:
            entry = parse_entry(line)
        except PolicyError as error:
            checker.broken(index, "entry-readable", str(error))
            continue
        checker.look(index, entry)
    return checker.violations


class Rules:
    """What the log has said so far."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._signatures = True
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._agreements: dict[str, str] = {}
        self._withdrawn: dict[str, int] = {}
        self._permits: dict[str, _Issued] = {}
        self._permit_ids: dict[str, int] = {}
        self._last_close: dict[str, int] = {}
        self.spending = Spending()
        self._decision: tuple[int, dict[str, Any]] = (-1, {})

    def broken(self, index: int, rule: str, text: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(index=index, rule=rule, text=text))

    def look(self, index: int, entry: Entry, *, signatures: bool = True) -> None:
        """Take one entry in. A body in another form than governance writes breaks a rule too.

        Args:
            signatures: whether to open a receipt; if not, somebody else does.
        """
        self._signatures = signatures
        look = getattr(self, f"_on_{entry.type}", None)
        if look is None:
            return
        try:
            look(index, entry.body)
        except (KeyError, TypeError, ValueError, PolicyError) as error:
            self.broken(index, "entry-readable", f"{entry.type}: {type(error).__name__}: {error}")

    def _on_ParticipantEnrolled(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        if body["receipt_key"]:
            raw = bytes.fromhex(body["receipt_key"])
            self._keys[body["participant"]] = Ed25519PublicKey.from_public_bytes(raw)

    def _on_AgreementConcluded(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self._agreements[body["agreement"]] = body["product"]

    def _on_ConsentWithdrawn(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self._withdrawn.setdefault(body["agreement"], index)

    def _on_RunOpened(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self.spending.opened(body)

    def _on_VoucherIssued(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self.spending.issued(index, body)

    def _on_RoundDecided(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self._decision = (index, body)

    def _on_PermitIssued(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        permit = PermitBody.from_json(body)
        for text in self._undecided(index, permit):
            self.broken(index, "permit-decided", f"{permit.id}: {text}")
        if permit.id in self._permit_ids:
            self.broken(
                index,
                "permit-once",
                f"{permit.id}: expected a new id, it stands in entry {self._permit_ids[permit.id]}",
            )
        for rule, text in self.spending.reserved(permit):
            self.broken(index, rule, text)
        for member in permit.cohort:
            for text in self._disagreements(member):
                self.broken(index, "permit-agreed", f"{permit.id}, {member.participant}: {text}")
        self._permit_ids.setdefault(permit.id, index)
        self._permits[permit.digest()] = _Issued(body=permit)

    def _undecided(self, index: int, permit: PermitBody) -> Iterator[str]:
        at, decided = self._decision
        if at != index - 1 or digest_of(decided["decision"]) != permit.decision:
            yield f"expected the decision {permit.decision[:16]}… in entry {index - 1}"
            return
        expected = tuple(decided[name] for name in ("run", "round", "kind", "attempt"))
        got = (permit.run, permit.round, permit.kind, permit.attempt)
        if expected != got:
            yield f"expected run, round, kind and attempt {expected}, got {got}"
        verdicts = decided["decision"]["verdicts"]
        taking = [(one["participant"], one["product"]) for one in verdicts if one["permitted"]]
        cohort = [(member.participant, member.product) for member in permit.cohort]
        if taking != cohort:
            yield f"expected the {len(taking)} whom the decision permits, got {len(cohort)} others"
            return
        reports = [str(one["report"]) for one in verdicts if one["permitted"]]
        for member, report in zip(permit.cohort, reports, strict=True):
            if member.report != report:
                yield (
                    f"{member.participant}: expected the report {report[:16]}… that it was "
                    f"permitted by, got {member.report[:16]}…"
                )

    def _disagreements(self, member: CohortMember) -> Iterator[str]:
        product = self._agreements.get(member.agreement)
        if product != member.product:
            yield (
                f"expected a concluded agreement {member.agreement} about {member.product}, "
                f"got {'none' if product is None else 'one about ' + product}"
            )
        if member.agreement in self._withdrawn:
            at = self._withdrawn[member.agreement]
            yield f"expected a standing consent, it was withdrawn in entry {at}"

    def _on_ReceiptAccepted(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        issued = self._permits.get(body["permit"])
        if issued is None:
            self.broken(
                index,
                "receipt-permitted",
                f"expected an open permit with digest {body['permit'][:16]}…, got none",
            )
            return
        member = _member(issued.body, body["participant"])
        key = self._keys.get(body["participant"])
        if member is None or key is None:
            self.broken(
                index,
                "receipt-in-bounds",
                f"{body['participant']}: expected an enrolled member of the permit's cohort",
            )
            return
        for text in self._out_of_turn(issued, member):
            self.broken(index, "receipt-in-bounds", f"{member.participant}: {text}")
        issued.answered.setdefault(member.participant, (index, body["rows_used"]))
        if self._signatures:
            receipt = open_receipt(_decode(body["envelope"]), key)
            for rule, text in _receipt_problems(body, receipt, issued.body, member):
                self.broken(index, rule, f"{member.participant}: {text}")

    def _out_of_turn(self, issued: _Issued, member: CohortMember) -> Iterator[str]:
        if member.participant in issued.answered:
            at, _ = issued.answered[member.participant]
            yield f"expected one receipt for {issued.body.id}, entry {at} is one"
        if member.agreement in self._withdrawn:
            at = self._withdrawn[member.agreement]
            yield f"consent was withdrawn in entry {at}, before this use"

    def _on_RoundAbandoned(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        self._settle(body["permit_id"])

    def _settle(self, permit_id: str) -> None:
        """A permit that is closed or abandoned: no receipt answers it any more."""
        for digest in [key for key, one in self._permits.items() if one.body.id == permit_id]:
            del self._permits[digest]

    def _on_RoundClosed(self, index: int, body: dict[str, Any]) -> None:  # noqa: N802
        before = self._last_close.get(body["run"])
        if body["previous"] != before:
            self.broken(
                index,
                "close-chained",
                f"{body['run']}: expected the previous close in entry {before}, "
                f"got {body['previous']}",
            )
        self._last_close[body["run"]] = index
        self._check_duties(index, body)
        issued = self._permits.get(body["permit"])
        answered = issued.answered if issued is not None else {}
        for item in body["accepted"]:
            found = answered.get(item["participant"])
            if found is None:
                text = "expected an accepted receipt for what is aggregated, got none"
                self.broken(index, "close-answers", f"{item['participant']}: {text}")
            elif found[1] != item["rows"]:
                text = f"expected the {found[1]} rows of its accepted receipt, got {item['rows']}"
                self.broken(index, "close-answers", f"{item['participant']}: {text}")
        if issued is not None:
            self._settle(issued.body.id)

    def _check_duties(self, index: int, body: dict[str, Any]) -> None:
        issued = self._permits.get(body["permit"])
        if issued is None or not body["quorum_met"]:
            return
        taking_part = {item["participant"] for item in body["accepted"]}
        owed = unfulfilled(
            issued.body,
            taking_part,
            body["duties"],
            metrics=body["metrics"],
            model=body["model"],
        )
        for text in owed:
            self.broken(index, "close-duties", f"{issued.body.id}: expected it declared: {text}")


def _receipt_problems(
    body: dict[str, Any], receipt: Receipt, permit: PermitBody, member: CohortMember
) -> Iterator[tuple[str, str]]:
    for name, expected, got in (
        ("permit", permit.digest(), receipt.permit),
        ("run", permit.run, receipt.run),
        ("round", permit.round, receipt.round),
        ("participant", member.participant, receipt.participant),
        ("product", member.product, receipt.product),
        ("update", receipt.update, body["update"]),
        ("digest", digest_of(receipt.to_json()), body["receipt"]),
        ("rows", receipt.rows_used, body["rows_used"]),
        ("metered", metered_seconds(*_times(receipt), member.metered_s), body["metered_s"]),
    ):
        if expected != got:
            yield "receipt-permitted", f"{name}: expected {expected}, got {got}"
    if receipt.rows_used + receipt.rows_held_back > member.max_rows:
        yield (
            "receipt-in-bounds",
            f"expected at most {member.max_rows} rows, got "
            f"{receipt.rows_used} and {receipt.rows_held_back} held back",
        )
    used_s = whole_seconds(*_times(receipt))
    if used_s is not None and used_s > member.metered_s:
        text = f"expected at most the {member.metered_s} seconds reserved, got {used_s}"
        yield "receipt-in-bounds", text
    if receipt.finished > permit.expires:
        text = f"expected an end before the permit's, {permit.expires}, got {receipt.finished}"
        yield "receipt-in-bounds", text


def _times(receipt: Receipt) -> tuple[datetime, datetime]:
    return parse_instant(receipt.started), parse_instant(receipt.finished)


def _member(permit: PermitBody, participant: str) -> CohortMember | None:
    return next((m for m in permit.cohort if m.participant == participant), None)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("envelope: expected base64") from error
