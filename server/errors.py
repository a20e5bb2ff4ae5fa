"""Everything the `server` package raises.

ServerError
├── SpaceError             the space's folder is missing, incomplete, readable by others, in the way
├── CertificateError       a certificate, signing request or key that is not what it must be
├── RequestError           an answer to a caller; each kind has one gRPC status code
│   ├── BadInput           INVALID_ARGUMENT: malformed, too large, a signature that does not hold
│   ├── NotKnown           NOT_FOUND: no such id
│   ├── NotAllowed         PERMISSION_DENIED: wrong role, or somebody else's
│   ├── RuleBroken         FAILED_PRECONDITION: refused by a rule of the space
│   ├── Superseded         ABORTED: a newer attempt took its place
│   ├── TooMany            RESOURCE_EXHAUSTED: a bound on what one service holds at once
│   └── Unavailable        UNAVAILABLE: the log cannot be written; nothing was decided, try again
│       └── SuperLinkUnavailable   Flower's SuperLink did not take it
├── RegistryDamaged        the registry cannot be brought up to the log
├── GovernanceRefused      (client side) governance said no; `code` is the gRPC status' name
└── GovernanceUnavailable  (client side) governance did not answer in time
"""

from __future__ import annotations


class ServerError(Exception):
    """Base of this package's errors; its text is meant for a person."""


class SpaceError(ServerError):
    """A space's folder cannot be made or used as it stands; the text says what to do."""


class CertificateError(ServerError):
    """A certificate, a signing request or a key is malformed or not of the accepted kind."""


class RequestError(ServerError):
    """A request was answered with no; its text may be sent to the caller."""


class BadInput(RequestError):
    """What came is malformed, too large, or its signature does not hold."""


class NotKnown(RequestError):
    """An id that the registry does not hold."""


class NotAllowed(RequestError):
    """The caller's role does not cover this, or it belongs to somebody else."""


class RuleBroken(RequestError):
    """Well-formed and permitted by role, but against a rule or the present state."""


class Superseded(RequestError):
    """A newer attempt took the place of what this refers to."""


class TooMany(RequestError):
    """A bound on what the service holds at once was reached; try again later."""


class Unavailable(RequestError):
    """Nothing was decided; the same request may be sent again."""


class SuperLinkUnavailable(Unavailable):
    """Flower's SuperLink cannot be reached or did not take the request."""


class RegistryDamaged(ServerError):
    """The registry cannot be brought up to the log; governance does not start."""


class GovernanceRefused(ServerError):
    """Governance answered with no.

    Args:
        code: name of the gRPC status, such as FAILED_PRECONDITION.
        text: governance's reason.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"governance refused ({code}): {text}")
        self.code = code
        self.text = text


class GovernanceUnavailable(ServerError):
    """Governance could not be reached, or did not answer before the deadline."""
