"""The words of a policy that is read out (`policies.reading`), in English and in Chinese.

Unlike the words of explanations, which say what would have to be, these state a condition as it is:
the same sentence stands under a permission and under a prohibition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.phrases import Language
from policies.wording import frozen


@dataclass(frozen=True, slots=True)
class ReadingWords:
    """One language. `{}` and named fields are filled in.

    Attributes:
        actions: action -> what is permitted or forbidden.
        holds: operator -> what is said of a subject; `times` the same of moments.
        company: operator of `togetherWith` -> a sentence; `rivals` is that of `notTogetherWith`.
        ordered: operand -> what `isA` says of it, where a stronger value belongs to a weaker one.
        permission, prohibition: without a condition; `..._if` with the conditions that follow.
        after: what is due after a use; `before`, `before_if` before it.
        beside: an obligation, which stands beside every permission.
        next_policy: heads the rules about what is derived.
        logic: operator of a logical constraint -> what heads its parts.
        units: of durations: days, hours, minutes, seconds.
    """

    actions: Mapping[str, str]
    holds: Mapping[str, str]
    times: Mapping[str, str]
    company: Mapping[str, str]
    rivals: str
    ordered: Mapping[str, str]
    is_text: str
    has_number: str
    offer: str
    open_offer: str
    agreement: str
    permission: str
    permission_if: str
    prohibition: str
    prohibition_if: str
    before: str
    before_if: str
    after: str
    beside: str
    next_policy: str
    logic: Mapping[str, str]
    one_of: str
    list_all: str
    list_or: str
    told_or: str
    units: tuple[str, str, str, str]
    no_time: str


_ENGLISH: Final = ReadingWords(
    actions=frozen(
        {
            "use": "any use",
            "train": "training a model",
            "evaluate": "evaluating a model",
            "infer": "inference",
            "aggregate": "aggregation",
            "derive": "deriving something from it",
            "distribute": "handing on the result",
            "anonymize": "anonymising the data",
            "compensate": "paying for it",
            "obtainConsent": "obtaining the data subjects' consent",
            "inform": "informing the owner",
            "delete": "deleting what was received",
            "report": "reporting the result",
            "watermark": "marking the model",
            "attribute": "naming the contributors",
            "list": "listing it in the catalogue",
        }
    ),
    holds=frozen(
        {
            "eq": "is {}",
            "neq": "is not {}",
            "lt": "is less than {}",
            "lteq": "is at most {}",
            "gt": "is more than {}",
            "gteq": "is at least {}",
            "isA": "is {} or belongs to it",
            "isPartOf": "is {} or a region of it",
            "isAnyOf": "is {}",
            "isNoneOf": "is none of: {}",
        }
    ),
    times=frozen(
        {
            "lt": "is before {}",
            "lteq": "is {} or earlier",
            "gt": "is after {}",
            "gteq": "is {} or later",
        }
    ),
    company=frozen(
        {
            "hasPart": "{} takes part as well",
            "isAllOf": "all of these take part as well: {}",
            "isAnyOf": "one of these takes part as well: {}",
        }
    ),
    rivals="none of these takes part: {}",
    ordered=frozen(
        {
            "executionEnvironment": "is {} or stronger",
            "privacyUnit": "is {} or what includes it",
        }
    ),
    is_text="{subject} {holds}",
    has_number="the product has a filing number",
    offer="{assigner} offers this to whoever agrees to it, word for word.",
    open_offer="Whoever owns the product offers this to whoever agrees to it, word for word.",
    agreement="{assigner} and {assignee} agreed on this about {target}, on {when}.",
    permission="Permission {n}: {action} is permitted, without a condition.",
    permission_if="Permission {n}: {action} is permitted if all of this holds:",
    prohibition="Prohibition {n}: {action} is forbidden, whatever else holds.",
    prohibition_if="Prohibition {n}: {action} is forbidden if all of this holds:",
    before="Duty before the use: {duty}.",
    before_if="Duty before the use: {duty}, and all of this holds:",
    after="Duty after the use: {duty}.",
    beside="Beside every permission. {text}",
    next_policy="For what is derived from it:",
    logic=frozen(
        {
            "and": "all of this holds:",
            "andSequence": "all of this holds:",
            "or": "at least one of these holds:",
            "xone": "exactly one of these holds:",
        }
    ),
    one_of="one of: {}",
    list_all=", ",
    list_or=" or ",
    told_or="; or ",
    units=(" d", " h", " min", " s"),
    no_time="no time at all",
)

_CHINESE: Final = ReadingWords(
    actions=frozen(
        {
            "use": "任何使用",
            "train": "训练模型",
            "evaluate": "评估模型",
            "infer": "推理",
            "aggregate": "聚合",
            "derive": "由其衍生",
            "distribute": "转交结果",
            "anonymize": "对数据进行匿名化",
            "compensate": "支付使用费",
            "obtainConsent": "取得个人信息主体同意",
            "inform": "告知数据提供方",
            "delete": "删除所接收的内容",
            "report": "报告结果",
            "watermark": "为模型添加标识",
            "attribute": "注明贡献方",
            "list": "列入目录",
        }
    ),
    holds=frozen(
        {
            "eq": "为 {}",
            "neq": "不为 {}",
            "lt": "小于 {}",
            "lteq": "不超过 {}",
            "gt": "大于 {}",
            "gteq": "不少于 {}",
            "isA": "为 {} 或其子类别",
            "isPartOf": "在 {} 范围内",
            "isAnyOf": "为 {}",
            "isNoneOf": "不为下列任何一项：{}",
        }
    ),
    times=frozen({"lt": "早于 {}", "lteq": "不晚于 {}", "gt": "晚于 {}", "gteq": "不早于 {}"}),
    company=frozen(
        {
            "hasPart": "{} 一同参与",
            "isAllOf": "下列各方均一同参与：{}",
            "isAnyOf": "下列至少一方一同参与：{}",
        }
    ),
    rivals="下列各方均不参与：{}",
    ordered=frozen(
        {
            "executionEnvironment": "为 {} 或更强",
            "privacyUnit": "为 {} 或包含其的单位",
        }
    ),
    is_text="{subject}{holds}",
    has_number="数据产品有备案号",
    offer="{assigner} 向任何逐字同意的一方提出本要约。",
    open_offer="数据产品的提供方向任何逐字同意的一方提出本要约。",
    agreement="{assigner} 与 {assignee} 于 {when} 就 {target} 订立本合约。",
    permission="第 {n} 条许可：允许{action}，不附条件。",
    permission_if="第 {n} 条许可：以下各项均成立时，允许{action}：",
    prohibition="第 {n} 条禁止规则：一律禁止{action}。",
    prohibition_if="第 {n} 条禁止规则：以下各项均成立时，禁止{action}：",
    before="使用前的义务：{duty}。",
    before_if="使用前的义务：{duty}，并且以下各项均成立：",
    after="使用后的义务：{duty}。",
    beside="与每条许可并存。{text}",
    next_policy="对由其衍生的产品：",
    logic=frozen(
        {
            "and": "以下各项均成立：",
            "andSequence": "以下各项均成立：",
            "or": "以下至少一项成立：",
            "xone": "以下恰有一项成立：",
        }
    ),
    one_of="下列之一：{}",
    list_all="、",
    list_or=" 或 ",
    told_or="；或者",
    units=(" 天", " 小时", " 分", " 秒"),
    no_time="零时长",
)

READING: Final[Mapping[Language, ReadingWords]] = MappingProxyType({"en": _ENGLISH, "zh": _CHINESE})
