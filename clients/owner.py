"""What a node's owner does: apps, products, agreements, withdrawals; also while the node runs.

Each act works on the node's folder and holds from the moment its database has it. Entries for the
node's own log go through that database (clients.journal): a running node holds the log and appends
them; without one, `open_owner` does when it is left. Acts that governance must hear of
come in this order: check, tell governance, keep (products and agreements); withdrawing is the
exception, since an owner's no never waits for anybody: keep first, then tell, as often as needed.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clients.advance import new_withdrawal
from clients.appbundle import verify_bundle
from clients.environments import open_environment, read_environment
from clients.errors import ClientError, GovernanceError
from clients.files import replace_file
from clients.governance import GovernanceClient, OwnerPort, Registered
from clients.identity import NodeIdentity, load_identity
from clients.journal import log_pending
from clients.readiness import Readiness
from clients.registering import readiness_of, register_product
from clients.state import NodeState
from clients.status import NodeStatus, read_status
from clients.vitals import Contact
from policies.canonical import sha256_hex
from policies.disclosure import SALT_BYTES, Opening, ReasonText, new_opening
from policies.envelope import sign_envelope
from policies.errors import DocumentError
from policies.fields import instant
from policies.odrl import Agreement, parse_agreement
from policies.statements import (
    AGREEMENT_TYPE,
    WITHDRAWAL_TYPE,
    SignedAgreement,
)

LOGGER = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What became of a withdrawal; it holds on this node in any case.

    Attributes:
        before: consent had been taken back earlier; nothing changed.
        told: governance has it in its log; else the node goes on telling it.
        problem: why governance could not be told.
    """

    agreement: str
    before: bool
    told: bool
    problem: str = ""


class Owner:
    """The acts, for one node.

    Args:
        identity: the node.
        state: its database, possibly shared with the running node's process.
        governance: who must hear of products, agreements and withdrawals.
        clock: aware UTC now.
    """

    def __init__(
        self, *, identity: NodeIdentity, state: NodeState, governance: OwnerPort, clock: Clock
    ) -> None:
        self._identity = identity
        self._state = state
        self._governance = governance
        self._clock = clock

    def approve_app(self, bundle: bytes, *, environment: str = "") -> str:
        """Keep a bundle that the owner looked at, and allow it to run; returns its SHA-256.

        Args:
            environment: name of the packages that it may use besides this program's own.

        Raises:
            BundleError: no Flower bundle that this node could run.
            EnvironmentRefused: none of that name, or it was changed.
            FileRefused, StateUnavailable
        """
        app = sha256_hex(bundle)
        verify_bundle(bundle, expected_sha256=app)
        # The bundle first: an approval without it could not be acted on.
        digest = self._environment_digest(environment)
        replace_file(self._identity.paths.bundle(app), bundle)
        self._state.approve_app(
            app,
            time=instant(self._clock()),
            environment=environment,
            environment_digest=digest,
        )
        return app

    def use_environment(self, app: str, environment: str) -> None:
        """Approve an app again, with other packages; "" for this program's own only.

        Raises:
            ClientError: it is not approved now.
            EnvironmentRefused: as `approve_app`.
        """
        known = self._state.app(app)
        if known is None or known.revoked is not None:
            raise ClientError(
                f"app {app}: expected one that is approved, got one that is not; look at it and "
                "approve it: tds app approve"
            )
        self._state.approve_app(
            app,
            time=instant(self._clock()),
            environment=environment,
            environment_digest=self._environment_digest(environment),
        )

    def fetch_app(self, app: str) -> bytes:
        """The bundle that governance registered under this SHA-256, for the owner to look at.

        Raises:
            GovernanceError
            ClientError: what came has another hash.
        """
        bundle = self._governance.get_app(app)
        if sha256_hex(bundle) != app:
            raise ClientError(
                f"app {app}: expected a bundle with this SHA-256, got one with "
                f"{sha256_hex(bundle)}; do not run it, and tell the operator"
            )
        return bundle

    def revoke_app(self, app: str) -> bool:
        """Forbid a bundle from now on, also in the task that is running; False if it was before."""
        return self._state.revoke_app(app, time=instant(self._clock()))

    def add_product(self, path: Path) -> Registered:
        """Read a product, register what it is (none of its values), and keep its file.

        The data stays where it lies. A call that was cut off may be made again. A file with a
        higher `data_version` takes the place of the version before once governance has logged it.

        Raises:
            ProductError, VaultError: the file or its data.
            ClientError: another version was registered under this id.
            GovernanceError: not registered.
        """
        return register_product(
            path,
            identity=self._identity,
            state=self._state,
            governance=self._governance,
            now=self._clock(),
        )

    def readiness(self, path: Path) -> Readiness:
        """How fit a product's data is for training; for the owner only, nothing is sent.

        Raises:
            ProductError, VaultError: the file or its data.
        """
        return readiness_of(path, self._identity)

    def sign_agreement(self, document: bytes) -> Registered:
        """Sign an agreement and keep the node's own copy, word for word.

        From here on the node permits what it permits, until it is withdrawn. A call that was cut
        off may be made again.

        Raises:
            ClientError: malformed, another's, or for a product that this node does not have.
            GovernanceError: not concluded; nothing is kept.
        """
        agreement = self._own_agreement(document)
        signed = SignedAgreement(
            version=1, participant=self._identity.participant, document=document.decode("utf-8")
        )
        concluded = self._governance.conclude_agreement(
            self._sign(signed.to_json(), AGREEMENT_TYPE)
        )
        replace_file(self._identity.paths.agreements / f"{sha256_hex(document)}.json", document)
        self._state.add_agreement(
            agreement=agreement.id,
            digest=agreement.digest,
            product=agreement.target,
            document=document,
            time=instant(self._clock()),
        )
        return concluded

    def withdraw(self, agreement: str, reason: str) -> Withdrawn:
        """Take consent back, for good. A running task under it is ended and its result stays here.

        It holds on this node when this returns, whether governance could be told or not.

        Args:
            reason: in the owner's words; the logs commit to it, and what opens that commitment
                goes to governance with the statement. "" is none.

        Raises:
            ClientError: no such agreement on this node, or a reason that is too long.
            StateUnavailable: not withdrawn.
        """
        opening = _opening(reason)
        commitment = opening.commitment if opening is not None else ""
        try:
            statement = new_withdrawal(
                self._identity.participant, agreement, reason=commitment, now=self._clock()
            )
        except DocumentError as error:
            raise ClientError(f"withdrawal: {error}") from error
        fresh = self._state.withdraw(
            agreement,
            withdrawal=statement.id,
            envelope=self._sign(statement.to_json(), WITHDRAWAL_TYPE),
            reason=reason,
            commitment=commitment,
            opening=opening.to_bytes() if opening is not None else b"",
            time=statement.time,
        )
        problem = self.tell_governance()
        untold = {pending.agreement for pending in self._state.pending_withdrawals()}
        return Withdrawn(
            agreement=agreement, before=not fresh, told=agreement not in untold, problem=problem
        )

    def tell_governance(self) -> str:
        """Send every withdrawal that governance has not confirmed; returns the first problem.

        The running node calls this now and then, so that a withdrawal made while governance was
        down still reaches it. A crash between answer and mark sends it twice; it has one id.
        """
        problem = ""
        for pending in self._state.pending_withdrawals():
            try:
                self._governance.withdraw(pending.envelope, pending.opening)
            except GovernanceError as error:
                LOGGER.warning("withdrawal %s: governance was not told: %s", pending.id, error)
                problem = problem or str(error)
            else:
                self._state.mark_told(pending.id, time=instant(self._clock()))
        return problem

    def status(self) -> NodeStatus:
        """Everything the node's database knows, for people."""
        return read_status(self._identity, self._state)

    def _environment_digest(self, name: str) -> str:
        if not name:
            return ""
        folder = self._identity.paths.environments
        digest = read_environment(folder, name).digest
        return open_environment(folder, name, digest).digest

    def _own_agreement(self, document: bytes) -> Agreement:
        try:
            agreement = parse_agreement(document)
        except DocumentError as error:
            raise ClientError(f"agreement: {error}") from error
        if agreement.assigner != self._identity.participant:
            raise ClientError(
                f"agreement {agreement.id}: expected the assigner {self._identity.participant}, "
                f"got {agreement.assigner}; an owner signs for its own data only"
            )
        if self._state.product(agreement.target) is None:
            raise ClientError(
                f"agreement {agreement.id}: expected a product of this node as target, got "
                f"{agreement.target}; add it first: tds product add FILE"
            )
        known = self._state.agreement(agreement.id)
        if known is not None and known.digest != agreement.digest:
            raise ClientError(
                f"agreement {agreement.id}: expected the document that was signed before, got "
                "another; give a new agreement a new id"
            )
        return agreement

    def _sign(self, payload: object, payload_type: str) -> bytes:
        return sign_envelope(payload, payload_type=payload_type, key=self._identity.keys.receipt)


def _opening(reason: str) -> Opening | None:
    if not reason:
        return None
    try:
        value = ReasonText.from_json({"text": reason})
    except DocumentError as error:
        raise ClientError(f"withdrawal: reason: {error}") from error
    return new_opening(value, secrets.token_bytes(SALT_BYTES))


def governance_client(
    identity: NodeIdentity, *, contact: Contact | None = None
) -> GovernanceClient:
    """The node's connection to governance, not yet made."""
    return GovernanceClient(
        address=identity.config.space.governance,
        ca_pem=identity.ca_pem,
        key_pem=identity.tls_key_pem,
        certificate_pem=identity.certificate_pem,
        contact=contact,
    )


@contextmanager
def open_owner(folder: Path) -> Iterator[Owner]:
    """The acts for the command line; on leaving, entries are logged unless a node holds the log.

    Raises:
        FileRefused, IdentityError, StateUnavailable: the folder.
    """
    identity = load_identity(folder)
    with ExitStack() as stack:
        state = NodeState.open(identity.paths.state)
        stack.callback(state.close)
        governance = stack.enter_context(governance_client(identity))
        stack.callback(log_pending, identity, state)
        yield Owner(
            identity=identity, state=state, governance=governance, clock=lambda: datetime.now(UTC)
        )
