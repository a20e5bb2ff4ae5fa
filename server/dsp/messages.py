"""What comes in: the messages of DSP 2025-1, strictly.

The schemas allow any further property; this intake refuses them, since a condition that nobody
reads is a condition that nobody keeps. One property is ours (`SIGNATURE`): the consumer's DSSE
envelope in a verification message, for which the protocol has no place.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from policies.canonical import Json, canonical_bytes, digest_of, parse_json
from policies.errors import DocumentError
from policies.fields import Document
from policies.odrl import CONTEXT, Offer, parse_offer

# An offer or agreement of 64 KiB, and an agreement once more inside its envelope in base64.
MAX_BODY_BYTES: Final = 192 * 1024
MAX_REASONS_BYTES: Final = 4096
SIGNATURE: Final = "https://w3id.org/tdspace/1#signature"


def _has_context(value: list[str]) -> list[str]:
    if CONTEXT not in value:
        raise ValueError(f"a list with {CONTEXT}")
    return value


def _bounded(value: list[Any]) -> list[Any]:
    if len(canonical_bytes(value)) > MAX_REASONS_BYTES:
        raise ValueError(f"at most {MAX_REASONS_BYTES} bytes")
    return value


def _base(value: str) -> str:
    """Paths are appended to it, so it must end in a path, and mean what it begins with."""
    parts = urlsplit(value)
    segments = unquote(parts.path).replace("\\", "/").split("/")
    if not parts.hostname or "@" in parts.netloc or {".", ".."} & set(segments):
        raise ValueError("a URL with a host, without user, and without . and .. in its path")
    if "?" in value or "#" in value:
        raise ValueError("a URL without query and fragment")
    return value


_Contexts = Annotated[
    list[Annotated[str, Field(max_length=512)]],
    Field(min_length=1, max_length=16),
    AfterValidator(_has_context),
]
# An IRI or a UUID, or what else a connector takes for one: visible ASCII.
Pid = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]
CallbackAddress = Annotated[
    str, Field(pattern=r"^https?://[\x21-\x7e]{1,2000}$"), AfterValidator(_base)
]
Code = Annotated[str, Field(max_length=64)]
Reasons = Annotated[list[Any], Field(min_length=1, max_length=16), AfterValidator(_bounded)]


class Message(Document):
    """What all messages have."""

    context: _Contexts = Field(alias="@context")


class CatalogRequest(Message):
    """Asks for the catalogue; no filter expression is understood."""

    type: Literal["CatalogRequestMessage"] = Field(alias="@type")
    filter: list[Any] = Field(default=[], max_length=0)


class ContractRequest(Message):
    """Opens a negotiation (`callbackAddress`), or makes a counter-offer in one (`providerPid`)."""

    type: Literal["ContractRequestMessage"] = Field(alias="@type")
    consumer_pid: Pid = Field(alias="consumerPid")
    provider_pid: Pid = Field(default="", alias="providerPid")
    callback: CallbackAddress = Field(default="", alias="callbackAddress")
    offer: dict[str, Any]

    @model_validator(mode="after")
    def _one_of(self) -> ContractRequest:
        if bool(self.provider_pid) == bool(self.callback):
            raise ValueError("exactly one of callbackAddress and providerPid")
        return self


class _InNegotiation(Message):
    provider_pid: Pid = Field(alias="providerPid")
    consumer_pid: Pid = Field(alias="consumerPid")


class NegotiationEvent(_InNegotiation):
    """The consumer accepts the provider's offer; FINALIZED is the provider's to say."""

    type: Literal["ContractNegotiationEventMessage"] = Field(alias="@type")
    event: Literal["ACCEPTED", "FINALIZED"] = Field(alias="eventType")


class AgreementVerification(_InNegotiation):
    """The consumer's word on the agreement; without its signature no agreement is concluded."""

    type: Literal["ContractAgreementVerificationMessage"] = Field(alias="@type")
    signature: dict[str, Any] = Field(default={}, alias=SIGNATURE)


class NegotiationTermination(_InNegotiation):
    """The consumer ends a negotiation."""

    type: Literal["ContractNegotiationTerminationMessage"] = Field(alias="@type")
    code: Code = ""
    reason: Reasons = Field(default=[])


class TransferRequest(Message):
    """Asks for a transfer process under an agreement; `dataAddress` is for pushes only."""

    type: Literal["TransferRequestMessage"] = Field(alias="@type")
    consumer_pid: Pid = Field(alias="consumerPid")
    agreement: Pid = Field(alias="agreementId")
    format: Annotated[str, Field(max_length=128)]
    callback: CallbackAddress = Field(alias="callbackAddress")


class _InTransfer(Message):
    provider_pid: Pid = Field(alias="providerPid")
    consumer_pid: Pid = Field(alias="consumerPid")


class TransferStart(_InTransfer):
    """The consumer takes a suspension back."""

    type: Literal["TransferStartMessage"] = Field(alias="@type")


class TransferSuspension(_InTransfer):
    """The consumer lets a transfer rest."""

    type: Literal["TransferSuspensionMessage"] = Field(alias="@type")
    code: Code = ""
    reason: Reasons = Field(default=[])


class TransferCompletion(_InTransfer):
    """The consumer has what it wanted."""

    type: Literal["TransferCompletionMessage"] = Field(alias="@type")


class TransferTermination(_InTransfer):
    """The consumer ends a transfer for good."""

    type: Literal["TransferTerminationMessage"] = Field(alias="@type")
    code: Code = ""
    reason: Reasons = Field(default=[])


Known = TypeVar("Known", bound=Message)
InTransfer = TransferStart | TransferSuspension | TransferCompletion | TransferTermination


def parse_message(kind: type[Known], data: bytes) -> Known:
    """A message of one kind.

    Raises:
        DocumentError: larger than `MAX_BODY_BYTES`, no JSON of our subset, another `@type`,
            another context, or an unknown or malformed property; with the JSON path.
    """
    return kind.from_json(parse_json(data, max_bytes=MAX_BODY_BYTES))


def digest_json(message: Message) -> Json:
    """The message as it is hashed: by the protocol's names, in their order."""
    value: Json = message.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return value


def logged_digest(message: Message) -> str:
    """The digest that the log holds: without the words of people, which a hash without a salt would
    let anybody try out."""
    value = digest_json(message)
    assert isinstance(value, dict)
    return digest_of({key: item for key, item in value.items() if key not in ("code", "reason")})


def parse_message_offer(value: dict[str, Any]) -> tuple[str, Offer]:
    """Target and offer of a request: an offer of the profile that names its target.

    Raises:
        DocumentError: no target, or no offer of the profile; paths begin with `$.offer`.
    """
    target = value.get("target")
    if not isinstance(target, str) or not target:
        raise DocumentError("$.offer.target", "the id of a data product", type(target).__name__)
    rest = {key: item for key, item in value.items() if key != "target"}
    try:
        return target, parse_offer(canonical_bytes(rest))
    except DocumentError as error:
        where = "$.offer" + error.where.removeprefix("$")
        raise DocumentError(where, error.expected, error.got) from error
