"""The words of the log's pages in English; the same keys as `words_audit_chinese`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

AUDIT_ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "audit": "Audit",
        "audit-title": "The log",
        "audit-lead": "Every decision and every use stands here, in an order that nobody can "
        "change unseen. Your browser can check all of it, below.",
        # verifying
        "audit-verify": "Verify it in this browser",
        "audit-trust": "Your browser fetches the log's files and checks them itself: every entry's "
        "hash, every tile, the signed root, the signatures of the log and of witnesses. It asks "
        "this server for no verdict. But the script that checks came from this server, too, and "
        "a server that lies could send another one. What does not depend on it: ",
        "audit-keys": "The log's key as you hold it (and keys of witnesses, one a line)",
        "audit-keys-hint": "From the operator, or from any node's node.json. Left empty, the key "
        "that this server shows is used; then the check says that the log fits itself, not that it "
        "is the log you know.",
        "audit-key": "The key that this server shows",
        "audit-start": "Verify the log",
        "audit-forget": "Forget what was verified here before",
        "audit-noscript": "Your browser runs no scripts; verify the log with the command above.",
        # searching
        "audit-search": "Search",
        "audit-type": "Type",
        "audit-any": "any",
        "audit-run": "Run, or the beginning of its id",
        "audit-round": "Round",
        "audit-participant": "Participant",
        "audit-text": "Text of the entry",
        "audit-index": "Go to entry",
        "audit-do-search": "Search",
        "audit-reset": "Show all",
        "audit-entries": "Entries",
        "audit-found": "Entries that fit",
        "audit-what": "What it says",
        "audit-none": "No entry fits.",
        "audit-older": "Older entries",
        "audit-newest": "Newest entries",
        "audit-further": "Searched back to entry {index}; search on",
        "audit-report": "Report",
        "audit-report-what": "Who used whose data, when, for what; who was refused and why; what "
        "is missing. The log is verified and every decision recomputed first.",
        "audit-report-do": "Download the report",
        "audit-report-how": "The operator and auditors can download it here. From a copy of the "
        "log anybody makes it:",
        # an entry
        "audit-entry-title": "Entry {index}",
        "audit-previous": "Entry before",
        "audit-next": "Entry after",
        "audit-back": "All entries",
        "audit-unreadable": "This line of the log is no entry that can be read.",
        "audit-says": "In plain words",
        "audit-tell": "Tell what it rests on, and what followed",
        "audit-back-entry": "Back to the entry",
        "audit-says-how": "With what it rests on and what followed, from a copy of the log:",
        "audit-says-note": "These sentences are made by this server. Offline:",
        "audit-changes": "For a permit:",
        "audit-rests": "It rests on",
        "audit-followed": "What followed",
        "audit-nothing-rests": "It rests on no earlier entry.",
        "audit-nothing-followed": "Nothing followed from it yet.",
        "audit-n-more": "and {n} more",
        "audit-proof": "Its place in the log",
        "audit-proof-wait": "Your browser has not checked it yet.",
        "audit-proof-noscript": "To check its place without scripts:",
        "audit-signed": "What was signed in it",
        "audit-unsigned": "It holds no statement that somebody signed for themselves.",
        "audit-statement": "{field}: signed by {who}",
        "audit-registrar": "the space's registrar",
        "audit-payload-type": "Type (DSSE)",
        "audit-keyid": "Key",
        "audit-signature": "Signature",
        "audit-payload": "What was signed",
        "audit-body": "The entry as it is logged",
        # what the script says
        "js-working": "Verifying: {done} of {all} entries.",
        "js-holds": "It holds: {size} entries with the root {root}.",
        "js-took": "{seconds} s, in this browser.",
        "js-signed-yours": "Signed by the log's key {key}, which you gave.",
        "js-signed-theirs": "Signed by the key {key}, which this server showed and nobody here "
        "compared: hold it against the one you got from elsewhere.",
        "js-cosigned": "Cosigned by {who}, {time}.",
        "js-cosigned-nobody": "No witness whose key is known cosigned this head.",
        "js-strangers": "Cosignatures by keys that nobody here knows: {who}.",
        "js-continues": "It continues the {size} entries that this browser verified on {time}.",
        "js-first": "This browser verified no head of this log before; from now on it will "
        "notice if the log shrinks or its history changes.",
        "js-before": "Verified in this browser before: {size} entries, on {time}.",
        "js-alarm": "The log does not hold",
        "js-alarm-do": "Do not rely on this log. Keep this page as evidence, verify a copy with "
        "tds audit verify, and tell the other participants.",
        "js-unknown": "Nothing could be verified",
        "js-forgotten": "Forgotten.",
        "js-head": "The newest head is of {size} entries, signed by {key}.",
        "js-included": "This entry stands at place {index} of the {size} entries under the head "
        "that {key} signed. Your browser hashed the entry and followed {n} hashes to the root.",
        "js-root": "Root: {root}",
        "js-leaf": "Hash of the entry: {leaf}",
        "js-proof": "Inclusion proof, the nearest sibling first (RFC 6962)",
        "js-save": "Save as a .tlog-proof file",
        "js-statement-holds": "The signature holds, under the key that entry {entry} names.",
        "js-statement-key": "Not checked: the entry that names this key is not known.",
        "js-shown-verified": "Shown as your browser read and verified it.",
        "js-fault-note-form": "checkpoint: expected a signed note, got “{got}”.",
        "js-fault-checkpoint-form": "checkpoint: expected three lines with origin, size and root, "
        "got “{got}”.",
        "js-fault-unsigned": "checkpoint: expected a signature by {expected}, got {got}.",
        "js-fault-log-signature": "checkpoint: expected a signature by {who} that fits, got one "
        "that does not: the head was changed after signing.",
        "js-fault-origin": "checkpoint: expected the log {expected}, got {got}.",
        "js-fault-cosignature": "checkpoint: expected a cosignature by {who} that fits, got one "
        "that does not.",
        "js-fault-key-changed": "The log's key: when this browser verified the log before it was "
        "{expected}, now this server shows {got}. If the space was made anew on purpose, forget "
        "what was verified here before.",
        "js-fault-shrunk": "The log shrank: expected at least the {expected} entries that this "
        "browser verified before, got a head of {got}.",
        "js-fault-rewritten": "The history is another: the first {size} entries had the root "
        "{expected} when this browser verified them, and have {got} now.",
        "js-fault-root": "The root of all {size} entries: expected {expected}, as it was signed, "
        "got {got}.",
        "js-fault-entry-changed": "Entry {index} was changed (file {place}): expected the hash "
        "{expected}, which fits what was signed, got {got}.",
        "js-fault-leaf-changed": "Tile {tile} was changed at entry {index}: expected {got}, the "
        "entry's hash, which fits what was signed, got {expected}.",
        "js-fault-entry-differs": "Entry {index} (file {place}) and its leaf (tile {tile}) differ, "
        "and neither fits what was signed: expected the hash {expected}, got {got}.",
        "js-fault-tile": "Tile {place}, hash {at}: expected {expected} from what lies under it, "
        "got {got}.",
        "js-fault-tile-length": "Tile {place}: expected {expected} bytes, got {got}.",
        "js-fault-bundle-form": "Entry {index} (file {place}): expected a bundle of {expected} "
        "whole entries, got {got}.",
        "js-fault-missing": "File {place}: expected it for the signed head, got none.",
        "js-fault-too-long": "File {place}: expected at most {expected} bytes, got more.",
        "js-fault-beyond": "Entry {index}: expected it among {expected} entries under the signed "
        "head, got none.",
        "js-fault-inclusion": "Entry {index} is not in the log that was signed: expected a proof "
        "to the root {expected} of {size} entries, got one to {got}.",
        "js-fault-parts": "Entry {index}: expected parts whose SHA-256 is {expected}, got {got}.",
        "js-fault-statement-type": "{field}: expected a statement of type {expected}, got {got}.",
        "js-fault-signer": "{field}: expected a signature by {who} with key {expected}, got one "
        "with {got}.",
        "js-fault-statement": "{field}: expected a signature by {who} that fits, got one that "
        "does not: it was changed after signing.",
        "js-why-key-form": "Expected a key as name+hash+base64, got “{got}”.",
        "js-why-key-two": "Expected one key of a log, got a second one: {got}.",
        "js-why-key-low-order": "The key of {name} is of low order: signatures under it prove "
        "nothing.",
        "js-why-key-missing": "Expected the log's key among them, got keys of witnesses only.",
        "js-why-no-crypto": "This browser lends its cryptography to pages over https, or from this "
        "machine itself, only. Open the console that way.",
        "js-why-no-ed25519": "This browser does not know Ed25519; use a newer one (Chromium 137, "
        "Firefox 129, Safari 17, or later).",
        "js-why-unreachable": "File {place}: no answer ({got}). Try again.",
        "js-why-signed-out": "You are no longer signed in.",
        "js-why-unexpected": "The script met something that it does not know: {got}",
        # types of entries
        "type-SpaceCreated": "Space created",
        "type-BaselineAdopted": "Laws adopted",
        "type-ParticipantEnrolled": "Participant enrolled",
        "type-KeyRotated": "Key changed",
        "type-ProductRegistered": "Product registered",
        "type-CertificateIssued": "Certificate issued",
        "type-CertificateRevoked": "Certificate revoked",
        "type-AppRegistered": "App registered",
        "type-AppFilingRevoked": "App filing revoked",
        "type-OfferPublished": "Offer published",
        "type-NegotiationStep": "Negotiation step",
        "type-AgreementConcluded": "Agreement concluded",
        "type-ConsentWithdrawn": "Consent withdrawn",
        "type-TransferStep": "Transfer step",
        "type-VoucherIssued": "Voucher issued",
        "type-RunOpened": "Run opened",
        "type-RunResumed": "Run resumed",
        "type-RunEnded": "Run ended",
        "type-ReportsMade": "Policies evaluated",
        "type-RoundDecided": "Round decided",
        "type-PermitIssued": "Permit issued",
        "type-ReceiptAccepted": "Receipt accepted",
        "type-ReceiptRefused": "Receipt refused",
        "type-MasksReleased": "Masks released",
        "type-RoundClosed": "Round closed",
        "type-RoundAbandoned": "Round abandoned",
        "type-EnginesDisagreed": "Engines disagreed",
        "type-AuditorNamed": "Auditor named",
        "type-DisclosureErased": "Disclosures erased",
    }
)
