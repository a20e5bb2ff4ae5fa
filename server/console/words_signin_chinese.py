"""Chinese: the ways in, and withdrawals."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SIGNIN_CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sign-in-link": "或使用链接",
        "certificate-with": "使用证书",
        "certificate-as": "您的浏览器出示了证书：{role} {name}。",
        "certificate-do": "以您的证书登录",
        "certificate-none": "certificate：此连接没有本空间主体的证书；"
        "请将证书导入浏览器后重新打开页面",
        "certificate-how": "浏览器中若有已注册的证书，即可用其登录。"
        "请将密钥与证书导出为文件，导入浏览器，删除该文件，再重新打开本页：",
        "oidc": "使用所在机构的账户",
        "oidc-how": "由您所在机构的登录页面确认您的身份；账户与本空间主体的对应关系由运营方设定。",
        "oidc-do": "前往 {provider} 登录",
        "oidc-as": "{provider} 已确认您的身份。您在此处是：{role} {name}。",
        "oidc-void": "此登录流程无效：它在另一浏览器中发起，或已超过十分钟。请重新开始。",
        "oidc-refused": "登录页面未放行（{code}）。",
        "withdraw": "撤回授权",
        "withdrawn-in": "授权已撤回，第 {index} 号条目",
        "withdraw-ask": "撤回您对 {consumer} 使用 {product} 的授权？",
        "withdraw-for-good": "撤回永久有效：整份合约对所有任务终止。"
        "若要再次许可，须另行签署新的合约。",
        "withdraw-now": "正在进行的使用随即中止：您的节点停止应用，其结果不会离开节点。",
        "withdraw-rounds": "自下一轮起，任务在其余企业足够时不含您的产品继续进行。",
        "withdraw-kept": "模型在已结束的轮次中学到的内容仍会保留。",
        "withdraw-do": "确认立即永久撤回",
        "withdraw-signed": "您的节点在生成登录链接时已签署此撤回声明；"
        "点击此按钮即以您的名义载入日志。",
        "withdraw-unsigned": "撤回须由您节点的密钥签署，而该密钥从不离开节点；"
        "本次会话没有此合约的撤回声明：合约晚于您的链接，或您登录时未带声明，或以只读方式登录。",
        "withdraw-stale": "您的节点事先签署的撤回声明与空间所知的密钥已不相符。"
        "请生成新的链接，或在节点所在的机器上撤回：tds node withdraw",
        "withdraw-there": "在节点所在的机器上撤回：",
        "withdraw-link": "或以新的链接登录，其中包含现有每份有效合约的撤回声明：",
        "withdraw-done": "对 {product} 的使用授权已撤回，为日志第 {index} 号条目。",
        "effect-under-at-work": "正在进行的使用正被中止",
        "effect-under-received": "正在进行的一轮的回复在此之前已收到",
        "effect-under-left-out": "正在进行的使用未被计入",
        "effect-under-no-reply": "正在进行的使用没有任何结果返回",
        "effect-round": "第 {n} 轮的决定已不含您的产品，见第 {index} 号条目",
        "effect-evaluation": "评估的决定已不含您的产品，见第 {index} 号条目",
        "effect-waits": "等待其下一轮",
        "effect-ended": "任务已结束",
    }
)
