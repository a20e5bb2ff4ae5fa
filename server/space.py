"""A space on the operator's machine: one folder with every key, made once and moved as a whole.

space.json                      what everybody may know, and who operates and consumes
ca/        ca.crt ca.key        signs certificates; needed only while participants enrol
keys/      permit.key log.key registrar.key   Ed25519, PKCS #8; disclosure.key  X25519, PKCS #8
governance/ tls.crt tls.key     and, once it ran, governance.db, last-signed, and ledger.db
                                unless space.json names a log_database elsewhere
superlink/ tls.crt tls.key superexec.secret home/
operator/  tls.crt tls.key ca.crt operator.json
consumer/  tls.crt tls.key ca.crt consumer.json statement.key models/ contracts/
baseline/                       the space's laws (*.jsonld), which governance adopts as it starts
witness-policy                  whose cosignatures a permit must carry (C2SP tlog-policy); optional
log/                            the published log: what an auditor copies
disclosures/                    what opens the log's commitments, sealed (server.disclosures)
apps/                           registered app bundles, by SHA-256
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import Field

from ledger.errors import KeyRefused, LedgerError, PolicyRefused
from ledger.note import NoteSigner
from ledger.postgres_url import parse_postgres_url
from ledger.tlogpolicy import Policy, parse_policy
from policies.canonical import canonical_bytes, parse_json
from policies.certificate import MAX_DAYS
from policies.errors import DocumentError
from policies.fields import Document, Id, ParticipantId, Sha256, Version, instant
from policies.places import Region
from policies.space import Address, SpaceCard
from server.disclosures import Disclosures
from server.errors import CertificateError, SpaceError
from server.files import make_private_folder, read_file, read_secret, write_public, write_secret
from server.laws import default_laws, read_laws, write_laws
from server.pki import Authority, Identity, Issued, create_ca, issue_server, load_ca, new_client
from server.signing_keys import key_file, load_disclosure_key, load_key

MAX_CONFIG_BYTES = 65_536
STATEMENT_KEY = "statement.key"
WITNESS_POLICY = "witness-policy"
CallbackBase = Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]{1,500}$")]
CERTIFICATE_DAYS = 365
_FOLDERS = (
    "ca",
    "keys",
    "governance",
    "superlink",
    "superlink/home",
    "operator",
    "consumer",
    "consumer/models",
    "consumer/contracts",
    "log",
    "disclosures",
    "apps",
    "baseline",
)


class SpaceFile(Document):
    """`space.json`.

    Attributes:
        consumer_key: raw Ed25519 public key of the consumer's statements, hexadecimal.
        callbacks: where the endpoint may call participants back; each a URL that the address in
            their messages must begin with. Who is not named is not called: they ask.
        region: where operator and consumer are (ISO 3166); "" is unknown, and what depends on
            where a result goes is then refused.
        sector: the consumer's, such as `health`; "" is unknown.
        auto_certify: a product gets its certificate as it is registered; else the registrar's
            word is waited for (`tds product certify`).
        certificate_days: how long such a certificate is valid.
        log_database: where the log's database is: the URL of a PostgreSQL server, without a
            password (`ledger.postgres_url`); "" is the file in `governance/`.
        last_signed: where the last-signed record lies, an absolute path; "" is in `governance/`.
            Whoever backs the space up as one folder keeps it elsewhere: restored together with the
            log's database it would not tell that the database is an old one.
    """

    version: Version
    card: SpaceCard
    operator: ParticipantId
    consumer: ParticipantId
    consumer_key: Sha256 | None = None
    callbacks: dict[ParticipantId, CallbackBase] = Field(default={})
    region: Region | Literal[""] = ""
    sector: Annotated[str, Field(max_length=100)] = ""
    auto_certify: bool = True
    certificate_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = CERTIFICATE_DAYS
    log_database: str = Field(default="", max_length=2000, repr=False)
    last_signed: Annotated[str, Field(pattern=r"^(/[^\x00-\x1f]{1,1000})?$")] = ""


class ClientFile(Document):
    """`consumer.json`, `operator.json`: where governance is, and under which name to call it."""

    version: Version
    space: Id
    participant: ParticipantId
    governance: Address


@dataclass(frozen=True, slots=True)
class Space:
    """A space that was checked as a whole when it was loaded; secrets are read when needed."""

    folder: Path
    config: SpaceFile

    @property
    def card(self) -> SpaceCard:
        """What everybody in the space agrees on."""
        return self.config.card

    @property
    def database(self) -> Path:
        """The registry's file."""
        return self.folder / "governance" / "governance.db"

    @property
    def log_database(self) -> Path | str:
        """The log's database, a file or a URL; the published folder can be made again from it."""
        return self.config.log_database or self.folder / "governance" / "ledger.db"

    @property
    def last_signed(self) -> Path:
        """The record that keeps a restored backup from forking the log; back it up elsewhere."""
        elsewhere = self.config.last_signed
        return Path(elsewhere) if elsewhere else self.folder / "governance" / "last-signed"

    @property
    def log_folder(self) -> Path:
        """What an auditor copies."""
        return self.folder / "log"

    @property
    def disclosures_folder(self) -> Path:
        """What opens the log's commitments; not published."""
        return self.folder / "disclosures"

    @property
    def apps_folder(self) -> Path:
        """Registered app bundles."""
        return self.folder / "apps"

    @property
    def baseline_folder(self) -> Path:
        """The space's laws."""
        return self.folder / "baseline"

    def witness_policy(self) -> Policy:
        """Whose cosignatures a permit's checkpoint must carry; nobody's without the file.

        Raises:
            SpaceError: malformed, or it names other logs than this space's.
        """
        path = self.folder / WITNESS_POLICY
        if not path.exists():
            return Policy()
        try:
            policy = parse_policy(read_file(path))
        except PolicyRefused as error:
            raise SpaceError(f"{path}: {error}") from error
        if policy.logs and all(log.verifier.text != self.card.log_key for log in policy.logs):
            raise SpaceError(
                f"{path}: expected no log line or one with this space's key {self.card.log_key}"
            )
        return policy

    @property
    def operator_folder(self) -> Path:
        """The operator's client certificate, for `server.governance_client`."""
        return self.folder / "operator"

    @property
    def consumer_folder(self) -> Path:
        """The default consumer's, likewise."""
        return self.folder / "consumer"

    @property
    def superlink_folder(self) -> Path:
        """What flower-superlink is started with."""
        return self.folder / "superlink"

    def permit_key(self) -> Ed25519PrivateKey:
        """The key that signs permits; SpaceError if it is missing or readable by others."""
        return load_key(self.folder / "keys" / "permit.key")

    def registrar_key(self) -> Ed25519PrivateKey:
        """The key that signs products' certificates; errors as `permit_key`."""
        return load_key(self.folder / "keys" / "registrar.key")

    def disclosure_key(self) -> X25519PrivateKey:
        """The operator's key to all disclosures; errors as `permit_key`."""
        return load_disclosure_key(self.folder / "keys" / "disclosure.key")

    def disclosures(self) -> Disclosures:
        """What opens the log's commitments; for governance alone. Errors as `permit_key`."""
        return Disclosures(
            folder=self.disclosures_folder, space=self.card.name, key=self.disclosure_key()
        )

    def log_signer(self) -> NoteSigner:
        """The key that signs checkpoints; errors as `permit_key`."""
        return NoteSigner(self.card.name, load_key(self.folder / "keys" / "log.key"))

    def authority(self) -> Authority:
        """The space's CA; errors as `permit_key`."""
        ca = self.folder / "ca"
        try:
            return load_ca(read_file(ca / "ca.crt"), read_secret(ca / "ca.key"))
        except CertificateError as error:
            raise SpaceError(f"{ca}: {error}") from error

    def governance_tls(self) -> Issued:
        """Governance's server certificate and key; errors as `permit_key`."""
        folder = self.folder / "governance"
        return Issued(read_file(folder / "tls.crt"), read_secret(folder / "tls.key"))


def load_statement_key(folder: Path) -> Ed25519PrivateKey:
    """The key in a consumer's folder that signs its statements; errors as `Space.permit_key`."""
    return load_key(folder / STATEMENT_KEY)


def init_space(
    folder: Path,
    *,
    name: str,
    governance_address: str,
    enrolment_address: str,
    superlink_address: str,
    hosts: Sequence[str],
    now: datetime,
    operator: str = "operator",
    consumer: str = "consortium",
    contracts_address: str | None = None,
    region: str = "",
    sector: str = "",
    auto_certify: bool = True,
    certificate_days: int = CERTIFICATE_DAYS,
    baseline: Path | None = None,
    log_database: str = "",
    last_signed: Path | None = None,
) -> Space:
    """Make a space with all its keys; on an error nothing is left behind.

    Args:
        folder: must not exist, or be empty; its parent must exist.
        name: of the space; also the log's origin.
        governance_address, enrolment_address, superlink_address: host:port as others reach them.
        hosts: names and addresses for the two server certificates; this machine's own are added.
        now: when; certificates are valid from five minutes earlier.
        operator, consumer: participant ids of the two that come with the space.
        contracts_address: host:port of the Dataspace Protocol's endpoint; None for none.
        region, sector, auto_certify, certificate_days, log_database: as in `SpaceFile`.
        last_signed: file of the last-signed record; None is in the space's folder.
        baseline: a folder with the space's laws; None takes those of mainland China that come
            with this distribution.

    Raises:
        SpaceError: the folder is in the way or cannot be written, or an argument is malformed.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpaceError(f"{folder}: expected no such folder or an empty one; choose another")
    if not folder.parent.is_dir():
        raise SpaceError(f"{folder.parent}: expected a folder to make the space in, got none")
    if operator == consumer:
        raise SpaceError(f"operator and consumer: expected two participants, got {operator} twice")
    _check_log_database(log_database)
    laws = default_laws() if baseline is None else read_laws(baseline)
    # Built aside and renamed: a crash before the rename leaves a hidden folder and no space.
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    try:
        for sub in _FOLDERS:
            make_private_folder(work / sub)
        card = _make_keys(
            work,
            name=name,
            addresses=(governance_address, enrolment_address, superlink_address),
            hosts=hosts,
            people=(operator, consumer),
            now=now,
            contracts=contracts_address,
        )
        config = SpaceFile.from_json(
            {
                "version": 1,
                "card": card.to_json(),
                "operator": operator,
                "consumer": consumer,
                "region": region,
                "sector": sector,
                "auto_certify": auto_certify,
                "certificate_days": certificate_days,
                "log_database": log_database,
                "last_signed": str(last_signed.absolute()) if last_signed is not None else "",
                "consumer_key": _new_statement_key(work / "consumer"),
            }
        )
        for sub, participant in (("operator", operator), ("consumer", consumer)):
            place = ClientFile(
                version=1, space=card.name, participant=participant, governance=card.governance
            )
            write_public(work / sub / f"{sub}.json", _people_json(place))
        write_laws(work / "baseline", laws)
        write_public(work / "space.json", _people_json(config))
        work.rename(folder)
    except (DocumentError, ValueError, KeyRefused, CertificateError, OSError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise SpaceError(f"{folder}: the space was not made: {error}") from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return load_space(folder)


def load_space(folder: Path) -> Space:
    """The space in a folder, after checking that its parts belong together.

    Raises:
        SpaceError: a part is missing, readable by others, malformed, or another space's.
    """
    folder = folder.absolute()
    try:
        value = parse_json(read_file(folder / "space.json"), max_bytes=MAX_CONFIG_BYTES)
        config = SpaceFile.from_json(value)
    except DocumentError as error:
        raise SpaceError(f"{folder / 'space.json'}: {error}") from error
    _check_log_database(config.log_database)
    for sub in _FOLDERS:
        if not (folder / sub).is_dir():
            raise SpaceError(f"{folder / sub}: expected a folder of the space, got none")
    space = Space(folder=folder, config=config)
    card = config.card
    found = {
        "permit.key": (space.permit_key().public_key().public_bytes_raw().hex(), card.permit_key),
        "registrar.key": (
            space.registrar_key().public_key().public_bytes_raw().hex(),
            card.registrar_key,
        ),
        "log.key": (space.log_signer().verifier_key, card.log_key),
        "ca.crt": (space.authority().certificate_pem.decode(), card.ca_pem),
    }
    for what, (own, stated) in found.items():
        if own != stated:
            raise SpaceError(
                f"{folder}: expected {what} to be the one that space.json states, got another; "
                "files of two spaces were mixed, put the right one back"
            )
    space.governance_tls()
    space.disclosure_key()
    read_secret(folder / "superlink" / "superexec.secret")
    return space


def _check_log_database(url: str) -> None:
    """What it leaves out is not taken from the environment: a space means the same everywhere."""
    if url:
        try:
            parse_postgres_url(url, {})
        except LedgerError as error:
            raise SpaceError(f"log_database: {error}") from error


def _make_keys(
    work: Path,
    *,
    name: str,
    addresses: tuple[str, str, str],
    hosts: Sequence[str],
    people: tuple[str, str],
    now: datetime,
    contracts: str | None,
) -> SpaceCard:
    ca = create_ca(name, now=now)
    write_public(work / "ca" / "ca.crt", ca.certificate_pem)
    write_secret(work / "ca" / "ca.key", ca.key_pem)
    for sub in ("governance", "superlink"):
        _write_pair(work / sub, issue_server(ca, hosts, now=now))
    for sub, role, participant in zip(
        ("operator", "consumer"), ("operator", "consumer"), people, strict=True
    ):
        identity = Identity(space=name, role=role, participant=participant)
        _write_pair(work / sub, new_client(ca, identity, now=now))
        write_public(work / sub / "ca.crt", ca.certificate_pem)
    permit, log, registrar = (Ed25519PrivateKey.generate() for _ in range(3))
    write_secret(work / "keys" / "permit.key", key_file(permit))
    write_secret(work / "keys" / "log.key", key_file(log))
    write_secret(work / "keys" / "registrar.key", key_file(registrar))
    write_secret(work / "keys" / "disclosure.key", key_file(X25519PrivateKey.generate()))
    write_secret(work / "superlink" / "superexec.secret", secrets.token_bytes(32))
    return SpaceCard(
        version=1,
        name=name,
        permit_key=permit.public_key().public_bytes_raw().hex(),
        log_key=NoteSigner(name, log).verifier_key,
        registrar_key=registrar.public_key().public_bytes_raw().hex(),
        ca_pem=ca.certificate_pem.decode(),
        governance=addresses[0],
        enrolment=addresses[1],
        superlink=addresses[2],
        created=instant(now),
        contracts=contracts,
    )


def _new_statement_key(folder: Path) -> str:
    key = Ed25519PrivateKey.generate()
    write_secret(folder / STATEMENT_KEY, key_file(key))
    return key.public_key().public_bytes_raw().hex()


def _write_pair(folder: Path, issued: Issued) -> None:
    write_public(folder / "tls.crt", issued.certificate)
    write_secret(folder / "tls.key", issued.key)


def _people_json(document: Document) -> bytes:
    return canonical_bytes(document.to_json()) + b"\n"
