from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Document(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("envelope", "openings")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    openings: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelope: _Optional[bytes] = ..., openings: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Logged(_message.Message):
    __slots__ = ("index", "id")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("token", "csr_pem", "receipt_key", "log_verifier_key", "fleet_key_pem", "receipt_proof", "fleet_proof", "disclosure_key")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_KEY_FIELD_NUMBER: _ClassVar[int]
    LOG_VERIFIER_KEY_FIELD_NUMBER: _ClassVar[int]
    FLEET_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_PROOF_FIELD_NUMBER: _ClassVar[int]
    FLEET_PROOF_FIELD_NUMBER: _ClassVar[int]
    DISCLOSURE_KEY_FIELD_NUMBER: _ClassVar[int]
    token: str
    csr_pem: bytes
    receipt_key: bytes
    log_verifier_key: bytes
    fleet_key_pem: bytes
    receipt_proof: bytes
    fleet_proof: bytes
    disclosure_key: bytes
    def __init__(self, token: _Optional[str] = ..., csr_pem: _Optional[bytes] = ..., receipt_key: _Optional[bytes] = ..., log_verifier_key: _Optional[bytes] = ..., fleet_key_pem: _Optional[bytes] = ..., receipt_proof: _Optional[bytes] = ..., fleet_proof: _Optional[bytes] = ..., disclosure_key: _Optional[bytes] = ...) -> None: ...

class EnrolResponse(_message.Message):
    __slots__ = ("participant", "certificate_pem", "space_json")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    SPACE_JSON_FIELD_NUMBER: _ClassVar[int]
    participant: str
    certificate_pem: bytes
    space_json: bytes
    def __init__(self, participant: _Optional[str] = ..., certificate_pem: _Optional[bytes] = ..., space_json: _Optional[bytes] = ...) -> None: ...

class InviteRequest(_message.Message):
    __slots__ = ("participant", "title", "sector", "region", "valid_s", "role", "contact", "registration", "address", "again")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SECTOR_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    VALID_S_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    participant: str
    title: str
    sector: str
    region: str
    valid_s: int
    role: str
    contact: str
    registration: str
    address: str
    again: bool
    def __init__(self, participant: _Optional[str] = ..., title: _Optional[str] = ..., sector: _Optional[str] = ..., region: _Optional[str] = ..., valid_s: _Optional[int] = ..., role: _Optional[str] = ..., contact: _Optional[str] = ..., registration: _Optional[str] = ..., address: _Optional[str] = ..., again: _Optional[bool] = ...) -> None: ...

class InviteResponse(_message.Message):
    __slots__ = ("join_json",)
    JOIN_JSON_FIELD_NUMBER: _ClassVar[int]
    join_json: bytes
    def __init__(self, join_json: _Optional[bytes] = ...) -> None: ...

class RegisterAppRequest(_message.Message):
    __slots__ = ("fab", "title", "filing_json")
    FAB_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    FILING_JSON_FIELD_NUMBER: _ClassVar[int]
    fab: bytes
    title: str
    filing_json: bytes
    def __init__(self, fab: _Optional[bytes] = ..., title: _Optional[str] = ..., filing_json: _Optional[bytes] = ...) -> None: ...

class RegisterAppResponse(_message.Message):
    __slots__ = ("app", "index")
    APP_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    app: str
    index: int
    def __init__(self, app: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class AppRef(_message.Message):
    __slots__ = ("app",)
    APP_FIELD_NUMBER: _ClassVar[int]
    app: str
    def __init__(self, app: _Optional[str] = ...) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CertifyRequest(_message.Message):
    __slots__ = ("product", "days")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    product: str
    days: int
    def __init__(self, product: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...

class ProductRef(_message.Message):
    __slots__ = ("product",)
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    product: str
    def __init__(self, product: _Optional[str] = ...) -> None: ...

class IssueVoucherRequest(_message.Message):
    __slots__ = ("consumer", "amount", "request_id")
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    consumer: str
    amount: str
    request_id: str
    def __init__(self, consumer: _Optional[str] = ..., amount: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class NameAuditorRequest(_message.Message):
    __slots__ = ("auditor", "title", "key")
    AUDITOR_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    auditor: str
    title: str
    key: bytes
    def __init__(self, auditor: _Optional[str] = ..., title: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class EraseRequest(_message.Message):
    __slots__ = ("what", "code")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    what: str
    code: str
    def __init__(self, what: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class App(_message.Message):
    __slots__ = ("app", "title", "fab", "config_json")
    APP_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    FAB_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    app: str
    title: str
    fab: bytes
    config_json: bytes
    def __init__(self, app: _Optional[str] = ..., title: _Optional[str] = ..., fab: _Optional[bytes] = ..., config_json: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr_pem",)
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    csr_pem: bytes
    def __init__(self, csr_pem: _Optional[bytes] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("certificate_pem",)
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    certificate_pem: bytes
    def __init__(self, certificate_pem: _Optional[bytes] = ...) -> None: ...

class ConsistencyRequest(_message.Message):
    __slots__ = ("old_size", "new_size")
    OLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEW_SIZE_FIELD_NUMBER: _ClassVar[int]
    old_size: int
    new_size: int
    def __init__(self, old_size: _Optional[int] = ..., new_size: _Optional[int] = ...) -> None: ...

class ConsistencyResponse(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Watching(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("add_checkpoint",)
    ADD_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    add_checkpoint: bytes
    def __init__(self, add_checkpoint: _Optional[bytes] = ...) -> None: ...

class Cosignature(_message.Message):
    __slots__ = ("size", "lines")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    size: int
    lines: bytes
    def __init__(self, size: _Optional[int] = ..., lines: _Optional[bytes] = ...) -> None: ...

class ForkReport(_message.Message):
    __slots__ = ("kind", "seen", "came", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    CAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    seen: str
    came: str
    text: str
    def __init__(self, kind: _Optional[str] = ..., seen: _Optional[str] = ..., came: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class OpenRunRequest(_message.Message):
    __slots__ = ("spec_json", "request_id")
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec_json: bytes
    request_id: str
    def __init__(self, spec_json: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class RunRef(_message.Message):
    __slots__ = ("run", "reason", "failed")
    RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    run: str
    reason: str
    failed: bool
    def __init__(self, run: _Optional[str] = ..., reason: _Optional[str] = ..., failed: _Optional[bool] = ...) -> None: ...

class FindRunRequest(_message.Message):
    __slots__ = ("flower_run",)
    FLOWER_RUN_FIELD_NUMBER: _ClassVar[int]
    flower_run: str
    def __init__(self, flower_run: _Optional[str] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run", "flower_run", "state", "spec_json", "config_json", "closed_rounds", "model", "consumer", "rounds_json", "reason")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FLOWER_RUN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    CLOSED_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_JSON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run: str
    flower_run: str
    state: str
    spec_json: bytes
    config_json: bytes
    closed_rounds: int
    model: str
    consumer: str
    rounds_json: _containers.RepeatedScalarFieldContainer[bytes]
    reason: str
    def __init__(self, run: _Optional[str] = ..., flower_run: _Optional[str] = ..., state: _Optional[str] = ..., spec_json: _Optional[bytes] = ..., config_json: _Optional[bytes] = ..., closed_rounds: _Optional[int] = ..., model: _Optional[str] = ..., consumer: _Optional[str] = ..., rounds_json: _Optional[_Iterable[bytes]] = ..., reason: _Optional[str] = ...) -> None: ...

class AuthorizeRoundRequest(_message.Message):
    __slots__ = ("run", "flower_run", "round", "kind", "model", "online", "request_id", "architecture", "floats")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FLOWER_RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    run: str
    flower_run: str
    round: int
    kind: str
    model: str
    online: _containers.RepeatedCompositeFieldContainer[NodeRef]
    request_id: str
    architecture: str
    floats: int
    def __init__(self, run: _Optional[str] = ..., flower_run: _Optional[str] = ..., round: _Optional[int] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., online: _Optional[_Iterable[_Union[NodeRef, _Mapping]]] = ..., request_id: _Optional[str] = ..., architecture: _Optional[str] = ..., floats: _Optional[int] = ...) -> None: ...

class NodeRef(_message.Message):
    __slots__ = ("node_id", "fleet_key_pem")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FLEET_KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    fleet_key_pem: bytes
    def __init__(self, node_id: _Optional[str] = ..., fleet_key_pem: _Optional[bytes] = ...) -> None: ...

class AuthorizeRoundResponse(_message.Message):
    __slots__ = ("permit", "permit_id", "verdicts", "decision_index")
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    PERMIT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_INDEX_FIELD_NUMBER: _ClassVar[int]
    permit: bytes
    permit_id: str
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    decision_index: int
    def __init__(self, permit: _Optional[bytes] = ..., permit_id: _Optional[str] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., decision_index: _Optional[int] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("participant", "product", "node_id", "permitted", "reasons", "duties")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DUTIES_FIELD_NUMBER: _ClassVar[int]
    participant: str
    product: str
    node_id: str
    permitted: bool
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    duties: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, participant: _Optional[str] = ..., product: _Optional[str] = ..., node_id: _Optional[str] = ..., permitted: _Optional[bool] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., duties: _Optional[_Iterable[str]] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "text")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class SubmitReceiptsRequest(_message.Message):
    __slots__ = ("permit_id", "arrived", "missing")
    PERMIT_ID_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    permit_id: str
    arrived: _containers.RepeatedCompositeFieldContainer[Arrived]
    missing: _containers.RepeatedCompositeFieldContainer[Missing]
    def __init__(self, permit_id: _Optional[str] = ..., arrived: _Optional[_Iterable[_Union[Arrived, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[Missing, _Mapping]]] = ...) -> None: ...

class Arrived(_message.Message):
    __slots__ = ("node_id", "receipt", "update")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    receipt: bytes
    update: str
    def __init__(self, node_id: _Optional[str] = ..., receipt: _Optional[bytes] = ..., update: _Optional[str] = ...) -> None: ...

class Missing(_message.Message):
    __slots__ = ("node_id", "reason")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    reason: Reason
    def __init__(self, node_id: _Optional[str] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...

class SubmitReceiptsResponse(_message.Message):
    __slots__ = ("accepted", "left_out")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    accepted: _containers.RepeatedCompositeFieldContainer[Accepted]
    left_out: _containers.RepeatedCompositeFieldContainer[LeftOut]
    def __init__(self, accepted: _Optional[_Iterable[_Union[Accepted, _Mapping]]] = ..., left_out: _Optional[_Iterable[_Union[LeftOut, _Mapping]]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("node_id", "participant", "product", "rows_used", "rows_held_back")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    ROWS_USED_FIELD_NUMBER: _ClassVar[int]
    ROWS_HELD_BACK_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    participant: str
    product: str
    rows_used: int
    rows_held_back: int
    def __init__(self, node_id: _Optional[str] = ..., participant: _Optional[str] = ..., product: _Optional[str] = ..., rows_used: _Optional[int] = ..., rows_held_back: _Optional[int] = ...) -> None: ...

class LeftOut(_message.Message):
    __slots__ = ("node_id", "participant", "product", "reason")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    participant: str
    product: str
    reason: Reason
    def __init__(self, node_id: _Optional[str] = ..., participant: _Optional[str] = ..., product: _Optional[str] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...

class ReleaseMasksRequest(_message.Message):
    __slots__ = ("permit_id",)
    PERMIT_ID_FIELD_NUMBER: _ClassVar[int]
    permit_id: str
    def __init__(self, permit_id: _Optional[str] = ...) -> None: ...

class MaskSums(_message.Message):
    __slots__ = ("release_json", "group", "words")
    RELEASE_JSON_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    release_json: bytes
    group: int
    words: bytes
    def __init__(self, release_json: _Optional[bytes] = ..., group: _Optional[int] = ..., words: _Optional[bytes] = ...) -> None: ...

class CloseRoundRequest(_message.Message):
    __slots__ = ("permit_id", "model", "metrics", "quorum_met", "duties")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DutiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PERMIT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    QUORUM_MET_FIELD_NUMBER: _ClassVar[int]
    DUTIES_FIELD_NUMBER: _ClassVar[int]
    permit_id: str
    model: str
    metrics: _containers.ScalarMap[str, str]
    quorum_met: bool
    duties: _containers.ScalarMap[str, str]
    def __init__(self, permit_id: _Optional[str] = ..., model: _Optional[str] = ..., metrics: _Optional[_Mapping[str, str]] = ..., quorum_met: _Optional[bool] = ..., duties: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Space(_message.Message):
    __slots__ = ("space_json", "checkpoint")
    SPACE_JSON_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    space_json: bytes
    checkpoint: str
    def __init__(self, space_json: _Optional[bytes] = ..., checkpoint: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("what",)
    WHAT_FIELD_NUMBER: _ClassVar[int]
    what: str
    def __init__(self, what: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, documents: _Optional[_Iterable[bytes]] = ...) -> None: ...

class NegotiationAct(_message.Message):
    __slots__ = ("negotiation", "act", "envelope", "reason")
    NEGOTIATION_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    negotiation: str
    act: str
    envelope: bytes
    reason: str
    def __init__(self, negotiation: _Optional[str] = ..., act: _Optional[str] = ..., envelope: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class TransferAct(_message.Message):
    __slots__ = ("transfer", "act", "reason")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    transfer: str
    act: str
    reason: str
    def __init__(self, transfer: _Optional[str] = ..., act: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("token", "expires")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    token: str
    expires: str
    def __init__(self, token: _Optional[str] = ..., expires: _Optional[str] = ...) -> None: ...
