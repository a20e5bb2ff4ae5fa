"""What one use of a run tells by itself, from the terms of privacy that its entry states."""

from __future__ import annotations

from policies.canonical import Json
from policies.left_values import epsilon_after
from policies.privacy import Privacy
from policies.privacy_loss import NO_LOSSES
from policies.values import decimal_text


def use_loss(privacy: Json) -> str:
    """ε of a single use at the terms' own δ; "" where there are no terms, and so no bound.

    Raises:
        DocumentError: terms that no run can have.
    """
    if privacy is None:
        return ""
    loss = epsilon_after(NO_LOSSES, Privacy.from_json(privacy))
    assert loss is not None  # terms of privacy have a bound
    return decimal_text(loss)
