"""The words of legal records in English. What a record cannot know is a blank, never a guess.

Legal texts: Regulation (EU) 2016/679 (GDPR), Regulation (EU) 2024/1689 (AI Act), Personal
Information Protection Law of the People's Republic of China (2021, PIPL).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        # -- every record
        "record-lead": "Drawn up from the log of {space}, {entries} entries from {first} to {last} "
        "(UTC). Numbers with # are entries.",
        "record-advice": "Not legal advice. Checked was what stands above, and nothing else: "
        "neither whether what participants stated is true, nor whether any law is met.",
        "record-pseudonyms": "The log is pseudonymous: participants stand in it under ids that "
        "name nobody outside of the space. Names in this record, if any, were handed in beside it.",
        "record-blanks": "What the log cannot know is left open in a dashed box, and says by whom "
        "it is to be filled in.",
        "foot": "Made by tds audit report; the same log gives the same record. Complete the dashed "
        "boxes before use.",
        "contents": "Contents",
        "source": "From the log:",
        "how-to-read": "How to read this record",
        "by": "To be filled in by {who}: {what}",
        "the-controller": "the controller",
        "the-processor": "the processor",
        "the-provider": "the provider",
        "the-deployer": "the deployer",
        "the-handler": "the personal information handler",
        "nothing-logged": "The log says nothing about it.",
        # -- what the log says
        "party": "{who}, enrolled as {role} in {region}",
        "party-sector": "{who}, enrolled as {role} in {region}, sector {sector}",
        "purpose-used": "{purpose} (uses: {uses}, runs: {runs})",
        "purpose-asked": "{purpose} (asked for; nothing was used)",
        "product-personal": "{product}: {rows} rows, {classification}; by its owner's signed word "
        "it holds personal information; record of the subjects' consents: {consent}",
        "product-general": "{product}: {rows} rows, {classification}; by its owner's signed word "
        "it holds no personal information",
        "columns": "Columns of {product}: {columns}",
        "recipient": "{who}, in {region}, under {agreements}",
        "recipient-gets": "By the receipts an update of the model and named figures left the "
        "owner's machine; for each the log holds a digest.",
        "transfer-yes": "{product} ({place}) to {who} in {region}: crosses a jurisdiction; filing "
        "number: {filing}",
        "transfer-no": "{product} ({place}) to {who} in {region}: stays in its jurisdiction",
        "transfer-unknown": "{product} ({place}) to {who} in {region}: not known",
        "no-filing": "none",
        "withdrawal": "{agreement}: withdrawn at {time}, {effect}",
        "withdrawal-held": "no use and no permit after it",
        "withdrawal-broken": "but used or permitted after it",
        "withdrawals-none": "No consent was withdrawn.",
        "duty-delete": "{agreement}: what was received is to be deleted after averaging",
        "erased": "{count} disclosures erased at {time} ({code})",
        "anonymized": "{product}: anonymised by {method}",
        "measure-permit": "Each use needed a signed permit for one round, logged before it was "
        "signed. Permits: {permits}; members of their cohorts without an accepted receipt: "
        "{missing}.",
        "measure-sandbox": "Measured at the uses: {environment}",
        "measure-epsilon": "Privacy loss ε of the product, by agreement: {parts}",
        "measure-epsilon-none": "No run had differential privacy: nothing bounds ε.",
        "no-bound": "no bound",
        "measure-consent": "Rows of data subjects whose consent did not stand were left out before "
        "an app saw any row: up to {most} rows in one use; nodes that signed so: {owners}",
        "measure-cohort": "Least number of participants that runs asked for: {least}",
        "measure-certificates": "Products with a standing certificate: {valid} of {all}",
        "measure-log": "Entries are chained in a signed transparency log; participants are "
        "pseudonyms; {erasures} erasures of disclosures are logged.",
        "terms": "{agreement}: {terms}",
        "consent-both": "{agreement}: signed by both parties",
        "consent-owner": "{agreement}: signed by the owner",
        "uses-caption": "Uses of personal or other data, one by one",
        "uses-more": "And {n} more: `tds audit report --format csv` lists all.",
        "col-entry": "Entry",
        "col-whose": "Whose data",
        "col-round": "Run, round",
        "col-start": "Start",
        "col-end": "End",
        "col-rows": "Rows",
        "col-without": "Left out for want of consent",
        "col-loss": "ε",
        "col-for": "For whom, for what",
        "refusals-count": "{count} verdicts refused, {permitted} permitted; reasons: {codes}",
        "law-in-force": "{title} ({source})",
        # -- GDPR
        "gdpr-title": "Records of processing activities (GDPR, Article 30): {space}",
        "gdpr-controller": "Controller: {who}",
        "gdpr-controller-note": "Article 30(1), drawn up as if this owner of data were a "
        "controller. Whether it is one, alone or jointly with the consumer (Article 26), the log "
        "cannot say.",
        "gdpr-none": "No participant registered a data product.",
        "gdpr-processor": "Processor: the operator of the space",
        "gdpr-processor-note": "Article 30(2), drawn up as if the operator processed on behalf of "
        "the owners. Raw data stay at the owners' nodes; what the operator's machines carry are "
        "decisions, receipts and the log.",
        "gdpr-a": "Name and contact details",
        "gdpr-a-what": "name and contact details of the controller, of any joint controller, of "
        "its representative and of the data protection officer",
        "gdpr-b": "Purposes of the processing",
        "gdpr-b-what": "the purposes in words, and the legal ground (Article 6, and Article 9 for "
        "special categories), which Article 30 does not ask for but an inspection will",
        "gdpr-c": "Categories of data subjects and of personal data",
        "gdpr-c-what": "the categories of data subjects; of the personal data, whether they are "
        "special categories (Article 9) or about convictions (Article 10)",
        "gdpr-d": "Categories of recipients",
        "gdpr-d-what": "recipients outside of the space",
        "gdpr-e": "Transfers to third countries or international organisations",
        "gdpr-e-what": "whether the places named are third countries for the controller, and the "
        "documentation of suitable safeguards where Article 49(1), second subparagraph, applies",
        "gdpr-f": "Envisaged time limits for erasure",
        "gdpr-f-what": "the time limits for each category of data at the owner, for models, and "
        "for copies of the log",
        "gdpr-g": "Technical and organisational security measures",
        "gdpr-g-what": "a general description of the measures outside of the space (Article 32(1))",
        "gdpr-p-a": "Processor, and controllers on whose behalf it acts",
        "gdpr-p-a-what": "name and contact details of the processor, its representative and its "
        "data protection officer; the same of each controller",
        "gdpr-p-b": "Categories of processing carried out on behalf of each controller",
        "gdpr-p-b-value": "{app} for {purpose}: {decisions} rounds decided, {permits} permitted, "
        "{closed} closed",
        "gdpr-p-c-what": "sub-processors and where they are",
        "gdpr-use": "Keeping and showing this record",
        "gdpr-use-1": "Article 30(3): in writing, also electronically. This file is one.",
        "gdpr-use-2": "Article 30(4): to be made available to the supervisory authority on "
        "request.",
        "gdpr-use-3": "Article 30(5): an enterprise of fewer than 250 persons may be exempt, but "
        "not for processing that is not occasional.",
        # -- AI Act
        "ai-title": "Event log of an AI system (AI Act, Article 12): {space}",
        "ai-system": "The system and its records",
        "ai-system-note": "Article 12 asks this of high-risk systems; whether this is one is for "
        "its provider to say. The log covers training and evaluation in the space. The trained "
        "model in operation elsewhere is not in it.",
        "ai-identity": "System, version and intended purpose",
        "ai-app": "App {app} (SHA-256 {digest}), filed for {purposes}",
        "ai-any": "any purpose",
        "ai-run": "{run}: {state}, {closed} rounds closed, model {model}",
        "ai-identity-what": "name and trade name of the system, its version, its intended purpose "
        "and its place in Annex III",
        "ai-lifetime": "Events recorded automatically over the lifetime",
        "ai-lifetime-value": "{count} entries of type {kind}",
        "ai-lifetime-what": "events before the space began and after the model left it",
        "ai-events": "Events for traceability",
        "ai-risk": "Situations that may present a risk, or a substantial modification",
        "ai-model-changes": "{run}: {closed} closes; the model after the newest is {model}",
        "ai-alarms": "Policy engines disagreed {count} times",
        "ai-violations": "Rules broken, as the replay found: {count}",
        "ai-no-result": "Rounds without a result: {no_result}; given up: {abandoned}",
        "ai-filings": "App filings: {count}, of which revoked: {revoked}",
        "ai-laws": "Laws in force: {names}",
        "ai-risk-what": "the assessment whether any of it is a risk within the meaning of Article "
        "79(1) or a substantial modification (Article 3(23))",
        "ai-monitoring": "Post-market monitoring",
        "ai-figures": "{run}: {figures}",
        "ai-figures-none": "No figures were reported.",
        "ai-monitoring-what": "data from the use of the model after it left the space",
        "ai-operation": "Monitoring of the operation",
        "ai-operation-what": "who monitors, and what was done about the refusals",
        "ai-uses": "Recording of each use",
        "ai-uses-note": "Article 12(3) asks this of remote biometric identification (Annex III, "
        "point 1(a)); given here for every use of data in the space.",
        "ai-period": "Period of each use",
        "ai-period-value": "{count} uses with a start and an end signed by the owner's node",
        "ai-period-what": "uses of the system other than training and evaluation",
        "ai-database": "Reference database against which input data were checked",
        "ai-database-na": "Not applicable: nothing is looked up in a reference database. The data "
        "used are the registered products:",
        "ai-match": "Input data for which the search led to a match",
        "ai-match-na": "Not applicable: no search is made. Each receipt commits to the rows that "
        "were used, without showing them.",
        "ai-persons": "Natural persons involved in the verification of results",
        "ai-persons-value": "The log names participants, not natural persons.",
        "ai-persons-what": "the natural persons (Article 14(5))",
        "ai-keeping": "Keeping of the logs",
        "ai-kept": "Logs held, from and to",
        "ai-kept-value": "{entries} entries, from {first} to {last}; an entry cannot be taken out "
        "without breaking the signed root",
        "ai-kept-what": "where the log is kept, and until when: at least six months, unless Union "
        "or national law asks otherwise",
        # -- PIPL
        "pipl-title": "Records under the Personal Information Protection Law (Articles 55 and "
        "56): {space}",
        "pipl-handler": "Personal information handler: {who}",
        "pipl-handler-note": "Drawn up as if this owner of data were a personal information "
        "handler (Article 73(1)). Whether it is one the log cannot say.",
        "pipl-none": "No participant registered a data product.",
        "pipl-who": "Handler and its contacts",
        "pipl-who-what": "name, contact, and the person in charge of personal information "
        "protection",
        "pipl-when": "Whether an impact assessment is due",
        "pipl-provided": "Provided to or handled for: {who}",
        "pipl-abroad": "Results that crossed a jurisdiction: {count} of {all} pairs of product and "
        "recipient",
        "pipl-when-what": "whether sensitive personal information, automated decision-making, or "
        "publication is involved",
        "pipl-lawful": "Purpose and manner of handling: lawful, legitimate, necessary",
        "pipl-lawful-what": "the assessment",
        "pipl-impact": "Impact on individuals' rights and security risks",
        "pipl-impact-what": "the assessment, for which the figures above may serve",
        "pipl-protect": "Protective measures: lawful, effective, suited to the risk",
        "pipl-protect-what": "the assessment, and measures outside of the space",
        "pipl-entrusted": "Entrusted handling: what was agreed",
        "pipl-entrusted-what": "whether this is entrusted handling; time limit, rights and duties "
        "of both, and how it was supervised",
        "pipl-shared": "Provision to other handlers",
        "pipl-shared-what": "whether the recipient is a handler of its own; how individuals were "
        "informed and gave separate consent",
        "pipl-consent": "{product}: record of the subjects' consents: {consent}",
        "pipl-border": "Provision abroad",
        "pipl-border-what": "which condition of Article 38 is met (security assessment, "
        "certification, standard contract); how individuals were informed and gave separate "
        "consent (Article 39)",
        "pipl-records": "Records of handling",
        "pipl-records-what": "handling outside of the space",
        "pipl-withdrawn": "Withdrawal of consent and erasure",
        "pipl-withdrawn-what": "what was erased at the owner",
        "pipl-keep": "Keeping",
        "pipl-keep-value": "Records from {first} to {last}. Assessment and records are to be kept "
        "for at least three years: those of the newest entry until {until}.",
        "pipl-keep-what": "where they are kept, and by whom",
    }
)
