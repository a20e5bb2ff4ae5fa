"""The words of explanations in English; the log's sentences use some of them too."""

from __future__ import annotations

from policies.wording import Words, frozen, tables

ENGLISH = Words(
    subjects=frozen(
        {
            "purpose": "the purpose",
            "dateTime": "the time",
            "count": "the number of uses, this one included,",
            "meteredTime": "the metered time, this use included,",
            "elapsedTime": "the time since the first use",
            "spatial": "the place of processing",
            "recipient": "the recipient",
            "industry": "the recipient's sector",
            "event": "the event",
            "payAmount": "the pay for the use",
            "version": "the product's data version",
            "epsilon": "the privacy loss ε of the product, this use included,",
            "delta": "the δ that ε is stated at",
            "clipNorm": "the norm that updates are clipped to",
            "secureAggregation": "the secure sum",
            "noise": "the noise, in clipping norms,",
            "noiseBy": "who adds the noise",
            "privacyUnit": "the unit of privacy",
            "minParticipants": "the number of participants",
            "rowShare": "the product's share of all rows",
            "togetherWith": "the partners that take part",
            "notTogetherWith": "the competitors that may take part",
            "algorithm": "the app",
            "executionEnvironment": "the execution environment",
            "classification": "the product's classification",
            "personalInformation": "whether it holds personal information",
            "subjectConsent": "the record of the data subjects' consent",
            "anonymization": "the duty to anonymise",
            "crossBorder": "whether the result crosses a jurisdiction",
            "spatialPermission": "the spatial permission for the recipient's jurisdiction",
            "filingNumber": "the filing number",
        }
    ),
    wanted=frozen(
        {
            "eq": "{}",
            "neq": "something other than {}",
            "lt": "less than {}",
            "lteq": "at most {}",
            "gt": "more than {}",
            "gteq": "at least {}",
            "isA": "{} or what belongs to it",
            "isPartOf": "{} or a region of it",
            "isAnyOf": "{}",
            "isAllOf": "all of {}",
            "isNoneOf": "something other than {}",
            "hasPart": "{} among them",
        }
    ),
    unwanted=frozen(
        {
            "eq": "something other than {}",
            "neq": "{}",
            "lt": "at least {}",
            "lteq": "more than {}",
            "gt": "at most {}",
            "gteq": "less than {}",
            "isA": "something that does not belong to {}",
            "isPartOf": "a place outside {}",
            "isAnyOf": "something other than {}",
            "isNoneOf": "{}",
        }
    ),
    wanted_time=frozen(
        {"lt": "before {}", "lteq": "{} or earlier", "gt": "after {}", "gteq": "{} or later"}
    ),
    unwanted_time=frozen(
        {"lt": "{} or later", "lteq": "after {}", "gt": "{} or earlier", "gteq": "before {}"}
    ),
    duties=frozen(
        {
            "anonymize": "anonymise the data",
            "compensate": "pay for the use",
            "obtainConsent": "obtain the data subjects' consent",
            "inform": "inform the owner",
            "delete": "delete what was received",
            "report": "report the result",
            "watermark": "mark the model",
            "attribute": "name the contributors",
        }
    ),
    facts=frozen({}),
    permitted="{who} was permitted: {rule} is met in every constraint.",
    refused="{who} was refused.",
    refused_before="{who} was refused before its policy was asked.",
    met="met",
    is_value="{subject} is {value}",
    unknown="{subject} is not known",
    should="{subject} would have to be {wanted}",
    known="{subject} would have to be known",
    grows=" (it only grows, so that only a new agreement helps)",
    spends=" (what was spent stays spent, so that only a smaller use or a new agreement helps)",
    unconditional="it forbids without a condition, so that only its end helps",
    too_many="{held} alternatives hold where exactly one may: {facts}",
    facts_of=frozen(
        {
            "togetherWith": "of its partners, {} takes part",
            "notTogetherWith": "{} may take part",
        }
    ),
    told=tables(
        {
            "classification": {
                "general": "the product is general data",
                "important": "the product is important data",
                "core": "the product is core data",
            },
            "personalInformation": {
                "yes": "the product holds personal information",
                "no": "the product holds no personal information",
            },
            "subjectConsent": {
                "table": "a table of its data subjects' consents is kept",
                "none": "no table of its data subjects' consents is kept",
            },
            "anonymization": {
                "agreed": "the agreement carries a duty to anonymise",
                "none": "the agreement carries no duty to anonymise",
            },
            "crossBorder": {
                "yes": "the result crosses a jurisdiction",
                "no": "the result stays in its jurisdiction",
            },
            "spatialPermission": {
                "explicit": "a permission names a place in the recipient's jurisdiction",
                "none": "no permission names a place in the recipient's jurisdiction",
            },
            "filingNumber": {"none": "the product has no filing number"},
            "secureAggregation": {
                "none": "updates are added without masks, each to be seen by itself",
                "governance": "updates are added under masks whose sum governance alone releases",
                "pairwise": "updates are added under masks that cancel out between nodes",
            },
            "noiseBy": {
                "none": "nobody adds noise",
                "nodes": "each node adds its share of the noise",
                "governance": "governance adds the noise to the sum of the masks",
            },
            "privacyUnit": {
                "none": "no unit's privacy is protected by noise",
                "record": "noise protects each single record",
                "subject": "noise protects all records of a subject together",
            },
        }
    ),
    needed=tables(
        {
            "personalInformation": {
                "yes": "the product would have to hold personal information",
                "no": "the product would have to hold no personal information",
            },
            "subjectConsent": {
                "table": "a table of its data subjects' consents would have to be kept",
                "none": "its data subjects' consents would have to be kept in no table",
            },
            "anonymization": {
                "agreed": "the agreement would have to carry a duty to anonymise",
                "none": "the agreement would have to carry no duty to anonymise",
            },
            "crossBorder": {
                "yes": "the result would have to cross a jurisdiction",
                "no": "the result would have to stay in its jurisdiction",
            },
            "spatialPermission": {
                "explicit": "a permission would have to name a place in the recipient's "
                "jurisdiction",
                "none": "no permission could name a place in the recipient's jurisdiction",
            },
            "filingNumber": {
                "": "the product would have to have a filing number",
                "none": "the product would have to have no filing number",
            },
        }
    ),
    at_rule="{text} ({rule})",
    about="{what}: {text}",
    stay_out="{} would have to stay out of the round",
    join_in="{} would have to take part as well",
    nobody="nobody",
    list_or=" or ",
    list_and=", ",
    list_all=" and ",
    all_parts="; and ",
    any_part="; or ",
    only_one="exactly one alternative would have to hold, not {}",
    permission="permission {}",
    prohibition="prohibition {}",
    no_permission="no permission of the agreement covers the action {action}",
    permission_needed="the owner would have to permit the action {action}",
    prohibits="{rule} applies: {facts}",
    may_prohibit="{rule} may apply: {facts}",
    law="the law “{title}”",
    law_source="legal source: {source}",
    duty="the duty to {duty} is not fulfilled",
    duty_needed="the duty to {duty} would have to be fulfilled",
    other_party="the agreement is with {assignee} about {target}; asked was by {asker} for {asked}",
    cohort_small="too few participants were left in the round for the run's own minimum",
)
