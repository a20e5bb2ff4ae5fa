"""The words of explanations in Chinese; terms are those of the trusted data spaces' practice."""

from __future__ import annotations

from policies.wording import Words, frozen, tables

CHINESE = Words(
    subjects=frozen(
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
            "epsilon": "该数据产品的隐私损失 ε（含本次）",
            "delta": "ε 所对应的 δ",
            "clipNorm": "更新的裁剪范数",
            "secureAggregation": "安全聚合方式",
            "noise": "噪声强度（以裁剪范数为单位）",
            "noiseBy": "噪声添加方",
            "privacyUnit": "隐私保护单位",
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
            "spatialPermission": "对接收方所在法域的空间范围许可",
            "filingNumber": "备案号",
        }
    ),
    wanted=frozen(
        {
            "eq": "须为 {}",
            "neq": "不得为 {}",
            "lt": "须小于 {}",
            "lteq": "不得超过 {}",
            "gt": "须大于 {}",
            "gteq": "不得少于 {}",
            "isA": "须为 {} 或其子类别",
            "isPartOf": "须在 {} 范围内",
            "isAnyOf": "须为 {}",
            "isAllOf": "须包括 {}",
            "isNoneOf": "不得为 {}",
            "hasPart": "须包括 {}",
        }
    ),
    unwanted=frozen(
        {
            "eq": "不得为 {}",
            "neq": "须为 {}",
            "lt": "不得少于 {}",
            "lteq": "须大于 {}",
            "gt": "不得超过 {}",
            "gteq": "须小于 {}",
            "isA": "不得为 {} 或其子类别",
            "isPartOf": "须在 {} 范围之外",
            "isAnyOf": "不得为 {}",
            "isNoneOf": "须为 {}",
        }
    ),
    wanted_time=frozen(
        {"lt": "须早于 {}", "lteq": "不得晚于 {}", "gt": "须晚于 {}", "gteq": "不得早于 {}"}
    ),
    unwanted_time=frozen(
        {"lt": "不得早于 {}", "lteq": "须晚于 {}", "gt": "不得晚于 {}", "gteq": "须早于 {}"}
    ),
    duties=frozen(
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
    facts=frozen(
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
    permitted="{who} 获准：{rule}的各项约束均已满足。",
    refused="{who} 未获准。",
    refused_before="{who} 未获准，且无需评估其策略。",
    met="已满足",
    is_value="{subject}为 {value}",
    unknown="{subject}未知",
    should="{subject}{wanted}",
    known="{subject}须已知",
    grows="（该数值只增不减，只能另签合约）",
    spends="（已消耗的部分不可恢复，须减少本次用量或另签合约）",
    unconditional="该规则为无条件禁止，只能予以废止",
    too_many="只能有一项成立的备选条件中有 {held} 项成立：{facts}",
    facts_of=frozen(
        {
            "togetherWith": "参与本轮的合作方：{}",
            "notTogetherWith": "可能参与本轮的竞争方：{}",
        }
    ),
    told=tables(
        {
            "classification": {
                "general": "数据产品属于一般数据",
                "important": "数据产品属于重要数据",
                "core": "数据产品属于核心数据",
            },
            "personalInformation": {
                "yes": "数据产品含有个人信息",
                "no": "数据产品不含个人信息",
            },
            "subjectConsent": {
                "table": "已建立个人信息主体同意记录",
                "none": "未建立个人信息主体同意记录",
            },
            "anonymization": {
                "agreed": "合约已约定匿名化义务",
                "none": "合约未约定匿名化义务",
            },
            "crossBorder": {
                "yes": "结果将跨法域传输",
                "no": "结果不跨法域传输",
            },
            "spatialPermission": {
                "explicit": "合约已明确许可接收方所在法域",
                "none": "合约未明确许可接收方所在法域",
            },
            "filingNumber": {"none": "数据产品没有备案号"},
            "secureAggregation": {
                "none": "更新不加掩码相加，各方更新均可被单独看到",
                "governance": "更新加掩码后相加，仅治理方可释放掩码之和",
                "pairwise": "更新加节点间相互抵消的掩码后相加",
            },
            "noiseBy": {
                "none": "没有任何一方添加噪声",
                "nodes": "各节点分别添加一份噪声",
                "governance": "由治理方在掩码之和中添加噪声",
            },
            "privacyUnit": {
                "none": "没有以噪声保护任何单位的隐私",
                "record": "以噪声保护每条记录",
                "subject": "以噪声保护同一主体的全部记录",
            },
        }
    ),
    needed=tables(
        {
            "personalInformation": {
                "yes": "数据产品须含有个人信息",
                "no": "数据产品不得含有个人信息",
            },
            "subjectConsent": {
                "table": "须建立个人信息主体同意记录",
                "none": "不得建有个人信息主体同意记录",
            },
            "anonymization": {
                "agreed": "合约须约定匿名化义务",
                "none": "合约不得约定匿名化义务",
            },
            "crossBorder": {
                "yes": "结果须跨法域传输",
                "no": "结果不得跨法域传输",
            },
            "spatialPermission": {
                "explicit": "合约须明确许可接收方所在法域",
                "none": "合约不得明确许可接收方所在法域",
            },
            "filingNumber": {
                "": "数据产品须有备案号",
                "none": "数据产品不得有备案号",
            },
        }
    ),
    at_rule="{text}（{rule}）",
    about="{what}：{text}",
    stay_out="{} 不得参与本轮",
    join_in="{} 须一同参与本轮",
    nobody="无",
    list_or=" 或 ",
    list_and="，",
    list_all="、",
    all_parts="；并且",
    any_part="；或者",
    only_one="各备选条件须恰有一项成立，目前有 {} 项成立",
    permission="第 {} 条许可",
    prohibition="第 {} 条禁止规则",
    no_permission="合约中没有涵盖 {action} 操作的许可",
    permission_needed="须由数据提供方另行许可 {action} 操作",
    prohibits="{rule}适用：{facts}",
    may_prohibit="{rule}可能适用：{facts}",
    law="基线规则“{title}”",
    law_source="法律依据：{source}",
    duty="尚未履行“{duty}”的义务",
    duty_needed="须先履行“{duty}”的义务",
    other_party="合约相对方为 {assignee}，标的为 {target}；"
    "请求方为 {asker}，所请求的标的为 {asked}",
    cohort_small="其余参与方的数量低于本次训练要求的最低数量",
)
