"""Words of the pages that follow something (space, runs) in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LIVE_CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        # following
        "follow-off": "此处无法自动更新（未启用脚本），请重新打开本页查看进展。",
        "follow-lost": "自 {time} 起连接中断，本页内容可能已过时；正在自动重连。",
        "follow-out": "您已退出登录，本页不再更新。请重新登录（可在其他标签页中），"
        "之后本页将继续更新。",
        "follow-gone": "您已无权查看此内容。",
        "live-space": "本页随空间变化自动更新。",
        # the space
        "up-cosigned": "在线，已联署",
        "seen": "最后在线 {time}",
        "replied": "最后参与 {time}",
        "unseen": "尚未出现",
        "log-entries": "{n} 条记录",
        "log-cosigners": "签名头已获 {n}/{all} 方联署",
        # a run
        "run-late": "本轮许可已到期而该轮尚未结束：迟到的回复不予接受，须由其 ServerApp 重新请求"
        "（若已不在运行：tds run resume）",
        "run-newest": "最近一步：{time}（UTC）。",
        "run-bytes": "已收到掩码更新 {size}",
        "outcome-waits": "获准，等待见证",
        "outcome-overdue": "获准，逾期未回复",
        "outcome-counted": "已计入结果",
        "under-way": "进行中",
        "lanes-key": "“获准，进行中”：许可已发出，尚无回复；应用何时开始只有节点知道。"
        "“已收到”：其回执已核验。“已计入结果”：已收到，且其更新在总和之中。",
        "chart-spent": "已用 ε",
        "spent": "累计 ε",
        "bytes": "更新量",
        "bytes-note": "更新量：每份已接受回执对应的掩码向量，按许可所载大小计；"
        "不含回执本身（每份约 2 kB）及下发的模型。",
        "bytes-unknown": "本任务的更新未加掩码：只经过 SuperLink，治理方看不到更新，也不知其大小。",
        "start-purposes": "这些合约所列的用途：{all}",
        "code-not-opened": "开启掩码时未计入该方",
    }
)
