"""Whether everything that is owed after a use (post-duties) was declared when its round closed.

Evidence is the consumer's word (`server.duties` says which): nobody but its ServerApp sees an
update or a model. What can be checked: that a reported digest is that of the figures in the close,
and that the model meant is the close's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from policies.canonical import digest_of
from policies.operands import ACTIONS
from policies.permit import PermitBody

POST_DUTIES = frozenset(row.term for row in ACTIONS.values() if row.duty == "post")
_ABOUT_THE_MODEL = frozenset({"attribute", "watermark"})


def unfulfilled(
    permit: PermitBody,
    accepted: Collection[str],
    declared: Mapping[str, str],
    *,
    metrics: Mapping[str, str],
    model: str,
) -> list[str]:
    """What is owed to whom and is not declared, or not borne out, each in a few words.

    Args:
        accepted: participants whose receipts were accepted.
        metrics, model: as in the close.
    """
    owed: dict[str, list[str]] = {}
    for member in permit.cohort:
        if member.participant in accepted:
            for action in member.duties:
                owed.setdefault(action, []).append(member.participant)
    missing = []
    for action, owners in sorted(owed.items()):
        text = declared.get(action, "")
        if not text:
            missing.append(f"{action} is owed to {', '.join(owners)}")
        elif action == "report" and text != digest_of(dict(metrics)):
            missing.append(f"report: expected {digest_of(dict(metrics))}, the figures' digest")
        elif action in _ABOUT_THE_MODEL and model not in text:
            missing.append(f"{action}: expected evidence about the model {model}")
    return missing
