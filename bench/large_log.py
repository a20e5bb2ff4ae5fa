"""A large governed log, made fast: what governance would write for many rounds, really signed.

Ten enterprises under policies of the usual kinds, runs of 200 rounds and an evaluation, one reply
in a while missing. Each decision is made by `policies`, from what `auditors` knows of the entries
before it, so that a replay of the log finds nothing to name.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditors.register import KINDS, Register
from auditors.runs import Runs
from auditors.spending import Spending
from ledger.log import Log
from ledger.note import NoteSigner
from policies.canonical import canonical_bytes, digest_of, sha256_hex
from policies.certificate import Certificate, sign_certificate
from policies.cohort import Candidate, RoundDecision, decide_round
from policies.cover import decide_covered
from policies.derived import derived_from
from policies.entries import EntryType, entry_bytes
from policies.envelope import key_id, sign_envelope
from policies.evaluate import Request
from policies.fields import instant
from policies.law import baseline_digest, parse_baseline
from policies.left_values import left_values
from policies.odrl import CONTEXT, PROFILE
from policies.permit import EXPIRY_GRACE, CohortMember, Limits, PermitBody
from policies.privacy_facts import fewest_opened
from policies.receipt import Confinement, Receipt, sign_receipt
from policies.refusals import app_reasons, claim_reasons
from policies.statements import AGREEMENT_TYPE, PRODUCT_TYPE, ProductCard, RunSpec
from server.laws import default_laws
from server.report_entries import report_entries

MEMBERS: Final = 10
ROUNDS: Final = 200
PURPOSE: Final = "medical-research"
CONSUMER: Final = "consortium"
SPACE: Final = "tdspace.example/bench"
APP: Final = sha256_hex(b"app")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE_S: Final = 300
BATCH: Final = 2_000


def write_folder(folder: Path, entries: Iterable[bytes]) -> NoteSigner:
    """A log's folder with these entries; returns who signed it."""
    signer = NoteSigner(SPACE, _key("log"))
    with Log.open(
        folder=folder,
        database=folder.parent / "log.sqlite",
        last_signed=folder.parent / "last-signed",
        signer=signer,
    ) as log:
        batch: list[bytes] = []
        for entry in entries:
            batch.append(entry)
            if len(batch) == BATCH:
                log.append(batch)
                batch = []
        if batch:
            log.append(batch)
    return signer


class LargeLog:
    """What governance would log, entry by entry, without an end."""

    def __init__(self) -> None:
        self._index = 0
        self._register = Register()
        self._runs = Runs()
        self._spending = Spending()
        self._now = START
        self._names = [f"hospital-{number:02d}" for number in range(MEMBERS)]
        self._keys = {name: _key(name) for name in (*self._names, CONSUMER)}

    def entries(self) -> Iterator[bytes]:
        """The entries; what each means is known before the next is made."""
        yield from self._beginning()
        number = 0
        while True:
            number += 1
            yield from self._run(f"run-{number:032x}")

    # -- who takes part ----------------------------------------------------------------------------

    def _beginning(self) -> Iterator[bytes]:
        yield self._made("SpaceCreated", self._space())
        texts = default_laws()
        laws = [parse_baseline(text.encode()) for text in texts.values()]
        documents = [{"document": text} for text in texts.values()]
        digest = baseline_digest(laws)
        yield self._made("BaselineAdopted", {"digest": digest, "documents": documents})
        yield self._made("AppRegistered", {"app": APP, "filing": {"purposes": [PURPOSE]}})
        amount = {"voucher": "voucher-1", "consumer": CONSUMER, "amount": "100000000000"}
        yield self._made("VoucherIssued", {**amount, "request_id": "1"})
        for number, name in enumerate(self._names):
            yield self._made("ParticipantEnrolled", self._person(name, "node"))
            card = self._card(name)
            yield self._made("ProductRegistered", card)
            yield self._made("CertificateIssued", self._certificate(name, card["digest"]))
            yield self._made("AgreementConcluded", self._agreement(name, number))

    def _space(self) -> dict[str, Any]:
        registrar = _key("registrar").public_key().public_bytes_raw().hex()
        return {
            "space": {"name": SPACE, "registrar_key": registrar},
            "participants": [self._person(CONSUMER, "consumer")],
        }

    def _person(self, name: str, role: str) -> dict[str, Any]:
        key = self._keys[name].public_key().public_bytes_raw().hex()
        return {
            "participant": name,
            "role": role,
            "sector": "health",
            "region": "CN-GD",
            "receipt_key": key,
            "fleet_key": sha256_hex(name.encode()),
        }

    def _card(self, name: str) -> dict[str, Any]:
        card: dict[str, Any] = {
            "version": 1,
            "id": f"{name}/records",
            "participant": name,
            "description": sha256_hex(b"title and columns"),
            "rows": 10_000,
            "modality": "tabular",
            "classification": "general",
            "personal_information": False,
            "registered": instant(self._now),
            "execution_environment": "isolated",
        }
        full = ProductCard.from_json(card).to_json()
        skipped = ("version", "id", "modality", "registered", "jurisdiction")
        return {name: value for name, value in full.items() if name not in skipped} | {
            "product": card["id"],
            "digest": digest_of(card),
            "jurisdiction": "mainland",
            "envelope": _envelope(card, PRODUCT_TYPE, self._keys[name]),
        }

    def _certificate(self, name: str, digest: str) -> dict[str, Any]:
        certificate = Certificate(
            version=1,
            serial=f"certificate-{hashlib.md5(name.encode()).hexdigest()}",
            product=f"{name}/records",
            digest=digest,
            owner=name,
            issuer=SPACE,
            not_before=instant(self._now),
            not_after=instant(self._now + timedelta(days=3_000)),
        )
        envelope = base64.b64encode(sign_certificate(certificate, _key("registrar"))).decode()
        dropped = certificate.to_json()
        del dropped["version"], dropped["issuer"]
        return {**dropped, "envelope": envelope}

    def _agreement(self, name: str, number: int) -> dict[str, Any]:
        document = {
            "@context": [CONTEXT],
            "@id": f"agreement-{name}",
            "@type": "Agreement",
            "profile": PROFILE,
            "conflict": "prohibit",
            "target": f"{name}/records",
            "assigner": name,
            "assignee": CONSUMER,
            "timestamp": instant(self._now),
            "permission": [{"action": "use", "constraint": _constraints(number, self._names)}],
        }
        if number % 4 == 0:
            document["obligation"] = [{"action": "delete"}]
        text = canonical_bytes(document).decode()
        signed = {"version": 1, "participant": name, "document": text}
        return {
            "agreement": document["@id"],
            "product": document["target"],
            "assigner": name,
            "assignee": CONSUMER,
            "document": text,
            "digest": digest_of(document),
            "envelope": _envelope(signed, AGREEMENT_TYPE, self._keys[name]),
        }

    # -- a run -------------------------------------------------------------------------------------

    def _run(self, run: str) -> Iterator[bytes]:
        spec = RunSpec(
            version=1,
            app=APP,
            purpose=PURPOSE,
            agreements=[f"agreement-{name}" for name in self._names],
            rounds=ROUNDS,
            deadline_s=DEADLINE_S,
            quorum=2,
            min_cohort=3,
            memory_bytes=1 << 30,
            metrics=["train_loss", "eval_loss", "eval_accuracy", "num-examples"],
            config={},
            pays="2",
            voucher="voucher-1",
        )
        body = {"run": run, "consumer": CONSUMER, "request_id": run, "config": {"epochs": 1}}
        yield self._made("RunOpened", {**body, "spec": spec.to_json()})
        for _ in range(ROUNDS + 1):
            yield from self._round(run, spec)
        known = self._runs.known[run]
        ended = {"run": run, "state": "COMPLETED", "reason": "all rounds are closed"}
        place = {"closed_rounds": ROUNDS, "model": known.model, "last_close": known.last_close}
        yield self._made("RunEnded", ended | place)

    def _round(self, run: str, spec: RunSpec) -> Iterator[bytes]:
        self._now += timedelta(seconds=7)
        known = self._runs.known[run]
        kind, number = known.next_round
        model = known.model or sha256_hex(b"model 0")
        decision = self._decide(run, spec, kind)
        for entry in report_entries(
            decision, run=run, round_=number, kind=kind, attempt=1, time=instant(self._now)
        ):
            self._index += 1
            yield entry
        flower = "18000000000000000001"
        logged = decision.to_json()
        yield self._made(
            "RoundDecided",
            {
                "run": run,
                "flower_run": flower,
                "round": number,
                "attempt": 1,
                "kind": kind,
                "model": model,
                "request_id": f"{run}-{number}",
                "request": sha256_hex(f"{run}-{number}".encode()),
                "nodes": {name: str(1000 + at) for at, name in enumerate(self._names)},
                "baseline": self._register.laws_digest,
                "decision": logged,
                "digest": digest_of(logged),
            },
        )
        permit = self._permit(run, spec, kind, number, model, flower, decision)
        yield self._made("PermitIssued", permit.to_json())
        yield from self._answers(permit, number)
        yield self._closed(run, permit, number)

    def _decide(self, run: str, spec: RunSpec, kind: str) -> RoundDecision:
        register, opened = self._register, self._runs.known[run]
        facts = app_reasons(register.apps.get(APP), APP, PURPOSE, self._now)
        voucher = self._spending.voucher(spec.voucher, CONSUMER)
        candidates = []
        for id in spec.agreements:
            claim, concluded = register.claim(id), register.agreements[id]
            state = left_values(
                claim,
                concluded.agreement,
                concluded.account,
                register.given(claim.product).losses,
                spec,
                opened.entry,
                CONSUMER,
                kind,
                self._now,
                register.people[CONSUMER],
                voucher,
            )
            candidates.append(
                Candidate(
                    participant=claim.participant,
                    product=claim.product,
                    agreement=concluded.agreement,
                    facts=claim_reasons(claim, facts, True, self._now),
                    state=state,
                    request=Request(claim.product, CONSUMER, kind),
                    rows=claim.rows,
                )
            )
        decide = partial(
            decide_round,
            min_cohort=spec.min_cohort,
            opened=fewest_opened(spec.secure_sum, spec.min_cohort),
            baseline=register.laws,
        )
        return decide_covered(candidates, decide, pays=Decimal(spec.pays), voucher=voucher)

    def _permit(
        self,
        run: str,
        spec: RunSpec,
        kind: Any,
        number: int,
        model: str,
        flower: str,
        decision: RoundDecision,
    ) -> PermitBody:
        cohort = []
        for verdict in decision.permitted:
            name = verdict.participant
            agreement = self._register.agreements[f"agreement-{name}"].agreement
            cohort.append(
                CohortMember(
                    participant=name,
                    product=verdict.product,
                    agreement=agreement.id,
                    key=key_id(self._keys[name].public_key()),
                    report=sha256_hex(verdict.document or b""),
                    max_rows=10_000,
                    metered_s=spec.deadline_s,
                    epsilon="",
                    pays=spec.pays,
                    duties=list(agreement.post_duties),
                    sealing="",
                )
            )
        return PermitBody(
            version=1,
            id=f"permit-{hashlib.md5(f'{run} {number}'.encode()).hexdigest()}",
            space=SPACE,
            run=run,
            flower_run=flower,
            round=number,
            attempt=1,
            kind=kind,
            consumer=CONSUMER,
            consumer_sector="health",
            consumer_region="CN-GD",
            purpose=spec.purpose,
            app=spec.app,
            config=digest_of({"epochs": 1}),
            model=model,
            architecture=sha256_hex(b"architecture"),
            metrics=list(spec.metrics),
            clip_norm=spec.clip_norm,
            secure_sum=None,
            privacy=None,
            cohort=cohort,
            min_cohort=spec.min_cohort,
            voucher=spec.voucher,
            limits=Limits(
                wall_s=spec.deadline_s,
                memory_bytes=spec.memory_bytes,
                accelerator=spec.accelerator,
            ),
            decision=decision.digest,
            issued=instant(self._now),
            expires=instant(self._now + timedelta(seconds=spec.deadline_s) + EXPIRY_GRACE),
        )

    def _answers(self, permit: PermitBody, number: int) -> Iterator[bytes]:
        digest = permit.digest()
        started = instant(self._now)
        self._now += timedelta(seconds=4)
        for at, member in enumerate(permit.cohort):
            name = member.participant
            body: dict[str, Any] = {
                "run": permit.run,
                "round": permit.round,
                "kind": permit.kind,
                "attempt": 1,
                "permit": digest,
                "permit_id": permit.id,
                "submission": sha256_hex(permit.id.encode()),
                "node_id": str(1000 + at),
                "participant": name,
                "product": member.product,
            }
            if (at + number) % 40 == 0:
                silent = {"code": "no-reply", "text": "no reply in time", "receipt": ""}
                yield self._made("ReceiptRefused", body | silent | {"reported": True})
                continue
            train = permit.kind == "train"
            update = sha256_hex(f"{permit.id} {name}".encode() if train else b"")
            receipt = Receipt(
                version=1,
                permit=digest,
                permit_id=permit.id,
                run=permit.run,
                round=permit.round,
                participant=name,
                product=member.product,
                product_commitment=sha256_hex(b"file"),
                rows_commitment=sha256_hex(b"rows"),
                rows_used=8_000 if train else 0,
                rows_held_back=2_000,
                rows_without_consent=0,
                accelerator="none",
                update=update,
                metrics={"train_loss": "0.51234", "num-examples": "8000"},
                clip_norm="",
                mask_key="",
                noise="",
                confinement=Confinement.measured(
                    network="none",
                    user="nobody",
                    files="own",
                    no_new_privileges=True,
                    memory_limit=True,
                    scratch="bounded",
                ),
                started=started,
                finished=instant(self._now - timedelta(milliseconds=300)),
                log_size=number,
                log_root=sha256_hex(f"{number}".encode()),
            )
            envelope = base64.b64encode(sign_receipt(receipt, self._keys[name])).decode()
            answered = {
                "metered_s": 4,
                "rows_used": receipt.rows_used,
                "rows_held_back": 2_000,
                "update": update,
                "receipt": digest_of(receipt.to_json()),
                "envelope": envelope,
            }
            yield self._made("ReceiptAccepted", body | answered)

    def _closed(self, run: str, permit: PermitBody, number: int) -> bytes:
        opened = self._runs.known[run]
        assert opened.permit is not None
        accepted = list(opened.permit.accepted)
        there = {one["participant"] for one in accepted}
        left_out = [
            {
                "participant": member.participant,
                "product": member.product,
                "code": "no-reply",
                "text": "no reply in time",
            }
            for member in permit.cohort
            if member.participant not in there
        ]
        train = permit.kind == "train"
        used = [("general", None)] * (len(accepted) if train else 0)
        body = {
            "run": run,
            "round": number,
            "kind": permit.kind,
            "attempt": 1,
            "permit": permit.digest(),
            "permit_id": permit.id,
            "accepted": accepted,
            "left_out": left_out,
            "model": sha256_hex(f"{run} {number}".encode()) if train else permit.model,
            "metrics": {"eval_loss": "0.4", "eval_accuracy": "0.93"},
            "quorum_met": True,
            "duties": {"delete": "dropped"},
            "derived": derived_from(opened.derived, used),
            "previous": opened.last_close,
        }
        return self._made("RoundClosed", body)

    # -- what an entry means, so that the next can be made of it ---------------------------------

    def _made(self, kind: EntryType, body: dict[str, Any]) -> bytes:
        time, index = instant(self._now), self._index
        self._index += 1
        data = entry_bytes(kind, time=time, body=body)
        register, runs = self._register, self._runs
        if kind in KINDS:
            register.take(kind, index, time, body)
        elif kind == "VoucherIssued":
            list(self._spending.issued(index, body))
        elif kind == "RunOpened":
            self._spending.opened(body)
            runs.opened(index, body)
        elif kind == "RunEnded":
            runs.ended(runs.known[body["run"]], body)
        else:
            self._in_run(kind, index, time, body)
        return data

    def _in_run(self, kind: EntryType, index: int, time: str, body: dict[str, Any]) -> None:
        run = self._runs.known[body["run"]]
        if kind == "RoundDecided":
            self._runs.decided(run, time, body)
        elif kind == "PermitIssued":
            permit = PermitBody.from_json(body)
            self._runs.permitted(run, permit)
            self._register.reserve(permit)
            list(self._spending.reserved(permit))
        elif kind == "ReceiptAccepted":
            self._runs.accepted(run, body)
            id = f"agreement-{body['participant']}"
            self._register.commit(body["permit_id"], id, body["metered_s"])
        elif kind == "ReceiptRefused":
            self._runs.refused(run, body)
        elif kind == "RoundClosed":
            assert run.permit is not None
            self._register.keep(run.permit.body)
            self._runs.closed(run, index, body)


def _constraints(number: int, names: list[str]) -> list[dict[str, Any]]:
    """What enterprises usually ask for: each its purpose, and one or two more."""
    asked = [_constraint("purpose", "isA", PURPOSE)]
    more = [
        _constraint("count", "lteq", _typed("1000000", "integer")),
        _constraint("dateTime", "lt", _typed("2040-01-01T00:00:00Z", "dateTime")),
        _constraint("minParticipants", "gteq", _typed("3", "integer")),
        _constraint("recipient", "eq", CONSUMER),
        _constraint("spatial", "isPartOf", "CN"),
        _constraint("meteredTime", "lteq", _typed("PT9000000H", "duration")),
        _constraint("executionEnvironment", "eq", "isolated"),
        _constraint("togetherWith", "hasPart", names[0]),
        _constraint("industry", "eq", "health"),
    ]
    return [*asked, more[number % len(more)], more[(number + 4) % len(more)]]


def _constraint(left: str, operator: str, right: object) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _typed(value: str, kind: str) -> dict[str, str]:
    return {"@value": value, "@type": f"xsd:{kind}"}


def _envelope(payload: object, kind: str, key: Ed25519PrivateKey) -> str:
    return base64.b64encode(sign_envelope(payload, payload_type=kind, key=key)).decode()


def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
