"""The words of an audit report in English; `auditors.report_chinese` has the same keys."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        # -- the page
        "title": "Audit report: {space}",
        "lead": "Made from the log's {entries} entries alone, from {first} to {last}. All times "
        "are UTC. Numbers with # are entries: `tds audit explain LOG 48` tells entry 48.",
        "lead-scope": "Only what concerns {what}; the registers and budgets are whole.",
        "scope-participant": "participant {who}",
        "scope-run": "run {run}",
        "scope-since": "the time from {time} on",
        "scope-until": "the time before {time}",
        "contents": "Contents",
        "source": "From the log:",
        "foot": "tdspace audit report. The same log gives the same report, byte for byte. "
        "Participants stand in the log under pseudonyms; names, where shown, were handed in by "
        "whoever made this report and are not part of the log.",
        # -- what was checked
        "verdict-good": "Verified and replayed: nothing was rewritten, and every decision follows.",
        "verdict-unverified": "Replayed, not verified: no key was given, so that nobody knows "
        "whether these entries are what the log signed.",
        "verdict-unreplayed": "Not replayed: whether the decisions follow was not looked at.",
        "verdict-bad": "{count} broken rules. The entries are named in red below.",
        "verdict-bad-one": "One broken rule. The entry is named in red below.",
        "check-verified": "Integrity: every entry was rehashed into the tree that {origin} "
        "signed: "
        "{size} entries, root {root}.",
        "check-cosigned": "Cosigned by {witnesses}.",
        "check-uncosigned": "No cosignature was asked for: the log's own signature carries it "
        "alone.",
        "check-seen": "Checkpoints that others saw, all of them heads of this log: {count}.",
        "check-replayed": "Rules: {decisions} decisions, {permits} permits and {receipts} "
        "receipts "
        "were recomputed from the entries before them.",
        "check-unreadable": "{count} entries are in a form that governance does not write; they "
        "are not in the figures ({entries}).",
        # -- tiles
        "tile-uses": "uses with a receipt",
        "tile-owners": "owners whose data was used",
        "tile-permitted": "verdicts: permitted",
        "tile-refused": "verdicts: refused",
        "tile-withdrawals": "consents withdrawn",
        "tile-missing": "permits without receipt",
        "tile-epsilon": "largest ε of one product",
        "tile-runs": "runs",
        "tile-violations": "broken rules",
        "tile-alarms": "alarms",
        # -- broken rules
        "violations": "Broken rules",
        "violations-caption": "Entries that record what the rules do not allow",
        "entry": "Entry",
        "rule": "Rule",
        "found": "Expected, and what stands there",
        # -- uses
        "uses": "Who used whose data, when and for what",
        "uses-none": "No use with an accepted receipt.",
        "uses-caption": "Uses by product, agreement and run; each use has a permit and a receipt "
        "signed by the owner's node",
        "data-of": "Data of",
        "used-by": "Used by, for",
        "under": "Under agreement",
        "with-app": "App, run",
        "uses-count": "Uses",
        "trained": "{n} training",
        "evaluated": "{n} evaluation",
        "rows": "Rows",
        "rows-of": "{used} of {all}",
        "rows-range": "{least} to {most} of {all}",
        "rows-none": "none trained on",
        "without": "Rows left out for want of consent, each use",
        "without-range": "{least} to {most}",
        "loss": "ε",
        "when": "When, entries",
        "span": "{first} to {last}",
        "stands": "consent stands",
        "withdrawn-at": "withdrawn {time}",
        "plot-uses": "Uses over time, adding up",
        "plot-uses-text": "From {first} to {last}: {parts}.",
        "plot-uses-part": "{who} {n}",
        "plot-uses-most": "Uses over time, adding up: the {shown} most used of {all} owners",
        "plot-rows": "Rows used in one training round, of the rows registered",
        "plot-rows-text": "{parts}.",
        "plot-rows-part": "{product}: {used} of {all} rows, in {rounds} training rounds",
        "plot-rows-words": "{used} of {all}, {rounds} rounds",
        "more-csv": "And {n} more: `--format csv` lists all.",
        # -- refused
        "refused": "Who was refused, and why",
        "refused-none": "Nobody was refused.",
        "refused-caption": "Refusals by product, run and reason, before any use",
        "why": "Why",
        "rounds-count": "Rounds",
        "rounds-span": "rounds {first} to {last}",
        "round-one": "round {first}",
        "plot-rounds": "Verdicts of each round",
        "plot-rounds-text": "{rounds} rounds decided: {permitted} verdicts permitted, {refused} "
        "refused. Under the bars: the number of the round; eval is an evaluation.",
        "permitted-word": "permitted",
        "refused-word": "refused",
        # -- withdrawals
        "withdrawals": "Withdrawals, and when they took effect",
        "withdrawals-none": "No consent was withdrawn.",
        "withdrawals-caption": "For each consent: its end, the last use before it, and the first "
        "decision after it",
        "owner": "Owner",
        "withdrawn": "Withdrawn",
        "last-use": "Last use before",
        "under-way": "Permits under way then",
        "first-decision": "First decision after",
        "effect": "Effect",
        "never-used": "never used",
        "no-decision": "none yet",
        "place": "{kind} round {round}",
        "train": "training",
        "evaluate": "evaluation",
        "effect-held": "No use and no permit after it.",
        "effect-broken": "{permits} permits and {uses} uses after it.",
        "in-flight": "{n}, of which {refused} without use",
        # -- privacy and budgets
        "budgets": "Privacy loss and other budgets",
        "budgets-caption": "What each agreement allows and what counts against it, over the whole "
        "log; a use counts from its permit on, and for ε every use of the product, under whatever "
        "agreement",
        "budgets-zero": "No run had differential privacy, so that nothing bounds what its uses "
        "told of single records: ε has no bound.",
        "no-bound": "no bound",
        "at-delta": "δ {delta}",
        "metered": "Seconds",
        "paid": "Paid",
        "of-most": "{spent} of {most}",
        "of-below": "{spent} of less than {most}",
        "no-limit": "{spent}, no limit",
        "plot-epsilon": "Privacy loss ε of each agreement's product; the mark is the agreement's "
        "limit",
        "plot-levels-text": "{parts}.",
        "plot-level-part": "{name}: {words}",
        # -- missing
        "missing": "What is missing",
        "missing-none": "Nothing: every permit is answered by an accepted receipt, and no round "
        "was given up.",
        "missing-caption": "Permits without an accepted receipt; each still counts as a use, "
        "since "
        "it may have been one",
        "permit": "Permit",
        "settled": "Settled by",
        "how-closed": "close of the round",
        "how-abandoned": "round given up",
        "how-open": "nothing yet",
        "by-code": "By reason: {parts}.",
        "abandoned-caption": "Rounds whose permit was given up, and rounds closed without a result",
        "round": "Round",
        "no-quorum": "closed without a quorum: {accepted} receipts",
        "gave-up": "given up: {text}",
        "no-certificate": "Products without a certificate: {products}.",
        "open-runs": "Runs that had not ended by the log's end: {runs}.",
        # -- runs
        "runs": "Runs",
        "runs-none": "No run.",
        "runs-caption": "How each run went",
        "run": "Run",
        "consumer-purpose": "Consumer, purpose",
        "state": "State",
        "decided": "Decisions",
        "decided-note": "permits: {permits}; permitted nobody: {nobody}",
        "closed": "Closed",
        "closed-note": "of {rounds} training rounds and an evaluation; without quorum "
        "{no_quorum}, given up {abandoned}",
        "receipts": "Receipts",
        "receipts-note": "replies refused: {refused}",
        "model": "Model",
        "derived": "derived: {classification}",
        # -- registers
        "participants": "Participants and products",
        "participants-caption": "Participants",
        "participant": "Participant",
        "role": "Role",
        "sector": "Sector",
        "region": "Region",
        "enrolled": "Enrolled",
        "products-caption": "Data products in their newest version",
        "product": "Product",
        "class": "Classification",
        "personal": "personal information",
        "not-personal": "no personal information",
        "where": "Place",
        "certificate": "Certificate",
        "certificate-valid": "until {time}",
        "certificate-revoked": "revoked {time}",
        "certificate-none": "none",
        "version": "version {n}",
        "filing": "filing {number}",
        "registered": "Registered",
        "apps": "Apps and laws",
        "apps-caption": "Apps and what they are filed for",
        "app": "App",
        "author": "Author",
        "filed-for": "Filed for",
        "any-purpose": "any purpose",
        "filing-number": "Filing number",
        "filing-revoked": "revoked {time}: {reason}",
        "filing-until": "until {time}",
        "filing-stands": "stands",
        "laws-caption": "Laws in force at the log's end: they bound every agreement",
        "law": "Law",
        "legal-source": "Legal source",
        "law-version": "Version",
        "adopted": "Adopted",
        "laws-none": "No law was adopted as a baseline.",
        "contracts": "Contracts",
        "contracts-caption": "Concluded agreements and their terms",
        "agreement": "Agreement",
        "parties": "Owner, consumer",
        "terms": "Terms",
        "concluded": "Concluded",
        "verified-both": "signed by both",
        "verified-owner": "signed by the owner",
        "consent": "Consent",
        "unreadable-terms": "not in our profile",
        "states": "Offers: {offers}. Negotiations: {negotiations}. Transfer processes: "
        "{transfers}.",
        "states-none": "none",
        # -- vouchers
        "vouchers": "Vouchers and settlement",
        "vouchers-caption": "Prepaid units",
        "voucher": "Voucher",
        "consumer": "Consumer",
        "amount": "Units",
        "set-aside": "Set aside by permits",
        "left": "Left",
        "issued": "Issued",
        "settlement-caption": "Who owes whom: units of uses with an accepted receipt",
        "earned": "Earned",
        # -- alarms
        "alarms": "Alarms",
        "alarms-none": "No alarm: no two policy engines disagreed in the log.",
        "alarms-caption": "Two policy engines said different things; the candidate was refused",
        "about": "About",
        "engines": "Engines",
        # -- what it rests on
        "limits": "What this report rests on, and what a log cannot show",
        "limit-1": "Facts come from the entries; judgements from the verification and the replay "
        "that stand at the top. A use is one that the owner's node signed a receipt for.",
        "limit-2": "Participants are pseudonyms. Who they are stands beside the log, encrypted to "
        "participant and auditor, and can be erased without breaking a proof.",
        "limit-3": "The log cannot show who was online, what the operator's clock said, whether a "
        "reply that was refused was good, nor anything that was never logged, such as a "
        "withdrawal that governance swallowed: that stands in the node's own log "
        "(`tds node reconcile`).",
        "limit-4": "Privacy loss ε follows from the noise and the sampling that permits state, "
        "over all uses of a product (differential privacy, rounded up). It bounds what can be told "
        "of a record; it is not measured on the model.",
        "limit-5": "Entries dropped from the end together with their checkpoints can be seen only "
        "against a later checkpoint: keep the one of each audit.",
        "entry-types": "Entries by type: {parts}.",
    }
)
