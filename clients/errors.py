"""Everything the `clients` package raises; a text is meant for the node's owner.

What of it travels, says clients.refusals.

ClientError
├── FileRefused            a file is missing, too large, or open to other users
├── IdentityError          the node's folder is incomplete, or its parts do not belong together
├── EnrolmentFailed        the node could not be enrolled; the text says whether to try again
├── GovernanceError
│   ├── GovernanceRefused      governance answered no; asking again changes nothing
│   └── GovernanceUnavailable  no answer; asking again may help
├── StateUnavailable       the node's database cannot be read or written now
├── GateRefused            a task is not allowed; carries the refusal that travels
│   └── LogForked              for the space's log was forked or rolled back; carries both heads
├── ProductError           the owner's product file was refused; names the field
├── VaultError             the product's data cannot be read; names file, column, row, no value
├── ConsentError           the table of consents cannot be read; names file, column, row, no value
├── BundleError            a Flower app bundle was refused
├── EnvironmentRefused     an environment of packages for apps was refused
├── AppStateRefused        what an app kept between rounds is not what this node sealed
├── EgressRefused          what the app returned may not leave
└── SandboxError
    ├── SandboxUnavailable     the sandbox cannot be started or was lost; the app is not to blame
    ├── SandboxCancelled       the owner ended the job; nothing of it was kept
    ├── AppTimeout             the app took longer than the permit allows
    └── AppFailed              the app raised, crashed or returned something else
"""

from __future__ import annotations

from clients.records import Fork
from policies.wire import Refusal, RefusalCode

MAX_REFUSAL_CHARS = 1000


class ClientError(Exception):
    """Base of this package's errors."""


class FileRefused(ClientError):
    """A file cannot be used as it lies there."""


class IdentityError(ClientError):
    """The node's folder is incomplete, or its parts do not belong together."""


class EnrolmentFailed(ClientError):
    """The node is not enrolled; running the same command again is safe."""


class GovernanceError(ClientError):
    """A call to governance did not succeed."""


class GovernanceRefused(GovernanceError):
    """Governance answered, and the answer is no.

    Args:
        text: what was asked and what came back.
        code: gRPC status name in lower case, such as `permission_denied`.
    """

    def __init__(self, text: str, *, code: str) -> None:
        super().__init__(text)
        self.code = code


class GovernanceUnavailable(GovernanceError):
    """No answer came in time, or governance cannot write its log; try again later."""


class StateUnavailable(ClientError):
    """The node's database cannot be read or written; nothing acknowledged is lost."""


class GateRefused(ClientError):
    """A task may not be done. `refusal` is what travels back and stands in the node's own log."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.text}")
        self.refusal = refusal


class LogForked(GateRefused):
    """The space's log signed two heads that do not fit together; `fork` has both."""

    def __init__(self, refusal: Refusal, fork: Fork) -> None:
        super().__init__(refusal)
        self.fork = fork


def refused(code: RefusalCode, text: str) -> GateRefused:
    """A `GateRefused` with its sentence, cut to what a refusal can carry."""
    # What an app or a file is called need not be Unicode; what travels must be.
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return GateRefused(Refusal(code=code, text=plain[:MAX_REFUSAL_CHARS]))


class ProductError(ClientError):
    """The owner's product file was refused; the text names the field."""


class VaultError(ClientError):
    """The product's data cannot be used as it lies there; the text never holds a cell's value."""


class ConsentError(ClientError):
    """The consents cannot be used as they lie there; the text never holds a cell's value."""


class BundleError(ClientError):
    """A Flower app bundle is not what was expected, or not safe to unpack."""


class EnvironmentRefused(ClientError):
    """Packages for apps are not what was locked or built, or do not fit beside our own."""


class AppStateRefused(ClientError):
    """What an app kept between rounds is not what this node sealed, or would be too much."""


class EgressRefused(ClientError):
    """What the app returned may not leave the node.

    The text is made of the incoming model, the permit and the check that failed: nothing that the
    app chose, since it travels. `detail` is for the node's own log only.

    Args:
        text: what was expected.
        detail: what came: sizes, types and counts, no value.
    """

    def __init__(self, text: str, *, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class SandboxError(ClientError):
    """A job in the sandbox did not give a result."""


class SandboxUnavailable(SandboxError):
    """The sandbox cannot be started or was lost; the app is not to blame."""


class SandboxCancelled(SandboxError):
    """The job was ended from outside; nothing of it was kept."""


class AppTimeout(SandboxError):
    """The app was ended because it took longer than it may."""


class AppFailed(SandboxError):
    """The app raised, crashed, or returned something else than it should.

    The text holds nothing that the app chose, since an exception's text may hold data: it may
    travel. `detail` is for the node's own log only.

    Args:
        text: what happened and where in the app.
        detail: the app's own words and the end of its output.
    """

    def __init__(self, text: str, *, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail
