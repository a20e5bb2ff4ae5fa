"""The words of explanations, in English and Chinese; `policies.explain` puts them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Language = Literal["en", "zh"]

# Values that only ever grow under one agreement: nothing that a run does brings them down.
GROWING = frozenset({"count", "meteredTime", "elapsedTime", "epsilon", "dateTime"})
# Of these, the ones of which a use may take more or less.
SPENT = frozenset({"meteredTime", "epsilon"})


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `{}` and named fields are filled in.

    Attributes:
        subjects: left operand -> how it is called.
        wanted: operator -> what a value should be for the constraint to hold.
        unwanted: operator -> what it should be for the constraint not to hold.
        wanted_time, unwanted_time: the same for moments, where they differ.
        duties: action -> what is to be done.
        facts_of: left operand -> its value as a sentence, where `is_value` would not be one.
        facts: reason code -> why, where no policy had to be asked; English keeps the log's words.
    """

    subjects: Mapping[str, str]
    wanted: Mapping[str, str]
    unwanted: Mapping[str, str]
    wanted_time: Mapping[str, str]
    unwanted_time: Mapping[str, str]
    duties: Mapping[str, str]
    facts: Mapping[str, str]
    permitted: str
    refused: str
    refused_before: str
    met: str
    is_value: str
    unknown: str
    should: str
    known: str
    grows: str
    spends: str
    unconditional: str
    too_many: str
    facts_of: Mapping[str, str]
    stay_out: str
    join_in: str
    nobody: str
    list_or: str
    list_and: str
    list_all: str
    all_parts: str
    any_part: str
    only_one: str
    permission: str
    prohibition: str
    no_permission: str
    permission_needed: str
    prohibits: str
    may_prohibit: str
    law: str
    law_source: str
    duty: str
    duty_needed: str
    other_party: str
    cohort_small: str


def _frozen(table: dict[str, str]) -> Mapping[str, str]:
    return MappingProxyType(table)


ENGLISH = Words(
    subjects=_frozen(
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
            "epsilon": "the privacy loss ε, this use included,",
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
    wanted=_frozen(
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
    unwanted=_frozen(
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
    wanted_time=_frozen(
        {"lt": "before {}", "lteq": "{} or earlier", "gt": "after {}", "gteq": "{} or later"}
    ),
    unwanted_time=_frozen(
        {"lt": "{} or later", "lteq": "after {}", "gt": "{} or earlier", "gteq": "before {}"}
    ),
    duties=_frozen(
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
    facts=_frozen({}),
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
    facts_of=_frozen(
        {
            "togetherWith": "of its partners, {} takes part",
            "notTogetherWith": "{} may take part",
        }
    ),
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
    no_permission="no permission of the agreement covers {action}",
    permission_needed="the owner would have to agree to a permission for {action}",
    prohibits="{rule} applies: {facts}",
    may_prohibit="{rule} may apply: {facts}",
    law="the law “{title}”",
    law_source=" ({source})",
    duty="the duty to {duty} is not fulfilled",
    duty_needed="the duty to {duty} would have to be fulfilled",
    other_party="the agreement is with {assignee} about {target}; asked was by {asker} for {asked}",
    cohort_small="too few participants were left in the round for the run's own minimum",
)

CHINESE = Words(
    subjects=_frozen(
        {
            "purpose": "使用目的",
            "dateTime": "时间",
            "count": "使用次数（含本次）",
            "meteredTime": "累计使用时长（含本次）",
            "elapsedTime": "自首次使用以来的时间",
            "spatial": "处理地点",
            "recipient": "接收方",
            "industry": "接收方所属行业",
            "event": "事件",
            "payAmount": "本次使用的支付额",
            "version": "数据产品版本",
            "epsilon": "隐私损失 ε（含本次）",
            "minParticipants": "参与方数量",
            "rowShare": "本产品占全部数据行的比例",
            "togetherWith": "参与的合作方",
            "notTogetherWith": "可能参与的竞争方",
            "algorithm": "算法应用",
            "executionEnvironment": "执行环境",
            "classification": "数据分类分级",
            "personalInformation": "是否含个人信息",
            "subjectConsent": "个人信息主体的同意记录",
            "anonymization": "匿名化义务",
            "crossBorder": "结果是否跨法域",
            "spatialPermission": "对接收方法域的空间范围许可",
            "filingNumber": "备案号",
        }
    ),
    wanted=_frozen(
        {
            "eq": "为 {}",
            "neq": "不为 {}",
            "lt": "小于 {}",
            "lteq": "不超过 {}",
            "gt": "大于 {}",
            "gteq": "不少于 {}",
            "isA": "为 {} 或其下属类别",
            "isPartOf": "在 {} 范围内",
            "isAnyOf": "为 {}",
            "isAllOf": "包括全部 {}",
            "isNoneOf": "不为 {}",
            "hasPart": "包括 {}",
        }
    ),
    unwanted=_frozen(
        {
            "eq": "不为 {}",
            "neq": "为 {}",
            "lt": "不少于 {}",
            "lteq": "大于 {}",
            "gt": "不超过 {}",
            "gteq": "小于 {}",
            "isA": "不属于 {}",
            "isPartOf": "在 {} 范围之外",
            "isAnyOf": "不为 {}",
            "isNoneOf": "为 {}",
        }
    ),
    wanted_time=_frozen(
        {"lt": "早于 {}", "lteq": "不晚于 {}", "gt": "晚于 {}", "gteq": "不早于 {}"}
    ),
    unwanted_time=_frozen(
        {"lt": "不早于 {}", "lteq": "晚于 {}", "gt": "不晚于 {}", "gteq": "早于 {}"}
    ),
    duties=_frozen(
        {
            "anonymize": "对数据进行匿名化",
            "compensate": "支付使用费",
            "obtainConsent": "取得个人信息主体同意",
            "inform": "告知数据提供方",
            "delete": "删除所接收的内容",
            "report": "报告结果",
            "watermark": "为模型添加标识",
            "attribute": "注明贡献方",
        }
    ),
    facts=_frozen(
        {
            "participant-inactive": "该主体不在有效状态",
            "product-core": "核心数据不得使用",
            "app-unregistered": "算法应用未备案",
            "app-filing-expired": "算法备案已过期",
            "app-filing-revoked": "算法备案已撤销",
            "app-filing-purpose": "使用目的超出算法备案范围",
            "consent-withdrawn": "授权已撤回",
            "offline": "该节点不在线",
            "no-agreement": "没有数字合约",
            "certificate-missing": "数据产品没有登记证书",
            "certificate-expired": "数据产品登记证书已过期",
            "certificate-revoked": "数据产品登记证书已撤销",
            "transfer-terminated": "履约已终止",
            "transfer-suspended": "履约已暂停",
            "voucher-exhausted": "算力券余额不足",
            "report-too-large": "评估报告过大",
            "engines-disagree": "两个策略引擎的决定不一致",
        }
    ),
    permitted="{who} 获准：{rule}的全部约束均已满足。",
    refused="{who} 被拒绝。",
    refused_before="{who} 在策略评估之前即被拒绝。",
    met="已满足",
    is_value="{subject}为 {value}",
    unknown="{subject}未知",
    should="{subject}须{wanted}",
    known="{subject}须为已知",
    grows="（该数值只增不减，需另订合约）",
    spends="（已消耗的部分不可恢复，须减少本次用量或另订合约）",
    unconditional="该规则无条件禁止，须予废止",
    too_many="仅可有一项成立的选项中有 {held} 项成立：{facts}",
    facts_of=_frozen(
        {
            "togetherWith": "其合作方中参与的：{}",
            "notTogetherWith": "可能参与的竞争方：{}",
        }
    ),
    stay_out="{} 须不参与本轮",
    join_in="{} 须一同参与",
    nobody="无",
    list_or=" 或 ",
    list_and="、",
    list_all="、",
    all_parts="；并且",
    any_part="；或者",
    only_one="各选项中须恰有一项成立，现有 {} 项成立",
    permission="许可第 {} 条",
    prohibition="禁止第 {} 条",
    no_permission="合约中没有涵盖 {action} 的许可",
    permission_needed="数据提供方须同意涵盖 {action} 的许可",
    prohibits="{rule}适用：{facts}",
    may_prohibit="{rule}可能适用：{facts}",
    law="基线规则“{title}”",
    law_source="（{source}）",
    duty="义务“{duty}”未履行",
    duty_needed="须先履行义务“{duty}”",
    other_party="合约相对方为 {assignee}，标的为 {target}；请求方为 {asker}，请求标的为 {asked}",
    cohort_small="剩余参与方少于本次训练要求的最低数量",
)

WORDS: Mapping[Language, Words] = MappingProxyType({"en": ENGLISH, "zh": CHINESE})
