"""Sentences that say what an entry says, in English; the first of a type stands alone in lists."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "round": "{kind} round {round} (attempt {attempt}) of {run}",
        "train": "training",
        "evaluate": "evaluation",
        "yes": "yes",
        "no": "no",
        "nobody": "nobody",
        "any": "any purpose",
        "and-more": "{names} and {n} more",
        "committed": "(committed to in the log; the words are in a disclosure beside it)",
        # -- the space's log
        "SpaceCreated": "The space {space} begins.",
        "space-keys": "Its log is signed by {log_key}, its permits by the key {permit_key}…, its "
        "certificates by the registrar's key {registrar_key}….",
        "space-person": "{participant} takes part from the start as {role}, in {region}.",
        "ParticipantEnrolled": "{participant} enrolled as {role}, in {region}.",
        "KeyRotated": "{participant} has a new key for receipts and statements.",
        "rotated-keys": "The key {previous}… signed for {receipt_key}…, which counts from here on; "
        "what was signed before stands.",
        "enrolled-keys": "Its node signs receipts and statements with the key {receipt_key}… and "
        "its own log with {log_key}.",
        "ProductRegistered": "{participant} registered {product}, version {data_version}: {rows} "
        "rows, {classification} data.",
        "product-facts": "Personal information: {personal}; record of data subjects' consent: "
        "{subject_consent}; jurisdiction: {jurisdiction}.",
        "product-anonymized": "Anonymised by: {anonymization}.",
        "product-filing": "Filed under number {filing_number}.",
        "signed-owner": "Signed by {owner}.",
        "AppRegistered": "App {app}… was registered.",
        "app-filed": "Filed for {purposes}; number: {filing_number}; until: {expires}.",
        "AppFilingRevoked": "The filing of app {app}… was revoked.",
        "app-stops": "From the next round on no run may use it.",
        "AgreementConcluded": "{assigner} allows {assignee} to use {product}: {agreement}.",
        "signed-both": "Signed by {owner} and, word for word, by {consumer}.",
        "ConsentWithdrawn": "{participant} took back its consent to {agreement}, about {product}.",
        "withdrawn-means": "From here on no permit may name the agreement, and no receipt under "
        "it "
        "is accepted.",
        "RunOpened": "{consumer} opened {run} for {purpose}: {rounds} training rounds and an "
        "evaluation under {agreements} agreements.",
        "run-app": "It runs app {app}….",
        "run-terms": "Of one use: {pays} units; at least {min_cohort} participants, a "
        "result with {quorum} receipts, {deadline_s} s to answer.",
        "run-privacy": "Each {unit} is protected: rows are dealt into {parts} parts, of which "
        "each is used with probability {sample}; noise of {noise} times the clipping norm is added "
        "by {by}. One use by itself is ε {epsilon} at δ {delta}.",
        "run-not-private": "Nothing bounds what its uses tell of single records.",
        "run-clip": "Nodes clip updates: they differ from the model by an L2 norm of at most "
        "{clip_norm}.",
        "run-voucher": "Paid from {voucher}.",
        "RunResumed": "{run} goes on after it had ended.",
        "RunEnded": "{run} ended as {state} after {closed_rounds} training rounds: {reason}.",
        "ended-model": "The model it came to has the digest {model}….",
        "ReportsMade": "Policy was evaluated for {round}: {count} reports.",
        "report-line": "{target} for {assignee}, {action}: {effect} under {agreement}.",
        "RoundDecided": "Governance decided {round}: {permitted} of {count} candidates permitted.",
        "decided-permitted": "Permitted: {names}.",
        "decided-refused": "Refused: {names}.",
        "decided-few": "At least {min_cohort} participants had to remain.",
        "not-replayed": "{who}: evaluating its report again does not give what is logged; "
        "`tds audit replay` says how it differs.",
        "PermitIssued": "{id} permits {consumer} {round}, for {purpose}.",
        "permit-until": "It holds until {expires}, for app {app}… and the model {model}….",
        "permit-member": "{participant}: {product} under {agreement}, at most {max_rows} rows and "
        "{metered_s} s; {pays} units are set aside. {loss}",
        "loss": "With this use the product has given away ε {epsilon} at δ {delta}.",
        "loss-unbounded": "No ε bounds what the product has given away.",
        "permit-figures": "Only these figures may leave with an update: {metrics}.",
        "ReceiptAccepted": "{participant}'s node signed that it used {rows_used} rows of "
        "{product} "
        "in {round}.",
        "receipt-permit": "Under {permit_id}; {rows_held_back} more rows were used to evaluate; "
        "{metered_s} s count as used.",
        "receipt-consent": "No app saw {rows} further rows: their subjects' consent did not stand.",
        "receipt-under": "Allowed by {agreement}, for {purpose} of {consumer}, who may use at "
        "most "
        "{max_rows} rows; {pays} units count for it. {loss}",
        "receipt-time": "From {started} to {finished}, in a sandbox with {environment}.",
        "receipt-update": "What left is the update {update}….",
        "ReceiptRefused": "{participant}'s reply in {round} was not accepted: {text} ({code}).",
        "refused-reported": "That is the consumer's word: no reply reached governance.",
        "refused-checked": "Governance had the reply and found the fault itself.",
        "refused-counts": "The use still counts: whoever held the permit may have used the data.",
        "permit-sum-governance": "Each update leaves under a mask that only governance can add up; "
        "it releases the sum of the masks once, for those whose consent stands then.",
        "permit-sum-pairwise": "Each update leaves under masks of pairs of nodes, which cancel out "
        "in the sum only.",
        "MasksReleased": "Governance released the masks of {count} updates of {round}.",
        "released-pairwise": "Governance said of whom the nodes may open the sum of {round}: of "
        "{count} updates.",
        "released-group": "Opened as one sum: {names}.",
        "released-once": "Nothing else of {permit_id} can be opened any more, and no receipt "
        "comes after it.",
        "RoundClosed": "Closed {result}: {round}.",
        "result": "with a result",
        "no-result": "without a result, for want of receipts",
        "closed-used": "In it: {names}.",
        "closed-left": "Left out: {names}.",
        "closed-model": "The model after it has the digest {model}…; what is derived is "
        "{classification} data.",
        "closed-figures": "Figures: {metrics}.",
        "closed-duties": "Declared as done: {duties}.",
        "closed-previous": "The close before it is entry {previous}.",
        "closed-first": "It is the first close of its run.",
        "RoundAbandoned": "Given up: {round}; {reason}.",
        "abandoned-means": "{permit_id} is void, and its uses still count.",
        "BaselineAdopted": "{count} laws were adopted as the baseline; they bind every agreement.",
        "law-line": "{title} (version {version}; {source})",
        "OfferPublished": "{participant} offers {product}: {offer}.",
        "offer-ended": "{participant} took back its offer {offer} for {product}.",
        "offer-auto": "Its node agrees by itself to who accepts it word for word.",
        "CertificateIssued": "The registrar certified {product}: {serial}.",
        "certificate-valid": "Valid from {not_before} until {not_after}, for one version of the "
        "product's card.",
        "CertificateRevoked": "The registrar took back {serial} for {product}.",
        "certificate-means": "From the next round on the product may not be used.",
        "VoucherIssued": "{consumer} got the voucher {voucher} over {amount} prepaid units.",
        "NegotiationStep": "Negotiation {negotiation} is {state}, by the {by} {participant}.",
        "TransferStep": "The transfer process {transfer} under {agreement} is {state}, by the "
        "{by} {participant}.",
        "step-run": "It belongs to {run}.",
        "step-before": "Before it was {before}.",
        "step-why": "Why: {reason}",
        "EnginesDisagreed": "Two policy engines disagreed about {participant} in {kind} round "
        "{round} of {run}.",
        "engine-line": "{engine} says {effect}.",
        "engines-means": "Where two engines differ the candidate is refused, and somebody has to "
        "find out which of them is wrong.",
        # -- a node's own log
        "described": "Its title: {title}",
        "AuditorNamed": "{auditor} was named as an auditor of the space.",
        "auditor-means": "Every disclosure is sealed to its key {sealed_to}… as well.",
        "DisclosureErased": "{by} erased {count} disclosures ({code}).",
        "erased-about": "They were about {participant}.",
        "erased-means": "Nothing opens their commitments any more; the log's proofs still hold.",
        "EntryPart": "Part {part} of an entry that is longer than a line of the log may be.",
        "EntryWhole": "The end of an entry in {parts} parts, with the digest of the whole.",
        "NodeCreated": "The node of {participant} in {space} begins its own log.",
        "AppApproved": "The owner approved app {app}….",
        "AppRevoked": "The owner took back its approval of app {app}….",
        "UseStarted": "The node began a use of {product} in {round}, under {permit_id}.",
        "use-for": "For {purpose} of {consumer}, under {agreement}; it is use number {use}.",
        "UseRefused": "The node refused a use: {text} ({code}).",
        "UseFailed": "A use under {permit_id} ended without a result: {text}",
        "UseReceipted": "The node signed a receipt for {rows_used} rows of {product} in round "
        "{round} of {run}.",
        "Withdrawn": "The owner took back its consent to {agreement}.",
        "KeyReplaced": "The owner replaced the key for receipts {previous}… by {receipt_key}….",
        "ForkSeen": "The node saw the space's log show two faces ({fault}).",
        "fork-sizes": "It had seen a signed head of {seen} entries; then one of {came} came "
        "that does not go with it.",
        "fork-means": "The node keeps both signed heads as evidence, and uses no permit that "
        "rests on the second.",
        # -- any other
        "other": "An entry of type {type}; its body is in the JSON (`--json`).",
        # -- around it
        "head": "entry {index}, {time}, {type}",
        "rests": "It rests on:",
        "rests-none": "It rests on no earlier entry.",
        "rests-more": "and {n} earlier ones more",
        "followed": "What followed from it ({parts}):",
        "followed-none": "Nothing followed from it in this log.",
        "followed-more": "and {n} more",
        "unverified": "Not verified: give --key to know that nothing was changed.",
        "verified": "Verified: {size} entries of {origin}, root {root}.",
    }
)
