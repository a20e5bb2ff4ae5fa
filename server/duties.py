"""What is owed after a use (post-duties), and what counts as evidence that it was done.

A permit names for each member what its agreement obliges to. The consumer's ServerApp does it and
declares it when it closes the round; governance closes a round that has a result only if everything
that is owed to a member whose receipt was accepted is declared, and logs what was declared.

    action      what the ServerApp does                        evidence
    delete      drops the round's updates from memory once     how many, and the digest over their
                they are averaged; it never writes them        digests
    report      hands the round's figures to governance        the digest of those figures
    attribute   names the contributors in the model file       the digest of the model
    watermark   marks the model file with run and round        the digest of the model

Evidence is the consumer's word: governance sees no update and no model. It checks what it can: that
a reported digest is that of the figures in the close, and that the model meant is the close's. An
evaluation, or a round without a quorum, makes no model; what it leaves is the one that it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policies.canonical import digest_of
from policies.post_duties import POST_DUTIES
from server.errors import BadInput

MAX_EVIDENCE = 1000


def declare(
    owed: Iterable[str], *, dropped: Sequence[str], metrics: Mapping[str, str], model: str
) -> dict[str, str]:
    """The evidence of what was done for a round; the caller has done it.

    Args:
        owed: actions.
        dropped: digests of the updates that are no longer held.
        metrics, model: as in the close.
    """
    evidence = {
        "delete": (
            f"dropped from memory after averaging, never written: {len(dropped)} updates, "
            f"{digest_of(sorted(dropped))}"
        ),
        "report": digest_of(dict(metrics)),
        "attribute": f"contributors stand in the metadata of model {model}",
        "watermark": f"run and round stand in the metadata of model {model}",
    }
    return {action: evidence[action] for action in sorted(owed)}


def check_declared(declared: Mapping[str, str]) -> None:
    """Returns only if these are post-duties with a text each; BadInput otherwise."""
    for action, text in declared.items():
        if action not in POST_DUTIES:
            known = ", ".join(sorted(POST_DUTIES))
            raise BadInput(f"duties: expected some of {known}, got {action!r:.40}")
        if not 0 < len(text) <= MAX_EVIDENCE or not text.isprintable():
            raise BadInput(
                f"duties: {action}: expected evidence of 1 to {MAX_EVIDENCE} printable characters"
            )
