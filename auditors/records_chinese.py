"""The words of the record under the Personal Information Protection Law, in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "record-lead": "依据 {space} 的日志生成，共 {entries} 条记录，时间自 {first} 至 "
        "{last}（UTC）。带 # 的数字为条目号。",
        "record-advice": "本记录不构成法律意见。已核查的仅为上列事项；"
        "未核查各主体的声明是否属实，亦未核查是否符合任何法律。",
        "record-pseudonyms": "日志为假名化日志：主体以假名出现，空间之外无从辨认。"
        "本记录中如有名称，系另行提供。",
        "record-blanks": "日志无从知悉的事项以虚线框留空，并注明由谁填写。",
        "foot": "由 tds audit report 生成；同一份日志生成的记录相同。使用前请填写虚线框。",
        "contents": "目录",
        "source": "日志来源：",
        "how-to-read": "阅读说明",
        "by": "由{who}填写：{what}",
        "the-handler": "个人信息处理者",
        "nothing-logged": "日志中没有相关记载。",
        "party": "{who}，登记为 {role}，地区 {region}",
        "party-sector": "{who}，登记为 {role}，地区 {region}，行业 {sector}",
        "purpose-used": "{purpose}：{runs} 个任务中使用 {uses} 次",
        "purpose-asked": "{purpose}：曾申请，未使用",
        "product-personal": "{product}：{rows} 行，{classification}；"
        "提供方签署声明含有个人信息；个人信息主体同意记录：{consent}",
        "product-general": "{product}：{rows} 行，{classification}；提供方签署声明不含个人信息",
        "columns": "{product} 的字段：{columns}",
        "recipient": "{who}，地区 {region}，依据 {agreements}",
        "recipient-gets": "据回执，离开提供方机器的是模型更新与指定指标；日志中载有其摘要。",
        "transfer-yes": "{product}（{place}）至 {who}（{region}）：跨法域；备案号：{filing}",
        "transfer-no": "{product}（{place}）至 {who}（{region}）：不跨法域",
        "transfer-unknown": "{product}（{place}）至 {who}（{region}）：未知",
        "no-filing": "无",
        "withdrawal": "{agreement}：已于 {time} 撤回，{effect}",
        "withdrawal-held": "此后无使用，亦无许可",
        "withdrawal-broken": "但此后仍有使用或许可",
        "withdrawals-none": "没有授权被撤回。",
        "duty-delete": "{agreement}：须在聚合后删除所接收的内容",
        "erased": "已于 {time} 删除 {count} 份披露（{code}）",
        "anonymized": "{product}：已匿名化，方法为 {method}",
        "measure-permit": "每次使用均须有仅限一轮的签名许可，许可先入日志后签发。许可："
        "{permits} 份；其中没有有效回执的成员：{missing}。",
        "measure-sandbox": "使用时测得：{environment}",
        "measure-epsilon": "各合约所涉数据产品的隐私损失 ε：{parts}",
        "measure-epsilon-none": "各任务均未采用差分隐私：ε 无界。",
        "no-bound": "无界",
        "measure-consent": "未获有效同意的个人的数据行在应用读取任何数据之前即被剔除：单次使用至多 "
        "{most} 行，由 {owners} 个节点签署",
        "measure-cohort": "任务要求的最少参与方数量：{least}",
        "measure-certificates": "登记证书有效的数据产品：{valid} / {all}",
        "measure-log": "条目链接于签名的透明日志；主体为假名；日志中有 {erasures} 次披露删除。",
        "terms": "{agreement}：{terms}",
        "consent-both": "{agreement}：双方签署",
        "consent-owner": "{agreement}：提供方签署",
        "uses-caption": "逐次使用记录",
        "uses-more": "另有 {n} 次：`tds audit report --format csv` 可列出全部。",
        "col-entry": "条目",
        "col-whose": "数据提供方",
        "col-round": "任务、轮次",
        "col-start": "开始",
        "col-end": "结束",
        "col-rows": "数据行",
        "col-without": "因缺少个人同意而剔除的行",
        "col-loss": "ε",
        "col-for": "使用方、目的",
        "refusals-count": "未获准 {count} 项，获准 {permitted} 项；原因：{codes}",
        "law-in-force": "{title}（{source}）",
        "pipl-title": "个人信息保护影响评估与处理情况记录（个人信息保护法第五十五条、"
        "第五十六条）：{space}",
        "pipl-handler": "个人信息处理者：{who}",
        "pipl-handler-note": "按该数据提供方为个人信息处理者（第七十三条第一项）编制。"
        "其是否为个人信息处理者，日志不能说明。",
        "pipl-none": "没有主体登记数据产品。",
        "pipl-who": "个人信息处理者及其联系方式",
        "pipl-who-what": "名称、联系方式、个人信息保护负责人",
        "pipl-when": "是否须进行影响评估",
        "pipl-provided": "提供或委托处理的对象：{who}",
        "pipl-abroad": "跨法域的产品与接收方组合：{all} 个中的 {count} 个",
        "pipl-when-what": "是否涉及敏感个人信息、自动化决策或公开个人信息",
        "pipl-lawful": "处理目的、处理方式是否合法、正当、必要",
        "pipl-lawful-what": "评估意见",
        "pipl-impact": "对个人权益的影响及安全风险",
        "pipl-impact-what": "评估意见，可参考上列数据",
        "pipl-protect": "保护措施是否合法、有效并与风险程度相适应",
        "pipl-protect-what": "评估意见，以及空间之外的措施",
        "pipl-entrusted": "委托处理：约定事项",
        "pipl-entrusted-what": "是否属于委托处理；委托期限、双方权利义务及监督情况",
        "pipl-shared": "向其他个人信息处理者提供",
        "pipl-shared-what": "接收方是否为个人信息处理者；如何告知个人并取得单独同意",
        "pipl-consent": "{product}：个人信息主体同意记录：{consent}",
        "pipl-border": "向境外提供",
        "pipl-border-what": "符合第三十八条的哪一项条件（安全评估、保护认证、标准合同）；"
        "如何告知个人并取得单独同意（第三十九条）",
        "pipl-records": "处理情况记录",
        "pipl-records-what": "空间之外的处理情况",
        "pipl-withdrawn": "撤回同意与删除",
        "pipl-withdrawn-what": "提供方已删除的内容",
        "pipl-keep": "保存",
        "pipl-keep-value": "记录自 {first} 至 {last}。"
        "影响评估报告和处理情况记录应当至少保存三年：最新条目的记录至少保存至 {until}。",
        "pipl-keep-what": "保存地点与保存人",
    }
)
