"""Explanations: what decided, and what would have to change, in both languages."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from policies import baseline
from policies.baseline import parse_baseline
from policies.english import ENGLISH
from policies.evaluate import Reason, Report, Request, Value, evaluate
from policies.explain import Explanation, explain_facts, explain_report
from policies.odrl import PROFILE, parse_agreement
from policies.operands import ACTIONS, OPERANDS, OPERATORS, Right
from policies.phrases import WORDS, Language, needed_value, told_value
from policies.rows import Kind


def decide(
    permission: list[dict[str, Any]],
    state: dict[str, Right],
    *,
    prohibition: list[dict[str, Any]] | None = None,
    obligation: list[dict[str, Any]] | None = None,
    laws: tuple[bytes, ...] = (),
    assignee: str = "consortium",
) -> Report:
    agreement = parse_agreement(
        json.dumps(
            {
                "@id": "urn:uuid:1",
                "@type": "Agreement",
                "profile": PROFILE,
                "conflict": "prohibit",
                "target": "t",
                "assigner": "clinic",
                "assignee": "consortium",
                "timestamp": "2026-01-01T00:00:00Z",
                "permission": permission,
                "prohibition": prohibition or [],
                "obligation": obligation or [],
            }
        ).encode()
    )
    values = {name: Value(value, "test") for name, value in state.items()}
    parsed = tuple(parse_baseline(law) for law in laws)
    return evaluate(agreement, Request("t", assignee, "train"), values, baseline=parsed)


def part(left: str, operator: str, right: Any) -> dict[str, Any]:
    kinds = {Kind.INTEGER: "integer", Kind.DECIMAL: "decimal", Kind.DURATION: "duration"}
    kind = kinds.get(OPERANDS[left].kind)
    value = {"@value": right, "@type": f"xsd:{kind}"} if kind else right
    return {"leftOperand": left, "operator": operator, "rightOperand": value}


def train(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"action": "train", "constraint": list(parts), **more}


def told(report: Report, language: Language = "en") -> Explanation:
    return explain_report("clinic", report, language)


PURPOSE = part("purpose", "isA", "medical-research")


@pytest.mark.parametrize("language", WORDS)
def test_every_term_has_words(language: Language) -> None:
    words = WORDS[language]
    assert set(words.subjects) == set(OPERANDS)
    assert set(words.wanted) == set(OPERATORS)
    assert set(words.duties) == {term for term, row in ACTIONS.items() if row.duty}
    prohibitable = {o for row in OPERANDS.values() if not row.cohort for o in row.operators}
    assert set(words.unwanted) == prohibitable


def test_a_permit_names_its_permission_and_what_was_looked_at() -> None:
    report = decide([train(PURPOSE)], {"purpose": "drug-safety"})
    assert told(report) == Explanation(
        True,
        "clinic was permitted: permission 1 is met in every constraint.",
        ("the purpose is drug-safety",),
        (),
    )
    assert "第 1 条许可" in told(report, "zh").headline


def test_a_permit_that_a_small_cohort_undid_says_so() -> None:
    report = decide([train()], {})
    found = explain_report("clinic", report, "en", permitted=False)
    assert not found.permitted
    assert "too few participants" in found.because[0]


def test_each_unmet_constraint_is_a_change() -> None:
    limits = [
        PURPOSE,
        part("count", "lteq", "5"),
        part("epsilon", "lt", "2.5"),
        part("payAmount", "gteq", "12"),
        part("spatial", "isAnyOf", ["CN-GD", "CN-SH"]),
    ]
    state: dict[str, Right] = {
        "purpose": "marketing",
        "count": 6,
        "epsilon": Decimal("2.5"),
        "payAmount": Decimal(10),
    }
    found = told(decide([train(*limits)], state))
    assert found.because == (
        "the purpose is marketing (permission 1)",
        "the number of uses, this one included, is 6 (permission 1)",
        "the privacy loss ε of the product, this use included, is 2.5 (permission 1)",
        "the pay for the use is 10 (permission 1)",
        "the place of processing is not known (permission 1)",
    )
    assert found.changes == (
        "the purpose would have to be medical-research or what belongs to it; and "
        "the number of uses, this one included, would have to be at most 5 "
        "(it only grows, so that only a new agreement helps); and "
        "the privacy loss ε of the product, this use included, would have to be less than 2.5 "
        "(what was spent stays spent, so that only a smaller use or a new agreement helps); and "
        "the pay for the use would have to be at least 12; and "
        "the place of processing would have to be CN-GD or CN-SH",
    )
    chinese = told(decide([train(*limits)], state), "zh")
    assert "使用次数（含本次）不得超过 5（该数值只增不减，只能另签合约）" in chinese.changes[0]


def test_alternatives_are_offered_as_such() -> None:
    either = {"or": [PURPOSE, part("recipient", "eq", "a")]}
    found = told(decide([train(either)], {"purpose": "marketing", "recipient": "b"}))
    assert found.changes == (
        "the purpose would have to be medical-research or what belongs to it; or "
        "the recipient would have to be a",
    )
    both = {"xone": [part("recipient", "eq", "b"), part("industry", "eq", "health")]}
    found = told(decide([train(both)], {"recipient": "b", "industry": "health"}))
    assert found.changes == ("exactly one alternative would have to hold, not 2",)
    assert found.because == (
        "2 alternatives hold where exactly one may: the recipient is b, the recipient's sector is "
        "health (permission 1)",
    )
    nested = {"and": [PURPOSE, part("recipient", "eq", "a")]}
    found = told(decide([train(nested), train(PURPOSE)], {"purpose": "marketing"}))
    assert found.changes[0].count("; or ") == 1


def test_prohibitions_say_what_would_end_them() -> None:
    forbid = {
        "action": "use",
        "constraint": [part("spatial", "isNoneOf", ["CN-GD"]), part("recipient", "eq", "b")],
    }
    state: dict[str, Right] = {"spatial": "CN-BJ", "recipient": "b"}
    found = told(decide([train()], state, prohibition=[forbid]))
    assert found.because == (
        "prohibition 1 applies: the place of processing is CN-BJ, the recipient is b",
    )
    assert found.changes == (
        "the place of processing would have to be CN-GD; or the recipient would have to be "
        "something other than b (prohibition 1)",
    )
    unknown = told(decide([train()], {"recipient": "b"}, prohibition=[forbid]))
    assert unknown.because == ("prohibition 1 may apply: the place of processing is not known",)
    always = told(decide([train()], {}, prohibition=[{"action": "use"}]))
    assert always.changes == (
        "it forbids without a condition, so that only its end helps (prohibition 1)",
    )


def test_or_inside_a_prohibition_has_to_end_in_all_its_parts() -> None:
    either = {"or": [part("recipient", "eq", "b"), part("industry", "eq", "health")]}
    state: dict[str, Right] = {"recipient": "b", "industry": "health"}
    forbid = [{"action": "use", "constraint": [either]}]
    found = told(decide([train()], state, prohibition=forbid))
    assert "; and " in found.changes[0]


def test_times_have_their_own_words() -> None:
    late = part("dateTime", "lt", "2026-06-01T00:00:00Z")
    found = told(decide([train(late)], {}))
    assert found.changes == ("the time would have to be before 2026-06-01T00:00:00.000Z",)


def test_company_is_spoken_of_by_name() -> None:
    wishes = [
        part("togetherWith", "isAllOf", ["a", "b"]),
        part("notTogetherWith", "isNoneOf", ["c"]),
    ]
    found = told(decide([train(*wishes)], {"togetherWith": (), "notTogetherWith": ("c",)}))
    assert found.because == (
        "of its partners, nobody takes part (permission 1)",
        "c may take part (permission 1)",
    )
    assert found.changes == (
        "a and b would have to take part as well; and c would have to stay out of the round",
    )


def test_only_who_is_away_would_have_to_come() -> None:
    wishes = [
        part("togetherWith", "isAllOf", ["a", "b", "c"]),
        part("notTogetherWith", "isNoneOf", ["d", "e", "f"]),
    ]
    found = told(decide([train(*wishes)], {"togetherWith": ("b",), "notTogetherWith": ("d", "f")}))
    assert found.because == (
        "of its partners, b takes part (permission 1)",
        "d and f may take part (permission 1)",
    )
    assert found.changes == (
        "a and c would have to take part as well; and d and f would have to stay out of the round",
    )
    unknown = told(decide([train(part("togetherWith", "isAnyOf", ["a", "b"]))], {}))
    assert unknown.changes == ("a or b would have to take part as well",)


def test_exactly_one_where_it_is_not_known_whether_others_hold() -> None:
    """Two would hold, were the unknown one satisfied: it must be known not to be."""
    one, other = part("recipient", "eq", "b"), part("industry", "eq", "health")
    found = told(decide([train({"xone": [one, other]})], {"recipient": "b"}))
    assert found.changes == ("the recipient's sector would have to be something other than health",)
    found = told(decide([train({"xone": [one, other]})], {"recipient": "c"}))
    assert found.changes == (
        "[the recipient would have to be b; and the recipient's sector would have to be something "
        "other than health]; or the recipient's sector would have to be health",
    )


@pytest.mark.parametrize(
    ("operator", "value", "grows"),
    [("eq", 3, False), ("eq", 6, True), ("lt", 6, True), ("gteq", 3, False)],
)
def test_a_value_that_only_grows_is_said_to_be_too_late_only_where_it_is(
    operator: str, value: int, grows: bool
) -> None:
    found = told(decide([train(part("count", operator, "5"))], {"count": value}))
    assert ("only grows" in found.changes[0]) is grows


@pytest.mark.parametrize(
    ("operator", "grows"), [("gteq", True), ("gt", True), ("lt", False), ("eq", False)]
)
def test_a_prohibition_of_what_only_grows(operator: str, grows: bool) -> None:
    value = 5 if operator in ("eq", "gteq") else 6 if operator == "gt" else 4
    forbid = [{"action": "use", "constraint": [part("count", operator, "5")]}]
    found = told(decide([train()], {"count": value}, prohibition=forbid))
    assert ("only grows" in found.changes[0]) is grows


def test_the_duty_of_another_permission_is_no_reason() -> None:
    owed = train(duty=[{"action": "compensate"}])
    forbid = [{"action": "use", "constraint": [part("recipient", "eq", "b")]}]
    found = told(decide([train(), owed], {"recipient": "b"}, prohibition=forbid))
    assert found.because == ("prohibition 1 applies: the recipient is b",)


def test_duties_that_are_owed() -> None:
    owed = {"action": "compensate", "constraint": [part("payAmount", "gteq", "12")]}
    state: dict[str, Right] = {"compensate": "fulfilled", "payAmount": Decimal(10)}
    found = told(decide([train(duty=[{"action": "inform"}])], state, obligation=[owed]))
    assert found.because == (
        "the duty to pay for the use is not fulfilled",
        "the duty to inform the owner is not fulfilled",
    )
    assert found.changes == (
        "the duty to pay for the use would have to be fulfilled: "
        "the pay for the use would have to be at least 12",
        "the duty to inform the owner would have to be fulfilled",
    )


def test_a_duty_violated_after_an_earlier_use() -> None:
    report = decide([train()], {"delete": "violated"}, obligation=[{"action": "delete"}])
    assert told(report).to_json() == {
        "permitted": False,
        "headline": "clinic was refused.",
        "because": ["the duty to delete what was received is not fulfilled"],
        "changes": ["the duty to delete what was received would have to be fulfilled"],
    }
    assert report.reasons() == (
        Reason(
            "duty-delete",
            "the duty to delete what was received once it is aggregated (obligation 1) was "
            "violated: test",
        ),
    )


def test_what_holds_already_is_no_change() -> None:
    """Neither a condition that is met, nor a duty that is done, nor what bars only in part."""
    wish = train(
        PURPOSE,
        part("recipient", "eq", "a"),
        duty=[{"action": "inform"}, {"action": "compensate"}],
    )
    state: dict[str, Right] = {
        "purpose": "drug-safety",
        "recipient": "b",
        "inform": "fulfilled",
        "compensate": "pending",
    }
    assert told(decide([wish], state)).changes == (
        "the recipient would have to be a; and the duty to pay for the use would have to be "
        "fulfilled",
    )
    either = {"or": [part("recipient", "eq", "b"), part("recipient", "eq", "c")]}
    barred = told(decide([train()], state, prohibition=[{"action": "use", "constraint": [either]}]))
    assert barred.changes == (
        "the recipient would have to be something other than b (prohibition 1)",
    )


def test_a_law_is_named_with_its_source() -> None:
    law = {
        "@id": "urn:example:law",
        "@type": "Set",
        "profile": PROFILE,
        "conflict": "prohibit",
        "name": "example",
        "title": "No core data",
        "version": "1",
        "source": "Article 1",
        "prohibition": [
            {"action": "use", "constraint": [part("classification", "eq", "core")]},
        ],
    }
    report = decide([train()], {"classification": "core"}, laws=(json.dumps(law).encode(),))
    assert told(report).because == (
        "the law “No core data” applies: the product is core data",
        "legal source: Article 1",
    )
    assert told(report, "zh").because == (
        "基线规则“No core data”适用：数据产品属于核心数据",
        "法律依据：Article 1",
    )


LAWS = tuple(path.read_bytes() for path in sorted(Path(baseline.__file__).parent.glob("*.jsonld")))
ABROAD: dict[str, Right] = {
    "classification": "general",
    "personalInformation": "no",
    "crossBorder": "yes",
    "spatialPermission": "none",
    "filingNumber": "none",
}


def test_the_laws_that_come_along_are_told_in_both_languages() -> None:
    report = decide([train()], ABROAD, laws=LAWS)
    english = told(report)
    assert english.because[0].endswith(
        "applies: the result crosses a jurisdiction, "
        "no permission names a place in the recipient's jurisdiction, "
        "the product has no filing number"
    )
    assert english.changes == (
        "the result would have to stay in its jurisdiction; or [a permission would have to name a "
        "place in the recipient's jurisdiction; and the product would have to have a filing "
        "number] (the law “Crossing a jurisdiction needs an explicit spatial permission and a "
        "filing number”)",
    )
    chinese = told(report, "zh")
    assert chinese.because[0] == (
        "基线规则“跨法域使用须有明确的空间范围许可和备案号”适用："
        "结果将跨法域传输，合约未明确许可接收方所在法域，数据产品没有备案号"
    )
    assert chinese.because[1].startswith("法律依据：《中华人民共和国个人信息保护法》")
    assert chinese.changes[0].startswith(
        "结果不得跨法域传输；或者[合约须明确许可接收方所在法域；并且数据产品须有备案号]"
    )
    assert not {"yes", "none"} & set(re.findall("[a-z]+", str(chinese.to_json())))


def test_words_of_ours_have_sentences_in_both_languages() -> None:
    for words in WORDS.values():
        assert words.told.keys() == ENGLISH.told.keys()
        assert words.needed.keys() == ENGLISH.needed.keys()
        for operand, values in words.told.items():
            domain = set(OPERANDS[operand].unit.split(", ")) - {""}
            assert set(values) == (domain or {"none"})
        for operand, values in words.needed.items():
            assert set(values) - {""} == set(words.told[operand])
            assert len(values) == 2


@pytest.mark.parametrize(
    ("operator", "right", "holds", "sentence"),
    [
        ("eq", "yes", True, "the result would have to cross a jurisdiction"),
        ("eq", "yes", False, "the result would have to stay in its jurisdiction"),
        ("neq", "yes", True, "the result would have to stay in its jurisdiction"),
        ("neq", "yes", False, "the result would have to cross a jurisdiction"),
        ("isNoneOf", ("no",), True, "the result would have to cross a jurisdiction"),
        ("isAnyOf", ("no", "yes"), True, None),
        ("isNoneOf", ("no", "yes"), True, None),
    ],
)
def test_what_would_have_to_be(
    operator: str, right: Right, holds: bool, sentence: str | None
) -> None:
    assert needed_value("crossBorder", operator, right, ENGLISH, holds=holds) == sentence


def test_a_number_has_no_sentence_of_its_own() -> None:
    assert needed_value("filingNumber", "eq", "A-1", ENGLISH, holds=True) is None
    assert told_value("filingNumber", "A-1", ENGLISH) is None
    assert told_value("count", 3, ENGLISH) is None


@pytest.mark.parametrize(
    ("language", "because", "changes"),
    [
        (
            "en",
            (
                "updates are added without masks, each to be seen by itself (permission 1)",
                "the noise, in clipping norms, is 0.5 (permission 1)",
                "noise protects each single record (permission 1)",
                "governance adds the noise to the sum of the masks (permission 1)",
            ),
            "the secure sum would have to be governance or pairwise; and the noise, in clipping "
            "norms, would have to be at least 1; and the unit of privacy would have to be subject; "
            "and who adds the noise would have to be nodes",
        ),
        (
            "zh",
            (
                "更新不加掩码相加，各方更新均可被单独看到（第 1 条许可）",
                "噪声强度（以裁剪范数为单位）为 0.5（第 1 条许可）",
                "以噪声保护每条记录（第 1 条许可）",
                "由治理方在掩码之和中添加噪声（第 1 条许可）",
            ),
            "安全聚合方式须为 governance 或 pairwise；并且噪声强度（以裁剪范数为单位）不得少于 1；"
            "并且隐私保护单位须为 subject；并且噪声添加方须为 nodes",
        ),
    ],
)
def test_masks_and_noise_are_told_in_both_languages(
    language: Language, because: tuple[str, ...], changes: str
) -> None:
    permission = train(
        part("secureAggregation", "isAnyOf", ["governance", "pairwise"]),
        part("noise", "gteq", "1"),
        part("privacyUnit", "eq", "subject"),
        part("noiseBy", "eq", "nodes"),
    )
    state: dict[str, Right] = {
        "secureAggregation": "none",
        "noise": Decimal("0.5"),
        "privacyUnit": "record",
        "noiseBy": "governance",
    }
    found = told(decide([permission], state), language)
    assert (found.because, found.changes) == (because, (changes,))


def test_another_party_and_no_permission() -> None:
    found = told(decide([train()], {}, assignee="somebody"))
    assert found.because == (
        "the agreement is with consortium about t; asked was by somebody for t",
    )
    assert found.changes == ()
    found = told(decide([{"action": "infer"}], {}))
    assert found.because == ("no permission of the agreement covers the action train",)
    assert found.changes == ("the owner would have to permit the action train",)


def test_facts_before_any_policy() -> None:
    reasons = [Reason("consent-withdrawn", "withdrew at noon"), Reason("other", "because")]
    assert explain_facts("clinic", reasons, "en").because == ("withdrew at noon", "because")
    assert explain_facts("clinic", reasons, "zh").because == (
        "授权已撤回（withdrew at noon）",
        "because",
    )
